"""Which tracks of a folder an evaluation takes, and what is told of them.

``held_out`` must neither score a model on what it was trained on, nor leave out anybody who is a stranger to
it. The parts that :func:`hmgen_ros.data.tracks.split_of` deals unknown speakers out to are made for training
on them; they say nothing about the shipped models, which know the speakers of ``TRAINING_SPEAKERS`` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmgen_ros.data.tracks import SPLITS, TRAINING_SPEAKERS, Corpus, Track, segments, tracks_of

CHOICES = (*SPLITS, "all", "held_out")
#: What :class:`hmgen_ros.data.tracks.Corpus` counts, in words; other causes go by their names.
_CAUSES = {
    "invalid": "ticks without a face, or not finite",
    "collapsed": "ticks of tracks whose faces are collapsed to a point",
    "too_short": "ticks in pieces that are too short",
    "mended": "ticks mended",
    "cuts": "cuts",
    "without_sound": "tracks without sound",
    "sound_too_short": "ticks of pieces whose sound ends too early",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The tracks that an evaluation takes.

    Attributes:
        tracks: these tracks.
        listed: how many the folder has.
        split: which part they are: ``train``, ``validation``, ``test`` or ``all``.
    """

    tracks: list[Track]
    listed: int
    split: str

    def __str__(self) -> str:
        return f"{len(self.tracks)} of {self.listed} tracks (split {self.split})"

    def described(self) -> dict[str, Any]:
        """For the results."""
        return {"tracks": len(self.tracks), "tracks_in_folder": self.listed, "split": self.split}

    def corpus(self) -> Corpus:
        """Their pieces; raises as :func:`hmgen_ros.data.tracks.segments`."""
        return segments(self.tracks)


def check_split(split: str) -> None:
    """Raise ValueError where there is no such split."""
    if split not in CHOICES:
        raise ValueError(f"no split {split!r}; there are {', '.join(CHOICES)}")


def choose_tracks(folder: Path, split: str) -> Choice:
    """The tracks of a split.

    Args:
        folder: of tracks, see :func:`hmgen_ros.data.tracks.tracks_of`.
        split: one of :data:`CHOICES`; ``held_out`` is the test part where there are speakers that the shipped
            models were trained on, else all.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: there are no tracks, or their manifest is damaged.
        ValueError: there is none in the split.
    """
    tracks = tracks_of(folder)
    known = any(track.speaker in TRAINING_SPEAKERS for track in tracks)
    wanted = ("test" if known else "all") if split == "held_out" else split
    found = [track for track in tracks if wanted in ("all", track.split)]
    if not found:
        raise ValueError(
            f"no track of the {len(tracks)} in {folder} belongs to the split {wanted!r}; try --split all"
        )
    return Choice(found, len(tracks), wanted)


def choose_unseen_by_runs(folder: Path) -> Choice:
    """The test part of a folder that runs may have been trained on, whoever its speakers are.

    All tracks where there are not both parts, for then nobody trained on it.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: there are no tracks, or their manifest is damaged.
    """
    parts = {track.split for track in tracks_of(folder)}
    return choose_tracks(folder, "test" if parts >= {"train", "test"} else "all")


def what_is_left(corpus: Corpus) -> str:
    """For errors where too little is left: the longest piece, and what was cleaned away."""
    cleaned = cleaned_text(corpus)
    longest = f"the longest piece without gap or cut has {corpus.longest} ticks"
    return longest + (f"; cleaned: {cleaned}" if cleaned else "")


def cleaned_text(corpus: Corpus) -> str:
    """What was cleaned away or mended, with the first file of each cause; empty where nothing was."""
    told = []
    for cause, amount in corpus.counts.items():
        where = f" (first in {corpus.first[cause]})" if cause in corpus.first else ""
        told.append(f"{amount} {_CAUSES.get(cause, cause)}{where}")
    return ", ".join(told)
