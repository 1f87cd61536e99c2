"""The Markdown tables of the social report that come from the JSON of ``hmgen evaluate social``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hmgen_ros.evaluation.social_runs import number
from hmgen_ros.evaluation.social_tables import fixed, table

#: Columns of the tables, by the metric's name in the JSON.
_SEQUENCES = {
    "H_M": "H_M (→ data)",
    "H_C": "H_C (→ data)",
    "IS": "IS (→ data)",
    "SFID": "SFID (↓)",
    "changes": "changes/s",
    "short_dwell": "short dwells",
    "onset_f1": "onset F1 (↑)",
}
_COUPLING = {"overlap": "overlap", "silence": "silence", "pairwise_mi": "pairwise MI"}
_FORECASTS = {
    "nll": "NLL (↓)",
    "brier": "Brier (↓)",
    "ece": "ECE (↓)",
    "next_speaker_auc": "next-speaker AUC (↑)",
}


def sequences(evaluation: Mapping[str, Any]) -> str:
    """How lifelike each model's futures are one person at a time, beside the data and the control."""
    return _with_data(evaluation, _SEQUENCES)


def coupling(evaluation: Mapping[str, Any]) -> str:
    """What people have to do with each other: overlap, silence, shared information, responses by lag."""
    everything = (evaluation.get("data", {}), *evaluation.get("models", {}).values())
    lags = dict.fromkeys(lag for values in everything for lag in values.get("response", {}))
    return _with_data(evaluation, _COUPLING | {f"response_{lag}": f"response {lag} s" for lag in lags})


def forecasts(evaluation: Mapping[str, Any]) -> str:
    """Scores of the forecasts, mean over the horizons, with 95 % intervals."""
    models = evaluation.get("models", {})
    rows = [_row(_title(evaluation, name), values, _FORECASTS) for name, values in models.items()]
    return table(["model", *_FORECASTS.values()], rows)


def horizons(evaluation: Mapping[str, Any], metric: str) -> str:
    """One score by how far ahead, a row a model."""
    models = evaluation.get("models", {})
    ahead = sorted({h for values in models.values() for h in values.get("by_horizon", {})}, key=float)
    rows = []
    for name, values in models.items():
        scores = [values.get("by_horizon", {}).get(horizon, {}).get(metric) for horizon in ahead]
        rows.append([_title(evaluation, name), *(fixed(number(score)) for score in scores)])
    return table(["model", *(f"{horizon} s" for horizon in ahead)], rows)


def with_interval(values: Mapping[str, Any], metric: str) -> str:
    """A value with its 95 % interval where there is one."""
    text, interval = fixed(number(values.get(metric))), values.get("ci95", {}).get(metric)
    if interval is None or not all(math.isfinite(number(end)) for end in interval):
        return text
    low, high = map(number, interval)
    return f"{text} [{fixed(low)}, {fixed(high)}]"


def _with_data(evaluation: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    """Models below the data and the controls."""
    rows = [_row("data", evaluation.get("data", {}), columns)]
    rows += [_row(f"data, {name}", v, columns) for name, v in evaluation.get("controls", {}).items()]
    rows += [_row(_title(evaluation, name), v, columns) for name, v in evaluation.get("models", {}).items()]
    return table(["model", *columns.values()], rows)


def _row(head: str, values: Mapping[str, Any], metrics: Sequence[str] | Mapping[str, str]) -> list[str]:
    responses = {f"response_{lag}": value for lag, value in values.get("response", {}).items()}
    return [head, *(with_interval({**values, **responses}, metric) for metric in metrics)]


def _title(evaluation: Mapping[str, Any], name: str) -> str:
    """``name`` as the JSON has it; the shipped model in bold type."""
    return f"**{name}**" if name == evaluation.get("default") else name
