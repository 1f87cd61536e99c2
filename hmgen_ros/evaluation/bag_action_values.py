"""What sums of :mod:`hmgen_ros.evaluation.bag_actions` are worth: scores of forecasts of actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.bag_stretches import Measures, Sums
from hmgen_ros.evaluation.forecast_scores import auc, onset_f1, probability_values, reliability
from hmgen_ros.types import CONCURRENT_ACTIONS, TICK_HZ

#: Means over horizons, beside the values at each.
MEANS = ("nll", "brier", "f1")


def action_measures(sums: Mapping[str, NDArray[np.float64]]) -> Measures:
    """What can be told of any choice of stretches, from its sums ``[...]``.

    Returns:
        ``nll``, ``brier``, ``f1``, ``onset_f1``, ``next_speaker_auc``, ``next_speaker_hits`` ``[...]``, and
        ``nll``, ``brier``, ``f1`` and, where the sums tell, ``speaking_auc`` at each horizon, ``NAME_at``
        ``[..., H]``. NaN where nothing was scored.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums["scores"][..., :2] / sums["scores"][..., 2:]
        at = {"nll": means[..., 0], "brier": means[..., 1], "f1": _f1(sums["hits"].sum(axis=-2))}
        hits = sums["turn_hits"][..., 0] / sums["turn_hits"][..., 1]
    found = {name: _mean(value) for name, value in at.items()}
    if "speaking" in sums:
        at["speaking_auc"] = np.stack([auc(one) for one in np.moveaxis(sums["speaking"], -3, 0)], axis=-1)
    return {
        **found,
        "onset_f1": onset_f1(sums["onsets"]),
        "next_speaker_auc": auc(sums["turns"]),
        "next_speaker_hits": hits,
        **{f"{name}_at": value for name, value in at.items()},
    }


def action_support(sums: Sums) -> dict[str, NDArray[np.int64]]:
    """How many stretches ``[B, ...]`` have anything to score, by measure of :func:`action_measures`."""
    people = (sums["scores"][..., 2] > 0).sum(axis=0)  # [H]
    turns = (sums["turn_hits"][:, 1] > 0).sum(axis=0)
    return {
        **dict.fromkeys(MEANS, people.max(initial=0)),
        "onset_f1": sums["onsets"][:, 1:].any(axis=1).sum(axis=0),
        **dict.fromkeys(("next_speaker_auc", "next_speaker_hits"), turns),
        **dict.fromkeys((f"{name}_at" for name in (*MEANS, "speaking_auc")), people),
    }


def action_values(sums: Mapping[str, NDArray[np.float64]], horizons: Sequence[int]) -> dict[str, Any]:
    """One model's scores from the sums of all stretches; numbers that cannot be had are NaN."""
    found = action_measures(sums)
    error = probability_values(sums["scores"], sums["bins"])["ece"]
    by_horizon = {
        f"{ticks / TICK_HZ:g}": {
            **{name: float(found[f"{name}_at"][i]) for name in ("nll", "brier")},
            "ece": float(error[i]),
            **{name: float(found[f"{name}_at"][i]) for name in ("speaking_auc", "f1")},
            "f1_by_action": _f1_by_action(sums["hits"][i]),
            "people": int(sums["scores"][i, 2]),
        }
        for i, ticks in enumerate(horizons)
    }
    return {
        **{name: float(found[name]) for name in ("nll", "brier")},
        "ece": float(_mean(error)),
        **{name: float(found[name]) for name in ("f1", "onset_f1", "next_speaker_auc", "next_speaker_hits")},
        "turn_ends": int(sums["turn_hits"][1]),
        "by_horizon": by_horizon,
        "reliability": reliability(sums["bins"].sum(axis=0)),
    }


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[...]`` over the horizons of ``[..., H]`` that something could be scored at; NaN without any."""
    known = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1))


def _f1(hits: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[...]`` F1 from ``[..., 3]``: forecast and so, forecast and not so, so and not forecast."""
    return np.asarray(2 * hits[..., 0] / (2 * hits[..., 0] + hits[..., 1] + hits[..., 2]))


def _f1_by_action(hits: NDArray[np.float64]) -> dict[str, float]:
    """F1 of each action that happened or was forecast, from ``[K, 3]``."""
    return {action.label: float(_f1(hits[i])) for i, action in enumerate(CONCURRENT_ACTIONS) if hits[i].any()}
