"""The last seconds of one person's body: what was visible, its shoulder width, and how points moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.body import NUM_JOINTS, Joint

Floats = NDArray[np.float64]
#: Shoulder widths of other lengths of a body that is seen from the front: what is left of the width of
#: someone who stands sideways.
TORSO_SHARE, EYES_SHARE = 0.68, 4.5
#: Steps of a path are at least this long in time, so that points that tremble make no longer path when
#: they are seen more often, s.
STEP_S = 0.14
#: Part of the window from the first to the last look that shows a point, at least.
MIN_SPAN = 0.6
#: How many times the mean square of a spurious step is taken off: single steps are longer than that.
NOISE_MARGIN = 2.0
#: Median size of the second differences of normal noise, in its standard deviations.
SECOND_DIFFERENCE = 1.652
SHOULDERS = (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER)
HIPS = (Joint.LEFT_HIP, Joint.RIGHT_HIP)
EYES = (Joint.LEFT_EYE, Joint.RIGHT_EYE)
#: Pairs of points whose distance changes slowly.
RIGID = tuple(
    ((a,), (b,))
    for a, b in (
        SHOULDERS,
        HIPS,
        EYES,
        (Joint.NOSE, Joint.LEFT_EYE),
        (Joint.NOSE, Joint.RIGHT_EYE),
        (Joint.LEFT_EAR, Joint.RIGHT_EAR),
    )
)


@dataclass(frozen=True, slots=True)
class Motion:
    """How something moved within a window.

    Attributes:
        speed: length of its path per second.
        drift: speed of the straight line that fits it best.
        to_and_fro: length of the path less the distance of its ends, per second.
    """

    speed: float
    drift: float
    to_and_fro: float

    @property
    def straightness(self) -> float:
        """1 for one straight line, near 0 for to and fro."""
        return min(self.drift / self.speed, 1.0) if self.speed > 0 else 0.0


class BodyHistory:
    """Looks at one body, the newest last.

    Args:
        keep_s: older looks are forgotten, s.
        max_gap_s: after a longer time without a look everything is forgotten, s.
        min_score: points below are not visible.
    """

    def __init__(self, keep_s: float, max_gap_s: float, min_score: float) -> None:
        self._keep_s, self._max_gap_s, self._min_score = keep_s, max_gap_s, min_score
        #: ``[n]`` times of the looks, s.
        self.times: Floats = np.empty(0)
        #: ``[n, 17, 2]`` pixels, NaN where a point is not visible.
        self._points: Floats = np.empty((0, NUM_JOINTS, 2))

    def add(self, time_s: float, joints: NDArray[np.float32]) -> None:
        """Take a look: ``[17, 3]`` x, y in pixels and score. Times must not go back."""
        gap = len(self.times) > 0 and time_s - self.times[-1] > self._max_gap_s
        keep = len(self.times) if gap else int(np.searchsorted(self.times, time_s - self._keep_s))
        points = joints[:, :2].astype(np.float64)
        points[joints[:, 2] < self._min_score] = np.nan
        self.times = np.append(self.times[keep:], time_s)
        self._points = np.concatenate([self._points[keep:], points[None]])

    def middle(self, joints: Sequence[Joint]) -> Floats:
        """``[n, 2]`` the middle of some points at each look, NaN where one of them is not visible."""
        return np.asarray(self._points[:, list(joints)].sum(1) / len(joints))

    def length(self, first: Sequence[Joint], second: Sequence[Joint]) -> Floats:
        """``[n]`` distance of two middles, pixels; NaN where one is not visible."""
        apart = self.middle(first) - self.middle(second)
        return np.hypot(apart[:, 0], apart[:, 1])

    def shoulder_width(self) -> float:
        """Pixels from shoulder to shoulder, seen from the front; NaN where nothing tells it."""
        lengths = (
            self.length(SHOULDERS[:1], SHOULDERS[1:]),
            self.length(SHOULDERS, HIPS) * TORSO_SHARE,
            self.length(EYES[:1], EYES[1:]) * EYES_SHARE,
        )
        widest = max((_median(one) for one in lengths), default=0.0)
        return widest if widest > 0 else math.nan

    def tremble(self) -> float:
        """Standard deviation of one coordinate of a point, pixels, as the points are seen.

        Told by lengths that hardly change from look to look: 0 where they were seen too rarely.
        """
        bends = np.concatenate([np.diff(self.length(a, b), n=2) for a, b in RIGID])
        return _median(np.abs(bends)) / (SECOND_DIFFERENCE * math.sqrt(2))

    def growth(self, window_s: float) -> Motion | None:
        """How the logarithm of the body's size moves, per second: the middle of several lengths'.

        None where fewer than two lengths tell it.
        """
        lengths = (
            self.length(SHOULDERS[:1], SHOULDERS[1:]),
            self.length(SHOULDERS, HIPS),
            self.length(EYES[:1], EYES[1:]),
            self.length((Joint.NOSE,), SHOULDERS),
        )
        with np.errstate(divide="ignore"):
            logs = [np.log(one) for one in lengths]
        found = [motion(self.times, one[:, None], window_s) for one in logs]
        known = sorted((m for m in found if m is not None), key=lambda m: m.drift)
        return known[(len(known) - 1) // 2] if len(known) > 1 else None


def _median(values: Floats) -> float:
    """Median of what is not NaN, 0 where nothing is."""
    known = np.sort(values)[: int(np.isfinite(values).sum())]  # NaN is sorted to the end
    return float(known[(len(known) - 1) // 2]) if len(known) else 0.0


def motion(times: Floats, points: Floats, window_s: float, tremble: float = 0.0) -> Motion | None:
    """How ``[n, d]`` points moved in the last ``window_s``, ``n`` > 0; NaN points were not seen.

    Steps are shortened by what points would seem to move that only tremble: ``tremble`` is the standard
    deviation of one coordinate.

    None where fewer than three were seen, or only during a shorter part of the window than MIN_SPAN.
    """
    use = np.flatnonzero(np.isfinite(points).all(1) & (times >= times[-1] - window_s - 1e-6))
    if len(use) < 3 or times[use[-1]] - times[use[0]] < MIN_SPAN * window_s:
        return None
    t, p = times[use], points[use]
    late = t - t.mean()
    slope = late @ p / (late @ late)
    kept = [0]
    for i in range(1, len(t)):
        if t[i] - t[kept[-1]] >= STEP_S:
            kept.append(i)
    steps, ends = np.diff(p[kept], axis=0), p[kept[-1]] - p[0]
    spurious = NOISE_MARGIN * 2 * p.shape[1] * tremble**2
    length = float(np.sqrt(np.maximum((steps * steps).sum(1) - spurious, 0)).sum())
    seconds = float(t[kept[-1]] - t[0])
    spare = max(length - float(np.sqrt(ends @ ends)), 0.0)
    return Motion(length / seconds, float(np.sqrt(slope @ slope)), spare / seconds)
