"""Samples futures of a semi-Markov group, tick by tick, for many futures at once.

In numpy although the model is torch: a tick is a dozen operations on a hundred numbers, which cost torch
several times what they cost numpy, and each torch operation hands Python's lock to another thread, so
that a robot's other threads stretched 5 ms of sampling to 25.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.situations import Situations

#: Uniform numbers are integers below this: exact, whatever the precision of the model.
ONE = 1 << 32

Integers = NDArray[np.int64]


class SituationSampler:
    """Draws the next tick's action of everybody from one table, given everybody's situation."""

    def __init__(self, situations: Situations, probabilities: NDArray[np.float64]) -> None:
        """Prepare.

        Args:
            situations: what tells situations apart.
            probabilities: ``[rows, A]`` the next action in each situation; zero rows, of absent people, at
                the end.
        """

        def table(name: str) -> Integers:
            return np.asarray(getattr(situations, name).cpu().numpy(), np.int64)

        self._absent, self._dwells = situations.absent, situations.dwells
        self._contexts = situations.contexts
        self._voice_of, self._contribution = table("voice_of"), table("contribution").ravel()
        self._dwell_edges, self._voice_edges = table("dwell_edges"), table("voice_edges")
        self._context_edges = table("context_edges")
        self._thresholds = _thresholds(probabilities)
        own = np.arange(len(probabilities))[:, None] // (self._dwells * self._contexts)
        after = own * (self._absent + 1) + np.arange(self._absent + 1)
        self._own_after = table("next_own").ravel()[after].ravel()

    def sample(self, own: Integers, dwell: Integers, voice: Integers, uniform: Integers) -> Integers:
        """Go on from one state.

        Args:
            own: ``[..., N]``, as the field of a SemiMarkovState, and so are the next two.
            dwell: likewise.
            voice: likewise.
            uniform: ``[steps, samples, ..., N]`` integers from 0 to below ``ONE``.

        Returns:
            ``[samples, steps, ..., N]`` actions, ``ABSENT`` for absent people.
        """
        shape = uniform.shape[1:]
        own = np.broadcast_to(own, shape)
        # Kept as the tick of their beginning (negated), so that only who changes is written.
        dwell, voice = np.broadcast_to(dwell, shape).copy(), np.broadcast_to(voice, shape).copy()
        kind = self._voice_of[own]
        futures = np.empty((shape[0], len(uniform), *shape[1:]), np.int64)
        for tick, drawn in enumerate(uniform):
            added = self._contribution[3 * kind + self._voice_edges.searchsorted(voice + tick, "right")]
            context = self._context_edges.searchsorted(added.sum(-1, keepdims=True) - added, "right")
            dwell_class = self._dwell_edges.searchsorted(dwell + tick, "right")
            row = (own * self._dwells + dwell_class) * self._contexts + context
            # Row r's thresholds lie in r to r + 1, so one search in all of them draws everybody's action.
            entry = self._thresholds.searchsorted(row * ONE + drawn, "right")
            after = self._own_after[entry]
            kind_after = self._voice_of[after]
            dwell[after != own] = -tick
            voice[kind_after != kind] = -tick
            own, kind = after, kind_after
            futures[:, tick] = entry
        futures %= self._absent + 1
        futures[futures == self._absent] = ABSENT
        return futures


def _thresholds(table: NDArray[np.float64]) -> Integers:
    """``[rows * (A + 1)]`` increasing, unit ``1 / ONE``: row number + cumulative probabilities.

    So many of a row's ``A + 1`` thresholds are passed by row number + uniform number as the index of the
    drawn action says; absent people's rows (all zero in ``table``) always pass ``A``, which says absent.
    """
    absent = table.sum(-1) == 0
    cumulative = np.minimum((table.cumsum(-1) * ONE).astype(np.int64), ONE)
    cumulative[~absent, -1] = ONE
    ends = np.full_like(cumulative[:, :1], ONE)
    rows = np.arange(len(table), dtype=np.int64)[:, None]
    return np.asarray((np.concatenate([cumulative, ends], axis=-1) + rows * ONE).ravel(), np.int64)
