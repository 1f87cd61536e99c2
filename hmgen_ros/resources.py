"""Finds the files that travel with the package: config, models, launch files, recordings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = "hmgen_ros"


def share_directory() -> Path:
    """Folder that holds ``config/``, ``models/``, ``launch/`` and ``recordings/``.

    A source checkout is its own share folder; otherwise the first ament prefix (or Python prefix)
    that has ``share/hmgen_ros``.

    Raises:
        FileNotFoundError: the package is not installed completely; names the places looked at.
    """
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "package.xml").is_file():
        return checkout
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    places = [Path(prefix) / "share" / PACKAGE for prefix in [*prefixes, sys.prefix]]
    for place in places:
        if (place / "package.xml").is_file():
            return place
    looked = ", ".join(map(str, places))
    raise FileNotFoundError(
        f"{PACKAGE} is not installed completely: no package.xml in {looked}; reinstall it"
    )


def resource(relative: str) -> Path:
    """Path of one shipped file, e.g. ``resource("models/manifest.yaml")``.

    Raises:
        FileNotFoundError: it does not exist; names the full path.
    """
    path = share_directory() / relative
    if not path.exists():
        raise FileNotFoundError(f"missing file of {PACKAGE}: {path}; reinstall the package")
    return path
