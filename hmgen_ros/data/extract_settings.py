"""The settings that the tracks of a folder were extracted with, so that no folder holds tracks of two kinds.

``extract.json`` is written before the first clip is done. Shards that share a folder all find the same in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

SETTINGS = "extract.json"
RECORDS = "records"


class ExtractError(RuntimeError):
    """A folder of tracks cannot be gone on with as asked; the text says what to do."""


def claim(out: Path, settings: Mapping[str, Any], force: bool) -> None:
    """Make a folder for tracks of these settings, or check that those in it have the same.

    Args:
        out: the folder of the tracks.
        settings: what decides what the tracks are; JSON-able.
        force: where the tracks in the folder have other settings, remove them instead of refusing. Where they
            have these it changes nothing, so that shards and stopped runs go on with the same command.

    Raises:
        ExtractError: the folder holds tracks of other or of unknown settings; names the setting.
    """
    path = out / SETTINGS
    if differs := _difference(out, settings):
        if not force:
            raise ExtractError(f"{differs}; choose another --out, or --force to extract all of it anew")
        path.unlink(missing_ok=True)
        _clear(out)
    (out / RECORDS).mkdir(parents=True, exist_ok=True)
    # Of a name of its own: other shards may write theirs at this moment.
    partial = out / f"{SETTINGS}.{uuid4().hex}.partial"
    partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _difference(out: Path, settings: Mapping[str, Any]) -> str:
    """How what lies in the folder differs from what is wanted; empty where it does not."""
    path = out / SETTINGS
    if not any((out / RECORDS).glob("*.json")):
        # A run that was refused before its first clip must not stand in the way of the corrected command.
        return ""
    if not path.is_file():
        return f"{out} holds tracks of unknown settings, for it has no {SETTINGS}"
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return f"{path} is damaged ({error}), so the settings of its tracks are unknown"
    if not isinstance(old, dict):
        return f"{path} holds no JSON object, so the settings of its tracks are unknown"
    differing = [key for key in settings if old.get(key) != settings[key]]
    told = ", ".join(f"{key} = {old.get(key)!r}, now {settings[key]!r}" for key in differing)
    return f"{out} holds tracks of other settings ({told})" if told else ""


def _clear(out: Path) -> None:
    """Remove the tracks that the records name, and then the records; nothing else that lies here."""
    for record in (out / RECORDS).glob("*.json"):
        for track in _tracks(record):
            place = out / f"{track['group']}_tracks" / track["stem"]
            for ending in (".npz", ".flac"):
                place.with_name(place.name + ending).unlink(missing_ok=True)
    shutil.rmtree(out / RECORDS, ignore_errors=True)


def _tracks(record: Path) -> list[dict[str, str]]:
    """The tracks of a record; none where it was cut off while it was written."""
    try:
        found: list[dict[str, str]] = json.loads(record.read_text(encoding="utf-8"))["tracks"]
    except (ValueError, KeyError, TypeError):
        return []
    return found
