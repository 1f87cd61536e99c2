"""Nods, shakes and tilts among slow turns, glances and noise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from hmgen_ros.perception.gesture_network import KINDS, TURNS, GestureNetwork
from hmgen_ros.perception.gestures import MAX_GAP_TICKS, GestureProbabilities, HeadGesture
from hmgen_ros.perception.hysteresis import Latch, LatchConfig
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.types import TICK_HZ, HeadPose

NOISE = np.radians(0.3)
NETWORK = GestureNetwork()


def pose(degrees=0.0, kind="nod") -> HeadPose:
    """A head turned about the axis of one kind of gesture."""
    return HeadPose(**{"yaw": 0.0, "pitch": 0.0, "roll": 0.0, AXES[kind]: math.radians(degrees)})


AXES = {"nod": "pitch", "shake": "yaw", "tilt": "roll"}


def watch(noise=NOISE, seed=0, fps=TICK_HZ, **angles) -> tuple[np.ndarray, np.ndarray]:
    """``[n, 3]`` probabilities, and whether a gesture holds, of a head whose angles are given in degrees."""
    length = len(next(iter(angles.values())))
    tracks = np.radians([angles.get(axis, np.zeros(length)) for axis in ("yaw", "pitch", "roll")]).T
    tracks = tracks + np.random.default_rng(seed).normal(0, noise, tracks.shape)
    ticks = np.unique(np.arange(0, length - 1, TICK_HZ / fps).round().astype(int))
    head, latch = HeadGesture(NETWORK), Latch(PerceptionConfig().gesture)
    found = [
        head.update(HeadPose(*map(float, tracks[tick])), int(elapsed))
        for tick, elapsed in zip(ticks, np.diff(ticks, prepend=-1), strict=True)
    ]
    steps = np.diff(ticks, prepend=-1).tolist()
    return np.array(found), np.array([latch.update(p.any, e) for p, e in zip(found, steps, strict=True)])


def oscillation(hz, degrees, cycles, before=50, after=50) -> np.ndarray:
    """Rest, ``cycles`` periods of a sine, rest."""
    t = np.arange(round(cycles * TICK_HZ / hz)) / TICK_HZ
    return np.concatenate([np.zeros(before), degrees * np.sin(2 * np.pi * hz * t), np.zeros(after)])


def step(degrees, ticks, before=50, after=50) -> np.ndarray:
    """From rest to rest, smoothly."""
    path = (1 - np.cos(np.linspace(0, np.pi, ticks))) / 2
    return np.concatenate([np.zeros(before), degrees * path, np.full(after, degrees)])


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    hz=st.floats(1.6, 4.5),
    degrees=st.floats(3, 12),
    seed=st.integers(0, 1000),
)
def test_gestures_of_any_usual_pace_are_found_named_and_end(kind, hz, degrees, seed):
    found, held = watch(seed=seed, **{AXES[kind]: oscillation(hz, degrees, cycles=2.5)})
    assert not held[:48].any()
    assert held.any()
    assert not held[-25:].any()
    assert KINDS[int(found[held].sum(0).argmax())] == kind


@pytest.mark.parametrize("degrees", [-8, 6, 12])
def test_a_single_nod_is_found_while_it_lasts_or_soon_after(degrees):
    bump = degrees * (1 - np.cos(np.linspace(0, 2 * np.pi, 12))) / 2  # down and up in half a second
    _, held = watch(pitch=np.concatenate([np.zeros(40), bump, np.zeros(40)]))
    assert held[45:58].any()


@pytest.mark.parametrize("fps", [20, 15, 12.5])
def test_slow_cameras_see_gestures_and_no_others(fps):
    for seed, hz in enumerate(np.linspace(1.6, 3.5, 6)):
        assert watch(seed=seed, fps=fps, pitch=oscillation(hz, 6, cycles=2))[1].any()
        assert watch(seed=seed, fps=fps, yaw=oscillation(hz, 6, cycles=3))[1].any()
    for seed, ticks in enumerate((8, 12, 20, 50)):
        for axis in ("pitch", "yaw"):
            assert not watch(seed=seed, fps=fps, **{axis: step(25, ticks)})[1].any()


@pytest.mark.parametrize("ticks", [15, 25, 50, 200])
@pytest.mark.parametrize("axis", ["pitch", "yaw"])
def test_a_turn_in_one_direction_is_no_gesture(axis, ticks):
    assert not watch(**{axis: step(20, ticks)})[1].any()


@pytest.mark.parametrize("ticks", [30, 50, 200])
def test_a_slow_lean_to_one_side_is_no_tilt(ticks):
    assert not watch(roll=step(10, ticks))[1].any()


@pytest.mark.parametrize("degrees", [-35, -15, 20, 30])
def test_a_glance_aside_and_back_is_no_shake(degrees):
    glance = np.concatenate([step(degrees, 9, after=15), step(degrees, 9, before=0, after=0)[::-1]])
    assert not watch(yaw=np.concatenate([glance, np.zeros(50)]))[1].any()


def test_slow_rocking_and_noise_are_no_gestures():
    slow = 12 * np.sin(2 * np.pi * 0.3 * np.arange(500) / TICK_HZ)
    assert not watch(pitch=slow, yaw=slow)[1].any()
    assert not watch(pitch=np.zeros(2000))[1].any()


def test_nods_are_found_during_a_slow_turn():
    nod = oscillation(2.5, 8, cycles=2)
    _, held = watch(pitch=nod + np.linspace(0, 15, len(nod)), yaw=np.linspace(-30, 30, len(nod)))
    assert held.any()


def test_mirrored_heads_shake_and_tilt_alike():
    for axis in ("yaw", "roll"):
        sway = oscillation(2.5, 6, cycles=3)
        left, right = (watch(noise=0.0, **{axis: sign * sway})[1] for sign in (1, -1))
        assert abs(int(left.sum()) - int(right.sum())) <= 6


def test_a_head_that_is_not_seen_is_not_known_and_a_long_gap_is_rest():
    head = HeadGesture(NETWORK)
    assert all(map(math.isnan, head.update(None)))
    for angle in oscillation(2.5, 10, 2, before=20, after=0):
        found = head.update(pose(angle))
    assert found.nod > 0.5
    assert math.isnan(head.update(None).any)
    assert head.update(pose(20), elapsed=MAX_GAP_TICKS).any < 0.5


def test_gaps_are_bridged_by_a_line():
    seen, whole = [], []
    for fill in (False, True):
        head = HeadGesture(lambda turns, out=whole if fill else seen: out.append(turns.copy()) or np.zeros(3))
        head.update(pose(0))
        if fill:
            head.update(pose(2))
            head.update(None)
        head.update(pose(6), 1 if fill else 3)
    np.testing.assert_allclose(seen[-1], whole[-1], atol=1e-7)
    assert seen[-1].shape == (TURNS, 3)


def test_half_a_turn_is_passed_without_a_jump():
    seen = []
    head = HeadGesture(lambda turns: seen.append(turns.copy()) or np.zeros(3))
    head.update(pose(179, "shake"))
    head.update(pose(-179, "shake"))
    assert seen[-1][-1, 0] == pytest.approx(math.radians(2), abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(-math.pi, math.pi)] * 3, st.integers(1, 40)), max_size=30))
def test_any_poses_give_probabilities(poses):
    head = HeadGesture(NETWORK)
    for yaw, pitch, roll, elapsed in poses:
        found = head.update(HeadPose(yaw, pitch, roll), elapsed)
        assert 0 <= min(found) <= found.any <= 1
        assert isinstance(found, GestureProbabilities)


def test_files_of_other_networks_are_refused_by_name(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"first.weight": np.zeros((4, 3 * TURNS), np.float32)}, path)
    with pytest.raises(RuntimeError, match=r"other\.safetensors"):
        GestureNetwork(path)
    path.write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match=r"other\.safetensors"):
        GestureNetwork(path)
    sizes = {"first": (4, 12), "second": (4, 4), "last": (3, 4)}
    weights = {f"{name}.weight": np.zeros(size, np.float32) for name, size in sizes.items()}
    save_file(weights | {f"{n}.bias": np.zeros(s[0], np.float32) for n, s in sizes.items()}, path)
    with pytest.raises(RuntimeError, match="other sizes"):
        GestureNetwork(path)
    with pytest.raises(FileNotFoundError):
        GestureNetwork(tmp_path / "missing.safetensors")


def test_settings_are_checked():
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
