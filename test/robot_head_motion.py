"""Heads and inputs at random, and what must hold of every trajectory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from scipy.interpolate import BPoly

from hmgen_ros.robot_head import HeadMode, HeadTrajectory, JointSpec, RobotHead, RobotHeadConfig
from hmgen_ros.robot_head.joint_motion import JointMotion
from hmgen_ros.types import TICK_NS

PAN = JointSpec("head_pan", "yaw", -1.2, 1.2, 2.0, 8.0)
TILT = JointSpec("head_tilt", "pitch", -0.7, 0.5, 1.5, 6.0, gain=-1.0, offset=0.1)
ROLL = JointSpec("head_roll", "roll", -0.3, 0.3, 1.0, 5.0)
HEAD = RobotHeadConfig((PAN, TILT, ROLL))
BAD = (float("nan"), float("inf"), -float("inf"))

Input = tuple[int, np.ndarray | None]


@st.composite
def joints(draw: st.DrawFn, name: str, slowest: float = 0.05) -> JointSpec:
    lower = draw(st.floats(-3, 1))
    upper = lower + draw(st.floats(0.01, 4))
    velocity = draw(st.floats(slowest, 10))
    return JointSpec(
        name,
        draw(st.sampled_from(["yaw", "pitch", "roll"])),
        lower,
        upper,
        velocity,
        velocity * 10 ** draw(st.floats(-0.69 if slowest < 0.3 else 0.0, 2.5)),
        gain=draw(st.one_of(st.floats(-2, -1e-3), st.floats(1e-3, 2))),
        offset=lower + draw(st.floats(0, 1)) * (upper - lower),
    )


@st.composite
def heads(draw: st.DrawFn, slowest: float = 0.05) -> RobotHeadConfig:
    lead = draw(st.floats(0, 0.3))
    return RobotHeadConfig(
        tuple(draw(joints(f"joint_{i}", slowest)) for i in range(draw(st.integers(1, 3)))),
        smoothing_s=draw(st.floats(0.04, 0.5)),
        stale_s=lead + 0.08 + draw(st.floats(0, 0.6)),
        blend_s=draw(st.sampled_from([0.0, 0.1, 1.0])),
        lead_s=lead,
    )


STEPS_MS = st.sampled_from([40, 40, 40, 33.3, 47.1, 0, 0.001, 80, 200, 650, 30_000])
TARGETS = st.one_of(
    st.none(),
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.lists(st.sampled_from([0.0, 1e308, -1e308, *BAD]), min_size=3, max_size=3),
    st.integers(0, 40).map(lambda steps: np.full((steps, 3), 0.4)),
    st.tuples(st.integers(1, 40), st.floats(0.01, 3), st.floats(0.1, 3)).map(
        lambda w: w[2] * np.sin(w[1] * np.arange(w[0]))[:, None] * np.array([1.0, -1.0, 0.5])
    ),
    st.tuples(st.integers(2, 40), st.integers(0, 39)).map(
        lambda w: np.where(np.arange(w[0])[:, None] < w[1], np.ones(3), np.nan)
    ),
)


@st.composite
def inputs(draw: st.DrawFn) -> list[Input]:
    """Stamps with jitter, missed ticks and long gaps; targets of every kind, held for some ticks or not."""
    stamp, answer = draw(st.sampled_from([0, 7, 1_700_000_000_123_456_789])), []
    for _ in range(draw(st.integers(1, 12))):
        target, held = draw(TARGETS), draw(st.integers(1, 6))
        for _ in range(held):
            stamp += round(draw(STEPS_MS) * 1e6)
            answer.append((stamp, None if target is None else np.array(target)))
    return answer


def play(head: RobotHead, given_inputs: Sequence[Input]) -> list[HeadTrajectory]:
    return [head.observe(*one) for one in given_inputs]


def ticks(targets: Sequence[np.ndarray | None], first: int = 0) -> list[Input]:
    return [((first + i) * TICK_NS, target) for i, target in enumerate(targets)]


def splines(trajectory: HeadTrajectory) -> BPoly:
    """The quintic splines that a controller puts through the points; time in seconds after the stamp."""
    states = np.stack([trajectory.positions, trajectory.velocities, trajectory.accelerations], axis=1)
    return BPoly.from_derivatives(trajectory.times_ns / 1e9, states)


def assert_within_limits(joints: Sequence[JointSpec], trajectory: HeadTrajectory) -> None:
    """Exactly at the points, and to rounding all along the splines between them."""
    lower, upper, fastest, strongest = np.array(
        [[j.lower, j.upper, j.max_velocity, j.max_acceleration] for j in joints]
    ).T
    assert (trajectory.positions >= lower).all()
    assert (trajectory.positions <= upper).all()
    assert (np.abs(trajectory.velocities) <= fastest).all()
    assert (np.abs(trajectory.accelerations) <= strongest).all()
    spline = splines(trajectory)
    moments = np.linspace(trajectory.times_ns[0], trajectory.times_ns[-1], 8 * len(trajectory.times_ns)) / 1e9
    between = spline(moments)
    assert (between >= lower - 1e-9).all()
    assert (between <= upper + 1e-9).all()
    assert (np.abs(spline.derivative(1)(moments)) <= fastest + 1e-7).all()
    assert (np.abs(spline.derivative(2)(moments)) <= strongest + 1e-5 * (1 + strongest)).all()


def assert_consistent(trajectory: HeadTrajectory) -> None:
    """Points whose times increase, that are one motion of linear acceleration, and that end at rest."""
    times = trajectory.times_ns
    assert 0 <= times[0] < TICK_NS
    assert (np.diff(times) == TICK_NS).all()
    step = TICK_NS / 1e9
    p, v, a = trajectory.positions, trajectory.velocities, trajectory.accelerations
    np.testing.assert_allclose(v[1:], v[:-1] + step * (a[:-1] + a[1:]) / 2, atol=1e-9)
    np.testing.assert_allclose(p[1:], p[:-1] + step * v[:-1] + step**2 * (2 * a[:-1] + a[1:]) / 6, atol=1e-9)
    assert not v[-1].any()
    assert not a[-1].any()


def trajectory_of(motion: JointMotion) -> HeadTrajectory:
    """The plan of one joint as a trajectory."""
    plan = np.array(motion.plan)
    columns = [plan[:, i, None] for i in range(3)]
    return HeadTrajectory(0, ("joint",), np.arange(len(plan)) * TICK_NS, *columns, HeadMode.FOLLOWING)


def knots(trajectory: HeadTrajectory) -> dict[int, tuple[float, ...]]:
    """Everything commanded at each absolute time, nanoseconds."""
    rows = np.concatenate([trajectory.positions, trajectory.velocities, trajectory.accelerations], axis=1)
    times = [trajectory.stamp_ns + time for time in trajectory.times_ns.tolist()]
    return {time: tuple(row) for time, row in zip(times, rows.tolist(), strict=True)}


def assert_continuous(before: HeadTrajectory, after: HeadTrajectory, lead_s: float) -> None:
    """Up to the lead after its stamp, the later trajectory is the earlier one to the last bit."""
    old, new = knots(before), knots(after)
    count, last = len(before.joint_names), max(old)
    for time, row in new.items():
        if time <= after.stamp_ns + round(lead_s * 1e9):
            assert row == old.get(time, old[last])
    # Nor may it begin elsewhere where nothing of the lead is left.
    first = min(new)
    assert new[first] == old.get(first, old[last])
    assert len(row) == 3 * count


def sampled(trajectories: list[HeadTrajectory], delays_s: np.ndarray, period_s: float) -> np.ndarray:
    """``[S, J]`` positions commanded by a controller to which the n-th message comes ``delays_s[n]`` late."""
    arrivals = [t.stamp_ns / 1e9 + delay for t, delay in zip(trajectories, delays_s, strict=True)]
    curves = [splines(t) for t in trajectories]
    answer = []
    for moment in np.arange(arrivals[0], arrivals[-1], period_s):
        newest = int(np.searchsorted(arrivals, moment, "right")) - 1
        within = moment - trajectories[newest].stamp_ns / 1e9
        last = trajectories[newest].times_ns[-1] / 1e9
        answer.append(curves[newest](np.clip(within, 0.0, last)))
    return np.array(answer)


def fastest_change(way: np.ndarray, period_s: float) -> float:
    return float(np.abs(np.diff(way[:, 0], n=2)).max() / period_s**2)
