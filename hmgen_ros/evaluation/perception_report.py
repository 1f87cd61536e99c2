"""Writes ``docs/results/perception.md``: composes scenes, scores perception on them, row by row.

Every number is measured by this command; the words around them are in ``_TEXT``. Rows and scenes that are
done are kept, so that a stopped run goes on, and a row is measured anew once perception has changed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from hmgen_ros.evaluation import perception_tables
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.perception_figures import draw_curves, draw_timeline
from hmgen_ros.evaluation.perception_rows import ROWS, WORSE_S, RunError, compose, kept, measure
from hmgen_ros.perception.perception_config import PerceptionConfig

__all__ = ["PerceptionReportConfig", "RunError", "write_report"]

#: Rows whose curves are drawn.
_CURVES = ("seated", "two_voices", "undisturbed", "noise_10db", "noise_0db", "lips_only")
_TEXT = """# Perception: who is there, who speaks, what each person does

Written by `hmgen report perception`; do not edit, run it again. Scenes are composed by
`recordings/compose_set.py --seed {seed}` of real people and voices (GRID, three people in four sittings);
what is true of them is known by construction. Perception runs with the node's defaults, but for one worker,
and hears and sees what a node would, stamp by stamp.

- Scenes: {scenes}
- Machine: {machine}; rows measured on {date}
- The syncer, which compares faces with voices, and the network that tells head gestures were trained on
  landmarks and voices of one of the three people (s1), never on scenes. Nods and shakes are real faces turned
  by their depth; angles and times are drawn (`recordings/scene_moves.py`). Scenes of another
  seed are for choosing settings; where these were looked at, too, the end of this page says so.

## Targets

{targets}

The error of landmarks is measured by `hmgen evaluate landmarks`. AP and F1 are strict: what is said of a tick
is held against the truth of this very tick, although pictures are matched with sound up to {lag:.0f} ms
before them, and no voice is known from its first sample. "160 ms late" forgives so much delay.

## Scenes

Person-ticks with half a face in view or more count. A takeover is an id that was somebody else's before.

{scene_table}

![Under which ids people are followed]({figures}/ids.png)

## Worse pictures, worse sound

At most the first {worse:.0f} s of one seated and one gesture scene; minutes tell how much.

{worse_table}

![Precision over recall of who speaks]({figures}/speaking.png)

## Actions

An event counts as found where one that overlaps it, or begins up to half a second after it, is told. Glances
aside and down in the gesture scenes are no gestures.

{label_table}

## Speed and memory

CPU time is that of all threads without decoding; by stage that of the thread that runs it. Wall-clock times
are those of a machine that did {busy}.

{speed_table}

{findings}
"""


@dataclass(frozen=True)
class PerceptionReportConfig:
    """Settings of the report.

    Attributes:
        data: folder of the GRID clips (``grid_video``, ``grid_tracks``); HMGEN_DATA sets the default.
        scenes: folder for the composed scenes; those that are there are kept.
        cache: folder for the figures of each row; those of the same scenes and perception are kept.
        out: the Markdown file; figures go into a folder of its name beside it.
        findings: Markdown with what the numbers mean, put at the end where it exists.
        seed: of the scenes.
        seconds: at most so much of every scene, for a quick look; the report says so.
        compose: make the scenes that are missing; without, the report is of those that are there.
        rows: measure only these; others are taken from the cache, whatever they were measured with there.

    Raises:
        ValueError: a setting is out of its range.
    """

    data: Path = field(default_factory=lambda: Path(os.environ.get("HMGEN_DATA", "../shared/data")))
    scenes: Path = Path("out/perception_scenes")
    cache: Path = Path("out/perception_rows")
    out: Path = Path("docs/results/perception.md")
    findings: Path = Path("docs/results/perception_findings.md")
    seed: int = 2026
    seconds: float | None = None
    compose: bool = True
    rows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = [row.name for row in ROWS]
        if unknown := [name for name in self.rows if name not in known]:
            raise ValueError(f"no row {unknown[0]!r}; there are {', '.join(known)}")
        if self.seed < 0 or (self.seconds is not None and self.seconds <= 0):
            raise ValueError(
                f"seed must be at least 0 and seconds above 0, got {self.seed} and {self.seconds}"
            )


def write_report(config: PerceptionReportConfig, console: Console | None = None) -> Path:
    """Compose, measure and write; returns the report's path.

    Raises:
        RunError: scenes cannot be composed.
        hmgen_ros.evaluation.perception_truth.SceneError: there are no scenes, or one is damaged.
    """
    console = console or Console()
    if config.compose:
        compose(config.scenes, config.data, config.seed)
    results: dict[str, Mapping[str, Any]] = {}
    for row in ROWS:
        if config.rows and row.name not in config.rows:
            found = kept(row, config.cache)
        else:
            found = measure(row, config.scenes, config.cache, config.seconds, console)
        if found is not None:
            results[row.name] = found
    figures = config.out.with_suffix("")
    figures.mkdir(parents=True, exist_ok=True)
    draw_curves(results, _CURVES, figures / "speaking.png")
    moving = [run for name in ("crossing", "leaving") for run in results.get(name, {}).get("timeline", [])]
    draw_timeline(moving, figures / "ids.png")
    config.out.write_text(_text(config, results, figures.name).rstrip() + "\n", encoding="utf-8")
    console.print(f"wrote {config.out}", highlight=False)
    return config.out


def _text(config: PerceptionReportConfig, results: Mapping[str, Mapping[str, Any]], figures: str) -> str:
    processor = machine()
    load = max((result["load"] for result in results.values()), default=0.0)
    busy = "nothing else" if load < 1.2 else f"much else (load {load:.1f} a core), so they are too long"
    names = {name for result in results.values() for name in result["scene_names"]}
    short = "" if config.seconds is None else f", of each at most {config.seconds:.0f} s: a quick look"
    return _TEXT.format(
        seed=config.seed,
        scenes=f"{len(names)} ({', '.join(sorted(names))}){short}",
        machine=f"{processor['processor']}, {processor['cores']} cores, torch {processor['torch']}",
        date=" and ".join(sorted({result["date"] for result in results.values()})),
        targets=perception_tables.targets(results),
        lag=PerceptionConfig().audio_lag_ms,
        scene_table=perception_tables.scenes(results),
        worse=WORSE_S,
        worse_table=perception_tables.worse(results),
        label_table=perception_tables.labels(results),
        speed_table=perception_tables.speed(results),
        busy=busy,
        figures=figures,
        findings=config.findings.read_text(encoding="utf-8") if config.findings.is_file() else "",
    )
