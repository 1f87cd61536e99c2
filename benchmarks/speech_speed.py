"""How long a tick of speech-driven head motion takes on one core, how late it is, and a training iteration.

    python benchmarks/speech_speed.py [--data FOLDER] [--json FILE] [--ticks 300] [--rounds 5]

A tick hears 40 ms of audio features (:meth:`hmgen_ros.generators.ms_sync.MsSync.hear`) and moves every head
(``advance``); features of the sound are timed apart. "large" is as large as the thesis' public generator (36
million parameters), untrained: the time does not depend on what was learned. The bound is the size of the
weights over the rate at which one core reads memory here.

Run it while nothing else runs: other programs take caches and memory away, which costs CPU time, too. The
median of the quickest second of ticks is told beside that of all.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.fabric import Fabric
from motion_speed import bandwidth, faces
from rich.console import Console
from rich.table import Table

from hmgen_ros.data.ami import data_directory
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.generators.ms_sync import MsSync, MsSyncConfig
from hmgen_ros.generators.speech_models import DEFAULT_SPEECH_GENERATOR, load_speech_generator
from hmgen_ros.perception.audio_features import FeatureStream, features_of
from hmgen_ros.training.train_ms_sync import MsSyncTrainConfig, make_step, speech_of
from hmgen_ros.types import TICK_HZ
from hmgen_ros.types.sound import KINDS, TICK_SAMPLES, Kind

_WARM_UP, _ITERATIONS = 20, 3
#: 34 million parameters.
_LARGE = MsSyncConfig(hidden=1024, width=1024, channels=512)


class LargeTrainConfig(MsSyncTrainConfig):
    """Trains the thesis' system at the size of its public code."""

    def generator(self) -> MsSyncConfig:
        """As large as the public generator."""
        return replace(_LARGE, noise=False)


def speech(heads: int, ticks: int, data: Path | None, kind: Kind) -> torch.Tensor:
    """``[ticks, heads, 4, 26]`` held-out speech; what is no speech would lead to faces to be corrected."""
    pieces, _ = speech_of(MsSyncTrainConfig(data=data), "validation")
    samples = np.concatenate([piece.sound for piece in pieces[: 1 + heads * ticks // 75]])
    heard = torch.from_numpy(features_of(samples, kind))
    return torch.stack([heard[i * ticks : (i + 1) * ticks] for i in range(heads)], dim=1)


@torch.inference_mode()
def tick_times(model: MsSync, begun: torch.Tensor, heard: torch.Tensor, rounds: int) -> np.ndarray[Any, Any]:
    """CPU seconds of ticks of heads that begin with some poses and hear ``[T, heads, 4, 26]`` some times."""
    generator = torch.Generator().manual_seed(0)
    state, _ = model.step(model.initial_state(len(begun)), begun)
    state, found = model.start(state, generator), []
    for tick in torch.cat([heard[:_WARM_UP], *[heard] * rounds]):
        start = time.process_time()
        state, _ = model.advance(model.hear(state, tick), generator)
        found.append(time.process_time() - start)
    return np.array(found[_WARM_UP:])


def feature_seconds(kind: Kind, ticks: int) -> float:
    """CPU seconds of the features of a tick of sound, median."""
    stream, rng, found = FeatureStream(kind), np.random.default_rng(0), []
    for _ in range(ticks):
        samples = (0.1 * rng.standard_normal(TICK_SAMPLES)).astype(np.float32)
        start = time.process_time()
        stream.feed(samples)
        found.append(time.process_time() - start)
    return float(np.median(found))


def large() -> MsSync:
    """As large as the public generator; units of real heads, so that it does not run away."""
    torch.manual_seed(0)
    model, small = MsSync(_LARGE), load_speech_generator(DEFAULT_SPEECH_GENERATOR)
    for name, buffer in small.named_buffers():
        model.get_buffer(name).copy_(buffer)
    return model.eval()


def iteration_seconds(config: MsSyncTrainConfig) -> float:
    """CPU seconds of the quickest of some training iterations."""
    parts = [speech_of(config, split)[0][:40] for split in ("train", "validation")]
    step = make_step(config, *parts)
    step.setup(Fabric(accelerator="cpu", devices=1))
    step.step(0)
    found = []
    for i in range(_ITERATIONS):
        start = time.process_time()
        step.step(i)
        found.append(time.process_time() - start)
    return min(found)


def latency_ms(model: MsSync) -> float:
    """From the beginning of a tick of sound to the motion of that tick: the tick and what is looked ahead."""
    return 1000.0 * (1.0 / TICK_HZ + model.config.look_ahead_s)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--ticks", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rate, begun = bandwidth(), faces(8, options.data)
    heard: dict[str, torch.Tensor] = {kind: speech(8, options.ticks, options.data, kind) for kind in KINDS}
    models = {name: load_speech_generator(name) for name in (DEFAULT_SPEECH_GENERATOR, "causal")}
    models["large"] = large()
    rows = []
    shown = Table(
        "model", "heads", "quickest ms", "median ms", "p99 ms", "bound ms", "latency ms", title="one tick"
    )
    for name, model in models.items():
        parameters = sum(p.numel() for p in model.parameters())
        for heads in (1, 8):
            sound = heard[model.config.features][:, :heads]
            times = 1e3 * tick_times(model, begun[:heads], sound, options.rounds)
            pieces = np.split(times, range(TICK_HZ, len(times), TICK_HZ))
            row = {
                "model": name,
                "heads": heads,
                "quickest_ms": round(min(float(np.median(piece)) for piece in pieces), 3),
                "median_ms": round(float(np.median(times)), 3),
                "p99_ms": round(float(np.percentile(times, 99)), 3),
                "bound_ms": round(4e3 * parameters / rate, 3),
                "latency_ms": round(latency_ms(model), 1),
                "parameters": parameters,
            }
            rows.append(row)
            columns = ("model", "heads", "quickest_ms", "median_ms", "p99_ms", "bound_ms", "latency_ms")
            shown.add_row(*(str(row[column]) for column in columns))
    features = {kind: round(1e3 * feature_seconds(kind, options.ticks), 3) for kind in KINDS}
    data = options.data or data_directory(None)
    given: dict[str, Any] = {"data": data, "validation_windows": 8, "speeds": ()}
    trained = {
        "speech_driven, batch 32 x 60": MsSyncTrainConfig(**given),
        "ms_sync_short, batch 32 x 40": MsSyncTrainConfig(**given, system="ms_sync_short"),
        "ms_sync_short, 34 M parameters, batch 2 x 40": LargeTrainConfig(
            **given, system="ms_sync_short", batch=2
        ),
    }
    training = {name: iteration_seconds(config) for name, config in trained.items()}
    console = Console()
    console.print(shown)
    console.print(f"features of a tick of sound, CPU-ms: {features}", highlight=False)
    for name, seconds in training.items():
        console.print(f"a training iteration, {name}: {seconds:.2f} CPU-s", highlight=False)
    console.print(f"one core reads {rate / 1e9:.1f} GB/s here")
    if options.json is not None:
        report = {
            "ticks": rows,
            "features_ms": features,
            "training_iteration_cpu_s": {name: round(value, 3) for name, value in training.items()},
            "read_gb_per_s": round(rate / 1e9, 2),
            "machine": machine(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
