"""What one training iteration costs, by system, and how it scales with batch and threads.

    python benchmarks/social_training.py [--seconds 3] [--accelerator cpu] [--json FILE]

Times whole iterations (data, generator, discriminator, optimisers) on drawn actions of four people in a
space of 14, as the meetings have; the numbers do not depend on what the actions are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from hmgen_ros.data.preparation import Prepared
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.generators.social import SocialGenerator
from hmgen_ros.generators.weights import Weights
from hmgen_ros.training.social_systems import SYSTEMS, SystemName
from hmgen_ros.training.train_social import SocialTrainConfig, make_step

ACTIONS, PEOPLE, OBSERVED = 14, 4, 60
BATCHES = (8, 16, 32, 64, 128)


class NoValidation:
    """Nothing is measured but time."""

    reference: dict[str, float] = {}  # noqa: RUF012 (a constant)

    def __call__(self, generator: SocialGenerator) -> dict[str, float]:
        """No metric."""
        return {}


def drawn_samples(samples: int, target: int) -> Prepared:
    """Samples of actions that change every second or so."""
    rng = np.random.default_rng(0)
    length = OBSERVED + target
    changes = rng.random((samples, length, PEOPLE)) < 0.04
    symbols = rng.integers(0, ACTIONS, (samples, length, PEOPLE))
    last = np.maximum.accumulate(np.where(changes, np.arange(length)[None, :, None], 0), axis=1)
    windows = np.take_along_axis(symbols, last, axis=1).astype(np.int64)
    space = ActionSpace(tuple(2 * i for i in range(ACTIONS)))  # Bit 0 stands for no action.
    origins = np.zeros((samples, 2), np.int64)
    return Prepared(space, windows[:, :OBSERVED], windows[:, OBSERVED:], origins, Table())


def seconds_an_iteration(config: SocialTrainConfig, seconds: float) -> float:
    """Median over the iterations that fit into some seconds, at least three, after two to warm up."""
    fabric = config.launch()
    step = make_step(config, drawn_samples(2 * config.batch, config.target), NoValidation(), warm(config))
    step.setup(fabric)
    found: list[float] = []
    until, iteration = time.monotonic() + seconds, 0
    while len(found) < 5 or time.monotonic() < until:
        started = time.perf_counter()
        step.step(iteration)  # Returns numbers, so a GPU has finished.
        found.append(time.perf_counter() - started)
        iteration += 1
    return statistics.median(found[2:])


def warm(config: SocialTrainConfig) -> Weights | None:
    """An untrained generator for a system that starts from another one's."""
    system = SYSTEMS[config.system].warm_start
    if not system:
        return None
    before = SocialTrainConfig(system=system, target=config.target, hidden=config.hidden)
    step = make_step(before, drawn_samples(1, config.target), NoValidation())
    return Weights("untrained", *step.weights())


def measure(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    """All three tables."""
    given: dict[str, Any] = {"accelerator": arguments.accelerator}
    report: dict[str, Any] = {"machine": machine(), "systems": {}, "batch": {}, "threads": {}}
    with console.status("measuring") as status:

        def time_of(**settings: Any) -> float:
            status.update(f"measuring {settings}")
            return seconds_an_iteration(SocialTrainConfig(**given, **settings), arguments.seconds)

        for system in arguments.systems:
            times = {str(t): time_of(system=system, target=t, threads=1) for t in (40, 80)}
            report["systems"][system] = times
        for batch in BATCHES:
            report["batch"][str(batch)] = time_of(system="local_rnn", batch=batch, threads=1)
        for threads in range(1, arguments.max_threads + 1):
            report["threads"][str(threads)] = time_of(system="local_rnn", threads=threads)
    return report


def show(report: dict[str, Any], console: Console) -> None:
    """Print the three tables."""
    table = Table("system", "T = 40, ms", "T = 80, ms", title="one iteration, batch 32, one thread")
    for system, times in report["systems"].items():
        table.add_row(system, *(f"{1e3 * seconds:.0f}" for seconds in times.values()))
    console.print(table)
    table = Table("batch", "ms", "ms a sample", title="local_rnn, T = 40, one thread")
    for batch, seconds in report["batch"].items():
        table.add_row(batch, f"{1e3 * seconds:.0f}", f"{1e3 * seconds / int(batch):.2f}")
    console.print(table)
    table = Table("threads", "ms", title="local_rnn, T = 40, batch 32")
    for threads, seconds in report["threads"].items():
        table.add_row(threads, f"{1e3 * seconds:.0f}")
    console.print(table)


def main() -> None:
    """Measure and print."""
    systems: list[SystemName] = list(SYSTEMS)
    parser = argparse.ArgumentParser(description="Seconds of one training iteration, by system.")
    parser.add_argument("--systems", nargs="*", choices=systems, default=systems)
    parser.add_argument("--seconds", type=float, default=3.0, help="time spent on each number")
    parser.add_argument("--accelerator", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--max-threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args()
    console = Console()
    report = measure(arguments, console)
    show(report, console)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
