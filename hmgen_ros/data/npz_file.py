"""Reads ``.npz`` files of strangers: numbers only, and every damage is one error."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DAMAGES = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, AttributeError, RuntimeError)


class NpzError(ValueError):
    """A file is not there, is no ``.npz`` or is damaged; the text names it."""


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of a file by name.

    Raises:
        NpzError: there is no such file, it is no ``.npz``, or it is damaged or holds objects.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":  # what else there is, NumPy would take for a pickle or one array
                raise NpzError(f"{path} is not an .npz file, whatever its name says; make it again")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise NpzError(f"{path} is missing") from error
    except NpzError:
        raise
    except _DAMAGES as error:
        reason = "it holds objects instead of numbers" if "allow_pickle" in str(error) else error
        raise NpzError(f"{path} is damaged ({reason}); copy or make it again") from error
