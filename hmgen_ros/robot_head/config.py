"""What a robot's head can do: its joints with their limits, and how smoothly and safely they are driven."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import TICK_HZ

#: Angles of a pose target in the order of its columns; conventions of :class:`hmgen_ros.types.HeadPose`.
AXES = ("yaw", "pitch", "roll")
TICK_S = 1.0 / TICK_HZ
#: Positions beyond this are no joint's, rad.
_MAX_POSITION = 100.0
#: A narrower range than this is a joint that does not move, rad.
_MIN_RANGE = 1e-3
#: A joint that needs longer than this to stop from full speed cannot be driven at 25 Hz replanning, s.
_MAX_STOP_S = 5.0


@dataclass(frozen=True)
class JointSpec:
    """One joint of the head: ``position = offset + gain * angle``, kept within its limits.

    Attributes:
        name: as in the robot's description (URDF) and its controller.
        axis: the angle that moves it: ``"yaw"``, ``"pitch"`` or ``"roll"``.
        lower: smallest position, rad.
        upper: largest position, rad; at least 0.001 above ``lower``.
        max_velocity: largest speed in either direction, rad/s, > 0.
        max_acceleration: largest acceleration in either direction, rad/s², > 0; the joint must be able to
            stop from ``max_velocity`` within 5 s.
        gain: radians of the joint a radian of the angle; negative where the joint turns the other way or
            the person is mirrored, 0 to hold the joint at ``offset``.
        offset: position of the head's rest (all angles 0), rad, between ``lower`` and ``upper``.

    Raises:
        ValueError: a setting is out of its range; the text names joint and setting.
    """

    name: str
    axis: str
    lower: float
    upper: float
    max_velocity: float
    max_acceleration: float
    gain: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name of a joint must not be empty")
        self._need(self.axis in AXES, "axis", f"one of {', '.join(AXES)}")
        for setting in fields(self)[2:]:
            self._need(math.isfinite(getattr(self, setting.name)), setting.name, "a finite number")
        self._need(abs(self.lower) <= _MAX_POSITION, "lower", f"within ±{_MAX_POSITION:g} rad")
        self._need(abs(self.upper) <= _MAX_POSITION, "upper", f"within ±{_MAX_POSITION:g} rad")
        self._need(
            self.upper - self.lower >= _MIN_RANGE,
            "upper",
            f"at least {_MIN_RANGE} rad above lower {self.lower}",
        )
        self._need(self.max_velocity > 0.0, "max_velocity", "more than 0 rad/s")
        least = self.max_velocity / _MAX_STOP_S
        self._need(
            self.max_acceleration >= least,
            "max_acceleration",
            f"at least {least:g} rad/s² to stop within 5 s",
        )
        self._need(
            self.lower <= self.offset <= self.upper, "offset", f"between {self.lower} and {self.upper} rad"
        )

    def _need(self, holds: bool, setting: str, what: str) -> None:
        if not holds:
            value = getattr(self, setting)
            raise ValueError(f"{setting} of joint {self.name!r} must be {what}, got {value!r}")

    @property
    def column(self) -> int:
        """Column of a pose target that moves this joint."""
        return AXES.index(self.axis)

    def positions(self, targets: NDArray[np.float64]) -> NDArray[np.float64]:
        """``[T]`` positions of the joint, rad, cut to its limits, for ``[T, 3]`` yaw, pitch, roll, rad."""
        if self.gain == 0.0:
            # A held joint does not care whether its angle is a number.
            return np.full(len(targets), self.offset)
        with np.errstate(over="ignore"):
            wanted = self.offset + self.gain * targets[:, self.column]
        return np.clip(wanted, self.lower, self.upper)


@dataclass(frozen=True)
class RobotHeadConfig:
    """A head of one to three joints and how it follows.

    Attributes:
        joints: the joints, no two of one name; several may follow the same angle, not all are held (gain 0).
        smoothing_s: time constant of the critically damped filter between targets and joints, s, at least
            one tick (0.04). A target without preview is followed with a delay of twice this.
        stale_s: how long the last valid target is followed before the head stops, s; at least two ticks
            longer than ``lead_s``.
        blend_s: how long the way from holding still to following takes, s; 0 follows at once.
        lead_s: what was commanded up to this long after the stamp of a target is not changed by it, s. At
            least the time from the camera's stamp to the controller, or a new trajectory would begin
            where the head no longer is; 0 where trajectories start when they arrive.

    Raises:
        ValueError: a setting is out of its range; the text names it.
    """

    joints: tuple[JointSpec, ...]
    smoothing_s: float = 0.08
    stale_s: float = 0.5
    blend_s: float = 1.0
    lead_s: float = 0.12

    def __post_init__(self) -> None:
        if not 1 <= len(self.joints) <= 3:
            raise ValueError(f"joints must be one, two or three, got {len(self.joints)}")
        names = [joint.name for joint in self.joints]
        if len(set(names)) < len(names):
            raise ValueError(f"joints must have different names, got {', '.join(names)}")
        if all(joint.gain == 0.0 for joint in self.joints):
            raise ValueError(f"joints must have a gain that is not 0, got none for {', '.join(names)}")
        for name, low in (("smoothing_s", TICK_S), ("blend_s", 0.0), ("lead_s", 0.0)):
            if not low <= getattr(self, name) < 10.0:
                raise ValueError(f"{name} must lie in [{low:g}, 10) s, got {getattr(self, name)}")
        least = self.lead_s + 2.0 * TICK_S
        if not least - 1e-9 <= self.stale_s <= 10.0:
            raise ValueError(
                f"stale_s must lie between {least:g} (lead_s and two ticks) and 10 s, got {self.stale_s}"
            )

    @classmethod
    def from_parameters(cls, values: Mapping[str, Any]) -> RobotHeadConfig | None:
        """The head described by flat parameters, or None where no axis names a joint.

        Args:
            values: ``smoothing_s``, ``stale_s``, ``blend_s`` and ``lead_s``, and for each axis ``yaw``,
                ``pitch`` and ``roll``: ``<axis>.joint`` (empty: not used), ``<axis>.lower``,
                ``<axis>.upper``, ``<axis>.max_velocity``, ``<axis>.max_acceleration``, ``<axis>.gain`` and
                ``<axis>.offset``.

        Raises:
            ValueError: a parameter is missing or out of its range; the text names it.
        """
        try:
            joints = tuple(_joint(values, axis) for axis in AXES if values[f"{axis}.joint"].strip())
            general = {setting.name: values[setting.name] for setting in fields(cls)[1:]}
        except KeyError as error:
            raise ValueError(f"parameter {error.args[0]!r} of the robot's head is missing") from error
        return cls(joints, **general) if joints else None


def _joint(values: Mapping[str, Any], axis: str) -> JointSpec:
    settings = {setting.name: values[f"{axis}.{setting.name}"] for setting in fields(JointSpec)[2:]}
    try:
        return JointSpec(values[f"{axis}.joint"].strip(), axis, **settings)
    except ValueError as error:
        raise ValueError(f"parameters {axis}.*: {error}") from error
