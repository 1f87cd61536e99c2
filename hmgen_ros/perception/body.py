"""Bodies in an image: 17 points of up to six people, by MoveNet on one CPU thread."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hmgen_ros.perception.mesh_files import ModelFileError

#: The image is shrunk to fit into this many pixels, long side and short side; then filled up with black
#: to multiples of STRIDE, so that a wide image costs less than a square one.
LONG_SIDE, SHORT_SIDE, STRIDE = 256, 192, 32
NUM_JOINTS = 17
#: Ticks between two looks, at most: of looks that are further apart than 0.6 s (BodyActionConfig.max_gap_s)
#: nothing is told, and an image or two may be missing.
MOST_EVERY = 12


class Joint(IntEnum):
    """The points of a body, in COCO's order; left and right are the person's own."""

    NOSE = 0
    LEFT_EYE = 1
    RIGHT_EYE = 2
    LEFT_EAR = 3
    RIGHT_EAR = 4
    LEFT_SHOULDER = 5
    RIGHT_SHOULDER = 6
    LEFT_ELBOW = 7
    RIGHT_ELBOW = 8
    LEFT_WRIST = 9
    RIGHT_WRIST = 10
    LEFT_HIP = 11
    RIGHT_HIP = 12
    LEFT_KNEE = 13
    RIGHT_KNEE = 14
    LEFT_ANKLE = 15
    RIGHT_ANKLE = 16


@dataclass(frozen=True)
class BodyConfig:
    """Settings of the body cues.

    Attributes:
        enabled: look for bodies at all, where perception is given the model.
        every: ticks between two looks, 1 to :data:`MOST_EVERY`: 5 makes 5 Hz.
        min_score: in [0, 1]; a body below is not one.
        min_joint_score: in [0, 1]; a point of a body below is not visible.
    """

    enabled: bool = True
    every: int = 5
    min_score: float = 0.15
    min_joint_score: float = 0.3

    def __post_init__(self) -> None:
        if not 1 <= self.every <= MOST_EVERY:
            raise ValueError(f"every must be between 1 and {MOST_EVERY}, got {self.every}")
        for name in ("min_score", "min_joint_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Letterboxed:
    """An image as the model takes it.

    Attributes:
        tensor: ``[1, h, w, 3]`` uint8 RGB; ``h`` and ``w`` are multiples of :data:`STRIDE`.
        scale: pixels here of one pixel of the image; the image begins at the top left corner.
        size: width and height of the image.
    """

    tensor: NDArray[np.uint8]
    scale: float
    size: tuple[int, int]


def full_scale(image: NDArray[np.uint8]) -> float:
    """Pixels of the largest picture that the model is given, for one pixel of a ``[H, W, 3]`` image."""
    height, width = image.shape[:2]
    limits = (LONG_SIDE, SHORT_SIDE) if width >= height else (SHORT_SIDE, LONG_SIDE)
    return float(min(limits[0] / width, limits[1] / height))


def letterbox(image: NDArray[np.uint8], share: float = 1.0) -> Letterboxed:
    """Shrink a ``[H, W, 3]`` BGR image; a copy, so that the image may be overwritten.

    Args:
        image: at least one pixel.
        share: sides of the picture in parts of the largest one, in (0, 1].
    """
    height, width = image.shape[:2]
    scale = full_scale(image) * share
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    tensor = np.zeros((1, _whole(new_height), _whole(new_width), 3), np.uint8)
    small = cv2.resize(image, (new_width, new_height), interpolation=method)
    tensor[0, :new_height, :new_width] = cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
    return Letterboxed(tensor, scale, (width, height))


def _whole(size: int) -> int:
    return -(-size // STRIDE) * STRIDE


class BodyModel:
    """MoveNet MultiPose, see ``models/movenet_multipose.md``.

    Args:
        path: the ``.onnx`` file.

    Raises:
        ModelFileError: it is not what onnxruntime can run; names the file.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions have no common base of their own
            raise ModelFileError(f"{path} is no model that onnxruntime can run: {error}") from error

    def find(self, picture: Letterboxed) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The bodies of a picture, most certain first.

        Returns:
            ``[6, 17, 3]`` x and y in pixels of the original image and score in [0, 1] of each
            :class:`Joint`, and the ``[6]`` scores of the bodies. A point outside the image has score 0.
        """
        raw = self._session.run(None, {"input": picture.tensor})[0][0]  # [6, 56]
        height, width = picture.tensor.shape[1:3]
        yxs = raw[:, : 3 * NUM_JOINTS].reshape(-1, NUM_JOINTS, 3)
        joints = np.empty_like(yxs)
        joints[..., 0] = yxs[..., 1] * (width / picture.scale)
        joints[..., 1] = yxs[..., 0] * (height / picture.scale)
        inside = ((joints[..., :2] >= 0) & (joints[..., :2] <= picture.size)).all(-1)
        joints[..., 2] = np.where(inside, yxs[..., 2], 0)
        return joints, np.ascontiguousarray(raw[:, 55])
