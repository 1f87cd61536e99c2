"""Where the milliseconds of a tick go: stage timers and percentiles over a sliding window."""

from __future__ import annotations

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
    """Wall-clock milliseconds of named stages.

    >>> times = StageTimes()
    >>> with times.stage("detect"):
    ...     pass
    >>> list(times.mean_ms())
    ['detect']
    """

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the enclosed block as one run of ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, (time.perf_counter() - start) * 1e3)

    def add(self, name: str, milliseconds: float) -> None:
        """Add one measured run of ``name``."""
        window = self._windows.get(name)
        if window is None:
            window = self._windows[name] = Window()
        window.add(milliseconds)

    def mean_ms(self) -> dict[str, float]:
        """Mean milliseconds a run of every stage, in the order in which stages first ran."""
        # A copy: another thread may add a stage meanwhile.
        return {name: window.mean() for name, window in list(self._windows.items())}

    def window(self, name: str) -> Window:
        """The measurements of one stage; empty when it never ran."""
        return self._windows.get(name, Window())
