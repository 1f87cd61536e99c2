"""The action annotations of MatchNMingle's cocktail parties ("Mingle") as joint actions of groups.

The dataset (Cabrera-Quiros et al., IEEE Trans. Affective Computing 2018) is handed out on request by TU
Delft and cannot be carried here. Its ``Mingle/manual_annotations`` folder, as read here:

* ``PARTICIPANTS.csv``: no header, row ``g`` is the person with the global number ``g`` (from 1); column 0
  is the day (1 to 3), column 1 the person's number on that day, further columns are not used;
* ``LABELS.csv`` (in some copies the name begins with a space): no header, one row a video frame at 20 Hz
  from the start of the day's video, nine integer columns a person in the order of the global numbers:
  walking, stepping, drinking, speaking, hand gesture, head gesture, laughing, hair touching (each 0 or 1)
  and occlusion. The days share the rows: row 0 is the first frame of every day;
* ``F-formationsGT/Day1.csv`` and so on, with a header: the numbers on that day of the people who stand in
  one group, separated by spaces, then its start and end in the video as ``minutes:seconds``.

Occlusion is 0 (none), 1 (partial) or 2 (total): the paper tells the three apart but not their codes, so
:attr:`MatchNMingleConfig.total_occlusion` says from which code on a person is unknown. NaN is
unknown too. A group's end is exclusive, so that one that forms from it shares no frame.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.types import TICK_HZ, UNKNOWN_MASK, Action, action_mask

#: Frames a second of the annotated videos.
FRAME_HZ = 20
#: The columns of a person before the occlusion.
ACTIONS = (
    Action.WALKING,
    Action.STEPPING,
    Action.DRINKING,
    Action.SPEAKING,
    Action.HAND_GESTURE,
    Action.HEAD_GESTURE,
    Action.LAUGHING,
    Action.HAIR_TOUCHING,
)
_COLUMNS = len(ACTIONS) + 1
_DAY = re.compile(r"^Day(\d+)\.csv$", re.IGNORECASE)
_TIME = re.compile(r"^\s*(\d+):([0-5]?\d)\s*$")


@dataclass(frozen=True)
class MatchNMingleConfig:
    """Settings of the reader.

    Attributes:
        resample: give 25 Hz instead of 20; one frame in four stands for two ticks.
        total_occlusion: occlusion codes from this on make a person unknown, at least 1.
        group_sizes: only groups of these sizes; empty for all of two people and more.

    Raises:
        ValueError: a setting is out of its range; says which.
    """

    resample: bool = True
    total_occlusion: int = 2
    group_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.total_occlusion < 1:
            raise ValueError(f"total_occlusion must be at least 1, got {self.total_occlusion}")
        if any(size < 1 for size in self.group_sizes):
            raise ValueError(f"group_sizes must be at least 1, got {self.group_sizes}")


@dataclass(frozen=True, slots=True)
class Group:
    """One conversing group (F-formation) while it lasts.

    Attributes:
        day: of the recording, from 1.
        people: ``N`` numbers of the people on that day, as the file lists them.
        start_s: from the start of the day's video, s.
        masks: ``[T, N]`` uint16 bit masks at 20 or 25 Hz, ``UNKNOWN_MASK`` where a person is not seen.
    """

    day: int
    people: tuple[int, ...]
    start_s: float
    masks: NDArray[np.uint16]


def read_groups(folder: Path, settings: MatchNMingleConfig | None = None) -> list[Group]:
    """The groups of all days, by day and then as their files list them.

    Args:
        folder: ``manual_annotations`` of the dataset's ``Mingle`` part.
        settings: see there.

    Raises:
        CorpusError: a file is missing or damaged, or names people or times that the others do not have.
    """
    settings = settings or MatchNMingleConfig()
    columns = _read_participants(folder / "PARTICIPANTS.csv")
    masks = _read_labels(_labels_file(folder), len(columns), settings)
    groups: list[Group] = []
    for day, path in _days(folder / "F-formationsGT"):
        for line, row in _rows(path, header=True):
            people, start, end = _formation(row, f"{path}, line {line}")
            unknown = [number for number in people if (day, number) not in columns]
            if unknown:
                raise CorpusError(f"{path}, line {line}: PARTICIPANTS.csv has no {unknown} on day {day}")
            if not _wanted(people, settings):
                continue
            seats = [columns[day, number] for number in people]
            span = masks[start * FRAME_HZ : end * FRAME_HZ, seats]
            if len(span):  # The actions may be annotated for a shorter time than the groups.
                span = resample(span) if settings.resample else span
                groups.append(Group(day, people, float(start), np.ascontiguousarray(span)))
    return groups


def resample(frames: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """``[T, N]`` at 20 Hz to ``[round(T * 25 / 20), N]`` at 25 Hz: the frame at the middle of each tick."""
    ticks = round(len(frames) * TICK_HZ / FRAME_HZ)
    nearest = ((np.arange(ticks) + 0.5) * FRAME_HZ / TICK_HZ).astype(np.int64)
    return frames[np.minimum(nearest, len(frames) - 1)]


def _wanted(people: tuple[int, ...], settings: MatchNMingleConfig) -> bool:
    return len(people) in settings.group_sizes if settings.group_sizes else len(people) >= 2


def _labels_file(folder: Path) -> Path:
    for name in ("LABELS.csv", " LABELS.csv"):
        if (folder / name).is_file():
            return folder / name
    raise CorpusError(f"missing {folder / 'LABELS.csv'}; give Mingle/manual_annotations of MatchNMingle")


def _days(folder: Path) -> list[tuple[int, Path]]:
    found = [(match, path) for path in sorted(folder.glob("*")) if (match := _DAY.match(path.name))]
    if not found:
        raise CorpusError(f"missing {folder / 'Day1.csv'}; give Mingle/manual_annotations of MatchNMingle")
    return sorted((int(match.group(1)), path) for match, path in found)


def _rows(path: Path, header: bool) -> list[tuple[int, list[str]]]:
    """The rows of a file that are not empty, with their line numbers."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(row)]
    except FileNotFoundError as error:
        raise CorpusError(f"missing {path}; give Mingle/manual_annotations of MatchNMingle") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} is no readable CSV ({error}); copy it again") from error
    return rows[1:] if header else rows


def _read_participants(path: Path) -> dict[tuple[int, int], int]:
    """Day and number on that day to the person's place among all, from 0."""
    columns: dict[tuple[int, int], int] = {}
    for place, (line, row) in enumerate(_rows(path, header=False)):
        try:
            person = int(row[0]), int(row[1])
        except (ValueError, IndexError):
            raise CorpusError(f"{path}, line {line}: not a day and a person's number: {row[:2]}") from None
        if person in columns:
            raise CorpusError(f"{path}, line {line}: day {person[0]} has person {person[1]} twice")
        columns[person] = place
    if not columns:
        raise CorpusError(f"{path} lists nobody")
    return columns


def _read_labels(path: Path, people: int, settings: MatchNMingleConfig) -> NDArray[np.uint16]:
    """``[frames, people]`` bit masks."""
    try:
        table = np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2, encoding="utf-8-sig")
    except ValueError as error:
        raise CorpusError(f"{path} is no table of numbers ({error}); copy it again") from error
    if table.shape[1] != people * _COLUMNS:
        raise CorpusError(
            f"{path} has {table.shape[1]} columns, not {_COLUMNS} for each of the {people} people that "
            "PARTICIPANTS.csv lists"
        )
    labels = table.reshape(len(table), people, _COLUMNS)
    flags, occlusion = labels[..., :-1], labels[..., -1]
    if not (np.isnan(flags) | np.isin(flags, (0.0, 1.0))).all():
        raise CorpusError(f"{path}: an action is neither 0 nor 1 nor NaN; are the columns in another order?")
    masks = np.zeros(flags.shape[:2], dtype=np.uint16)
    for column, action in enumerate(ACTIONS):
        masks |= np.uint16(action_mask(action)) * (flags[..., column] == 1.0)
    if (occlusion < 0).any():
        raise CorpusError(f"{path}: an occlusion is negative; are the columns in another order?")
    hidden = np.isnan(flags).any(axis=-1) | np.isnan(occlusion) | (occlusion >= settings.total_occlusion)
    masks[hidden] = UNKNOWN_MASK
    return masks


def _formation(row: list[str], where: str) -> tuple[tuple[int, ...], int, int]:
    """The people of a group, and its start and end in seconds."""
    try:
        people = tuple(int(number) for number in row[0].split())
        times = [_TIME.match(text) for text in row[1:3]]
    except ValueError:
        raise CorpusError(f"{where}: {row[0]!r} are no numbers of people") from None
    start, end = (int(t.group(1)) * 60 + int(t.group(2)) if t else -1 for t in (*times, None, None)[:2])
    if min(start, end) < 0 or end < start:
        raise CorpusError(f"{where}: {row[1:3]} is no start and end as minutes:seconds")
    if not people or len(set(people)) != len(people):
        raise CorpusError(f"{where}: a group needs different people, got {row[0]!r}")
    return people, start, end
