"""The robot's own head: how it moves while the robot speaks, and the way out to its joints.

:mod:`hmgen_ros.robot_head.speaking_head` generates poses; of these a :class:`RobotHead` makes joint
trajectories within the robot's limits. Nothing here knows ROS; :mod:`hmgen_ros.nodes.joint_trajectory` makes
the message. How to describe a head is told in ``docs/robot_head.md``.
"""

from hmgen_ros.robot_head.config import JointSpec, RobotHeadConfig
from hmgen_ros.robot_head.head import HeadMode, HeadTrajectory, RobotHead
from hmgen_ros.robot_head.whole_motion import whole_trajectory

__all__ = ["HeadMode", "HeadTrajectory", "JointSpec", "RobotHead", "RobotHeadConfig", "whole_trajectory"]
