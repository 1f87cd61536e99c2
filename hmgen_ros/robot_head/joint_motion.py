"""How one joint gets from where it is to where it should be, within its limits at every instant.

A plan is a row of knots one tick apart. Between knots the acceleration is linear, so velocity and position
are the quadratic and the cubic whose ends the knots give: the cubic and the quintic splines with which
trajectory controllers join such points are this very motion, and a limit that holds here holds on the robot.

Every plan ends at rest. A new one is built knot by knot from what the target asks for, and each step is
taken only as far as a stop within the limits remains possible after it: the limits are linear in the
accelerations, so a step that goes too far is mixed with the known stop of the plan before (a convex
combination of the two sequences) until all limits hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from hmgen_ros.robot_head.config import TICK_S, JointSpec

#: Limits are planned to this share inside the given ones, so that rounding never steps over them.
_MARGIN = 1e-9
#: Share of the largest acceleration with which a distant target is approached; what remains lets the
#: filter catch up with the braking curve instead of running past the target.
_APPROACH = 0.7


class Knot(NamedTuple):
    """Where a joint is at a tick: rad, rad/s, rad/s²."""

    position: float
    velocity: float = 0.0
    acceleration: float = 0.0


def advance(knot: Knot, acceleration: float) -> Knot:
    """The knot one tick later, when the acceleration goes linearly to ``acceleration``, rad/s²."""
    position, velocity, before = knot
    return Knot(
        position + TICK_S * (velocity + TICK_S * (2.0 * before + acceleration) / 6.0),
        velocity + TICK_S * (before + acceleration) / 2.0,
        acceleration,
    )


def stop(knot: Knot, max_acceleration: float) -> list[float]:
    """Accelerations at the next ticks that bring the joint to rest soonest; none where it rests, rad/s²."""
    # With the last one 0, the velocity is gone when all others add up to this.
    rest = -(knot.velocity / TICK_S + knot.acceleration / 2.0)
    if rest == 0.0:
        return [0.0] if knot.acceleration else []
    whole = math.floor(abs(rest) / max_acceleration)
    remainder = rest - math.copysign(whole * max_acceleration, rest)
    return [math.copysign(max_acceleration, rest)] * whole + ([remainder] if remainder else []) + [0.0]


class JointMotion:
    """The plan of one joint and how it changes with the targets.

    Attributes:
        plan: the knots from the present on, at least one; the last is at rest and is held.
    """

    def __init__(self, spec: JointSpec, smoothing_s: float, position: float) -> None:
        """At rest.

        Args:
            spec: the joint.
            smoothing_s: time constant of the filter, s.
            position: where the joint is, rad. Outside the limits, it only ever moves inwards.
        """
        self.plan = [Knot(position)]
        inwards = _MARGIN * (spec.upper - spec.lower)
        self._positions = (spec.lower + inwards, spec.upper - inwards)
        self._velocities = (-spec.max_velocity * (1.0 - _MARGIN), spec.max_velocity * (1.0 - _MARGIN))
        self._acceleration = spec.max_acceleration * (1.0 - _MARGIN)
        self._rate = 1.0 / (2.0 * smoothing_s)

    def drop(self, ticks: int) -> None:
        """Forget the first ``ticks`` knots: they are past."""
        self.plan = self.plan[ticks:] or self.plan[-1:]

    def follow(self, kept: int, goals: Iterable[float]) -> None:
        """Plan anew after the knot of index ``kept``: towards one goal a tick, then to rest.

        Args:
            kept: the last knot that stays as planned, from 0.
            goals: the position wanted at each further tick, rad, within the limits.
        """
        self.plan += self.plan[-1:] * (kept + 1 - len(self.plan))
        known = [knot.acceleration for knot in self.plan[kept + 1 :]]
        knots = self.plan[: kept + 1]
        for goal in goals:
            step = self._towards(knots[-1], goal)
            wanted = [step, *stop(advance(knots[-1], step), self._acceleration)]
            step, *known = self._admit(knots[-1], wanted, known)
            knots.append(advance(knots[-1], step))
        for step in self._admit(knots[-1], stop(knots[-1], self._acceleration), known):
            knots.append(advance(knots[-1], step))
        # At rest but for rounding, which must not add up.
        knots[-1] = Knot(knots[-1].position)
        self.plan = knots

    def _towards(self, knot: Knot, goal: float) -> float:
        """Acceleration at the next tick that the filter asks for, within its limit.

        Near the goal the critically damped second-order filter (``a = e / s² - 2 v / s`` with the distance
        ``e`` and the time constant ``s``), solved for the end of the tick. Seen as a controller of the
        velocity it aims at ``e / 2s``; further off that speed is held below what can be braked.
        """
        # What the next tick brings when the acceleration fades to 0; the rest is linear in the answer.
        position = knot.position + TICK_S * (knot.velocity + TICK_S * knot.acceleration / 3.0)
        velocity = knot.velocity + TICK_S * knot.acceleration / 2.0
        distance = abs(goal - position)
        braking = _APPROACH * self._acceleration
        knee = braking / self._rate**2
        speed, slope = self._rate * distance, self._rate
        if distance > knee:
            speed = math.sqrt(braking * (2.0 * distance - knee))
            slope = braking / speed
        if speed > self._velocities[1]:
            speed, slope = self._velocities[1], 0.0
        gain = 4.0 * self._rate
        wanted = gain * (math.copysign(speed, goal - position) - velocity)
        wanted /= 1.0 + gain * TICK_S * (0.5 + slope * TICK_S / 6.0)
        return max(-self._acceleration, min(self._acceleration, wanted))

    def _admit(self, knot: Knot, wanted: list[float], known: list[float]) -> list[float]:
        """The accelerations nearest to ``wanted`` on the way to ``known`` that break no limit.

        ``known`` breaks none. Where it does all the same (a start outside the limits), the answer breaks
        it no more than ``known``.
        """
        positions, velocities = _controls(knot, wanted)
        low, high = self._positions
        slow, fast = self._velocities
        if (
            low <= min(positions) <= max(positions) <= high
            and slow <= min(velocities) <= max(velocities) <= fast
        ):
            return wanted
        length = max(len(wanted), len(known))
        wanted = wanted + [0.0] * (length - len(wanted))
        known = known + [0.0] * (length - len(known))
        known_positions, known_velocities = _controls(knot, known)
        positions, velocities = _controls(knot, wanted)
        share = min(
            _share(positions, known_positions, low, high), _share(velocities, known_velocities, slow, fast)
        )
        return [before + share * (after - before) for after, before in zip(wanted, known, strict=True)]


def _controls(knot: Knot, accelerations: list[float]) -> tuple[list[float], list[float]]:
    """Bézier control points of position, rad, and velocity, rad/s, along a row of accelerations to rest.

    A curve lies between the smallest and the largest of its control points, so that what holds for these
    holds between the knots, too. Only the inner ones of each tick are listed: the knots lie between the
    inner ones on either side.
    """
    positions, velocities = [knot.position], [knot.velocity]
    for acceleration in accelerations:
        half = TICK_S * knot.acceleration / 2.0
        positions.append(knot.position + TICK_S * knot.velocity / 3.0)
        # Written from the left end, so that at rest it is the position to the last bit.
        positions.append(knot.position + TICK_S * (2.0 * knot.velocity + half) / 3.0)
        velocities.append(knot.velocity + half)
        knot = advance(knot, acceleration)
    return positions, velocities


def _share(wanted: list[float], known: list[float], low: float, high: float) -> float:
    """Largest part, 0 to 1, of the way from ``known`` to ``wanted`` that stays within the limits."""
    share = 1.0
    for far, near in zip(wanted, known, strict=True):
        if far > high and far > near:
            share = min(share, max(0.0, (high - near) / (far - near)))
        elif far < low and far < near:
            share = min(share, max(0.0, (near - low) / (near - far)))
    return share
