"""Where a face will be in the next image: a Kalman filter of constant velocity on the box's centre.

Uncertainties are counted in face sizes, so that people near and far are treated alike. Speeds fade: a head
that is not seen any more soon stays about where it is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: Standard deviation of the change of speed from tick to tick, face sizes a tick.
ACCELERATION = 0.015
#: Standard deviation of a measured centre, face sizes.
JITTER = 0.03
#: Share of its speed that a head keeps from tick to tick.
SPEED_KEPT = 0.97
#: Standard deviation of the speed of a face that was just found, face sizes a tick.
FIRST_SPEED = 0.05
#: Share of a newly seen width and height in those that are remembered.
SIZE_RATE = 0.5

_NOISE = ACCELERATION**2
_FADING = -math.log(SPEED_KEPT)


class BoxMotion:
    """Centre, speed and size of one face's box, carried on from tick to tick.

    Attributes:
        centre: ``[2]`` pixels.
        speed: ``[2]`` pixels a tick.
        size: ``[2]`` width and height, pixels.
    """

    def __init__(self, box: NDArray[np.float32]) -> None:
        self.centre, self.size = _centre_and_size(box)
        self.speed = np.zeros(2)
        # Variances of place and speed and their covariance, the same along both axes.
        self._place, self._both, self._speed = JITTER**2, 0.0, FIRST_SPEED**2

    @property
    def scale(self) -> float:
        """The face's size: root of the box's area, pixels, at least 1."""
        return max(1.0, math.sqrt(max(0.0, float(self.size[0] * self.size[1]))))

    @property
    def spread(self) -> float:
        """Standard deviation of where the centre is to be seen, face sizes."""
        return math.sqrt(self._place + JITTER**2)

    @property
    def box(self) -> NDArray[np.float32]:
        """``[4]`` x0, y0, x1, y1, pixels."""
        return np.concatenate([self.centre - self.size / 2, self.centre + self.size / 2]).astype(np.float32)

    def predict(self, ticks: int) -> None:
        """Carry the state on, unseen."""
        kept = SPEED_KEPT**ticks
        way = (1 - kept) / _FADING
        self.centre = self.centre + way * self.speed
        self.speed = kept * self.speed
        place, both, speed = self._place, self._both, self._speed
        self._place = place + 2 * way * both + way**2 * speed + _NOISE * ticks**3 / 3
        self._both = kept * (both + way * speed) + _NOISE * ticks**2 / 2
        self._speed = kept**2 * speed + _NOISE * ticks

    def surprise(self, box: NDArray[np.float32]) -> float:
        """Distance of a box's centre from where it is expected, standard deviations."""
        away = float(np.linalg.norm(_centre_and_size(box)[0] - self.centre))
        return away / (self.scale * self.spread)

    def correct(self, box: NDArray[np.float32]) -> None:
        """Take the box that was seen."""
        centre, size = _centre_and_size(box)
        seen = self._place + JITTER**2
        gain, speed_gain = self._place / seen, self._both / seen
        surprise = centre - self.centre
        self.centre = self.centre + gain * surprise
        self.speed = self.speed + speed_gain * surprise
        self.size = self.size + SIZE_RATE * (size - self.size)
        self._speed -= speed_gain * self._both
        self._both *= 1 - gain
        self._place *= 1 - gain

    def stop(self) -> None:
        """Forget the speed, which turned out to be somebody else's."""
        self.speed = np.zeros(2)


def _centre_and_size(box: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = box.astype(np.float64)
    return (corners[:2] + corners[2:]) / 2, corners[2:] - corners[:2]
