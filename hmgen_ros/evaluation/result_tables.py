"""The results of ``hmgen evaluate social`` on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

#: What is compared with the data's own values; the rest only models have.
_LIFE = ("H_M", "H_C", "overlap", "pairwise_mi", "short_dwell", "changes")
_SCORES = ("SFID", "nll", "brier", "ece", "onset_f1", "next_speaker_auc")
_BETTER = {"SFID": "↓", "nll": "↓", "brier": "↓", "ece": "↓", "onset_f1": "↑", "next_speaker_auc": "↑"}


def result_table(report: Mapping[str, Any]) -> Group:
    """Two tables with a line a model, the default in bold type: likeness to the data, and scores."""
    likeness = Table("", *_LIFE, title="Futures of 1.6 s against what people did")
    likeness.add_row("data", *(_cell(report["data"], name) for name in _LIFE), style="green")
    for control, values in report["controls"].items():
        likeness.add_row(f"data, {control}", *(_cell(values, name) for name in _LIFE), style="dim")
    scores = Table("", *(f"{name} {_BETTER[name]}" for name in _SCORES), title="Scores, with 95 % intervals")
    for model, values in report["models"].items():
        style = "bold" if model == report["default"] else None
        likeness.add_row(model, *(_cell(values, name) for name in _LIFE), style=style)
        scores.add_row(model, *(_with_interval(values, name) for name in _SCORES), style=style)
    return Group(likeness, scores)


def _cell(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return "–" if value is None else f"{value:.4f}"


def _with_interval(values: Mapping[str, Any], name: str) -> str:
    low, high = values["ci95"][name]
    if low is None or high is None:
        return _cell(values, name)
    return f"{_cell(values, name)}\n{low:.3f}–{high:.3f}"
