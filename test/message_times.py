"""What the stamps of messages show, however busy the machine was that made them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.message_reading import stamp_ns
from hmgen_ros.msg import People
from hmgen_ros.types import TICK_NS


def stamps(messages: Sequence[Any]) -> NDArray[np.int64]:
    """``[n]`` stamps, nanoseconds."""
    return np.array([stamp_ns(message.header.stamp) for message in messages], np.int64)


def own_up(people: Sequence[People]) -> bool:
    """Whether there is a message a tick, and each one tells how many before it are missing.

    Images are lost on a busy machine, and after half a second without any a new grid of ticks begins.
    """
    for earlier, later in pairwise(people):
        ticks = np.diff(stamps([earlier, later]))[0] / TICK_NS
        told = 1 + later.missed_ticks
        if not later.reset and not (np.isclose(ticks, told, atol=0.01) and later.tick - earlier.tick == told):
            return False
    return True


def keep_time(messages: Sequence[Any], count: int = 25) -> bool:
    """Whether some ``count`` messages in a row came at 25 Hz; at other times the machine may be busy."""
    between = np.diff(stamps(messages))
    windows = (
        np.lib.stride_tricks.sliding_window_view(between, count) if len(between) >= count else between[:0]
    )
    return bool((np.abs(np.median(windows, axis=-1) / TICK_NS - 1) <= 0.1).any()) if len(windows) else False
