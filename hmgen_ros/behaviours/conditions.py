"""The conditions that planners ask for; how all of them behave is told in :mod:`.person_condition`."""

from __future__ import annotations

import math
from typing import Unpack

from hmgen_ros.behaviours.blackboard import Keys
from hmgen_ros.behaviours.person_condition import NOBODY, Options, PersonCondition, positive
from hmgen_ros.behaviours.signals import Snapshot, begins_within, ends_within, laughs, speaks
from hmgen_ros.perception.head_pose import angle_between
from hmgen_ros.perception.hysteresis import LatchConfig
from hmgen_ros.types import TICK_NS, Person


class _ForecastCondition(PersonCondition):
    """What is measured is the near future, as a share of the sampled futures."""

    def __init__(
        self,
        name: str,
        usual_key: str,
        within_s: float,
        latch: LatchConfig,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault("key", usual_key)
        super().__init__(name, latch, **options)
        self._within_s = positive(within_s, "within_s")

    def stamp_ns(self, known: Snapshot) -> int | None:
        """Of the forecast."""
        return None if known.forecast is None else known.forecast.stamp_ns


class AboutToSpeak(_ForecastCondition):
    """Somebody who is silent now begins to speak within some seconds, with some probability.

    The probability is the share of sampled futures; with the 32 of the node's default it comes in steps of
    0.03.
    """

    def __init__(
        self,
        name: str,
        within_s: float = 0.6,
        probability: float = 0.5,
        *,
        off: float | None = None,
        on_ticks: int = 2,
        off_ticks: int = 4,
        **options: Unpack[Options],
    ) -> None:
        """See the class.

        Args:
            name: of the behaviour.
            within_s: how soon, s; more than the forecast's horizon means within that.
            probability: from which it holds.
            off: below which it ends; None: 0.1 lower.
            on_ticks: ticks of 40 ms in a row that it takes to hold.
            off_ticks: ticks in a row that it takes to end.
            **options: see :class:`~hmgen_ros.behaviours.person_condition.Options`.

        Raises:
            ValueError: a number is out of its range.
        """
        latch = _latch(probability, off, on_ticks, off_ticks)
        super().__init__(name, Keys.ABOUT_TO_SPEAK, within_s, latch, **options)

    def measure(self, known: Snapshot) -> dict[str, float] | None:
        """Of all who are silent."""
        return None if known.forecast is None else begins_within(known.forecast, self._within_s)


class AboutToPause(_ForecastCondition):
    """Somebody who speaks now stops within some seconds, with some probability: the moment for a nod."""

    def __init__(
        self,
        name: str,
        within_s: float = 0.6,
        probability: float = 0.5,
        *,
        off: float | None = None,
        on_ticks: int = 2,
        off_ticks: int = 4,
        **options: Unpack[Options],
    ) -> None:
        """As of :class:`AboutToSpeak`.

        Args:
            name: see there.
            within_s: see there.
            probability: see there.
            off: see there.
            on_ticks: see there.
            off_ticks: see there.
            **options: see :class:`~hmgen_ros.behaviours.person_condition.Options`.

        Raises:
            ValueError: a number is out of its range.
        """
        latch = _latch(probability, off, on_ticks, off_ticks)
        super().__init__(name, Keys.ABOUT_TO_PAUSE, within_s, latch, **options)

    def measure(self, known: Snapshot) -> dict[str, float] | None:
        """Of all who speak."""
        return None if known.forecast is None else ends_within(known.forecast, self._within_s)


class IsAddressed(PersonCondition):
    """Somebody looks at the robot while speaking, or having just spoken: a guess at who is meant.

    Where the eyes look is not known; the head says it within some 15 degrees. It is right mostly where people
    sit apart as seen from the robot, and wrong about people who speak to somebody behind it.
    """

    def __init__(
        self,
        name: str,
        within_deg: float = 20.0,
        after_s: float = 1.0,
        *,
        robot: tuple[float, float] = (0.0, 0.0),
        on_ticks: int = 5,
        off_ticks: int = 10,
        **options: Unpack[Options],
    ) -> None:
        """See the class.

        Args:
            name: of the behaviour.
            within_deg: largest angle between where the head points and the robot, degrees, up to 180.
            after_s: so long after having spoken who looks at the robot still waits for its answer, s.
            robot: yaw and pitch of a head that looks at the robot's face, rad, where that is not beside the
                camera; directions as of ``FaceLandmarks``.
            on_ticks: ticks of 40 ms in a row that it takes to hold.
            off_ticks: ticks in a row that it takes to end.
            **options: see :class:`~hmgen_ros.behaviours.person_condition.Options`.

        Raises:
            ValueError: a number is out of its range.
        """
        options.setdefault("key", Keys.ADDRESSED_BY)
        super().__init__(name, _latch(0.5, 0.5, on_ticks, off_ticks), **options)
        self._within = math.radians(positive(within_deg, "within_deg"))
        self._after_ns = round(positive(after_s, "after_s") * 1e9)
        self._robot = robot
        self._spoke_ns: dict[str, int] = {}

    def forget(self) -> None:
        """Begin anew, nobody having spoken."""
        super().forget()
        self._spoke_ns = {}

    def measure(self, known: Snapshot) -> dict[str, float] | None:
        """1 where somebody speaks, or has spoken, to the robot, 0 where not; NaN where no face is seen."""
        scene = known.scene
        if scene is None:
            return None
        if scene.stamp_ns < self._stamp_ns:
            self.forget()
        people = {person.person_id: person for person in scene.people}
        self._spoke_ns = {who: at for who, at in self._spoke_ns.items() if who in people}
        self._spoke_ns |= {who: scene.stamp_ns for who, person in people.items() if speaks(person)}
        return {who: self._addresses(person, scene.stamp_ns) for who, person in people.items()}

    def _addresses(self, person: Person, stamp_ns: int) -> float:
        spoke_ns = self._spoke_ns.get(person.person_id)
        if spoke_ns is None or stamp_ns - spoke_ns > self._after_ns:
            return 0.0
        if person.face is None or person.face.pose is None:
            return math.nan
        return float(angle_between(person.face.pose, *self._robot) <= self._within)


class IsLaughing(PersonCondition):
    """Somebody laughs."""

    def __init__(
        self,
        name: str,
        probability: float = 0.5,
        *,
        off: float | None = None,
        on_ticks: int = 3,
        off_ticks: int = 8,
        **options: Unpack[Options],
    ) -> None:
        """See the class.

        Args:
            name: of the behaviour.
            probability: from which it holds.
            off: below which it ends; None: 0.1 lower.
            on_ticks: ticks of 40 ms in a row that it takes to hold.
            off_ticks: ticks in a row that it takes to end.
            **options: see :class:`~hmgen_ros.behaviours.person_condition.Options`.

        Raises:
            ValueError: a number is out of its range.
        """
        options.setdefault("key", Keys.LAUGHING)
        super().__init__(name, _latch(probability, off, on_ticks, off_ticks), **options)

    def measure(self, known: Snapshot) -> dict[str, float] | None:
        """Of everybody; NaN where it cannot be observed."""
        return None if known.scene is None else {one.person_id: laughs(one) for one in known.scene.people}


class ShouldYield(PersonCondition):
    """The robot, which speaks, should stop: somebody has begun to speak, or is about to take the floor.

    Who says "mhm" is done before ``insist_s`` and does not stop it.
    """

    def __init__(
        self,
        name: str,
        within_s: float = 0.4,
        probability: float = 0.8,
        *,
        insist_s: float = 0.4,
        **options: Unpack[Options],
    ) -> None:
        """See the class.

        Args:
            name: of the behaviour.
            within_s: how soon somebody begins to speak, s.
            probability: of it, from which the robot yields.
            insist_s: how long somebody speaks, or is that probably about to, before the robot stops, s.
            **options: see :class:`~hmgen_ros.behaviours.person_condition.Options`.

        Raises:
            ValueError: a number is out of its range.
        """
        options.setdefault("key", Keys.YIELD_TO)
        super().__init__(name, _latch(probability, None, _ticks(insist_s, "insist_s"), 10), **options)
        self._within_s = positive(within_s, "within_s")

    def measure(self, known: Snapshot) -> dict[str, float] | None:
        """1 of who speaks, else the probability to begin; without a forecast only who speaks counts."""
        if known.scene is None:
            return None
        soon = {} if known.forecast is None else begins_within(known.forecast, self._within_s)
        return {
            one.person_id: 1.0 if speaks(one) else soon.get(one.person_id, 0.0) for one in known.scene.people
        }


class FloorIsFree(PersonCondition):
    """Nobody has spoken for a while."""

    def __init__(
        self,
        name: str,
        silent_s: float = 0.4,
        *,
        unseen_voice: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        """See the class.

        Args:
            name: of the behaviour.
            silent_s: so long nobody has spoken, s.
            unseen_voice: a voice of this probability counts as well where nobody in view speaks; the robot's
                own voice, too, if its microphone hears it. None: only people in view count.
            **options: see :class:`~hmgen_ros.behaviours.person_condition.Options`; it is true of nobody in
                particular.

        Raises:
            ValueError: a number is out of its range.
        """
        super().__init__(name, _latch(0.5, 0.5, _ticks(silent_s, "silent_s"), 1), **options)
        self._unseen_voice = unseen_voice

    def measure(self, known: Snapshot) -> dict[str, float] | None:
        """1 where nobody speaks; said of nobody in particular."""
        if known.scene is None:
            return None
        heard = self._unseen_voice is not None and known.scene.voice_activity >= self._unseen_voice
        return {NOBODY: float(not (heard or any(speaks(one) for one in known.scene.people)))}


def _latch(on: float, off: float | None, on_ticks: int, off_ticks: int) -> LatchConfig:
    off = max(0.0, on - 0.1) if off is None else off
    return LatchConfig(on=on, off=off, on_ticks=on_ticks, off_ticks=off_ticks, min_ticks=1)


def _ticks(seconds: float, name: str) -> int:
    return max(1, round(positive(seconds, name) * 1e9 / TICK_NS))
