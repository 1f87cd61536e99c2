"""What people do in a scene besides speaking: who goes where, nods, shakes, and is hidden by what.

Pure functions of a random generator. Times are in frames of the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scene_clips import FPS

Array = NDArray[np.float64]

#: Nods and shakes: cycles, cycles a second, and degrees from end to end.
NOD_CYCLES, NOD_HZ, NOD_DEG = (1, 3), (1.5, 3.0), (6.0, 16.0)
SHAKE_CYCLES, SHAKE_HZ, SHAKE_DEG = (2, 4), (1.5, 2.5), (12.0, 28.0)
#: Each swing is this much smaller than the one before.
DECAY = 0.85
#: Looking aside or down, which is no gesture: degrees, and seconds of turning and of staying.
LOOK_DEG, LOOK_TURN_S, LOOK_STAY_S = (8.0, 18.0), (0.7, 1.5), (0.6, 2.0)
#: Seconds between what one person does.
GESTURE_PAUSE_S = (1.2, 3.5)


@dataclass(frozen=True)
class Gesture:
    """A motion of the head.

    Attributes:
        kind: ``nod``, ``shake`` or ``look``, which is no gesture.
        start: first frame.
        pitch, yaw: degrees at each frame from ``start`` on; level at both ends.
    """

    kind: str
    start: int
    pitch: tuple[float, ...]
    yaw: tuple[float, ...]

    @property
    def stop(self) -> int:
        """The frame after the last."""
        return self.start + len(self.pitch)


@dataclass(frozen=True)
class Patch:
    """Something held before a face.

    Attributes:
        person: whose face.
        kind: ``hand`` or ``book``.
        start: first frame.
        places: ``[frames, 2]`` of its middle relative to the middle between the eyes, in eye distances.
    """

    person: int
    kind: str
    start: int
    places: Array


@dataclass
class Staging:
    """What happens in a scene.

    Attributes:
        shift: ``[T, P, 2]`` pixels by which people are away from their seats.
        depth: ``[T, P]``; who has the higher number is before the others.
        gestures: by person.
        patches: what hides faces.
        frozen: people and camera keep perfectly still.
    """

    shift: Array
    depth: Array
    gestures: list[list[Gesture]] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    frozen: bool = False


def stay(frames: int, people: int) -> Staging:
    """Everybody keeps their seat; those in the middle sit behind their neighbours."""
    depth = np.array([-min(i, people - 1 - i) for i in range(people)], float)
    return Staging(np.zeros((frames, people, 2)), np.tile(depth, (frames, 1)), [[] for _ in range(people)])


def glide(frames: int) -> Array:
    """0 to 1 with level ends, ``[frames]``."""
    x = np.linspace(0, 1, frames)
    return x * x * (3 - 2 * x)


def cross(frames: int, seats: Sequence[float], count: int, rng: np.random.Generator) -> Staging:
    """Neighbours change places ``count`` times, one passing before the other.

    Args:
        frames: length of the scene.
        seats: x of each seat, pixels.
        count: crossings, spread over the scene.
        rng: who, how fast, and who is in front.
    """
    staging = stay(frames, len(seats))
    where = list(range(len(seats)))  # seat to person
    x = np.tile(np.asarray(seats, float), (frames, 1))
    slot = (frames - 2 * FPS) // count
    for k in range(count):
        left = int(rng.integers(len(seats) - 1))
        a, b = where[left], where[left + 1]
        length = int(min(rng.uniform(1.2, 2.6) * FPS, slot - 5))
        start = FPS + k * slot + int(rng.integers(max(slot - length, 1)))
        path = glide(length)
        for person, begin, end in ((a, seats[left], seats[left + 1]), (b, seats[left + 1], seats[left])):
            x[start : start + length, person] = begin + (end - begin) * path
            x[start + length :, person] = end
        front = a if rng.random() < 0.5 else b
        staging.depth[start : start + length, front] = 9
        where[left], where[left + 1] = b, a
    staging.shift[..., 0] = x - np.asarray(seats, float)
    return staging


def leave(frames: int, seats: Sequence[float], width: int, count: int, rng: np.random.Generator) -> Staging:
    """People walk out of the picture and come back within 10 s, ``count`` times.

    Args:
        frames: length of the scene.
        seats: x of each seat, pixels.
        width: of the picture, pixels.
        count: departures, spread over the scene, one after the other.
        rng: who, where, and for how long.
    """
    staging = stay(frames, len(seats))
    slot = (frames - 2 * FPS) // count
    for k in range(count):
        person = int(rng.integers(len(seats)))
        leftwards = seats[person] < width / 2 if rng.random() < 0.8 else seats[person] >= width / 2
        away = -seats[person] - width / 3 if leftwards else width * 4 / 3 - seats[person]
        walk, gone = int(rng.uniform(1.2, 2.0) * FPS), int(rng.uniform(1.0, 6.0) * FPS)
        gone = max(min(gone, slot - 2 * walk - 10), 5)
        start = FPS + k * slot + int(rng.integers(max(slot - 2 * walk - gone, 1)))
        path = np.concatenate([glide(walk), np.ones(gone), glide(walk)[::-1]])[: frames - start]
        staging.shift[start : start + len(path), person, 0] = away * path
        staging.depth[start : start + len(path), person] = 9
    return staging


def hide(frames: int, people: int, count: int, rng: np.random.Generator) -> Staging:
    """Hands and books are held before faces, ``count`` times, from 0.4 to 3 s."""
    staging = stay(frames, people)
    slot = (frames - 2 * FPS) // count
    for k in range(count):
        hold, raise_ = int(rng.uniform(0.4, 3.0) * FPS), int(rng.uniform(0.25, 0.6) * FPS)
        hold = min(hold, slot - 2 * raise_ - 5)
        start = FPS + k * slot + int(rng.integers(max(slot - 2 * raise_ - hold, 1)))
        # The whole face, or the mouth alone.
        end = np.array([rng.uniform(-0.2, 0.2), 0.5 if rng.random() < 0.65 else 1.35])
        path = np.concatenate([glide(raise_), np.ones(hold), glide(raise_)[::-1]])[:, None]
        below = end + np.array([rng.uniform(-0.5, 0.5), 5.0])
        places = below + (end - below) * path
        kind = "hand" if rng.random() < 0.5 else "book"
        staging.patches.append(Patch(int(rng.integers(people)), kind, start, places))
    return staging


def gesticulate(
    frames: int, people: int, busy: Sequence[Sequence[tuple[int, int]]], rng: np.random.Generator
) -> Staging:
    """Nods, shakes, and glances aside that are no gestures, while people listen.

    Args:
        frames: length of the scene.
        people: how many.
        busy: by person, the frames ``(first, stop)`` in which they speak.
        rng: which, when, and how far.
    """
    staging = stay(frames, people)
    for person in range(people):
        at = FPS
        while True:
            at += int(rng.uniform(*GESTURE_PAUSE_S) * FPS)
            gesture = _draw_gesture(at, rng)
            if gesture.stop >= frames - FPS:
                break
            clash = [
                stop for first, stop in busy[person] if first - 8 < gesture.stop and gesture.start < stop + 8
            ]
            if clash:
                at = max(clash) + 8
                continue
            staging.gestures[person].append(gesture)
            at = gesture.stop
    return staging


def _draw_gesture(start: int, rng: np.random.Generator) -> Gesture:
    kind = str(rng.choice(["nod", "shake", "look"], p=[0.4, 0.35, 0.25]))
    if kind == "look":
        turn, hold = (int(rng.uniform(*span) * FPS) for span in (LOOK_TURN_S, LOOK_STAY_S))
        path = np.concatenate([glide(turn), np.ones(hold), glide(turn)[::-1]]) * rng.uniform(*LOOK_DEG)
        aside = rng.random() < 0.6
        return _gesture(
            kind, start, path * 0 if aside else 0.6 * path, _either(path, rng) if aside else path * 0
        )
    cycles, hz, degrees = (
        (NOD_CYCLES, NOD_HZ, NOD_DEG) if kind == "nod" else (SHAKE_CYCLES, SHAKE_HZ, SHAKE_DEG)
    )
    rate, swings = rng.uniform(*hz), int(rng.integers(cycles[0], cycles[1] + 1))
    length = max(round(swings / rate * FPS), 6)
    phase = np.arange(length + 1) / length * swings
    size = rng.uniform(*degrees) * DECAY ** np.floor(np.minimum(phase, swings - 1e-9))
    if kind == "nod":  # down and up again
        return _gesture(kind, start, size * (1 - np.cos(2 * np.pi * phase)) / 2, size * 0)
    return _gesture(kind, start, size * 0, _either(size / 2 * np.sin(2 * np.pi * phase), rng))


def _either(path: Array, rng: np.random.Generator) -> Array:
    return path if rng.random() < 0.5 else -path


def _gesture(kind: str, start: int, pitch: Array, yaw: Array) -> Gesture:
    return Gesture(kind, start, tuple(map(float, pitch)), tuple(map(float, yaw)))
