"""The simplest forecasts of actions, which every other one has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ABSENT

_PRIOR = 0.5


class Persistence:
    """The last action goes on, with the probability that it did in the training data.

    For each horizon one number is fitted: how often people do something else that much later. That part
    is spread over the actions by their overall share.

    Args:
        sequences: ``[T, N]`` symbols each, of the training data.
        actions: size of the action space.
        horizons: ticks ahead that can be asked for.
    """

    def __init__(self, sequences: Sequence[NDArray[np.int64]], actions: int, horizons: Sequence[int]) -> None:
        seen = np.concatenate([s[s != ABSENT] for s in sequences])
        counts = np.bincount(seen, minlength=actions) + _PRIOR
        self._share = counts / counts.sum()
        self._changed = {h: _changed_part(sequences, h) for h in horizons}

    def predict(self, current: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
        """``[...]`` present symbols to ``[..., A]`` probabilities ``horizon`` ticks later."""
        other = np.where(np.eye(len(self._share), dtype=bool), 0.0, self._share)
        other /= other.sum(axis=1, keepdims=True)
        changed = self._changed[horizon]
        table = (1.0 - changed) * np.eye(len(self._share)) + changed * other
        return np.asarray(table[current], dtype=np.float64)


class MarkovChain:
    """A first-order Markov chain: the next symbol depends on the present one alone.

    Args:
        sequences: ``[T, N]`` symbols each, of the training data.
        actions: size of the action space.
    """

    def __init__(self, sequences: Sequence[NDArray[np.int64]], actions: int) -> None:
        counts = np.full((actions, actions), _PRIOR)
        for sequence in sequences:
            before, after = sequence[:-1], sequence[1:]
            both = (before != ABSENT) & (after != ABSENT)
            pairs = before[both] * actions + after[both]
            counts += np.bincount(pairs, minlength=actions**2).reshape(actions, actions)
        self._step = counts / counts.sum(axis=1, keepdims=True)

    def predict(self, current: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
        """``[...]`` present symbols to ``[..., A]`` probabilities ``horizon`` ticks later."""
        return np.asarray(np.linalg.matrix_power(self._step, horizon)[current], dtype=np.float64)


def _changed_part(sequences: Sequence[NDArray[np.int64]], horizon: int) -> float:
    changed = seen = 0
    for sequence in sequences:
        before, after = sequence[:-horizon], sequence[horizon:]
        both = (before != ABSENT) & (after != ABSENT)
        changed += int((before != after)[both].sum())
        seen += int(both.sum())
    return (changed + _PRIOR) / (seen + 2 * _PRIOR)
