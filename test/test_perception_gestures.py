"""Nods and shakes among slow turns, glances and noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.perception.gestures import HeadGesture, OscillationConfig, turning_points
from hmgen_ros.perception.hysteresis import Latch, LatchConfig
from hmgen_ros.types import TICK_HZ, HeadPose

NOISE = np.radians(0.4)


def probabilities(pitch=None, yaw=None, noise=NOISE, seed=0) -> np.ndarray:
    """The gesture probability at every tick of a head whose angles are given in degrees."""
    length = len(pitch if pitch is not None else yaw)
    zero = np.zeros(length)
    angles = np.radians([zero if pitch is None else pitch, zero if yaw is None else yaw])
    angles = angles + np.random.default_rng(seed).normal(0, noise, angles.shape)
    head = HeadGesture()
    return np.array([head.update(HeadPose(float(y), float(p), 0.0)) for p, y in angles.T])


def oscillation(hz, degrees, cycles, before=50, after=50) -> np.ndarray:
    """Rest, ``cycles`` periods of a sine, rest."""
    t = np.arange(round(cycles * TICK_HZ / hz)) / TICK_HZ
    return np.concatenate([np.zeros(before), degrees * np.sin(2 * np.pi * hz * t), np.zeros(after)])


def step(degrees, ticks, before=50, after=50) -> np.ndarray:
    return np.concatenate([np.zeros(before), np.linspace(0, degrees, ticks), np.full(after, degrees)])


@settings(max_examples=40, deadline=None)
@given(hz=st.floats(1.3, 4.0), degrees=st.floats(4, 15), seed=st.integers(0, 1000))
def test_nods_of_any_usual_pace_are_found_and_end(hz, degrees, seed):
    p = probabilities(pitch=oscillation(hz, degrees, cycles=2, after=60), seed=seed)
    assert p[:45].max() < 0.5
    assert p.max() > 0.5
    assert p[-5:].max() < 0.5


def test_a_single_nod_is_found():
    bump = 8 * np.sin(np.pi * np.arange(11) / 10)  # down and up in 0.4 s
    assert probabilities(pitch=np.concatenate([np.zeros(40), bump, np.zeros(40)])).max() > 0.5


@settings(max_examples=30, deadline=None)
@given(hz=st.floats(1.3, 3.5), degrees=st.floats(5, 20), seed=st.integers(0, 1000))
def test_shakes_are_found(hz, degrees, seed):
    assert probabilities(yaw=oscillation(hz, degrees, cycles=3), seed=seed).max() > 0.5


@pytest.mark.parametrize("fps", [20, 15, 12.5])
def test_slow_cameras_see_nods_and_shakes_and_no_others(fps):
    def highest(seed, **angles):
        (tracks,) = angles.values()
        ticks = np.unique(np.round(np.arange(0, len(tracks) - 1, TICK_HZ / fps)).astype(int))
        noise = np.random.default_rng(seed).normal(0, NOISE, len(ticks))
        head, best = HeadGesture(), 0.0
        for angle, elapsed in zip(np.radians(tracks)[ticks] + noise, np.diff(ticks, prepend=-1), strict=True):
            pose = HeadPose(float(angle), 0.0, 0.0) if "yaw" in angles else HeadPose(0.0, float(angle), 0.0)
            best = max(best, head.update(pose, int(elapsed)))
        return best

    for seed, hz in enumerate(np.linspace(1.3, 3.5, 12)):
        assert highest(seed, pitch=oscillation(hz, 6, cycles=2)) > 0.5
        assert highest(seed, yaw=oscillation(hz, 6, cycles=3)) > 0.5
    for seed, ticks in enumerate((3, 6, 10, 20, 50)):
        assert highest(seed, pitch=step(40, ticks)) < 0.5
        assert highest(seed, yaw=step(40, ticks)) < 0.5


@pytest.mark.parametrize("ticks", [3, 10, 50, 200])
@pytest.mark.parametrize("axis", ["pitch", "yaw"])
def test_a_turn_in_one_direction_is_no_gesture(axis, ticks):
    assert probabilities(**{axis: step(40, ticks)}).max() < 0.5


def test_a_glance_aside_and_back_is_no_shake():
    glance = np.concatenate([step(30, 6, after=8), np.linspace(30, 0, 6), np.zeros(50)])
    assert probabilities(yaw=glance).max() < 0.5


def test_slow_rocking_and_noise_are_no_gestures():
    slow = 12 * np.sin(2 * np.pi * 0.3 * np.arange(500) / TICK_HZ)
    assert probabilities(pitch=slow, yaw=slow).max() < 0.5
    still = np.zeros(2000)
    assert probabilities(pitch=still, yaw=still).max() < 0.5


def test_nods_are_found_during_a_slow_turn():
    nod = oscillation(2.5, 8, cycles=2)
    assert (
        probabilities(pitch=nod + np.linspace(0, 15, len(nod)), yaw=np.linspace(-30, 30, len(nod))).max()
        > 0.5
    )


def test_unknown_poses_and_gaps_are_held():
    head = HeadGesture()
    assert head.update(None) == 0.0
    for angle in np.radians(oscillation(2.5, 10, 2, before=20, after=0)):
        p = head.update(HeadPose(0.0, float(angle), 0.0))
    assert p > 0.5
    assert head.update(None) > 0.5
    assert head.update(None, elapsed=1000) < 0.5


@given(st.lists(st.floats(-1, 1), max_size=60), st.floats(0.05, 0.5))
def test_turning_points_alternate_and_differ_enough(angles, amplitude):
    pivots = turning_points(angles, amplitude)
    steps = np.diff([angles[i] for i in pivots])
    assert (np.abs(steps) >= amplitude - 1e-12).all()
    assert (np.sign(steps[1:]) == -np.sign(steps[:-1])).all()
    assert sorted(pivots) == pivots


def test_settings_are_checked():
    with pytest.raises(ValueError, match="amplitude"):
        OscillationConfig(amplitude=0, swings=2)
    with pytest.raises(ValueError, match="min_hz"):
        OscillationConfig(amplitude=0.1, swings=2, min_hz=7)
    with pytest.raises(ValueError, match="off"):
        LatchConfig(on=0.3, off=0.4)
    with pytest.raises(ValueError, match="off_ticks"):
        LatchConfig(off_ticks=0)


def test_latch_waits_holds_and_lets_go():
    latch = Latch(LatchConfig(on=0.6, off=0.4, on_ticks=2, off_ticks=3, min_ticks=5))
    rises = [latch.update(p) for p in (0.9, 0.1, 0.9, 0.9)]
    assert rises == [False, False, False, True]
    held = [latch.update(p) for p in (0.5, 0.5, 0.1, 0.1, 0.5, 0.1, 0.1, float("nan"), 0.1, 0.1, 0.1)]
    assert held == [True] * 10 + [False]


def test_latch_lasts_its_least_time():
    latch = Latch(LatchConfig(on=0.5, off=0.5, on_ticks=1, off_ticks=1, min_ticks=6))
    states = [latch.update(p) for p in (1.0, *[0.0] * 9)]
    assert sum(states) == 6
