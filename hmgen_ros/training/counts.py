"""Counts of what people did next in each situation, and the smoothed probabilities made of them.

Most situations are rare, so every estimate leans on a coarser one (back-off): with ``n`` observations it
keeps the weight ``n / (n + strength)`` and leaves the rest to the coarser estimate. Nothing ever gets
probability zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.situations import Situations

Counts = NDArray[np.float64]

#: No hazard is above this, so that staying is always possible too.
_MAX_HAZARD = 0.95
#: Part of all changes that may lead anywhere, however often a situation was seen.
_SURPRISE = 1e-3


@dataclass(frozen=True)
class Smoothing:
    """How much an estimate leans on the coarser one.

    Attributes:
        hazard_events: strength for hazards, in changes of action; > 0.
        destination_events: strength for where a change leads, in changes of action; > 0.

    Raises:
        ValueError: a strength is not positive.
    """

    hazard_events: float = 20.0
    destination_events: float = 120.0

    def __post_init__(self) -> None:
        if self.hazard_events <= 0 or self.destination_events <= 0:
            raise ValueError(f"smoothing strengths must be positive, got {self}")


def count_transitions(sequences: Iterable[NDArray[np.int64]], situations: Situations) -> Counts:
    """How often each action followed each situation.

    Args:
        sequences: ``[T, N]`` actions each, ``ABSENT`` allowed.
        situations: which situations there are.

    Returns:
        ``[A, 2, dwells, contexts, A]``.
    """
    actions = situations.shape[0]
    cells = int(np.prod(situations.shape)) * actions
    total = np.zeros(cells)
    for sequence in sequences:
        symbols = torch.from_numpy(sequence)
        rows = situations.rows(situations.history(symbols))[:-1]
        before, after = symbols[:-1], symbols[1:]
        both = (before != ABSENT) & (after != ABSENT)
        pairs = rows[both] * actions + after[both]
        total += torch.bincount(pairs, minlength=cells).numpy()
    return total.reshape(*situations.shape, actions)


def ignore_others(counts: Counts) -> Counts:
    """The same counts as if nobody looked at the others: each context gets those of all."""
    return np.broadcast_to(counts.sum(axis=3, keepdims=True), counts.shape).copy()


def probabilities(counts: Counts, smoothing: Smoothing) -> NDArray[np.float32]:
    """``[A, 2, dwells, contexts, A]`` probability of the next action in each situation.

    Raises:
        ValueError: nothing was counted.
    """
    if counts.sum() <= 0:
        raise ValueError("no transition was counted: the sequences are empty or nobody is ever seen")
    hazard = _hazard(counts, smoothing.hazard_events)[..., None]
    destination = _destination(counts, smoothing.destination_events)
    stay = _diagonal(counts.shape[0])
    table = (1.0 - hazard) * stay + hazard * destination
    return np.asarray(table / table.sum(axis=-1, keepdims=True), dtype=np.float32)


def chain(counts: Counts) -> NDArray[np.float32]:
    """``[A, A]`` probability of the next action given the present one, whatever the situation."""
    pairs = counts.sum(axis=(1, 2, 3)) + 0.5
    return np.asarray(pairs / pairs.sum(axis=-1, keepdims=True), dtype=np.float32)


def _diagonal(actions: int) -> Counts:
    return np.eye(actions)[:, None, None, None, :]


def _hazard(counts: Counts, strength: float) -> Counts:
    """``[A, 2, dwells, contexts]`` probability of leaving within one tick."""
    ticks = counts.sum(axis=-1)
    left = (counts * (1.0 - _diagonal(counts.shape[0]))).sum(axis=-1)
    overall = _lean(left, ticks, (0, 1, 2, 3), np.array(left.sum() / ticks.sum()), strength)
    action = _lean(left, ticks, (1, 2, 3), overall, strength)
    dwell = _lean(left, ticks, (1, 3), action, strength)
    own = _lean(left, ticks, (3,), dwell, strength)
    # The others' influence is taken to scale one's own hazard until the cell itself has shown otherwise.
    influence = _lean(left, ticks, (2,), _lean(left, ticks, (1, 2), action, strength), strength) / _lean(
        left, ticks, (2, 3), action, strength
    )
    return _lean(left, ticks, (), np.minimum(own * influence, _MAX_HAZARD), strength)


def _lean(left: Counts, ticks: Counts, over: tuple[int, ...], coarser: Counts, strength: float) -> Counts:
    """Hazard of the cells summed ``over`` axes, leaning on a coarser hazard by so many expected events."""
    events, exposure = left.sum(axis=over, keepdims=True), ticks.sum(axis=over, keepdims=True)
    floor = np.maximum(coarser, 1e-6)
    hazard = (events + strength) / (exposure + strength / floor)
    return np.asarray(np.minimum(hazard, _MAX_HAZARD), dtype=np.float64)


def _destination(counts: Counts, strength: float) -> Counts:
    """``[A, 2, dwells, contexts, A]`` where a change leads to; zero for staying."""
    leaving = counts * (1.0 - _diagonal(counts.shape[0]))
    away = 1.0 - _diagonal(counts.shape[0])
    arrivals = leaving.sum(axis=(0, 1, 2, 3), keepdims=True)
    anywhere = (arrivals + 1.0) / (arrivals + 1.0).sum() * away
    estimate = anywhere = anywhere / anywhere.sum(axis=-1, keepdims=True)
    stages = _dwell_stages(leaving)
    for source, over in ((leaving, (1, 2, 3)), (leaving, (2, 3)), (stages, (3,)), (stages, ())):
        seen = source.sum(axis=over, keepdims=True)
        estimate = (seen + strength * estimate) / (seen.sum(axis=-1, keepdims=True) + strength)
    return np.asarray((1.0 - _SURPRISE) * estimate + _SURPRISE * anywhere, dtype=np.float64)


def _dwell_stages(leaving: Counts) -> Counts:
    """The counts with the dwell classes pooled in four stages: where to go depends little on the dwell."""
    parts = np.array_split(leaving, 4, axis=2)
    return np.concatenate([np.broadcast_to(p.sum(axis=2, keepdims=True), p.shape) for p in parts], axis=2)
