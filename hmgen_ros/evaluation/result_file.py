"""Files of results: known to be writable before the work, and written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def check_writable(path: Path | None) -> None:
    """Make the folder of a file and see that the file can be written; what is there stays as it is.

    Args:
        path: the file; None, which is no file at all, is fine.

    Raises:
        ValueError: it cannot be written; says why.
    """
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_special(path):
            if not os.access(path, os.W_OK):
                raise PermissionError("no permission")
            return
        partial = _partial(path)
        partial.open("a").close()
        partial.unlink()
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}; choose another place") from error


def write_result(path: Path, report: Mapping[str, Any]) -> None:
    """Write results as JSON, all of it or nothing.

    Args:
        path: the file.
        report: without NaN, see :func:`without_nan`.

    Raises:
        OSError: it cannot be written.
        ValueError: there is a number that JSON does not know.
    """
    write_text(path, json.dumps(report, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text, all of it or nothing.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_special(path):
        path.write_text(text, encoding="utf-8")
        return
    partial = _partial(path)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path.resolve())


def without_nan(value: Any, digits: int | None = None) -> Any:
    """A copy of nested tables and lists with None for every number that is not finite; JSON knows no NaN.

    Args:
        value: tables, lists and what else JSON knows.
        digits: that floats are rounded to; None for all.
    """
    if isinstance(value, Mapping):
        return {str(name): without_nan(part, digits) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part, digits) for part in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if digits is None else round(value, digits)


def _partial(path: Path) -> Path:
    """Beside the file that a link leads to, so that renaming keeps the link and stays on one disk."""
    real = path.resolve()
    return real.with_name(real.name + ".partial")


def _is_special(path: Path) -> bool:
    """A pipe or a device such as /dev/stdout, which must not be replaced by a file."""
    return path.exists() and not path.is_file()
