"""Turns the head of a filmed person a little: nods and shakes of real faces, with known angles.

The depth of the face comes from MediaPipe's face mesh, fitted to one frame of a clip. Pixels move as the
rigid head at that depth would under orthographic projection; the motion fades out over hair, neck and
background.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import griddata

from hmgen_ros.perception.mesh_files import LANDMARKS, model_file
from hmgen_ros.perception.mesh_landmarks import MeshLandmarker, face_region

Array = NDArray[np.float64]

#: Half the turning part of a head in face widths and heights: sideways, up, down; and where it has faded out.
REACH_X, REACH_UP, REACH_DOWN, FADED = 0.8, 0.95, 0.6, 1.9
#: Mesh points in front of the ears, at the depth of the neck's uppermost joint.
EARS = (234, 454)
#: The joint below the middle of the face, in face heights.
JOINT_BELOW = 0.2
#: Fixed-point steps from where a pixel goes to where it comes from.
STEPS = 3


class TurnableHead:
    """The head in the frames of one clip, in which it keeps about its place.

    Args:
        frame: ``[H, W, 3]`` BGR, with a calm face.
        landmarks: ``[68, 2]`` of the frame.
        landmarker: fits the mesh.
    """

    def __init__(self, frame: NDArray[np.uint8], landmarks: Array, landmarker: MeshLandmarker) -> None:
        """See the class."""
        mesh = _fit(frame, landmarks, landmarker).astype(np.float64)
        (x0, y0), (x1, y1) = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
        width, height, middle = x1 - x0, y1 - y0, np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        self._pivot = np.array([middle[0], middle[1] + JOINT_BELOW * height, mesh[list(EARS), 2].mean()])
        y, x = np.mgrid[0 : frame.shape[0], 0 : frame.shape[1]].astype(np.float64)
        away = (y - middle[1]) / height / np.where(y < middle[1], REACH_UP, REACH_DOWN)
        far = np.hypot((x - middle[0]) / width / REACH_X, away)
        fade = np.clip((far - 1) / (FADED - 1), 0, 1)
        self._weight = 1 - fade * fade * (3 - 2 * fade)
        rows, columns = np.flatnonzero(self._weight.any(axis=1)), np.flatnonzero(self._weight.any(axis=0))
        #: Rows and columns that can move.
        self.part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        self._x, self._y, self._weight = x[self.part], y[self.part], self._weight[self.part]
        self._depth = _depth(mesh, self._x, self._y)

    def field(self, pitch: float, yaw: float) -> NDArray[np.float32]:
        """By how much every pixel of :attr:`part` moves, ``[h, w, 2]`` x and y.

        Args:
            pitch: radians, down is positive.
            yaw: radians, towards the person's left is positive.
        """
        px, py, pz = self._pivot
        x, y, z = self._x - px, self._y - py, self._depth - pz
        turned = np.cos(yaw) * x - np.sin(yaw) * z
        back = np.sin(yaw) * x + np.cos(yaw) * z
        dropped = np.cos(pitch) * y - np.sin(pitch) * back
        move = np.stack([turned - x, dropped - y], axis=-1) * self._weight[..., None]
        return move.astype(np.float32)

    def turn(self, pictures: list[Any], pitch: float, yaw: float) -> list[Any]:
        """Copies of pictures ``[H, W, C]`` of this clip with the head turned."""
        move = self.field(pitch, yaw)
        height, width = move.shape[:2]
        ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
        source = move
        for _ in range(STEPS - 1):
            source = cv2.remap(
                move,
                xs - source[..., 0],
                ys - source[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
        turned = []
        for picture in pictures:
            copy, part = picture.copy(), np.ascontiguousarray(picture[self.part])
            copy[self.part] = cv2.remap(
                part,
                xs - source[..., 0],
                ys - source[..., 1],
                cv2.INTER_CUBIC if part.dtype == np.uint8 else cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            turned.append(copy)
        return turned

    def move(self, points: Array, pitch: float, yaw: float) -> Array:
        """Where points ``[K, 2]`` of the clip go."""
        field = self.field(pitch, yaw)
        rows, columns = self.part
        x = (points[:, 0] - columns.start).astype(np.float32)[:, None]
        y = (points[:, 1] - rows.start).astype(np.float32)[:, None]
        by = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(points + by[:, 0], np.float64)


def make_landmarker() -> MeshLandmarker:
    """The face mesh, on one thread."""
    return MeshLandmarker(model_file(LANDMARKS))


def _fit(frame: NDArray[np.uint8], landmarks: Array, landmarker: MeshLandmarker) -> NDArray[np.float32]:
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    roi = np.array([*(low + high) / 2, 1.6 * (high - low).max(), 0.0], np.float32)
    mesh, _ = landmarker.fit(frame, roi)
    return landmarker.fit(frame, face_region(mesh)[1])[0]


def _depth(mesh: Array, x: Array, y: Array) -> Array:
    """Depth of the pixels: that of the mesh, and of its rim around it, without creases."""
    where = np.stack([x, y], axis=-1)
    inside = griddata(mesh[:, :2], mesh[:, 2], where, "linear")
    rim = griddata(mesh[:, :2], mesh[:, 2], where, "nearest")
    depth = np.where(np.isnan(inside), rim, inside)
    return np.asarray(cv2.GaussianBlur(depth, (0, 0), 0.02 * np.ptp(mesh[:, 0]) + 1.0))
