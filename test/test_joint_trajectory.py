"""The head's trajectory as the message that a controller takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from hmgen_ros.nodes.image_conversion import BadMessage, stamp_ns
from hmgen_ros.nodes.joint_trajectory import joint_positions, joint_trajectory_message
from hmgen_ros.robot_head import HeadTrajectory, JointSpec, RobotHead, RobotHeadConfig
from hmgen_ros.types import TICK_NS

HEAD = RobotHeadConfig(
    (JointSpec("head_pan", "yaw", -1.2, 1.2, 2.0, 8.0), JointSpec("head_tilt", "pitch", -0.7, 0.5, 1.5, 6.0)),
    blend_s=0.0,
)


def over_the_wire(message):
    """What a controller gets."""
    return deserialize_message(serialize_message(message), type(message))


def moving(stamp: int) -> HeadTrajectory:
    """In the middle of a large movement, with a stamp off the grid of the ticks."""
    head = RobotHead(HEAD)
    for i in range(12):
        head.observe(stamp + i * TICK_NS, [1.0, 0.4, 0.0])
    return head.observe(stamp + 12 * TICK_NS + 13_000_001, [-1.0, 0.4, 0.0])


@given(st.integers(0, 2**31 * 10**9 - 10**10))
def test_points_survive_the_wire(stamp: int) -> None:
    trajectory = moving(stamp)
    message = over_the_wire(joint_trajectory_message(trajectory, "cam"))
    assert isinstance(message, JointTrajectory)
    assert message.joint_names == ["head_pan", "head_tilt"]
    assert (stamp_ns(message.header.stamp), message.header.frame_id) == (trajectory.stamp_ns, "cam")
    times = [point.time_from_start.sec * 10**9 + point.time_from_start.nanosec for point in message.points]
    assert times == trajectory.times_ns.tolist()
    assert times[0] == TICK_NS - 13_000_001
    for field in ("positions", "velocities", "accelerations"):
        sent = np.array([getattr(point, field) for point in message.points])
        np.testing.assert_array_equal(sent, getattr(trajectory, field))
    assert not any(point.effort for point in message.points)
    assert np.ptp([point.positions[0] for point in message.points]) > 0.1


def test_controllers_accept_it() -> None:
    """The conditions of joint_trajectory_controller: see docs/robot_head.md."""
    for trajectory in (moving(5), RobotHead(HEAD).observe(5, None)):
        message = joint_trajectory_message(trajectory)
        times = [
            point.time_from_start.sec * 10**9 + point.time_from_start.nanosec for point in message.points
        ]
        assert (np.diff(times) > 0).all()
        assert times[-1] > HEAD.lead_s * 1e9, "ends before it arrives"
        assert not any(message.points[-1].velocities)
        for point in message.points:
            assert len(point.positions) == len(point.velocities) == len(point.accelerations) == 2


def test_started_on_arrival_it_has_no_stamp() -> None:
    trajectory = moving(10**18)
    message = over_the_wire(joint_trajectory_message(trajectory, on_arrival=True))
    assert stamp_ns(message.header.stamp) == 0
    assert message.points == over_the_wire(joint_trajectory_message(trajectory)).points


def test_a_head_starts_where_the_joint_states_say() -> None:
    state = over_the_wire(JointState(name=["wheel", "head_tilt"], position=[float("nan"), -0.2]))
    trajectory = RobotHead(HEAD, joint_positions(state)).observe(1, None)
    np.testing.assert_array_equal(trajectory.positions[0], [0.0, -0.2])


def test_joint_states_that_do_not_fit_are_named() -> None:
    with pytest.raises(BadMessage, match="2 names and 1 positions") as caught:
        joint_positions(JointState(name=["a", "b"], position=[0.0]))
    assert caught.value.cause == "joint_state"
