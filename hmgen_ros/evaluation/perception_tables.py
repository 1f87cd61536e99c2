"""The tables of the perception report, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hmgen_ros.evaluation.perception_rows import CLEAN, ROWS, value

Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    """A figure that is to be reached.

    Attributes:
        text: what it is.
        row, path: where it is found.
        bound: how far it may or must go.
        at_least: it must; otherwise it may.
        minutes: of scenes that it is about; of fewer it is met so far only.
    """

    text: str
    row: str
    path: tuple[str, ...]
    bound: float
    at_least: bool
    minutes: float = 0.0

    def met(self, found: float) -> bool:
        """Whether a figure is good enough."""
        return found >= self.bound if self.at_least else found <= self.bound


_GESTURE_F1 = ("labels", "head_gesture", "events", "f1")
TARGETS = (
    Target("active-speaker AP", CLEAN, ("active_speaker_ap",), 0.95, True),
    Target("voice activity F1", CLEAN, ("vad_f1",), 0.95, True),
    Target("id switches, without crossings", CLEAN, ("id_switches",), 0, False, 10.0),
    Target("id switches, 20 crossings (10 a scene)", "crossing", ("id_switches",), 2, False, 2.0),
    Target("jitter of still faces, px at 640 × 480", "still", ("still_jitter_px",), 0.4, False),
    Target("nods and shakes, F1 of events", "gestures", _GESTURE_F1, 0.8, True),
    Target("CPU-ms an image, one person", "one", ("cpu_ms", "frame"), 12, False),
    Target("CPU-ms an image, four people", "four", ("cpu_ms", "frame"), 30, False),
    Target("peak memory, MB, four people", "four", ("peak_memory_mb",), 700, False),
)


def targets(results: Results) -> str:
    """Targets beside what was measured."""
    lines = ["| | target | measured | met | on |", "|---|---|---|---|---|"]
    for target in TARGETS:
        found = value(results, target.row, *target.path)
        sign = "≥" if target.at_least else "≤"
        met = "not measured" if found is None else "yes" if target.met(found) else "**no**"
        if met == "yes" and (value(results, target.row, "seconds") or 0.0) < 0.98 * 60 * target.minutes:
            met = "so far"
        cells = (target.text, f"{sign} {target.bound:g}", number(found), met, _extent(results, target.row))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _extent(results: Results, row: str) -> str:
    """How much a figure was measured on."""
    if row not in results:
        return ""
    count, minutes = len(results[row]["scene_names"]), results[row]["seconds"] / 60
    return f"{count} scene{'s' if count > 1 else ''}, {minutes:.1f} minutes"


Column = tuple[str, Callable[[Results, str], str]]


def _of(*path: str) -> Callable[[Results, str], str]:
    return lambda results, row: number(value(results, row, *path))


_TRACKED: tuple[Column, ...] = (
    ("minutes", lambda results, row: number((value(results, row, "seconds") or math.nan) / 60)),
    ("id switches", _of("id_switches")),
    ("takeovers", _of("id_takeovers")),
    ("MOTA", _of("mota")),
    ("ids a person", _of("ids_per_person")),
)
_HEARD: tuple[Column, ...] = (
    ("speaker AP", _of("active_speaker_ap")),
    ("… 160 ms late", _of("active_speaker_ap_late")),
    ("VAD F1", _of("vad_f1")),
    ("… 160 ms late", _of("vad_f1_late")),
    ("speaking F1", _of("labels", "speaking", "f1")),
)
_GESTURES: Column = ("head gesture F1", _of(*_GESTURE_F1))


def scenes(results: Results) -> str:
    """Identity and speech, a line a kind of scene."""
    rows = [row for row in ROWS if not row.first_only and not row.apart and row.name != "still"]
    return _table(results, [(row.name, row.text) for row in rows], (*_TRACKED, *_HEARD))


def worse(results: Results) -> str:
    """What degradations cost, a line each."""
    rows = [row for row in ROWS if row.first_only]
    return _table(results, [(row.name, row.text) for row in rows], (*_TRACKED[:4], *_HEARD, _GESTURES))


def labels(results: Results) -> str:
    """Precision and recall of every action, a line for each row and action."""
    lines = [
        "| scenes | action | true ticks | precision | recall | F1 | events | precision | recall | F1 | |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        for name, label in results.get(row.name, {}).get("labels", {}).items():
            if row.first_only or row.apart or not label["true"]:
                continue
            cells = [number(label[key]) for key in ("true", "precision", "recall", "f1")]
            cells += [number(label["events"][key]) for key in ("true", "precision", "recall", "f1")]
            kinds = label.get("recall_by_kind", {})
            cells.append(", ".join(f"{kind}s found {share:.0%}" for kind, share in kinds.items()))
            lines.append(f"| {row.name} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def speed(results: Results) -> str:
    """CPU time by stage an image, and wall-clock latency of a run of each stage."""
    rows = [row for row in ROWS if row.apart and row.name in results]
    stages = list(dict.fromkeys(stage for row in rows for stage in results[row.name]["cpu_ms"]))
    heads = "".join(f" {row.text}: CPU-ms an image | wall-clock ms a run, p50 / p99 |" for row in rows)
    lines = [f"| stage |{heads}", "|---|" + "---|---|" * len(rows)]
    for stage in stages:
        cells = []
        for row in rows:
            latency = results[row.name]["latency_ms"].get(stage)
            cells.append(number(results[row.name]["cpu_ms"].get(stage)))
            cells.append(" / ".join(map(number, latency)) if latency else "")
        name = "all, other work included" if stage == "frame" else stage
        lines.append(f"| {name} | {' | '.join(cells)} |")
    memory = " | ".join(f"{number(results[row.name]['peak_memory_mb'])} MB |" for row in rows)
    return "\n".join([*lines, f"| peak memory of the process | {memory}"]) if rows else "Not measured."


def _table(results: Results, rows: Sequence[tuple[str, str]], columns: Sequence[Column]) -> str:
    head = " | ".join(name for name, _ in columns)
    lines = [f"| scenes | | {head} |", "|---|---|" + "---|" * len(columns)]
    for name, text in rows:
        cells = [cell(results, name) for _, cell in columns] if name in results else ["not measured"]
        lines.append(f"| {name} | {text} | {' | '.join(cells)} |")
    return "\n".join(lines)


def number(found: float | None) -> str:
    """Three digits after the point where they say something, a dash where there is no figure."""
    if found is None or not math.isfinite(found):
        return "–"
    if float(found).is_integer():
        return f"{found:.0f}"
    return f"{found:.3f}" if abs(found) < 10 else f"{found:.1f}"
