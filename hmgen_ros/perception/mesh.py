"""The default backend: MediaPipe's full-range detector and face mesh, on one or more CPU threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.backends import Detections, LandmarkBackend, LandmarkSets
from hmgen_ros.perception.mesh_contours import contours_68
from hmgen_ros.perception.mesh_detector import MeshDetector
from hmgen_ros.perception.mesh_files import DETECTOR, LANDMARKS, model_file
from hmgen_ros.perception.mesh_landmarks import NUM_MESH_POINTS, MeshLandmarker, face_region, to_68

Fit = tuple[NDArray[np.float32], float, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class MeshBackend(LandmarkBackend):
    """See :class:`~hmgen_ros.perception.backends.LandmarkBackend`.

    Args:
        threads: threads inside one run of a model.
        workers: landmark models that run at the same time, each on faces of its own; the results do
            not depend on it.
    """

    def __init__(self, threads: int = 1, workers: int = 1) -> None:
        self._detector = MeshDetector(model_file(DETECTOR), threads)
        path = model_file(LANDMARKS)
        self._landmarkers = [MeshLandmarker(path, threads) for _ in range(workers)]
        self._pool = ThreadPoolExecutor(workers - 1, "landmarks") if workers > 1 else None

    def detect(self, image: NDArray[np.uint8], margin: float = 0.0) -> Detections:
        """See :meth:`.LandmarkBackend.detect`."""
        return self._detector.detect(image, margin)

    def landmarks(self, image: NDArray[np.uint8], rois: NDArray[np.float32]) -> LandmarkSets:
        """Fit landmarks in each of ``[n, 4]`` regions of a ``[H, W, 3]`` BGR image."""
        fits: list[Fit] = [None] * len(rois)  # type: ignore[list-item]
        stride = len(self._landmarkers)

        def work(first: int) -> None:
            for i in range(first, len(rois), stride):
                fits[i] = _fit(self._landmarkers[first], image, rois[i])

        helpers = [self._pool.submit(work, k) for k in range(1, min(stride, len(rois)))] if self._pool else []
        work(0)
        for helper in helpers:
            helper.result()
        return LandmarkSets(
            np.array([f[0] for f in fits], np.float32).reshape(-1, 68, 2),
            np.array([f[1] for f in fits], np.float32),
            np.array([f[2] for f in fits], np.float32).reshape(-1, 4),
            np.array([f[3] for f in fits], np.float32).reshape(-1, 4),
            np.array([f[4] for f in fits], np.float32).reshape(-1, NUM_MESH_POINTS, 3),
        )

    def annotated(self, found: LandmarkSets) -> NDArray[np.float32]:
        """See :meth:`.LandmarkBackend.annotated`."""
        if found.detail is None:
            raise ValueError("these landmarks are not of the mesh")
        return np.array([contours_68(mesh) for mesh in found.detail], np.float32).reshape(-1, 68, 2)

    def close(self) -> None:
        """Stop the worker threads."""
        if self._pool is not None:
            self._pool.shutdown()


def _fit(landmarker: MeshLandmarker, image: NDArray[np.uint8], roi: NDArray[np.float32]) -> Fit:
    """One face: 68 points, presence, box, next region and mesh."""
    mesh, presence = landmarker.fit(image, roi)
    return to_68(mesh), presence, *face_region(mesh), mesh


def create_backend(threads: int, workers: int) -> MeshBackend:
    """Entry point of :func:`hmgen_ros.perception.backends.create_backend`."""
    return MeshBackend(threads, workers)
