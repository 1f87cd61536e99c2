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
size of the noise for each is enough. Poses are described by their main directions, beside the pose that the
head's frame was made from: how far the head is from where it once was draws it back, however long it runs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from hmgen_ros.generators.framed_motion import POSE, FramedMotion, chosen
from hmgen_ros.generators.weights import Weights, WeightsError

KIND = "noise_driven"
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

    Raises:
        ValueError: a size is out of its range.
    """

    hidden: int = 128
    intent: int = 16
    directions: int = 24

    def __post_init__(self) -> None:
        if min(self.hidden, self.intent) < 1:
            raise ValueError(f"hidden and intent must be at least 1, got {self.hidden}, {self.intent}")
        if not 1 <= self.directions <= POSE:
            raise ValueError(f"directions must lie between 1 and {POSE}, got {self.directions}")


@dataclass(frozen=True, slots=True)
class NoiseDrivenState:
    """What is remembered of each head; velocities are along the directions, in their units.

    Attributes:
        pose: ``[N, 136]`` the last one.
        home: ``[N, K]`` the pose that the frame was made from, along the main directions.
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
        pose_axes: ``[136, K]`` main directions of poses over their standard deviations.
        axes: ``[136, 136]`` orthonormal directions of velocities.
        unit: ``[136]`` standard deviation of velocities along each.
    """

    mean: Tensor
    pose_axes: Tensor
    axes: Tensor
    unit: Tensor

    def __init__(self, config: NoiseDrivenConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NoiseDrivenConfig()
        self.cell = nn.LSTMCell(2 * config.directions + 2 * POSE + config.intent + 1, config.hidden)
        self.linear = nn.Linear(2 * POSE + config.directions, POSE)
        # What the first velocity is drawn from, and what is added to the later ones.
        self.opening = nn.Linear(config.hidden, 2 * POSE)
        self.drawn = nn.Linear(config.hidden, 2 * POSE)
        with torch.no_grad():
            for layer in (self.opening, self.drawn):
                layer.weight.mul_(0.3)
                layer.bias.zero_()
            self.linear.weight.zero_()
            self.linear.bias.zero_()
        self.register_buffer("mean", torch.zeros(POSE))
        self.register_buffer("pose_axes", torch.eye(POSE)[:, : config.directions].clone())
        self.register_buffer("axes", torch.eye(POSE))
        self.register_buffer("unit", torch.ones(POSE))

    # -- one tick -------------------------------------------------------------------------------------------

    def core_state(self, slots: int) -> NoiseDrivenState:
        """Nothing seen."""
        poses, hidden = self.mean.new_zeros((slots, POSE)), self.mean.new_zeros((slots, self.config.hidden))
        home = self.mean.new_zeros((slots, self.config.directions))
        intent = self.mean.new_zeros((slots, self.config.intent))
        ones = torch.ones_like(poses)
        return NoiseDrivenState(poses, home, poses, poses, poses, ones, poses[:, 0], intent, hidden, hidden)

    def core_observe(self, core: NoiseDrivenState, pose: Tensor, first: Tensor) -> NoiseDrivenState:
        """Take in one pose."""
        fresh = replace(self.core_state(len(pose)), pose=pose, home=self._place(pose))
        return self._take_in(chosen(first, fresh, core), pose)

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

    def generate(self, observed: Tensor, reference: Tensor, steps: int) -> Tensor:
        """Go on after some true ticks, with gradients; drawn by PyTorch's own generator (training).

        Args:
            observed: ``[R, S, 136]`` in head frames, ``S`` at least 1.
            reference: ``[R, 136]`` the poses that the frames were made from.
            steps: ticks to generate, at least 1.

        Returns:
            ``[R, steps, 136]``.
        """
        core = self._begun(observed[:, 0], reference)
        for pose in observed.unbind(1):
            core = self._take_in(core, pose)
        return self._go_on(self._intending(core, torch.randn_like(core.intent)), steps)

    def generate_late(self, reference: Tensor, wandered: int, steps: int) -> Tensor:
        """Go on from single poses for long, and then with gradients for some ticks (training).

        Args:
            reference: ``[R, 136]`` the poses, from which the frames were made.
            wandered: ticks before, kept plausible.
            steps: ticks to generate behind them, at least 1.

        Returns:
            ``[R, steps, 136]``.
        """
        with torch.no_grad():
            core = self._take_in(self._begun(reference, reference), reference)
            core = self._intending(core, torch.randn_like(core.intent))
            for _ in range(wandered):
                pose = self._following(core, torch.randn_like(core.pose))
                core = self._take_in(core, self.plausible(pose, reference, core.pose))
        return self._go_on(core, steps)

    def _go_on(self, core: NoiseDrivenState, steps: int) -> Tensor:
        future = []
        for _ in range(steps):
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
        self.pose_axes.copy_(vectors[:, -count:] / spread)
        velocity = poses.diff(dim=1)
        plain = torch.linalg.eigh(torch.cov(velocity.diff(dim=1).flatten(0, 1).double().T))[1]
        self.axes.copy_(plain)
        unit = (velocity.flatten(0, 1) @ self.axes).square().mean(0).sqrt()
        self.unit.copy_(unit.clamp(min=_FLAT * float(unit.max())))
        along = velocity @ self.axes / self.unit
        away = self._place(poses) - self._place(reference).unsqueeze(1)
        known = torch.cat([along[:, 1:-1], along[:, :-2], away[:, 2:-1]], dim=-1)
        # Quiet heads count as much as lively ones.
        weight = along.square().mean(dim=(1, 2), keepdim=True).clamp(min=1e-6).rsqrt()
        rows, now = ((part * weight).flatten(0, 1).double() for part in (known, along[:, 2:]))
        # A trace of ridge: some directions hardly ever move.
        ridge = 1e-4 * len(rows) * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
        solved = torch.linalg.solve(rows.T @ rows + ridge, rows.T @ now)
        self.linear.weight.copy_(solved.T)
        rest = (now - rows @ solved).square().mean(0).sqrt()
        self.drawn.bias[POSE:] = _inverse_softplus(rest.clamp(min=1e-3)).float()
        self.opening.bias[POSE:] = _inverse_softplus(torch.ones_like(rest)).float()

    def to_weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors of a model file."""
        return {"kind": KIND, **asdict(self.config)}, dict(self.state_dict())

    @classmethod
    def from_weights(cls, read: Weights) -> NoiseDriven:
        """The generator of a model file.

        Raises:
            WeightsError: the file is of another kind or does not fit.
        """
        settings = {name: value for name, value in read.config_of(KIND).items() if name != "kind"}
        try:
            model = cls(NoiseDrivenConfig(**settings))
            model.load_state_dict(read.tensors)
        except (TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{read.source} does not fit this program: {error}; train it again") from error
        return model.eval()

    # -- parts ----------------------------------------------------------------------------------------------

    def _begun(self, pose: Tensor, reference: Tensor) -> NoiseDrivenState:
        """Heads that begin with ``[N, 136]`` poses, before these are taken in."""
        return replace(self.core_state(len(pose)), pose=pose, home=self._place(reference))

    def _place(self, pose: Tensor) -> Tensor:
        return (pose - self.mean) @ self.pose_axes

    def _take_in(self, core: NoiseDrivenState, pose: Tensor) -> NoiseDrivenState:
        """The state after ``[N, 136]`` poses; a first pose is the one that the state already has."""
        velocity = (pose - core.pose) @ self.axes / self.unit
        before = torch.where((core.seen > 1.5).unsqueeze(-1), core.velocity, velocity)
        surprise = ((velocity - core.expected) / core.deviation).clamp(-_SURPRISE, _SURPRISE)
        seen = (core.seen + 1.0).clamp(max=2.0)
        return self._read(replace(core, pose=pose, velocity=velocity, before=before, seen=seen), surprise)

    def _intending(self, core: NoiseDrivenState, intent: Tensor) -> NoiseDrivenState:
        """The last pose is read once more, now with the intent: the LSTM has to know before it moves."""
        return self._read(replace(core, intent=intent), torch.zeros_like(core.velocity))

    def _read(self, core: NoiseDrivenState, surprise: Tensor) -> NoiseDrivenState:
        """The LSTM's tick, and what it expects of the next one."""
        begins = (core.seen < 1.5).unsqueeze(-1)
        place = self._place(core.pose)
        away = place - core.home
        # Bent, so that small movements of quiet heads are heard beside the large ones of lively heads.
        bent = torch.asinh(torch.cat([away, core.velocity], dim=-1) / _BEND)
        inputs = torch.cat([place, bent, surprise, core.intent, begins.to(place.dtype)], dim=-1)
        hidden, cell = self.cell(inputs, (core.hidden, core.cell))
        given = torch.where(begins, self.opening(hidden), self.drawn(hidden))
        linear = self.linear(torch.cat([core.velocity, core.before, away], dim=-1))
        deviation = nn.functional.softplus(given[:, POSE:]) + _SMALLEST
        return replace(core, hidden=hidden, cell=cell, expected=given[:, :POSE] + linear, deviation=deviation)

    def _following(self, core: NoiseDrivenState, noise: Tensor | None) -> Tensor:
        """The next poses; noise is standard normal, None asks for the expected ones."""
        velocity = core.expected if noise is None else core.expected + core.deviation * noise
        following: Tensor = core.pose + (velocity * self.unit) @ self.axes.T
        return following


def _inverse_softplus(value: Tensor) -> Tensor:
    small: Tensor = torch.expm1(value.clamp(max=20.0)).clamp(min=1e-6).log()
    return torch.where(value > 20.0, value, small)
