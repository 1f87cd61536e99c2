"""The joint actions a forecaster tells apart, and how a person's bit mask becomes one of them.

A person may speak, nod and gesture at once, so what a person does is a bit mask
(:func:`hmgen_ros.types.action_mask`). Forecasters work on one symbol a tick: as in the thesis
(section 3.5.2) the symbols are the most common masks of the training data. Every other mask is read as
the symbol nearest to it or, as the thesis does, as one extra symbol "other".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import CONCURRENT_ACTIONS, UNKNOWN_MASK, action_mask, actions_of, mask_label

#: Stands in an array of actions for a slot that is empty or whose person cannot be observed.
ABSENT = -1

#: Every bit that a known mask may have set.
KNOWN_BITS = action_mask(*CONCURRENT_ACTIONS)
_TABLE_SIZE = 1 << KNOWN_BITS.bit_length()


@dataclass(frozen=True)
class ActionSpace:
    """An ordered set of joint actions.

    Attributes:
        masks: ``A`` different bit masks; the index of a mask is the symbol of that joint action.
            ``NONE`` (0) must be among them.
        other: the last symbol stands for every mask that is none of the symbols before it; its own mask
            is the commonest of those, which is what it is decoded to.

    Raises:
        ValueError: ``NONE`` is missing, a mask occurs twice, has unknown bits, or there are more than
            255 (symbols travel as uint8).
    """

    masks: tuple[int, ...]
    other: bool = False
    _symbols: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        masks = tuple(int(mask) for mask in self.masks)
        if 0 not in (masks[:-1] if self.other else masks):
            raise ValueError("an action space needs the mask 0 (none), what most people do most of the time")
        if len(set(masks)) != len(masks) or len(masks) > 255:
            raise ValueError(f"an action space needs up to 255 different masks, got {masks}")
        for mask in masks:
            if not 0 <= mask <= KNOWN_BITS or mask & ~KNOWN_BITS:
                raise ValueError(f"mask {mask:#x} has bits beyond {KNOWN_BITS:#x} or is the unknown mask")
        object.__setattr__(self, "masks", masks)
        object.__setattr__(self, "_symbols", _symbol_table(masks, self.other))

    @classmethod
    def most_common(
        cls, masks: NDArray[np.integer], share: float = 0.99, limit: int = 255, other: bool = False
    ) -> ActionSpace:
        """The most common masks of a corpus, most common first.

        Args:
            masks: any shape, bit masks; unknown ones are not counted.
            share: masks are taken until they make up this part of all known ones, in (0, 1].
            limit: at most so many symbols, at least 1, with ``other`` at least 2.
            other: one more symbol at the end for the masks that were not taken, where there are any.

        Raises:
            ValueError: nothing is known in ``masks``, or ``share`` or ``limit`` is out of range.
        """
        if not 0.0 < share <= 1.0 or not 1 + other <= limit <= 255:
            raise ValueError(
                f"share must lie in (0, 1] and limit in {1 + other} to 255, got {share} and {limit}"
            )
        flat = np.asarray(masks).ravel().astype(np.int64)
        known = flat[(flat & UNKNOWN_MASK) == 0]
        if not known.size:
            raise ValueError("no known mask to build an action space from")
        values, counts = np.unique(known, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        ranked = [int(v) for v in values[order]]
        needed = int(np.searchsorted(np.cumsum(counts[order]), share * known.size - 1e-9)) + 1
        chosen = _with_none(ranked[:needed], limit)
        if not other or set(ranked) <= set(chosen):
            return cls(tuple(chosen))
        chosen = _with_none(ranked[:needed], limit - 1)
        return cls((*chosen, next(mask for mask in ranked if mask not in chosen)), other=True)

    @classmethod
    def from_json(cls, data: Sequence[int] | Mapping[str, Any]) -> ActionSpace:
        """The space that :meth:`to_json` wrote.

        Raises:
            ValueError: ``data`` is neither a list of masks nor an object with ``masks`` and ``other``.
        """
        if isinstance(data, Mapping):
            if set(data) != {"masks", "other"} or not isinstance(data["other"], bool):
                raise ValueError(f"an action space has 'masks' and 'other' (true or false), got {dict(data)}")
            return cls(tuple(data["masks"]), data["other"])
        return cls(tuple(data))

    def to_json(self) -> list[int] | dict[str, Any]:
        """The masks as a plain list; with ``other`` an object ``{"masks": [...], "other": true}``."""
        masks = list(self.masks)
        return {"masks": masks, "other": True} if self.other else masks

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def labels(self) -> tuple[str, ...]:
        """Readable name of every joint action, e.g. ``"speaking+hand_gesture"``, at the end ``"other"``."""
        names = tuple(mask_label(mask) for mask in self.masks)
        return (*names[:-1], "other") if self.other else names

    def with_action(self, action: int) -> NDArray[np.bool_]:
        """``[A]``, read-only: the joint actions whose mask contains the action of this code."""
        return _with_action(self.masks, int(action))

    def encode(self, mask: int) -> int:
        """Index of a mask in this space.

        A mask that is not in the space becomes the one that shares most actions with it, of those the
        one with fewest actions the person does not do, of those the first; in a space with ``other`` it
        becomes the last symbol. Unknown is ``ABSENT``.

        Raises:
            ValueError: the mask has bits that stand for no action.
        """
        return int(self.encode_array(np.array(mask)))

    def encode_array(self, masks: NDArray[np.integer] | Iterable[int]) -> NDArray[np.int64]:
        """:meth:`encode` for every element; same shape, int64.

        Raises:
            ValueError: a mask has bits that stand for no action.
        """
        values = np.asarray(masks).astype(np.int64)
        unknown = (values & UNKNOWN_MASK) != 0
        if np.any((values & ~(KNOWN_BITS | UNKNOWN_MASK)) != 0):
            raise ValueError(f"masks may only have the bits {KNOWN_BITS | UNKNOWN_MASK:#x} set")
        return np.where(unknown, ABSENT, self._symbols[np.where(unknown, 0, values)])

    def observe_array(self, masks: NDArray[np.integer] | Iterable[int]) -> NDArray[np.int64]:
        """:meth:`encode_array` for what is observed live: nobody is said to do what they do not do.

        Corpora hardly have the masks that a space lacks, so it does not matter there that the nearest one
        may add an action. A camera sees people gesture in silence, who must not count as speaking: a mask
        becomes the one that has most of its actions and no others. Spaces with ``other`` have that.

        Raises:
            ValueError: a mask has bits that stand for no action.
        """
        values = np.asarray(masks).astype(np.int64)
        nearest = self.encode_array(values)
        if self.other:
            return nearest
        entries = np.array(self.masks)
        shared = np.where((entries & ~values[..., None]) == 0, np.bitwise_count(entries).astype(np.int64), -1)
        return np.where(nearest == ABSENT, ABSENT, shared.argmax(axis=-1))

    def decode(self, index: int) -> int:
        """The mask of an index; the unknown mask for ``ABSENT``.

        Raises:
            ValueError: the index is neither in the space nor ``ABSENT``.
        """
        if index == ABSENT:
            return UNKNOWN_MASK
        if not 0 <= index < len(self.masks):
            raise ValueError(f"action index {index} is outside this space of {len(self.masks)}")
        return self.masks[index]


@cache
def _with_action(masks: tuple[int, ...], action: int) -> NDArray[np.bool_]:
    has = np.array([action in actions_of(mask) for mask in masks], dtype=bool)
    has.flags.writeable = False
    return has


def _with_none(ranked: list[int], limit: int) -> list[int]:
    """The first ``limit`` masks, the last of them replaced by 0 where that is not among them."""
    chosen = ranked[:limit]
    return chosen if 0 in chosen else [*chosen[: limit - 1], 0]


def _symbol_table(masks: tuple[int, ...], other: bool) -> NDArray[np.int64]:
    """``[1024]`` symbol of every possible mask: itself, else the last (``other``) or the nearest one."""
    asked = np.arange(_TABLE_SIZE)[:, None]
    entries = np.array(masks)[None, :]
    if other:
        same = asked == entries
        return np.where(same.any(axis=1), same.argmax(axis=1), len(masks) - 1)
    shared = np.bitwise_count(asked & entries).astype(np.int64)
    extra = np.bitwise_count(entries & ~asked).astype(np.int64)
    return np.asarray(np.argmax(shared * 64 - extra, axis=1), dtype=np.int64)
