"""Picture files: upright as their EXIF data say, whole, or refused by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.streams.source import MediaError


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture file as ``[H, W, 3]`` uint8 BGR, upright.

    Raises:
        MediaError: it is missing, no picture, damaged or too large; names it.
    """
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    image = _decoded(path, cv2.IMREAD_COLOR)
    if image is None:
        raise MediaError(f"{path}: is no picture that can be read, or damaged; save it as JPEG or PNG")
    return image


def stored_turns(path: Path, shown: NDArray[np.uint8]) -> int:
    """By how many quarters a picture was turned counterclockwise, as its EXIF data say, when it was read.

    Args:
        path: the file.
        shown: what :func:`read_picture` made of it.

    Returns:
        0 to 3; 0, too, for pictures that are mirrored.
    """
    stored = _decoded(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored is None:
        return 0
    return next((k for k in range(4) if np.array_equal(np.rot90(stored, k), shown)), 0)


def _decoded(path: Path, flags: int) -> NDArray[np.uint8] | None:
    """None where it cannot be; a JPEG file that ends early can be read from a file, but not from memory."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, flags) if data.size else None
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from error
    except cv2.error as error:
        raise MediaError(f"{path}: cannot be read as a picture ({error.err}); is it too large?") from error
    return None if image is None else np.asarray(image, np.uint8)
