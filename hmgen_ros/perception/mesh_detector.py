"""MediaPipe's full-range face detector: one square image in, boxes and eye positions out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from hmgen_ros.perception.backends import Detections
from hmgen_ros.perception.boxes import box_iou
from hmgen_ros.perception.shrinking import shrunk

INPUT_SIZE = 192
#: One anchor in the middle of each cell of the model's 48 x 48 output map.
GRID_SIZE = 48
#: Logits are clipped here before the sigmoid, as in the model's own post-processing.
LOGIT_LIMIT = 100.0
#: A face's landmark region is this much larger than its detected box.
ROI_SCALE = 1.5


def anchor_centres() -> NDArray[np.float32]:
    """``[2304, 2]`` x, y of the anchors in [0, 1], row by row."""
    middle = (np.arange(GRID_SIZE, dtype=np.float32) + 0.5) / GRID_SIZE
    x, y = np.meshgrid(middle, middle)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def weighted_nms(
    coordinates: NDArray[np.float32], scores: NDArray[np.float32], min_overlap: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Merge overlapping candidates into their score-weighted mean.

    Args:
        coordinates: ``[n, 4 + k]``, the first four being the box.
        scores: ``[n]`` weights > 0.
        min_overlap: candidates with at least this IoU with the best one are the same face.

    Returns:
        ``[m, 4 + k]`` merged coordinates and the ``[m]`` best score of each, best first.
    """
    order = np.argsort(-scores, kind="stable")
    merged, best = [], []
    while len(order):
        overlap = box_iou(coordinates[order[:1], :4], coordinates[order, :4])[0]
        same = overlap >= min_overlap
        same[0] = True
        weights = scores[order[same], None]
        merged.append((coordinates[order[same]] * weights).sum(0) / weights.sum())
        best.append(scores[order[0]])
        order = order[~same]
    shape = (len(merged), coordinates.shape[1])
    return np.asarray(merged, np.float32).reshape(shape), np.asarray(best, np.float32)


class MeshDetector:
    """Finds faces from arm's length to several metres.

    Args:
        model: the ``.tflite`` file.
        threads: threads of one run.
        min_score: candidates below are dropped.
        min_overlap: see :func:`weighted_nms`.
    """

    def __init__(
        self, model: Path, threads: int = 1, min_score: float = 0.6, min_overlap: float = 0.3
    ) -> None:
        self._interpreter = Interpreter(model_path=str(model), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {int(d["shape"][-1]): d["index"] for d in self._interpreter.get_output_details()}
        self._regressors, self._classifiers = outputs[16], outputs[1]
        self._anchors = anchor_centres()
        self._min_score, self._min_overlap = min_score, min_overlap
        self._square = np.zeros((INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
        self._tensor = np.zeros((1, INPUT_SIZE, INPUT_SIZE, 3), np.float32)

    def detect(self, image: NDArray[np.uint8], margin: float = 0.0) -> Detections:
        """Faces in a ``[H, W, 3]`` BGR image, best first; see :meth:`.LandmarkBackend.detect`."""
        left, top, scale = self._letterbox(image, margin)
        self._interpreter.set_tensor(self._input, self._tensor)
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._regressors)[0]  # [2304, 16]
        logits = self._interpreter.get_tensor(self._classifiers)[0, :, 0]  # [2304]
        scores = 1.0 / (1.0 + np.exp(-np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT)))
        keep = np.flatnonzero(scores >= self._min_score)
        corners = self._decode(raw[keep], self._anchors[keep])
        merged, best = weighted_nms(corners, scores[keep].astype(np.float32), self._min_overlap)
        merged[:, 0::2] = (merged[:, 0::2] - left) / scale
        merged[:, 1::2] = (merged[:, 1::2] - top) / scale
        return Detections(merged[:, :4].copy(), best, rois_from_detections(merged))

    def _letterbox(self, image: NDArray[np.uint8], margin: float) -> tuple[int, int, float]:
        """Fill the input tensor with the image, centred on black; returns its left, top and scale."""
        height, width = image.shape[:2]
        scale = INPUT_SIZE / max(height, width) / (1 + 2 * margin)
        new_width = max(1, round(width * scale))
        new_height = max(1, round(height * scale))
        left, top = (INPUT_SIZE - new_width) // 2, (INPUT_SIZE - new_height) // 2
        self._square[:] = 0
        self._square[top : top + new_height, left : left + new_width] = shrunk(image, new_width, new_height)
        rgb = cv2.cvtColor(self._square, cv2.COLOR_BGR2RGB)
        np.multiply(rgb, np.float32(2 / 255), out=self._tensor[0])
        self._tensor -= 1.0
        return left, top, scale

    @staticmethod
    def _decode(raw: NDArray[np.float32], anchors: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[n, 16]`` model output to ``[n, 8]`` box corners and both eyes, pixels of the square input."""
        centre = anchors * INPUT_SIZE + raw[:, :2]
        half = raw[:, 2:4] / 2
        eyes = np.tile(anchors * INPUT_SIZE, 2) + raw[:, 4:8]
        return np.concatenate([centre - half, centre + half, eyes], axis=1)


def rois_from_detections(detections: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[n, 8]`` box corners and eyes to ``[n, 4]`` regions whose rows are parallel to the eyes."""
    centre = (detections[:, :2] + detections[:, 2:4]) / 2
    side = (detections[:, 2:4] - detections[:, :2]).max(1, initial=0) * ROI_SCALE
    between = detections[:, 6:8] - detections[:, 4:6]
    angle = np.arctan2(between[:, 1], between[:, 0])
    return np.column_stack([centre, side, angle]).astype(np.float32)
