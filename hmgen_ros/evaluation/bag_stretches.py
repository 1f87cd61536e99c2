"""Stretches of ten seconds of a bag: the parts that its scores are added up over.

Ticks near each other are alike, and so are the people seen at one tick: how sure a score is can only be told
by drawing whole stretches anew. Ten seconds are longer than any horizon and than most turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

#: Length of a stretch, s.
STRETCH_S = 10
_STRETCH_NS = STRETCH_S * 1_000_000_000

Sums = dict[str, NDArray[np.float64]]
#: What sums are worth, by name.
Measures = dict[str, NDArray[np.float64]]


class Stretches:
    """Numbers the stretches of a bag in the order in which they come.

    Attributes:
        starts: stamp of the first tick of each, ns.
    """

    def __init__(self) -> None:
        self.starts: list[int] = []
        self._rows: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.starts)

    def row(self, stamp_ns: int) -> int:
        """The number of the stretch that a tick lies in; time that comes twice is the same stretch."""
        zero = self.starts[0] if self.starts else stamp_ns
        place = (stamp_ns - zero) // _STRETCH_NS
        if place not in self._rows:
            self._rows[place] = len(self.starts)
            self.starts.append(stamp_ns)
        return self._rows[place]


def add_up(total: Sums, sums: Mapping[str, NDArray[np.float64]]) -> None:
    """Add sums to a total, in place."""
    for name, value in sums.items():
        total[name] = total[name] + value if name in total else value


def stack(rows: Mapping[int, Sums], count: int) -> Sums:
    """Sums ``[B, ...]`` of ``B = count`` stretches from those of each that has any, by its number."""
    found: Sums = {}
    for row, sums in rows.items():
        for name, value in sums.items():
            found.setdefault(name, np.zeros((count, *value.shape), value.dtype))[row] = value
    return found


def whole(sums: Mapping[str, NDArray[np.float64]]) -> Sums:
    """Sums ``[...]`` of all stretches ``[B, ...]`` together."""
    return {name: value.sum(axis=0, dtype=np.float64) for name, value in sums.items()}


def join(parts: Sequence[Mapping[str, Sums]]) -> dict[str, Sums]:
    """By model, the stretches of several bags after each other."""
    return {
        model: {name: np.concatenate([part[model][name] for part in parts]) for name in sums}
        for model, sums in parts[0].items()
    }


def runs(rows: Sequence[int]) -> list[tuple[int, slice]]:
    """Each number of ``[T]`` and the run of ticks that have it."""
    edges = [0, *(np.flatnonzero(np.diff(rows)) + 1).tolist(), len(rows)]
    return [(rows[a], slice(a, b)) for a, b in pairwise(edges) if b > a]
