"""Landmark tracks of single speakers: folders of them, who is in which part, and what is cleaned away.

Reads the format that ``hmgen extract`` writes: ``tracks_manifest.csv`` and ``<group>_tracks/<stem>.npz``
(see :mod:`hmgen_ros.data.track_files`), the sound beside them. A folder without a manifest is read as well:
every ``.npz`` in it or below it, each its own speaker. Who is in a ``<group>_tracks`` folder alone is told by
the manifest beside that folder, where there is one.

Real tracks have single frames in which the landmarks jump away and back, and cuts after which another
picture begins. :func:`segments` mends the former and cuts at the latter. Decisions, each made once and here:

* a frame that lies further than ``SPIKE`` from where its neighbours put it, while these agree with each
  other, is replaced by their mean;
* a track is cut where the face is invalid, and where the centroid moves further than ``CUT`` or a landmark
  further than ``LEAP`` within one tick;
* what is left is smoothed with weights 1, 2, 1, which halves what moves at 6 Hz and keeps what a head does:
  faster movements are mostly the tracker's trembling.

Distances are measured in the track's median face size (see :mod:`hmgen_ros.generators.head_frame`).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.track_files import read_track_file
from hmgen_ros.types import Counts

SPLITS = ("train", "validation", "test")
MANIFEST = "tracks_manifest.csv"
#: Pieces of fewer ticks are left out: 40 to go on for and the pose before must fit in, in more than one way.
SHORTEST = 42
#: Face sizes; see the module's text.
SPIKE, CUT, LEAP = 0.25, 0.3, 1.2
#: Parts of the tracks in ``../shared/data``: speakers that no model was trained on are the test part.
#: There are few speakers, so the parts of the two long ones are recordings, which says nothing about
#: other people; results name the two kinds apart.
TEST_SPEAKERS = frozenset({"grid_v2s", "grid_ln_lwbsza", "grid_ansh_video_20251208_015857_cac80689"})
VALIDATION_SPEAKERS = frozenset({"grid_s26", "grid_ln_swiz3n"})
TRAINING_SPEAKERS = frozenset({"grid_s1", "obama"})
_RECORDINGS = {"obama_09": "validation", "obama_10": "test", "obama_11": "test"}
#: Every so many of the training speakers' short clips is held out for validation.
_ONE_OF = 10


@dataclass(frozen=True, slots=True)
class Track:
    """One landmark track.

    Attributes:
        name: ``<group>/<stem>``.
        speaker: who it is.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        path: the ``.npz``.
        sound: the sound beside it, None where there is none.
    """

    name: str
    speaker: str
    split: str
    path: Path
    sound: Path | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a track without gap or cut.

    Attributes:
        track: where it comes from.
        start: its first tick in the track.
        landmarks: ``[T, 68, 2]`` float32 pixels, mended and smoothed.
    """

    track: Track
    start: int
    landmarks: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was read of a folder.

    Attributes:
        segments: pieces of tracks.
        counts: what was mended, cut and left out, in ticks unless the name says otherwise.
        longest: ticks of the longest piece without gap or cut, be it left out as too short or not.
        first: the first file with each cause in ``counts``, where one is known.
    """

    segments: list[Segment]
    counts: Counts = field(default_factory=Counts)
    longest: int = 0
    first: Mapping[str, Path] = field(default_factory=dict)

    @property
    def ticks(self) -> int:
        """All together."""
        return sum(len(segment.landmarks) for segment in self.segments)

    @property
    def speakers(self) -> list[str]:
        """Who is in it."""
        return sorted({segment.track.speaker for segment in self.segments})


def tracks_of(folder: Path) -> list[Track]:
    """The tracks of a folder, in the manifest's order or by name.

    Raises:
        CorpusError: there are none, or the manifest is damaged; names file, line and column.
    """
    manifest = folder / MANIFEST
    if manifest.is_file():
        return _listed(manifest)
    beside = folder.absolute().parent / MANIFEST
    if folder.name.endswith("_tracks") and beside.is_file():
        # Or speakers that models were trained on would pass for strangers.
        listed = [track for track in _listed(beside) if track.path.parent == folder.absolute()]
        if listed:
            return listed
    paths = sorted(folder.rglob("*.npz")) if folder.is_dir() else []
    if not paths:
        raise CorpusError(f"no tracks in {folder}: it holds neither {MANIFEST} nor any .npz")
    found = []
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        found.append(Track(name, name, split_of(path.stem, name), path, _sound(path)))
    return found


def split_of(stem: str, speaker: str) -> str:
    """Which part a recording belongs to.

    All recordings of an unknown speaker are in one part, drawn by the speaker's name: 80 % of speakers are
    for training, 10 % for validation, 10 % for test.
    """
    if stem in _RECORDINGS:
        return _RECORDINGS[stem]
    if speaker in TEST_SPEAKERS:
        return "test"
    if speaker in VALIDATION_SPEAKERS:
        return "validation"
    if speaker in TRAINING_SPEAKERS:
        return "validation" if speaker != "obama" and _drawn(stem) % _ONE_OF == 0 else "train"
    return ("test", "validation")[drawn] if (drawn := _drawn(speaker) % 10) < 2 else "train"


def segments(tracks: Iterable[Track], shortest: int = SHORTEST) -> Corpus:
    """Read, mend, cut and smooth.

    Args:
        tracks: from :func:`tracks_of`.
        shortest: pieces of fewer ticks are left out, and counted.

    Raises:
        CorpusError: a file is missing or damaged.
    """
    found, counts, longest = [], Counts(), 0
    first: dict[str, Path] = {}
    for track in tracks:
        file = read_track_file(track.path)
        for start, piece in clean(file.landmarks, file.valid, counts):
            longest = max(longest, len(piece))
            if len(piece) < shortest:
                counts.add("too_short", len(piece))
            else:
                found.append(Segment(track, start, piece))
        for cause, _ in counts.items():
            first.setdefault(cause, track.path)
    return Corpus(found, counts, longest, first)


def clean(
    landmarks: NDArray[np.float32], valid: NDArray[np.bool_], counts: Counts
) -> list[tuple[int, NDArray[np.float32]]]:
    """The sound pieces of one track; see the module's text.

    Args:
        landmarks: ``[T, 68, 2]`` pixels.
        valid: ``[T]``.
        counts: takes up what was done.

    Returns:
        First tick and ``[T', 68, 2]`` of each piece.
    """
    sound = valid & np.isfinite(landmarks).all(axis=(1, 2))
    counts.add("invalid", int(len(sound) - sound.sum()))
    if not sound.any():
        return []
    points = np.where(sound[:, None, None], landmarks, 0.0).astype(np.float64)
    about = points - points.mean(axis=1, keepdims=True)
    size = float(np.median(np.sqrt((about[sound] ** 2).sum(axis=-1).mean(axis=-1))))
    if not size > 0.0:
        counts.add("collapsed", len(sound))
        return []
    _mend(points, sound, size, counts)
    steps = np.diff(points, axis=0) / size
    leaps = np.linalg.norm(steps, axis=-1).max(axis=-1) > LEAP
    leaps |= np.linalg.norm(steps.mean(axis=1), axis=-1) > CUT
    leaps &= sound[1:] & sound[:-1]
    counts.add("cuts", int(leaps.sum()))
    number = np.cumsum(np.concatenate([[True], leaps | (sound[1:] != sound[:-1])]))
    starts = np.flatnonzero(np.diff(np.concatenate([[0], number])))
    ends = np.concatenate([starts[1:], [len(sound)]])
    return [
        (int(start), _smoothed(points[start:end]))
        for start, end in zip(starts, ends, strict=True)
        if sound[start]
    ]


def _mend(points: NDArray[np.float64], sound: NDArray[np.bool_], size: float, counts: Counts) -> None:
    """Replace single frames that jump away and back, in place."""
    if len(points) < 3:
        return
    between = (points[:-2] + points[2:]) / 2
    away = np.linalg.norm(points[1:-1] - between, axis=-1).max(axis=-1) / size
    apart = np.linalg.norm(points[2:] - points[:-2], axis=-1).max(axis=-1) / size
    spikes = (away > SPIKE) & (apart < SPIKE) & sound[:-2] & sound[1:-1] & sound[2:]
    points[1:-1][spikes] = between[spikes]
    counts.add("mended", int(spikes.sum()))


def _smoothed(points: NDArray[np.float64]) -> NDArray[np.float32]:
    padded = np.concatenate([points[:1], points, points[-1:]])
    smooth: NDArray[np.float32] = ((padded[:-2] + 2.0 * padded[1:-1] + padded[2:]) / 4.0).astype(np.float32)
    return smooth


def _listed(manifest: Path) -> list[Track]:
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        missing = {"group", "stem", "speaker"} - set(rows.fieldnames or ())
        if missing:
            raise CorpusError(f"{manifest} lacks the column {', '.join(sorted(missing))}")
        found = []
        for line, row in enumerate(rows, start=2):
            if not row["group"] or not row["stem"] or not row["speaker"]:
                raise CorpusError(f"{manifest}, line {line}: group, stem and speaker must not be empty")
            path = manifest.parent / f"{row['group']}_tracks" / f"{row['stem']}.npz"
            split = split_of(row["stem"], row["speaker"])
            name = f"{row['group']}/{row['stem']}"
            found.append(Track(name, row["speaker"], split, path, _sound(path)))
    if not found:
        raise CorpusError(f"{manifest} lists no track")
    return found


def _sound(path: Path) -> Path | None:
    sound = path.with_suffix(".flac")
    return sound if sound.is_file() else None


def _drawn(name: str) -> int:
    """A number by name, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
