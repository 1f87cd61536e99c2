"""Percentiles over a window, and reading them while another thread measures."""

import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmgen_ros.timing import StageTimes, Window


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.integers(1, 20))
def test_a_window_keeps_the_newest(values: list[float], size: int) -> None:
    window = Window(size)
    for value in values:
        window.add(value)
    newest = values[-size:]
    assert window.count == len(values)
    assert window.mean() == pytest.approx(np.mean(newest))
    assert window.percentile(50) == pytest.approx(np.percentile(newest, 50))
    assert window.percentile(100) == max(newest)


def test_an_empty_window_is_not_a_number() -> None:
    assert math.isnan(Window().percentile(50))
    assert math.isnan(Window().mean())
    assert StageTimes().mean_ms() == {}


def test_reading_while_another_thread_adds_stages() -> None:
    times, done = StageTimes(), threading.Event()

    def measure() -> None:
        for index in range(20_000):
            times.add(f"stage{index % 500}", 1.0)
        done.set()

    thread = threading.Thread(target=measure)
    thread.start()
    while not done.is_set():
        assert set(times.mean_ms().values()) <= {1.0}
    thread.join()
    assert len(times.mean_ms()) == 500
