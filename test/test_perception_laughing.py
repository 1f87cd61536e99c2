"""Laughing among talking, smiling and silence: synthetic faces and sounds, for there are no real ones."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.perception.laughing import (
    BURST_WINDOWS,
    SmileMeter,
    burst_probability,
    laughing_probability,
    mouth_shape,
)

WINDOW_S = 0.032


def face(width=0.5, lift=0.045, opening=0.02, eyes=0.3) -> np.ndarray:
    """Normalised landmarks with a mouth and eyes of that shape; the rest of the face is at zero."""
    points = np.zeros((68, 2), np.float32)
    for outer, inner, sign in ((36, 39, -1), (45, 42, 1)):
        points[outer], points[inner] = (sign * 0.5, 0), (sign * 0.2, 0)
    for upper, lower, x in ((37, 41, -0.4), (38, 40, -0.3), (43, 47, 0.3), (44, 46, 0.4)):
        points[upper], points[lower] = (x, -0.15 * eyes), (x, 0.15 * eyes)
    points[48], points[54] = (-width / 2, 0.8 - lift), (width / 2, 0.8 - lift)
    points[51], points[57] = (0, 0.75 - opening / 2), (0, 0.85 + opening / 2)
    for x, upper, lower in ((-0.1, 61, 67), (0, 62, 66), (0.1, 63, 65)):
        points[upper], points[lower] = (x, 0.8 - opening / 2), (x, 0.8 + opening / 2)
    return points


def talk(ticks: int, seed: int) -> list[np.ndarray]:
    """A mouth that opens, and widens for some vowels, as those of GRID's speakers do."""
    rng = np.random.default_rng(seed)
    phase, pace = rng.uniform(0, 6, 2), rng.uniform(2, 5)
    t = np.arange(ticks) / 25
    wide = 0.51 + 0.04 * np.sin(2 * np.pi * pace / 2 * t + phase[0]) + rng.normal(0, 0.01, ticks)
    opened = 0.07 + 0.07 * np.sin(2 * np.pi * pace * t + phase[1])
    return [face(w, 0.04, o) for w, o in zip(wide, opened, strict=True)]


def bursts(hz: float, seconds: float = 1.2, seed: int = 0, depth: float = 1.0) -> np.ndarray:
    """Levels of windows of a laugh: one burst after the other, dying away, over noise."""
    t = np.arange(round(seconds / WINDOW_S)) * WINDOW_S
    loud = 0.1 * np.exp(-t / 2) * (1 - depth + depth * np.clip(np.sin(2 * np.pi * hz * t), 0, 1) ** 0.7)
    return loud + np.random.default_rng(seed).uniform(5e-4, 2e-3, len(t))


@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_shape_is_that_of_the_mouth_wherever_the_head_leans(turn):
    c, s = math.cos(turn), math.sin(turn)
    leaning = face(0.6, 0.05, 0.1, 0.25) @ np.float32([[c, s], [-s, c]])
    np.testing.assert_allclose(mouth_shape(leaning), [0.6, 0.05, 0.25, 0.1], atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(hz=st.floats(4.0, 6.5), seed=st.integers(0, 1000))
def test_bursts_are_found(hz, seed):
    assert burst_probability(bursts(hz, seed=seed)) > 0.5


@settings(max_examples=25, deadline=None)
@given(hz=st.floats(0.3, 1.5), level=st.floats(1e-5, 1.0), seed=st.integers(0, 1000))
def test_steady_sound_slow_swells_and_noise_are_no_bursts(hz, level, seed):
    rng = np.random.default_rng(seed)
    t = np.arange(BURST_WINDOWS) * WINDOW_S
    assert burst_probability(np.full(BURST_WINDOWS, level)) < 0.05
    assert burst_probability(level * (1.1 + np.sin(2 * np.pi * hz * t))) < 0.5
    assert burst_probability(level * np.exp(0.2 * rng.normal(size=BURST_WINDOWS))) < 0.5


@given(st.lists(st.floats(0, 10), max_size=60))
def test_any_levels_give_a_probability(levels):
    assert 0 <= burst_probability(np.array(levels)) <= 1


def test_too_little_sound_is_no_burst():
    assert burst_probability(bursts(5.0)[: BURST_WINDOWS - 1]) == 0.0


def test_a_laughing_face_stands_out_from_its_own_rest():
    meter = SmileMeter()
    quiet = [meter.update(face()) for _ in range(100)]
    laugh = [meter.update(face(0.6, 0.085, 0.12, 0.24)) for _ in range(75)]
    after = [meter.update(face()) for _ in range(50)]
    assert max(quiet) < 0.05
    assert min(laugh[15:]) > 0.5
    assert max(after[25:]) < 0.05


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_talking_mouths_do_not_laugh(seed):
    meter = SmileMeter()
    assert max(meter.update(shape) for shape in talk(250, seed)) < 0.5


def test_someone_with_a_wide_mouth_is_learned_not_to_laugh_for_ever():
    meter = SmileMeter()
    seen = [meter.update(face(0.57, 0.06, 0.06)) for _ in range(1500)]
    assert max(seen[-500:]) < 0.3


def test_slow_cameras_see_the_same_laugh():
    every, third = SmileMeter(), SmileMeter()
    shapes = [face()] * 99 + [face(0.6, 0.085, 0.12, 0.24)] * 60
    all_of_them = [every.update(shape) for shape in shapes]
    some = [third.update(shape, 3) for shape in shapes[::3]]
    np.testing.assert_allclose(some[45:], all_of_them[135::3], atol=0.1)


def test_hidden_faces_and_missing_sound_are_not_known():
    meter = SmileMeter()
    assert math.isnan(meter.update(None))
    assert math.isnan(laughing_probability(meter.update(None), 1.0))
    assert math.isnan(laughing_probability(meter.update(face()), math.nan))


def test_both_cues_are_needed():
    assert laughing_probability(1.0, 0.02) < 0.1
    assert laughing_probability(0.02, 1.0) < 0.1
    assert laughing_probability(0.9, 0.9) > 0.5
