"""The results of one bag, or of several taken together: scores, their intervals, and how models differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from hmgen_ros.evaluation.bag_action_values import action_measures, action_support, action_values
from hmgen_ros.evaluation.bag_compare import OtherRun
from hmgen_ros.evaluation.bag_differences import differences
from hmgen_ros.evaluation.bag_heads import head_measures, head_support, head_values
from hmgen_ros.evaluation.bag_intervals import FEWEST, REPLICATES, Units, interval
from hmgen_ros.evaluation.bag_replay import HOLD
from hmgen_ros.evaluation.bag_scores import BagScores, BagSettings
from hmgen_ros.evaluation.bag_stretch_sums import StretchSums
from hmgen_ros.evaluation.bag_stretches import Sums, whole

#: Measures with an interval: of actions over all horizons and at each, of heads at each.
_OVER_ALL = ("nll", "brier", "f1", "onset_f1", "next_speaker_auc", "next_speaker_hits")
_AT_EACH = ("nll", "brier", "f1", "speaking_auc")
_OF_HEADS = ("error", "degrees", "to_hold")


def report_of(
    scores: Sequence[BagScores], settings: BagSettings, other: OtherRun | None = None
) -> dict[str, Any]:
    """The scores of one bag, or of several taken together, as they are written to JSON.

    Args:
        scores: of the bags.
        settings: of all of them.
        other: another run, from whose models the chosen ones may differ.
    """
    sums, s = StretchSums.of(scores), settings.replay
    units = Units.among(sums.bag, s.seed)
    action_horizons, head_horizons = sums.horizons
    moved = head_values({name: whole(own) for name, own in sums.heads.items()}, head_horizons)
    distances = _mean_distances([one.distances for one in scores])
    actions = {name: action_values(whole(own), action_horizons) for name, own in sums.actions.items()}
    for name, values in actions.items():
        _add_action_intervals(values, sums.actions[name], units)
    for name, by_horizon in moved.items():
        _add_head_intervals(by_horizon, sums.heads, name, units)
    return {
        "model": s.model,
        "head_model": s.head_model,
        "actions": actions,
        "heads": {name: {"by_horizon": one, "distances": distances.get(name)} for name, one in moved.items()},
        "intervals": _how(units),
        "differences": differences(sums, (s.model, s.head_model), units, other),
        "perceived_speech": _perceived(sum((one.perceived for one in scores), np.zeros(3)), settings),
    }


def _how(units: Units) -> dict[str, Any]:
    """What the intervals were made of, and what they tell."""
    count = (
        f"{len(units)} {units.name}"
        if len(units) != 1
        else f"one {units.name.replace('stretches', 'stretch')}"
    )
    if len(units) < FEWEST:
        note = f"How sure the scores are cannot be told from {count}: at least {FEWEST} are needed."
    elif units.bags:
        note = f"Intervals hold the true score in about 95 of 100 cases; they are from {count}, drawn anew."
    else:
        note = (
            f"Intervals are of about 95 %, from {count}, drawn anew. They tell of more of the same "
            "conversations, not of other people or places."
        )
    return {"units": units.name, "count": len(units), "replicates": REPLICATES, "note": note}


def _add_action_intervals(values: dict[str, Any], sums: Sums, units: Units) -> None:
    own = units.add_up({name: value for name, value in sums.items() if name != "bins"})
    support = action_support(own)
    found = units.replicates({"": own}, lambda drawn: action_measures(drawn[""]))
    values["ci95"] = {
        metric: interval(found[metric], values[metric], int(support[metric])) for metric in _OVER_ALL
    }
    for i, one in enumerate(values["by_horizon"].values()):
        one["ci95"] = {
            metric: interval(found[f"{metric}_at"][:, i], one[metric], int(support[f"{metric}_at"][i]))
            for metric in _AT_EACH
        }


def _add_head_intervals(
    by_horizon: Mapping[str, Any], sums: Mapping[str, Sums], model: str, units: Units
) -> None:
    own = {name: units.add_up(sums[name]) for name in (model, HOLD)}
    support = head_support(own[model])
    found = units.replicates(own, lambda drawn: head_measures(drawn)[model])
    for i, one in enumerate(by_horizon.values()):
        one["ci95"] = {
            metric: interval(found[metric][:, i], one[metric], int(support[i])) for metric in _OF_HEADS
        }


def _perceived(heard: np.ndarray, settings: BagSettings) -> dict[str, float] | None:
    """How well speech was perceived, where the truth is known."""
    if settings.truth is None:
        return None
    found, lost, wrong = (float(value) for value in heard)
    with suppress(ZeroDivisionError):
        return {
            "precision": found / (found + wrong),
            "recall": found / (found + lost),
            "f1": 2 * found / (2 * found + lost + wrong),
        }
    return {"precision": math.nan, "recall": math.nan, "f1": math.nan}


def _mean_distances(parts: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over bags, weighted by their windows; of one bag its own."""
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        rows = [part[name] for part in parts if name in part]
        weights = [row["windows"] for row in rows]
        found[name] = {
            metric: float(np.average([row[metric] for row in rows], weights=weights))
            for metric in rows[0]
            if metric != "windows"
        }
        found[name]["windows"] = float(sum(weights))
    return found
