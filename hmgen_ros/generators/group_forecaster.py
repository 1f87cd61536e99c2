"""From scenes to the group's forecast, a tick at a time.

This is what a node, a bag replay and a test call; generators know nothing of people's ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import KNOWN_BITS, ActionSpace
from hmgen_ros.generators.group_attention import GroupAttention
from hmgen_ros.generators.interface import ActionPredictor
from hmgen_ros.generators.persistence import Persistence
from hmgen_ros.generators.rollout import (
    NextAction,
    count_speaking_ticks,
    forecast,
    next_actions,
    next_speaker,
)
from hmgen_ros.generators.seats import MAX_HELD, Seats, steps_of
from hmgen_ros.generators.semi_markov import SemiMarkov
from hmgen_ros.generators.social import SocialGenerator
from hmgen_ros.types import (
    TICK_HZ,
    UNKNOWN_MASK,
    ActionForecast,
    ActionOutlook,
    Counts,
    Person,
    Scene,
    SpeakerOutlook,
)

#: Shipped networks of the thesis' chapter 3, with the weights of one training each.
_SOCIAL = ("likelihood", "local_rnn", "simple_rnn", "dense_rnn", "no_gan")

#: Every shipped action predictor by name.
ACTION_PREDICTORS: dict[str, Callable[[str], ActionPredictor[Any]]] = {
    "group_attention": partial(GroupAttention.load, "group_attention"),
    "semi_markov": partial(SemiMarkov.load, "semi_markov"),
    "persistence": partial(Persistence.load, "persistence"),
    **{name: partial(SocialGenerator.load, name) for name in _SOCIAL},
}

#: What nodes and commands take: the one that forecasts best (see docs/results/social.md).
DEFAULT_ACTION_PREDICTOR = "group_attention"


@dataclass(frozen=True, slots=True)
class GroupForecast:
    """What one tick gives.

    Attributes:
        forecast: of everyone whose actions are known; empty arrays when there is nobody.
        actions: one for each person in the scene; not valid where the actions are unknown.
        speaker: who takes the floor next.
        speaks_next: ``[N]`` probability of each person in the scene to be the first to begin to speak; None
            where the sampled futures alone tell.
    """

    forecast: ActionForecast
    actions: tuple[ActionOutlook, ...]
    speaker: SpeakerOutlook
    speaks_next: NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True)
class GroupMoment:
    """All that a forecast is made from, which forecasting does not change.

    Attributes:
        stamp_ns: stamp of the last observed tick; 0 of a history that was told.
        person_ids: ``N`` people.
        masks: ``N`` bit masks of what they do.
        current: ``[N]`` the same as indices of the predictor's action space.
        spoken: ``[N]`` ticks that each has spoken without a break.
        state: of the predictor.
        frame_id: the camera's frame.
    """

    stamp_ns: int
    person_ids: tuple[str, ...]
    masks: tuple[int, ...]
    current: NDArray[np.int64]
    spoken: NDArray[np.int64]
    state: Any
    frame_id: str = ""


class GroupForecaster:
    """Streams scenes through an action predictor.

    Attributes:
        counts: ``unknown_action_bits``: masks with bits that stand for no action (ignored).
        moment: the present, after the last tick; None before the first.
    """

    def __init__(
        self,
        predictor: ActionPredictor[Any],
        device: str = "cpu",
        horizon_s: float = 1.6,
        samples: int = 32,
        seed: int = 0,
    ) -> None:
        """Start without history.

        Args:
            predictor: the generator, on ``device``.
            device: torch device.
            horizon_s: how far futures reach, s.
            samples: futures a tick.
            seed: of the futures; drawn anew at each reset of the history, so that the same recording
                gives the same forecasts.
        """
        self.counts = Counts()
        self._predictor = predictor.eval()
        self._seats = Seats(predictor)
        self._device = torch.device(device)
        self.adjust(horizon_s, samples)
        self._seed = seed
        self._generator = torch.Generator(device=self._device)
        self.reset()

    @classmethod
    def load(
        cls, model: str, device: str = "cpu", horizon_s: float = 1.6, samples: int = 32, seed: int = 0
    ) -> GroupForecaster:
        """A forecaster with a shipped model.

        Raises:
            ValueError: there is no model of this name.
            RuntimeError, OSError: its file is damaged or missing, or the device is not there.
        """
        make = ACTION_PREDICTORS.get(model)
        if make is None:
            raise ValueError(f"no action predictor {model!r}; one of: {', '.join(ACTION_PREDICTORS)}")
        return cls(make(device), device, horizon_s, samples, seed)

    @property
    def space(self) -> ActionSpace:
        """What the actions of its forecasts are."""
        return self._predictor.space

    def adjust(self, horizon_s: float, samples: int) -> None:
        """Draw other futures from the next tick on; arguments as of the constructor."""
        self._steps, self._samples = steps_of(horizon_s), samples

    def reset(self) -> None:
        """Forget everybody."""
        self._stamp_ns = 0  # of the last tick
        self._seats.clear()
        self._last = torch.zeros(0, dtype=torch.int64, device=self._device)
        self._spoken = np.zeros(0, np.int64)
        self.moment: GroupMoment | None = None
        self._generator.manual_seed(self._seed)

    def warm_up(self) -> None:
        """Run on nobody and on a group, so that the first real tick is as fast as the rest."""
        group = tuple(Person(str(i), None, 0.0, 0, np.full(0, np.nan, np.float32)) for i in range(4))
        for people in ((), group, group):
            self.observe(Scene(1, 0, people, 0.0, (1, 1)))
        self.reset()

    @torch.inference_mode()
    def observe(self, scene: Scene) -> GroupForecast:
        """Take in one tick and forecast from it."""
        # Whoever told of the jump back may have been lost, or a bag may begin after it.
        if scene.reset or scene.stamp_ns < self._stamp_ns:
            self.reset()
        self._stamp_ns = scene.stamp_ns
        seats = self._seats
        for _ in range(min(scene.missed_ticks, MAX_HELD)):
            seats.state, _ = self._predictor.step(seats.state, self._last)
        ids = [person.person_id for person in scene.people]
        seats.follow(scene.events)
        before = seats.seat(ids)
        masks = [self._mask(person) for person in scene.people]
        current = self._predictor.space.observe_array(np.array(masks, np.int64))
        # Places of people who just came (-1) read the zero appended at the end.
        spoken = np.append(self._spoken, 0)[np.array(before, np.int64)]
        self._spoken = count_speaking_ticks(spoken, current, self._predictor.space)
        self._last = torch.from_numpy(current).to(self._device)
        seats.state, _ = self._predictor.step(seats.state, self._last)
        names, frame_id = tuple(ids), scene.frame_id
        self.moment = GroupMoment(
            scene.stamp_ns, names, tuple(masks), current, self._spoken, seats.state, frame_id
        )
        return self._look_ahead(self.moment, self._steps, self._samples, self._generator)

    @torch.inference_mode()
    def recall(self, person_ids: Sequence[str], masks: NDArray[np.integer]) -> GroupMoment:
        """The moment after a history that was told, as if it had been observed.

        Nothing that is observed is changed, so that another thread may call this.

        Args:
            person_ids: ``N`` names, at least one.
            masks: ``[T, N]`` bit masks of each tick, the oldest first, at least one.

        Raises:
            ValueError: a mask has bits that stand for no action.
        """
        space = self._predictor.space
        actions = space.observe_array(masks)
        spoken = np.zeros(len(person_ids), np.int64)
        for row in actions:
            spoken = count_speaking_ticks(spoken, row, space)
        last = torch.tensor([len(actions) - 1], device=self._device)
        state = self._predictor.history(torch.from_numpy(actions).to(self._device), last)
        now = tuple(int(mask) for mask in masks[-1])
        return GroupMoment(0, tuple(person_ids), now, actions[-1], spoken, state)

    @torch.inference_mode()
    def ask(self, moment: GroupMoment, horizon_s: float, samples: int, seed: int) -> GroupForecast:
        """Forecast from a moment of this forecaster; observes nothing, and any thread may call it."""
        generator = torch.Generator(device=self._device).manual_seed(seed)
        return self._look_ahead(moment, steps_of(horizon_s), samples, generator)

    def _look_ahead(
        self, moment: GroupMoment, steps: int, samples: int, generator: torch.Generator
    ) -> GroupForecast:
        futures = self._predictor.futures(moment.state, steps, samples, generator)
        # A history that was told has one more dimension: one group of several that could be asked at once.
        sampled = futures.samples.flatten(2).cpu().numpy()
        table = futures.marginals.flatten(1, -2).cpu().numpy()
        known = None if futures.speaks_next is None else futures.speaks_next.flatten().cpu().numpy()
        space, stamp, horizon_s = self._predictor.space, moment.stamp_ns, steps / TICK_HZ
        ids, current = moment.person_ids, moment.current
        actions = next_actions(sampled, current, space)
        speaker = next_speaker(sampled, current, moment.spoken, space, probabilities=known)
        return GroupForecast(
            forecast(sampled, table, current, space, stamp, ids),
            tuple(
                _outlook(action, stamp, person_id, mask, horizon_s)
                for action, person_id, mask in zip(actions, ids, moment.masks, strict=True)
            ),
            SpeakerOutlook(
                stamp_ns=stamp,
                horizon_s=horizon_s,
                valid=speaker.valid,
                current_speaker_id="" if speaker.current is None else ids[speaker.current],
                person_id="" if speaker.person is None else ids[speaker.person],
                probability=speaker.probability,
                none_probability=speaker.none_probability,
                seconds_until_start=speaker.seconds_until_start,
            ),
            known,
        )

    def _mask(self, person: Person) -> int:
        if person.actions & UNKNOWN_MASK:
            return UNKNOWN_MASK
        if person.actions & ~KNOWN_BITS:
            self.counts.add("unknown_action_bits")
        return person.actions & KNOWN_BITS


def _outlook(action: NextAction, stamp_ns: int, person_id: str, mask: int, horizon_s: float) -> ActionOutlook:
    if not action.valid:
        return ActionOutlook(stamp_ns, person_id, horizon_s)
    changes = action.seconds_until_start > 0
    return ActionOutlook(
        stamp_ns=stamp_ns,
        person_id=person_id,
        horizon_s=horizon_s,
        valid=True,
        current_mask=mask,
        next_mask=action.next_mask if changes else mask,
        confidence=action.confidence,
        seconds_until_start=action.seconds_until_start,
        change_probability=action.change_probability,
        speak_probability=action.speak_probability,
    )
