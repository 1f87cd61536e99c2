"""Where the milliseconds of a tick go: stage timers and percentiles over a sliding window."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray


class Window:
    """The last ``size`` measurements of one quantity, with the total count of all.

    One thread writes, others may read at the same time: a ring that is overwritten in place never changes
    under a reader's feet as a growing container would.
    """

    def __init__(self, size: int = 15_000) -> None:
        self._ring = np.zeros(size)
        self.count = 0

    def add(self, value: float) -> None:
        """Take one more measurement."""
        self._ring[self.count % len(self._ring)] = value
        self.count += 1

    def values(self) -> NDArray[np.float64]:
        """A copy of the measurements in the window, in no particular order."""
        return self._ring[: self.count].copy()

    def percentile(self, q: float) -> float:
        """The ``q``-th percentile (0 to 100) of the window, NaN while it is empty."""
        return float(np.percentile(self.values(), q)) if self.count else float("nan")

    def mean(self) -> float:
        """Mean of the window, NaN while it is empty."""
        return float(np.mean(self.values())) if self.count else float("nan")


class StageTimes:
    """Wall-clock milliseconds of named stages, and what they cost the threads that ran them.

    >>> times = StageTimes()
    >>> with times.stage("detect"):
    ...     pass
    >>> list(times.mean_ms())
    ['detect']
    """

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}
        self._cpu_ms: dict[str, float] = {}
        # Of the names: copying items can be interrupted, and a dict that grows meanwhile is an error.
        self._names = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the enclosed block as one run of ``name``."""
        start, cpu_start = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            cpu_ms = (time.thread_time() - cpu_start) * 1e3
            self.add(name, (time.perf_counter() - start) * 1e3, cpu_ms)

    def add(self, name: str, milliseconds: float, cpu_ms: float = 0.0) -> None:
        """Add one measured run of ``name``: wall-clock and CPU time."""
        if (window := self._windows.get(name)) is not None:
            window.add(milliseconds)
            self._cpu_ms[name] += cpu_ms
            return
        window = Window()
        window.add(milliseconds)
        with self._names:
            self._windows[name], self._cpu_ms[name] = window, cpu_ms

    def mean_ms(self) -> dict[str, float]:
        """Mean milliseconds a run of every stage, in the order in which stages first ran."""
        with self._names:
            windows = self._windows.copy()
        return {name: window.mean() for name, window in windows.items()}

    def cpu_ms(self) -> dict[str, float]:
        """CPU milliseconds of all runs of every stage together, of the thread that ran it alone.

        On a busy machine these stay what they are; a stage within another counts for both.
        """
        with self._names:
            return self._cpu_ms.copy()

    def window(self, name: str) -> Window:
        """The measurements of one stage; empty when it never ran."""
        return self._windows.get(name, Window())
