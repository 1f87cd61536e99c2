"""How sure the scores of bags are: 95 % intervals from stretches, or whole bags, drawn anew.

Each replicate draws as many units as there are, with replacement, and scores what it has drawn; everybody
seen in a stretch is drawn with it. All models share the draws, so that differences have intervals, too. Of
few units the middle 95 % of replicates would be too narrow; the quantiles are those that make the interval of
a mean as wide as Student's. Of fewer than five nothing can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from hmgen_ros.evaluation.bag_stretches import STRETCH_S, Measures, Sums

#: Units of which intervals can be told.
FEWEST = 5
REPLICATES = 2000
#: Replicates at a time, to save memory.
_AT_ONCE = 200
_TAIL = 0.025


@dataclass(frozen=True)
class Units:
    """What is drawn anew.

    Attributes:
        of: ``[B]`` the unit of each stretch, ascending.
        bags: units are bags, else stretches.
        seed: of the draws.
    """

    of: NDArray[np.int64]
    bags: bool
    seed: int

    @classmethod
    def among(cls, bag: NDArray[np.int64], seed: int) -> Units:
        """Bags, where there are enough of them: other people, another day. Else stretches.

        Args:
            bag: ``[B]`` the bag of each stretch, ascending from 0.
            seed: of the draws.
        """
        enough = len(np.unique(bag)) >= FEWEST
        return cls(bag if enough else np.arange(len(bag)), enough, seed)

    def __len__(self) -> int:
        return len(np.unique(self.of))

    @property
    def name(self) -> str:
        """Of several."""
        return "bags" if self.bags else f"stretches of {STRETCH_S} s"

    def add_up(self, sums: Sums) -> Sums:
        """Sums ``[U, ...]`` of each unit from those ``[B, ...]`` of stretches."""
        first = np.flatnonzero(np.diff(self.of, prepend=-1))
        return {name: np.add.reduceat(value, first, axis=0) for name, value in sums.items()}

    def replicates(
        self, sums: Mapping[str, Sums], measure: Callable[[dict[str, Sums]], Measures]
    ) -> Measures:
        """Measures ``[R, ...]`` of other choices of units.

        Args:
            sums: by model ``[U, ...]``.
            measure: of sums ``[r, ...]`` by model.
        """
        rng, count = np.random.default_rng(self.seed), len(self)
        parts: list[Measures] = []
        # Of too few units no interval is told, whatever it would be.
        for _ in range(0, REPLICATES if count >= FEWEST else 1, _AT_ONCE):
            draws = rng.multinomial(count, np.full(count, 1.0 / count), size=_AT_ONCE).astype(np.float64)
            drawn = {
                model: {name: np.tensordot(draws, value, axes=1) for name, value in own.items()}
                for model, own in sums.items()
            }
            parts.append(measure(drawn))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(replicates: NDArray[np.float64], value: float, support: int) -> tuple[float, float] | None:
    """The 95 % interval of a value; None where it cannot be told.

    Args:
        replicates: ``[R]``.
        value: of all units. It is always within: a measure that is no mean may have a skew of its own.
        support: units that have anything to score.
    """
    valid = replicates[np.isfinite(replicates)]
    if support < FEWEST or not np.isfinite(value) or 2 * len(valid) < len(replicates):
        return None
    # Hesterberg's expanded percentile interval.
    tail = ndtr(np.sqrt(support / (support - 1)) * stdtrit(support - 1, _TAIL))
    low, high = np.quantile(valid, (tail, 1.0 - tail)).tolist()
    return min(low, value), max(high, value)
