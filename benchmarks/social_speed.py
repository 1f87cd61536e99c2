"""How long one tick of action prediction takes, by model and number of people, on one core.

    python benchmarks/social_speed.py [--data FOLDER] [--models group_attention …] [--json FILE]

A tick is what the interaction node asks for 25 times a second: observe everybody, sample futures, read the
probabilities off them. The people are those of a held-out meeting; larger groups are several meetings'
people, shifted in time, round one table. Run it while nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hmgen_ros.data.ami import data_directory, meetings_of
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.generators.group_forecaster import ACTION_PREDICTORS, DEFAULT_ACTION_PREDICTOR
from hmgen_ros.generators.interface import ActionPredictor

SAMPLES, STEPS = 32, 40
_SHIFT = 997
_FIRST = 1500


def table_of(masks: NDArray[np.uint16], people: int, predictor: ActionPredictor[Any]) -> torch.Tensor:
    """``[T, people]`` symbols: the meeting's people, again and again at other times."""
    symbols = predictor.space.encode_array(masks)
    copies = -(-people // symbols.shape[1])
    group = np.concatenate([np.roll(symbols, -_SHIFT * copy, axis=0) for copy in range(copies)], axis=1)
    return torch.from_numpy(group[:, :people])


@torch.inference_mode()
def tick_times(predictor: ActionPredictor[Any], actions: torch.Tensor, ticks: int) -> NDArray[np.float64]:
    """Seconds of each tick, after a warm-up."""
    generator, warm_up = torch.Generator().manual_seed(0), 50
    state, found = predictor.initial_state(actions.shape[1]), []
    for tick in actions[_FIRST : _FIRST + ticks + warm_up]:
        start = time.perf_counter()
        state, _ = predictor.step(state, tick)
        predictor.futures(state, STEPS, SAMPLES, generator)
        found.append(time.perf_counter() - start)
    return np.array(found[warm_up:])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--models", nargs="+", default=[DEFAULT_ACTION_PREDICTOR], choices=ACTION_PREDICTORS)
    parser.add_argument("--people", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--ticks", type=int, default=500)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    masks = meetings_of(data_directory(options.data) / "ami_25hz", "test").meetings[0].masks
    rows = []
    shown = Table(
        "model", "people", "median ms", "p99 ms", title=f"{SAMPLES} futures of {STEPS} ticks, one core"
    )
    for name in options.models:
        predictor = ACTION_PREDICTORS[name]("cpu")
        for people in options.people:
            times = 1e3 * tick_times(predictor, table_of(masks, people, predictor), options.ticks)
            median, slow = float(np.median(times)), float(np.percentile(times, 99))
            rows.append(
                {"model": name, "people": people, "median_ms": round(median, 3), "p99_ms": round(slow, 3)}
            )
            shown.add_row(name, str(people), f"{median:.2f}", f"{slow:.2f}")
    Console().print(shown)
    if options.json:
        date = datetime.now(UTC).date().isoformat()
        options.json.write_text(
            json.dumps({"machine": machine(), "date": date, "ticks": rows}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
