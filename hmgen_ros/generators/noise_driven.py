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

Tracks have been smoothed, and hardly tremble. Velocities that are drawn anew at each tick would, and never
quite rest; so they are drawn rough, and smoothed by the weights of the tracks (``smoothed``).

Velocities are described along the directions in which the unpredictable parts are uncorrelated, so that a
size of the noise for each is enough. The linear prediction knows how far the head is from the pose that its
frame was made from, in each of these directions: this draws it back, however long it runs. The LSTM sees that
in the main directions of poses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.framed_motion import POSE, FramedMotion, chosen
from hmgen_ros.generators.layers import inverse_softplus, lstm_gates
from hmgen_ros.generators.noise_driven_state import NoiseDrivenConfig, NoiseDrivenState, TickWeights
from hmgen_ros.generators.prepared import Prepared
from hmgen_ros.generators.reused import Reused
from hmgen_ros.generators.velocity_units import velocity_units

#: Where ``asinh`` begins to bend what the LSTM reads, in standard deviations.
_BEND = 0.2
#: Smallest standard deviation of a velocity, in standard deviations of all, and largest surprise.
_SMALLEST, _SURPRISE = 1e-3, 5.0


class NoiseDriven(Prepared[TickWeights], FramedMotion[NoiseDrivenState]):
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
        self._away = [POSE, config.directions]
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
        sizes = POSE, self.config.directions, self.config.intent, self.config.hidden
        poses, place, intent, hidden = (self.mean.new_zeros((slots, size)) for size in sizes)
        ones, moved = torch.ones_like(poses), torch.zeros_like(poses[:, :1], dtype=torch.bool)
        return NoiseDrivenState(
            poses, poses, place, place, poses, poses, moved, poses, ones, intent, hidden, hidden, poses, poses
        )

    def core_observe(self, core: NoiseDrivenState, pose: Tensor, first: Tensor) -> NoiseDrivenState:
        """Take in one pose."""
        return self._take_in(self.prepared, chosen(first, self._begun(pose, pose), core), pose, first)

    def core_go_on(self, core: NoiseDrivenState, pose: Tensor) -> NoiseDrivenState:
        """Take in one pose of its own."""
        return self._take_in(self.prepared, core, pose, free=True)

    def core_next(self, core: NoiseDrivenState, pose: Tensor, generator: torch.Generator | None) -> Tensor:
        """The pose one tick later, drawn, or the expected one."""
        noise = None
        if generator is not None:
            noise = torch.randn(pose.shape, generator=generator, device=pose.device, dtype=pose.dtype)
        return self._following(self.prepared, core, noise)

    def core_start(
        self, core: NoiseDrivenState, pose: Tensor, generator: torch.Generator
    ) -> NoiseDrivenState:
        """Draw the intent."""
        size = core.intent.shape
        intent = torch.randn(size, generator=generator, device=pose.device, dtype=pose.dtype)
        return self._intending(self.prepared, core, intent)

    # -- whole sequences ------------------------------------------------------------------------------------

    def core_sequence(self, poses: Tensor) -> Tensor:
        """``[R, T, 136]`` to the expected next ones."""
        weights = self.prepared
        core = self._first(weights, poses[:, 0], poses[:, 0])
        following = [self._following(weights, core, None)]
        for pose in poses[:, 1:].unbind(1):
            core = self._take_in(weights, core, pose)
            following.append(self._following(weights, core, None))
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
        weights = self.prepared
        core = self._first(weights, observed[:, 0], reference)
        # What is heard tells of a movement, and the first pose is none.
        for tick, pose in enumerate(observed[:, 1:].unbind(1), start=1):
            core = self._take_in(weights, self._hearing(weights, core, sound, tick), pose)
        core = self._intending(weights, core, torch.randn_like(core.intent))
        return self._go_on(weights, core, steps, sound, observed.shape[1])

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
        weights = self.prepared
        with torch.no_grad():
            core = self._first(weights, reference, reference)
            core = self._intending(weights, core, torch.randn_like(core.intent))
            for tick in range(wandered):
                core = self._hearing(weights, core, sound, tick)
                pose = self._following(weights, core, torch.randn_like(core.pose))
                core = self._take_in(weights, core, self.plausible(pose, reference, core.pose), free=True)
        return self._go_on(weights, core, steps, sound, wandered)

    def _go_on(
        self, weights: TickWeights, core: NoiseDrivenState, steps: int, sound: Tensor | None, begin: int
    ) -> Tensor:
        """``steps`` ticks, the first of which is tick ``begin`` of the sound."""
        future = []
        for tick in range(begin, begin + steps):
            core = self._hearing(weights, core, sound, tick)
            pose = self._following(weights, core, torch.randn_like(core.pose))
            core = self._take_in(weights, core, pose, free=True)
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
        units = velocity_units(poses, reference, self.config.directions, self.config.smoothed)
        for buffer in ("mean", "into", "back", "nearer"):
            self.get_buffer(buffer).copy_(getattr(units, buffer))
        self.linear.weight.copy_(units.linear)
        later = inverse_softplus(units.rest.clamp(min=1e-3)).float()
        self.drawn.bias[POSE:] = later
        self.opening[POSE:] = inverse_softplus(torch.ones_like(later)) - later
        self.changed()

    def prepare(self) -> TickWeights:
        """The weights as a tick uses them."""
        cell, along = self.cell, self.into[:, :POSE]
        # tanh(x) is 2 σ(2 x) - 1: all gates are one sigmoid.
        factor = self.mean.new_ones(4, self.config.hidden)
        factor[2] = 2.0
        factor = factor.flatten()
        drawn_bias = self.drawn.bias + functional.pad(self.linear.bias, (0, POSE))
        gates = torch.cat([cell.weight_ih[:, :-1], cell.weight_hh], dim=1) * factor.unsqueeze(1)
        return TickWeights(
            along=along,
            back=self.back,
            away=torch.cat([along * self.nearer, self.into[:, POSE:]], dim=1),
            sharp=self.mean.new_tensor(1.0 / _BEND),
            smallest=self.mean.new_tensor(_SMALLEST),
            gates=Reused(gates.t(), (cell.bias_ih + cell.bias_hh) * factor),
            begins=cell.weight_ih[:, -1] * factor,
            drawn=Reused(self.drawn.weight.t(), drawn_bias),
            opening=self.opening,
            linear=self.linear.weight.t(),
        )

    # -- parts ----------------------------------------------------------------------------------------------

    def _begun(self, pose: Tensor, reference: Tensor) -> NoiseDrivenState:
        """Heads that begin with ``[N, 136]`` poses, before these are taken in."""
        place = (reference - self.mean) @ self.into[:, POSE:]
        return replace(self.core_state(len(pose)), pose=pose, home=reference, place=place)

    def _first(self, weights: TickWeights, pose: Tensor, reference: Tensor) -> NoiseDrivenState:
        """Heads that have taken in one pose."""
        every = torch.ones(len(pose), dtype=torch.bool, device=pose.device)
        return self._take_in(weights, self._begun(pose, reference), pose, every)

    def _take_in(
        self,
        weights: TickWeights,
        core: NoiseDrivenState,
        pose: Tensor,
        first: Tensor | None = None,
        free: bool = False,
    ) -> NoiseDrivenState:
        """The state after ``[N, 136]`` poses, seen or, if ``free``, its own.

        A first one, if ``[N]`` bool says so, is what the state has.
        """
        # Differences first: in the units of the weakest directions, the rounding of whole poses is not small.
        velocity = (pose - core.pose) @ weights.along
        before = torch.where(core.moved, core.velocity, velocity)
        apart = (velocity - core.expected) / core.deviation
        surprise = apart.clamp(-_SURPRISE, _SURPRISE)
        moved = torch.ones_like(core.moved) if first is None else ~first.unsqueeze(1)
        rough, rough_before = velocity, before
        if self.config.smoothed:
            limit = _SURPRISE * max(1.0, self.config.temperature)
            rough, rough_before = core.roughen(velocity, apart.abs() <= limit if free else None)
        core = replace(core, pose=pose, velocity=velocity, before=before, moved=moved)
        core = replace(core, rough=rough, rough_before=rough_before)
        return self._read(weights, core, surprise, None if first is None else ~moved)

    def _intending(self, weights: TickWeights, core: NoiseDrivenState, intent: Tensor) -> NoiseDrivenState:
        """The last pose is read once more, now with the intent: the LSTM has to know before it moves."""
        core = replace(core, intent=intent)
        return self._read(weights, core, torch.zeros_like(core.velocity), ~core.moved)

    def _read(
        self, weights: TickWeights, core: NoiseDrivenState, surprise: Tensor, first: Tensor | None
    ) -> NoiseDrivenState:
        """The LSTM's tick, and what it expects of the next one; ``[N, 1]`` bool where a pose is the first."""
        far, nearby = torch.split_with_sizes((core.pose - core.home) @ weights.away, self._away, dim=1)
        here = core.place + nearby
        # Bent, so that small movements of quiet heads are heard beside the large ones of lively heads.
        bent = torch.asinh(torch.cat([nearby, core.velocity], dim=1) * weights.sharp)
        inputs = torch.cat([here, bent, surprise, core.intent, core.hidden], dim=1)
        gates = weights.gates(inputs)
        if first is not None:
            gates = gates + first * weights.begins
        hidden, cell = lstm_gates(gates, core.cell)
        expecting = self._expecting(weights, core, far, hidden, first)
        return replace(core, here=here, hidden=hidden, cell=cell, **expecting)

    def _expecting(
        self, weights: TickWeights, core: NoiseDrivenState, far: Tensor, hidden: Tensor, first: Tensor | None
    ) -> dict[str, Tensor]:
        """Fields of the state: what is expected of the next velocity."""
        mean, loose = weights.foreseen(core, far, hidden, first)
        deviation = functional.softplus(loose) + weights.smallest
        if self.config.smoothed:
            mean, deviation = core.smooth(mean, deviation)
        return {"expected": mean, "deviation": deviation}

    def _hearing(
        self, weights: TickWeights, core: NoiseDrivenState, sound: Tensor | None, tick: int
    ) -> NoiseDrivenState:
        """What changes by what is heard at a tick; nothing, for this generator does not hear."""
        return core

    def _following(self, weights: TickWeights, core: NoiseDrivenState, noise: Tensor | None) -> Tensor:
        """The next poses; noise is standard normal, None asks for the expected ones."""
        velocity = core.expected
        if noise is not None:
            size = 1.0 if self.training else self.config.temperature
            velocity = torch.addcmul(velocity, core.deviation, noise, value=size)
        return torch.addmm(core.pose, velocity, weights.back)
