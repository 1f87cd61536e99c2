"""How runs of head motion compare on the validation tracks; chooses between settings and temperatures.

    python benchmarks/motion_choice.py --runs out/suhmo [--data FOLDER] [--temperatures 0.7 0.8 0.9]

For every run whose ``best.safetensors`` is there: its dynamics measures at 40 and 80 ticks, each over that of
the shipped model it is compared with (hit_dvae), and the geometric mean of these ratios, twelve where tracks
are long enough; below 1 is nearer to real heads. Of every model the mean of some draws is taken. The test
part is not read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from hmgen_ros.data.ami import data_directory
from hmgen_ros.data.track_parts import part_of
from hmgen_ros.evaluation.evaluate_motion import reference_of
from hmgen_ros.evaluation.motion_scores import NotFinite, Reference, futures_of, horizon_scores
from hmgen_ros.evaluation.result_file import check_writable, write_result
from hmgen_ros.generators import motion_models
from hmgen_ros.generators.framed_motion import FramedMotion
from hmgen_ros.generators.noise_driven import NoiseDriven

MEASURES = ("fd_motion", "fd_map", "velocity", "acceleration", "jerk", "spectrum")
WINDOWS = 400


def scores_of(model: FramedMotion[Any], reference: Reference, draws: int) -> dict[str, float]:
    """Every measure at every horizon, means of ``draws`` futures of each pose."""
    found: dict[str, list[float]] = {}
    for seed in range(draws):
        for ticks, horizon in reference.horizons.items():
            future = futures_of(model, horizon.start, ticks, seed, "cpu")
            scores = horizon_scores(horizon, future, reference)
            for name in (f"{measure}_{ticks}" for measure in MEASURES):
                if (value := scores[name]) is None:
                    raise ValueError(f"{name} cannot be had on these tracks")
                found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def at_temperatures(path: Path, temperatures: Sequence[float]) -> dict[str, FramedMotion[Any]]:
    """A run's best model by name, with each temperature if it has one and any is asked for."""
    model = motion_models.read(path / "best.safetensors")
    if not (temperatures and isinstance(model, NoiseDriven)):
        return {path.name: model}
    found: dict[str, FramedMotion[Any]] = {}
    for temperature in temperatures:
        model = motion_models.read(path / "best.safetensors")
        model.config = replace(model.config, temperature=temperature)
        found[f"{path.name} at {temperature:g}"] = model
    return found


def ratios(scores: Mapping[str, float], against: Mapping[str, float]) -> dict[str, float]:
    """Each measure over that of the other model, and ``mean``, the geometric mean."""
    found = {name: value / against[name] for name, value in scores.items()}
    return {"mean": float(np.exp(np.mean(np.log(list(found.values()))))), **found}


def compare(args: argparse.Namespace, console: Console) -> dict[str, dict[str, float]]:
    """Ratios by name of run.

    Raises:
        RuntimeError, ValueError, OSError: files are missing or damaged.
    """
    if args.draws < 1:
        raise ValueError(f"draws must be at least 1, got {args.draws}")
    paths = sorted(file.parent for file in args.runs.glob("*/best.safetensors"))
    if not paths:
        raise ValueError(f"no best.safetensors in the folders in {args.runs}; give hmgen train suhmo's --out")
    folder = data_directory(args.data)
    with console.status("measuring the validation tracks"):
        reference = reference_of(part_of(folder, "validation"), folder, WINDOWS, "cpu")
        against = scores_of(motion_models.load(args.against).eval(), reference, args.draws)
    found = {}
    for path in paths:
        for name, model in at_temperatures(path, args.temperatures).items():
            with console.status(name):
                try:
                    found[name] = ratios(scores_of(model.eval(), reference, args.draws), against)
                except NotFinite as finding:
                    console.print(f"{name}: {finding}")
    if not found:
        raise ValueError("no run has finite futures")
    return found


def main() -> None:
    """Compare and print; exits with 2 and one line where a model or the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of run folders (hmgen train suhmo)")
    parser.add_argument("--data", type=Path, help="folder of tracks (default: HMGEN_DATA)")
    parser.add_argument("--against", default="hit_dvae", help="shipped model that is compared with")
    parser.add_argument("--draws", type=int, default=3, help="futures of each pose")
    parser.add_argument("--temperatures", type=float, nargs="*", default=(), help="of noise_driven's noise")
    parser.add_argument("--json", type=Path, help="also write the ratios to this file")
    args = parser.parse_args()
    console = Console()
    torch.set_num_threads(1)
    try:
        check_writable(args.json)
        found = compare(args, console)
        _show(found, args.against, console)
        if args.json is not None:
            write_result(args.json, found)
    except (RuntimeError, ValueError, ArithmeticError, OSError) as error:
        print(f"motion_choice: {error}", file=sys.stderr)
        sys.exit(2)


def _show(found: Mapping[str, Mapping[str, float]], against: str, console: Console) -> None:
    names = list(next(iter(found.values())))
    table = Table("run", *names, title=f"over {against}, validation tracks")
    for name, row in found.items():
        table.add_row(name, *(f"{row[key]:.2f}" for key in names))
    console.print(table)


if __name__ == "__main__":
    main()
