"""The landmark tracks of one video: every face in it, on a clock of 25 Hz, cut where the scene is cut.

Temporal filters of the live perception are off: what training reads is what was measured in each picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.sound_files import cut_sound, read_sound
from hmgen_ros.data.track_files import TrackFile, TrackFlag
from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.perception.backends import LandmarkBackend
from hmgen_ros.perception.faces import FaceFinder
from hmgen_ros.perception.tracking import Tracker
from hmgen_ros.streams.decode import Picture, pictures
from hmgen_ros.streams.source import MediaError
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import TICK_NS, Counts

#: Two pictures are of different scenes where grey values differ by so much on average (of 255), and by so
#: many times more than pictures shortly before did.
_CUT_DIFFERENCE, _CUT_RATIO, _CUT_MEMORY = 22.0, 4.0, 12
#: Landmarks are interpolated over holes up to so long; a track ends where the face is away for longer.
_BRIDGED_NS, _AWAY_NS = 3 * TICK_NS, 25 * TICK_NS
_LOW_SCORE, _SMALL_PX, _BLURRED = 0.9, 48.0, 12.0
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClipTrack:
    """One face of a clip.

    Attributes:
        start_ns: time of its first tick in the file.
        track: landmarks, flags, and the sound's coefficients.
        sound: ``[S]`` float32 mono 16 kHz of these ticks; None where the file has no sound.
    """

    start_ns: int
    track: TrackFile
    sound: NDArray[np.float32] | None


@dataclass(slots=True)
class _Seen:
    """What was measured of one face, a row a picture."""

    times: list[int] = field(default_factory=list)
    points: list[NDArray[np.float32]] = field(default_factory=list)
    presence: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)


class SceneCuts:
    """Tells cuts by how much pictures change at once."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._recent: list[float] = []

    def __call__(self, image: NDArray[np.uint8]) -> bool:
        """Whether a ``[H, W, 3]`` BGR picture begins another scene than the one before."""
        small = cv2.resize(image, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32).mean(axis=2)
        last, self._last = self._last, small
        if last is None:
            return False
        change = float(np.abs(small - last).mean())
        usual = float(np.median(self._recent)) if self._recent else 0.0
        cut = change > max(_CUT_DIFFERENCE, _CUT_RATIO * usual)
        self._recent = [] if cut else [*self._recent[1 - _CUT_MEMORY :], change]
        return cut


def tracks_in(
    path: Path, backend: LandmarkBackend, shortest: int, faces: int, counts: Counts
) -> list[ClipTrack]:
    """Every face of a video that is there for long enough, the longest first.

    Args:
        path: the video; 25 Hz or any other rate, which is interpolated by the pictures' times.
        backend: detector and landmarks.
        shortest: valid ticks that a track has at least; shorter ones are counted as ``track_too_short``.
        faces: at once, at most.
        counts: takes up what was lost or dropped.

    Raises:
        hmgen_ros.streams.source.MediaError: the file cannot be decoded, or has no picture.
    """
    seen, size = _watch(path, backend, faces, counts)
    heard = None
    found = []
    for one in seen:
        start, track = _on_the_clock(one, size)
        if int(track.valid.sum()) < shortest:
            counts.add("track_too_short")
            continue
        heard = read_sound(path, counts) if heard is None else heard
        sound = cut_sound(heard, start, len(track.valid)) if len(heard[1]) else None
        if sound is not None:
            track = replace(track, mfcc=features_of(sound, "mfcc"))
        found.append(ClipTrack(start, track, sound))
    return sorted(found, key=lambda one: (-int(one.track.valid.sum()), one.start_ns))


def _watch(
    path: Path, backend: LandmarkBackend, faces: int, counts: Counts
) -> tuple[list[_Seen], tuple[int, int]]:
    """Everything that was measured, by face and scene, and the size of the pictures."""
    finder = FaceFinder(backend, 5, 0.5, faces, False, StageTimes(), counts)
    tracker = Tracker(min_hits=3, max_missed=25, max_people=faces, seed=0, counts=counts)
    cut, scene, size, last_ns = SceneCuts(), 0, (0, 0), 0
    people: dict[tuple[int, str], _Seen] = {}
    regions: dict[str, NDArray[np.float32]] = {}
    confirmed: set[tuple[int, str]] = set()
    finder.reset()
    for picture in pictures(path, counts):
        if cut(picture.image):
            counts.add("scene_cut")
            scene += 1
            finder.reset()
            tracker.reset()
            regions.clear()
        size = (picture.image.shape[1], picture.image.shape[0])
        elapsed = max(1, round((picture.time_ns - last_ns) / TICK_NS)) if last_ns else 1
        last_ns = picture.time_ns
        rois = [regions[t.person_id] for t in tracker.tracks if t.person_id in regions]
        missing = any(t.missed for t in tracker.tracks)
        found = finder.find(picture.image, np.array(rois, np.float32).reshape(-1, 4), missing)
        regions.clear()
        for track in tracker.update(found.boxes, elapsed):
            if track.face is None:
                continue
            regions[track.person_id] = found.rois[track.face]
            key = (scene, track.person_id)
            _note(
                people.setdefault(key, _Seen()), picture, found.points[track.face], found.presence[track.face]
            )
            if track.confirmed:
                confirmed.add(key)
    if not size[0]:
        raise MediaError(f"{path}: no picture in it can be decoded; is the file damaged?")
    whole = [one for key, seen in people.items() if key in confirmed for one in _split(seen)]
    return whole, size


def _note(seen: _Seen, picture: Picture, points: NDArray[np.float32], presence: float) -> None:
    seen.times.append(picture.time_ns)
    seen.points.append(points)
    seen.presence.append(float(presence))
    seen.sharpness.append(_sharpness(picture.image, points))


def _sharpness(image: NDArray[np.uint8], points: NDArray[np.float32]) -> float:
    """Variance of the Laplacian of the face at a fixed size; small where it is blurred."""
    low, high = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int)
    face = image[max(0, low[1]) : max(0, high[1]), max(0, low[0]) : max(0, high[0])]
    if min(face.shape[:2]) < 8:
        return 0.0
    grey = cv2.cvtColor(cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _split(seen: _Seen) -> list[_Seen]:
    """Parts between which the face was away for long."""
    times = np.array(seen.times)
    ends = [*(np.flatnonzero(np.diff(times) > _AWAY_NS) + 1).tolist(), len(times)]
    parts, start = [], 0
    for end in ends:
        part = slice(start, end)
        parts.append(_Seen(seen.times[part], seen.points[part], seen.presence[part], seen.sharpness[part]))
        start = end
    return parts


def _on_the_clock(seen: _Seen, size: tuple[int, int]) -> tuple[int, TrackFile]:
    """The track on a clock of 25 Hz that begins with the first picture of the face."""
    times = np.array(seen.times, np.int64)
    count = int((times[-1] - times[0] + TICK_NS // 2) // TICK_NS) + 1
    clock = times[0] + TICK_NS * np.arange(count)
    after = np.searchsorted(times, clock - TICK_NS // 8).clip(0, len(times) - 1)
    before = np.where(times[after] - clock <= TICK_NS // 8, after, after - 1).clip(0)
    span = times[after] - times[before]
    part = np.divide(clock - times[before], span, out=np.zeros(count), where=span > 0).clip(0.0, 1.0)
    points = np.stack(seen.points)
    landmarks = points[before] + part[:, None, None] * (points[after] - points[before])
    score = np.minimum(np.array(seen.presence)[before], np.array(seen.presence)[after])
    valid = (span <= _BRIDGED_NS) & (
        np.abs(times[np.where(part < 0.5, before, after)] - clock) <= _BRIDGED_NS
    )
    sharp = np.array(seen.sharpness)[np.where(part < 0.5, before, after)]
    flags = _flags(landmarks, score, sharp, size) | np.where(
        (part > 0.0) & (part < 1.0), np.uint8(TrackFlag.INTERPOLATED), np.uint8(0)
    )
    track = TrackFile(
        landmarks.astype(np.float32),
        valid,
        size,
        score=score.astype(np.float32),
        flags=flags.astype(np.uint8),
    )
    return int(times[0]), track


def _flags(
    landmarks: NDArray[np.float64],
    score: NDArray[np.float64],
    sharp: NDArray[np.float64],
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    low, high = landmarks.min(axis=1), landmarks.max(axis=1)
    outside = (low < 1.0).any(axis=1) | (high > np.array(size) - 2.0).any(axis=1)
    wrong = {
        TrackFlag.LOW_SCORE: score < _LOW_SCORE,
        TrackFlag.BLURRED: sharp < _BLURRED,
        TrackFlag.SMALL: (high - low).max(axis=1) < _SMALL_PX,
        TrackFlag.AT_BORDER: outside,
    }
    flags = np.zeros(len(landmarks), np.uint8)
    for flag, where in wrong.items():
        flags[where] |= np.uint8(flag)
    return flags
