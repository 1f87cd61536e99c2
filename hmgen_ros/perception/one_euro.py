"""The 1€ filter for landmarks: still faces do not tremble, moving ones are hardly held back.

After Casiez, Roussel and Vogel, "1€ Filter: a simple speed-based low-pass filter for noisy input in
interactive systems", CHI 2012: a low-pass filter whose cut-off rises with speed. Speed is measured in eye
distances a second here, so that the same settings fit near and far faces. A point that moves steadily at
``v`` eye distances a second lags by ``v / (2 π (min_cutoff_hz + beta v))`` of them, which is always less than
``1 / (2 π beta)``: half a hundredth of the eye distance as the settings are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import TICK_HZ

#: After so many ticks without a face the next one is taken as it is.
MAX_GAP = 10


@dataclass(frozen=True, slots=True)
class OneEuroConfig:
    """Settings of the filter.

    Attributes:
        min_cutoff_hz: cut-off frequency of what does not move, > 0; lower is calmer.
        beta: by how many Hz the cut-off rises with a speed of one eye distance a second, at least 0; higher
            lags less.
        speed_cutoff_hz: cut-off frequency of the speed itself, > 0.
    """

    min_cutoff_hz: float = 1.0
    beta: float = 30.0
    speed_cutoff_hz: float = 1.0

    def __post_init__(self) -> None:
        if not (self.min_cutoff_hz > 0 and self.beta >= 0 and self.speed_cutoff_hz > 0):
            raise ValueError(f"cut-off frequencies must be above 0 and beta at least 0, got {self}")


class OneEuroFilter:
    """Filters the points of one face, each at its own speed."""

    def __init__(self, config: OneEuroConfig | None = None) -> None:
        self._config = config or OneEuroConfig()
        self._points: NDArray[np.float64] | None = None
        self._speed = np.zeros(0)

    def update(self, points: NDArray[np.float32], scale: float, elapsed: int = 1) -> NDArray[np.float32]:
        """Take the points of one image.

        Args:
            points: ``[n, 2]`` finite pixels.
            scale: the eye distance, pixels, > 0.
            elapsed: ticks since the call before, at least 1.

        Returns:
            ``[n, 2]`` filtered pixels; the first ones, and those after a gap, are returned as they are.
        """
        new = points.astype(np.float64)
        if self._points is None or elapsed > MAX_GAP:
            self._points, self._speed = new, np.zeros_like(new)
            return points
        seconds = elapsed / TICK_HZ
        speed = (new - self._points) / seconds / scale
        share = _weight(np.array(self._config.speed_cutoff_hz), seconds)
        self._speed = self._speed + share * (speed - self._speed)
        moving = np.linalg.norm(self._speed, axis=1, keepdims=True)
        cutoff = self._config.min_cutoff_hz + self._config.beta * moving
        self._points = self._points + _weight(cutoff, seconds) * (new - self._points)
        return self._points.astype(np.float32)


class LandmarkSmoother:
    """A filter for each person in view.

    Args:
        config: of the filters.
    """

    def __init__(self, config: OneEuroConfig | None = None) -> None:
        self._config = config or OneEuroConfig()
        self._filters: dict[str, OneEuroFilter] = {}
        self._unseen: dict[str, int] = {}

    def update(
        self, person_id: str, points: NDArray[np.float32], scale: float, elapsed: int
    ) -> NDArray[np.float32]:
        """This tick's points of one person, filtered; see :meth:`OneEuroFilter.update`."""
        gap = self._unseen.pop(person_id, 0)
        known = self._filters.setdefault(person_id, OneEuroFilter(self._config))
        return known.update(points, scale, elapsed + gap)

    def unseen(self, person_id: str, elapsed: int) -> None:
        """Note that a person's face is hidden at this tick."""
        if person_id in self._filters:
            self._unseen[person_id] = self._unseen.get(person_id, 0) + elapsed

    def keep(self, person_ids: set[str]) -> None:
        """Forget everyone else."""
        self._filters = {name: f for name, f in self._filters.items() if name in person_ids}
        self._unseen = {name: n for name, n in self._unseen.items() if name in person_ids}


def _weight(cutoff_hz: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """Share of a new value in the filtered one."""
    lag = 1 / (2 * math.pi * cutoff_hz)
    return np.asarray(seconds / (seconds + lag))
