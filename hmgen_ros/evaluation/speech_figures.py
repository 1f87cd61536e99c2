"""Pictures of synchrony: confidence along the training, and distributions of offsets and confidences."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hmgen_ros.evaluation.motion_runs import MotionRun
from hmgen_ros.evaluation.sync_metrics import Synchrony
from hmgen_ros.generators.syncer import LEVELS

_DPI = 80


def draw_confidences(runs: Sequence[MotionRun], path: Path) -> Path:
    """AV-Conf on the validation part along the training (figure 5.5), a panel a level.

    Args:
        runs: with the ``log.csv`` of their folders; seeds of one system are one line, their mean.
        path: the PNG to write; its folder must exist.

    Returns:
        The path.
    """
    figure = Figure(figsize=(11.0, 2.8), dpi=_DPI)
    for level, axis in enumerate(figure.subplots(1, LEVELS), start=1):
        for system in dict.fromkeys(run.system for run in runs):
            curves = [_curve(run.path / "log.csv", f"conf_{level}") for run in runs if run.system == system]
            shortest = min(map(len, curves))
            if shortest:
                part, values = np.mean([curve[:shortest] for curve in curves], axis=0).T
                axis.plot(part, values, label=system, linewidth=1.2)
        axis.set(title=f"{200 * 2 ** (level - 1)} ms", xlabel="part of the training")
    axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path)
    return path


def draw_offsets(found: Mapping[str, Synchrony], path: Path) -> Path:
    """Distributions of offset and confidence of sequences (figure 5.3), a line for each name.

    Args:
        found: by name, of level 1.
        path: the PNG to write; its folder must exist.

    Returns:
        The path.
    """
    figure = Figure(figsize=(9.0, 3.2), dpi=_DPI)
    offsets, confidences = figure.subplots(1, 2)
    for name, (offset, confidence) in found.items():
        style = {"color": "black", "linewidth": 2.0} if name == "real" else {"linewidth": 1.2}
        values, counts = np.unique(offset.numpy(), return_counts=True)
        shown = np.zeros(31)
        shown[values + 15] = counts / counts.sum()
        offsets.plot(np.arange(-15, 16), shown, label=name, **style)
        ranked = np.sort(confidence.numpy())
        confidences.plot(ranked, np.linspace(0.0, 1.0, len(ranked)), label=name, **style)
    offsets.set(xlabel="offset, ticks of 40 ms", ylabel="share of sequences")
    confidences.set(xlabel="AV-Conf at 200 ms", ylabel="share of sequences below")
    confidences.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)
    return path


def _curve(path: Path, column: str) -> list[tuple[float, float]]:
    """Part of the training and value of every evaluation."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    last = max((int(row["iteration"]) for row in rows), default=0) or 1
    return [(int(row["iteration"]) / last, float(row[column])) for row in rows if row.get(column)]
