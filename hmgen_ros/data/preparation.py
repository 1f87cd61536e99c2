"""The thesis' preparation of interactions as samples of past and future (section 3.5.2).

Each sequence of a group is split into non-overlapping segments of observed ticks; the ticks right after
a segment are its target, so a target reaches into the next segment but no tick is observed in two.
Samples with too many unknown actions are dropped, and of the joint actions only the most common ones keep
a symbol of their own; all the others share the symbol "other".

Smaller groups than were recorded are made by leaving people out in turn: of four people, segment ``k``
leaves out person ``k mod 4`` for a group of three. So no group size takes a tick of a person twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from hmgen_ros.data.windows import action_windows
from hmgen_ros.generators.action_space import ABSENT, ActionSpace


@dataclass(frozen=True)
class PreparationConfig:
    """Settings of the preparation; the defaults are the thesis' for its nominal model, but group size 4.

    Attributes:
        observed: ticks of past in a sample, at least 1; 60 are 2.4 s here, 3 s at the thesis' 20 Hz.
        target: ticks of future in a sample, at least 1; the thesis has 40 and 80.
        share: the action space takes the most common joint actions up to this part of all known ones, in
            (0, 1]; the thesis has 0.90 and, for its larger space, 0.99.
        limit: at most so many symbols, 1 (with ``other`` 2) to 255.
        other: rare joint actions share one more symbol; without it each is read as the nearest one.
        group_sizes: people in a sample; several sizes give samples of each, padded to the largest.
        max_unknown: samples with a larger part of unknown actions are dropped, 0 to 1.

    Raises:
        ValueError: a setting is out of its range; says which.
    """

    observed: int = 60
    target: int = 40
    share: float = 0.90
    limit: int = 255
    other: bool = True
    group_sizes: tuple[int, ...] = (4,)
    max_unknown: float = 0.1

    def __post_init__(self) -> None:
        if min(self.observed, self.target) < 1:
            raise ValueError(f"observed and target must be at least 1, got {self.observed}, {self.target}")
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share must lie in (0, 1], got {self.share}")
        if not 1 + self.other <= self.limit <= 255:
            raise ValueError(f"limit must lie in {1 + self.other} to 255, got {self.limit}")
        sizes = self.group_sizes
        if not sizes or min(sizes) < 1 or len(set(sizes)) != len(sizes):
            raise ValueError(f"group_sizes must be different numbers of at least 1, got {sizes}")
        if not 0.0 <= self.max_unknown <= 1.0:
            raise ValueError(f"max_unknown must lie in [0, 1], got {self.max_unknown}")


@dataclass(frozen=True)
class Prepared:
    """Samples for training or scoring.

    Attributes:
        space: what the symbols mean.
        observed: ``[W, observed, N]`` int64 symbols, ``ABSENT`` where a person is unknown or a seat is
            empty (smaller groups fill the first seats).
        target: ``[W, T, N]``, the ticks right after.
        origins: ``[W, 2]`` index of the sequence and first tick in it, for statistics by meeting.
        table: the joint actions with their shares, as the thesis lists its 14.
    """

    space: ActionSpace
    observed: NDArray[np.int64]
    target: NDArray[np.int64]
    origins: NDArray[np.int64]
    table: Table


def prepare(
    sequences: Sequence[NDArray[np.integer]], config: PreparationConfig, space: ActionSpace | None = None
) -> Prepared:
    """The samples of some sequences, in the order of group sizes, sequences and time.

    Args:
        sequences: ``[T, N]`` bit masks of one group each (any ``T``, any ``N``), ``UNKNOWN_MASK`` where a
            person is not seen. Groups with fewer people than a group size give no sample of that size.
        config: see there.
        space: the action space of the training part, for held-out ones; by default it is made from the
            known masks of all ``sequences``.

    Raises:
        ValueError: a sequence is not ``[T, N]``, nothing is known in any, or no sample is left.
    """
    for number, masks in enumerate(sequences):
        if masks.ndim != 2:
            raise ValueError(f"sequence {number} must be ticks by people, got shape {masks.shape}")
    if not sequences:
        raise ValueError("no sequence to prepare")
    if space is None:
        flat = np.concatenate([masks.ravel() for masks in sequences])
        space = ActionSpace.most_common(flat, config.share, config.limit, config.other)
    symbols = [space.encode_array(masks) for masks in sequences]
    seats = max(config.group_sizes)
    samples, origins = [], []
    for size in config.group_sizes:
        for number, sequence in enumerate(symbols):
            if sequence.shape[1] >= size:
                group, starts = _samples(sequence, size, config)
                padding = ((0, 0), (0, 0), (0, seats - size))
                samples.append(np.pad(group, padding, constant_values=ABSENT))  # [W, observed + T, N]
                origins.append(np.stack([np.full_like(starts, number), starts], axis=1))
    if not sum(map(len, samples)):
        raise ValueError(_nothing_left(symbols, config))
    windows = np.concatenate(samples)
    past, future = windows[:, : config.observed], windows[:, config.observed :]
    return Prepared(space, past, future, np.concatenate(origins), action_table(space, symbols))


def action_shares(space: ActionSpace, sequences: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """``[A]`` part that each symbol has of all known ones; zeros where nothing is known."""
    seen = np.concatenate([s[s != ABSENT] for s in sequences])
    return np.bincount(seen, minlength=len(space)) / max(len(seen), 1)


def action_table(space: ActionSpace, sequences: Sequence[NDArray[np.int64]]) -> Table:
    """The joint actions of a space with their shares in some symbols (any shape, ``ABSENT`` not counted)."""
    shares = action_shares(space, sequences)
    table = Table("index", "joint action", "share %", "cumulative %", title="Action space")
    for index, (label, share, total) in enumerate(zip(space.labels, shares, shares.cumsum(), strict=True)):
        table.add_row(str(index), label, f"{share * 100:.3f}", f"{total * 100:.2f}")
    return table


def _samples(
    symbols: NDArray[np.int64], size: int, config: PreparationConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``[W, observed + target, size]`` samples of one sequence, and the first tick of each, ``[W]``."""
    people = symbols.shape[1]
    windows = np.concatenate(
        action_windows(symbols, config.observed, config.target, stride=config.observed, max_absent=1.0),
        axis=1,
    )  # [W, observed + target, N]
    number = np.arange(len(windows))
    # Leaving out the people from `number` on: of one person too many, each is left out in turn.
    present = np.sort((number[:, None] + people - size + np.arange(size)) % people, axis=1)  # [W, size]
    groups = np.take_along_axis(windows, present[:, None, :], axis=2)
    kept = (groups == ABSENT).mean(axis=(1, 2)) <= config.max_unknown
    return groups[kept], number[kept] * config.observed


def _nothing_left(symbols: Sequence[NDArray[np.int64]], config: PreparationConfig) -> str:
    needed = config.observed + config.target
    fitting = sum(len(s) >= needed and s.shape[1] >= min(config.group_sizes) for s in symbols)
    return (
        f"no sample is left of {len(symbols)} sequences: {fitting} have at least {needed} ticks and "
        f"{min(config.group_sizes)} people, and there no segment has at most {config.max_unknown:.0%} unknown"
    )
