"""Threads of the libraries underneath: one each, for what can run beside each other has threads of ours."""

from __future__ import annotations

import os
import sys

import cv2
from threadpoolctl import threadpool_limits

#: Seconds after which a thread asks another for Python's lock. The default of 5 ms is an eighth of a tick,
#: and threads that call into numpy, torch and the models hand the lock over hundreds of times a tick.
_SWITCH_INTERVAL_S = 0.0002


def one_thread_each() -> None:
    """Settings of a whole process that perceives or forecasts; call it once everything is imported.

    OpenCV: splitting an image of a face over two cores costs more than it saves. OpenBLAS, under NumPy and
    SciPy: its threads wait for each other by spinning, so where another program has one of the cores a
    product of 30 µs takes milliseconds of both cores. PyTorch is told by those who use it.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    cv2.setNumThreads(1)
    # For copies of the library that are loaded later.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    threadpool_limits(1, user_api="blas")
