"""Decorators around other behaviours: hysteresis, freshness, and stopping where somebody else speaks."""

from __future__ import annotations

from collections.abc import Iterator

from py_trees.behaviour import Behaviour
from py_trees.common import Status
from py_trees.decorators import Decorator

from hmgen_ros.behaviours.blackboard import ConversationReader
from hmgen_ros.behaviours.conditions import ShouldYield
from hmgen_ros.behaviours.person_condition import positive
from hmgen_ros.perception.hysteresis import Latch, LatchConfig
from hmgen_ros.types import TICK_NS


class Latched(Decorator):
    """Hysteresis around any condition: its successes and failures have to last before they count.

    RUNNING and INVALID of the child are passed on and count for neither.
    """

    def __init__(self, name: str, child: Behaviour, on_ticks: int = 3, off_ticks: int = 3) -> None:
        """Failing.

        Args:
            name: of the decorator.
            child: the condition.
            on_ticks: ticks of 40 ms that its success lasts before it counts.
            off_ticks: likewise its failure.

        Raises:
            ValueError: one of them is less than 1.
        """
        super().__init__(name, child)
        self._latch = Latch(LatchConfig(0.5, 0.5, on_ticks, off_ticks, min_ticks=1))
        self._read = ConversationReader(self.attach_blackboard_client(name))
        self._ticks = 0

    def update(self) -> Status:
        """See the class."""
        status = self.decorated.status
        if status not in (Status.SUCCESS, Status.FAILURE):
            return status
        now = self._read.snapshot().now_ns // TICK_NS
        passed, self._ticks = now - self._ticks, now
        if passed > 0:
            # After a break of more than a second, as conditions do, nothing is taken to have lasted.
            self._latch.update(float(status is Status.SUCCESS), passed if passed <= 25 else 1)
        return Status.SUCCESS if self._latch.active else Status.FAILURE


class FreshOnly(Decorator):
    """Runs its child only while people are told of; else the child is stopped."""

    def __init__(
        self, name: str, child: Behaviour, max_age_s: float = 0.5, when_stale: Status = Status.FAILURE
    ) -> None:
        """See the class.

        Args:
            name: of the decorator.
            child: what needs people.
            max_age_s: older news are stale, s, > 0.
            when_stale: what it gives without news.

        Raises:
            ValueError: ``max_age_s`` is not positive.
        """
        super().__init__(name, child)
        self._max_age_ns, self._when_stale = round(positive(max_age_s, "max_age_s") * 1e9), when_stale
        self._read = ConversationReader(self.attach_blackboard_client(name))

    def tick(self) -> Iterator[Behaviour]:
        """Tick the child where there are news."""
        known = self._read.snapshot()
        if known.scene is not None and abs(known.now_ns - known.scene.stamp_ns) <= self._max_age_ns:
            yield from super().tick()
            return
        self.feedback_message = "no news of people"
        yield from _halt(self, self._when_stale)

    def update(self) -> Status:
        """What the child gives."""
        self.feedback_message = ""
        return self.decorated.status


class YieldTheFloor(Decorator):
    """Stops its child, by which the robot speaks, where somebody else takes the floor; it then has failed.

    Attributes:
        condition: which decides; its blackboard key tells to whom the robot yields.
    """

    def __init__(self, name: str, child: Behaviour, condition: ShouldYield | None = None) -> None:
        """See the class.

        Args:
            name: of the decorator.
            child: which is RUNNING while the robot speaks and stops it in ``terminate``.
            condition: when to yield; None: as :class:`ShouldYield` has it.
        """
        super().__init__(name, child)
        self.condition = condition or ShouldYield(f"{name}: yield")

    def tick(self) -> Iterator[Behaviour]:
        """Tick the child unless the robot has to yield."""
        if self.condition.update() is Status.SUCCESS:
            self.feedback_message = f"yields to {self.condition.feedback_message}"
            yield from _halt(self, Status.FAILURE)
            return
        yield from super().tick()

    def update(self) -> Status:
        """What the child gives."""
        self.feedback_message = ""
        return self.decorated.status


def _halt(decorator: Decorator, status: Status) -> Iterator[Behaviour]:
    """Stop the child and give a status without ticking it."""
    if decorator.decorated.status is not Status.INVALID:
        decorator.decorated.stop(Status.INVALID)
    decorator.status = status
    yield decorator
