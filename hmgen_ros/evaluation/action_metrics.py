"""How good a forecast of actions is, and how lifelike sampled futures are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.types import TICK_HZ, Action

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
    if sequences.ndim != 3 or sequences.shape[1] < 2:
        raise ValueError(f"sequences must be [W, T, N] with T at least 2, got {sequences.shape}")
    before, after = sequences[:, :-1], sequences[:, 1:]
    seen = (before != ABSENT) & (after != ABSENT)
    if not seen.any():
        raise ValueError("nobody is seen in two ticks running")
    changes = float((before != after)[seen].sum() / seen.sum() * TICK_HZ)
    speaking = np.append(space.with_action(Action.SPEAKING), False)[sequences].sum(axis=2)
    return Liveliness(
        changes, _short_dwells(sequences), float((speaking >= 2).mean()), float((speaking == 0).mean())
    )


def _short_dwells(sequences: NDArray[np.int64]) -> float:
    """Part of the runs inside windows that are short; NaN where no run begins and ends inside one."""
    lines = np.moveaxis(sequences, 1, -1).reshape(-1, sequences.shape[1])
    row, tick = np.nonzero(lines[:, 1:] != lines[:, :-1])
    same_row = row[1:] == row[:-1]
    symbol = lines[row[:-1], tick[:-1] + 1]
    lengths = (tick[1:] - tick[:-1])[same_row & (symbol != ABSENT)]
    return float((lengths < SHORT_DWELL_TICKS).mean()) if len(lengths) else float("nan")
