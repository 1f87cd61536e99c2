"""Errors of landmarks against hand labels: the usual figures of face alignment.

An error is the mean distance of points in percent of the distance of the labelled outer eye corners (NME).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hmgen_ros.perception.boxes import box_iou
from hmgen_ros.perception.normalisation import OUTER_EYE_CORNERS

#: Points that are not of the jaw.
INNER = slice(17, 68)
PARTS = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "mouth": slice(48, 68),
}
#: A face is that of a label whose points' bounding box it overlaps by this IoU.
MIN_OVERLAP = 0.2
#: Errors above this, in percent, are failures; the usual bound.
FAILURE = 8.0


def match_faces(labels: NDArray[np.float64], found: NDArray[np.float32]) -> list[int | None]:
    """Which found face each label is of, by where they are; each is used once.

    Args:
        labels: ``[n, 68, 2]``.
        found: ``[m, 68, 2]``.

    Returns:
        For each label an index into ``found``, None where no face was found.
    """
    overlap = box_iou(_boxes(labels), _boxes(found))
    overlap = np.where(overlap >= MIN_OVERLAP, overlap, 0)
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    pairs = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if overlap[r, c] > 0}
    return [pairs.get(i) for i in range(len(labels))]


def point_errors(label: NDArray[np.float64], points: NDArray[np.float32]) -> NDArray[np.float64]:
    """``[68]`` distances in percent of the outer eye corners'; both ``[68, 2]``."""
    right, left = label[list(OUTER_EYE_CORNERS)]
    return np.asarray(100 * np.linalg.norm(points - label, axis=1) / np.hypot(*(left - right)))


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """Errors of many faces.

    Attributes:
        errors: ``[n, 68]`` percent, of the faces that were found.
        labelled: faces that there are.
    """

    errors: NDArray[np.float64]
    labelled: int

    def figures(self) -> dict[str, Any]:
        """Means over found faces, and two figures that count a face not found as wrong without bound.

        Returns:
            ``nme`` over 68 and ``nme_inner`` over 51 points; ``nme_median``; ``parts``, by part of the face;
            ``auc_8`` and ``auc_8_inner`` in [0, 1], area under the share of labelled faces whose error is
            less, up to 8 %; ``failures_8``, share of labelled faces above 8 %. None where none was found.
        """
        if not len(self.errors):
            names = ("nme", "nme_inner", "nme_median", "parts", "auc_8", "auc_8_inner", "failures_8")
            return dict.fromkeys(names)
        faces, inner = self.errors.mean(1), self.errors[:, INNER].mean(1)
        return {
            "nme": float(faces.mean()),
            "nme_inner": float(inner.mean()),
            "nme_median": float(np.median(faces)),
            "parts": {name: float(self.errors[:, part].mean()) for name, part in PARTS.items()},
            "auc_8": self._area(faces),
            "auc_8_inner": self._area(inner),
            "failures_8": 1 - float((faces <= FAILURE).sum()) / self.labelled,
        }

    def _area(self, faces: NDArray[np.float64]) -> float:
        """Exact area under the step function of cumulative errors."""
        return float(np.maximum(1 - faces / FAILURE, 0).sum()) / self.labelled


def _boxes(points: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float32]:
    """``[n, 4]`` bounding boxes of ``[n, 68, 2]``."""
    if not len(points):
        return np.zeros((0, 4), np.float32)
    return np.concatenate([points.min(1), points.max(1)], axis=1).astype(np.float32)
