"""Playing a file at the pace at which it was recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hmgen_ros.streams.source import MediaItem, ready_ns
from hmgen_ros.timing import Window
from hmgen_ros.types import TICK_NS, Counts, Frame


@dataclass(frozen=True, slots=True)
class Pace:
    """What to do with one item.

    Attributes:
        wait_ns: time to wait before it is due, >= 0.
        late_ns: time since it was due, >= 0; one of the two is 0.
        drop: it is too late to be of use.
    """

    wait_ns: int
    late_ns: int
    drop: bool


def pace(due_ns: int, now_ns: int, period_ns: int, droppable: bool) -> Pace:
    """Decide about an item due at ``due_ns``: wait, hand over, or drop.

    Args:
        due_ns: when it is to be handed over.
        now_ns: the same clock's present.
        period_ns: an item later than this has been overtaken by the next.
        droppable: whether it may be dropped at all; sound may not, it would tear a hole.
    """
    late_ns = max(0, now_ns - due_ns)
    return Pace(max(0, due_ns - now_ns), late_ns, droppable and late_ns > period_ns)


class Pacer:
    """Holds items back until they are due in real time, and drops frames that come too late.

    The first item, or ``origin_ns``, is due at the first call; a slow consumer thus loses frames rather
    than falling ever further behind.

    Attributes:
        counts: ``late_dropped`` frames.
        lateness_ms: how late items were handed over, milliseconds.
    """

    def __init__(
        self,
        origin_ns: int | None = None,
        period_ns: int = TICK_NS,
        *,
        start_ns: int | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Prepare; time starts with the first item.

        Args:
            origin_ns: media time that is due at once; None for the first item's.
            period_ns: frames later than this are dropped.
            start_ns: when the origin is due, on the clock to follow; None for the first call.
            monotonic_ns: clock to follow.
        """
        self.counts = Counts()
        self.lateness_ms = Window()
        self._origin_ns = origin_ns
        self._period_ns = period_ns
        self._monotonic_ns = monotonic_ns
        self._start_ns = start_ns
        self._stopped = threading.Event()

    def wait(self, media_ns: int, droppable: bool = True) -> bool:
        """Sleep until an item is due.

        Args:
            media_ns: when the item became ready in media time.
            droppable: whether it may be dropped if it is late.

        Returns:
            Whether to hand it over; False for a dropped one, and always once stopped.
        """
        now_ns = self._monotonic_ns()
        if self._start_ns is None:
            self._start_ns = now_ns
        if self._origin_ns is None:
            self._origin_ns = media_ns
        due_ns = self._start_ns + media_ns - self._origin_ns
        decision = pace(due_ns, now_ns, self._period_ns, droppable)
        if decision.drop:
            self.counts.add("late_dropped")
            return False
        if decision.wait_ns and self._stopped.wait(decision.wait_ns / 1e9):
            return False
        self.lateness_ms.add(max(0, self._monotonic_ns() - due_ns) / 1e6)
        return not self._stopped.is_set()

    def play(self, items: Iterable[MediaItem]) -> Iterator[MediaItem]:
        """The items of a source, each when it is due, without the frames that were too late."""
        for item in items:
            if self.wait(ready_ns(item), droppable=isinstance(item, Frame)):
                yield item
            elif self._stopped.is_set():
                return

    def stop(self) -> None:
        """Wake up and end :meth:`play`; may be called from another thread."""
        self._stopped.set()
