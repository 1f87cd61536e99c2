"""People in a stream: who has which slot of a predictor's state, and what is held over missed ticks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic

from hmgen_ros.generators.interface import State, StreamingPredictor
from hmgen_ros.types import TICK_HZ, Presence, PresenceEvent

#: Most missed ticks that are held; the clock voids the history after longer gaps anyway.
MAX_HELD = 25


def steps_of(horizon_s: float) -> int:
    """Ticks in a horizon, at least one."""
    return max(1, round(horizon_s * TICK_HZ))


class Seats(Generic[State]):
    """The state of one predictor with a slot for each person present, in the scene's order."""

    def __init__(self, predictor: StreamingPredictor[State]) -> None:
        self._predictor = predictor
        self.clear()

    def clear(self) -> None:
        """Nobody is there."""
        self.ids: list[str] = []
        self.state: State = self._predictor.initial_state(0)

    def follow(self, events: Iterable[PresenceEvent]) -> None:
        """Let people who are called by another id from now on keep their places."""
        for event in events:
            known = event.was in self.ids and event.person_id not in self.ids
            if event.kind is Presence.RENAMED and known:
                self.ids = [event.person_id if one == event.was else one for one in self.ids]

    def seat(self, ids: list[str]) -> list[int]:
        """Let people enter, leave and change places; returns each one's place before, -1 for none."""
        places = {person_id: place for place, person_id in enumerate(self.ids)}
        before = [places.get(person_id, -1) for person_id in ids]
        if ids != self.ids:
            self.state = self._predictor.arrange(self.state, before)
            self.ids = ids
        return before
