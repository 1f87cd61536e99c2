"""Arithmetic on boxes x0, y0, x1, y1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def box_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[n, m]`` intersection over union of ``[n, 4]`` and ``[m, 4]`` boxes; 0 for empty boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.prod(np.maximum(high - low, 0), axis=2)
    union = _area(a)[:, None] + _area(b)[None] - overlap
    return np.asarray(overlap / np.maximum(union, 1e-12), dtype=np.float32)


def grow(boxes: NDArray[np.float32], factors: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[n, 4]`` boxes scaled about their centres by ``[n]`` factors."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * factors[:, None]
    return np.concatenate([centre - half, centre + half], axis=1)


def _area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1), dtype=np.float32)
