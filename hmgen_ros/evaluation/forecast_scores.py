"""What forecasts of single moments are worth: probabilities, onsets of actions, who speaks next.

Every measure is first a sum over each window (``..._sums``) and then a value of summed sums, so that the
bootstrap can add up other choices of windows. Symbols are of one action space, ``ABSENT`` for what does not
count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.coupling import speaking
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.types import CONCURRENT_ACTIONS

#: Bins of the calibration, equally wide.
BINS = 15
#: An onset counts as foreseen when it comes at most so many ticks too early or late (0.4 s).
ONSET_TOLERANCE = 10
#: What a forecast said was impossible counts as this probable, so that one miss is not worth infinity.
LEAST_PROBABILITY = 1e-6


def probability_sums(
    given: NDArray[np.floating], truth: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums for :func:`probability_values`.

    Args:
        given: ``[W, H, N, A]`` probabilities at ``H`` horizons.
        truth: ``[W, H, N]`` symbols.

    Returns:
        ``[W, H, 3]`` (negative log likelihood in nats, Brier score, people) and ``[W, H, 15, 3]`` of each
        bin of probabilities, all actions together: (sum of the probabilities, how many of them came true,
        how many).

    Raises:
        ValueError: shapes do not fit.
    """
    if given.ndim != 4 or given.shape[:3] != truth.shape:
        raise ValueError(
            f"given must be [W, H, N, A] for truth [W, H, N], got {given.shape} and {truth.shape}"
        )
    count, horizons, _, actions = given.shape
    place = np.arange(count * horizons).reshape(count, horizons, 1)
    seen = truth != ABSENT
    rows = np.broadcast_to(place, truth.shape)[seen]  # [R] which window and horizon
    probabilities, happened = given[seen].astype(np.float64), truth[seen]  # [R, A], [R]
    hit = np.take_along_axis(probabilities, happened[:, None], axis=1)[:, 0]
    nll = -np.log(np.maximum(hit, LEAST_PROBABILITY))
    brier = (probabilities**2).sum(axis=1) - 2.0 * hit + 1.0
    scores = _add_up(rows, (nll, brier, np.ones_like(nll)), count * horizons)
    cell = rows[:, None] * BINS + np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    true = happened[:, None] == np.arange(actions)
    bins = _add_up(cell, (probabilities, true, np.ones_like(probabilities)), count * horizons * BINS)
    return scores.reshape(count, horizons, 3), bins.reshape(count, horizons, BINS, 3)


def probability_values(
    scores: NDArray[np.float64], bins: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """``nll``, ``brier`` and ``ece`` at each horizon, ``[..., H]``, from sums over windows.

    The expected calibration error is the mean over all probabilities given, of all actions, of how far in
    their bin the mean probability is from the part that came true. NaN where nobody was scored.

    Args:
        scores: ``[..., H, 3]`` of :func:`probability_sums`.
        bins: ``[..., H, 15, 3]`` of the same.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        means = scores[..., :2] / scores[..., 2:]
        error = np.abs(bins[..., 0] - bins[..., 1]).sum(axis=-1) / bins[..., 2].sum(axis=-1)
    return {"nll": means[..., 0], "brier": means[..., 1], "ece": error}


def reliability(bins: NDArray[np.float64]) -> dict[str, list[float | None]]:
    """The calibration plot: ``probability``, ``frequency`` and ``count`` of each of ``[15, 3]`` bins.

    None where nothing fell into a bin.
    """
    given, true, count = (column.tolist() for column in bins.T)
    return {
        "probability": [g / n if n else None for g, n in zip(given, count, strict=True)],
        "frequency": [t / n if n else None for t, n in zip(true, count, strict=True)],
        "count": count,
    }


def onset_sums(
    futures: NDArray[np.int64], truth: NDArray[np.int64], now: NDArray[np.int64], space: ActionSpace
) -> NDArray[np.float64]:
    """Sums for :func:`onset_f1`.

    Each future is a prediction of its own. An onset is a tick at which a person does something (any bit of
    the joint action) without having done so the tick before. Onsets of the same bit of the same person are
    matched one to one where they are at most 0.4 s apart.

    Args:
        futures: ``[W, S, T, N]`` symbols.
        truth: ``[W, T, N]`` symbols.
        now: ``[W, N]`` symbols one tick before both.
        space: what they mean.

    Returns:
        ``[W, 3]``: matched, predicted and true onsets, over all futures.
    """
    bits = np.stack([space.with_action(action) for action in CONCURRENT_ACTIONS])
    bits = bits[bits.any(axis=1)].T  # [A, bits]
    does = np.concatenate([bits, np.zeros_like(bits[:1])])  # the last row is what ABSENT reads
    true = _onsets(truth[:, None], now, does)  # [W, 1, N, bits, T]
    predicted = _onsets(futures, now, does)  # [W, S, N, bits, T]
    lines = predicted.reshape(-1, predicted.shape[-1])
    targets = np.broadcast_to(true, predicted.shape).reshape(lines.shape)
    per_window = len(lines) // max(1, len(truth))
    matched = _matches(lines, targets).reshape(len(truth), per_window).sum(axis=1)
    sums = (matched, predicted.sum(axis=(1, 2, 3, 4)), targets.reshape(len(truth), -1).sum(axis=1))
    return np.stack(sums, axis=-1).astype(np.float64)


def onset_f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[...]`` F1 score from sums ``[..., 3]``: precision and recall over all onsets; NaN without any."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(2.0 * sums[..., 0] / (sums[..., 1] + sums[..., 2]))


def first_to_speak(futures: NDArray[np.int64], space: ActionSpace) -> NDArray[np.float64]:
    """``[W, N]`` part of the ``[W, S, T, N]`` futures in which each person is the first to speak.

    Of ``K`` who begin at the same tick each gets ``1 / K``. For moments at which nobody speaks.
    """
    speaks = speaking(futures, space)
    begin = np.where(speaks.any(axis=2), speaks.argmax(axis=2), futures.shape[2])  # [W, S, N]
    earliest = begin.min(axis=2, keepdims=True)
    first = (begin == earliest) & (earliest < futures.shape[2])
    return np.asarray((first / np.maximum(first.sum(axis=2, keepdims=True), 1)).mean(axis=1))


def turn_ends(symbols: NDArray[np.int64], space: ActionSpace) -> NDArray[np.int64]:
    """``[K]`` turn ends of ``[T, N]`` symbols: ticks at which nobody speaks, right after somebody did.

    Somebody must be seen, else the silence is not known.
    """
    speaks = np.asarray(speaking(symbols, space).any(axis=1))
    anybody = (symbols != ABSENT).any(axis=1)
    return np.nonzero(speaks[:-1] & ~speaks[1:] & anybody[1:])[0] + 1


def speaker_sums(
    scores: NDArray[np.float64], spoke: NDArray[np.bool_], group: NDArray[np.int64], groups: int
) -> NDArray[np.float64]:
    """Sums for :func:`auc`.

    Args:
        scores: ``[R]`` what was given to each person at each turn end.
        spoke: ``[R]`` the person was the next to speak.
        group: ``[R]`` 0 to ``groups - 1``.
        groups: what may be added up in other choices.

    Returns:
        ``[groups, U, 2]`` people who were not and who were next, by their score: its ``U`` values, ascending.
    """
    # Thirds of 32 futures, added up in another order, are the same score.
    values, place = np.unique(scores.round(9), return_inverse=True)
    cell = (group * max(1, len(values)) + place) * 2 + spoke
    return np.bincount(cell, minlength=groups * len(values) * 2).reshape(groups, -1, 2).astype(np.float64)


def auc(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[...]`` area under the ROC curve from ``[..., U, 2]``; equal scores count half; NaN for one kind."""
    others, speakers = sums[..., 0], sums[..., 1]
    below = np.cumsum(others, axis=-1) - others
    wins = (speakers * (below + 0.5 * others)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(wins / (speakers.sum(axis=-1) * others.sum(axis=-1)))


def _add_up(cell: NDArray[np.int64], columns: Sequence[NDArray[Any]], cells: int) -> NDArray[np.float64]:
    """``[cells, C]`` sums of ``C`` columns over the places that fall into each cell."""
    sums = [np.bincount(cell.ravel(), column.ravel(), cells) for column in columns]
    return np.stack(sums, axis=-1).astype(np.float64)


def _onsets(windows: NDArray[np.int64], now: NDArray[np.int64], does: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``[W, S, N, bits, T]`` whether each bit begins; not where the tick before is unknown."""
    first = np.broadcast_to(now[:, None, None], (*windows.shape[:2], 1, windows.shape[3]))
    ticks = np.concatenate([first, windows], axis=2)  # [W, S, 1 + T, N]
    active = does[ticks]  # [W, S, 1 + T, N, bits]
    known = (ticks[:, :, :-1] != ABSENT)[..., None]
    onsets = active[:, :, 1:] & ~active[:, :, :-1] & known
    return np.ascontiguousarray(np.moveaxis(onsets, 2, -1))


def _matches(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> NDArray[np.int64]:
    """``[L]`` the most onsets of ``[L, T]`` lines that can be matched one to one within the tolerance.

    Taking the true onsets in time and giving each the earliest predicted one in reach that is left is
    optimal, for all reaches are equally long.
    """
    count = np.zeros(len(true), np.int64)
    some = np.nonzero(predicted.any(axis=1) & true.any(axis=1))[0]
    left, targets = predicted[some], true[some]
    for tick in range(true.shape[1]):
        rows = np.nonzero(targets[:, tick])[0]
        begin = max(0, tick - ONSET_TOLERANCE)
        reach = left[rows, begin : tick + ONSET_TOLERANCE + 1]
        found = reach.any(axis=1)
        left[rows[found], begin + reach.argmax(axis=1)[found]] = False
        count[some[rows[found]]] += 1
    return count
