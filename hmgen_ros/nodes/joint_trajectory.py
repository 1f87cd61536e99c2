"""A robot head's trajectory to the message its controller takes, and where its joints are back."""

from __future__ import annotations

import array
from typing import Any

from builtin_interfaces.msg import Duration
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from hmgen_ros.nodes.conversions import header
from hmgen_ros.nodes.image_conversion import BadMessage
from hmgen_ros.robot_head import HeadTrajectory


def _doubles(row: NDArray[Any]) -> array.array[float]:
    return array.array("d", row.tobytes())


def joint_trajectory_message(
    trajectory: HeadTrajectory, frame_id: str = "", on_arrival: bool = False
) -> JointTrajectory:
    """What ``joint_trajectory_controller`` and its like take.

    Args:
        trajectory: the motion.
        frame_id: of the image it answers; controllers ignore it.
        on_arrival: leave the stamp zero, so that the controller starts when the message arrives, whatever
            its clock says. Else the stamp is that of the source, and the times count from there.
    """
    stamp_ns = 0 if on_arrival else trajectory.stamp_ns
    rows = zip(
        trajectory.times_ns.tolist(),
        trajectory.positions,
        trajectory.velocities,
        trajectory.accelerations,
        strict=True,
    )
    return JointTrajectory(
        header=header(stamp_ns, frame_id),
        joint_names=list(trajectory.joint_names),
        points=[
            JointTrajectoryPoint(
                positions=_doubles(position),
                velocities=_doubles(velocity),
                accelerations=_doubles(acceleration),
                time_from_start=Duration(sec=time_ns // 1_000_000_000, nanosec=time_ns % 1_000_000_000),
            )
            for time_ns, position, velocity, acceleration in rows
        ],
    )


def joint_positions(message: JointState) -> dict[str, float]:
    """Positions of the joints, rad by name; for the start of :class:`hmgen_ros.robot_head.RobotHead`.

    Raises:
        BadMessage: ``joint_state``, where names and positions are not the same number.
    """
    if len(message.name) != len(message.position):
        text = f"joint state has {len(message.name)} names and {len(message.position)} positions"
        raise BadMessage("joint_state", text)
    return dict(zip(message.name, message.position, strict=True))
