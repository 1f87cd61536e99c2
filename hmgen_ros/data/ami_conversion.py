"""Writes the 25 Hz rasters of the AMI corpus that :mod:`hmgen_ros.data.ami` reads, from the NXT XML.

One ``.npz`` a meeting and an ``index.json`` with the code lists, the speakers and the corpus' own parts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from hmgen_ros.data.ami_nxt import (
    FOCUS_CODES,
    HAND_CODES,
    HEAD_CODES,
    MOVE_CODES,
    CorpusMeeting,
    SpeechRules,
    raster,
    read_corpus_meetings,
)
from hmgen_ros.data.ami_raster import UNKNOWN, CorpusError
from hmgen_ros.types import TICK_HZ

#: Entry of the index: the field that it says is annotated.
_FLAGS = {"head": "head", "mov": "move", "hand": "hand", "foa": "focus"}


@dataclass(frozen=True)
class RasterConfig:
    """Settings of the conversion.

    Attributes:
        xml: folder of the corpus' manual annotations, with ``corpusResources/meetings.xml``.
        out: folder for ``index.json`` and the rasters; made where it does not exist.
        meetings: only these, e.g. ES2008a; by default all that the folder holds.
        speech: how words and laughs become speech and laughter.
    """

    xml: Path
    out: Path
    meetings: tuple[str, ...] = ()
    speech: SpeechRules = field(default_factory=SpeechRules)


@dataclass(frozen=True, slots=True)
class Written:
    """What :func:`write_rasters` did.

    Attributes:
        meetings: names of the meetings written.
        skipped: names of those that could not be read, with the reason.
    """

    meetings: tuple[str, ...]
    skipped: dict[str, str]


def write_rasters(settings: RasterConfig, console: Console | None = None) -> Written:
    """Write the rasters of every meeting whose words are there, and the index; tells what was skipped.

    Raises:
        CorpusError: the corpus resources are missing or damaged, a meeting asked for is not there, or
            no meeting could be read.
    """
    console = console or Console()
    listed = read_corpus_meetings(settings.xml)
    found = [m for m in listed if any(settings.xml.glob(f"words/{m.name}.*.words.xml"))]
    absent = sorted(set(settings.meetings) - {m.name for m in found})
    if absent:
        raise CorpusError(
            f"{settings.xml}: no {', '.join(absent)}; meetings.xml must list it and words/ hold its words"
        )
    wanted = [m for m in found if not settings.meetings or m.name in settings.meetings]
    settings.out.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    with Progress(console=console) as progress:
        for meeting in progress.track(wanted, description="rasters"):
            try:
                painted = raster(settings.xml, meeting, settings.speech)
            except CorpusError as error:
                skipped[meeting.name] = str(error)
                continue
            np.savez_compressed(settings.out / f"{meeting.name}.npz", **painted)  # type: ignore[arg-type]
            entries.append(_entry(meeting, painted))
    for name, reason in skipped.items():
        console.print(f"skipped {name}: {reason}", markup=False)
    if not entries:
        raise CorpusError(f"{settings.xml}: none of {len(wanted)} meetings could be read")
    (settings.out / "index.json").write_text(json.dumps(_index(entries), indent=1), encoding="utf-8")
    console.print(f"{len(entries)} meetings in {settings.out}", markup=False)
    return Written(tuple(entry["meeting"] for entry in entries), skipped)


def _index(entries: list[dict[str, Any]]) -> dict[str, Any]:
    agents = max((sorted(entry["speakers"]) for entry in entries), key=len)
    codes = {"head": HEAD_CODES, "move": MOVE_CODES, "hand": HAND_CODES, "focus": FOCUS_CODES}
    return {"hz": TICK_HZ, "agents": "".join(agents), **codes, "unknown": UNKNOWN, "meetings": entries}


def _entry(meeting: CorpusMeeting, painted: dict[str, NDArray[np.uint8]]) -> dict[str, Any]:
    return {
        "meeting": meeting.name,
        "minutes": round(len(painted["speak"]) / TICK_HZ / 60, 2),
        **{flag: name in painted for flag, name in _FLAGS.items()},
        "speakers": meeting.speakers,
        "split": meeting.split,
    }
