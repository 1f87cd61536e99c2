"""How a face moves: its last poses, each without place and size, as they differ from their running mean."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import NUM_LANDMARKS

#: Poses of a window.
WINDOW = 5
#: Ticks over which the mean is taken (plain at first, then exponential): the length of the sequences that
#: syncers are trained on.
MEAN_TICKS = 72
#: Longest step, in ticks, across which poses are interpolated: beyond, a syllable has come and gone unseen.
MAX_STEP_TICKS = 3

Floats = NDArray[np.float32]


def framed(landmarks: Floats) -> Floats | None:
    """A pose in its own head frame: centroid in the origin, root mean square distance from it 1.

    So neither a head that moves through the picture nor a robot that turns its camera looks like speech.

    Args:
        landmarks: ``[68, 2]``.

    Returns:
        ``[136]``, None where a coordinate is not finite or all points are one.
    """
    if not np.isfinite(landmarks).all():
        return None
    centred = landmarks.astype(np.float64) - landmarks.mean(axis=0, dtype=np.float64)
    size = float(np.sqrt((centred**2).sum(axis=1).mean()))
    if not size > 0.0:
        return None
    return np.asarray(centred / size, np.float32).reshape(2 * NUM_LANDMARKS)


class FaceTrail:
    """The last poses of one face.

    Poses are smoothed with weights 1, 2, 1 as those of the tracks that syncers are trained on, so a window is
    known one tick later. Poses that are missing between two are interpolated.
    """

    def __init__(self) -> None:
        self._mean = np.zeros(2 * NUM_LANDMARKS, np.float32)
        self._seen = 0
        self._tick = 0  # of the last pose
        self._poses: deque[Floats] = deque(maxlen=3)
        self._smooth: deque[Floats] = deque(maxlen=WINDOW)

    def add(self, tick: int, landmarks: Floats | None) -> list[tuple[int, Floats]]:
        """Take the face of a tick, later than all before.

        Args:
            tick: number of the tick.
            landmarks: ``[68, 2]`` pixels, None where the face is hidden.

        Returns:
            The windows that are complete now: the tick of the last pose, and ``[5, 136]`` differences from
            the mean in face sizes.
        """
        pose = None if landmarks is None else framed(landmarks)
        if pose is None:
            return []
        step = tick - self._tick
        if not self._poses or step > MAX_STEP_TICKS:
            self._poses.clear()
            self._smooth.clear()
            between = [pose]
        else:
            last = self._poses[-1]
            between = [last + np.float32(i / step) * (pose - last) for i in range(1, step + 1)]
        self._tick = tick
        found = [self._take(one) for one in between]
        ends = range(tick - len(found), tick)
        return [(end, window) for end, window in zip(ends, found, strict=True) if window is not None]

    def _take(self, pose: Floats) -> Floats | None:
        """The window that ends with the pose before this one, where it is complete."""
        self._seen = min(self._seen + 1, MEAN_TICKS)
        self._mean = self._mean + (pose - self._mean) / np.float32(self._seen)
        self._poses.append(pose)
        if len(self._poses) < 2:
            return None
        self._smooth.append((self._poses[0] + 2 * self._poses[-2] + pose) / np.float32(4))
        return np.stack(self._smooth) - self._mean if len(self._smooth) == WINDOW else None
