"""Speed and memory of the whole pipeline on the bundled recording, with a breakdown by stage.

    python benchmarks/pipeline.py                  real time, as fast as possible, 10 minutes of memory
    python benchmarks/pipeline.py --minutes 1      a shorter memory run
    python benchmarks/pipeline.py --json out.json  the figures as JSON too

Each part is a fresh process that runs ``hmgen run --headless``, as a user would.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

#: Targets on 2 cores without a GPU.
TARGETS = {"p50_ms": 25.0, "p99_ms": 40.0, "rss_mb": 1200.0, "rate_hz": 24.9, "fast_factor": 1.5}


@dataclass(frozen=True)
class Options:
    """Options of the benchmark.

    Args:
        minutes: length of the memory run, minutes; 0 leaves it out.
        json: also write the figures to this file.
    """

    minutes: float = 10.0
    json: Path | None = None


def hmgen_run(*arguments: str) -> subprocess.Popen[bytes]:
    """Start ``hmgen run --headless`` with further arguments."""
    command = [sys.executable, "-m", "hmgen_ros.cli", "run", "--headless", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "ROS_DOMAIN_ID": "97"})


def figures_of(*arguments: str) -> dict[str, Any]:
    """Run to the end and read the figures."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run.json"
        start = time.monotonic()
        if hmgen_run(*arguments, "--json", str(out)).wait():
            raise SystemExit("hmgen run failed; see above")
        return {**json.loads(out.read_text()), "wall_s": time.monotonic() - start}


def memory_over(minutes: float) -> dict[str, Any]:
    """Resident memory of a looping real-time run, sampled once a second."""
    process = hmgen_run("--loop", "--duration", str(minutes * 60))
    samples: list[float] = []
    with Progress() as progress:
        task = progress.add_task("memory run", total=minutes * 60)
        while process.poll() is None:
            try:
                samples.append(psutil.Process(process.pid).memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                break
            progress.advance(task)
            time.sleep(1.0)
    if process.returncode:
        raise SystemExit("hmgen run failed; see above")
    third = max(1, len(samples) // 3)
    first, last = samples[third // 2 : third], samples[-third:]
    return {"first_mb": sum(first) / len(first), "last_mb": sum(last) / len(last), "peak_mb": max(samples)}


def report(real: dict[str, Any], fast: dict[str, Any], memory: dict[str, Any] | None) -> Table:
    """All figures beside their targets."""
    table = Table("figure", "measured", "target", title=f"{machine()}, {date.today()}")
    latency = real["latency_ms"]
    for name, value, target in (
        ("rate, real time", f"{real['rate_hz']:.2f} Hz", "25 Hz"),
        ("frames dropped", f"{real['dropped']} of {real['frames']}", "0"),
        ("latency p50", f"{latency['p50']:.1f} ms", f"<= {TARGETS['p50_ms']:.0f} ms"),
        ("latency p99", f"{latency['p99']:.1f} ms", f"<= {TARGETS['p99_ms']:.0f} ms"),
        ("memory", f"{real['rss_mb']:.0f} MB", f"<= {TARGETS['rss_mb']:.0f} MB"),
        ("as fast as possible", f"{fast['rate_hz'] / 25:.2f} x real time", f">= {TARGETS['fast_factor']} x"),
    ):
        table.add_row(name, value, target)
    if memory is not None:
        drift = f"{memory['first_mb']:.0f} -> {memory['last_mb']:.0f} MB, peak {memory['peak_mb']:.0f}"
        table.add_row("memory over the long run", drift, "flat")
    for name in real["stages_ms"]:
        table.add_row(
            f"stage {name}", f"{real['stages_ms'][name]:.2f} ms", f"fast: {fast['stages_ms'][name]:.2f}"
        )
    return table


def machine() -> str:
    """Cores, memory and processor."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}, Python {platform.python_version()}"
    )


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options, description=__doc__)
    real, fast = figures_of(), figures_of("--fast")
    memory = memory_over(options.minutes) if options.minutes > 0 else None
    Console().print(report(real, fast, memory))
    if options.json is not None:
        figures = {"machine": machine(), "real_time": real, "fast": fast, "memory": memory}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
