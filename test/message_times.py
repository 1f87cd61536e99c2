"""What the stamps of messages show, however busy the machine was that made them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ros_processes import Listener

from hmgen_ros.message_reading import stamp_ns
from hmgen_ros.msg import HeadMotion, People, PredictedInteraction
from hmgen_ros.types import TICK_NS

#: Ticks that make a stretch long enough to judge.
STRETCH = 40


def stamps(messages: Sequence[Any]) -> NDArray[np.int64]:
    """``[n]`` stamps, nanoseconds."""
    return np.array([stamp_ns(message.header.stamp) for message in messages], np.int64)


def hear_predictions(ear: Listener) -> None:
    """Collect what perception and the predictors tell of people."""
    for kind, topic in (
        (People, "people"),
        (PredictedInteraction, "predicted_interaction"),
        (HeadMotion, "head_motion"),
    ):
        ear.listen(kind, topic)


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


def perceived_without_a_gap(people: list[People]) -> bool:
    """Whether ticks follow each other; an image that a busy machine lost is told by the next message."""
    return own_up(people) and not any(message.reset for message in people)


def keep_up(ear: Listener, *topics: str) -> bool:
    """Wait until forecasts of late ticks come on each of these topics: from then on none is lost.

    Before, a predictor may not have found perception yet, nor we the predictor.
    """

    def told() -> bool:
        late = set(stamps([message for message in ear.received["people"][-10:] if message.people]).tolist())
        return all(late & set(stamps(ear.received[topic][-30:]).tolist()) for topic in topics)

    return ear.spin_until(told)


def occupied_since(ear: Listener, time_ns: int) -> list[People]:
    """What perception has told by now of ticks with somebody in them, from this time on."""
    people = ear.received["people"]
    return [one for one in people if one.people and stamp_ns(one.header.stamp) >= time_ns]


def misses_no_tick(ear: Listener, topic: str, people: list[People]) -> bool:
    """Whether there is a forecast for every one of these ticks with somebody in it, as soon as all have come.

    Reliable delivery and depths of seconds make that certain as long as no process stands still for so long.
    """
    occupied = set(stamps([message for message in people if message.people]).tolist())
    assert occupied, "nobody was in view at any of these ticks"
    return ear.spin_until(lambda: occupied <= set(stamps(ear.received[topic]).tolist()))


def comes_in_time(ear: Listener, topic: str, count: int = 25) -> bool:
    """Wait until ``count`` messages in a row have come at 25 Hz.

    Where more than two processes wait for each core, nothing can be said of that: the answer is True, and the
    summary of the run tells that it was not judged.
    """
    overloaded = 2 * (os.cpu_count() or 1)
    if not ear.spin_until(lambda: _at_25_hz(ear.received[topic], count) or os.getloadavg()[0] > overloaded):
        return False
    if not _at_25_hz(ear.received[topic], count):
        warnings.warn(f"not judged whether {topic} comes at 25 Hz: the machine is too busy", stacklevel=2)
    return True


def _at_25_hz(messages: Sequence[Any], count: int) -> bool:
    between = np.diff(stamps(messages)) / TICK_NS
    if len(between) < count:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(between, count)
    return bool((np.abs(np.median(windows, axis=-1) - 1) <= 0.1).any())
