"""The face frame: landmarks without the place and size of the face.

Origin is the middle of the outer eye corners, the unit their distance; axes stay those of the image.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import NUM_LANDMARKS

#: iBUG-68 indices of the outer eye corners (the person's right, then left).
OUTER_EYE_CORNERS = (36, 45)
#: Smallest believable distance of the outer eye corners, pixels.
MIN_SCALE_PX = 1.0
#: Smallest believable distance of the outer eye corners as a share of the landmarks' extent; a face
#: in exact profile goes below, and its normalised landmarks would be noise.
MIN_SCALE_SHARE = 0.05


def normalise(
    landmarks_px: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], float] | None:
    """Landmarks in the face frame.

    Args:
        landmarks_px: ``[68, 2]`` pixels.

    Returns:
        ``[68, 2]`` float32 normalised landmarks, ``[2]`` float32 origin in pixels and the scale in
        pixels; None where a coordinate is not finite or the face has collapsed.

    Raises:
        ValueError: another shape.
    """
    if landmarks_px.shape != (NUM_LANDMARKS, 2):
        raise ValueError(f"landmarks must be [{NUM_LANDMARKS}, 2], not {list(landmarks_px.shape)}")
    if not np.isfinite(landmarks_px).all():
        return None
    points = landmarks_px.astype(np.float64)
    right, left = points[OUTER_EYE_CORNERS[0]], points[OUTER_EYE_CORNERS[1]]
    scale = math.dist(left, right)
    extent = float((points.max(0) - points.min(0)).max())
    if scale < max(MIN_SCALE_PX, MIN_SCALE_SHARE * extent):
        return None
    origin = (right + left) / 2
    return ((points - origin) / scale).astype(np.float32), origin.astype(np.float32), scale


def denormalise(
    landmarks: NDArray[np.float32], origin_px: NDArray[np.float32], scale_px: float
) -> NDArray[np.float32]:
    """Inverse of :func:`normalise` for ``[..., 68, 2]`` landmarks, in pixels."""
    return np.asarray(landmarks.astype(np.float64) * scale_px + origin_px, dtype=np.float32)
