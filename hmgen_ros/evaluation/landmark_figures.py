"""Figures of landmark errors: how many faces have at most which error, and where on the face errors are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hmgen_ros.evaluation.landmark_errors import FAILURE, INNER
from hmgen_ros.types import NUM_LANDMARKS

_DPI = 96


def draw_figures(errors: NDArray[np.float64], labelled: int, folder: Path) -> list[Path]:
    """Write ``landmark_errors.png`` and ``landmark_points.png``.

    Args:
        errors: ``[n, 68]`` percent of the eye distance, of the faces that were found.
        labelled: faces that there are, of which the shares are.
        folder: made if need be.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    curve, bars = folder / "landmark_errors.png", folder / "landmark_points.png"
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in (("all 68 points", errors.mean(1)), ("inner 51", errors[:, INNER].mean(1))):
        axes.step([0, *np.sort(values)], np.arange(len(values) + 1) / labelled, where="post", label=name)
    axes.set(xlim=(0, FAILURE), ylim=(0, 1), xlabel="error, % of eye distance", ylabel="share of faces")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    figure.savefig(curve, dpi=_DPI)
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    axes.bar(np.arange(NUM_LANDMARKS), errors.mean(0) if len(errors) else np.zeros(NUM_LANDMARKS))
    axes.set(xlabel="landmark, iBUG-68 from 0", ylabel="mean error, % of eye distance", xlim=(-1, 68))
    figure.savefig(bars, dpi=_DPI)
    return [curve, bars]
