"""The joints' trajectory of a motion that is known from beginning to end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.robot_head.config import RobotHeadConfig
from hmgen_ros.robot_head.head import HeadTrajectory, RobotHead
from hmgen_ros.types import TICK_HZ, TICK_NS

#: So far ahead the joints are planned, ticks; what is known beyond changes nothing.
_PREVIEW = 2 * TICK_HZ


def whole_trajectory(
    config: RobotHeadConfig, targets: NDArray[np.floating], positions: Mapping[str, float] | None = None
) -> HeadTrajectory:
    """What :class:`RobotHead` would do with a motion tick by tick, put together.

    Args:
        config: the head.
        targets: ``[T, 3]`` yaw, pitch and roll relative to the head's rest, rad, at least one; row ``t`` lies
            ``(t + 1)`` ticks after the beginning.
        positions: where joints are at the beginning, rad by name, as for :class:`RobotHead`.

    Returns:
        The trajectory from stamp 0 on, one point a tick, which ends at rest.

    Raises:
        ValueError: ``targets`` has another shape or is empty, or a position is not finite.
    """
    if targets.ndim != 2 or not len(targets):
        raise ValueError(f"targets must be [T, 3] with a first row, got {list(targets.shape)}")
    head = RobotHead(config, positions)
    plans = [head.observe(t * TICK_NS, targets[t : t + _PREVIEW]) for t in range(len(targets))]
    # Each plan keeps its first point from the one before; the last one comes to rest.
    kept = [1] * (len(plans) - 1) + [len(plans[-1].times_ns)]

    def joined(part: str) -> NDArray[np.float64]:
        rows = [getattr(plan, part)[:count] for plan, count in zip(plans, kept, strict=True)]
        return np.concatenate(rows)

    times = [plan.stamp_ns + plan.times_ns[:count] for plan, count in zip(plans, kept, strict=True)]
    return HeadTrajectory(
        stamp_ns=0,
        joint_names=plans[0].joint_names,
        times_ns=np.concatenate(times),
        positions=joined("positions"),
        velocities=joined("velocities"),
        accelerations=joined("accelerations"),
        mode=plans[0].mode,
    )
