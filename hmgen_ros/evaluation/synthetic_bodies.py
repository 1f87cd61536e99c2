"""Stick people with known actions as a pose model would see them: noisy, in part hidden, now and then.

What they do is drawn from simple movements whose sizes and speeds vary. They stand in for the labelled
recordings of bodies that are not at hand; what holds for them need not hold for people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.body import NUM_JOINTS, Joint
from hmgen_ros.types import Action

Floats = NDArray[np.float64]
#: A standing person with hanging arms from the front, in shoulder widths: x to the right, y down, the
#: middle of the shoulders at the origin. Left joints are on the right side of the picture.
REST: dict[Joint, tuple[float, float]] = {
    Joint.NOSE: (0.0, -0.62),
    Joint.LEFT_EYE: (0.09, -0.72),
    Joint.RIGHT_EYE: (-0.09, -0.72),
    Joint.LEFT_EAR: (0.2, -0.68),
    Joint.RIGHT_EAR: (-0.2, -0.68),
    Joint.LEFT_SHOULDER: (0.5, 0.0),
    Joint.RIGHT_SHOULDER: (-0.5, 0.0),
    Joint.LEFT_ELBOW: (0.6, 0.9),
    Joint.RIGHT_ELBOW: (-0.6, 0.9),
    Joint.LEFT_WRIST: (0.62, 1.6),
    Joint.RIGHT_WRIST: (-0.62, 1.6),
    Joint.LEFT_HIP: (0.32, 1.45),
    Joint.RIGHT_HIP: (-0.32, 1.45),
    Joint.LEFT_KNEE: (0.32, 2.6),
    Joint.RIGHT_KNEE: (-0.32, 2.6),
    Joint.LEFT_ANKLE: (0.32, 3.7),
    Joint.RIGHT_ANKLE: (-0.32, 3.7),
}
MOUTH, HAIR = np.array([0.0, -0.54]), np.array([0.18, -1.0])
LEGS = (Joint.LEFT_KNEE, Joint.RIGHT_KNEE, Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE)


@dataclass(frozen=True)
class BodyView:
    """How a body is seen.

    Attributes:
        width_px: shoulder width, pixels.
        centre_px: where the middle of the shoulders is, pixels.
        rate_hz: looks a second.
        noise: standard deviation of every point, shoulder widths.
        missing: share of points that are not seen, each look and point apart.
        upper: only what lies above the hips is in the picture.
    """

    width_px: float = 60.0
    centre_px: tuple[float, float] = (320.0, 140.0)
    rate_hz: float = 5.0
    noise: float = 0.02
    missing: float = 0.03
    upper: bool = False


@dataclass(frozen=True, slots=True)
class BodyRecording:
    """Looks at one person.

    Attributes:
        times: ``[n]`` s.
        joints: ``[n, 17, 3]`` float32 x, y (pixels) and score.
        actions: ``[n]`` what the person does.
    """

    times: Floats
    joints: NDArray[np.float32]
    actions: NDArray[np.int64]


class StickPerson:
    """Draws movements, in shoulder widths, of one random person."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._random = generator
        self._base = np.array([REST[Joint(j)] for j in range(NUM_JOINTS)])
        self._base *= generator.uniform(0.92, 1.08, (1, 2))
        self._place, self._log_size = np.zeros(2), 0.0

    def segment(self, action: Action, times: Floats) -> tuple[Floats, Floats]:
        """``[n, 17, 2]`` points in shoulder widths and ``[n]`` logarithms of size during one action.

        Args:
            action: NONE or one of the body's actions.
            times: ``[n]`` s from its beginning.
        """
        pose = np.repeat(self._base[None], len(times), axis=0)
        moved, grown = np.zeros((len(times), 2)), np.zeros(len(times))
        movement = MOVEMENTS.get(action)
        if movement is not None:
            movement(self._random, pose, times, moved, grown)
        else:
            _idle(self._random, pose, times, moved)
        pose += (self._place + moved)[:, None]
        sizes = self._log_size + grown
        if action is Action.WALKING and len(times):
            self._place, self._log_size = self._place + moved[-1], float(sizes[-1])
        return pose, sizes


def record(
    generator: np.random.Generator, schedule: list[tuple[Action, float]], view: BodyView | None = None
) -> BodyRecording:
    """A person who does one thing after the other.

    Args:
        generator: of all that is random.
        schedule: actions and how long they last, s.
        view: how the person is seen.
    """
    view = view or BodyView()
    person = StickPerson(generator)
    total = sum(seconds for _, seconds in schedule)
    times = np.arange(0, total, 1 / view.rate_hz)
    poses, sizes, actions = [], [], []
    start = 0.0
    for action, seconds in schedule:
        inside = (times >= start - 1e-9) & (times < start + seconds - 1e-9)
        pose, size = person.segment(action, times[inside] - start)
        poses.append(pose)
        sizes.append(size)
        actions.append(np.full(int(inside.sum()), int(action)))
        start += seconds
    points = _blend(np.concatenate(poses), view.rate_hz)
    joints = _look(generator, points, np.exp(np.concatenate(sizes)), view)
    return BodyRecording(times, joints, np.concatenate(actions))


def _blend(points: Floats, rate_hz: float) -> Floats:
    """Joints cannot jump from one movement to the next: they follow within about 0.2 s."""
    result, follow = points.copy(), 1 - np.exp(-1 / (0.12 * rate_hz))
    for i in range(1, len(points)):
        result[i] = result[i - 1] + follow * (points[i] - result[i - 1])
    return result


def _look(
    generator: np.random.Generator, points: Floats, sizes: Floats, view: BodyView
) -> NDArray[np.float32]:
    noisy = points + generator.normal(0, view.noise, points.shape)
    joints = np.empty((*points.shape[:2], 3), np.float32)
    joints[..., :2] = noisy * (sizes * view.width_px)[:, None, None] + view.centre_px
    seen = generator.random(points.shape[:2]) >= view.missing
    if view.upper:
        seen &= points[..., 1] < 1.3
    joints[..., 2] = np.where(
        seen, generator.uniform(0.4, 0.9, seen.shape), generator.uniform(0, 0.25, seen.shape)
    )
    return joints


def _arm(generator: np.random.Generator) -> tuple[int, Joint, Joint]:
    """A side (+1 is the person's left) with its elbow and wrist."""
    if generator.random() < 0.5:
        return 1, Joint.LEFT_ELBOW, Joint.LEFT_WRIST
    return -1, Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST


def _put_hand(pose: Floats, side: int, elbow: Joint, wrist: Joint, place: Floats) -> None:
    """Move a wrist to ``[n, 2]`` places, the elbow half way out from the shoulder."""
    pose[:, wrist] = place
    shoulder = pose[:, Joint.LEFT_SHOULDER if side > 0 else Joint.RIGHT_SHOULDER]
    pose[:, elbow] = (shoulder + place) / 2 + np.array([0.25 * side, 0.3])


def _sway(generator: np.random.Generator, times: Floats, size: float) -> Floats:
    """``[n, 2]`` slow sway that nobody would call an action."""
    phase, rate = generator.uniform(0, 2 * np.pi, 2), generator.uniform(0.1, 0.3, 2)
    return np.asarray(size * np.sin(2 * np.pi * rate * times[:, None] + phase) * np.array([1.0, 0.3]))


def _idle(generator: np.random.Generator, pose: Floats, times: Floats, moved: Floats) -> None:
    """Stands; hands hang, rest in front of the body, one on the hip, or one props the chin."""
    moved += _sway(generator, times, 0.06)
    kind = generator.choice(4, p=(0.4, 0.3, 0.2, 0.1))
    if kind == 1:
        for side, elbow, wrist in (
            (1, Joint.LEFT_ELBOW, Joint.LEFT_WRIST),
            (-1, Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST),
        ):
            _put_hand(pose, side, elbow, wrist, np.array([0.15 * side, 0.95]) + _sway(generator, times, 0.04))
    elif kind >= 2:
        side, elbow, wrist = _arm(generator)
        place = np.array([0.45 * side, 1.2]) if kind == 2 else np.array([0.1 * side, -0.2])
        _put_hand(pose, side, elbow, wrist, place + _sway(generator, times, 0.03))


def _gesture(
    generator: np.random.Generator, pose: Floats, times: Floats, moved: Floats, grown: Floats
) -> None:
    """One or both hands beat in front of or beside the chest."""
    moved += _sway(generator, times, 0.05)
    rate, both = generator.uniform(0.7, 1.8), generator.random() < 0.5
    size = generator.uniform(0.2, 0.45, 2)
    arms = [_arm(generator)]
    if both:
        arms = [(1, Joint.LEFT_ELBOW, Joint.LEFT_WRIST), (-1, Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST)]
    for side, elbow, wrist in arms:
        centre = np.array([side * generator.uniform(0.3, 0.8), generator.uniform(0.2, 0.8)])
        phase = 2 * np.pi * (rate * times[:, None] + generator.uniform(0, 1, 2))
        _put_hand(pose, side, elbow, wrist, centre + size * np.sin(phase))


def _drink(generator: np.random.Generator, pose: Floats, times: Floats, moved: Floats, grown: Floats) -> None:
    """The hand goes up to the mouth with a cup, stays and goes down."""
    moved += _sway(generator, times, 0.04)
    side, elbow, wrist = _arm(generator)
    low = np.array([0.5 * side, generator.uniform(0.7, 1.1)])
    high = MOUTH + np.array([side * generator.uniform(0.12, 0.3), generator.uniform(0.05, 0.3)])
    _put_hand(pose, side, elbow, wrist, _there_and_back(times, low, high))


def _stroke_hair(
    generator: np.random.Generator, pose: Floats, times: Floats, moved: Floats, grown: Floats
) -> None:
    """The hand goes up to the hair, strokes and goes down."""
    moved += _sway(generator, times, 0.04)
    side, elbow, wrist = _arm(generator)
    low = np.array([0.55 * side, generator.uniform(0.8, 1.4)])
    high = HAIR * (side, 1) + generator.uniform(-0.12, 0.12, 2)
    stroke = 0.08 * np.sin(2 * np.pi * 0.8 * times)[:, None] * (0, 1)
    _put_hand(pose, side, elbow, wrist, _there_and_back(times, low, high) + stroke)


def _there_and_back(times: Floats, low: Floats, high: Floats) -> Floats:
    """``[n, 2]`` from low to high and back, each way in 0.4 s or a quarter of the time."""
    total = float(times[-1]) if len(times) else 0.0
    rise = max(min(0.4, total / 4), 1e-6)
    share = np.clip(np.minimum(times, total - times) / rise, 0, 1)
    smooth = share**2 * (3 - 2 * share)
    return low + smooth[:, None] * (high - low)


def _step(generator: np.random.Generator, pose: Floats, times: Floats, moved: Floats, grown: Floats) -> None:
    """Steps from foot to foot on the spot."""
    rate, lift = generator.uniform(0.5, 1.0), generator.uniform(0.25, 0.5)
    swing = np.sin(2 * np.pi * rate * times + generator.uniform(0, 2 * np.pi))
    for knee, ankle, up in (
        (Joint.LEFT_KNEE, Joint.LEFT_ANKLE, np.clip(swing, 0, None)),
        (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE, np.clip(-swing, 0, None)),
    ):
        pose[:, ankle, 1] -= lift * up
        pose[:, knee, 1] -= 0.6 * lift * up
    shift = generator.uniform(0.12, 0.25) * swing
    pose[:, [j for j in range(NUM_JOINTS) if j not in LEGS], 0] += shift[:, None]


def _walk(generator: np.random.Generator, pose: Floats, times: Floats, moved: Floats, grown: Floats) -> None:
    """Walks across, or towards or away from the camera."""
    rate = generator.uniform(0.8, 1.1)
    swing = np.sin(2 * np.pi * rate * times)
    for sign, ankle, wrist in (
        (1, Joint.LEFT_ANKLE, Joint.RIGHT_WRIST),
        (-1, Joint.RIGHT_ANKLE, Joint.LEFT_WRIST),
    ):
        pose[:, ankle, 1] -= 0.2 * np.clip(sign * swing, 0, None)
        pose[:, wrist, 0] += 0.2 * sign * swing
    moved[:, 1] += 0.03 * np.cos(4 * np.pi * rate * times)
    if generator.random() < 0.5:
        moved[:, 0] += generator.choice((-1, 1)) * generator.uniform(1.5, 3.5) * times
    else:
        grown += generator.choice((-1, 1)) * generator.uniform(0.2, 0.4) * times


MOVEMENTS: dict[Action, Callable[[np.random.Generator, Floats, Floats, Floats, Floats], None]] = {
    Action.HAND_GESTURE: _gesture,
    Action.DRINKING: _drink,
    Action.HAIR_TOUCHING: _stroke_hair,
    Action.STEPPING: _step,
    Action.WALKING: _walk,
}
