"""The live table of `hmgen run`: people, what they do, what comes next, and how the machine keeps up."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hmgen_ros.types import Action, ActionOutlook, Person, actions_of, mask_label
from hmgen_ros.viewing.collector import TickView


@dataclass(slots=True)
class RunStatus:
    """Figures of the run so far, for the head of the table."""

    source: str
    frames: int = 0
    dropped: int = 0
    rate_hz: float = 0.0
    latency_p50_ms: float = math.nan
    latency_p99_ms: float = math.nan
    position_s: float = 0.0
    duration_s: float | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    recording: str | None = None


def _bar(probability: float, width: int = 6) -> Text:
    if math.isnan(probability):
        return Text("-", style="dim")
    filled = round(width * min(max(probability, 0.0), 1.0))
    return Text("█" * filled + "░" * (width - filled) + f" {100 * probability:3.0f}%")


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def _head(status: RunStatus) -> Text:
    of = f" / {_clock(status.duration_s)}" if status.duration_s else ""
    text = Text.assemble((status.source, "bold"), f"   {_clock(status.position_s)}{of}   ")
    text.append(f"{status.rate_hz:.1f} Hz   frames {status.frames}   ")
    text.append(f"dropped {status.dropped}", style="bold red" if status.dropped else "")
    text.append(f"   latency p50 {status.latency_p50_ms:.1f} ms, p99 {status.latency_p99_ms:.1f} ms")
    if status.recording:
        text.append(f"   ● recording to {status.recording}", style="bold red")
    return text


def _people(view: TickView, wide: bool) -> Table:
    table = Table(expand=True, pad_edge=False)
    for name in ("person", "voice", "does now", "does next", "in", "speaks soon"):
        table.add_column(name, no_wrap=True)
    if wide:
        table.add_column("head (yaw pitch roll)", no_wrap=True)
    for person in view.scene.people if view.scene else ():
        row = [*_now(person), *_next(view.actions.get(person.person_id))]
        table.add_row(*row, *([_head_pose(person)] if wide else []))
    return table


def _now(person: Person) -> list[RenderableType]:
    speaks = Action.SPEAKING in actions_of(person.actions)
    action = Text(mask_label(person.actions), style="bold" if speaks else "")
    return [person.person_id, _bar(float(person.voice_activity)), action]


def _head_pose(person: Person) -> str:
    pose = person.face.pose if person.face else None
    angles = (pose.yaw, pose.pitch, pose.roll) if pose else ()
    return " ".join(f"{math.degrees(angle):+4.0f}°" for angle in angles) or "-"


def _next(action: ActionOutlook | None) -> list[RenderableType]:
    if action is None or not action.valid:
        return ["-", "-", "-"]
    speaks = _bar(action.speak_probability)
    if action.next_mask == action.current_mask:
        return [f"stays {100 * (1 - action.change_probability):.0f}%", "-", speaks]
    following = f"{mask_label(action.next_mask)} {100 * action.confidence:.0f}%"
    return [following, f"{action.seconds_until_start:.1f} s", speaks]


def _foot(view: TickView, status: RunStatus) -> Text:
    speaker = view.speaker
    text = Text()
    if speaker is not None and speaker.valid:
        text.append(f"speaks: {speaker.current_speaker_id or 'nobody'}   ")
        text.append(f"next speaker: {speaker.person_id or 'nobody'} {100 * speaker.probability:.0f}%")
        text.append(f"   nobody {100 * speaker.none_probability:.0f}%\n")
    text.append("ms: " + "  ".join(f"{name} {ms:.1f}" for name, ms in status.stages_ms.items()), style="dim")
    if status.counts:
        text.append(
            "\nnoticed: " + "  ".join(f"{cause} {n}" for cause, n in sorted(status.counts.items())),
            style="yellow",
        )
    return text


def render(view: TickView, status: RunStatus, width: int = 120) -> RenderableType:
    """The whole table for one tick, on ``width`` columns."""
    content = Group(_head(status), _people(view, width >= 100), _foot(view, status))
    return Panel(content, title="hmgen_ros", border_style="blue")
