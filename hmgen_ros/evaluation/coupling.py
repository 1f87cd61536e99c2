"""How people react to each other: what measures of single people cannot see.

H_M, H_C and SFID look at one person at a time and stay the same when people are exchanged between groups
(:func:`shuffle_people`); the measures here then fall to what chance gives. Each comes from sums over windows
(:func:`coupling_sums`, :func:`lag_sums`), so that intervals can be had by adding up other choices of windows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.types import TICK_HZ, Action

#: Sums over some windows by name; leading dimensions tell the windows, or the choices of windows, apart.
Sums = Mapping[str, NDArray[np.float64]]

#: After so many ticks (from, to) somebody else starts to speak: 0 to 0.4, 0.4 to 0.8, 0.8 to 1.6 s.
LAG_BINS = ((0, 10), (10, 20), (20, 40))
LAG_NAMES = tuple(f"{begin / TICK_HZ:g}-{end / TICK_HZ:g}" for begin, end in LAG_BINS)


def speaking(symbols: NDArray[np.int64], space: ActionSpace) -> NDArray[np.bool_]:
    """Whether each symbol contains speech; the appended False answers for ``ABSENT`` (-1)."""
    return np.asarray(np.append(space.with_action(Action.SPEAKING), False)[symbols])


def coupling_sums(windows: NDArray[np.int64], space: ActionSpace) -> dict[str, NDArray[np.float64]]:
    """What :func:`overlap`, :func:`silence` and :func:`pair_information` need of each window.

    Args:
        windows: ``[W, S, T, N]`` symbols, ``S`` futures of each window; ``ABSENT`` counts for nothing.
        space: what the symbols mean.

    Returns:
        ``speech`` ``[W, 3]`` (ticks with two or more speakers, with none, with anybody seen) and
        ``joint`` ``[W, A, A]`` (see :func:`joint_counts`).
    """
    voices = speaking(windows, space).sum(axis=-1)  # [W, S, T]
    anybody = (windows != ABSENT).any(axis=-1)
    ticks = (voices >= 2, anybody & (voices == 0), anybody)
    return {
        "speech": np.stack([tick.sum(axis=(1, 2)) for tick in ticks], axis=-1).astype(np.float64),
        "joint": joint_counts(windows, len(space)),
    }


def lag_sums(windows: NDArray[np.int64], space: ActionSpace) -> NDArray[np.float64]:
    """What :func:`response` needs of each window of ``[W, S, T, N]`` symbols.

    Returns:
        ``[W, 3, 4]``: for each of :data:`LAG_BINS` stops, stops that somebody followed, ticks of people,
        and those that somebody followed; zeros where windows are too short for the lag.
    """
    seen, voices = windows != ABSENT, speaking(windows, space)
    return np.stack([_lag_counts(voices, seen, *lag) for lag in LAG_BINS], axis=1)


def overlap(sums: Sums) -> NDArray[np.float64]:
    """Part of the ticks in which two or more people speak."""
    return _ratio(sums["speech"][..., 0], sums["speech"][..., 2])


def silence(sums: Sums) -> NDArray[np.float64]:
    """Part of the ticks in which nobody speaks."""
    return _ratio(sums["speech"][..., 1], sums["speech"][..., 2])


def pair_information(sums: Sums) -> NDArray[np.float64]:
    """Mutual information in nats of what two people do at the same tick; NaN where there are no two."""
    return mutual_information(sums["joint"])


def response(lags: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[..., 3]`` how much likelier somebody else starts to speak at each lag after a person stops.

    The probability that somebody else starts at that lag after a person stops, divided by the probability
    that somebody else does so after any tick of a person. 1: nobody minds who stops. NaN where windows are
    too short for the lag or nobody stops.

    Args:
        lags: ``[..., 3, 4]`` sums over windows of :func:`lag_sums`.
    """
    return _ratio(_ratio(lags[..., 1], lags[..., 0]), _ratio(lags[..., 3], lags[..., 2]))


def pairwise_mi(windows: NDArray[np.int64], space: ActionSpace) -> float:
    """Mutual information in nats of two people's symbols at the same tick of ``[W, T, N]`` windows.

    All pairs, ticks and windows share one symmetric table. NaN where no two people are seen at once.
    """
    return float(mutual_information(joint_counts(windows[:, None], len(space)).sum(axis=0)))


def lagged_response(windows: NDArray[np.int64], space: ActionSpace) -> dict[str, float]:
    """:func:`response` of ``[W, T, N]`` windows by lag in seconds, e.g. ``{"0-0.4": 3.1, ...}``."""
    found = response(lag_sums(windows[:, None], space).sum(axis=0))
    return dict(zip(LAG_NAMES, found.tolist(), strict=True))


def shuffle_people(windows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The control without coupling: each seat of ``[W, T, N]`` is dealt its people's windows anew.

    Every person's window stays as it is, so measures of single people stay the same; who sits together
    in a window is chance.
    """
    order = rng.permuted(np.tile(np.arange(windows.shape[0])[:, None], windows.shape[2]), axis=0)  # [W, N]
    return np.asarray(np.take_along_axis(windows, order[:, None, :], axis=0))


def joint_counts(windows: NDArray[np.int64], actions: int) -> NDArray[np.float64]:
    """``[W, A, A]`` how often two different people of ``[W, S, T, N]`` do ``a`` and ``b`` at the same tick.

    Symmetric: each pair counts in both orders.
    """
    count, _, _, people = windows.shape
    if not people:
        return np.zeros((count, actions, actions))
    ticks = np.ascontiguousarray(windows).reshape(-1, people)
    cell = np.arange(len(ticks))[:, None] * actions + ticks
    counts = np.bincount(cell[ticks != ABSENT], minlength=len(ticks) * actions)
    doing = counts.reshape(count, -1, actions).astype(np.float64)  # [W, S * T, A] people doing each action
    table: NDArray[np.float64] = doing.transpose(0, 2, 1) @ doing
    diagonal = np.arange(actions)
    # A person with themselves is no pair.
    table[:, diagonal, diagonal] -= doing.sum(axis=1)
    return table


def mutual_information(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[...]`` mutual information in nats of ``[..., A, B]`` tables of counts; NaN where all are zero."""
    total = joint.sum(axis=(-2, -1), keepdims=True)
    share = _ratio(joint, total)
    alone = share.sum(axis=-1, keepdims=True) * share.sum(axis=-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(share > 0, share * np.log(share / alone), share)  # NaN stays NaN
    # Rounding may leave a little less than nothing.
    return np.asarray(np.maximum(terms.sum(axis=(-2, -1)), 0.0))


def _lag_counts(
    voices: NDArray[np.bool_], seen: NDArray[np.bool_], begin: int, end: int
) -> NDArray[np.float64]:
    """``[W, 4]`` stops, followed stops, ticks of people, followed ticks of people, for one lag."""
    count, samples, ticks, people = voices.shape
    anchors = ticks - end  # ticks 1 to ticks - end have the whole lag inside the window
    if anchors < 1:
        return np.zeros((count, 4))
    both = seen[:, :, 1:] & seen[:, :, :-1]
    starts = voices[:, :, 1:] & ~voices[:, :, :-1] & both
    stops = (voices[:, :, :-1] & ~voices[:, :, 1:] & both)[:, :, :anchors]
    so_far = np.zeros((count, samples, ticks, people), np.int32)  # starts before tick t + 1
    np.cumsum(starts, axis=2, out=so_far[:, :, 1:])
    starting = so_far[:, :, end : end + anchors] > so_far[:, :, begin : begin + anchors]
    followed = (starting.sum(axis=-1, keepdims=True) - starting) > 0
    there = both[:, :, :anchors]
    cases = (stops, stops & followed, there, there & followed)
    return np.stack([case.sum(axis=(1, 2, 3)) for case in cases], axis=-1).astype(np.float64)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """``part / whole``, NaN where ``whole`` is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan))
