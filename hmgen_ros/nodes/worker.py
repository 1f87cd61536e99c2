"""A thread that works through a queue in order: the second half of a pipeline."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Worker(Generic[Item]):
    """Calls ``work`` with each item in the order of :meth:`put`.

    A full queue makes :meth:`put` wait: whoever feeds it slows down, and nothing is lost or reordered.
    """

    def __init__(
        self, name: str, work: Callable[[Item], None], failed: Callable[[str], None], depth: int = 2
    ) -> None:
        """Start the thread.

        Args:
            name: of the thread.
            work: called with each item.
            failed: called with the traceback of a defect in ``work``; the next item gets its chance.
            depth: items that may wait.
        """
        self._work, self._failed = work, failed
        self._queue: queue.Queue[Item | None] = queue.Queue(maxsize=depth)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._work(item)
            except Exception:
                self._failed(traceback.format_exc())

    def put(self, item: Item) -> None:
        """Append an item, waiting while the queue is full."""
        self._queue.put(item)

    def close(self) -> None:
        """Finish what was put and end the thread."""
        self._queue.put(None)
        self._thread.join()
