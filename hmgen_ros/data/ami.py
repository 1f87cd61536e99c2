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

Any folder of the same format can be read, with other meetings, other people and any number of them:
``series`` (the group of people) and ``split`` of a line of the index may be missing, and a name that is
not one of AMI's is its own series. :func:`meetings_of` with ``"held_out"`` takes from any folder what the
shipped models were not trained on.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.ami_raster import UNKNOWN, CorpusError, field_of, load_index, load_rasters
from hmgen_ros.types import UNKNOWN_MASK, Action, action_mask

__all__ = [
    "CHOICES",
    "SPLITS",
    "TRAINING_SERIES",
    "CorpusError",
    "Meeting",
    "MeetingInfo",
    "Selection",
    "complete_meetings",
    "data_directory",
    "headless_meetings",
    "meetings_of",
    "read_index",
    "read_meeting",
]

SPLITS = ("train", "validation", "test")
#: What :func:`meetings_of` takes: a part, every meeting, or every one that no model was trained on.
CHOICES = (*SPLITS, "all", "held_out")

#: The series that the shipped models are trained on, wherever a folder may say they belong.
TRAINING_SERIES = frozenset(
    [f"ES{n}" for n in (2002, 2006, 2007, 2008, 2010, 2012, 2013, 2015, 2016)]
    + [f"IS{n}" for n in range(1000, 1008)]
    + [f"TS{n}" for n in (3008, 3009, 3010)]
)

#: The corpus' own three parts, by series. Meetings of the corpus that it puts in none of them are left
#: out: some of their people come back in the series of other parts.
_CORPUS_SPLITS = {"training": "train", "development": "validation", "unseen": "test"}

#: The corpus' unseen part has no head annotation at all. So that validation and test both have fully
#: annotated meetings from two sites or with other people, these series move as a whole.
_MOVED_SERIES = {"TS3005": "validation", "IS1008": "test"}

_NAME = re.compile(r"^([A-Z]{2}\d{4})([a-z]?)$")
_ONE_BIT = {"speak": Action.SPEAKING, "laugh": Action.LAUGHING}
_CODES = {
    "head": {name: Action.HEAD_GESTURE for name in ("nod", "shake", "emphasis", "other_head")},
    "move": {"take_notes": Action.TAKING_NOTES, "move": Action.STEPPING},
    "hand": {name: Action.HAND_GESTURE for name in ("point", "interact_object", "other_gesture")},
}
_MUST_BE_KNOWN = ("head", "move")


@dataclass(frozen=True, slots=True)
class MeetingInfo:
    """One line of the index.

    Attributes:
        name: e.g. ``"ES2002a"``.
        series: the group of people, e.g. ``"ES2002"``.
        split: ``"train"``, ``"validation"``, ``"test"``, or ``""`` for a meeting that is left out.
        heads: head gestures are annotated.
        movement: movement is annotated.
        path: the raster.
        people: names of the people, as far as the index tells them.
    """

    name: str
    series: str
    split: str
    heads: bool
    movement: bool
    path: Path
    people: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        """Everything that a joint action is made of is annotated, hands apart."""
        return self.heads and self.movement


@dataclass(frozen=True, slots=True)
class Meeting:
    """One meeting as joint actions.

    Attributes:
        info: where it comes from.
        masks: ``[T, N]`` uint16 bit masks at 25 Hz, ``UNKNOWN_MASK`` where a person is not seen.
    """

    info: MeetingInfo
    masks: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Selection:
    """Meetings chosen from a folder.

    Attributes:
        meetings: at least one, in the order of the index.
        notice: "" or what the reader of the results must know about the choice, one sentence.
        voices: further meetings of the choice, without head annotation: what is said of voices in them
            can be compared, what is said of heads cannot.
    """

    meetings: tuple[Meeting, ...]
    notice: str = ""
    voices: tuple[Meeting, ...] = ()


def data_directory(given: str | Path | None = None) -> Path:
    """Folder of the corpora: the argument, else ``HMGEN_DATA``, else ``../shared/data`` by the checkout.

    Raises:
        CorpusError: there is no such folder; says how to name one.
    """
    checkout = Path(__file__).resolve().parents[2]
    folder = Path(given or os.environ.get("HMGEN_DATA") or checkout.parent / "shared" / "data")
    if not folder.is_dir():
        raise CorpusError(
            f"no data folder at {folder}; name the folder of your tracks, or the one that holds ami_25hz/, "
            "by --data or HMGEN_DATA"
        )
    return folder


def read_index(folder: Path) -> tuple[MeetingInfo, ...]:
    """All meetings of a folder with ``index.json``, in the order of the index.

    Raises:
        CorpusError: the index is missing or damaged, or a series is split between parts.
    """
    index = load_index(folder)
    entries = index["meetings"]
    by_series: dict[str, set[str]] = {}
    for entry in entries:
        by_series.setdefault(_series(entry, folder), set()).add(str(entry.get("split") or ""))
    splits = {series: _split_of(series, parts, folder) for series, parts in by_series.items()}
    return tuple(_info(entry, splits, folder) for entry in entries)


def read_meeting(info: MeetingInfo) -> Meeting:
    """The joint actions of one meeting.

    Raises:
        CorpusError: the raster is missing or damaged, or a field has another shape or unknown codes.
    """
    index = load_index(info.path.parent)
    rasters = load_rasters(info.path)
    for name in _MUST_BE_KNOWN:
        if info.complete and name not in rasters:
            raise CorpusError(f"{info.path}: field {name!r} is missing, index.json says it is annotated")
    shape = rasters["speak"].shape
    masks = np.zeros(shape, dtype=np.uint16)
    unknown = np.zeros(shape, dtype=bool)
    for name, action in _ONE_BIT.items():
        masks |= np.uint16(action_mask(action)) * (rasters[name] == 1)
        unknown |= rasters[name] == UNKNOWN
    for name in _CODES.keys() & rasters.keys():
        masks |= _bits_of_codes(name, rasters[name], index, info.path)[rasters[name]]
        if name in _MUST_BE_KNOWN:
            unknown |= rasters[name] == UNKNOWN
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
    meetings = [read_meeting(i) for i in _chosen(folder, split) if i.complete]
    if not meetings:
        raise CorpusError(
            f"{folder / 'index.json'}: no meeting of the {split} part has head and mov annotated"
        )
    return meetings


def headless_meetings(folder: Path, split: str) -> list[Meeting]:
    """The meetings of one part in which movement is annotated, but head gestures are not; may be none.

    Raises:
        ValueError: no such part.
        CorpusError: see :func:`read_index` and :func:`read_meeting`.
    """
    return [read_meeting(i) for i in _chosen(folder, split) if i.movement and not i.heads]


def meetings_of(folder: Path, split: str) -> Selection:
    """Meetings of any folder of this format, if possible only those with head and movement annotated.

    Args:
        folder: holds ``index.json`` and the rasters.
        split: a part, ``"all"``, or ``"held_out"``: the meetings whose series is none of
            :data:`TRAINING_SERIES` and none of whose people, as far as the index names them, sits in one
            of those series. Of a folder of other recordings these are all meetings.

    Returns:
        The complete meetings, and those for their voices only; where there is no complete one, all of them
        and a notice that says so.

    Raises:
        ValueError: no such choice.
        CorpusError: see :func:`read_index` and :func:`read_meeting`; or there is no such meeting.
    """
    if split not in CHOICES:
        raise ValueError(f"no part {split!r}; there are {', '.join(CHOICES)}")
    found = _chosen(folder, split)
    if not found:
        raise CorpusError(f"{folder / 'index.json'}: no meeting for {split!r} among those listed")
    complete = [info for info in found if info.complete]
    meetings = tuple(read_meeting(info) for info in complete or found)
    if complete:
        voices = tuple(read_meeting(info) for info in found if info.movement and not info.heads)
        return Selection(meetings, voices=voices)
    return Selection(
        meetings,
        f"none of the {len(found)} meetings has head gestures and movement annotated: "
        "all are taken, and actions that nobody annotated count as not done",
    )


def _chosen(folder: Path, split: str) -> list[MeetingInfo]:
    index = read_index(folder)
    if split == "all":
        return list(index)
    if split != "held_out":
        return [info for info in index if info.split == split]
    known = frozenset().union(*(info.people for info in index if info.series in TRAINING_SERIES))
    return [info for info in index if info.series not in TRAINING_SERIES and not info.people & known]


def _name(entry: Any, folder: Path) -> str:
    name = field_of(entry, "meeting", folder)
    if not isinstance(name, str) or not name or set(name) & set("/\\"):
        raise CorpusError(f"{folder / 'index.json'}: field 'meeting' is {name!r}, not the name of a raster")
    return name


def _series(entry: Any, folder: Path) -> str:
    name = _name(entry, folder)
    match = _NAME.match(name)
    return str(entry.get("series") or (match.group(1) if match else name))


def _split_of(series: str, parts: set[str], folder: Path) -> str:
    told = sorted(parts - {""})
    if len(told) > 1:
        raise CorpusError(f"{folder / 'index.json'}: series {series} lies in several parts: {told}")
    own = told[0] if told else ""
    return _MOVED_SERIES.get(series) or _CORPUS_SPLITS.get(own, own if own in SPLITS else "")


def _info(entry: dict[str, Any], splits: dict[str, str], folder: Path) -> MeetingInfo:
    name, series = _name(entry, folder), _series(entry, folder)
    heads, movement = (bool(field_of(entry, field, folder)) for field in ("head", "mov"))
    path = folder / f"{name}.npz"
    return MeetingInfo(name, series, splits[series], heads, movement, path, _people(entry, folder))


def _people(entry: dict[str, Any], folder: Path) -> frozenset[str]:
    speakers = entry.get("speakers") or {}
    if not isinstance(speakers, dict) or not all(isinstance(who, dict) for who in speakers.values()):
        raise CorpusError(f"{folder / 'index.json'}: field 'speakers' of {entry['meeting']} is no table")
    return frozenset(str(who["name"]) for who in speakers.values() if who.get("name"))


def _bits_of_codes(
    name: str, raster: NDArray[np.uint8], index: dict[str, Any], path: Path
) -> NDArray[np.uint16]:
    """``[256]`` the bits that each code of a field stands for."""
    names = index.get(name)
    if not isinstance(names, list):
        raise CorpusError(f"{path.parent / 'index.json'}: the code list {name!r} is missing")
    highest = int(np.max(raster, where=raster != UNKNOWN, initial=0))
    if highest >= len(names):
        raise CorpusError(f"{path}: field {name!r} has code {highest}, index.json names only {len(names)}")
    bits = np.zeros(256, dtype=np.uint16)
    for code, label in enumerate(names):
        action = _CODES[name].get(str(label))
        bits[code] = 0 if action is None else action_mask(action)
    return bits
