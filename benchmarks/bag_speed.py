"""How much faster than real time bags are replayed and scored, with images and from people alone.

    python benchmarks/bag_speed.py                   the whole bundled recording as two bags
    python benchmarks/bag_speed.py --seconds 20      its beginning
    python benchmarks/bag_speed.py --bag out/bag     a bag of yours that holds a camera and people
    python benchmarks/bag_speed.py --runs 3          each three times; the slowest counts

Each part is a fresh ``hmgen evaluate bag``, as a user would run it; speed counts from when the models are
loaded, which takes some seconds however long the bag is. Where other programs want the processor, too, the
clock on the wall tells of them; processor time does so much less.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from hmgen_ros.evaluation.machine import machine

#: Times real time on 2 cores without a GPU.
TARGETS = {"people": 3.0, "images": 1.5}


@dataclass(frozen=True)
class Options:
    """Options of the benchmark.

    Args:
        bag: a bag with images, sound and people; without it the bundled recording is recorded first.
        seconds: how much of the bundled recording; all of it by default.
        runs: how often each bag is evaluated.
        json: also write the figures to this file.
    """

    bag: Path | None = None
    seconds: float | None = None
    runs: int = 1
    json: Path | None = None


def record(folder: Path, seconds: float | None) -> Path:
    """Record the bundled recording with all that is published, as ``hmgen run`` does."""
    limit = [] if seconds is None else ["--duration", str(seconds)]
    _hmgen("run", "--headless", "--fast", "--record", str(folder), *limit)
    return folder / "bag"


def measure(bag: Path, source: str, folder: Path) -> dict[str, Any]:
    """The timing of one evaluation."""
    _hmgen("evaluate", "bag", str(bag), "--source", source, "--json", str(folder / f"{source}.json"))
    timing = json.loads((folder / f"{source}.timing.json").read_text(encoding="utf-8"))
    return dict(next(iter(timing["bags"].values())))


def _hmgen(*arguments: str) -> None:
    command: Sequence[str] = [sys.executable, "-m", "hmgen_ros.cli", *arguments]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise SystemExit(f"hmgen {' '.join(arguments)} failed; see above")


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options, description=__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bag = options.bag or record(folder / "recorded", options.seconds)
        found = {source: [measure(bag, source, folder) for _ in range(options.runs)] for source in TARGETS}
    table = Table("replayed from", "by the clock", "by processor time", "target", title="× real time")
    for source, runs in found.items():
        table.add_row(
            source,
            ", ".join(f"{run['real_time']:.2f}" for run in runs),
            ", ".join(f"{run['real_time_cpu']:.2f}" for run in runs) + " of a core",
            f">= {TARGETS[source]:g}",
        )
    for source, runs in found.items():
        slowest = min(runs, key=lambda run: run["real_time"])
        stages = ", ".join(f"{stage} {ms['mean']:.1f}" for stage, ms in slowest["milliseconds"].items())
        table.add_row(f"{source}, ms", stages, "", "")
    Console().print(table)
    if options.json is not None:
        date = datetime.now(UTC).date().isoformat()
        figures = {"machine": machine(), "date": date, "bags": found}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
