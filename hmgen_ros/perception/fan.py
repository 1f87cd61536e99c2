"""The backend ``face_alignment``: 2DFAN-4, the reference, on faces that the mesh's detector finds.

A second a face on a CPU, so for a GPU or for extraction. The package would fetch weights by itself; here they
must lie in torch's cache already, and nothing is fetched.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.perception.backends import LandmarkSets
from hmgen_ros.perception.mesh_files import ModelFileError
from hmgen_ros.perception.refined import RefinedBackend

WEIGHTS = "2DFAN4-11f355bf06.pth.tar"


def weights_file() -> Path:
    """Path of the weights in torch's cache (``$TORCH_HOME/hub/checkpoints``).

    Raises:
        ModelFileError: they are not there; names the path.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    if not path.is_file():
        raise ModelFileError(
            f"missing weights {path}; the backend face_alignment needs 2DFAN-4, which is not fetched by "
            f"itself: get {WEIGHTS} from where the package face-alignment has it from, and put it there"
        )
    return path


class FanBackend(RefinedBackend):
    """See :class:`~hmgen_ros.perception.refined.RefinedBackend`.

    Raises:
        ModelFileError: the package or the weights are missing, or damaged; says how to get them.
    """

    def __init__(self, threads: int = 1, workers: int = 1) -> None:
        super().__init__(threads, workers)
        try:
            import face_alignment
        except ModuleNotFoundError as error:
            raise ModelFileError(
                f"the backend face_alignment needs {error.name}; pip install 'hmgen_ros[face-alignment]'"
            ) from error
        path = weights_file()
        try:
            self._net = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device="cuda" if torch.cuda.is_available() else "cpu",
                face_detector="folder",
                compile=False,
                flip_input=False,
            )
        except (RuntimeError, EOFError, OSError, KeyError, pickle.UnpicklingError) as error:
            reason = str(error).partition("\n")[0]
            raise ModelFileError(
                f"weights {path} are damaged or others ({reason}); get them again"
            ) from error

    def refine(self, image: NDArray[np.uint8], found: LandmarkSets) -> NDArray[np.float32]:
        """See :meth:`.RefinedBackend.refine`."""
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        fits = self._net.get_landmarks_from_image(rgb, detected_faces=found.boxes.astype(np.float64))
        return np.asarray(fits, np.float32).reshape(-1, 68, 2)


def create_backend(threads: int, workers: int) -> FanBackend:
    """Entry point of :func:`hmgen_ros.perception.backends.create_backend`."""
    return FanBackend(threads, workers)
