"""How much better or worse the chosen models are than others on the same stretches of the same bags."""

from __future__ import annotations

from typing import Any

from hmgen_ros.evaluation.bag_action_values import action_measures, action_support
from hmgen_ros.evaluation.bag_compare import OtherRun
from hmgen_ros.evaluation.bag_heads import head_measures, head_support
from hmgen_ros.evaluation.bag_intervals import Units, interval
from hmgen_ros.evaluation.bag_stretch_sums import COMPARED, StretchSums
from hmgen_ros.evaluation.bag_stretches import Measures, Sums, whole
from hmgen_ros.types import TICK_HZ

_OF_ACTIONS = ("nll", "brier", "f1", "onset_f1", "next_speaker_auc", "next_speaker_hits")
_OF_HEADS = ("error", "degrees")


def differences(
    sums: StretchSums, chosen: tuple[str, str], units: Units, other: OtherRun | None
) -> dict[str, Any]:
    """The chosen models' scores less those of all others, with intervals from draws that both share.

    Args:
        sums: of the run.
        chosen: its action and head-motion predictor.
        units: that are drawn.
        other: another run, whose models are among the others.

    Returns:
        ``actions`` by model and measure, ``heads`` by model, horizon and measure: ``difference`` and
        ``ci95``; ``note``: why there is none to the other run.
    """
    model, head_model = chosen
    actions = {name: own for name, own in sums.actions.items() if name != model}
    heads = {name: own for name, own in sums.heads.items() if name != head_model}
    note = ""
    if other is not None:
        note = _why_not(sums, other)
        if not note and other.sums is not None:
            actions |= {f"{name} ({other.label})": own for name, own in other.sums.actions.items()}
            heads |= {f"{name} ({other.label})": own for name, own in other.sums.heads.items()}
    return {
        "of": {"actions": model, "heads": head_model},
        "actions": {name: _of_actions(sums.actions[model], own, units) for name, own in actions.items()},
        "heads": {
            name: _of_heads(sums.heads[head_model], own, units, sums.horizons[1])
            for name, own in heads.items()
        },
        "note": note,
    }


def _why_not(sums: StretchSums, other: OtherRun) -> str:
    """Why two runs have no differences; empty where they have."""
    what = ""
    if other.sums is None:
        what = f"has no {other.label}.stretches.json beside it"
    elif not sums.same_stretches(other.sums):
        what = "is not of the same bags"
    elif sums.horizons != other.sums.horizons:
        what = "forecasts to other horizons"
    return what and f"{other.label}.json {what}: there are no differences from it."


def _of_actions(one: Sums, two: Sums, units: Units) -> dict[str, Any]:
    def less(drawn: dict[str, Sums]) -> Measures:
        first, second = action_measures(drawn["one"]), action_measures(drawn["two"])
        return {metric: first[metric] - second[metric] for metric in _OF_ACTIONS}

    both = {
        name: units.add_up({part: sums[part] for part in COMPARED})
        for name, sums in (("one", one), ("two", two))
    }
    support = [action_support(own) for own in both.values()]
    value, found = less({name: whole(own) for name, own in both.items()}), units.replicates(both, less)
    return {
        metric: _difference(found[metric], value[metric], min(int(known[metric]) for known in support))
        for metric in _OF_ACTIONS
    }


def _of_heads(one: Sums, two: Sums, units: Units, horizons: tuple[int, ...]) -> dict[str, Any]:
    def less(drawn: dict[str, Sums]) -> Measures:
        found = head_measures(drawn)
        return {metric: found["one"][metric] - found["two"][metric] for metric in _OF_HEADS}

    both = {"one": units.add_up(one), "two": units.add_up(two)}
    support = [head_support(own) for own in both.values()]
    value, found = less({name: whole(own) for name, own in both.items()}), units.replicates(both, less)
    return {
        f"{ticks / TICK_HZ:g}": {
            metric: _difference(
                found[metric][:, i], value[metric][i], min(int(known[i]) for known in support)
            )
            for metric in _OF_HEADS
        }
        for i, ticks in enumerate(horizons)
    }


def _difference(replicates: Any, value: Any, support: int) -> dict[str, Any]:
    return {"difference": float(value), "ci95": interval(replicates, float(value), support)}
