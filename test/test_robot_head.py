"""The robot's head: limits hold at every instant, nothing jumps, and silence is a safe stop."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robot_head_motion import (
    BAD,
    HEAD,
    PAN,
    ROLL,
    Input,
    assert_consistent,
    assert_continuous,
    assert_within_limits,
    fastest_change,
    heads,
    inputs,
    joints,
    knots,
    play,
    sampled,
    ticks,
    trajectory_of,
)

from hmgen_ros.robot_head import HeadMode, JointSpec, RobotHead, RobotHeadConfig
from hmgen_ros.robot_head.joint_motion import JointMotion, Knot
from hmgen_ros.types import TICK_NS


@given(heads(), inputs())
@settings(max_examples=100)
def test_limits_hold_and_nothing_jumps(config: RobotHeadConfig, given_inputs: list[Input]) -> None:
    trajectories = play(RobotHead(config), given_inputs)
    for trajectory in trajectories:
        assert_within_limits(config.joints, trajectory)
        assert_consistent(trajectory)
    for before, after in pairwise(trajectories):
        assert_continuous(before, after, config.lead_s)


@given(heads(slowest=0.3), st.lists(st.floats(-2, 2), min_size=3, max_size=3), inputs())
@settings(max_examples=40)
def test_reaches_a_constant_target(
    config: RobotHeadConfig, target: list[float], given_inputs: list[Input]
) -> None:
    """From whatever state an arbitrary past left, and without leaving the limits on the way."""
    head = RobotHead(config)
    play(head, given_inputs)
    goals = np.array([joint.positions(np.array([target]))[0] for joint in config.joints])
    slowest = max(
        (j.upper - j.lower) / j.max_velocity + 3 * j.max_velocity / j.max_acceleration for j in config.joints
    )
    needed = round((slowest + config.blend_s + 30 * config.smoothing_s + 1) / (TICK_NS / 1e9))
    first = given_inputs[-1][0] // TICK_NS + 1
    trajectories = play(head, ticks([np.array(target)] * needed, first))
    for trajectory in trajectories[:: max(1, needed // 20)]:
        assert_within_limits(config.joints, trajectory)
    np.testing.assert_allclose(trajectories[-1].positions[0], goals, atol=1e-4)
    assert trajectories[-1].mode is HeadMode.FOLLOWING


@given(heads(slowest=0.3), st.lists(st.floats(-2, 2), min_size=3, max_size=3))
@settings(max_examples=40)
def test_does_not_overshoot_a_jump(config: RobotHeadConfig, target: list[float]) -> None:
    """From rest: not by more than a hundredth of the way."""
    head = RobotHead(replace(config, blend_s=0.0))
    trajectories = play(head, ticks([np.array(target)] * 250))
    way = np.stack([trajectory.positions[0] for trajectory in trajectories])
    goals = np.array([joint.positions(np.array([target]))[0] for joint in config.joints])
    beyond = (way - goals) * np.sign(goals - way[0])
    assert (beyond <= 0.01 * np.abs(goals - way[0]) + 1e-9).all()


@given(heads(), inputs(), st.sampled_from([None, np.full(3, np.nan), np.zeros((0, 3))]))
@settings(max_examples=40)
def test_stops_when_nothing_valid_comes(
    config: RobotHeadConfig, given_inputs: list[Input], nothing: np.ndarray | None
) -> None:
    head = RobotHead(config)
    last_known = play(head, given_inputs)[-1]
    stamp = given_inputs[-1][0]
    braking = max(j.max_velocity / j.max_acceleration for j in config.joints) + 5 * TICK_NS / 1e9
    end = stamp + round((config.stale_s + braking) * 1e9)
    stopped = head.observe(end, nothing)
    assert stopped.mode is HeadMode.STOPPED
    assert not stopped.velocities.any()
    # Where the robot is that has heard nothing since.
    np.testing.assert_array_equal(
        stopped.positions, np.tile(last_known.positions[-1], (len(stopped.times_ns), 1))
    )
    later = head.observe(end + 10 * TICK_NS, nothing)
    np.testing.assert_array_equal(later.positions[0], stopped.positions[0])


@given(heads(), inputs())
@settings(max_examples=25)
def test_same_inputs_same_motion(config: RobotHeadConfig, given_inputs: list[Input]) -> None:
    for one, other in zip(
        play(RobotHead(config), given_inputs), play(RobotHead(config), given_inputs), strict=True
    ):
        assert knots(one) == knots(other)
        assert one.mode == other.mode


def test_a_controller_that_hears_late_keeps_the_limits() -> None:
    """Sampled at 250 Hz as a controller does, with messages 60 to 120 ms after the stamp of the image."""
    rng = np.random.default_rng(5)
    config = replace(HEAD, blend_s=0.0, lead_s=0.12)
    targets = [np.array([rng.choice([-1.0, 1.0]), 0.0, 0.0]) if i % 6 == 0 else None for i in range(150)]
    trajectories = play(RobotHead(config), ticks(targets))[1:]
    delays = rng.uniform(0.06, 0.099, len(trajectories))
    in_time = sampled(trajectories, delays, 0.004)
    assert np.ptp(in_time[:, 0]) > 0.5
    assert np.abs(np.diff(in_time[:, 0])).max() / 0.004 <= PAN.max_velocity
    assert fastest_change(in_time, 0.004) <= PAN.max_acceleration * (1 + 1e-6)
    # The lead is what makes it so.
    too_late = sampled(trajectories, delays + 0.15, 0.004)
    assert fastest_change(too_late, 0.004) > 2 * PAN.max_acceleration


def test_a_preview_takes_the_delay_away() -> None:
    """A slow sine: with the future at hand the head is where it should be, without it 2 × 80 ms late."""
    moments = np.arange(400) * 0.04

    def wave(time: np.ndarray) -> np.ndarray:
        return np.stack([0.5 * np.sin(2 * np.pi * 0.4 * time), *np.zeros((2, *time.shape))], axis=-1)

    seen = play(RobotHead(HEAD), ticks([wave(moment + 0.04 * np.arange(1, 26)) for moment in moments]))
    blind = play(RobotHead(HEAD), ticks([wave(moment) for moment in moments]))
    with_preview = np.array([t.positions[0, 0] for t in seen])[100:]
    without = np.array([t.positions[0, 0] for t in blind])[100:]
    assert np.abs(with_preview - wave(moments)[100:, 0]).max() < 0.03
    # The delay of the filter, and that a target changes nothing before the lead is over.
    shifts = np.arange(1, 12)
    errors = [np.abs(without - wave(moments - 0.04 * shift)[100:, 0]).max() for shift in shifts]
    assert 4 <= shifts[int(np.argmin(errors))] <= 8


class Reckless(JointMotion):
    """Asks for the accelerations it is given as goals, however far they lead: only the limits hold it."""

    def _towards(self, knot: Knot, goal: float) -> float:
        return max(-self._acceleration, min(self._acceleration, goal))


@given(
    joints("reckless"),
    st.lists(st.tuples(st.integers(0, 4), st.lists(st.floats(-1, 1), min_size=4, max_size=12)), max_size=12),
    st.sampled_from([1e-3, 1.0, 1e3]),
)
@settings(max_examples=300)
def test_the_limits_need_no_reasonable_filter(
    spec: JointSpec, plans: list[tuple[int, list[float]]], share: float
) -> None:
    """Accelerations at random, from full ones of either sign to small ones, replanned at random."""
    motion = Reckless(spec, 0.1, spec.offset)
    for kept, asked in plans:
        motion.drop(min(kept, 3))
        motion.follow(kept, [share * spec.max_acceleration * one for one in asked])
        assert_within_limits([spec], trajectory_of(motion))
        assert_consistent(trajectory_of(motion))


@pytest.mark.parametrize("spec", [PAN, replace(PAN, max_velocity=0.3), replace(PAN, max_acceleration=200.0)])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_full_acceleration_ends_at_the_limit(spec: JointSpec, sign: float) -> None:
    """The limits cost no more than they must: full speed on the way, the last hundredth of the range used."""
    motion = Reckless(spec, 0.1, spec.offset)
    fastest, way = 0.0, []
    for _ in range(400):
        motion.drop(1)
        motion.follow(0, [sign * spec.max_acceleration] * 5)
        way.append(motion.plan[0].position)
        fastest = max(fastest, abs(motion.plan[0].velocity))
    assert fastest > 0.97 * spec.max_velocity
    limit = spec.upper if sign > 0 else spec.lower
    assert abs(way[-1] - limit) < 0.01 * (spec.upper - spec.lower)


def test_slows_down_before_a_limit() -> None:
    """Told to go far beyond, it comes to rest at the limit and never moves past what it can brake."""
    head = RobotHead(replace(HEAD, blend_s=0.0))
    trajectories = play(head, ticks([np.array([50.0, 0.0, 0.0])] * 60))
    position = np.array([t.positions[0, 0] for t in trajectories])
    velocity = np.array([t.velocities[0, 0] for t in trajectories])
    assert velocity.max() > 1.8
    room = PAN.upper - position
    assert (velocity**2 / (2 * PAN.max_acceleration) <= room + 1e-9).all()
    assert position[-1] == pytest.approx(PAN.upper, abs=1e-6)
    assert position.max() <= PAN.upper


def test_modes_from_stop_to_stop() -> None:
    head = RobotHead(HEAD)
    there = np.array([0.8, 0.0, 0.0])
    assert head.observe(0, None).mode is HeadMode.STOPPED
    modes = [head.observe(i * TICK_NS, there).mode for i in range(1, 50)]
    assert [mode for i, mode in enumerate(modes) if i == 0 or mode is not modes[i - 1]] == [
        HeadMode.BLENDING,
        HeadMode.FOLLOWING,
    ]
    # Back before the time is over: as if nothing had been.
    assert head.observe(55 * TICK_NS, there).mode is HeadMode.FOLLOWING
    moving = head.observe(56 * TICK_NS, -there)
    modes = [head.observe(i * TICK_NS, None).mode for i in range(57, 90)]
    assert modes.index(HeadMode.STOPPING) == int(HEAD.stale_s / 0.04)
    assert [mode for i, mode in enumerate(modes) if i == 0 or mode is not modes[i - 1]] == [
        HeadMode.FOLLOWING,
        HeadMode.STOPPING,
        HeadMode.STOPPED,
    ]
    held = head.observe(90 * TICK_NS, None).positions[0, 0]
    assert held == moving.positions[-1, 0]
    # What comes back is approached from where the head stands, slowly at first.
    back = [head.observe(i * TICK_NS, there).positions[0, 0] for i in range(91, 150)]
    assert back[0] == held
    assert abs(back[8] - held) < 0.1 * abs(there[0] - held)
    assert back[-1] == pytest.approx(there[0], abs=1e-3)


def test_the_filter_is_critically_damped() -> None:
    """A small step, far from every limit, against the filter's closed form, and no overshoot at all."""
    config = RobotHeadConfig(
        (replace(PAN, max_velocity=100.0, max_acceleration=1000.0),), 0.2, blend_s=0.0, lead_s=0.0
    )
    trajectories = play(RobotHead(config), ticks([np.array([0.1, 0.0, 0.0])] * 60))
    way = np.array([t.positions[0, 0] for t in trajectories])
    time = np.arange(60) * 0.04 / 0.2
    np.testing.assert_allclose(way, 0.1 * (1 - (1 + time) * np.exp(-time)), atol=0.006)
    assert way.max() <= 0.1
    assert (np.diff(way) >= -1e-12).all()


def test_what_is_not_finite_is_ignored_and_counted() -> None:
    head = RobotHead(replace(HEAD, joints=(PAN,)))
    preview = np.full((25, 3), 0.3)
    reference = RobotHead(replace(HEAD, joints=(PAN,)))
    cut = preview.copy()
    cut[5:, 0] = np.nan
    np.testing.assert_array_equal(head.observe(0, cut).positions, reference.observe(0, preview[:5]).positions)
    assert head.counts["head_target_not_finite"] == 1
    for i, bad in enumerate(BAD, start=1):
        head.observe(i * TICK_NS, [bad, 0.0, 0.0])
    assert head.counts["head_target_not_finite"] == 4
    # No joint follows roll.
    assert head.observe(5 * TICK_NS, [0.3, 0.0, np.nan]).mode is HeadMode.BLENDING
    assert head.counts["head_target_not_finite"] == 4


@pytest.mark.parametrize("shape", [(), (2,), (4, 2), (1, 4, 3)])
def test_targets_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\[3\] or \[T, 3\]"):
        RobotHead(HEAD).observe(0, np.zeros(shape))


def test_a_recording_that_begins_again_goes_on_smoothly() -> None:
    head = RobotHead(HEAD)
    preview = np.full((25, 3), 0.5)
    before = play(head, ticks([preview] * 30, first=1000))[-1]
    after = head.observe(17, preview)
    assert head.counts["head_stamp_backwards"] == 1
    np.testing.assert_array_equal(after.positions[0], before.positions[1])
    np.testing.assert_array_equal(after.velocities[0], before.velocities[1])
    assert after.mode is before.mode
    assert head.observe(17 + 20 * TICK_NS, None).mode is HeadMode.STOPPED


def test_starts_where_the_joints_are() -> None:
    head = RobotHead(HEAD, {"head_pan": 0.7, "wheel": 12.0})
    np.testing.assert_array_equal(head.observe(0, None).positions[0], [0.7, 0.1, 0.0])
    head.reset({"head_roll": -0.2})
    np.testing.assert_array_equal(head.observe(0, None).positions[0], [0.0, 0.1, -0.2])
    with pytest.raises(ValueError, match="head_tilt"):
        RobotHead(HEAD, {"head_tilt": np.nan})


def test_from_outside_its_limits_it_only_moves_inwards() -> None:
    head = RobotHead(replace(HEAD, blend_s=0.0), {"head_pan": PAN.upper + 0.3})
    trajectories = play(head, ticks([np.array([50.0, 0.0, 0.0])] * 100))
    way = np.array([t.positions[0, 0] for t in trajectories])
    assert way[0] == PAN.upper + 0.3
    assert (np.diff(way) <= 1e-9).all()
    assert way[-1] == pytest.approx(PAN.upper, abs=1e-3)
    velocities = np.concatenate([t.velocities[:, 0] for t in trajectories])
    accelerations = np.concatenate([t.accelerations[:, 0] for t in trajectories])
    assert np.abs(velocities).max() <= PAN.max_velocity
    assert np.abs(accelerations).max() <= PAN.max_acceleration


def test_gain_zero_holds_a_joint() -> None:
    head = RobotHead(replace(HEAD, joints=(PAN, replace(ROLL, gain=0.0, offset=0.1))))
    trajectories = play(head, ticks([np.array([0.5, 0.0, np.nan])] * 60))
    assert {float(p) for t in trajectories for p in t.positions[:, 1]} == {0.1}
    assert trajectories[-1].positions[0, 0] > 0.4
    assert not head.counts.items()
