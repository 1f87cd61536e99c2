"""What all conditions about people share: they hold, rather than tremble, and say when they do not know.

Each measures a probability for every person at every tick of the 25 Hz clock that it is ticked at, and
latches it with a :class:`~hmgen_ros.perception.hysteresis.Latch`, which counts ticks of 40 ms: SUCCESS while
it holds of somebody, FAILURE while it does not. Ticked more often than news come, it stays as it is; ticked
less often, it takes what it sees to have held since the last time, up to a second, after which it begins
anew. Without news for ``max_age_s`` it gives ``when_stale``: FAILURE, or what else suits the tree.
What cannot be seen of a person, such as a hidden face, leaves it as it is, for three seconds.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TypedDict, Unpack

from py_trees.behaviour import Behaviour
from py_trees.common import Access, Status

from hmgen_ros.behaviours.blackboard import ConversationReader
from hmgen_ros.behaviours.signals import Snapshot
from hmgen_ros.perception.hysteresis import Latch, LatchConfig
from hmgen_ros.types import TICK_NS

#: Who is not looked at for so long is looked at anew, ns.
_FORGET_NS = 1_000_000_000
#: What is not known of a person for so long ends what held, ns.
_HIDDEN_NS = 3_000_000_000
#: What is said of a group as a whole is said of nobody.
NOBODY = ""


class Options(TypedDict, total=False):
    """What every condition can be told.

    Attributes:
        key: of the blackboard, where the id of whom it holds most probably is written; None: nowhere.
        person_id: the only one of interest; "" for anybody.
        max_age_s: news older than this are stale, s, > 0; 0.5 by default.
        when_stale: what it gives without news, FAILURE by default. INVALID says most clearly that nothing is
            known, but composites take it for a failure.
    """

    key: str | None
    person_id: str
    max_age_s: float
    when_stale: Status


class PersonCondition(Behaviour):
    """Base of all conditions; SUCCESS while :meth:`measure` holds of somebody.

    Attributes:
        holds: probabilities, by id, of those of whom it holds now, the highest first.
    """

    def __init__(self, name: str, latch: LatchConfig, **options: Unpack[Options]) -> None:
        """Holding of nobody.

        Args:
            name: of the behaviour.
            latch: from and up to which probability it holds, and for how many ticks.
            **options: see :class:`Options`.

        Raises:
            ValueError: ``max_age_s`` is not positive.
        """
        super().__init__(name)
        self.holds: dict[str, float] = {}
        self._latch, self._key = latch, options.get("key")
        self._person_id = options.get("person_id", "")
        self._max_age_ns = round(1e9 * positive(options.get("max_age_s", 0.5), "max_age_s"))
        self._when_stale = options.get("when_stale", Status.FAILURE)
        self._latches: dict[str, Latch] = {}
        #: When there was a number, by id.
        self._known_ns: dict[str, int] = {}
        self._stamp_ns = 0
        self._client = self.attach_blackboard_client(name)
        self._read = ConversationReader(self._client)
        if self._key is not None:
            self._client.register_key(self._key, Access.WRITE)

    @abstractmethod
    def measure(self, known: Snapshot) -> dict[str, float] | None:
        """Probability by id at this tick, NaN where it is not known; None where nothing can be measured."""

    def stamp_ns(self, known: Snapshot) -> int | None:
        """Stamp of what is measured; None where there is nothing."""
        return None if known.scene is None else known.scene.stamp_ns

    def update(self) -> Status:
        """See the class."""
        known = self._read.snapshot()
        stamp_ns = self.stamp_ns(known)
        if stamp_ns is None or abs(known.now_ns - stamp_ns) > self._max_age_ns:
            return self._stale("no news")
        if stamp_ns != self._stamp_ns:
            found = self.measure(known)
            if found is None:
                return self._stale("no forecast")
            self._observe(stamp_ns, found)
        best = next(iter(self.holds), NOBODY)
        self._write(best)
        self.feedback_message = ", ".join(f"{who} {p:.2f}".strip() for who, p in self.holds.items())
        return Status.SUCCESS if self.holds else Status.FAILURE

    def forget(self) -> None:
        """Begin anew, holding of nobody."""
        self._latches.clear()
        self._known_ns.clear()
        self.holds = {}
        self._stamp_ns = 0

    def _observe(self, stamp_ns: int, found: dict[str, float]) -> None:
        passed_ns = stamp_ns - self._stamp_ns
        if not 0 < passed_ns <= _FORGET_NS:
            self.forget()
            passed_ns = TICK_NS
        self._stamp_ns, elapsed = stamp_ns, max(1, round(passed_ns / TICK_NS))
        asked = {who: p for who, p in found.items() if self._person_id in ("", who)}
        since = {
            who: self._known_ns.get(who, stamp_ns) if math.isnan(p) else stamp_ns for who, p in asked.items()
        }
        known = {who: one for who, one in self._latches.items() if self._is_fresh(stamp_ns, since.get(who))}
        self._latches, self._known_ns = {who: known.get(who) or Latch(self._latch) for who in asked}, since
        held = [who for who, p in asked.items() if self._latches[who].update(p, elapsed)]
        held.sort(key=lambda who: -asked[who] if math.isfinite(asked[who]) else 0.0)
        self.holds = {who: asked[who] for who in held}

    @staticmethod
    def _is_fresh(stamp_ns: int, known_ns: int | None) -> bool:
        return known_ns is not None and stamp_ns - known_ns <= _HIDDEN_NS

    def _stale(self, why: str) -> Status:
        self.forget()
        self._write(NOBODY)
        self.feedback_message = why
        return self._when_stale

    def _write(self, person_id: str) -> None:
        if self._key is not None:
            self._client.set(self._key, person_id)


def positive(value: float, name: str) -> float:
    """The value; raises ValueError with this name where it is not above 0."""
    if not value > 0:
        raise ValueError(f"{name} must be more than 0, got {value}")
    return value
