"""The 25 Hz clock: any camera rate onto one grid, everything odd counted, nothing fatal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.streams.clock import Tick, TickClock, is_future
from hmgen_ros.types import TICK_NS

T0 = 1_700_000_000_000_000_000
MS = 1_000_000


def stamps_of(fps, seconds, jitter_ms=0.0, seed=0):
    n = round(fps * seconds)
    jitter = np.random.default_rng(seed).uniform(-jitter_ms, jitter_ms, n) * MS
    return [T0 + int(s) for s in np.arange(n) / fps * 1e9 + jitter]


def run(stamps, clock):
    return [tick for tick in map(clock.accept, stamps) if tick is not None]


def test_a_perfect_camera_fills_every_slot():
    clock = TickClock()
    ticks = run(stamps_of(25, 10), clock)
    assert ticks[0] == Tick(0, 0, True)
    assert ticks[1:] == [Tick(i, 0, False) for i in range(1, 250)]
    assert clock.counts.values == {}


@pytest.mark.parametrize(
    ("fps", "ticks_s", "missed_s", "surplus_s"),
    [(10, 10, 15, 0), (15, 15, 10, 0), (24, 24, 1, 0), (25, 25, 0, 0), (30, 25, 0, 5), (60, 25, 0, 35)],
)
@pytest.mark.parametrize("jitter_ms", [0.0, 5.0, 15.0])
def test_every_camera_rate_makes_25_slots_a_second(fps, ticks_s, missed_s, surplus_s, jitter_ms):
    clock = TickClock()
    seconds = 40
    stamps = sorted(stamps_of(fps, seconds, jitter_ms))
    ticks = run(stamps, clock)
    assert len(ticks) / seconds == pytest.approx(ticks_s, rel=0.01, abs=0.1)
    assert clock.counts["missed"] / seconds == pytest.approx(missed_s, abs=0.15)
    assert clock.counts["surplus"] / seconds == pytest.approx(surplus_s, abs=0.15)
    assert ticks[-1].index == pytest.approx(25 * seconds, abs=3)


@pytest.mark.parametrize("fps", [24.97, 25.03])
def test_jitter_does_not_thrash_when_the_camera_drifts_past_a_slot(fps):
    clock = TickClock()
    run(stamps_of(fps, 200, jitter_ms=15), clock)
    assert clock.counts["missed"] + clock.counts["surplus"] <= 8


def test_a_changing_rate_keeps_the_grid():
    clock = TickClock()
    stamps, now = [], T0
    for fps, n in ((30, 90), (12, 36), (25, 75), (60, 180)):
        for _ in range(n):
            stamps.append(now)
            now += round(1e9 / fps)
    kept = [(tick, stamp) for stamp in stamps if (tick := clock.accept(stamp)) is not None]
    assert kept[-1][0].index == pytest.approx(12 * 25, abs=2)
    for tick, stamp in kept:
        assert abs(stamp - T0 - tick.index * TICK_NS) <= 0.875 * TICK_NS
    assert "reset_gap" not in clock.counts.values


def test_bad_frames_are_dropped_and_counted_by_cause():
    clock = TickClock()
    good = stamps_of(25, 0.4)
    assert len(run(good, clock)) == 10
    for stamp in (good[-1], good[-3], good[-1] - 900 * MS, 0, -5):
        assert clock.accept(stamp) is None
    assert clock.accept(good[-1] + 2_000 * MS, now_ns=good[-1]) is None
    assert clock.counts.values == {"duplicate": 1, "out_of_order": 2, "unstamped": 2, "future": 1}
    assert clock.accept(good[-1] + TICK_NS) == Tick(10, 0, False)


def test_a_straggler_behind_a_surplus_frame_is_out_of_order():
    clock = TickClock()
    clock.accept(T0)
    assert clock.accept(T0 + 4 * MS) is None
    assert clock.accept(T0 + 2 * MS) is None
    assert clock.counts.values == {"surplus": 1, "out_of_order": 1}


def test_one_image_from_the_future_costs_two_more_not_a_second():
    clock = TickClock()
    good = stamps_of(25, 2)
    run(good[:10], clock)
    assert clock.accept(good[9] + 900 * MS, now_ns=good[9]).reset  # within the tolerance for two clocks
    ticks = [clock.accept(stamp, now_ns=stamp) for stamp in good[10:40]]
    assert ticks[:3] == [None, None, Tick(0, 0, True)]
    assert ticks[3:] == [Tick(i, 0, False) for i in range(1, 28)]
    assert clock.counts.values == {"reset_gap": 1, "out_of_order": 2, "restamped": 1}


def test_overtaken_frames_do_not_restart_the_clock():
    clock = TickClock()
    good = stamps_of(25, 2)
    run(good[:10], clock)
    # Two in order, then one older than both, and repeats: never three that go on in time.
    for late in (good[2], good[3], good[3], good[3], good[1], good[1], good[2], good[2]):
        assert clock.accept(late) is None
    assert clock.accept(good[10]) == Tick(10, 0, False)
    # An image in order in between starts the count anew.
    for i in range(11, 20):
        assert clock.accept(good[i]) == Tick(i, 0, False)
        assert clock.accept(good[i - 3]) is None
    assert "restamped" not in clock.counts.values


def test_a_bag_loop_restarts_the_clock():
    clock = TickClock()
    loop = stamps_of(25, 4)
    first = run(loop, clock)
    second = run(loop, clock)
    assert first == second
    assert second[0].reset
    assert clock.counts.values == {"reset_backward": 1}


def test_a_gap_is_held_up_to_the_limit_and_then_voids_the_history():
    clock = TickClock(max_hold_ticks=12)
    clock.accept(T0)
    assert clock.accept(T0 + 13 * TICK_NS) == Tick(13, 12, False)
    assert clock.accept(T0 + 27 * TICK_NS) == Tick(0, 0, True)
    assert clock.counts.values == {"missed": 12, "reset_gap": 1}
    assert clock.accept(T0 + 28 * TICK_NS) == Tick(1, 0, False)


def test_late_frames_are_used_and_counted():
    clock = TickClock()
    assert clock.accept(T0, now_ns=T0 + 3_000 * MS) is not None
    assert clock.counts.values == {"late": 1}


def test_without_a_present_nothing_is_in_the_future():
    assert not is_future(T0, None)
    assert not is_future(T0, 0)
    assert not is_future(T0 + 1_000 * MS, T0)
    assert is_future(T0 + 1_001 * MS, T0)


def test_reset_starts_a_new_grid():
    clock = TickClock()
    run(stamps_of(25, 1), clock)
    clock.reset()
    assert clock.accept(T0) == Tick(0, 0, True)


@pytest.mark.parametrize("bad", [{"period_ns": 0}, {"max_hold_ticks": -1}, {"tolerance": 1.0}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match="clock"):
        TickClock(**bad)


deltas = st.lists(
    st.one_of(
        st.integers(10 * MS, 120 * MS),
        st.integers(-3_000 * MS, 3_000 * MS),
        st.just(0),
    ),
    min_size=1,
    max_size=200,
)


@settings(max_examples=150, deadline=None)
@given(deltas=deltas, hold=st.integers(0, 20))
def test_slots_increase_and_every_frame_is_accounted_for(deltas, hold):
    stamps = [T0 + int(s) for s in np.cumsum(deltas)]
    clock, twin = TickClock(max_hold_ticks=hold), TickClock(max_hold_ticks=hold)
    last, origin, ticks = -1, None, 0
    for stamp in stamps:
        tick = clock.accept(stamp)
        assert tick == twin.accept(stamp)
        if tick is None:
            continue
        ticks += 1
        if tick.reset:
            assert (tick.index, tick.missed) == (0, 0)
            origin = stamp
        else:
            assert tick.index == last + 1 + tick.missed
            assert tick.missed <= hold
        assert abs(stamp - origin - tick.index * TICK_NS) <= 0.875 * TICK_NS
        last = tick.index
    dropped = sum(clock.counts[cause] for cause in ("duplicate", "out_of_order", "surplus"))
    assert ticks + dropped == len(stamps)


@settings(max_examples=60, deadline=None)
@given(fps=st.floats(10, 60), jitter=st.floats(0, 4), seed=st.integers(0, 99))
def test_filled_and_held_slots_together_are_25_a_second(fps, jitter, seed):
    clock = TickClock()
    ticks = run(sorted(stamps_of(fps, 20, jitter, seed)), clock)
    assert sum(1 + tick.missed for tick in ticks) == pytest.approx(500, abs=4)
    assert not any(tick.reset for tick in ticks[1:])
