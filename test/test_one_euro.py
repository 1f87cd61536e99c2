"""The landmark filter: still points stay, trembling ones calm down, moving ones are hardly late."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.perception.one_euro import MAX_GAP, LandmarkSmoother, OneEuroConfig, OneEuroFilter

FACE = np.random.default_rng(0).uniform(100, 300, (68, 2)).astype(np.float32)
SCALE = 80.0
quick = settings(max_examples=30, deadline=None)


@quick
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 20), min_size=1, max_size=30))
def test_a_still_face_stays_exactly_where_it_is(seed: int, elapsed: list[int]) -> None:
    points = np.random.default_rng(seed).uniform(-50, 4000, (68, 2)).astype(np.float32)
    one = OneEuroFilter()
    for ticks in elapsed:
        np.testing.assert_array_equal(one.update(points, SCALE, ticks), points)


@quick
@given(st.floats(0.05, 20), st.floats(0, 2 * math.pi), st.integers(1, 3))
def test_steady_motion_lags_less_than_a_tick_and_less_than_promised(
    speed: float, direction: float, elapsed: int
) -> None:
    config, one = OneEuroConfig(), OneEuroFilter()
    step = speed * SCALE * elapsed / 25 * np.array([math.cos(direction), math.sin(direction)])
    for i in range(200):
        true = (FACE + i * step).astype(np.float32)
        found = one.update(true, SCALE, elapsed)
    behind = float(np.linalg.norm(true - found, axis=1).max()) / SCALE
    assert behind < 1.02 / (2 * math.pi * config.beta) + 1e-3
    if speed > 0.2:
        assert behind < speed / 25


def test_a_sudden_fast_turn_is_never_a_tick_late() -> None:
    one, speed = OneEuroFilter(), 2.0  # eye distances a second: a head that is shaken
    for _ in range(25):
        one.update(FACE, SCALE)
    for i in range(1, 15):
        true = FACE + np.float32(i * speed * SCALE / 25) * np.array([1, 0], np.float32)
        behind = float((true - one.update(true, SCALE)).max()) / (speed * SCALE / 25)
        assert behind < 1


@quick
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.5))
def test_trembling_is_reduced_to_less_than_half(seed: int, noise: float) -> None:
    rng, one = np.random.default_rng(seed), OneEuroFilter()
    raw = FACE + rng.normal(0, noise, (200, 68, 2)).astype(np.float32)
    calm = np.array([one.update(points, SCALE) for points in raw])
    assert np.diff(calm[50:], axis=0).std() < 0.5 * np.diff(raw[50:], axis=0).std()
    assert np.abs(calm[50:].mean((0,)) - FACE).max() < noise


def test_near_and_far_faces_are_filtered_alike() -> None:
    near, far = OneEuroFilter(), OneEuroFilter()
    rng = np.random.default_rng(1)
    for _ in range(50):
        points = FACE + rng.normal(0, 3, (68, 2)).astype(np.float32)
        a, b = near.update(4 * points, 4 * SCALE), far.update(points, SCALE)
        np.testing.assert_allclose(a / 4, b, atol=1e-3)


def test_a_face_that_comes_back_after_a_gap_is_taken_as_it_is() -> None:
    smoother = LandmarkSmoother()
    smoother.update("anna", FACE, SCALE, 1)
    moved = FACE + 30
    near = smoother.update("anna", moved, SCALE, 1)
    assert np.abs(near - moved).max() > 0.01
    smoother.unseen("anna", MAX_GAP)
    np.testing.assert_array_equal(smoother.update("anna", FACE, SCALE, 1), FACE)


def test_people_do_not_mix_and_are_forgotten() -> None:
    smoother = LandmarkSmoother()
    smoother.update("anna", FACE, SCALE, 1)
    np.testing.assert_array_equal(smoother.update("ben", FACE + 50, SCALE, 1), FACE + 50)
    smoother.keep({"ben"})
    np.testing.assert_array_equal(smoother.update("anna", FACE - 50, SCALE, 1), FACE - 50)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match="min_cutoff_hz=0"):
        OneEuroConfig(min_cutoff_hz=0.0)
