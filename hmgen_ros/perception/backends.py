"""What finds faces and their 68 landmarks, behind one interface, chosen by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

#: Backend name to the module that has ``create_backend(threads, workers) -> LandmarkBackend``. Modules
#: are imported only when their backend is asked for: each may need packages of its own.
BACKEND_MODULES = {
    "mesh": "hmgen_ros.perception.mesh",
    "face_alignment": "hmgen_ros.perception.fan",
    "dlib": "hmgen_ros.perception.dlib_shapes",
}


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces a detector found in one image, best first.

    Attributes:
        boxes: ``[n, 4]`` float32 x0, y0, x1, y1 in pixels, may reach over the border.
        scores: ``[n]`` float32 in [0, 1].
        rois: ``[n, 4]`` float32 where to look for landmarks: centre x, centre y, side of the square
            (pixels) and its clockwise rotation (radians).
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    rois: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True)
class LandmarkSets:
    """The landmarks found in ``n`` regions of one image.

    Attributes:
        points: ``[n, 68, 2]`` float32, iBUG-68 order, pixels.
        presence: ``[n]`` float32 in [0, 1], probability that the region shows a face at all.
        boxes: ``[n, 4]`` float32, bounding box of the whole face in pixels.
        rois: ``[n, 4]`` float32, where to look in the next image (as in :class:`Detections`).
        detail: ``[n, m, 3]`` float32, what a backend knows of each face beyond its 68 points, for
            :meth:`LandmarkBackend.annotated`; None where there is nothing.
    """

    points: NDArray[np.float32]
    presence: NDArray[np.float32]
    boxes: NDArray[np.float32]
    rois: NDArray[np.float32]
    detail: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.points)

    def subset(self, keep: list[int]) -> LandmarkSets:
        """The sets with these indices, in this order."""
        detail = None if self.detail is None else self.detail[keep]
        return LandmarkSets(self.points[keep], self.presence[keep], self.boxes[keep], self.rois[keep], detail)


class LandmarkBackend(ABC):
    """A face detector and a landmark model. Calls with equal input give equal output, bit for bit."""

    @abstractmethod
    def detect(self, image: NDArray[np.uint8], margin: float = 0.0) -> Detections:
        """Find faces. May run at the same time as :meth:`landmarks`.

        Args:
            image: ``[H, W, 3]`` BGR.
            margin: width of a black border to search with, as a share of the image's longer side; faces that
                fill the image are found with one, and small ones without.
        """

    @abstractmethod
    def landmarks(self, image: NDArray[np.uint8], rois: NDArray[np.float32]) -> LandmarkSets:
        """Fit landmarks in each of ``[n, 4]`` regions of a ``[H, W, 3]`` BGR image."""

    def annotated(self, found: LandmarkSets) -> NDArray[np.float32]:
        """``[n, 68, 2]`` landmarks where people who label faces put them, rather than where models want them.

        What was trained on labels gives these anyway. Models that were trained on tracks of a backend must be
        given its :attr:`LandmarkSets.points`, whatever is more accurate.
        """
        return found.points

    def close(self) -> None:
        """Stop worker threads, if any. The backend cannot be used afterwards."""
        return None


def create_backend(name: str, threads: int = 1, workers: int = 1) -> LandmarkBackend:
    """Make the backend called ``name``.

    Args:
        name: a key of :data:`BACKEND_MODULES`.
        threads: threads inside one run of a model.
        workers: how many faces may be fitted at the same time.

    Raises:
        ValueError: no such backend; names those that exist.
        hmgen_ros.perception.mesh_files.ModelFileError: its package or weights are missing; says how
            to get them.
    """
    if name not in BACKEND_MODULES:
        raise ValueError(f"unknown landmark backend {name!r}; choose one of {sorted(BACKEND_MODULES)}")
    backend: LandmarkBackend = import_module(BACKEND_MODULES[name]).create_backend(threads, workers)
    return backend
