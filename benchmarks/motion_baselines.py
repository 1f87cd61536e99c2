"""Constant-velocity-then-hold against plain hold on real landmark tracks.

    python benchmarks/motion_baselines.py [--data FOLDER] [--clips 60]

Prints the mean distance of predicted to true landmarks, in percent of the distance of the outer eye
corners, for each group of speakers and each number of ticks ahead.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hmgen_ros.data.ami import data_directory
from hmgen_ros.generators.constant_velocity import ConstantVelocity, ConstantVelocityConfig

HORIZONS = (1, 2, 3, 5, 8, 15, 25, 40)
CLIP_TICKS = 75
_WARM_UP = 8


def read_groups(folder: Path, clips: int) -> dict[str, NDArray[np.float32]]:
    """``[75, clips, 68, 2]`` pixels by group of speakers, development half; NaN where no face was found."""
    with (folder / "tracks_manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["half"] == "dev"]
    groups: dict[str, list[NDArray[np.float32]]] = {}
    for row in rows:
        name = row["speaker"] if row["speaker"] in ("grid_s1", "obama") else "grid, other speakers"
        groups.setdefault(name, []).extend(_clips(folder / f"{row['group']}_tracks" / f"{row['stem']}.npz"))
    chosen = np.random.default_rng(0)
    return {
        name: np.stack([all_[i] for i in chosen.permutation(len(all_))[:clips]], axis=1)
        for name, all_ in groups.items()
    }


def errors(config: ConstantVelocityConfig, tracks: NDArray[np.float32]) -> list[float]:
    """Mean landmark error at each of ``HORIZONS``, percent of the eye distance."""
    predictor, truth = ConstantVelocity(config), torch.from_numpy(tracks)
    eyes = (truth[:, :, 36] - truth[:, :, 45]).norm(dim=-1).nanmedian(dim=0).values
    state = predictor.initial_state(truth.shape[1])
    found: list[list[torch.Tensor]] = [[] for _ in HORIZONS]
    for tick in range(len(truth)):
        state, _ = predictor.step(state, truth[tick])
        if tick < _WARM_UP:
            continue
        future = predictor.rollout(state, HORIZONS[-1])
        for errors_, horizon in zip(found, HORIZONS, strict=True):
            if tick + horizon < len(truth):
                distance = (future[horizon - 1] - truth[tick + horizon]).norm(dim=-1).mean(dim=-1) / eyes
                errors_.append(distance[torch.isfinite(distance)])
    return [100.0 * float(torch.cat(errors_).mean()) for errors_ in found]


def _clips(path: Path) -> list[NDArray[np.float32]]:
    with np.load(path, allow_pickle=False) as archive:
        track = archive["lm"].astype(np.float32) / archive["scale"]
        track[~archive["valid"]] = np.nan
    return [track[i : i + CLIP_TICKS] for i in range(0, len(track) - CLIP_TICKS + 1, CLIP_TICKS)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Constant velocity then hold, against plain hold.")
    parser.add_argument("--data", type=Path, help="folder with tracks_manifest.csv (default: HMGEN_DATA)")
    parser.add_argument("--clips", type=int, default=60, help="clips of 3 s for each group")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("group", "method", *(f"{h / 25:.2f} s" for h in HORIZONS), title="error, % of eye distance")
    with torch.inference_mode():
        for name, tracks in read_groups(data_directory(arguments.data), arguments.clips).items():
            hold = errors(ConstantVelocityConfig(gain=0.0), tracks)
            ours = errors(ConstantVelocityConfig(), tracks)
            table.add_row(name, "hold", *(f"{e:.3f}" for e in hold))
            table.add_row(name, "constant velocity", *(f"{e:.3f}" for e in ours))
            table.add_row(name, "ratio", *(f"{o / h:.3f}" for o, h in zip(ours, hold, strict=True)))
    Console().print(table)


if __name__ == "__main__":
    main()
