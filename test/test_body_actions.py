"""What hands and feet do, on stick people: found, not invented, and unknown where they cannot be seen."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.evaluation.synthetic_bodies import BodyView, record
from hmgen_ros.perception.body import MOST_EVERY, Joint
from hmgen_ros.perception.body_actions import OBSERVED, BodyActionConfig, BodyActions
from hmgen_ros.perception.body_history import motion
from hmgen_ros.types import TICK_NS, Action

#: What stick people do that is told apart from the rest without fail.
SURE = (Action.HAND_GESTURE, Action.WALKING, Action.DRINKING, Action.HAIR_TOUCHING)
WRISTS = [Joint.LEFT_WRIST, Joint.RIGHT_WRIST]


def judged(recording, joints=None):
    """``[looks, 5]`` probabilities in the order of OBSERVED."""
    rules = BodyActions()
    joints = recording.joints if joints is None else joints
    found = [rules.update(float(t), j) for t, j in zip(recording.times, joints, strict=True)]
    return np.array([[f[a] for a in OBSERVED] for f in found])


def idle_then(action, seed, view=None, seconds=3.0):
    return record(np.random.default_rng(seed), [(Action.NONE, 3.0), (action, seconds)], view)


@pytest.mark.parametrize("action", SURE)
@pytest.mark.parametrize("rate", [5.0, 8.0])
def test_every_action_is_found_while_it_is_done(action, rate):
    found = 0
    for seed in range(10):
        seen = idle_then(action, seed, BodyView(rate_hz=rate, missing=0))
        p = judged(seen)[seen.actions == action, OBSERVED.index(action)]
        found += int(np.nanmax(p) > 0.5)
    assert found == 10


def test_stepping_is_found_by_the_feet():
    found = 0
    for seed in range(10):
        seen = idle_then(Action.STEPPING, seed, BodyView(missing=0), 4.0)
        p = judged(seen)[seen.actions == Action.STEPPING, OBSERVED.index(Action.STEPPING)]
        found += int(np.nanmax(p) > 0.5)
    assert found >= 8


def test_little_is_found_in_someone_who_stands():
    positive = looks = 0
    for seed in range(20):
        seen = record(np.random.default_rng(seed), [(Action.NONE, 6.0)])
        p = judged(seen)[:, [OBSERVED.index(a) for a in OBSERVED if a is not Action.DRINKING]]
        positive, looks = positive + int((p > 0.5).sum()), looks + p.size
    assert positive / looks < 0.01


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(OBSERVED),
    st.integers(0, 1000),
    st.floats(0.05, 20),
    st.floats(-3000, 3000),
    st.floats(-3000, 3000),
)
def test_size_and_place_in_the_image_do_not_matter(action, seed, scale, x, y):
    seen = idle_then(action, seed, seconds=2.0)
    moved = seen.joints.astype(np.float64) * (scale, scale, 1) + (x, y, 0)
    np.testing.assert_allclose(judged(seen, moved), judged(seen), atol=0.02, equal_nan=True)


@settings(deadline=None, max_examples=10)
@given(st.sampled_from(OBSERVED), st.integers(0, 1000))
def test_left_and_right_do_not_matter(action, seed):
    seen = idle_then(action, seed, seconds=2.0)
    order = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    mirrored = (seen.joints * np.array([-1, 1, 1], np.float32))[:, order]
    np.testing.assert_allclose(judged(seen, mirrored), judged(seen), atol=1e-3, equal_nan=True)


def test_what_is_not_visible_is_unknown():
    seen = idle_then(Action.HAND_GESTURE, 3, BodyView(missing=0))
    hidden = seen.joints.copy()
    hidden[:, WRISTS, 2] = 0
    p = judged(seen, hidden)
    for action in (Action.HAND_GESTURE, Action.DRINKING, Action.HAIR_TOUCHING):
        assert np.isnan(p[:, OBSERVED.index(action)]).all()
    assert np.isfinite(p[10:, OBSERVED.index(Action.WALKING)]).all()
    hidden[..., 2] = 0
    assert np.isnan(judged(seen, hidden)).all()


def test_a_face_turned_away_hides_the_mouth_but_not_the_hands():
    seen = idle_then(Action.HAND_GESTURE, 3, BodyView(missing=0))
    away = seen.joints.copy()
    away[:, : Joint.LEFT_SHOULDER, 2] = 0
    p = judged(seen, away)
    assert np.isnan(p[:, OBSERVED.index(Action.DRINKING)]).all()
    assert np.nanmax(p[:, OBSERVED.index(Action.HAND_GESTURE)]) > 0.5


def test_a_gap_parts_what_was_before_from_what_comes_after():
    rules = BodyActions()
    seen = idle_then(Action.HAND_GESTURE, 5, BodyView(missing=0))
    known = [rules.update(float(t), j) for t, j in zip(seen.times, seen.joints, strict=True)]
    assert math.isfinite(known[-1][Action.HAND_GESTURE])
    after = rules.update(float(seen.times[-1]) + 2.0, seen.joints[-1])
    assert math.isnan(after[Action.HAND_GESTURE])
    back = rules.update(0.0, seen.joints[0])
    assert math.isnan(back[Action.WALKING])


def test_no_body_is_unknown_and_borne_for_a_moment():
    rules = BodyActions()
    seen = idle_then(Action.HAND_GESTURE, 5, BodyView(missing=0))
    for t, j in zip(seen.times[:-1], seen.joints[:-1], strict=True):
        rules.update(float(t), j)
    assert all(math.isnan(p) for p in rules.update(float(seen.times[-1]) - 0.05, None).values())
    assert rules.update(float(seen.times[-1]), seen.joints[-1])[Action.HAND_GESTURE] > 0.5


def test_a_hand_that_stays_at_the_chin_stops_being_a_drink():
    pose = record(np.random.default_rng(0), [(Action.NONE, 1.0)], BodyView(noise=0, missing=0)).joints[0]
    low, high = pose.copy(), pose.copy()
    nose = pose[Joint.NOSE, :2]
    high[Joint.LEFT_WRIST, :2] = nose + np.array([8, 20])
    rules = BodyActions()
    times = np.arange(0, 14, 0.2)
    p = [rules.update(float(t), low if t < 1 else high)[Action.DRINKING] for t in times]
    assert max(p) > 0.9
    assert p[-1] < 0.1


@given(st.floats(0.01, 5), st.floats(0, 6.28))
def test_motion_of_a_straight_line(speed, angle):
    times = np.arange(8) * 0.2
    found = motion(times, speed * times[:, None] * (math.cos(angle), math.sin(angle)), 1.2)
    assert found.speed == pytest.approx(speed)
    assert found.drift == pytest.approx(speed)
    assert found.straightness == pytest.approx(1)
    assert found.to_and_fro == pytest.approx(0, abs=1e-6)


def test_thresholds_must_be_positive():
    with pytest.raises(ValueError, match="walk_speed must be above 0"):
        BodyActionConfig(walk_speed=0.0)


def test_looks_as_seldom_as_may_be_set_tell_something_even_if_two_images_are_missing():
    assert BodyActionConfig().max_gap_s > (MOST_EVERY + 2) * TICK_NS / 1e9
