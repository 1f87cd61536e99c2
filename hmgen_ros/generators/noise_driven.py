"""Head motion from noise: an LSTM whose velocities are drawn, trained on whole futures, not on single ticks.

As in (4.4) the pose changes by velocities, ``x_t = x_{t-1} + v_t``. The velocity is a linear prediction from
the last two, corrected by an LSTM, with normal noise whose size the LSTM sets. A vector that is drawn once
for each stretch of free motion (``intent``) tells one future from another as a whole: a head that rests from
one that nods. The LSTM also reads how each velocity differed from the expected one, in standard deviations:
in free motion that is the noise itself, from which it can begin a blink or a nod.

What makes it move like people is how it is trained (:mod:`hmgen_ros.training.energy_score`): futures that it
has generated itself are compared with what the head did, at many time scales. One tick's likelihood says next
to nothing about the weak forces that bring a head back within seconds, and so heads trained by it wander off.
Some of the training looks at where heads are after many seconds of free motion: as anywhere on their tracks.

Velocities are described along the directions in which the unpredictable parts are uncorrelated, so that a
size of the noise for each is enough. The linear prediction knows how far the head is from the pose that its
frame was made from, in each of these directions: this draws it back, however long it runs. The LSTM sees that
in the main directions of poses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hmgen_ros.generators.framed_motion import POSE, FramedMotion, chosen

#: Where ``asinh`` begins to bend what the LSTM reads, in standard deviations.
_BEND = 0.2
#: Directions in which hardly anything moves are measured in this part of the largest unit, or rounding would
#: be taken for motion.
_FLAT = 2e-3
#: Smallest standard deviation of a velocity, in standard deviations of all, and largest surprise.
_SMALLEST, _SURPRISE = 1e-3, 5.0


@dataclass(frozen=True, kw_only=True)
class NoiseDrivenConfig:
    """Sizes.

    Attributes:
        hidden: size of the LSTM's state.
        intent: numbers drawn once for each stretch of free motion.
        directions: main directions that poses are described by.
        temperature: what the noise of velocities is multiplied by in use, but not while training. There are
            few people to learn from, so that a training set's own liveliness is learned, and others are
            calmer or livelier; of a value below 1, futures are calmer and more alike.

    Raises:
        ValueError: a size is out of its range.
    """

    hidden: int = 128
    intent: int = 16
    directions: int = 48
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if min(self.hidden, self.intent) < 1:
            raise ValueError(f"hidden and intent must be at least 1, got {self.hidden}, {self.intent}")
        if not 1 <= self.directions <= POSE:
            raise ValueError(f"directions must lie between 1 and {POSE}, got {self.directions}")
        if not 0.0 < self.temperature <= 2.0:
            raise ValueError(f"temperature must lie in (0, 2], got {self.temperature}")


@dataclass(frozen=True, slots=True)
class NoiseDrivenState:
    """What is remembered of each head; velocities are along the directions, in their units.

    Attributes:
        pose: ``[N, 136]`` the last one.
        home: ``[N, 136]`` the pose that the frame was made from.
        place: ``[N, K]`` the same from the mean, along the main directions of poses.
        away: ``[N, 136 + K]`` from home to the last pose, along both kinds of directions.
        velocity: ``[N, 136]`` the last velocity; zero where not known.
        before: ``[N, 136]`` the one before; the last velocity again where not known.
        expected: ``[N, 136]`` mean of the next velocity.
        deviation: ``[N, 136]`` standard deviation of it.
        seen: ``[N]`` poses taken in so far, up to 2, float.
        intent: ``[N, I]``, zero while only observing.
        hidden, cell: ``[N, H]``.
    """

    pose: Tensor
    home: Tensor
    place: Tensor
    away: Tensor
    velocity: Tensor
    before: Tensor
    expected: Tensor
    deviation: Tensor
    seen: Tensor
    intent: Tensor
    hidden: Tensor
    cell: Tensor


class NoiseDriven(FramedMotion[NoiseDrivenState]):
    """The generator.

    Attributes:
        config: sizes.
        mean: ``[136]`` mean pose of the training set, in head frames.
        into: ``[136, 136 + K]`` to directions: of velocities, orthogonal, each over its standard deviation;
            then the main ones of poses over theirs.
        back: ``[136, 136]`` from velocities along their directions to those of the landmarks.
        nearer: ``[136]`` one over how far heads go along the directions of velocities.
    """

    KIND: ClassVar[str] = "noise_driven"
    CONFIG: ClassVar[type[Any]] = NoiseDrivenConfig
    config: NoiseDrivenConfig

    mean: Tensor
    into: Tensor
    back: Tensor
    nearer: Tensor

    def __init__(self, config: NoiseDrivenConfig | None = None) -> None:
        super().__init__(config)
        config = self.config
        self.cell = nn.LSTMCell(2 * config.directions + 2 * POSE + config.intent + 1, config.hidden)
        self.linear = nn.Linear(3 * POSE, POSE)
        self.drawn = nn.Linear(config.hidden, 2 * POSE)
        # The first velocity is drawn from elsewhere than the later ones.
        self.opening = nn.Parameter(torch.zeros(2 * POSE))
        with torch.no_grad():
            self.drawn.weight.mul_(0.3)
            self.drawn.bias.zero_()
            self.linear.weight.zero_()
            self.linear.bias.zero_()
        self.register_buffer("mean", torch.zeros(POSE))
        self.register_buffer("into", torch.eye(POSE).repeat(1, 2)[:, : POSE + config.directions].clone())
        self.register_buffer("back", torch.eye(POSE))
        self.register_buffer("nearer", torch.ones(POSE))

    # -- one tick -------------------------------------------------------------------------------------------

    def core_state(self, slots: int) -> NoiseDrivenState:
        """Nothing seen."""
        sizes = POSE, self.config.directions, self.into.shape[1], self.config.intent, self.config.hidden
        poses, place, away, intent, hidden = (self.mean.new_zeros((slots, size)) for size in sizes)
        ones, seen = torch.ones_like(poses), poses[:, 0]
        return NoiseDrivenState(
            poses, poses, place, away, poses, poses, poses, ones, seen, intent, hidden, hidden
        )

    def core_observe(self, core: NoiseDrivenState, pose: Tensor, first: Tensor) -> NoiseDrivenState:
        """Take in one pose."""
        return self._take_in(chosen(first, self._begun(pose, pose), core), pose)

    def core_go_on(self, core: NoiseDrivenState, pose: Tensor) -> NoiseDrivenState:
        """Take in one pose of its own."""
        return self._take_in(core, pose)

    def core_next(self, core: NoiseDrivenState, pose: Tensor, generator: torch.Generator | None) -> Tensor:
        """The pose one tick later, drawn, or the expected one."""
        noise = None
        if generator is not None:
            noise = torch.randn(pose.shape, generator=generator, device=pose.device, dtype=pose.dtype)
        return self._following(core, noise)

    def core_start(
        self, core: NoiseDrivenState, pose: Tensor, generator: torch.Generator
    ) -> NoiseDrivenState:
        """Draw the intent."""
        size = core.intent.shape
        intent = torch.randn(size, generator=generator, device=pose.device, dtype=pose.dtype)
        return self._intending(core, intent)

    # -- whole sequences ------------------------------------------------------------------------------------

    def core_sequence(self, poses: Tensor) -> Tensor:
        """``[R, T, 136]`` to the expected next ones."""
        core, following = self._begun(poses[:, 0], poses[:, 0]), []
        for pose in poses.unbind(1):
            core = self._take_in(core, pose)
            following.append(self._following(core, None))
        return torch.stack(following, dim=1)

    def generate(
        self, observed: Tensor, reference: Tensor, steps: int, sound: Tensor | None = None
    ) -> Tensor:
        """Go on after some true ticks, with gradients; drawn by PyTorch's own generator (training).

        Args:
            observed: ``[R, S, 136]`` in head frames, ``S`` at least 1.
            reference: ``[R, 136]`` the poses that the frames were made from.
            steps: ticks to generate, at least 1.
            sound: ``[R, S + steps, ...]`` what is heard at each tick, for generators that hear.

        Returns:
            ``[R, steps, 136]``.
        """
        core = self._begun(observed[:, 0], reference)
        for tick, pose in enumerate(observed.unbind(1)):
            # What is heard tells of a movement, and the first pose is none.
            core = self._take_in(self._hearing(core, sound, tick) if tick else core, pose)
        core = self._intending(core, torch.randn_like(core.intent))
        return self._go_on(core, steps, sound, observed.shape[1])

    def generate_late(
        self, reference: Tensor, wandered: int, steps: int, sound: Tensor | None = None
    ) -> Tensor:
        """Go on from single poses for long, and then with gradients for some ticks (training).

        Args:
            reference: ``[R, 136]`` the poses, from which the frames were made.
            wandered: ticks before, kept plausible.
            steps: ticks to generate behind them, at least 1.
            sound: ``[R, wandered + steps, ...]`` what is heard at each tick, for generators that hear.

        Returns:
            ``[R, steps, 136]``.
        """
        with torch.no_grad():
            core = self._take_in(self._begun(reference, reference), reference)
            core = self._intending(core, torch.randn_like(core.intent))
            for tick in range(wandered):
                core = self._hearing(core, sound, tick)
                pose = self._following(core, torch.randn_like(core.pose))
                core = self._take_in(core, self.plausible(pose, reference, core.pose))
        return self._go_on(core, steps, sound, wandered)

    def _go_on(self, core: NoiseDrivenState, steps: int, sound: Tensor | None, begin: int) -> Tensor:
        """``steps`` ticks, the first of which is tick ``begin`` of the sound."""
        future = []
        for tick in range(begin, begin + steps):
            core = self._hearing(core, sound, tick)
            pose = self._following(core, torch.randn_like(core.pose))
            core = self._take_in(core, pose)
            future.append(pose)
        return torch.stack(future, dim=1)

    # -- weights --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def fit_units(self, poses: Tensor, reference: Tensor) -> None:
        """Measure directions and units, and the linear prediction to start from.

        Args:
            poses: ``[R, T, 136]`` training tracks in head frames, ``T`` at least 4.
            reference: ``[R, 136]`` the poses that the frames were made from.
        """
        flat, count = poses.flatten(0, 1), self.config.directions
        self.mean.copy_(flat.mean(0))
        values, vectors = torch.linalg.eigh(torch.cov((flat - self.mean).double().T))
        spread = values[-count:].clamp(min=float(values[-1]) * _FLAT**2).sqrt()
        velocity = poses.diff(dim=1)
        axes = torch.linalg.eigh(torch.cov(velocity.diff(dim=1).flatten(0, 1).double().T))[1].float()
        unit = (velocity.flatten(0, 1) @ axes).square().mean(0).sqrt()
        unit = unit.clamp(min=_FLAT * float(unit.max()))
        self.into.copy_(torch.cat([axes / unit, (vectors[:, -count:] / spread).float()], dim=1))
        self.back.copy_((axes * unit).T)
        along = velocity @ axes / unit
        away = ((poses - reference.unsqueeze(1)) @ axes / unit)[:, 2:-1]
        self.nearer.copy_(away.flatten(0, 1).square().mean(0).clamp(min=1.0).rsqrt())
        known = torch.cat([along[:, 1:-1], along[:, :-2], away * self.nearer], dim=-1)
        # Quiet heads count as much as lively ones.
        weight = along.square().mean(dim=(1, 2), keepdim=True).clamp(min=1e-6).rsqrt()
        rows, now = ((part * weight).flatten(0, 1).double() for part in (known, along[:, 2:]))
        # A trace of ridge: some directions hardly ever move.
        ridge = 1e-2 * len(rows) * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
        solved = torch.linalg.solve(rows.T @ rows + ridge, rows.T @ now)
        self.linear.weight.copy_(solved.T)
        rest = (now - rows @ solved).square().mean(0).sqrt()
        later = _inverse_softplus(rest.clamp(min=1e-3)).float()
        self.drawn.bias[POSE:] = later
        self.opening[POSE:] = _inverse_softplus(torch.ones_like(later)) - later

    # -- parts ----------------------------------------------------------------------------------------------

    def _begun(self, pose: Tensor, reference: Tensor) -> NoiseDrivenState:
        """Heads that begin with ``[N, 136]`` poses, before these are taken in."""
        place = (reference - self.mean) @ self.into[:, POSE:]
        return replace(self.core_state(len(pose)), pose=pose, home=reference, place=place)

    def _take_in(self, core: NoiseDrivenState, pose: Tensor) -> NoiseDrivenState:
        """The state after ``[N, 136]`` poses; a first pose is the one that the state already has."""
        # Differences first: in the units of the weakest directions, the rounding of whole poses is not small.
        moved, away = (torch.cat([pose - core.pose, pose - core.home]) @ self.into).chunk(2)
        velocity = moved[:, :POSE]
        before = torch.where((core.seen > 1.5).unsqueeze(-1), core.velocity, velocity)
        surprise = ((velocity - core.expected) / core.deviation).clamp(-_SURPRISE, _SURPRISE)
        seen = (core.seen + 1.0).clamp(max=2.0)
        core = replace(core, pose=pose, away=away, velocity=velocity, before=before, seen=seen)
        return self._read(core, surprise)

    def _intending(self, core: NoiseDrivenState, intent: Tensor) -> NoiseDrivenState:
        """The last pose is read once more, now with the intent: the LSTM has to know before it moves."""
        return self._read(replace(core, intent=intent), torch.zeros_like(core.velocity))

    def _read(self, core: NoiseDrivenState, surprise: Tensor) -> NoiseDrivenState:
        """The LSTM's tick, and what it expects of the next one."""
        begins = (core.seen < 1.5).to(core.pose.dtype).unsqueeze(-1)
        far, nearby = core.away.split([POSE, self.config.directions], dim=-1)
        # Bent, so that small movements of quiet heads are heard beside the large ones of lively heads.
        bent = torch.asinh(torch.cat([nearby, core.velocity], dim=-1) / _BEND)
        inputs = torch.cat([core.place + nearby, bent, surprise, core.intent, begins], dim=-1)
        hidden, cell = self.cell(inputs, (core.hidden, core.cell))
        given = torch.addcmul(self.drawn(hidden), begins, self.opening)
        linear = self.linear(torch.cat([core.velocity, core.before, far * self.nearer], dim=-1))
        expecting = self._expecting(given[:, :POSE] + linear, given[:, POSE:])
        return replace(core, hidden=hidden, cell=cell, **expecting)

    def _expecting(self, mean: Tensor, loose: Tensor) -> dict[str, Tensor]:
        """Fields of the state: what is expected of the next velocity; ``loose`` tells how much is drawn."""
        return {"expected": mean, "deviation": nn.functional.softplus(loose) + _SMALLEST}

    def _hearing(self, core: NoiseDrivenState, sound: Tensor | None, tick: int) -> NoiseDrivenState:
        """What changes by what is heard at a tick; nothing, for this generator does not hear."""
        return core

    def _following(self, core: NoiseDrivenState, noise: Tensor | None) -> Tensor:
        """The next poses; noise is standard normal, None asks for the expected ones."""
        velocity = core.expected
        if noise is not None:
            size = 1.0 if self.training else self.config.temperature
            velocity = torch.addcmul(velocity, core.deviation, noise, value=size)
        following: Tensor = torch.addmm(core.pose, velocity, self.back)
        return following


def _inverse_softplus(value: Tensor) -> Tensor:
    small: Tensor = torch.expm1(value.clamp(max=20.0)).clamp(min=1e-6).log()
    return torch.where(value > 20.0, value, small)
