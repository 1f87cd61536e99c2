"""What a camera's calibration (``sensor_msgs/CameraInfo``) says of its images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Sizes of one shape may differ by so much of themselves, which is rounding.
_SAME_SHAPE = 0.01


def image_size(message: Any) -> tuple[int, int] | None:
    """Width and height of the images that a ``CameraInfo`` comes with; None where it does not tell."""
    whole = (message.width, message.height)
    part = (message.roi.width, message.roi.height)
    width, height = part if all(part) else whole
    found = (width // max(1, message.binning_x), height // max(1, message.binning_y))
    return found if all(found) else None


def camera_matrix(message: Any, images: tuple[int, int] | None = None) -> NDArray[np.float64] | None:
    """The pinhole of the images that come with a ``CameraInfo``.

    The message tells the calibration of the whole sensor at full resolution; images may be a part of it, with
    several of its pixels in one. Distortion is left out: of a wide-angle lens, give rectified images.

    Args:
        message: ``CameraInfo``.
        images: width and height of the images that really come, where that is known: where all of a picture
            was made smaller on its way, so is the matrix.

    Returns:
        ``[3, 3]``, or None where the camera is not calibrated (as the message says, ``K[0]`` is 0), the
        matrix is none, or the images are of another shape than the message says.
    """
    matrix = np.array(message.k, np.float64).reshape(3, 3)
    focal = (matrix[0, 0], matrix[1, 1])
    if not np.isfinite(matrix).all() or min(focal) <= 0.0:
        return None
    offset = (message.roi.x_offset, message.roi.y_offset)
    # A binning of 0 means 1.
    binning = (max(1, message.binning_x), max(1, message.binning_y))
    for axis in range(2):
        matrix[axis, 2] -= offset[axis]
        matrix[axis] /= binning[axis]
    return _resized(matrix, image_size(message), images)


def _resized(
    matrix: NDArray[np.float64], told: tuple[int, int] | None, images: tuple[int, int] | None
) -> NDArray[np.float64] | None:
    if told is None or images is None or told == images:
        return matrix
    scale = images[0] / told[0]
    if abs(images[1] / told[1] - scale) > _SAME_SHAPE * scale:
        return None
    matrix[:2] *= scale
    return matrix
