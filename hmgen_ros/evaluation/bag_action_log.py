"""What a replay forecasts of actions, collected for scores and plots: no more than they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.bag_replay import Tick
from hmgen_ros.evaluation.bag_stretches import Stretches
from hmgen_ros.evaluation.forecast_scores import first_to_speak
from hmgen_ros.evaluation.model_scores import Translation
from hmgen_ros.generators.action_space import KNOWN_BITS, ActionSpace
from hmgen_ros.types import UNKNOWN_MASK

#: 0.2, 0.4, 0.8, 1.6 and 3.2 s, as far as the forecasts reach.
HORIZONS = (5, 10, 20, 40, 80)
#: The clock starts anew after gaps of half a second; ticks that jump by ten are not of one clock.
_MOST_MISSED = 250
#: Ticks between forecasts whose sampled futures are scored.
STRIDE = 10


@dataclass(frozen=True, slots=True)
class Forecast:
    """One model's forecast at one tick, of ``N`` people.

    Attributes:
        ids: of the people.
        given: ``[H, N, A]`` probabilities at the horizons.
        starts: ``[N]`` that each is the first to begin to speak.
        futures: ``[S, T, N]`` sampled symbols; None but at every :data:`STRIDE` ticks.
        next_id, next_probability: who is said to take the floor next, and how surely.
    """

    ids: tuple[str, ...]
    given: NDArray[np.float32]
    starts: NDArray[np.float64]
    futures: NDArray[np.uint8] | None
    next_id: str
    next_probability: float


@dataclass
class Segment:
    """Ticks without a break of the history.

    Attributes:
        size: of the images.
        first: its first tick on the clock.
        index: ``T`` ticks since the first one, ascending.
        stamps: ``T`` ns.
        rows: ``T`` numbers of the stretches that the ticks lie in.
        masks: of each tick, person's id to bit mask.
        places: of each person, the sum of where the middle of the eyes was seen, and how often.
        forecasts: by model, one a tick.
    """

    size: tuple[int, int]
    first: int
    index: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    masks: list[dict[str, int]] = field(default_factory=list)
    places: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    forecasts: dict[str, list[Forecast]] = field(default_factory=dict)

    def goes_on_at(self, tick: int) -> bool:
        """Whether a tick of the clock can be the next one; two publishers on one topic make others."""
        return 0 < tick - self.first - self.index[-1] <= _MOST_MISSED

    def people(self) -> list[str]:
        """Everybody's id, in the order in which they came."""
        return list(dict.fromkeys(person for masks in self.masks for person in masks))

    def table(self) -> NDArray[np.uint16]:
        """``[T', N]`` masks by tick since the first; unknown where nobody was seen or the tick was missed."""
        column = {person: i for i, person in enumerate(self.people())}
        found = np.full((self.index[-1] + 1, len(column)), UNKNOWN_MASK, np.uint16)
        for tick, masks in zip(self.index, self.masks, strict=True):
            for person, mask in masks.items():
                found[tick, column[person]] = mask if mask & UNKNOWN_MASK else mask & KNOWN_BITS
        return found


class ActionLog:
    """Collects what a replay forecasts of actions, no more than scores and plots need.

    Attributes:
        space: of the scores.
        horizons: ticks.
        segments: in order.
        stretches: that they lie in.
    """

    def __init__(
        self,
        space: ActionSpace,
        spaces: Mapping[str, ActionSpace],
        steps: int,
        stretches: Stretches | None = None,
    ) -> None:
        """Of models with action spaces of their own, whose forecasts reach ``steps`` ticks."""
        self.space = space
        self.stretches = Stretches() if stretches is None else stretches
        self.horizons = tuple(h for h in HORIZONS if h <= steps) or (steps,)
        self.segments: list[Segment] = []
        self._into = {name: Translation(one, space) for name, one in spaces.items()}

    def add(self, tick: Tick) -> None:
        """Take in one tick."""
        scene = tick.scene
        if scene.reset or not self.segments or not self.segments[-1].goes_on_at(scene.tick):
            self.segments.append(Segment(scene.image_size, scene.tick))
        segment = self.segments[-1]
        segment.index.append(scene.tick - segment.first)
        segment.stamps.append(scene.stamp_ns)
        segment.rows.append(self.stretches.row(scene.stamp_ns))
        segment.masks.append({person.person_id: person.actions for person in scene.people})
        for person in scene.people:
            if person.face is not None:
                seen = np.append(person.face.origin_px, 1.0)
                segment.places[person.person_id] = segment.places.get(person.person_id, 0.0) + seen
        for name in tick.groups:
            segment.forecasts.setdefault(name, []).append(self._forecast(name, tick))

    def _forecast(self, name: str, tick: Tick) -> Forecast:
        group, into = tick.groups[name], self._into[name]
        found = group.forecast
        chosen = np.array(self.horizons) - 1
        futures = into.symbols(found.samples.astype(np.int64))
        if not found.person_ids:
            starts = np.zeros(0)
        elif group.speaks_next is None:
            starts = first_to_speak(futures[None], self.space)[0]
        else:
            place = {person.person_id: i for i, person in enumerate(tick.scene.people)}
            starts = np.asarray(group.speaks_next, np.float64)[[place[p] for p in found.person_ids]]
        return Forecast(
            found.person_ids,
            into.probabilities(found.probabilities[chosen]),
            starts,
            futures.astype(np.uint8) if tick.scene.tick % STRIDE == 0 else None,
            group.speaker.person_id,
            group.speaker.probability,
        )
