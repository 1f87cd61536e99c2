"""Head gestures: nods, shakes and tilts, told from the last 0.8 s of one head's turns.

A quick lean to one side that stays there passes for a tilt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.gesture_network import TURNS
from hmgen_ros.types import HeadPose

#: Poses further apart than so many ticks are not joined by a line: what a head did meanwhile is not known.
MAX_GAP_TICKS = 6


class GestureProbabilities(NamedTuple):
    """How probable it is that a head now nods, shakes or tilts to and fro; each in [0, 1], NaN: not known."""

    nod: float
    shake: float
    tilt: float

    @property
    def any(self) -> float:
        """That it makes any of these gestures."""
        return max(self)


_UNKNOWN = GestureProbabilities(math.nan, math.nan, math.nan)


class HeadGesture:
    """Whether one head nods, shakes or tilts.

    A slow camera's missing poses are taken from the line between those that were seen.

    Args:
        network: makes ``[3]`` probabilities of ``[TURNS, 3]`` turns, see
            :class:`~hmgen_ros.perception.gesture_network.GestureNetwork`; shared by all heads.
    """

    def __init__(self, network: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self._network = network
        self._turns = np.zeros((TURNS, 3), np.float32)
        self._last: NDArray[np.float32] | None = None
        self._gap = 0

    def update(self, pose: HeadPose | None, elapsed: int = 1) -> GestureProbabilities:
        """Observe one tick, ``elapsed`` ticks after the last call; pose None: not known."""
        self._gap += elapsed
        if pose is None:
            return _UNKNOWN
        angles = np.array([pose.yaw, pose.pitch, pose.roll], np.float32)
        if self._last is None or self._gap > MAX_GAP_TICKS:
            self._turns[:] = 0.0  # as if it had been at rest
        else:
            # Angles end at half a turn; a head that passes it has not spun round.
            turn = (angles - self._last + np.pi) % (2 * np.pi) - np.pi
            self._turns = np.roll(self._turns, -self._gap, axis=0)
            self._turns[-self._gap :] = turn / self._gap
        self._last, self._gap = angles, 0
        return GestureProbabilities(*map(float, self._network(self._turns)))
