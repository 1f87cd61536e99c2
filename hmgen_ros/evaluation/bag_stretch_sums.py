"""The sums of all stretches of all bags of a run: what its intervals, and a later comparison, are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.bag_scores import BagScores
from hmgen_ros.evaluation.bag_stretches import Sums, join

#: Sums of actions that differences need; the others take much room.
COMPARED = ("scores", "hits", "onsets", "turns", "turn_hits")


@dataclass(frozen=True)
class StretchSums:
    """Sums of ``B`` stretches.

    Attributes:
        bag: ``[B]`` the bag of each, ascending from 0.
        starts: ``[B]`` stamps of their first ticks, ns.
        horizons: of actions and of heads, ticks.
        actions, heads: ``[B, ...]`` by model.
    """

    bag: NDArray[np.int64]
    starts: tuple[int, ...]
    horizons: tuple[tuple[int, ...], tuple[int, ...]]
    actions: dict[str, Sums]
    heads: dict[str, Sums]

    @classmethod
    def of(cls, scores: Sequence[BagScores]) -> StretchSums:
        """Those of some bags, in order."""
        bag = np.repeat(np.arange(len(scores)), [len(one.starts) for one in scores])
        starts = tuple(start for one in scores for start in one.starts)
        actions, heads = join([one.actions for one in scores]), join([one.heads for one in scores])
        return cls(bag, starts, scores[0].horizons, actions, heads)

    def same_stretches(self, other: StretchSums) -> bool:
        """Whether both are of the same parts of the same bags."""
        return self.starts == other.starts and np.array_equal(self.bag, other.bag)

    def packed(self) -> dict[str, Any]:
        """As it is written to JSON."""
        return {
            "bag": self.bag.tolist(),
            "starts": list(self.starts),
            "horizons": [list(part) for part in self.horizons],
            "actions": {model: _pack(sums) for model, sums in self.actions.items()},
            "heads": {model: _pack(sums) for model, sums in self.heads.items()},
        }

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> StretchSums:
        """From :meth:`packed`.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        ahead, moved = (tuple(int(ticks) for ticks in part) for part in packed["horizons"])
        bag, starts = np.array(packed["bag"], np.int64), tuple(int(start) for start in packed["starts"])
        found = cls(
            bag,
            starts,
            (ahead, moved),
            {model: _unpack(sums) for model, sums in packed["actions"].items()},
            {model: _unpack(sums) for model, sums in packed["heads"].items()},
        )
        sums = [*found.actions.values(), *found.heads.values()]
        if {len(bag), *(len(value) for own in sums for value in own.values())} != {len(starts)}:
            raise ValueError("its stretches do not fit each other")
        return found


def _pack(sums: Sums) -> dict[str, Any]:
    """Lists; of actions no more than what happened, of the mostly empty levels those that are not."""
    found: dict[str, Any] = {}
    for name, value in sums.items():
        if name == "turns":
            cells = np.argwhere(value)
            found[name] = {
                "shape": list(value.shape),
                "cells": [[*map(int, cell), float(value[tuple(cell)])] for cell in cells],
            }
        elif name == "hits":
            found[name] = value.sum(axis=-2, keepdims=True).tolist()
        elif name in COMPARED or name == "errors":
            found[name] = value.tolist()
    return found


def _unpack(packed: Mapping[str, Any]) -> Sums:
    found = {name: np.array(value, np.float64) for name, value in packed.items() if name != "turns"}
    if "turns" in packed:
        levels = np.zeros(packed["turns"]["shape"])
        for *cell, count in packed["turns"]["cells"]:
            levels[tuple(cell)] = count
        found["turns"] = levels
    return found
