"""How long one tick of head motion takes, and one training iteration, on one core.

    python benchmarks/motion_speed.py [--data FOLDER] [--json FILE] [--ticks 300]

A tick is :meth:`hmgen_ros.generators.framed_motion.FramedMotion.advance`: every head goes on by itself, its
pose kept plausible. Beside each time stands the bound that memory sets: a model's weights must be read once a
tick, and an LSTM's or a dense layer's are read for all heads together; the bound is their size, and that of
what attention remembers, over the rate at which one core reads memory here, measured by the same run. Models
that fit into the cache can be faster than it. Run it while nothing else runs.
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
from lightning_fabric.fabric import Fabric
from rich.console import Console
from rich.table import Table

from hmgen_ros.data.ami import data_directory
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.generators.framed_motion import FramedMotion
from hmgen_ros.generators.head_forecaster import DEFAULT_MOTION_PREDICTOR, MOTION_PREDICTORS
from hmgen_ros.generators.suhmo import Suhmo, SuhmoConfig
from hmgen_ros.generators.weights import Weights
from hmgen_ros.training.motion_systems import SYSTEMS
from hmgen_ros.training.train_suhmo import SuhmoTrainConfig, corpus_of, make_step

#: Ticks before the timed ones.
_WARM_UP = 20
#: Numbers that the reading of memory is measured with: far more than any cache holds.
_NUMBERS = 1 << 27
_ITERATIONS = 10


def bandwidth() -> float:
    """Bytes a second that one core reads from memory."""
    numbers = torch.ones(_NUMBERS)
    times = []
    for _ in range(5):
        start = time.process_time()
        numbers.sum()
        times.append(time.process_time() - start)
    return 4.0 * _NUMBERS / min(times)


def faces(heads: int, data: Path | None) -> torch.Tensor:
    """``[heads, 68, 2]`` pixels of held-out tracks; what is no face would be corrected at every tick."""
    corpus = corpus_of(SuhmoTrainConfig(data=data), "validation")
    return torch.from_numpy(np.stack([piece.landmarks[0] for piece in corpus.segments[:heads]]))


@torch.inference_mode()
def tick_times(
    model: FramedMotion[Any], begun: torch.Tensor, ticks: int, history: int
) -> np.ndarray[Any, Any]:
    """CPU seconds of each tick that follows ``history`` ones, of heads that begin with some poses."""
    generator = torch.Generator().manual_seed(0)
    state, _ = model.step(model.initial_state(len(begun)), begun)
    state, found = model.start(state, generator), []
    for _ in range(max(history, _WARM_UP)):
        state, _ = model.advance(state, generator)
    for _ in range(ticks):
        start = time.process_time()
        after, _ = model.advance(state, generator)
        found.append(time.process_time() - start)
        # With a history to be held, each tick is the one after it.
        state = state if history else after
    return np.array(found)


def bytes_read(model: FramedMotion[Any], heads: int, history: int) -> int:
    """Weights, and the keys and values of as many ticks of each pair."""
    attended = 0
    if isinstance(model, Suhmo) and model.config.network == "transformer":
        attended = 2 * 2 * heads * history * model.config.hidden
    return 4 * (sum(p.numel() for p in model.parameters()) + attended)


def thesis(network: Any) -> Suhmo:
    """Untrained: the time does not depend on what was learned; as it would come from a model file."""
    return Suhmo.from_weights(Weights("untrained", *Suhmo(SuhmoConfig(network=network)).to_weights()))


def iteration_seconds(data: Path | None, system: Any) -> float:
    """CPU seconds of one training iteration at hidden 128, batch 32 × 40."""
    config = SuhmoTrainConfig(data=data, system=system, hidden=128, batch=32, validation_windows=16)
    step = make_step(config, corpus_of(config, "train"), corpus_of(config, "validation"))
    step.setup(Fabric(accelerator="cpu", devices=1))
    for i in range(3):
        step.step(i)
    start = time.process_time()
    for i in range(_ITERATIONS):
        step.step(i)
    return (time.process_time() - start) / _ITERATIONS


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--ticks", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rate = bandwidth()
    rnn, transformer = thesis("rnn"), thesis("transformer")
    cases: list[tuple[str, FramedMotion[Any], int, int]] = [
        *(("SUHMo-RNN, thesis size", rnn, heads, 0) for heads in (1, 8)),
        *(("SUHMo-Transformer, thesis size", transformer, 1, history) for history in (40, 120)),
    ]
    shipped = [DEFAULT_MOTION_PREDICTOR, *(n for n in MOTION_PREDICTORS if n != DEFAULT_MOTION_PREDICTOR)]
    for name in shipped:
        model = MOTION_PREDICTORS[name]("cpu")
        if isinstance(model, FramedMotion):
            cases += [(name, model, heads, 0) for heads in (1, 8)]
    begun = faces(8, options.data)
    rows, shown = [], Table("model", "heads", "history", "median ms", "p99 ms", "bound ms", title="one tick")
    for name, model, heads, history in cases:
        times = 1e3 * tick_times(model, begun[:heads], options.ticks, history)
        row = {
            "model": name,
            "heads": heads,
            "history": history or None,
            "median_ms": round(float(np.median(times)), 3),
            "p99_ms": round(float(np.percentile(times, 99)), 3),
            "bound_ms": round(1e3 * bytes_read(model, heads, history) / rate, 3),
            "parameters": sum(p.numel() for p in model.parameters()),
        }
        rows.append(row)
        columns = ("model", "heads", "history", "median_ms", "p99_ms", "bound_ms")
        shown.add_row(*(str(row[name]) for name in columns))
    training = {
        name: round(iteration_seconds(options.data or data_directory(None), name), 3)
        for name in SYSTEMS
        if "one_sample" not in name and "single" not in name
    }
    console = Console()
    console.print(shown)
    table = Table("system", "CPU-s", title="one training iteration, hidden 128, batch 32 × 40")
    for name, seconds in training.items():
        table.add_row(name, f"{seconds:.2f}")
    console.print(table)
    console.print(f"one core reads {rate / 1e9:.1f} GB/s here")
    if options.json is not None:
        report = {
            "ticks": rows,
            "training_iteration_cpu_s": training,
            "read_gb_per_s": round(rate / 1e9, 2),
            "machine": machine(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
