"""An iterator that runs ahead in its own thread, by a bounded number of items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Runs a generator in a thread and hands its items over through a bounded queue.

    An exception of the generator is raised in the consumer, after the items that came before it.
    """

    def __init__(
        self,
        items: Generator[T, None, None],
        size: int,
        name: str,
        on_drop: Callable[[], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            items: what to run; closed in the thread when it ends.
            size: most items held; then the generator waits.
            name: name of the thread.
            on_drop: given, the oldest item makes room instead of the generator waiting (live sources),
                and this is called for each.
        """
        self._items = items
        self._size = size
        self._on_drop = on_drop
        self._queue: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._done = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __next__(self) -> T:
        """The next item, waiting for it; StopIteration at the end and after :meth:`close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._done or self._closed)
            if self._queue and not self._closed:
                self._changed.notify_all()
                return self._queue.popleft()
            error, self._error = self._error, None
        if error is not None and not self._closed:
            raise error
        raise StopIteration

    def close(self, timeout_s: float = 2.0) -> None:
        """Stop the thread and drop what it fetched; waits for at most ``timeout_s``."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        error: Exception | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    break
            self._items.close()
        except Exception as caught:  # whatever it is, it belongs to the consumer
            error = caught
        with self._changed:
            self._error = error
            self._done = True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Queue one item; False once closed."""
        with self._changed:
            if self._on_drop is not None and len(self._queue) >= self._size:
                self._queue.popleft()
                self._on_drop()
            self._changed.wait_for(lambda: len(self._queue) < self._size or self._closed)
            if self._closed:
                return False
            self._queue.append(item)
            self._changed.notify_all()
            return True
