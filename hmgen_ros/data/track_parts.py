"""One part of a folder of tracks, to train on or to validate with: not empty, or else why it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.tracks import MANIFEST, Corpus, Track, segments, tracks_of

_NAMES = {"train": "training"}


def tracks_in_part(folder: Path, split: str) -> list[Track]:
    """The tracks of one part.

    Args:
        folder: see :func:`hmgen_ros.data.tracks.tracks_of`.
        split: "train", "validation" or "test".

    Raises:
        CorpusError: the folder holds no tracks, its manifest is damaged, or no speaker fell into the part;
            says how many there are and what to do.
    """
    tracks = tracks_of(folder)
    part = [track for track in tracks if track.split == split]
    if not part:
        # The draw is by name, so nothing but other speakers changes it; there is no column for the part.
        # Files that no manifest lists are speakers by the names of their own.
        listed = any(track.speaker != track.name for track in tracks)
        told = f"column speaker of {MANIFEST}" if listed else f"without {MANIFEST} each file is one"
        speakers = len({track.speaker for track in tracks})
        raise CorpusError(
            f"the {_name(split)} part of {folder} is empty: the folder holds {_count(len(tracks), 'track')} "
            f"of {_count(speakers, 'speaker')} ({told}), and speakers are dealt out by their names, 80 % to "
            "training, 10 % each to validation and test; add tracks of more speakers, some 30 in all"
        )
    return part


def part_of(folder: Path, split: str) -> Corpus:
    """The pieces of the tracks of one part.

    Args:
        folder: see :func:`hmgen_ros.data.tracks.tracks_of`.
        split: "train", "validation" or "test".

    Raises:
        CorpusError: tracks are missing or damaged, or the part is empty or of no use; says why.
    """
    tracks = tracks_in_part(folder, split)
    corpus = segments(tracks)
    check_pieces(tracks, corpus, folder, split)
    return corpus


def check_pieces(tracks: Sequence[Track], corpus: Corpus, folder: Path, split: str) -> None:
    """Raise CorpusError where nothing was left of the tracks of a part; says what was lost.

    Args:
        tracks: of the part.
        corpus: what was read of them.
        folder: where they lie.
        split: which part.
    """
    if corpus.segments:
        return
    lost = ", ".join(f"{cause} {amount}" for cause, amount in corpus.counts.items() if amount)
    raise CorpusError(
        f"the {_name(split)} part of {folder} has {_count(len(tracks), 'track')}, and no piece of any can be "
        f"used ({lost or 'they are empty'}); see docs/extraction.md for what tracks need"
    )


def _name(split: str) -> str:
    return _NAMES.get(split, split)


def _count(amount: int, what: str) -> str:
    return f"{amount} {what}{'' if amount == 1 else 's'}"
