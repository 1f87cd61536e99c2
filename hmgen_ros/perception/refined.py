"""Backends that take detector, presence and tracking from the mesh, and the 68 points from another model."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.backends import Detections, LandmarkBackend, LandmarkSets
from hmgen_ros.perception.mesh import MeshBackend

#: Regions with less presence show no face, and are not worth another model's time.
MIN_PRESENCE = 0.1


class RefinedBackend(LandmarkBackend):
    """See :class:`~hmgen_ros.perception.backends.LandmarkBackend`.

    Args:
        threads: threads inside one run of the mesh's models.
        workers: meshes that are fitted at the same time.
    """

    def __init__(self, threads: int = 1, workers: int = 1) -> None:
        self._mesh = MeshBackend(threads, workers)

    def detect(self, image: NDArray[np.uint8], margin: float = 0.0) -> Detections:
        """See :meth:`.LandmarkBackend.detect`."""
        return self._mesh.detect(image, margin)

    def landmarks(self, image: NDArray[np.uint8], rois: NDArray[np.float32]) -> LandmarkSets:
        """Fit landmarks in each of ``[n, 4]`` regions of a ``[H, W, 3]`` BGR image."""
        found = self._mesh.landmarks(image, rois)
        faces = np.flatnonzero(found.presence >= MIN_PRESENCE)
        points = found.points.copy()
        if len(faces):
            points[faces] = self.refine(image, found.subset(faces.tolist()))
        return replace(found, points=points, detail=None)

    @abstractmethod
    def refine(self, image: NDArray[np.uint8], found: LandmarkSets) -> NDArray[np.float32]:
        """``[n, 68, 2]`` pixels: better points of ``n`` faces in a ``[H, W, 3]`` BGR image, n at least 1."""

    def close(self) -> None:
        """Stop the worker threads."""
        self._mesh.close()
