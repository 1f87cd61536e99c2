"""Intervals of measures on meetings, from resampled blocks of time.

Windows near each other are alike, so what is drawn anew are blocks of a minute, within each meeting. Every
measure is a function of sums over windows; a replicate adds up other blocks. All models share the same
draws, so that differences between them have intervals too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import TICK_HZ

#: Length of a block, ticks (60 s).
BLOCK_TICKS = round(60 * TICK_HZ)


def block_counts(lengths: Sequence[int]) -> list[int]:
    """Blocks in meetings of these lengths in ticks; the last one of a meeting may be shorter."""
    return [-(-length // BLOCK_TICKS) for length in lengths]


def draw_blocks(blocks: Sequence[int], replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """``[R, B]`` how often each block is drawn in each replicate.

    Args:
        blocks: how many there are in each meeting; as many are drawn, with replacement.
        replicates: ``R``.
        rng: of the draws.
    """
    draws = [
        rng.multinomial(count, np.full(count, 1.0 / count), size=replicates) for count in blocks if count
    ]
    return np.concatenate(draws, axis=1).astype(np.float64)


def add_to_blocks(
    totals: dict[str, NDArray[np.float64]],
    sums: Mapping[str, NDArray[np.float64]],
    block: NDArray[np.int64],
    blocks: int,
) -> None:
    """Add sums ``[W, ...]`` of windows to the totals ``[B, ...]`` of their blocks, ``block`` ``[W]``."""
    for name, part in sums.items():
        if name not in totals:
            totals[name] = np.zeros((blocks, *part.shape[1:]))
        np.add.at(totals[name], block, part)


def resample(
    totals: Mapping[str, NDArray[np.float64]], draws: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Sums ``[R, ...]`` of each replicate from totals ``[B, ...]`` and draws ``[R, B]``."""
    return {name: np.tensordot(draws, part, axes=1) for name, part in totals.items()}


def interval(replicates: NDArray[np.float64]) -> list[float]:
    """The middle 95 % of ``[R]`` replicates, [low, high]; those without a value are left out.

    Both are NaN where less than half of the replicates have a value.
    """
    valid = replicates[np.isfinite(replicates)]
    if 2 * len(valid) < len(replicates) or not len(valid):
        return [float("nan"), float("nan")]
    low, high = np.quantile(valid, (0.025, 0.975)).tolist()
    return [low, high]
