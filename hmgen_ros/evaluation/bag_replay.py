"""Plays a bag through perception and the forecasters, a tick at a time, as fast as it goes.

What perceives and forecasts is what the nodes call: :class:`hmgen_ros.perceiving.PerceptionStream`,
:class:`hmgen_ros.generators.group_forecaster.GroupForecaster` and
:class:`hmgen_ros.generators.head_forecaster.HeadForecaster`. Everything goes by stamps, and everything random
is seeded, so that one bag gives the same forecasts every time, bit for bit on one machine. Decoding,
perceiving and forecasting have a thread each, and hand over in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from hmgen_ros.audio_common import Sound
from hmgen_ros.evaluation.bag_inputs import Calibration, Inputs, Item, items
from hmgen_ros.evaluation.bag_reader import Bag
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.generators.constant_velocity import ConstantVelocity, ConstantVelocityConfig
from hmgen_ros.generators.group_forecaster import DEFAULT_ACTION_PREDICTOR, GroupForecast, GroupForecaster
from hmgen_ros.generators.head_forecaster import HeadForecaster
from hmgen_ros.perceiving import PerceptionStream, load_perception
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.streams.audio import AudioNormaliser, BadAudio
from hmgen_ros.streams.prefetch import Prefetch
from hmgen_ros.threads import one_thread_each
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import Counts, Frame, HeadMotion, Scene

#: What every forecaster has to beat, in every replay.
ACTION_BASELINE = "persistence"
HOLD, CONSTANT_VELOCITY = "hold", "constant_velocity"
#: Images, and scenes, that may wait for the next thread.
_AHEAD = 8


@dataclass(frozen=True)
class ReplaySettings:
    """Which models forecast, and how.

    Attributes:
        model: action predictor.
        head_model: head-motion predictor.
        speaker_model: generator of the heads of people who speak; empty: none.
        horizon_s, head_horizon_s: how far actions and heads are forecast, s.
        samples: sampled futures a tick.
        seed: of everything random.
        device: torch device.
        keep_images: hand images over with their ticks.
    """

    model: str = DEFAULT_ACTION_PREDICTOR
    head_model: str = CONSTANT_VELOCITY
    speaker_model: str = ""
    horizon_s: float = 1.6
    head_horizon_s: float = 1.0
    samples: int = 32
    seed: int = 0
    device: str = "cpu"
    keep_images: bool = False


@dataclass(frozen=True, slots=True)
class _Seen:
    """One tick as it was perceived, with its image where images are kept."""

    scene: Scene
    frame: Frame | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick and all forecasts made at it.

    Attributes:
        scene: who is there.
        groups: what the group will do, by model.
        heads: how heads will move, by model.
        frame: the image of the tick, where images are kept.
    """

    scene: Scene
    groups: dict[str, GroupForecast]
    heads: dict[str, tuple[HeadMotion, ...]]
    frame: Frame | None = None


@dataclass
class Replay:
    """One bag being played.

    Attributes:
        bag: an open bag.
        inputs: the topics that are played; counts what could not be used.
        settings: models.
        counts: what was dropped, repaired or noticed on the way.
        times: compute time of perception and of the forecasters, wall clock.
        forecasters: the chosen ones and the baselines.

    Raises:
        ValueError, RuntimeError, OSError: a model cannot be had.
    """

    bag: Bag
    inputs: Inputs
    settings: ReplaySettings
    counts: Counts = field(default_factory=Counts)
    times: StageTimes = field(default_factory=StageTimes)
    forecasters: Forecasters = field(init=False)

    def __post_init__(self) -> None:
        one_thread_each()
        torch.set_num_threads(1)
        self.forecasters = Forecasters(self.settings, self.times)

    def ticks(self) -> Iterator[Tick]:
        """Every tick in order; ``counts`` and ``times`` are complete after the last one.

        Raises:
            ValueError, RuntimeError, OSError: perception cannot have a model.
        """
        perceived = Prefetch(self._scenes(), _AHEAD, "perceive")
        try:
            while (item := next(perceived, None)) is not None:
                if isinstance(item, Sound):
                    self.forecasters.hear(item)
                else:
                    yield replace(self.forecasters.observe(item.scene), frame=item.frame)
        finally:
            perceived.close()
            self._add_up(self.forecasters.counts)

    def _scenes(self) -> Generator[_Seen | Sound, None, None]:
        decoded = Prefetch(items(self.bag, self.inputs), _AHEAD, "decode")
        try:
            if self.inputs.people is not None:
                yield from (_Seen(item) for item in _all(decoded) if isinstance(item, Scene))
            else:
                yield from self._perceived(decoded)
        finally:
            decoded.close()

    def _perceived(self, decoded: Prefetch[Item]) -> Generator[_Seen | Sound, None, None]:
        config = PerceptionConfig(seed=self.settings.seed)
        stream = PerceptionStream(load_perception(config, lambda cause, _: self.counts.add(cause)))
        try:
            for item in _all(decoded):
                if isinstance(item, Frame):
                    with self.times.stage("perception"):
                        scene = stream.perceive(item)
                    if scene is not None:
                        yield _Seen(scene, item if self.settings.keep_images else None)
                elif isinstance(item, Calibration):
                    stream.calibrate(item.message)
                elif isinstance(item, Sound):
                    self._hear(stream, item)
                    if self.settings.speaker_model:
                        yield item
        finally:
            self._add_up(stream.counts)
            stream.perception.close()

    def _hear(self, stream: PerceptionStream, sound: Sound) -> None:
        try:
            with self.times.stage("sound"):
                stream.hear(sound.stamp_ns, sound.samples, sound.rate, sound.channels)
        except BadAudio as error:
            self.inputs.drop(error.cause, str(error))

    def _add_up(self, parts: tuple[Counts, ...]) -> None:
        for part in parts:
            for cause, amount in part.items():
                self.counts.add(cause, amount)


class Forecasters:
    """The chosen models and the baselines on one stream of scenes.

    Attributes:
        counts: of all of them.
    """

    def __init__(self, settings: ReplaySettings, times: StageTimes) -> None:
        """Load and warm up; raises as :class:`Replay`."""
        s, self._times = settings, times
        names = dict.fromkeys((s.model, ACTION_BASELINE))
        self._groups = {
            name: GroupForecaster.load(name, s.device, s.horizon_s, s.samples, s.seed) for name in names
        }
        self._heads = {s.head_model: _head_forecaster(s.head_model, s, s.speaker_model)}
        for name in (CONSTANT_VELOCITY, HOLD):
            self._heads.setdefault(name, _head_forecaster(name, s))
        self._chosen = {s.model, s.head_model}
        self._sound = AudioNormaliser()
        for group in self._groups.values():
            group.warm_up()
        for head in self._heads.values():
            head.warm_up()

    @property
    def spaces(self) -> dict[str, ActionSpace]:
        """The action spaces of the action predictors."""
        return {name: group.space for name, group in self._groups.items()}

    @property
    def heads(self) -> tuple[str, ...]:
        """The head-motion predictors, the chosen one first."""
        return tuple(self._heads)

    @property
    def counts(self) -> tuple[Counts, ...]:
        """Of the chosen action predictor; the others see the same."""
        return (next(iter(self._groups.values())).counts,)

    def hear(self, sound: Sound) -> None:
        """Take in sound for the forecasts of people who speak."""
        try:
            found = self._sound.accept(sound.stamp_ns, sound.samples, sound.rate, sound.channels)
        except BadAudio:
            # Perception has heard and counted it.
            return
        if found is not None:
            for head in self._heads.values():
                head.hear(found.chunk, found.reset)

    def observe(self, scene: Scene) -> Tick:
        """Take in one tick and let everybody forecast."""
        groups: dict[str, GroupForecast] = {}
        heads: dict[str, tuple[HeadMotion, ...]] = {}
        for name, group in self._groups.items():
            with self._times.stage("interaction" if name in self._chosen else "baselines"):
                groups[name] = group.observe(scene)
        for name, head in self._heads.items():
            with self._times.stage("head_motion" if name in self._chosen else "baselines"):
                heads[name] = head.observe(scene)
        return Tick(scene, groups, heads)


def _head_forecaster(name: str, s: ReplaySettings, speakers: str = "") -> HeadForecaster:
    if name == HOLD:
        still = ConstantVelocity(ConstantVelocityConfig(gain=0.0)).to(s.device)
        return HeadForecaster(still, solve_head_pose, s.device, s.head_horizon_s, s.seed)
    return HeadForecaster.load(name, solve_head_pose, s.device, s.head_horizon_s, s.seed, speakers)


def _all(source: Prefetch[Item]) -> Iterator[Item]:
    while (item := next(source, None)) is not None:
        yield item


class Digest:
    """A checksum of everything that was perceived and forecast, to tell whether two replays are the same."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, tick: Tick) -> None:
        """Take in one tick."""
        scene = tick.scene
        for person in scene.people:
            self._text(person.person_id, person.actions, person.voice_activity)
            self._array(person.probabilities)
            if person.face is not None:
                self._array(person.face.landmarks_px)
        self._text(scene.stamp_ns, scene.tick, scene.missed_ticks, scene.reset)
        for group in tick.groups.values():
            self._array(group.forecast.probabilities)
            self._array(group.forecast.samples)
            self._text(group.actions, group.speaker)
        for motions in tick.heads.values():
            for motion in motions:
                self._array(motion.landmarks_px)
                self._array(motion.pose)

    def hexadecimal(self) -> str:
        """SHA-256 of all ticks so far."""
        return self._hash.hexdigest()

    def _array(self, values: np.ndarray) -> None:
        self._hash.update(np.ascontiguousarray(values).data)

    def _text(self, *values: object) -> None:
        self._hash.update(repr(values).encode())
