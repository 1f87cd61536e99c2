"""Head orientation from the landmarks that speech and expressions do not move.

The usual six points include chin and mouth corners, so that an opening jaw reads as a nod (dropping
the chin by a tenth of the eyes' distance: 3 degrees of pitch). Eye corners and nose stay where they are.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import HeadPose

#: iBUG-68: eye corners, nose bridge, tip and base.
RIGID_POINTS = (27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45)
#: Their places on a mean head, units of the outer eye corners' distance; x towards the person's left,
#: y down, z towards the back of the head. Mean, made symmetric, of what the face mesh measured on three
#: speakers of the GRID corpus; its depth also fits 28 minutes of an independent landmark set best.
HEAD_MODEL = np.array(
    [
        [0.000, 0.003, -0.264],
        [0.000, 0.178, -0.369],
        [0.000, 0.305, -0.458],
        [0.000, 0.408, -0.481],
        [-0.148, 0.509, -0.240],
        [0.000, 0.555, -0.279],
        [0.148, 0.509, -0.240],
        [-0.500, 0.000, 0.000],
        [-0.191, 0.018, -0.057],
        [0.191, 0.018, -0.057],
        [0.500, 0.000, 0.000],
    ]
)
#: Columns: the axes of a head that faces the camera (x forward, y left, z up) in the axes of the
#: model and of the camera's optical frame (x right, y down, z forward).
FACING_CAMERA = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
#: A mean reprojection error above this share of the eyes' distance means that this is no head.
MAX_ERROR = 0.2


def default_camera_matrix(image_size: tuple[int, int]) -> NDArray[np.float64]:
    """``[3, 3]`` pinhole camera whose focal length is the image's width (53 degrees of view)."""
    width, height = image_size
    return np.array([[width, 0.0, width / 2], [0.0, width, height / 2], [0.0, 0.0, 1.0]])


def solve_head_pose(
    landmarks_px: NDArray[np.float32],
    image_size: tuple[int, int],
    camera_matrix: NDArray[np.float64] | None = None,
) -> HeadPose | None:
    """Orientation of a head towards the camera (conventions: :class:`~hmgen_ros.types.HeadPose`).

    Args:
        landmarks_px: ``[68, 2]`` pixels.
        image_size: width and height, pixels.
        camera_matrix: ``[3, 3]``, :func:`default_camera_matrix` where it is not known.

    Returns:
        The pose, or None where the points are not finite or do not look like a head.
    """
    camera = default_camera_matrix(image_size) if camera_matrix is None else camera_matrix
    found = _solve(landmarks_px, camera)
    return None if found is None else _towards_camera(_rodrigues(found[0]), found[1].ravel())


def angle_between(pose: HeadPose, yaw: float = 0.0, pitch: float = 0.0) -> float:
    """Angle between where a head points and a direction, radians, 0 to pi.

    Args:
        pose: of the head.
        yaw: of a head that points in the direction, rad; 0 and 0 are towards the camera.
        pitch: likewise.
    """
    one, other = _forward(pose.yaw, pose.pitch), _forward(yaw, pitch)
    return math.acos(min(1.0, max(-1.0, sum(a * b for a, b in zip(one, other, strict=True)))))


def _forward(yaw: float, pitch: float) -> tuple[float, float, float]:
    """Unit vector, x to the camera, y to the person's left, z up."""
    return math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), -math.sin(pitch)


class HeadPlace(NamedTuple):
    """Where a head is in the camera's optical frame (x right, y down, z forward).

    Attributes:
        position: ``[3]`` of the root of the nose between the eyes (iBUG-68 point 27), in units of the
            distance of the outer eye corners.
        rotation: ``[3, 3]`` whose columns are the axes of the head: x out of the face, y to its left, z up.
    """

    position: NDArray[np.float64]
    rotation: NDArray[np.float64]


def place_head(landmarks_px: NDArray[np.float32], camera_matrix: NDArray[np.float64]) -> HeadPlace | None:
    """Place of a head before a calibrated camera.

    Args:
        landmarks_px: ``[68, 2]`` pixels.
        camera_matrix: ``[3, 3]``.

    Returns:
        The place, or None where the points are not finite or do not look like a head.
    """
    found = _solve(landmarks_px, camera_matrix)
    if found is None:
        return None
    rotation = _rodrigues(found[0])
    return HeadPlace(rotation @ HEAD_MODEL[0] + found[1].ravel(), rotation @ FACING_CAMERA)


def _solve(
    landmarks_px: NDArray[np.float32], camera: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Rotation vector and position of the model; None where the points do not look like a head."""
    points = landmarks_px[np.array(RIGID_POINTS)].astype(np.float64)
    if not np.isfinite(points).all():
        return None
    start = _scaled_orthographic(points, camera)
    if start is None:
        return None
    try:
        solution = cv2.solvePnP(
            HEAD_MODEL, points, camera, None, *start, useExtrinsicGuess=True, flags=cv2.SOLVEPNP_ITERATIVE
        )
    except cv2.error:
        return None
    rotation, position = (np.asarray(part, dtype=np.float64) for part in solution[1:])
    return (rotation, position) if _plausible(points, rotation, position, camera) else None


def _rodrigues(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation vector to matrix, or back."""
    return np.asarray(cv2.Rodrigues(rotation)[0], dtype=np.float64)


def _scaled_orthographic(
    points: NDArray[np.float64], camera: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Rotation vector and position under scaled orthography: a start that no noise throws off."""
    middle = points.mean(0)
    rows = _model_inverse() @ (points - middle)  # [3, 2]
    left, size, right = np.linalg.svd(rows.T, full_matrices=False)
    focal = (camera[0, 0] + camera[1, 1]) / 2
    if size.mean() < 1e-6 or focal <= 0:
        return None
    x, y = left @ right
    z = (x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0])
    rotation = np.array([x, y, z])
    ray = np.array([*((middle - camera[:2, 2]) / focal), 1.0])
    position = ray * focal / size.mean() - rotation @ HEAD_MODEL.mean(0)
    return _rodrigues(rotation), position.reshape(3, 1)


@cache
def _model_inverse() -> NDArray[np.float64]:
    """``[3, 11]`` that turns centred image points into the first rows of a scaled rotation."""
    return np.asarray(np.linalg.pinv(HEAD_MODEL - HEAD_MODEL.mean(0)))


def _plausible(
    points: NDArray[np.float64],
    rotation: NDArray[np.float64],
    position: NDArray[np.float64],
    camera: NDArray[np.float64],
) -> bool:
    """Whether a solution lies before the camera and reproduces the points."""
    if not (np.isfinite(rotation).all() and np.isfinite(position).all()) or position[2, 0] <= 0:
        return False
    seen = cv2.projectPoints(HEAD_MODEL, rotation, position, camera, None)[0][:, 0]
    unit = camera[0, 0] / position[2, 0]
    return bool(np.linalg.norm(seen - points, axis=1).mean() < MAX_ERROR * unit)


def _towards_camera(rotation: NDArray[np.float64], position: NDArray[np.float64]) -> HeadPose:
    """Angles against a head at the same place that looks straight into the camera."""
    x, y, z = position / math.sqrt(position @ position)
    # The smallest rotation that takes the optical axis to the ray on which the head stands.
    k = 1 / (1 + z)
    view = np.array([[1 - k * x * x, -k * x * y, x], [-k * x * y, 1 - k * y * y, y], [-x, -y, z]])
    head = FACING_CAMERA.T @ view.T @ rotation @ FACING_CAMERA
    return HeadPose(
        yaw=math.atan2(head[1, 0], head[0, 0]),
        pitch=-math.asin(min(1.0, max(-1.0, head[2, 0]))),
        roll=math.atan2(head[2, 1], head[2, 2]),
    )
