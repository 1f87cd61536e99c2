"""The AMI Meeting Corpus as joint actions at 25 Hz.

Reads the rasters of the manual annotations (``ami_25hz/*.npz`` and ``index.json``) and turns them into
one bit mask a person and tick. Decisions, each made once and here:

* speech is SPEAKING, laughter is LAUGHING, AMI's note taking is TAKING_NOTES, any hand gesture is
  HAND_GESTURE (seven meetings have hands annotated; in the others nobody is marked gesturing);
* every head label (nod, shake, emphasis, other) is HEAD_GESTURE. *Emphasis* are the short head beats
  of a speaker; they look like the nods they are, so a camera cannot tell them apart and neither do we;
* the movement label *move* (median 4 s, getting up and walking about) is STEPPING. *Stand* is not: it
  lasts for minutes at the whiteboard and is a posture, not something about to begin or end;
* where head or movement is unknown (off camera), the person's mask is unknown as a whole: a robot that
  cannot see somebody does not follow them either. Speech alone stays readable in the raster.

Meetings without head or movement annotation are only *partly* observed: their masks lack those bits.
Use :func:`complete_meetings` where silence must not stand for a nod that nobody annotated.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import TICK_HZ, UNKNOWN_MASK, Action, action_mask

SPLITS = ("train", "validation", "test")

#: The corpus' own three parts, by series. Meetings of the corpus that it puts in none of them are left
#: out: some of their people come back in the series of other parts.
_CORPUS_SPLITS = {"training": "train", "development": "validation", "unseen": "test"}

#: The corpus' unseen part has no head annotation at all. So that validation and test both have fully
#: annotated meetings from two sites or with other people, these series move as a whole.
_MOVED_SERIES = {"TS3005": "validation", "IS1008": "test"}

_UNKNOWN = 255
_NAME = re.compile(r"^([A-Z]{2}\d{4})([a-z]?)$")
_ONE_BIT = {"speak": Action.SPEAKING, "laugh": Action.LAUGHING}
_CODES = {
    "head": {name: Action.HEAD_GESTURE for name in ("nod", "shake", "emphasis", "other_head")},
    "move": {"take_notes": Action.TAKING_NOTES, "move": Action.STEPPING},
    "hand": {name: Action.HAND_GESTURE for name in ("point", "interact_object", "other_gesture")},
}
_MUST_BE_KNOWN = ("head", "move")


class CorpusError(ValueError):
    """A corpus file is missing, damaged or not what its index says; the text names file and field."""


@dataclass(frozen=True, slots=True)
class MeetingInfo:
    """One line of the index.

    Attributes:
        name: e.g. ``"ES2002a"``.
        series: the group of people, e.g. ``"ES2002"``.
        split: ``"train"``, ``"validation"``, ``"test"``, or ``""`` for a meeting that is left out.
        complete: head gestures and movement are annotated.
        path: the raster.
    """

    name: str
    series: str
    split: str
    complete: bool
    path: Path


@dataclass(frozen=True, slots=True)
class Meeting:
    """One meeting as joint actions.

    Attributes:
        info: where it comes from.
        masks: ``[T, N]`` uint16 bit masks at 25 Hz, ``UNKNOWN_MASK`` where a person is not seen.
    """

    info: MeetingInfo
    masks: NDArray[np.uint16]


def data_directory(given: str | Path | None = None) -> Path:
    """Folder of the corpora: the argument, else ``HMGEN_DATA``, else ``../shared/data`` by the checkout.

    Raises:
        CorpusError: there is no such folder; says how to name one.
    """
    checkout = Path(__file__).resolve().parents[2]
    folder = Path(given or os.environ.get("HMGEN_DATA") or checkout.parent / "shared" / "data")
    if not folder.is_dir():
        raise CorpusError(f"no data folder at {folder}; set HMGEN_DATA to the folder that holds ami_25hz/")
    return folder


def read_index(folder: Path) -> tuple[MeetingInfo, ...]:
    """All meetings of a folder with ``index.json``, in the order of the index.

    Raises:
        CorpusError: the index is missing or damaged, or a series is split between parts.
    """
    index = _load_index(folder)
    entries = index["meetings"]
    by_series: dict[str, set[str]] = {}
    for entry in entries:
        series = _series(str(_field(entry, "meeting", folder)), folder)
        by_series.setdefault(series, set()).add(str(entry.get("split") or ""))
    splits = {series: _split_of(series, parts, folder) for series, parts in by_series.items()}
    return tuple(_info(entry, splits, folder) for entry in entries)


def read_meeting(info: MeetingInfo) -> Meeting:
    """The joint actions of one meeting.

    Raises:
        CorpusError: the raster is missing or damaged, or a field has another shape or unknown codes.
    """
    index = _load_index(info.path.parent)
    rasters = _load_rasters(info.path)
    shape = rasters["speak"].shape
    masks = np.zeros(shape, dtype=np.uint16)
    unknown = np.zeros(shape, dtype=bool)
    for name, action in _ONE_BIT.items():
        masks |= np.uint16(action_mask(action)) * (rasters[name] == 1)
        unknown |= rasters[name] == _UNKNOWN
    for name in _CODES.keys() & rasters.keys():
        masks |= _bits_of_codes(name, rasters[name], index, info.path)[rasters[name]]
        if name in _MUST_BE_KNOWN:
            unknown |= rasters[name] == _UNKNOWN
    masks[unknown] = UNKNOWN_MASK
    return Meeting(info, masks)


def complete_meetings(folder: Path, split: str) -> list[Meeting]:
    """The meetings of one part in which head gestures and movement are annotated.

    Raises:
        ValueError: no such part.
        CorpusError: see :func:`read_index` and :func:`read_meeting`; or the part has no such meeting.
    """
    if split not in SPLITS:
        raise ValueError(f"no part {split!r}; there are {', '.join(SPLITS)}")
    meetings = [read_meeting(i) for i in read_index(folder) if i.split == split and i.complete]
    if not meetings:
        raise CorpusError(
            f"{folder / 'index.json'}: no meeting of the {split} part has head and mov annotated"
        )
    return meetings


def _load_index(folder: Path) -> dict[str, Any]:
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


def _field(entry: Any, name: str, folder: Path) -> Any:
    if not isinstance(entry, dict) or name not in entry:
        raise CorpusError(f"{folder / 'index.json'}: a meeting lacks the field {name!r}: {str(entry)[:80]}")
    return entry[name]


def _series(meeting: str, folder: Path) -> str:
    match = _NAME.match(meeting)
    if not match:
        raise CorpusError(f"{folder / 'index.json'}: {meeting!r} is no AMI meeting name such as ES2002a")
    return match.group(1)


def _split_of(series: str, parts: set[str], folder: Path) -> str:
    if len(parts) > 1:
        raise CorpusError(f"{folder / 'index.json'}: series {series} lies in several parts: {sorted(parts)}")
    return _MOVED_SERIES.get(series) or _CORPUS_SPLITS.get(next(iter(parts)), "")


def _info(entry: dict[str, Any], splits: dict[str, str], folder: Path) -> MeetingInfo:
    name = str(entry["meeting"])
    complete = bool(_field(entry, "head", folder)) and bool(_field(entry, "mov", folder))
    series = _series(name, folder)
    return MeetingInfo(name, series, splits[series], complete, folder / f"{name}.npz")


def _load_rasters(path: Path) -> dict[str, NDArray[np.uint8]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            rasters = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise CorpusError(f"missing {path}, which index.json lists") from error
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise CorpusError(f"{path} is damaged ({error}); copy it again") from error
    for name in _ONE_BIT:
        if name not in rasters:
            raise CorpusError(f"{path}: field {name!r} is missing")
    shape = rasters["speak"].shape
    for name in (*_ONE_BIT, *(_CODES.keys() & rasters.keys())):
        raster = rasters[name]
        if raster.ndim != 2 or raster.shape != shape or raster.dtype != np.uint8:
            raise CorpusError(
                f"{path}: field {name!r} is {raster.dtype} {raster.shape}, not uint8 {shape} as 'speak'"
            )
    for name in _ONE_BIT:
        if not np.isin(rasters[name], (0, 1, _UNKNOWN)).all():
            raise CorpusError(f"{path}: field {name!r} has values other than 0, 1 and {_UNKNOWN}")
    return rasters


def _bits_of_codes(
    name: str, raster: NDArray[np.uint8], index: dict[str, Any], path: Path
) -> NDArray[np.uint16]:
    """``[256]`` the bits that each code of a field stands for."""
    names = index.get(name)
    if not isinstance(names, list):
        raise CorpusError(f"{path.parent / 'index.json'}: the code list {name!r} is missing")
    highest = int(np.max(raster, where=raster != _UNKNOWN, initial=0))
    if highest >= len(names):
        raise CorpusError(f"{path}: field {name!r} has code {highest}, index.json names only {len(names)}")
    bits = np.zeros(256, dtype=np.uint16)
    for code, label in enumerate(names):
        action = _CODES[name].get(str(label))
        bits[code] = 0 if action is None else action_mask(action)
    return bits
