"""Questions to a forecaster that is streaming meanwhile: other horizons, more samples, other histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import KNOWN_BITS
from hmgen_ros.generators.group_forecaster import GroupForecast, GroupForecaster, GroupMoment
from hmgen_ros.types import UNKNOWN_MASK, ActionForecast

#: Most that is answered: people and ticks (10 minutes) of a history, seconds ahead, samples.
MAX_PEOPLE, MAX_TICKS, MAX_HORIZON_S, MAX_SAMPLES = 12, 15_000, 10.0, 1024


class BadQuestion(ValueError):
    """A question has no answer; the text says why, and what to do."""


@dataclass(frozen=True)
class GroupQuestion:
    """What somebody wants to know.

    Attributes:
        person_ids: whose history is told; without one, whose futures are wanted, nobody for everybody's.
        masks: ``[T, N]`` bit masks of what they did at each tick, the oldest first, ``UNKNOWN_MASK`` where
            nobody knows; None asks about the present.
        horizon_s: how far to look ahead, s, above 0, up to 10.
        samples: futures, 1 to 1024.
        seed: of the samples; at least 0.

    Raises:
        BadQuestion: a setting is out of its range.
    """

    person_ids: tuple[str, ...]
    masks: NDArray[np.uint16] | None
    horizon_s: float
    samples: int
    seed: int

    def __post_init__(self) -> None:
        if not 0.0 < self.horizon_s <= MAX_HORIZON_S:
            raise BadQuestion(f"horizon is {self.horizon_s:g} s; ask for up to {MAX_HORIZON_S:g} s")
        if not 1 <= self.samples <= MAX_SAMPLES:
            raise BadQuestion(f"samples is {self.samples}; ask for 1 to {MAX_SAMPLES}")
        if "" in self.person_ids or len(set(self.person_ids)) < len(self.person_ids):
            raise BadQuestion("person_ids must be different, and none of them empty")
        if self.masks is not None:
            self._check(self.masks)

    def _check(self, masks: NDArray[np.uint16]) -> None:
        ticks, people = masks.shape
        if not 1 <= people <= MAX_PEOPLE:
            raise BadQuestion(f"the history is of {people} people; tell that of 1 to {MAX_PEOPLE}")
        if not 1 <= ticks <= MAX_TICKS:
            raise BadQuestion(f"the history has {ticks} ticks of 40 ms; tell the last {MAX_TICKS} at most")
        odd = masks[(masks.astype(np.int64) & ~(KNOWN_BITS | UNKNOWN_MASK)) != 0]
        if len(odd):
            raise BadQuestion(f"the history has {int(odd[0])}, with bits that stand for no action")


def answer(
    forecaster: GroupForecaster, present: GroupMoment | None, question: GroupQuestion
) -> GroupForecast:
    """Forecast what was asked for; the forecaster may go on in another thread.

    Args:
        forecaster: that made ``present``.
        present: its moment when the question came; None where nothing has been observed.
        question: what is wanted.

    Raises:
        BadQuestion: it is about the present, which does not know these people, or nothing at all.
    """
    if question.masks is not None:
        present = forecaster.recall(question.person_ids, question.masks)
    elif present is None:
        raise BadQuestion("nothing has been observed yet: wait for people, or tell a history")
    else:
        unknown = [one for one in question.person_ids if one not in present.person_ids]
        if unknown:
            there = ", ".join(present.person_ids) or "nobody"
            raise BadQuestion(f"{', '.join(unknown)} cannot be seen; in view: {there}")
    found = forecaster.ask(present, question.horizon_s, question.samples, question.seed)
    return of_people(found, question.person_ids) if question.person_ids else found


def of_people(found: GroupForecast, person_ids: Sequence[str]) -> GroupForecast:
    """The forecast of some of the group, in the order of their names; who speaks next is still of all."""
    outlooks = {action.person_id: action for action in found.actions}
    every = found.forecast.person_ids
    kept = [every.index(one) for one in person_ids if one in every]
    return replace(
        found,
        forecast=_of_places(found.forecast, kept),
        actions=tuple(outlooks[one] for one in person_ids),
    )


def _of_places(forecast: ActionForecast, places: list[int]) -> ActionForecast:
    return replace(
        forecast,
        person_ids=tuple(forecast.person_ids[place] for place in places),
        current=forecast.current[places],
        probabilities=forecast.probabilities[:, places],
        samples=forecast.samples[:, :, places],
    )
