"""Memory of our processes: no collection in the middle of a tick; what is dropped goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import inspect
import sys


def settle() -> None:
    """Call once everything is loaded, so that no tick has to do what can be done now.

    What exists now stays, so let garbage collection pass it over: a full collection walks every object of the
    imported libraries, for 50 to 100 ms. And rclpy's logger asks ``inspect`` who calls it, which walks all
    imported modules for 50 ms the first time.
    """
    inspect.getframeinfo(sys._getframe())
    # What an earlier call kept may be garbage by now.
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Call once something large was dropped: its memory goes back to the system rather than into a store."""
    settle()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        # Another C library than glibc: it does as it likes.
        return
