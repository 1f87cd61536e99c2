"""What a camera's calibration (``sensor_msgs/CameraInfo``) says of its images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def camera_matrix(message: Any) -> NDArray[np.float64] | None:
    """The pinhole of the images that come with a ``CameraInfo``.

    The message tells the calibration of the whole sensor at full resolution; images may be a part of it, with
    several of its pixels in one. Distortion is left out: of a wide-angle lens, give rectified images.

    Args:
        message: ``CameraInfo``.

    Returns:
        ``[3, 3]``, or None where the camera is not calibrated (as the message says, ``K[0]`` is 0) or the
        matrix is none.
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
    return matrix
