"""Reads ``.npz`` files of strangers: no objects, and whatever is wrong with a file is one error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class NpzError(ValueError):
    """A file is no ``.npz``, or is damaged; the text names it and says what to do."""


class NpzMissing(NpzError):
    """There is no such file."""


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of a file by name; other things that were put into it are left out.

    Raises:
        NpzMissing: there is no such file.
        NpzError: it cannot be opened, is no ``.npz``, is damaged, or holds objects.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
    except FileNotFoundError as error:
        raise NpzMissing(f"there is no {path}; copy it, or correct its name where it is listed") from error
    except OSError as error:
        raise NpzError(f"{path} cannot be opened ({error.strerror or error})") from error
    if not zipped:  # what else there is, NumPy would take for a pickle or for one array
        raise NpzError(f"{path} is not an .npz file, whatever its name says; make it again")
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    # Damaged archives and headers end in errors of zipfile, of its decompressors, of NumPy, and of the parser
    # that NumPy reads headers with.
    except Exception as error:
        reason = "it holds objects instead of numbers" if "allow_pickle" in str(error) else error
        raise NpzError(f"{path} is damaged ({reason}); copy or make it again") from error
    # Members that are no arrays come as bytes.
    return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}
