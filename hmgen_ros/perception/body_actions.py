"""What one person does with hands and feet, by rules on the points of the body.

No corpus at hand shows bodies with labels, so nothing here is trained: each action is a few conditions on
quantities that do not depend on the size of the image or the person, lengths in shoulder widths and times
in seconds. The weakest condition decides: where a quantity is just at its threshold the probability is
one half, and it rises as a logistic function of the ratio. ``benchmarks/body_actions.py`` measures the
rules on synthetic bodies, which says how well they bear noise and low rates, not how people really move.

Known limits: a chin that rests on a hand looks like drinking for some seconds; hair is found only above
the eyes; someone who sits and rocks looks like stepping while the legs are out of view; a camera that
moves makes everyone walk. Taking notes cannot be told by these points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.body import Joint
from hmgen_ros.perception.body_history import EYES, HIPS, SHOULDERS, BodyHistory, Floats, Motion, motion
from hmgen_ros.types import Action

#: How fast a probability rises with the ratio of a quantity to its threshold.
CERTAINTY = 6.0
#: A ratio counts at most this much.
MAX_STRENGTH = 2.0
#: From the eyes to the tip of the nose, and on to the mouth: their ratio in a face seen from the front.
NOSE_TO_MOUTH = 0.7
#: The elbow of a hanging arm lies so many shoulder widths below the shoulder.
ELBOW_DROP = 0.95
#: The middle of the head's hair lies so many shoulder widths above the eyes.
HAIR_RISE = 0.15
ARMS = ((Joint.LEFT_ELBOW, Joint.LEFT_WRIST), (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST))
OBSERVED = (
    Action.HAND_GESTURE,
    Action.STEPPING,
    Action.WALKING,
    Action.DRINKING,
    Action.HAIR_TOUCHING,
)


@dataclass(frozen=True)
class BodyActionConfig:
    """Thresholds; "widths" are shoulder widths.

    Attributes:
        window_s: hands and feet are judged by their motion during this time.
        walk_window_s: walking is judged by the motion during this time.
        memory_s: the size of the body, and how much its points tremble, are told by what was seen during
            this time.
        max_gap_s: a longer time between two looks parts what was before from what comes after.
        min_score: points below are not visible, in [0, 1].
        gesture_speed: to and fro of a wrist relative to the shoulders, widths per second.
        gesture_lift: the wrist is at least so far above the elbow, widths; negative: below.
        drink_distance: wrist to mouth, widths.
        drink_s: for so long the wrist is at the mouth.
        drink_max_s: a longer stay is no drinking.
        drink_drop: from so far below the mouth the wrist came, widths.
        drink_approach_s: not longer ago than this.
        hair_distance: wrist to the middle of the hair, widths.
        hair_s: for so long the wrist is there.
        hair_speed: the wrist is slower than this, widths per second.
        walk_speed: drift of the hips, widths per second; half as much again where only shoulders are
            seen, which leaning moves, too.
        walk_growth: drift of the logarithm of the size, 1/s; half as much again without hips.
        straightness: drift of a walk by the length of its path.
        step_speed: to and fro of both ankles together, widths per second.
        sway_speed: to and fro of the shoulders, which tells where no ankle is visible, widths per second.
    """

    window_s: float = 1.2
    walk_window_s: float = 1.2
    memory_s: float = 3.0
    max_gap_s: float = 0.6
    min_score: float = 0.3
    gesture_speed: float = 0.6
    gesture_lift: float = -0.35
    drink_distance: float = 0.55
    drink_s: float = 0.6
    drink_max_s: float = 8.0
    drink_drop: float = 0.5
    drink_approach_s: float = 2.0
    hair_distance: float = 0.7
    hair_s: float = 0.4
    hair_speed: float = 2.0
    walk_speed: float = 0.8
    walk_growth: float = 0.16
    straightness: float = 0.5
    step_speed: float = 0.45
    sway_speed: float = 0.3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "gesture_lift" and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value}")


def probability(*strengths: float) -> float:
    """In [0, 1]: one half where the weakest strength is 1."""
    weakest = min(min(strengths), MAX_STRENGTH)
    return 1 / (1 + math.exp(-CERTAINTY * (max(weakest, 0.0) - 1)))


def within(value: float, limit: float) -> float:
    """Strength of ``value`` being below ``limit``: 1 at the limit, 2 at 0."""
    return 2 - value / limit


class Stay:
    """How long one wrist has been at a place."""

    def __init__(self) -> None:
        self._since = self._seen_s = math.nan

    def update(self, time_s: float, there: bool | None, max_gap_s: float) -> float:
        """Seconds so far; ``there`` is None where it cannot be seen, which is borne for ``max_gap_s``."""
        if there is False or (there is None and not time_s - self._seen_s <= max_gap_s):
            self._since = math.nan
            return 0.0
        if there:
            self._since = time_s if math.isnan(self._since) else self._since
            self._seen_s = time_s
        return time_s - self._since


class _Hand:
    """What is remembered of one hand beyond the history."""

    def __init__(self) -> None:
        self.mouth, self.hair = Stay(), Stay()
        self.low_s = self.seen_s = -math.inf

    def see(self, time_s: float, low: bool | None, max_gap_s: float) -> None:
        """Note whether the hand is low; hidden (None) for a while it is taken to be below the picture."""
        if low is not None:
            self.seen_s = time_s
        if low or (low is None and time_s - self.seen_s > max_gap_s):
            self.low_s = time_s

    def came_from_below(self, time_s: float, stay_s: float, within_s: float) -> bool:
        """Whether it was low at most ``within_s`` before a stay of ``stay_s`` began."""
        return time_s - stay_s - self.low_s <= within_s


class BodyActions:
    """The rules, for one person."""

    def __init__(self, config: BodyActionConfig | None = None) -> None:
        self.config = config or BodyActionConfig()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        c = self.config
        self._history = BodyHistory(c.memory_s, c.max_gap_s, c.min_score)
        self._hands = (_Hand(), _Hand())
        self._last_s = -math.inf
        self._width, self._tremble = math.nan, 0.0

    def update(self, time_s: float, joints: NDArray[np.float32] | None) -> dict[Action, float]:
        """Take one look.

        Args:
            time_s: of the image, s; a step back forgets what was before.
            joints: ``[17, 3]`` x, y (pixels) and score of each joint; None where no body was seen.

        Returns:
            Probability of each action in :data:`OBSERVED`, NaN where what it takes is not visible.
        """
        unknown = dict.fromkeys(OBSERVED, math.nan)
        if time_s < self._last_s or time_s - self._last_s > self.config.max_gap_s:
            self.reset()
        if joints is None:
            return unknown
        self._last_s = time_s
        self._history.add(time_s, joints)
        width = self._history.shoulder_width()
        if math.isnan(width):
            return unknown
        self._width, self._tremble = width, self._history.tremble() / width
        walking = self._walking()
        return {
            Action.WALKING: walking,
            Action.STEPPING: self._stepping() * (1 - (0.0 if math.isnan(walking) else walking)),
            **self._hand_actions(time_s),
        }

    def _moved(self, points: Floats, window_s: float) -> Motion | None:
        """How ``[n, 2]`` points in pixels moved, in shoulder widths."""
        return motion(self._history.times, points / self._width, window_s, self._tremble)

    def _walking(self) -> float:
        c = self.config
        moved = (
            (part, self._moved(self._history.middle(part), c.walk_window_s))
            for part in (HIPS, SHOULDERS, EYES)
        )
        part, across = next(((part, m) for part, m in moved if m is not None), (HIPS, None))
        if across is None:
            return math.nan
        factor = 1.0 if part is HIPS else 1.5
        strengths = [min(across.drift / (factor * c.walk_speed), across.straightness / c.straightness)]
        growth = self._history.growth(c.walk_window_s)
        if growth is not None:
            along = growth.drift / (factor * c.walk_growth)
            strengths.append(min(along, growth.straightness / c.straightness))
        return probability(max(strengths))

    def _stepping(self) -> float:
        """Ankles where one is visible, else shoulders."""
        c = self.config
        ankles = [
            self._moved(self._history.middle((joint,)), c.walk_window_s)
            for joint in (Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE)
        ]
        speeds = [m.to_and_fro for m in ankles if m is not None]
        if speeds:
            return probability(2 * sum(speeds) / len(speeds) / c.step_speed)
        trunk = self._moved(self._history.middle(SHOULDERS), c.walk_window_s)
        if trunk is None:
            return math.nan
        return probability(trunk.to_and_fro / c.sway_speed)

    def _hand_actions(self, time_s: float) -> dict[Action, float]:
        """The best of both hands, NaN where neither is visible."""
        found: dict[Action, float] = {}
        for hand, (elbow, wrist) in zip(self._hands, ARMS, strict=True):
            for action, p in self._one_hand(hand, elbow, wrist, time_s).items():
                found[action] = float(np.fmax(found.get(action, math.nan), p))
        return found

    def _one_hand(self, hand: _Hand, elbow: Joint, wrist: Joint, time_s: float) -> dict[Action, float]:
        c, history, width = self.config, self._history, self._width
        wrists, chest = history.middle((wrist,)), history.middle(SHOULDERS)
        eyes, nose = history.middle(EYES)[-1], history.middle((Joint.NOSE,))[-1]
        place = wrists[-1]
        mouth = nose + NOSE_TO_MOUTH * (nose - eyes)
        to_mouth, drop = _distance(place, mouth) / width, (place[1] - mouth[1]) / width
        to_hair = _distance(place, eyes - (0, HAIR_RISE * width)) / width
        hand.see(time_s, _there(drop >= c.drink_drop, drop), c.max_gap_s)
        moved = self._moved(wrists - chest, c.window_s)
        speed, beats = (math.nan, math.nan) if moved is None else (moved.speed, moved.to_and_fro)
        at_mouth = _there(to_mouth <= c.drink_distance and drop >= -0.15, to_mouth)
        at_hair = _there(to_hair <= c.hair_distance and place[1] < eyes[1] + 0.1 * width, to_hair)
        drinks = hand.mouth.update(time_s, at_mouth, c.max_gap_s)
        strokes = hand.hair.update(time_s, at_hair, c.max_gap_s)
        result = {Action.DRINKING: math.nan, Action.HAIR_TOUCHING: math.nan}
        if at_mouth is not None:
            fits = hand.came_from_below(time_s, drinks, c.drink_approach_s) and drinks <= c.drink_max_s
            close = within(to_mouth, c.drink_distance) + 0.3 if fits else 0.0
            result[Action.DRINKING] = probability(drinks / c.drink_s, close)
        if at_hair is not None:
            slow = within(0.0 if math.isnan(speed) else speed, c.hair_speed)
            result[Action.HAIR_TOUCHING] = probability(strokes / c.hair_s, slow)
        lift = self._lift(elbow, wrists, chest, width)
        at_head = bool(at_mouth or at_hair)
        gesture = probability(0.0 if at_head else beats / c.gesture_speed, 1 + 2 * (lift - c.gesture_lift))
        result[Action.HAND_GESTURE] = math.nan if math.isnan(speed) or math.isnan(lift) else gesture
        return result

    def _lift(self, elbow: Joint, wrists: Floats, chest: Floats, width: float) -> float:
        """Mean height of a wrist above its elbow, widths; above where one hangs where it is not visible."""
        recent = self._history.times >= self._history.times[-1] - self.config.window_s
        elbows = self._history.middle((elbow,))[:, 1]
        level = np.where(np.isnan(elbows), chest[:, 1] + ELBOW_DROP * width, elbows)
        lifts = ((level - wrists[:, 1]) / width)[recent]
        return float(np.nanmean(lifts)) if np.isfinite(lifts).any() else math.nan


def _distance(a: Floats, b: Floats) -> float:
    return float(np.hypot(*(a - b)))


def _there(there: bool, distance: float) -> bool | None:
    return None if math.isnan(distance) else bool(there)
