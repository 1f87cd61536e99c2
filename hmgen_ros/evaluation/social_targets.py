"""Holds the shipped forecaster against its targets and says which it meets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hmgen_ros.evaluation.social_held_out import with_interval
from hmgen_ros.evaluation.social_runs import Run, number, select, spread
from hmgen_ros.evaluation.social_tables import TITLES, table, title

MET, NOT_MET, UNKNOWN = "met", "**not met**", "not measured"
#: Better, but the 95 % interval of the difference holds 0.
UNSURE = "not shown (interval holds 0)"

#: Largest distance from the data's value, T = 40.
_ENTROPIES = {"H_M": 0.03, "H_C": 0.04}
#: Largest relative distance from the data's value.
_COUPLING = {"overlap": ("speech overlap", 0.2), "pairwise_mi": ("pairwise mutual information", 0.2)}
_SFID_RATIO = 2.0
_SFID_AGAINST = ("simple_rnn", "dense_rnn", "no_gan")
#: Scores, and whether higher is better.
_SCORES = {"nll": ("NLL", False), "brier": ("Brier", False), "next_speaker_auc": ("next-speaker AUC", True)}
_SCORES_AGAINST = ("persistence", "semi_markov", "likelihood")


def targets(evaluation: Mapping[str, Any], runs: Sequence[Run], system: str) -> str:
    """A table with a line for each target: what was reached, against what, met or not.

    Args:
        evaluation: JSON of ``hmgen evaluate social``.
        runs: of the training, for the SFID of systems that the evaluation does not have.
        system: the shipped model's name among the runs.
    """
    rows = [*_distances(evaluation), *_sfid_ratios(evaluation, runs, system), *_scores(evaluation)]
    return table(["target", "shipped model", "against", "verdict"], rows)


def _shipped(evaluation: Mapping[str, Any]) -> Mapping[str, Any]:
    values: Mapping[str, Any] = evaluation.get("models", {}).get(evaluation.get("default"), {})
    return values


def _distances(evaluation: Mapping[str, Any]) -> Iterator[list[str]]:
    shipped, data = _shipped(evaluation), evaluation.get("data", {})
    for metric, most in _ENTROPIES.items():
        away = abs(number(shipped.get(metric)) - number(data.get(metric)))
        text = f"distance of {metric} from the data ≤ {most:g}"
        yield [text, with_interval(shipped, metric), f"data {_show(data, metric)}", _verdict(away, most)]
    for metric, (name, most) in _COUPLING.items():
        truth = number(data.get(metric))
        away = abs(number(shipped.get(metric)) - truth) / truth if truth else math.nan
        text = f"{name} within {most:.0%} of the data's"
        yield [text, with_interval(shipped, metric), f"data {_show(data, metric)}", _verdict(away, most)]


def _sfid_ratios(evaluation: Mapping[str, Any], runs: Sequence[Run], shipped: str) -> Iterator[list[str]]:
    for system in _SFID_AGAINST:
        ours, theirs, where = _sfids(evaluation, runs, shipped, system)
        ratio = theirs / ours if ours > 0.0 else math.nan
        text = f"SFID at least {_SFID_RATIO:g} × lower than {TITLES[system]}'s"
        times = f"{ratio:.2g} ×, {where}" if math.isfinite(ratio) else where
        against = "no run" if math.isnan(theirs) else f"{theirs:.3g} ({times})"
        yield [text, "–" if math.isnan(ours) else f"{ours:.3g}", against, _verdict(_SFID_RATIO, ratio)]


def _sfids(
    evaluation: Mapping[str, Any], runs: Sequence[Run], shipped: str, system: str
) -> tuple[float, float, str]:
    """SFID of the shipped model and of ``system``, measured on the same windows, and on which.

    Held-out ones where the evaluation has both, else the training's: mean of the seeds at their best, of
    the λ_reco that suits the system better.
    """
    models, default = evaluation.get("models", {}), evaluation.get("default")
    ours, theirs = (number(models.get(name, {}).get("SFID")) for name in (default, system))
    if math.isfinite(ours + theirs):
        return ours, theirs, "held out"
    return _validation_sfid(runs, shipped), _validation_sfid(runs, system), "validation"


def _validation_sfid(runs: Sequence[Run], system: str) -> float:
    lambdas = {run.lambda_reco for run in runs if run.system == system and run.target == 40}
    means = [
        spread([run.value("best", "SFID") for run in select(runs, system, 40, value)]) for value in lambdas
    ]
    return min((mean.mean for mean in means if mean is not None), default=math.nan)


def _scores(evaluation: Mapping[str, Any]) -> Iterator[list[str]]:
    models, shipped = evaluation.get("models", {}), _shipped(evaluation)
    for metric, (name, higher) in _SCORES.items():
        for other in _SCORES_AGAINST:
            values = models.get(other, {})
            verdict = (
                "is the shipped model"
                if other == evaluation.get("default")
                else _better(shipped, values, metric, higher)
            )
            text = f"{name} better than {title(other)}'s"
            yield [text, with_interval(shipped, metric), with_interval(values, metric), verdict]


def _better(shipped: Mapping[str, Any], other: Mapping[str, Any], metric: str, higher: bool) -> str:
    """Verdict on ``shipped - other``, with its paired interval where the evaluation has one."""
    sign = 1.0 if higher else -1.0
    gain = sign * (number(shipped.get(metric)) - number(other.get(metric)))
    if math.isnan(gain):
        return UNKNOWN
    interval = other.get("difference_ci95", {}).get(metric)
    if gain <= 0.0:
        return NOT_MET
    if interval is None:
        return f"{MET} (no interval)"
    low = min(sign * number(end) for end in interval)
    return MET if low > 0.0 else UNSURE


def _verdict(value: float, most: float) -> str:
    if math.isnan(value) or math.isnan(most):
        return UNKNOWN
    return MET if value <= most else NOT_MET


def _show(values: Mapping[str, Any], metric: str) -> str:
    return with_interval({metric: values.get(metric)}, metric)
