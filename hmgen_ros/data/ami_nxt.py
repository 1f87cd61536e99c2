"""Rebuilds the 25 Hz rasters of the AMI corpus from its original NXT XML annotations.

The folder is what the corpus distributes as its manual annotations (release 1.7): ``words``,
``headGesture``, ``movement``, ``handGesture``, ``focus`` (each ``MEETING.AGENT.KIND.xml``) and
``corpusResources/meetings.xml``. Only meetings whose words are there are written. The rules:

* a time in seconds is the tick ``round(time * 25)``, an annotation covers its first tick up to, but not
  with, its last one, and the meeting has ``round(duration * 25)`` ticks;
* speech is where words are, with short gaps filled; laughter is what is transcribed as such, and short
  laughs, often a mere instant in the transcription, are widened at both sides;
* a head gesture is a nod or a shake by its form, else emphasis by its meaning, else another one;
* off camera, not annotated, or an annotation without times: unknown.

Words without times (a handful, where the corpus' forced alignment failed) are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.ami_raster import UNKNOWN, CorpusError
from hmgen_ros.types import TICK_HZ

Element = ElementTree.Element
Span = tuple[float, float]

HEAD_CODES = ("none", "nod", "shake", "emphasis", "other_head")
MOVE_CODES = ("sit", "take_notes", "move", "stand", "other")
HAND_CODES = ("none", "point", "interact_object", "other_gesture")
FOCUS_CODES = ("A", "B", "C", "D", "table", "slide-screen", "whiteboard", "other", "unspecified")


@dataclass(frozen=True)
class SpeechRules:
    """How transcribed words and laughs become speech and laughter.

    Attributes:
        fill_gap_s: gaps between words up to this long count as speech, s.
        short_laugh_s: laughs shorter than this are widened, s.
        widen_laugh_s: by so much at each side, s.

    Raises:
        ValueError: a time is negative.
    """

    fill_gap_s: float = 0.25
    short_laugh_s: float = 0.4
    widen_laugh_s: float = 0.2

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) >= 0.0:
                raise ValueError(f"{field.name} must be 0 or more, got {getattr(self, field.name)}")


@dataclass(frozen=True, slots=True)
class CorpusMeeting:
    """One meeting as ``corpusResources/meetings.xml`` describes it.

    Attributes:
        name: e.g. ``"ES2008a"``.
        duration_s: length, s.
        split: ``"training"``, ``"development"``, ``"unseen"`` or None.
        speakers: agent letter to ``{"name": …, "role": …}``, either of them None where not told.
    """

    name: str
    duration_s: float
    split: str | None
    speakers: dict[str, dict[str, str | None]]


def read_corpus_meetings(xml: Path) -> tuple[CorpusMeeting, ...]:
    """The meetings that the corpus resources list, by name.

    Raises:
        CorpusError: ``meetings.xml`` is missing or damaged.
    """
    path = xml / "corpusResources" / "meetings.xml"
    if not path.is_file():
        raise CorpusError(f"missing {path}; give the folder of AMI's manual annotations (with words/)")
    return tuple(sorted((_corpus_meeting(m, path) for m in _parse(path)), key=lambda m: m.name))


def raster(xml: Path, meeting: CorpusMeeting, rules: SpeechRules) -> dict[str, NDArray[np.uint8]]:
    """The fields of one meeting, ``[T, N]`` uint8 with the people in the order of their agent letters.

    ``speak`` and ``laugh`` are always there, ``head``, ``move``, ``hand`` and ``focus`` where at least one
    person is annotated; a person who is not stays unknown.

    Raises:
        CorpusError: an annotation file is damaged; names it.
    """
    agents = sorted(meeting.speakers)
    ticks = round(meeting.duration_s * TICK_HZ)
    painted: dict[str, NDArray[np.uint8]] = {
        name: np.full((ticks, len(agents)), UNKNOWN, dtype=np.uint8) for name in ("speak", "laugh")
    }
    for seat, agent in enumerate(agents):
        path = xml / "words" / f"{meeting.name}.{agent}.words.xml"
        if path.is_file():
            words, laughs = _words(path)
            painted["speak"][:, seat] = 0
            painted["laugh"][:, seat] = 0
            _paint(painted["speak"][:, seat], ((*span, 1) for span in _joined(words, rules.fill_gap_s)))
            _paint(painted["laugh"][:, seat], ((*_widened(span, rules), 1) for span in laughs))
        for name, (folder, kind, code_of) in _CODED.items():
            path = xml / folder / f"{meeting.name}.{agent}.{kind}.xml"
            if path.is_file():
                column = painted.setdefault(name, np.full((ticks, len(agents)), UNKNOWN, dtype=np.uint8))
                _paint(column[:, seat], ((*span, code_of(e, path)) for e, span in _timed(path)))
    return painted


def _corpus_meeting(meeting: Element, path: Path) -> CorpusMeeting:
    name, duration = meeting.get("observation"), meeting.get("duration")
    speakers = {
        str(s.get("nxt_agent")): {"name": s.get("global_name"), "role": s.get("role")}
        for s in meeting.iter("speaker")
    }
    if not name or not speakers or "None" in speakers:
        raise CorpusError(f"{path}: a meeting lacks 'observation' or speakers with 'nxt_agent' ({name})")
    split = meeting.get("seen_type") or ("unseen" if meeting.get("visibility") == "unseen" else None)
    return CorpusMeeting(name, _seconds(duration, path), split, speakers)


def _parse(path: Path) -> Element:
    try:
        return ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError, OSError) as error:
        raise CorpusError(f"{path} is damaged ({error}); copy it again") from error


def _seconds(text: str | None, path: Path) -> float:
    try:
        seconds = float(text or "")
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < float("inf"):
        raise CorpusError(f"{path}: {text!r} is no time in seconds")
    return seconds


def _timed(path: Path) -> Iterator[tuple[Element, Span]]:
    """The annotations of a file that have times, with their start and end in seconds."""
    for element in _parse(path):
        start, end = element.get("starttime"), element.get("endtime")
        if start is not None and end is not None:
            yield element, (_seconds(start, path), _seconds(end, path))


def _words(path: Path) -> tuple[list[Span], list[Span]]:
    words, laughs = [], []
    for element, span in _timed(path):
        if element.tag == "w":
            words.append(span)
        elif element.tag == "vocalsound" and element.get("type") == "laugh":
            laughs.append(span)
    return words, laughs


def _joined(spans: Iterable[Span], gap_s: float) -> list[Span]:
    """The same spans in order, with those joined that are at most ``gap_s`` apart."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        # Times have three digits, their differences more: what is a gap of gap_s must not exceed it.
        if joined and start - joined[-1][1] <= gap_s + 1e-9:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _widened(span: Span, rules: SpeechRules) -> Span:
    start, end = span
    if end - start >= rules.short_laugh_s:
        return span
    return max(0.0, start - rules.widen_laugh_s), end + rules.widen_laugh_s


def _paint(column: NDArray[np.uint8], spans: Iterable[tuple[float, float, int]]) -> None:
    for start, end, code in spans:
        column[round(start * TICK_HZ) : round(end * TICK_HZ)] = code


def _type(element: Element, path: Path) -> str:
    kind = element.get("type")
    if kind is None:
        raise CorpusError(f"{path}: a {element.tag} lacks the field 'type'")
    return kind


def _head_code(element: Element, path: Path) -> int:
    kind, form = _type(element, path), element.get("form")
    if kind == "off_camera":
        return UNKNOWN
    if kind == "no_comm_head":
        return HEAD_CODES.index("none")
    if form in ("nod", "shake"):
        return HEAD_CODES.index(form)
    return HEAD_CODES.index("emphasis" if kind == "emphasis_signal" else "other_head")


def _move_code(element: Element, path: Path) -> int:
    kind = _type(element, path)
    if kind == "off_camera":
        return UNKNOWN
    kind = "stand" if kind.startswith("stand_") else kind
    return MOVE_CODES.index(kind if kind in MOVE_CODES else "other")


def _hand_code(element: Element, path: Path) -> int:
    kind = _type(element, path)
    if kind == "off_camera":
        return UNKNOWN
    starts = {"no_comm": "none", "point": "point", "comm_interact": "interact_object"}
    known = (name for start, name in starts.items() if kind.startswith(start))
    return HAND_CODES.index(next(known, "other_gesture"))


def _focus_code(element: Element, path: Path) -> int:
    kind = _type(element, path)
    if kind == "unspecified":
        return FOCUS_CODES.index(kind)
    target = element.get("nxt_agent" if kind == "person" else "place")
    return FOCUS_CODES.index(target if target in FOCUS_CODES else "other")


#: Field of a raster: folder and kind of its files, and what an annotation means.
_CODED: dict[str, tuple[str, str, Callable[[Element, Path], int]]] = {
    "head": ("headGesture", "head", _head_code),
    "move": ("movement", "movement", _move_code),
    "hand": ("handGesture", "hand", _hand_code),
    "focus": ("focus", "foa", _focus_code),
}
