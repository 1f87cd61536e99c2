"""The figures of the social report: curves over the training with their spread over seeds, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hmgen_ros.evaluation.social_runs import Run, mean_curve, number, select, spread
from hmgen_ros.evaluation.social_tables import NOT_RUN, title

#: Panels (a) to (d) of Figures 3.3 and 3.4: T and λ_reco.
PANELS = ((40, 1e-3), (40, 0.0), (80, 1e-3), (80, 0.0))
_DPI = 72
_LABELS = {"H_M": "H_M, nats", "SFID": "SFID"}


@dataclass(frozen=True, slots=True)
class CurveFigure:
    """What one figure of training curves shows.

    Attributes:
        name: of the file, without its ending.
        systems: a line each.
        metrics: a row of panels each; SFID is drawn on a logarithmic scale.
        panels: a column each: T and λ_reco.
    """

    name: str
    systems: tuple[str, ...]
    metrics: tuple[str, ...]
    panels: tuple[tuple[int, float], ...]


CURVES = (
    CurveFigure("figure_3_3", ("simple_rnn", "dense_rnn", "local_rnn"), ("H_M",), PANELS),
    CurveFigure("figure_3_4", ("local_rnn", "cnn", "cnn_large"), ("H_M", "SFID"), PANELS),
    CurveFigure(
        "figure_3_5", ("local_rnn", "local_rnn_large", "cnn", "cnn_large"), ("H_M", "SFID"), ((40, 0.0),)
    ),
    CurveFigure(
        "figure_3_6", ("local_rnn", "local_rnn_35a", "local_rnn_3_4p"), ("H_M", "SFID"), ((40, 0.0),)
    ),
)


def draw_curves(what: CurveFigure, runs: Sequence[Run], folder: Path) -> Path:
    """Draw one figure of training curves.

    Each line is the mean over seeds, its band one standard deviation, dotted lines are the data. A panel
    without runs says so.

    Args:
        what: lines and panels.
        runs: of the training.
        folder: for the png; made where it is missing.

    Returns:
        The png.
    """
    # Metrics run down and settings across; a single setting takes its metrics side by side.
    single = len(what.panels) == 1
    rows, columns = (1, len(what.metrics)) if single else (len(what.metrics), len(what.panels))
    figure = Figure(figsize=(2.8 * max(columns, 2), 2.5 * rows), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    settings = [(metric, *panel) for metric in what.metrics for panel in what.panels]
    for index, (panel, (metric, target, lambda_reco)) in enumerate(zip(axes, settings, strict=True)):
        _draw_panel(panel, runs, what.systems, metric, target, lambda_reco)
        panel.set_title(f"({chr(ord('a') + index)}) T = {target}, λ_reco = {lambda_reco:g}", fontsize=9)
    legends = [panel.get_legend_handles_labels() for panel in axes]
    shown = {label: line for lines, labels in legends for line, label in zip(lines, labels, strict=True)}
    if shown:
        figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4, fontsize=8)
    return _save(figure, folder / f"{what.name}.png")


def draw_calibration(evaluation: Mapping[str, Any], folder: Path) -> Path | None:
    """Draw how often what was given a probability happened, a line a model.

    Args:
        evaluation: JSON of ``hmgen evaluate social``; ``models[NAME]["reliability"]`` holds the lists
            ``probability``, ``frequency`` and ``count``, one entry a bin.
        folder: for the png; made where it is missing.

    Returns:
        The png, or None where the evaluation has no such lists.
    """
    models = {n: v["reliability"] for n, v in evaluation.get("models", {}).items() if v.get("reliability")}
    if not models:
        return None
    figure = Figure(figsize=(5.0, 4.2), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="grey", label="perfect")
    for name, bins in models.items():
        given, happened, count = (
            np.array([number(value) for value in bins[key]]) for key in ("probability", "frequency", "count")
        )
        used = count > 0
        bold = name == evaluation.get("default")
        axes.plot(given[used], happened[used], ".-", lw=2.2 if bold else 1.0, label=title(name))
    axes.set(xlabel="probability given", ylabel="part that happened", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=7)
    return _save(figure, folder / "calibration.png")


def _draw_panel(
    axes: Axes, runs: Sequence[Run], systems: Sequence[str], metric: str, target: int, lambda_reco: float
) -> None:
    drawn = False
    for color, system in enumerate(systems):
        found = select(runs, system, target, lambda_reco)
        iterations, mean, std = mean_curve(found, metric)
        if not len(iterations):
            continue
        drawn = True
        axes.plot(iterations, mean, color=f"C{color}", lw=1.2, label=title(system))
        low = mean - std
        if metric == "SFID":
            # A band that reaches 0 has no place on a logarithmic scale.
            low = np.maximum(low, mean / 10.0)
        axes.fill_between(iterations, low, mean + std, color=f"C{color}", alpha=0.2, lw=0)
        truth = spread([run.value("data", metric) for run in found])
        if truth is not None and metric != "SFID":
            axes.axhline(truth.mean, color=f"C{color}" if _own(systems) else "grey", ls=":", lw=1.0)
    if not drawn:
        axes.text(0.5, 0.5, NOT_RUN, ha="center", va="center", transform=axes.transAxes, color="grey")
        return
    axes.set(xlabel="iteration", ylabel=_LABELS[metric])
    axes.tick_params(labelsize=8)
    if metric == "SFID":
        axes.set_yscale("log")


def _own(systems: Sequence[str]) -> bool:
    """Whether the lines have data of their own each, as in Figure 3.6."""
    return "local_rnn_35a" in systems


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the library's name and version the same curves give the same file.
    figure.savefig(path, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return path
