"""All joints of a head together: follows poses, stops when they fail to come, and starts gently again.

Each trajectory is its own safe stop: it follows what is known of the target until ``stale_s`` after the
last valid input and ends at rest, so that a robot which hears nothing more comes to rest by itself. The
knots of all trajectories lie on one grid of 40 ms that begins with the first stamp, whatever the stamps
of the inputs are; two trajectories that overlap before ``lead_s`` after the stamp of the later one are the
same there to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hmgen_ros.robot_head.config import AXES, TICK_S, JointSpec, RobotHeadConfig
from hmgen_ros.robot_head.joint_motion import JointMotion
from hmgen_ros.types import TICK_NS, Counts

_SECOND_NS = 1_000_000_000


class HeadMode(StrEnum):
    """What the head does at the stamp of a trajectory."""

    STOPPED = "stopped"
    BLENDING = "blending"
    FOLLOWING = "following"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class HeadTrajectory:
    """How the joints move from now on; the last point is at rest.

    Attributes:
        stamp_ns: stamp of the input it answers.
        joint_names: ``J`` names.
        times_ns: ``[K]`` int64 nanoseconds after the stamp, strictly increasing, the first in [0, 40 ms).
        positions: ``[K, J]`` float64, rad.
        velocities: ``[K, J]`` float64, rad/s.
        accelerations: ``[K, J]`` float64, rad/s²; linear between points.
        mode: what the head does at the stamp.
    """

    stamp_ns: int
    joint_names: tuple[str, ...]
    times_ns: NDArray[np.int64]
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    accelerations: NDArray[np.float64]
    mode: HeadMode


class RobotHead:
    """Drives one head; see the module's text.

    Attributes:
        config: the head.
        counts: ``head_target_not_finite`` (inputs that were ignored in whole or from some step on) and
            ``head_stamp_backwards`` (inputs older than the one before).
    """

    def __init__(self, config: RobotHeadConfig, positions: Mapping[str, float] | None = None) -> None:
        """At rest and stopped.

        Args:
            config: the head.
            positions: where joints are, rad by name; a joint that is not named is taken to be at its
                ``offset``. Further names are ignored.

        Raises:
            ValueError: a position is not finite.
        """
        self.config = config
        self.counts = Counts()
        self._lead_ns = round(config.lead_s * _SECOND_NS)
        self._stale_ns = round(config.stale_s * _SECOND_NS)
        self.reset(positions)

    def reset(self, positions: Mapping[str, float] | None = None) -> None:
        """Start anew from ``positions`` (see the constructor), with whatever stamp comes next.

        Raises:
            ValueError: a position is not finite.
        """
        self._motions = [self._at_rest(joint, positions or {}) for joint in self.config.joints]
        self._origins = [motion.plan[0].position for motion in self._motions]
        self._stamp_ns: int | None = None
        # Time of the first knot of every plan.
        self._start_ns = 0
        self._valid_ns: int | None = None
        self._blend_ns = 0

    def observe(self, stamp_ns: int, targets: ArrayLike | None) -> HeadTrajectory:
        """Take in one pose target and plan from it.

        Args:
            stamp_ns: stamp of the input, nanoseconds; time is taken from it alone. One before the last
                (a recording that begins again) counts as the next tick.
            targets: yaw, pitch and roll of the head relative to its rest, rad: ``[3]`` at the stamp, held,
                or a preview ``[T, 3]`` whose step ``t`` lies ``(t + 1)`` ticks after the stamp, of which
                the last is held. None or no step at all: nothing valid. What is not finite in an angle
                that moves a joint is ignored from that step on, and counted.

        Returns:
            The trajectory; without a valid target the one that was planned before, from now on.

        Raises:
            ValueError: ``targets`` has another shape.
        """
        usable = None if targets is None else self._usable(np.asarray(targets, np.float64))
        self._go_on(stamp_ns)
        if usable is not None:
            self._follow(stamp_ns, usable)
        return self._trajectory(stamp_ns)

    def _at_rest(self, joint: JointSpec, positions: Mapping[str, float]) -> JointMotion:
        position = positions.get(joint.name, joint.offset)
        if not math.isfinite(position):
            raise ValueError(f"position of joint {joint.name!r} must be a finite number, got {position}")
        return JointMotion(joint, self.config.smoothing_s, position)

    def _usable(self, targets: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """``[T, 3]`` or ``[1, 3]`` targets up to the first that is not finite, None where none is left."""
        if targets.ndim not in (1, 2) or targets.shape[-1] != len(AXES):
            raise ValueError(f"targets must be [3] or [T, 3] (yaw, pitch, roll), got {list(targets.shape)}")
        rows = targets.reshape(-1, len(AXES))
        columns = [joint.column for joint in self.config.joints if joint.gain != 0.0]
        finite = np.isfinite(rows[:, columns]).all(axis=1)
        if not finite.all():
            rows = rows[: int(finite.argmin())]
            self.counts.add("head_target_not_finite")
        return rows if len(rows) else None

    def _go_on(self, stamp_ns: int) -> None:
        """Forget the knots before the stamp."""
        if self._stamp_ns is None:
            self._start_ns = stamp_ns
        elif stamp_ns < self._stamp_ns:
            self.counts.add("head_stamp_backwards")
            shift = stamp_ns - (self._stamp_ns + TICK_NS)
            self._start_ns += shift
            self._blend_ns += shift
            self._valid_ns = None if self._valid_ns is None else self._valid_ns + shift
        self._stamp_ns = stamp_ns
        passed = self._first_knot(stamp_ns)
        if passed > 0:
            for motion in self._motions:
                motion.drop(passed)
            self._start_ns += passed * TICK_NS

    def _first_knot(self, time_ns: int) -> int:
        """Index of the first knot at or after a time."""
        return -((self._start_ns - time_ns) // TICK_NS)

    def _last_knot(self, stamp_ns: int) -> int:
        """Index of the last knot that follows a target of this stamp."""
        return (stamp_ns + self._stale_ns - self._start_ns) // TICK_NS

    def _mode(self, stamp_ns: int) -> HeadMode:
        if self._valid_ns is not None and stamp_ns <= self._valid_ns + self._stale_ns:
            blended_ns = self._blend_ns + round(self.config.blend_s * _SECOND_NS)
            return HeadMode.BLENDING if stamp_ns < blended_ns else HeadMode.FOLLOWING
        resting = all(len(motion.plan) == 1 for motion in self._motions)
        return HeadMode.STOPPED if resting else HeadMode.STOPPING

    def _follow(self, stamp_ns: int, rows: NDArray[np.float64]) -> None:
        """Plan anew towards ``[T, 3]`` targets."""
        kept = self._first_knot(stamp_ns + self._lead_ns)
        if self._mode(stamp_ns) in (HeadMode.STOPPED, HeadMode.STOPPING):
            self._blend_ns = self._start_ns + kept * TICK_NS
            self._origins = [motion.plan[-1].position for motion in self._motions]
        self._valid_ns = stamp_ns
        knots = np.arange(kept + 1, self._last_knot(stamp_ns) + 1)
        times = (knots * TICK_NS + (self._start_ns - stamp_ns)) / _SECOND_NS
        weights = self._weights(stamp_ns, times)
        # The filter is late by twice its time constant, so it looks as far ahead where there is a preview.
        steps = (times + 2.0 * self.config.smoothing_s) / TICK_S - 1.0
        for joint, motion, origin in zip(self.config.joints, self._motions, self._origins, strict=True):
            wanted = np.interp(steps, np.arange(len(rows)), joint.positions(rows))
            motion.follow(kept, (origin + weights * (wanted - origin)).tolist())

    def _weights(self, stamp_ns: int, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Say of the target, 0 to 1, at times after the stamp, s, rising smoothly from where it came back."""
        if self.config.blend_s == 0.0:
            return np.ones_like(times)
        since = times - (self._blend_ns - stamp_ns) / _SECOND_NS
        part = np.clip(since / self.config.blend_s, 0.0, 1.0)
        return np.asarray(part * part * (3.0 - 2.0 * part), np.float64)

    def _trajectory(self, stamp_ns: int) -> HeadTrajectory:
        """The plans of all joints; where one rests before the others, it holds."""
        # A head that rests is told to go on resting: controllers refuse what ends before it arrives.
        length = max(self._last_knot(stamp_ns) + 1, *(len(motion.plan) for motion in self._motions))
        plans = [motion.plan + motion.plan[-1:] * (length - len(motion.plan)) for motion in self._motions]
        # [J, K, 3] to [3, K, J]
        positions, velocities, accelerations = np.ascontiguousarray(np.array(plans).transpose(2, 1, 0))
        times = np.arange(length, dtype=np.int64) * TICK_NS + (self._start_ns - stamp_ns)
        names = tuple(joint.name for joint in self.config.joints)
        mode = self._mode(stamp_ns)
        return HeadTrajectory(stamp_ns, names, times, positions, velocities, accelerations, mode)
