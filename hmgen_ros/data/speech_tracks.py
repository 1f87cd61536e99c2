"""Pieces of landmark tracks with the sound that goes with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from hmgen_ros.data.ami import data_directory
from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.sound_files import cut_sound, read_sound
from hmgen_ros.data.track_parts import check_pieces, tracks_in_part
from hmgen_ros.data.tracks import SHORTEST, Corpus, Segment, Track, segments
from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.streams.source import MediaError
from hmgen_ros.types import TICK_NS, Counts
from hmgen_ros.types.sound import SOUND_RATE

#: A track whose sound ends earlier than its pictures lacks so many ticks at most.
_SHORT = 5


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """A piece of a track without gap or cut, and its sound.

    Attributes:
        segment: the piece.
        sound: ``[T 640]`` float32, 16 kHz, full scale at 1.
    """

    segment: Segment
    sound: NDArray[np.float32]


def speech_part(data: Path | None, split: str) -> tuple[list[SpeechSegment], Corpus]:
    """The pieces of tracks of one part that have sound.

    Args:
        data: folder of the corpora, see :func:`hmgen_ros.data.ami.data_directory`.
        split: "train", "validation" or "test".

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged, or nothing in this part can
            be used; says why.
    """
    folder = data_directory(data)
    tracks = tracks_in_part(folder, split)
    found, corpus = speech_segments(tracks)
    check_pieces(tracks, corpus, folder, split)
    return found, corpus


def speech_segments(tracks: Iterable[Track], shortest: int = SHORTEST) -> tuple[list[SpeechSegment], Corpus]:
    """Read the tracks that have sound; others are left out, and counted.

    Args:
        tracks: from :func:`hmgen_ros.data.tracks.tracks_of`.
        shortest: pieces of fewer ticks are left out, and counted.

    Returns:
        The pieces with their sound, and the corpus of these pieces with what was counted.

    Raises:
        CorpusError: a file is missing or damaged.
    """
    tracks = list(tracks)
    corpus = segments([track for track in tracks if track.sound is not None], shortest)
    corpus.counts.add("without_sound", sum(track.sound is None for track in tracks))
    heard: dict[Path, tuple[int, NDArray[np.float32]]] = {}
    found = []
    for piece in corpus.segments:
        path = piece.track.sound
        assert path is not None
        if path not in heard:
            heard = {path: _read(path, corpus.counts)}  # pieces of a track follow each other
        ticks = len(piece.landmarks)
        ends = heard[path][0] + len(heard[path][1]) * NS_PER_S // SOUND_RATE
        if ends < (piece.start + ticks - _SHORT) * TICK_NS:
            corpus.counts.add("sound_too_short", ticks)
        else:
            found.append(SpeechSegment(piece, cut_sound(heard[path], piece.start * TICK_NS, ticks)))
    return found, replace(corpus, segments=[speech.segment for speech in found])


def at_speed(speech: SpeechSegment, speed: float) -> SpeechSegment:
    """The same piece spoken faster or slower: with the tempo, pitch and formants change, to another voice's.

    Args:
        speech: a piece.
        speed: above 1 is faster, higher and shorter; in [0.5, 2].

    Raises:
        ValueError: the speed is out of its range.
    """
    if not 0.5 <= speed <= 2.0:
        raise ValueError(f"speed must lie in [0.5, 2], got {speed}")
    if speed == 1.0:
        return speech
    before = speech.segment.landmarks
    ticks = int((len(before) - 1) / speed) + 1
    # Both at the same moments of the slower or faster time.
    poses = _interpolated(before.reshape(len(before), -1), speed * np.arange(ticks, dtype=np.float64))
    ratio = Fraction(speed).limit_denominator(50)
    sound = resample_poly(speech.sound, ratio.denominator, ratio.numerator).astype(np.float32)
    wanted = ticks * TICK_NS * SOUND_RATE // NS_PER_S
    sound = np.pad(sound[:wanted], (0, max(0, wanted - len(sound))))
    segment = replace(speech.segment, landmarks=poses.reshape(ticks, *before.shape[1:]))
    return SpeechSegment(segment, sound)


def _interpolated(rows: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    low = np.minimum(places.astype(np.int64), len(rows) - 2)
    part = (places - low)[:, None].astype(np.float32)
    found: NDArray[np.float32] = (1.0 - part) * rows[low] + part * rows[low + 1]
    return found


def _read(path: Path, counts: Counts) -> tuple[int, NDArray[np.float32]]:
    try:
        return read_sound(path, counts)
    except MediaError as error:
        raise CorpusError(f"cannot read the sound of a track: {error}") from error
