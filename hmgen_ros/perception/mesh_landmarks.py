"""MediaPipe's 468-point face mesh, reduced to the 68 iBUG landmarks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

INPUT_SIZE = 192
NUM_MESH_POINTS = 468
#: The landmark region is this much larger than the face of the image before.
ROI_SCALE = 1.5
#: Mesh points of the outer eye corners; the line through them gives the region's rotation.
EYE_CORNERS = (33, 263)

# fmt: off
_JAW = (127, 234, 93, (132, 58), (58, 172), 136, 150, 176, 152, 400, 379, 365, (397, 288), 361, 323, 454, 356)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = ((168, 6), (197, 195), 5, 4, 75, 97, 2, 326, 305)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87)
# fmt: on
#: ``[68, 2]`` the two mesh points whose mean is an iBUG landmark (twice the same where one suffices).
MESH_TO_68 = np.array([p if isinstance(p, tuple) else (p, p) for p in _JAW + _BROWS + _NOSE + _EYES + _LIPS])


class MeshLandmarker:
    """Fits the mesh to one region at a time. Not safe for use by two threads at once."""

    def __init__(self, model: Path, threads: int = 1) -> None:
        self._interpreter = Interpreter(model_path=str(model), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {int(d["shape"][-1]): d["index"] for d in self._interpreter.get_output_details()}
        self._points, self._presence = outputs[3 * NUM_MESH_POINTS], outputs[1]
        self._crop = np.zeros((INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
        self._tensor = np.zeros((1, INPUT_SIZE, INPUT_SIZE, 3), np.float32)

    def fit(self, image: NDArray[np.uint8], roi: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        """Mesh of the face in one region.

        Args:
            image: ``[H, W, 3]`` BGR.
            roi: ``[4]`` centre x, centre y, side, rotation.

        Returns:
            ``[468, 3]`` points, x and y in pixels of the image, z in pixels towards the back of the
            head, and the probability that this is a face.
        """
        to_image = region_to_image(roi)
        cv2.warpAffine(
            image,
            to_image,
            (INPUT_SIZE, INPUT_SIZE),
            dst=self._crop,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        np.multiply(cv2.cvtColor(self._crop, cv2.COLOR_BGR2RGB), np.float32(1 / 255), out=self._tensor[0])
        self._interpreter.set_tensor(self._input, self._tensor)
        self._interpreter.invoke()
        mesh = self._interpreter.get_tensor(self._points).reshape(NUM_MESH_POINTS, 3)
        logit = float(self._interpreter.get_tensor(self._presence).item())
        mesh[:, :2] = mesh[:, :2] @ to_image[:, :2].T + to_image[:, 2]
        mesh[:, 2] *= roi[2] / INPUT_SIZE
        return mesh, 1.0 / (1.0 + float(np.exp(-logit)))


def region_to_image(roi: NDArray[np.float32]) -> NDArray[np.float64]:
    """``[2, 3]`` affine map from pixels of the square model input to pixels of the image."""
    x, y, side, angle = (float(v) for v in roi)
    scale = side / INPUT_SIZE
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    half = INPUT_SIZE / 2
    return np.array([[cos, -sin, x - half * (cos - sin)], [sin, cos, y - half * (sin + cos)]])


def to_68(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[468, 3]`` mesh to ``[68, 2]`` landmarks in iBUG order."""
    return np.asarray(mesh[MESH_TO_68, :2].mean(axis=1), dtype=np.float32)


def face_region(mesh: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bounding box ``[4]`` of a mesh, and the ``[4]`` region in which to look for it next."""
    points = mesh[:, :2]
    box = np.concatenate([points.min(0), points.max(0)]).astype(np.float32)
    right, left = points[list(EYE_CORNERS)]
    angle = np.arctan2(left[1] - right[1], left[0] - right[0])
    cos, sin = np.cos(angle), np.sin(angle)
    upright = points @ np.array([[cos, -sin], [sin, cos]])
    low, high = upright.min(0), upright.max(0)
    x, y = (low + high) / 2
    centre = (x * cos - y * sin, x * sin + y * cos)
    side = float((high - low).max()) * ROI_SCALE
    return box, np.array([*centre, side, angle], np.float32)
