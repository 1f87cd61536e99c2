"""MS-Sync: speech drives head and lips at four time scales (thesis, chapter 5), and ours with noise.

As in the thesis an LSTM reads the poses so far, a branch for each time scale reads its state, the pose and
what is heard at that scale, and a soft mask of landmarks merges the branches into the next velocity (5.6 to
5.8).
That is ``noise=False``: after the start, where the intent is drawn, a head moves by the sound alone. With
``noise`` the sound moves the expected velocity of
:class:`~hmgen_ros.generators.noise_driven.NoiseDriven` and says how sure it is, for one sentence can be
spoken in many ways.

Sound comes in ticks of audio features (:mod:`hmgen_ros.perception.audio_features`), ``look_ahead`` ticks
before the motion that belongs to it, which is all the generator knows of the future. Before each tick of
motion :meth:`MsSync.hear` is told the next tick of sound; without it the head goes on as if it were not
listening.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from hmgen_ros.generators.framed_motion import POSE, FramedState, chosen
from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.noise_driven_state import NoiseDrivenConfig, NoiseDrivenState, TickWeights
from hmgen_ros.generators.speech_branches import BranchWeights, SpeechBranches
from hmgen_ros.generators.speech_pyramid import LEVELS, STEPS, SpeechPyramid, SpeechState
from hmgen_ros.types import NUM_LANDMARKS, TICK_HZ
from hmgen_ros.types.sound import FEATURES, KINDS, LOOK_AHEAD_S


@dataclass(frozen=True, kw_only=True)
class MsSyncConfig(NoiseDrivenConfig):
    """Sizes and choices, beside those of the motion.

    Attributes:
        features: which audio features it hears, see :mod:`hmgen_ros.perception.audio_features`.
        channels: numbers that stand for the sound, at each level.
        width: of the branches.
        look_ahead: ticks of sound after a tick of motion that it waits for.
        noise: draw velocities (ours) instead of following the sound alone (the thesis).
        multi_scale: a branch for each of the four time scales; False leaves the finest one (figure 5.5).
    """

    features: str = "logmel"
    channels: int = 64
    width: int = 128
    look_ahead: int = 3
    noise: bool = True
    multi_scale: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features not in KINDS:
            raise ValueError(f"no features {self.features!r}; there are {', '.join(KINDS)}")
        if min(self.channels, self.width) < 1:
            raise ValueError(f"channels and width must be at least 1, got {self.channels}, {self.width}")
        if self.smoothed and not self.noise:
            raise ValueError("smoothed goes with noise: what follows the sound alone does not tremble")
        if not 0 <= self.look_ahead <= TICK_HZ:
            raise ValueError(f"look_ahead must lie between 0 and {TICK_HZ} ticks, got {self.look_ahead}")

    @property
    def look_ahead_s(self) -> float:
        """Seconds of sound after a tick of motion that decide it, those of the features included."""
        return self.look_ahead / TICK_HZ + LOOK_AHEAD_S


@dataclass(frozen=True, slots=True)
class MsSyncState(NoiseDrivenState):
    """What is remembered of each head, and of what it hears.

    Attributes:
        speech: of the sound.
        unheard: ``[N, 136]`` mean of the next velocity without what is heard, along the directions.
        loose: ``[N, 136]`` what the size of the noise comes from, without what is heard.
    """

    speech: SpeechState
    unheard: Tensor
    loose: Tensor


@dataclass(frozen=True, slots=True)
class SpeakingWeights(TickWeights):
    """The weights of one tick.

    Attributes:
        branches: of the sound.
        main: ``[K, 136]`` from velocities along their strongest directions to those of the landmarks.
        strongest: ``[K, 136]`` from what is told for these directions to what is for all; 0 for the others.
    """

    branches: BranchWeights
    main: Tensor
    strongest: Tensor


class MsSync(NoiseDriven):
    """The generator.

    Attributes:
        config: sizes and choices.
    """

    KIND: ClassVar[str] = "ms_sync"
    CONFIG: ClassVar[type[Any]] = MsSyncConfig
    config: MsSyncConfig

    def __init__(self, config: MsSyncConfig | None = None) -> None:
        super().__init__(config)
        config = self.config
        self.pyramid = SpeechPyramid(FEATURES, config.channels)
        self._levels = LEVELS if config.multi_scale else 1
        inputs = config.channels + config.directions + config.hidden
        self.branches = SpeechBranches(self._levels, inputs, config.width, config.directions, NUM_LANDMARKS)
        if not config.noise:
            # Neither a linear prediction nor drawn parts: the branches alone say what comes.
            self.linear.requires_grad_(False)
            self.drawn.requires_grad_(False)
            self.opening.requires_grad_(False)

    # -- sound ----------------------------------------------------------------------------------------------

    def listen(self, state: FramedState[Any], heard: Tensor) -> FramedState[Any]:
        """Take in sound before the head begins to move by it.

        Args:
            state: of ``N`` heads.
            heard: ``[N, 4, 26]`` audio features of one tick.
        """
        self._check(state, heard)
        speech, _ = self.pyramid.step(state.core.speech, heard)
        return replace(state, core=replace(state.core, speech=speech))

    def hear(self, state: FramedState[Any], heard: Tensor) -> FramedState[Any]:
        """Take in sound, and let it say how the head moves at the next tick.

        Args:
            state: of ``N`` heads.
            heard: ``[N, 4, 26]`` audio features of the tick ``look_ahead`` ticks after the next one.
        """
        self._check(state, heard)
        speech, levels = self.pyramid.step(state.core.speech, heard)
        moved = self._moved(self.prepared, state.core, levels)
        return replace(state, core=replace(state.core, speech=speech, **moved))

    def rollout_speaking(self, state: FramedState[Any], heard: Tensor, generator: torch.Generator) -> Tensor:
        """Let heads speak.

        Args:
            state: of ``N`` heads, which have listened to what came before.
            heard: ``[T + look_ahead, N, 4, 26]`` what comes, from the tick after the last pose on.
            generator: of random numbers.

        Returns:
            ``[T, N, 68, 2]`` landmarks; NaN for heads never seen.

        Raises:
            ValueError: there is no sound beyond the ticks looked ahead.
        """
        ahead = self.config.look_ahead
        if len(heard) <= ahead:
            raise ValueError(f"{len(heard)} ticks of sound are none to speak by, {ahead} are looked ahead")
        for tick in heard[:ahead]:
            state = self.listen(state, tick)
        state, future = self.start(state, generator), []
        for tick in heard[ahead:]:
            state, landmarks = self.advance(self.hear(state, tick), generator)
            future.append(landmarks)
        return torch.stack(future)

    def contexts(self, heard: Tensor) -> Tensor:
        """What the ticks of whole sounds hear (training).

        Args:
            heard: ``[B, T + look_ahead, 4, 26]``.

        Returns:
            ``[B, T, 4, C]``.
        """
        found: Tensor = self.pyramid(heard)[:, self.config.look_ahead :]
        return found

    # -- training -------------------------------------------------------------------------------------------

    def generate(
        self, observed: Tensor, reference: Tensor, steps: int, sound: Tensor | None = None
    ) -> Tensor:
        """As :meth:`NoiseDriven.generate`, of ``[R, S + steps + look_ahead, 4, 26]`` audio features."""
        return super().generate(observed, reference, steps, self._contexts(sound))

    def generate_late(
        self, reference: Tensor, wandered: int, steps: int, sound: Tensor | None = None
    ) -> Tensor:
        """As :meth:`NoiseDriven.generate_late`, of ``[R, wandered + steps + look_ahead, 4, 26]`` features."""
        return super().generate_late(reference, wandered, steps, self._contexts(sound))

    def _contexts(self, sound: Tensor | None) -> Tensor | None:
        return None if sound is None else self.contexts(sound)

    def surprise(self, poses: Tensor, reference: Tensor, heard: Tensor) -> Tensor:
        """Negative log likelihood of true velocities, each tick told the true past; a mean over all.

        Args:
            poses: ``[R, T, 136]`` in head frames.
            reference: ``[R, 136]`` the poses that the frames were made from.
            heard: ``[R, T + look_ahead, 4, 26]``.
        """
        sound, missed = self.contexts(heard), []
        weights = self.prepared
        core = self._first(weights, poses[:, 0], reference)
        for tick, pose in enumerate(poses[:, 1:].unbind(1), start=1):
            core = self._hearing(weights, core, sound, tick)
            off = ((pose - core.pose) @ weights.along - core.expected) / core.deviation
            missed.append((0.5 * off.square() + core.deviation.log()).mean())
            core = self._take_in(weights, core, pose)
        return torch.stack(missed).mean()

    @torch.no_grad()
    def fit_sound(self, heard: Tensor) -> None:
        """Measure mean and unit of ``[..., 26]`` audio features of the training set."""
        self.pyramid.norm.fit(heard.flatten(0, -2))

    # -- one tick -------------------------------------------------------------------------------------------

    def core_state(self, slots: int) -> MsSyncState:
        """Nothing seen or heard."""
        seen = super().core_state(slots)
        parts = {part.name: getattr(seen, part.name) for part in fields(seen)}
        speech = self.pyramid.initial_state(slots)
        return MsSyncState(**parts, speech=speech, unheard=seen.expected, loose=seen.expected)

    def core_observe(self, core: NoiseDrivenState, pose: Tensor, first: Tensor) -> NoiseDrivenState:
        """Take in one pose; what has been heard before a first one stays."""
        assert isinstance(core, MsSyncState)
        begun = replace(self._begun(pose, pose), speech=core.speech)  # type: ignore[call-arg]
        return self._take_in(self.prepared, chosen(first, begun, core), pose, first)

    def prepare(self) -> SpeakingWeights:
        """The weights as a tick uses them."""
        plain, count = super().prepare(), self.config.directions
        parts = {part.name: getattr(plain, part.name) for part in fields(plain)}
        strongest = torch.eye(POSE, device=self.back.device, dtype=self.back.dtype)[-count:]
        branches = self.branches.weights()
        return SpeakingWeights(**parts, branches=branches, main=self.back[-count:], strongest=strongest)

    # -- parts ----------------------------------------------------------------------------------------------

    def _expecting(
        self, weights: TickWeights, core: NoiseDrivenState, far: Tensor, hidden: Tensor, first: Tensor | None
    ) -> dict[str, Tensor]:
        assert isinstance(core, MsSyncState)
        if not self.config.noise:
            return {"expected": core.unheard}
        mean, loose = weights.foreseen(core, far, hidden, first)
        deviation = functional.softplus(loose) + weights.smallest
        expected, deviation = core.smooth(mean, deviation) if self.config.smoothed else (mean, deviation)
        return {"expected": expected, "deviation": deviation, "unheard": mean, "loose": loose}

    def _hearing(
        self, weights: TickWeights, core: NoiseDrivenState, sound: Tensor | None, tick: int
    ) -> NoiseDrivenState:
        return core if sound is None else replace(core, **self._moved(weights, core, sound[:, tick]))

    def _moved(self, weights: TickWeights, core: NoiseDrivenState, levels: Tensor) -> dict[str, Tensor]:
        """Fields of the state: what ``[N, 4, C]`` of the sound say of the next velocity."""
        assert isinstance(core, MsSyncState)
        assert isinstance(weights, SpeakingWeights)
        known = torch.cat([core.here, core.hidden], dim=1).expand(self._levels, -1, -1)
        inputs = torch.cat([levels.transpose(0, 1)[: self._levels], known], dim=2)
        spoken = self.branches(weights.branches, inputs, weights.main)
        expected = torch.addmm(core.unheard, spoken.velocity, weights.along)
        if not self.config.noise:
            return {"expected": expected}
        # The weaker directions tremble as they do unheard.
        loose = torch.addmm(core.loose, spoken.loose, weights.strongest)
        deviation = functional.softplus(loose) + weights.smallest
        if self.config.smoothed:
            expected, deviation = core.smooth(expected, deviation)
        return {"expected": expected, "deviation": deviation}

    def _following(self, weights: TickWeights, core: NoiseDrivenState, noise: Tensor | None) -> Tensor:
        return super()._following(weights, core, noise if self.config.noise else None)

    def _check(self, state: FramedState[Any], heard: Tensor) -> None:
        expected = (len(state.seen), STEPS, FEATURES)
        if heard.shape != expected:
            raise ValueError(f"sound of {list(expected)} features is needed, got {list(heard.shape)}")
