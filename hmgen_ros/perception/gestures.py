"""Head nods and shakes: quick turns to and fro of pitch and yaw."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from hmgen_ros.types import TICK_HZ, HeadPose


@dataclass(frozen=True)
class OscillationConfig:
    """What counts as to and fro.

    Attributes:
        amplitude: least angle from one turning point to the next, radians.
        swings: swings in a row, one down and one up being two.
        min_hz, max_hz: slowest and fastest oscillation.
        window_ticks: the swings must have ended within so many ticks.
    """

    amplitude: float
    swings: int
    min_hz: float = 1.0
    max_hz: float = 6.0
    window_ticks: int = 10

    def __post_init__(self) -> None:
        if self.amplitude <= 0 or self.swings < 1 or self.window_ticks < 1:
            raise ValueError("amplitude, swings and window_ticks must be positive")
        if not 0 < self.min_hz < self.max_hz <= TICK_HZ / 2:
            raise ValueError(f"need 0 < min_hz < max_hz <= {TICK_HZ / 2}")


#: A swing is timed from 20 % to 80 % of its width, which leaves out the rest before and after it;
#: a sine passes that part in this share of its half period.
EDGE, STEEP_SHARE = 0.2, 0.41
#: How fast the probability rises with an oscillation's strength.
CERTAINTY = 6.0
#: A nod is down and up; a glance aside and back is no shake, so that takes a third swing. The angles keep
#: the heads of talking GRID speakers, who do not nod, at 0.3 % of ticks.
NOD = OscillationConfig(amplitude=math.radians(3.5), swings=2)
SHAKE = OscillationConfig(amplitude=math.radians(5.0), swings=3)


class Oscillation:
    """Counts the quick swings of one angle, ended or under way, up to now.

    Slow turns are not counted, however far they go, and a rest between two swings parts them.
    """

    def __init__(self, config: OscillationConfig) -> None:
        self._config = config
        self._longest = TICK_HZ / config.min_hz / 2
        self._shortest = math.floor(TICK_HZ / config.max_hz / 2)
        length = config.window_ticks + math.ceil((config.swings + 1) * self._longest)
        self._angles: deque[float] = deque(maxlen=length)

    def update(self, angle: float | None, elapsed: int = 1) -> float:
        """Observe one tick after ``elapsed`` ticks.

        Args:
            angle: radians, None where it is not known: the last one is then held.
            elapsed: ticks since the last call; the last angle is held for those between.

        Returns:
            Strength of the present oscillation: 1 where just enough swings of just enough amplitude
            ended within the window, up to 2 for wider ones, less for fewer.
        """
        if angle is None and not self._angles:
            return 0.0
        held = self._angles[-1] if self._angles else angle
        new = angle if angle is not None else held
        assert held is not None
        assert new is not None
        self._angles.extend([held] * min(elapsed - 1, self._angles.maxlen or 0))
        self._angles.append(new)
        widths = self._recent_swings()[-self._config.swings :]
        if len(widths) < self._config.swings:
            return len(widths) / self._config.swings
        return min(min(widths) / self._config.amplitude, 2.0)

    def _recent_swings(self) -> list[float]:
        """Widths of the uninterrupted quick swings that lead up to now."""
        angles = list(self._angles)
        pivots = turning_points(angles, self._config.amplitude)
        widths: list[float] = []
        last_end: int | None = None
        for a, b in pairwise(pivots):
            begin, end = _steep_part(angles, a, b)
            if b == pivots[-1] and b - a < self._shortest:
                break  # has only just begun
            # What the window begins in the midst of is not known to be quick.
            quick = a > 0 and b - a >= self._shortest and end - begin <= STEEP_SHARE * self._longest + 1
            follows = last_end is not None and begin - last_end <= self._longest
            widths = (widths if follows else []) + [abs(angles[b] - angles[a])] if quick else []
            last_end = end
        fresh = last_end is not None and len(angles) - 1 - last_end <= self._config.window_ticks
        return widths if fresh else []


def turning_points(angles: list[float], amplitude: float) -> list[int]:
    """Indices of extremes, each at least ``amplitude`` from the one before; the last may still move."""
    low = high = 0
    pivots: list[int] = []
    direction = 0
    for i, angle in enumerate(angles):
        low = i if angle <= angles[low] else low
        high = i if angle >= angles[high] else high
        if direction <= 0 and angle - angles[low] >= amplitude:
            pivots.append(low)
            direction, high = 1, i
        elif direction >= 0 and angles[high] - angle >= amplitude:
            pivots.append(high)
            direction, low = -1, i
        if direction > 0 and high == i:
            low = i
        elif direction < 0 and low == i:
            high = i
    if direction:
        pivots.append(high if direction > 0 else low)
    return pivots


def _steep_part(angles: list[float], a: int, b: int) -> tuple[int, int]:
    """Where the swing from index ``a`` to ``b`` leaves its first and reaches its last fifth."""
    start, width = angles[a], angles[b] - angles[a]
    end = next(i for i in range(a, b + 1) if (angles[i] - start) / width >= 1 - EDGE)
    begin = next(i for i in range(end, a - 1, -1) if (angles[i] - start) / width <= EDGE)
    return begin, end


class HeadGesture:
    """Whether one head nods or shakes."""

    def __init__(self, nod: OscillationConfig = NOD, shake: OscillationConfig = SHAKE) -> None:
        self._nod, self._shake = Oscillation(nod), Oscillation(shake)

    def update(self, pose: HeadPose | None, elapsed: int = 1) -> float:
        """Probability in [0, 1] of a nod or a shake, one half where it is just strong enough."""
        pitch, yaw = (None, None) if pose is None else (pose.pitch, pose.yaw)
        strength = max(self._nod.update(pitch, elapsed), self._shake.update(yaw, elapsed))
        return 1 / (1 + math.exp(-CERTAINTY * (strength - 1))) if strength > 0 else 0.0
