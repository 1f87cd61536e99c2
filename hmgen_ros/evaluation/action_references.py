"""A forecast of actions without memory, which every other one has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ABSENT

_PRIOR = 0.5


class MarkovChain:
    """A first-order Markov chain: the next symbol depends on the present one alone.

    Args:
        sequences: ``[T, N]`` symbols each, of the training data.
        actions: size of the action space.

    Attributes:
        step: ``[A, A]`` probabilities, from row to column in one tick.
    """

    def __init__(self, sequences: Sequence[NDArray[np.int64]], actions: int) -> None:
        counts = np.full((actions, actions), _PRIOR)
        for sequence in sequences:
            before, after = sequence[:-1], sequence[1:]
            both = (before != ABSENT) & (after != ABSENT)
            pairs = before[both] * actions + after[both]
            counts += np.bincount(pairs, minlength=actions**2).reshape(actions, actions)
        self.step = counts / counts.sum(axis=1, keepdims=True)

    def predict(self, current: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
        """``[...]`` present symbols to ``[..., A]`` probabilities ``horizon`` ticks later."""
        return np.asarray(np.linalg.matrix_power(self.step, horizon)[current], dtype=np.float64)
