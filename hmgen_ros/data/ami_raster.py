"""The file format of the 25 Hz rasters: ``index.json`` and one ``.npz`` a meeting.

A meeting's file holds ``[T, N]`` uint8 arrays, ticks by people: ``speak`` and ``laugh`` (0 or 1) and,
where annotated, ``head``, ``move``, ``hand`` and ``focus``, whose codes the index lists by name. 255
stands for off camera or unknown. What the codes mean to us is decided in :mod:`hmgen_ros.data.ami`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.npz_file import NpzError, NpzMissing, read_npz
from hmgen_ros.types import TICK_HZ

#: Stands in a raster for a person who is off camera or was not annotated.
UNKNOWN = 255
BINARY_FIELDS = ("speak", "laugh")
CODED_FIELDS = frozenset({"head", "move", "hand"})


class CorpusError(ValueError):
    """A corpus file is missing, damaged or not what its index says; the text names file and field."""


def load_index(folder: Path) -> dict[str, Any]:
    """The index of a folder.

    Raises:
        CorpusError: the file is missing or damaged, or the rasters have another rate.
    """
    path = folder / "index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CorpusError(f"missing {path}; give the folder with the AMI rasters (ami_25hz)") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} is not readable JSON ({error}); copy it again") from error
    if not isinstance(index, dict) or not isinstance(index.get("meetings"), list):
        raise CorpusError(f"{path}: field 'meetings' is missing or no list")
    if index.get("hz") != TICK_HZ:
        raise CorpusError(f"{path}: field 'hz' is {index.get('hz')}, this project works at {TICK_HZ}")
    return index


def field_of(entry: Any, name: str, folder: Path) -> Any:
    """A field of one line of the index.

    Raises:
        CorpusError: the line has no such field.
    """
    if not isinstance(entry, dict) or name not in entry:
        raise CorpusError(f"{folder / 'index.json'}: a meeting lacks the field {name!r}: {str(entry)[:80]}")
    return entry[name]


def load_rasters(path: Path) -> dict[str, NDArray[np.uint8]]:
    """The fields of one meeting, each ``[T, N]`` with at least one tick and one person.

    Raises:
        CorpusError: the file is missing or damaged, or a field has another shape or type or, where it
            may only be 0 or 1, other values.
    """
    try:
        rasters = read_npz(path)
    except NpzMissing as error:
        raise CorpusError(f"missing {path}, which index.json lists") from error
    except NpzError as error:
        raise CorpusError(str(error)) from error
    for name in BINARY_FIELDS:
        if name not in rasters:
            raise CorpusError(f"{path}: field {name!r} is missing")
    shape = rasters["speak"].shape
    if len(shape) != 2 or not all(shape):
        raise CorpusError(f"{path}: field 'speak' is {shape}, not ticks by people with at least one each")
    for name in (*BINARY_FIELDS, *(CODED_FIELDS & rasters.keys())):
        raster = rasters[name]
        if raster.shape != shape or raster.dtype != np.uint8:
            raise CorpusError(
                f"{path}: field {name!r} is {raster.dtype} {raster.shape}, not uint8 {shape} as 'speak'"
            )
    for name in BINARY_FIELDS:
        if not np.isin(rasters[name], (0, 1, UNKNOWN)).all():
            raise CorpusError(f"{path}: field {name!r} has values other than 0, 1 and {UNKNOWN}")
    return rasters
