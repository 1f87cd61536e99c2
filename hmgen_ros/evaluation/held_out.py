"""The moments of held-out meetings that forecasts are asked for, and what happened after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.ami import Meeting
from hmgen_ros.evaluation.bootstrap import BLOCK_TICKS, block_counts
from hmgen_ros.evaluation.forecast_scores import first_to_speak, turn_ends
from hmgen_ros.generators.action_space import ABSENT, ActionSpace

#: Ticks seen before the first forecast of a meeting (2.4 s).
OBSERVED = 60
#: Ticks of future: 3.2 s.
FUTURE = 80
#: Ticks after a turn end in which the next speaker begins (1.6 s).
TURN = 40


@dataclass(frozen=True, slots=True)
class Moments:
    """Some ticks of one meeting with their future.

    Attributes:
        ticks: ``[W]`` the last observed tick of each.
        now: ``[W, N]`` symbols there.
        future: ``[W, T, N]`` symbols of the ticks right after; ``ABSENT`` also for everybody who is
            ``ABSENT`` now.
        block: ``[W]`` the block of time each lies in, over all meetings.
    """

    ticks: NDArray[np.int64]
    now: NDArray[np.int64]
    future: NDArray[np.int64]
    block: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ticks)

    def part(self, start: int, count: int) -> Moments:
        """``count`` of them, from ``start`` on."""
        chosen = slice(start, start + count)
        return Moments(self.ticks[chosen], self.now[chosen], self.future[chosen], self.block[chosen])


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What is asked about one meeting.

    Attributes:
        name: of the meeting.
        masks: ``[T, N]`` uint16 bit masks, for predictors of any action space.
        windows: moments at regular ticks with 80 ticks of future.
        ends: turn ends after which somebody speaks within 40 ticks. Whoever is not seen throughout is
            ``ABSENT`` throughout.
    """

    name: str
    masks: NDArray[np.uint16]
    windows: Moments
    ends: Moments


def held_out(
    meetings: Sequence[Meeting], space: ActionSpace, stride: int, voices: Sequence[Meeting] = ()
) -> tuple[list[HeldOut], list[int]]:
    """The moments of some meetings, and the number of blocks of time in each.

    Args:
        meetings: any, those that are too short have no moments.
        space: of the symbols.
        stride: ticks between forecasts.
        voices: more meetings, which are asked about their turn ends only.

    Raises:
        ValueError: all meetings are too short, or nobody is seen at any moment.
    """
    every = [*meetings, *voices]
    blocks = block_counts([len(meeting.masks) for meeting in every])
    first = np.concatenate([[0], np.cumsum(blocks)])
    found = [_of(meeting, space, stride, int(start)) for meeting, start in zip(every, first, strict=False)]
    found[len(meetings) :] = [replace(one, windows=one.windows.part(0, 0)) for one in found[len(meetings) :]]
    if not any((one.windows.future != ABSENT).any() for one in found):
        names = ", ".join(meeting.info.name for meeting in meetings)
        raise ValueError(
            f"no forecast can be scored in {names}: a meeting needs more than {OBSERVED + FUTURE} ticks "
            "and people who are seen"
        )
    return found, blocks


def _of(meeting: Meeting, space: ActionSpace, stride: int, first_block: int) -> HeldOut:
    symbols = space.encode_array(meeting.masks)
    regular = np.arange(OBSERVED, len(symbols) - FUTURE, stride)
    ends = turn_ends(symbols, space)
    ends = ends[(ends >= OBSERVED) & (ends < len(symbols) - TURN)]
    after = _moments(symbols, ends, TURN, first_block)
    gone = (after.future == ABSENT).any(axis=1)  # [K, N]
    future = np.where(gone[:, None], ABSENT, after.future)
    spoken = first_to_speak(future[:, None], space).any(axis=1)
    seen = Moments(ends, np.where(gone, ABSENT, after.now), future, after.block)
    chosen = [part[spoken] for part in (seen.ticks, seen.now, seen.future, seen.block)]
    windows = _moments(symbols, regular, FUTURE, first_block)
    return HeldOut(meeting.info.name, meeting.masks, windows, Moments(*chosen))


def _moments(symbols: NDArray[np.int64], ticks: NDArray[np.int64], length: int, first_block: int) -> Moments:
    now = symbols[ticks]
    future = symbols[ticks[:, None] + 1 + np.arange(length)]  # [W, length, N]
    future = np.where(now[:, None] == ABSENT, ABSENT, future)
    return Moments(ticks, now, future, first_block + ticks // BLOCK_TICKS)
