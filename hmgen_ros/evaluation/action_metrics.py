"""How good a forecast of actions is, and how lifelike sequences of actions are.

:func:`describe` gives every measure of sequences at once: H_M, H_C and IS (thesis 3.4), speech overlap and
silence, mutual information of people, changes and short dwells. The Fréchet distance between sequences is in
:mod:`hmgen_ros.evaluation.inception`, what forecasts of single moments are worth in
:mod:`hmgen_ros.evaluation.forecast_scores`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation import coupling
from hmgen_ros.evaluation.coupling import Sums
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.types import TICK_HZ

#: Runs shorter than this are short dwells, ticks.
SHORT_DWELL_TICKS = 5


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean scores of probabilities against what happened; lower is better.

    Attributes:
        nll: mean negative log probability of what happened, nats.
        brier: mean squared distance of the probabilities from the one-hot truth, 0 to 2.
        count: person-windows scored.
    """

    nll: float
    brier: float
    count: int


def score(probabilities: NDArray[np.floating], truth: NDArray[np.int64]) -> Scores:
    """Scores of ``[..., A]`` probabilities against ``[...]`` symbols; ``ABSENT`` truth is not scored.

    Raises:
        ValueError: shapes do not fit, or nothing is left to score.
    """
    if probabilities.shape[:-1] != truth.shape:
        raise ValueError(f"probabilities {probabilities.shape} do not fit truth {truth.shape}")
    seen = truth != ABSENT
    given, happened = probabilities[seen].astype(np.float64), truth[seen]
    if not len(happened):
        raise ValueError("nothing to score: nobody is seen in the truth")
    hit = np.take_along_axis(given, happened[:, None], axis=1)[:, 0]
    brier = (given**2).sum(axis=1) - 2.0 * hit + 1.0
    with np.errstate(divide="ignore"):
        nll = -np.log(hit)
    return Scores(float(nll.mean()), float(brier.mean()), len(happened))


@dataclass(frozen=True, slots=True)
class Liveliness:
    """What sequences look like as a whole, to be compared between samples and data.

    Attributes:
        changes_per_second: changes of joint action a person-second.
        short_dwells: part of the runs that begin and end inside a window that last less than 5 ticks.
        overlap: part of ticks in which two or more people speak.
        silence: part of ticks in which nobody speaks.
    """

    changes_per_second: float
    short_dwells: float
    overlap: float
    silence: float


def liveliness(sequences: NDArray[np.int64], space: ActionSpace) -> Liveliness:
    """Statistics of ``[W, T, N]`` windows of symbols; ``ABSENT`` ticks count for nothing.

    Raises:
        ValueError: not ``[W, T, N]`` with at least two ticks, or nobody is seen in two ticks running.
    """
    found = describe(sequences, space)
    return Liveliness(found["changes"], found["short_dwell"], found["overlap"], found["silence"])


def describe(sequences: NDArray[np.int64], space: ActionSpace) -> dict[str, float]:
    """Every measure of ``[W, T, N]`` windows that needs no other windows to compare with.

    A person's window is one sequence; ``ABSENT`` ticks count for nothing.

    Returns:
        ``H_M``, ``H_C`` (3.16, 3.17), nats, and ``IS`` (3.15); ``changes`` a person-second; ``short_dwell``:
        part of the runs inside windows that last less than 5 ticks; ``overlap`` and ``silence``: parts of
        ticks with two or more and with no speakers; ``pairwise_mi``, nats; ``response_0-0.4`` and so on:
        see :func:`hmgen_ros.evaluation.coupling.response`. NaN where the sequences do not tell.

    Raises:
        ValueError: not ``[W, T, N]`` with at least two ticks, or nobody is seen in two ticks running.
    """
    if sequences.ndim != 3 or sequences.shape[1] < 2:
        raise ValueError(f"sequences must be [W, T, N] with T at least 2, got {sequences.shape}")
    windows = sequences[:, None]
    parts = {**life_sums(windows, space), "lags": coupling.lag_sums(windows, space)}
    sums = {name: part.sum(axis=0) for name, part in parts.items()}
    if not sums["changes"][1]:
        raise ValueError("nobody is seen in two ticks running")
    return {name: float(value) for name, value in life(sums).items()}


def life_sums(windows: NDArray[np.int64], space: ActionSpace) -> dict[str, NDArray[np.float64]]:
    """What :func:`life` needs of each window, apart from lags (often measured over longer ones).

    Args:
        windows: ``[W, S, T, N]`` symbols, ``S`` futures of each window; ``ABSENT`` counts for nothing.
        space: what the symbols mean.

    Returns:
        Arrays ``[W, ...]`` to be added up over windows: those of
        :func:`hmgen_ros.evaluation.coupling.coupling_sums`, ``actions`` ``[W, A]`` ticks in each action,
        ``entropy`` ``[W, 2]`` (sum over sequences, sequences), ``changes`` ``[W, 2]`` (changes, ticks in
        which one was possible) and ``dwells`` ``[W, 2]`` (short runs, runs).
    """
    before, after = windows[:, :, :-1], windows[:, :, 1:]
    seen = (before != ABSENT) & (after != ABSENT)
    changes = ((before != after) & seen, seen)
    lines = np.ascontiguousarray(np.moveaxis(windows, 2, -1))  # [W, S, N, T]
    counts = _action_counts(lines, len(space))  # [W, S, N, A]
    entropy = entropy_of(counts)
    known = counts.any(axis=-1)
    return {
        **coupling.coupling_sums(windows, space),
        "actions": counts.sum(axis=(1, 2)).astype(np.float64),
        "entropy": np.stack([np.where(known, entropy, 0.0).sum(axis=(1, 2)), known.sum(axis=(1, 2))], -1),
        "changes": np.stack([part.sum(axis=(1, 2, 3)) for part in changes], -1).astype(np.float64),
        "dwells": _dwell_counts(lines),
    }


def life(sums: Sums) -> dict[str, NDArray[np.float64]]:
    """The measures of :func:`describe`, ``[...]`` each, from sums ``[...]`` over windows.

    Args:
        sums: of :func:`life_sums`, and ``lags`` of :func:`hmgen_ros.evaluation.coupling.lag_sums`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        h_m = entropy_of(sums["actions"])
        h_c = sums["entropy"][..., 0] / sums["entropy"][..., 1]
        changes = sums["changes"][..., 0] / sums["changes"][..., 1] * TICK_HZ
        short = sums["dwells"][..., 0] / sums["dwells"][..., 1]
    lags = coupling.response(sums["lags"])
    return {
        "H_M": h_m,
        "H_C": h_c,
        "IS": np.exp(h_m - h_c),
        "overlap": coupling.overlap(sums),
        "silence": coupling.silence(sums),
        "pairwise_mi": coupling.pair_information(sums),
        "short_dwell": short,
        "changes": changes,
        **{f"response_{name}": lags[..., i] for i, name in enumerate(coupling.LAG_NAMES)},
    }


def entropy_of(counts: NDArray[np.integer] | NDArray[np.floating]) -> NDArray[np.float64]:
    """``[...]`` entropy in nats of ``[..., A]`` counts; NaN where all are zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = counts / counts.sum(axis=-1, keepdims=True)
        return np.asarray(-np.where(share > 0, share * np.log(share), share).sum(axis=-1) + 0.0)


def _action_counts(lines: NDArray[np.int64], actions: int) -> NDArray[np.int64]:
    """``[..., A]`` ticks in each action of ``[..., T]`` sequences."""
    rows = int(np.prod(lines.shape[:-1]))
    cell = np.arange(rows).reshape(*lines.shape[:-1], 1) * actions + lines
    counts = np.bincount(cell[lines != ABSENT], minlength=rows * actions)
    return counts.reshape(*lines.shape[:-1], actions)


def _dwell_counts(lines: NDArray[np.int64]) -> NDArray[np.float64]:
    """``[W, 2]`` short runs and runs of ``[W, S, N, T]`` that begin and end inside their sequence."""
    windows, flat = lines.shape[0], lines.reshape(-1, lines.shape[-1])
    row, tick = np.nonzero(flat[:, 1:] != flat[:, :-1])
    inside = (row[1:] == row[:-1]) & (flat[row[:-1], tick[:-1] + 1] != ABSENT)
    window = (row[:-1] // max(1, len(flat) // max(1, windows)))[inside]
    short = (tick[1:] - tick[:-1])[inside] < SHORT_DWELL_TICKS
    counts = (np.bincount(window[short], minlength=windows), np.bincount(window, minlength=windows))
    return np.stack(counts, axis=-1).astype(np.float64)
