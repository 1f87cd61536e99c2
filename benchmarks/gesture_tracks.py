"""Real faces with labelled nods, shakes and tilts laid over them, and movements that are none.

No open recordings with hand-labelled head gestures are at hand, so the gestures here are synthetic turns of
real people's tracked landmarks: what the tracker, the speech and the posture of real people add is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.ami import data_directory
from hmgen_ros.data.track_files import read_track_file
from hmgen_ros.data.tracks import clean, tracks_of
from hmgen_ros.perception.gesture_network import KINDS
from hmgen_ros.perception.head_pose import HEAD_MODEL, RIGID_POINTS, default_camera_matrix, solve_head_pose
from hmgen_ros.types import TICK_HZ, Counts, HeadPose

Floats = NDArray[np.float64]

#: The axis that each gesture turns about: yaw, pitch, roll.
AXIS = {"nod": 1, "shake": 0, "tilt": 2}
#: Ticks of one sequence.
TICKS = 300
#: Angle between turning points, degrees, and pace, Hz.
SWING, PACE = (4.0, 25.0), (1.5, 5.0)
#: Seconds that a gesture lasts.
_LEAST_S, _MOST_S = 0.35, 3.0
#: The joint about which a head turns: below and behind the eyes, outer eye corners' distances.
NECK = np.array([0.0, 1.2, 0.9])
#: The axes of yaw, pitch and roll in the head model: a positive angle turns about them by the right hand.
_AXES = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
#: Pictures are called noisy in pixels of a face with eyes so far apart.
_USUAL_EYES = 65.0


@dataclass(frozen=True)
class Base:
    """A real head.

    Attributes:
        name: of its track.
        speaker: who it is.
        points: ``[T, 11, 2]`` pixels of ``RIGID_POINTS``.
        size: width and height of the picture.
    """

    name: str
    speaker: str
    points: Floats
    size: tuple[int, int]

    @cached_property
    def solid(self) -> tuple[Floats, Floats, Floats]:
        """``[T, 11, 3]`` points before the camera, ``[T, 3, 3]`` rotations, ``[T, 1, 3]`` places of the neck.

        Every point is put at the depth that the head model has there: what the tracker saw besides is kept.
        """
        camera = default_camera_matrix(self.size)
        solved = [
            cv2.solvePnP(HEAD_MODEL, p, camera, None, flags=cv2.SOLVEPNP_SQPNP)[1:] for p in self.points
        ]
        rotation = np.array([cv2.Rodrigues(vector)[0] for vector, _ in solved])
        place = np.array([np.asarray(t).ravel() for _, t in solved])[:, None]
        depth = (HEAD_MODEL @ rotation.transpose(0, 2, 1) + place)[..., 2:]
        rays = np.concatenate([self.points, np.ones_like(depth)], axis=-1) @ np.linalg.inv(camera).T
        return depth * rays, rotation, (rotation @ NECK)[:, None] + place

    def turned(self, angles: Floats) -> Floats:
        """``[T, 11, 2]`` pixels of the head turned further about its neck, in its own axes.

        Args:
            angles: ``[T, 3]`` degrees of yaw, pitch and roll.
        """
        points, rotation, neck = self.solid
        axes = np.einsum("tij,tj->ti", rotation, np.radians(angles) @ _AXES)
        more = np.array([cv2.Rodrigues(axis)[0] for axis in axes])
        moved = ((points - neck) @ more.transpose(0, 2, 1) + neck) @ default_camera_matrix(self.size).T
        return np.asarray(moved[..., :2] / moved[..., 2:])


@dataclass(frozen=True, slots=True)
class GestureTrack:
    """What a gesture detector sees, and what is true.

    Attributes:
        base: whose head.
        poses: of the ticks that have a picture, None where no pose could be solved.
        ticks: ``[n]`` of those pictures.
        truth: ``[T]`` codes: 0 none, else 1 + index of ``KINDS``.
        swing: ``[T]`` degrees of the gesture's widest swing, 0 where there is none.
    """

    base: Base
    poses: list[HeadPose | None]
    ticks: NDArray[np.int64]
    truth: NDArray[np.int64]
    swing: Floats


def read_bases(split: str, data: Path | None = None, most: int = 200) -> list[Base]:
    """Heads of one part of the tracks (``hmgen_ros.data.tracks``), each ``TICKS`` long.

    GRID's clips of 3 s are played to and fro. At most ``most`` of one speaker, evenly chosen.
    """
    found: dict[str, list[Base]] = {}
    for track in tracks_of(data_directory(data)):
        if track.split != split:
            continue
        file = read_track_file(track.path)
        points = file.landmarks.astype(np.float64)[:, RIGID_POINTS]
        whole = len(points) <= 3 * TICK_HZ
        pieces = [(0, points)] if whole and file.valid.all() else []
        if not whole:  # landmarks of another tracker, with jumps
            cleaned = clean(file.landmarks, file.valid, Counts())
            pieces = [(a, p[:, RIGID_POINTS].astype(np.float64)) for a, p in cleaned]
        own = found.setdefault(track.speaker, [])
        for start, piece in pieces:
            for i in range(max(1, len(piece) // TICKS)):
                part = piece[i * TICKS : (i + 1) * TICKS]
                if len(part) >= TICKS // 4:
                    name = f"{track.name}@{start + i * TICKS}"
                    own.append(Base(name, track.speaker, part[to_and_fro(len(part))], file.image_size))
    return [b for own in found.values() for b in own[:: max(1, -(-len(own) // most))]]


def to_and_fro(length: int) -> NDArray[np.int64]:
    """``[TICKS]`` indices that run up and down ``length``."""
    return np.asarray(length - 1 - np.abs(length - 1 - np.arange(TICKS) % (2 * length - 2)))


def gesture(kind: str, swing: float, rng: np.random.Generator) -> Floats:
    """``[n]`` degrees of a gesture that begins and ends at rest, its widest swing ``swing`` wide."""
    pace = np.exp(rng.uniform(*np.log(PACE)))
    one_sided = rng.random() < {"nod": 0.6, "shake": 0.0, "tilt": 0.4}[kind]
    cycles = int(rng.integers(1, 5)) + (0.5 if not one_sided and rng.random() < 0.4 else 0.0)
    cycles = max(cycles, np.ceil(_LEAST_S * pace), 1.5 if kind == "shake" else 1.0)
    cycles = min(cycles, max(1.5, np.floor(_MOST_S * pace)))
    ticks = round(cycles / pace * TICK_HZ)
    share = np.arange(ticks + 1) / ticks
    warped = share + rng.uniform(-0.15, 0.15) * share * (1 - share)  # slower or faster towards its end
    phase = 2 * np.pi * cycles * warped
    wave = (1 - np.cos(phase)) / 2 if one_sided else np.sin(phase)
    wave *= rng.uniform(0.3, 1.0) ** share  # decay
    rise, fall = rng.uniform(0.02, 0.5, 2) / cycles
    wave *= np.minimum(1, share / rise) * np.minimum(1, (1 - share) / fall)
    sign = -1 if rng.random() < (0.2 if kind == "nod" else 0.5) else 1
    return np.asarray(sign * wave * swing / np.ptp(wave))


def _smooth(ticks: int) -> Floats:
    """``[ticks]`` from 0 to 1 with rest at both ends."""
    return (1 - np.cos(np.pi * np.linspace(0, 1, max(2, ticks)))) / 2


def _there_and_back(degrees: float, axis: int, hold: tuple[float, float], rng: np.random.Generator) -> Floats:
    there, held, back = rng.uniform(0.2, 0.6), rng.uniform(*hold), rng.uniform(0.2, 0.6)
    path = [_smooth(round(there * TICK_HZ)), np.ones(round(held * TICK_HZ))]
    angles = np.concatenate([*path, _smooth(round(back * TICK_HZ))[::-1]])
    return np.outer(degrees * angles, np.eye(3)[axis])


def _glance(rng: np.random.Generator) -> Floats:
    turned = _there_and_back(rng.choice([-1, 1]) * rng.uniform(12, 40), 0, (0.3, 1.5), rng)
    return np.asarray(turned + turned[:, [1, 0, 2]] * rng.uniform(-0.3, 0.3))


def _look_down(rng: np.random.Generator) -> Floats:
    return _there_and_back(rng.choice([-1, 1, 1]) * rng.uniform(10, 30), 1, (0.5, 2.0), rng)


def _posture(rng: np.random.Generator) -> Floats:
    step = _smooth(round(rng.uniform(0.4, 1.2) * TICK_HZ))
    return np.outer(step, rng.normal(0, 5, 3))


def _beats(rng: np.random.Generator) -> Floats:
    """What stressed syllables do to a head: small dips of no regular pace."""
    angles = np.zeros((round(rng.uniform(0.8, 2.5) * TICK_HZ), 3))
    for at in np.cumsum(rng.uniform(0.25, 0.8, 8) * TICK_HZ).astype(int):
        bump = np.hanning(int(rng.integers(5, 12)))[:, None] * rng.normal(0, 1, 3) * [0.6, 1.2, 0.5]
        room = angles[at : at + len(bump)]
        room += bump[: len(room)]
    return angles


#: Movements that are no gestures.
OTHERS: tuple[Callable[[np.random.Generator], Floats], ...] = (_glance, _look_down, _posture, _beats)


def _gesture_move(kind: str, swing: float, rng: np.random.Generator) -> Floats:
    """``[n, 3]`` degrees; the other axes go along a little."""
    along = np.where(np.arange(3) == AXIS[kind], 1.0, rng.normal(0, 0.12, 3))
    return np.outer(gesture(kind, swing, rng), along)


def _movements(rng: np.random.Generator, kinds: Sequence[str]) -> tuple[Floats, NDArray[np.int64], Floats]:
    """``[TICKS, 3]`` degrees, truth and swings; half of the movements are gestures."""
    angles, truth, swings = np.zeros((TICKS, 3)), np.zeros(TICKS, np.int64), np.zeros(TICKS)
    at = int(rng.integers(15, 50))
    while at < TICKS - 20:
        kind, swing = str(rng.choice(kinds)), float(np.exp(rng.uniform(*np.log(SWING))))
        is_gesture = rng.random() < 0.5
        move = _gesture_move(kind, swing, rng) if is_gesture else OTHERS[rng.integers(len(OTHERS))](rng)
        if at + len(move) > TICKS:
            break
        truth[at : at + len(move)] = is_gesture * (1 + KINDS.index(kind))
        swings[at : at + len(move)] = is_gesture * swing
        angles[at : at + len(move)] += move
        angles[at + len(move) :] += move[-1]  # nothing but a changed posture stays
        at += len(move) + int(rng.integers(12, 50))
    if rng.random() < 0.5:
        drift = rng.uniform(0.05, 0.3, 3) * np.arange(TICKS)[:, None] / TICK_HZ + rng.random(3)
        angles += rng.uniform(1, 6, 3) * np.sin(2 * np.pi * drift)
    return angles, truth, swings


def _pictures(rng: np.random.Generator) -> NDArray[np.int64]:
    """Ticks that have a picture: all, those of a slow camera, or all but some lost ones."""
    kind = rng.choice(["all", "slow", "lossy"], p=[0.6, 0.2, 0.2])
    if kind == "slow":
        times = np.arange(0, TICKS - 1, TICK_HZ / rng.choice([12.5, 15, 20]))
        return np.unique(times.round().astype(np.int64))
    kept = rng.random(TICKS) >= (rng.uniform(0.03, 0.2) if kind == "lossy" else 0.0)
    return np.flatnonzero(kept | (np.arange(TICKS) == 0))


def compose(base: Base, seed: int, kinds: Sequence[str] = KINDS) -> GestureTrack:
    """One sequence with gestures of these kinds; the same base and seed give the same."""
    rng = np.random.default_rng(seed)
    angles, truth, swings = _movements(rng, kinds)
    points = base.turned(angles)
    eyes = float(np.linalg.norm(base.points[:, 7] - base.points[:, 10], axis=-1).mean())
    pixel = eyes / _USUAL_EYES
    points = points + rng.normal(0, rng.uniform(0, 0.5) * pixel, points.shape)
    if rng.random() < 0.3:  # a camera that trembles
        shake = np.cumsum(rng.normal(0, 1, (TICKS, 1, 2)), axis=0)
        smooth = np.apply_along_axis(lambda x: x - np.convolve(x, np.ones(9) / 9, "same"), 0, shake)
        points = points + smooth * rng.uniform(0.3, 1.5) * pixel
    ticks = _pictures(rng)
    return GestureTrack(base, [pose_of(points[t], base.size) for t in ticks], ticks, truth, swings)


def pose_of(points: Floats, size: tuple[int, int]) -> HeadPose | None:
    """Perception's pose of the eleven points that it is solved from."""
    landmarks = np.zeros((68, 2), np.float32)
    landmarks[list(RIGID_POINTS)] = points
    return solve_head_pose(landmarks, size)


def compose_all(
    bases: Sequence[Base], count: int, seed: int, kinds: Sequence[str] = KINDS
) -> list[GestureTrack]:
    """``count`` sequences, speakers in turn."""
    speakers = sorted({b.speaker for b in bases})
    own = {s: [b for b in bases if b.speaker == s] for s in speakers}
    rng = np.random.default_rng(seed)
    chosen = [own[speakers[i % len(speakers)]] for i in range(count)]
    return [
        compose(some[rng.integers(len(some))], seed * 100_003 + i, kinds) for i, some in enumerate(chosen)
    ]
