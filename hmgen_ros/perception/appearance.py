"""What a face looks like: vectors that lie close together for one person and apart for two.

The network is a residual one of 29 convolutions, whose author gave its weights into the public domain;
``models/face_embedder.md`` tells where they come from. Distances are Euclidean. It was trained to keep people
further apart than 0.6, whatever the light; benchmarks/appearance_calibration.py measures how far they are.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hmgen_ros.perception.mesh_files import ModelFileError
from hmgen_ros.resources import resource
from hmgen_ros.types import Face

Floats = NDArray[np.float32]

MODEL = "models/face_embedder.onnx"
SHA256 = "0c9939e310267a55f77651f4d73ceacb95d5b433e0bf1e41f165ac967fd9a3cd"
INPUT_SIZE = 150
#: Where the middle of eyes and mouth comes to lie in the network's picture, and how far the mouth is then
#: from the eyes, in widths of the picture.
MIDDLE, EYES_TO_MOUTH = (0.50, 0.43), 0.45

#: Nearer than this: the same person. Further than this: somebody else. Between: not known.
SAME, OTHER = 0.5, 0.6
#: So much nearer than to anybody else must a face be to be recognised.
MARGIN = 0.15
#: Distance that changes the log odds of being the same person by one, and the most log odds.
STEP, MOST_LOG_ODDS = 0.05, 6.0
#: Vectors that are kept of a person.
KEPT = 6

#: Faces are not looked at that are smaller (outer eye corners, pixels), turned further (radians), or of which
#: a point lies outside the image.
MIN_EYES_PX, MAX_YAW, MAX_PITCH = 18.0, math.radians(40), math.radians(35)
#: Landmarks of eyes and mouth.
_RIGHT_EYE, _LEFT_EYE, _MOUTH = slice(36, 42), slice(42, 48), slice(48, 68)


class FaceEmbedder:
    """The network. Calls with equal input give equal output, bit for bit.

    Args:
        threads: threads of one run.
        path: the model file, the package's own where none is given.

    Raises:
        ModelFileError: the model file is another one.
        FileNotFoundError: the package is not installed completely.
    """

    def __init__(self, threads: int = 1, path: Path | None = None) -> None:
        path = path or resource(MODEL)
        data = path.read_bytes()
        if (digest := hashlib.sha256(data).hexdigest()) != SHA256:
            raise ModelFileError(
                f"{path} has SHA-256 {digest[:12]}…, expected {SHA256[:12]}…: it is damaged or was replaced; "
                "reinstall the package"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def vector(self, image: NDArray[np.uint8], landmarks_px: Floats) -> Floats:
        """``[128]`` of the face with ``[68, 2]`` landmarks in a ``[H, W, 3]`` BGR image."""
        picture = upright_face(image, landmarks_px)
        found: Floats = self._session.run(None, {"face": picture[None]})[0][0]
        return found


def upright_face(image: NDArray[np.uint8], landmarks_px: Floats) -> NDArray[np.uint8]:
    """The face ``[150, 150, 3]`` with level eyes, as large as the network expects it."""
    right, left, mouth = (landmarks_px[part].mean(0) for part in (_RIGHT_EYE, _LEFT_EYE, _MOUTH))
    across = left - right
    angle = math.atan2(across[1], across[0])
    height = (np.linalg.norm(mouth - right) + np.linalg.norm(mouth - left)) / 2
    scale = float(height) / (EYES_TO_MOUTH * INPUT_SIZE)
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corner = (right + left + mouth) / 3 - turn @ (np.array(MIDDLE) * INPUT_SIZE)
    picture = cv2.warpAffine(
        image,
        np.column_stack([turn, corner]),
        (INPUT_SIZE, INPUT_SIZE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(picture, np.uint8)


def shows_who(face: Face) -> bool:
    """Whether a face is large, straight and complete enough to tell whose it is."""
    pose = face.pose
    if pose is None or face.scale_px < MIN_EYES_PX or not (face.visibility > 0).all():
        return False
    return abs(pose.yaw) <= MAX_YAW and abs(pose.pitch) <= MAX_PITCH


def log_odds(distance: float) -> float:
    """That two faces are of one person rather than of two, given the distance of their vectors."""
    return min(MOST_LOG_ODDS, max(-MOST_LOG_ODDS, (OTHER - distance) / STEP))


class Gallery:
    """The latest few vectors of one person."""

    def __init__(self) -> None:
        self._vectors: deque[Floats] = deque(maxlen=KEPT)

    def __len__(self) -> int:
        return len(self._vectors)

    def add(self, vector: Floats) -> None:
        """Remember one more look."""
        self._vectors.append(vector)

    def take(self, other: Gallery) -> None:
        """Remember what another gallery does, too, its looks being the older ones."""
        self._vectors = deque([*other._vectors, *self._vectors], maxlen=KEPT)

    def distance(self, vector: Floats) -> float:
        """To the most similar look; infinite while there is none."""
        if not self._vectors:
            return math.inf
        return float(np.sqrt(np.square(np.stack(self._vectors) - vector).sum(1).min()))
