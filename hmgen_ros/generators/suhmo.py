"""SUHMo: unconditional head motion from a single pose (thesis, chapter 4).

``x_t = x_{t-1} + G(x_{0:t-1})`` (4.4): the generator sees positions and velocities and gives the velocity of
the next tick. It generates heads in pairs that know of each other. In training the pair are two real first
poses; in use the second one is the first, flipped, scaled and moved at random (section 4.3.3), which is what
makes one future differ from another. While a head is only observed, its partner is its mirror image.

Poses are in head frames (:mod:`hmgen_ros.generators.framed_motion`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from hmgen_ros.generators.framed_motion import POSE, FramedMotion, chosen
from hmgen_ros.generators.head_frame import mirrored
from hmgen_ros.generators.layers import folded
from hmgen_ros.generators.suhmo_networks import PairAttention, PairLstm, output_layers
from hmgen_ros.types import NUM_LANDMARKS


@dataclass(frozen=True, kw_only=True)
class SuhmoConfig:
    """Sizes and choices; the defaults are the thesis'.

    Attributes:
        network: "rnn" (LSTM, batch-pool) or "transformer" (batch-cross attention).
        hidden: size of the LSTM's hidden state, or of the tokens.
        layers: sizes of the dense layers behind it.
        paired: heads are generated in pairs; False is the ablation "One-sample G".
        offsets: "velocity" adds the output to the last pose (4.4), "first" to the first one (Δ-based).
        window: ticks that attention looks back, at least 1.
        spectral: spectral norm in the dense layers.
        flip: probability that the partner is a mirror image.
        scale: the partner is larger or smaller by a factor of up to ``1 + scale``.
        shift: standard deviation of the partner's place, face sizes.
        jitter: largest component of a random first velocity, face sizes a tick; 0 starts at rest.

    Raises:
        ValueError: a setting is out of its range.
    """

    network: Literal["rnn", "transformer"] = "rnn"
    hidden: int = 1024
    layers: tuple[int, ...] = (1024, 1024)
    paired: bool = True
    offsets: Literal["velocity", "first"] = "velocity"
    window: int = 200
    spectral: bool = True
    flip: float = 0.5
    scale: float = 0.1
    shift: float = 0.2
    jitter: float = 0.01

    def __post_init__(self) -> None:
        if self.network not in ("rnn", "transformer"):
            raise ValueError(f"network must be 'rnn' or 'transformer', got {self.network!r}")
        if self.offsets not in ("velocity", "first"):
            raise ValueError(f"offsets must be 'velocity' or 'first', got {self.offsets!r}")
        if min(self.hidden, self.window, *self.layers) < 1:
            raise ValueError(
                "hidden, window and layers must be at least 1, "
                f"got {self.hidden}, {self.window}, {self.layers}"
            )
        if not 0.0 <= self.flip <= 1.0:
            raise ValueError(f"flip must lie in [0, 1], got {self.flip}")
        if min(self.scale, self.shift, self.jitter) < 0.0:
            raise ValueError(
                f"scale, shift and jitter must be at least 0, got {self.scale}, {self.shift}, {self.jitter}"
            )


@dataclass(frozen=True, slots=True)
class PairState:
    """Heads and their partners, ``P`` = 2, or 1 where heads are generated alone.

    Attributes:
        pose: ``[N, P, 136]`` the last poses.
        first: ``[N, P, 136]`` the first ones.
        following: ``[N, P, 136]`` the next ones.
        memory: the network's.
        alone: ``[N]`` bool: the partner goes on by itself, it is no mirror image any more.
    """

    pose: Tensor
    first: Tensor
    following: Tensor
    memory: Any
    alone: Tensor


class Suhmo(FramedMotion[PairState]):
    """The generator.

    Attributes:
        config: sizes and choices.
        mean: ``[136]`` mean pose of the training set, in head frames.
        pose_unit, velocity_unit: root mean square of poses about it, and of velocities: the networks see
            and give numbers of about 1.
    """

    KIND: ClassVar[str] = "suhmo"
    CONFIG: ClassVar[type[Any]] = SuhmoConfig
    config: SuhmoConfig

    mean: Tensor
    pose_unit: Tensor
    velocity_unit: Tensor

    def __init__(self, config: SuhmoConfig | None = None) -> None:
        super().__init__(config)
        config = self.config
        self.network: PairLstm | PairAttention
        if config.network == "rnn":
            self.network = PairLstm(POSE, config.hidden, config.paired)
        else:
            self.network = PairAttention(POSE, config.hidden, config.window)
        self.head = output_layers(config.hidden, config.layers, POSE, config.spectral)
        self.register_buffer("mean", torch.zeros(POSE))
        self.register_buffer("pose_unit", torch.ones(()))
        self.register_buffer("velocity_unit", torch.ones(()))

    @property
    def pairs(self) -> int:
        """``P``: heads that are generated together."""
        return 2 if self.config.paired else 1

    # -- one tick -------------------------------------------------------------------------------------------

    def core_state(self, slots: int) -> PairState:
        """Nothing seen."""
        return self._nothing(slots)

    def core_observe(self, core: PairState, pose: Tensor, first: Tensor) -> PairState:
        """Take in one pose; the partner takes its own next one, or is the mirror image."""
        poses = self._with_partners(core, pose)
        velocity = torch.where(first[:, None, None], 0.0, poses - core.pose)
        return self._take_in(core, poses, velocity, first)

    def core_go_on(self, core: PairState, pose: Tensor) -> PairState:
        """Take in one pose of its own."""
        poses = self._with_partners(core, pose)
        return self._take_in(core, poses, poses - core.pose, None)

    def core_next(self, core: PairState, pose: Tensor, generator: torch.Generator | None) -> Tensor:
        """The pose one tick later; chance lies in the partner alone."""
        return core.following[:, 0]

    def core_start(self, core: PairState, pose: Tensor, generator: torch.Generator) -> PairState:
        """Draw a partner, which begins afresh; a head without one takes a random first step instead."""
        slots = torch.ones(len(pose), dtype=torch.bool, device=pose.device)
        if not self.config.paired:
            step = self._first_velocity(core.pose, generator)
            return replace(self._take_in(core, core.pose + step, step, ~slots), alone=slots)
        poses = torch.stack([core.pose[:, 0], self.draw_partner(pose, generator)], dim=1)
        fresh = self._take_in(
            self.core_state(len(pose)), poses, self._first_velocity(poses, generator), slots
        )
        both: PairState = _with_partner(core, fresh)
        return replace(both, alone=slots)

    def draw_partner(self, pose: Tensor, generator: torch.Generator) -> Tensor:
        """``[N, 136]`` poses flipped, scaled and moved at random."""
        config = self.config

        def uniform() -> Tensor:
            return torch.rand(len(pose), generator=generator, device=pose.device, dtype=pose.dtype)

        flipped = torch.where((uniform() < config.flip)[:, None], _mirror(pose), pose)
        scale = (1.0 + config.scale) ** (2.0 * uniform() - 1.0)
        shift = torch.randn(len(pose), 1, 2, generator=generator, device=pose.device, dtype=pose.dtype)
        points = flipped.unflatten(-1, (NUM_LANDMARKS, 2)) * scale[:, None, None] + config.shift * shift
        drawn: Tensor = points.flatten(-2)
        return drawn

    # -- whole sequences ------------------------------------------------------------------------------------

    def core_sequence(self, poses: Tensor) -> Tensor:
        """``[R, T, 136]`` to the expected next ones, with mirror images as partners."""
        parts = [poses, _mirror(poses)] if self.config.paired else [poses]
        pairs = torch.stack(parts, dim=1)  # [R, P, T, 136]
        if not isinstance(self.network, PairAttention):
            return self.observe(pairs)[1][:, 0]
        before = torch.cat([pairs[:, :, :1], pairs[:, :, :-1]], dim=2)
        out = self.network.sequence(self._inputs(pairs, pairs - before))
        return self._following(pairs, pairs[:, :, :1], out)[:, 0]

    def observe(self, pairs: Tensor, steps: int = 0) -> tuple[PairState, Tensor]:
        """Take in pairs of true tracks.

        Args:
            pairs: ``[R, P, T, 136]``.
            steps: how many ticks will follow.

        Returns:
            The state behind them, and ``[R, P, T, 136]`` the expected next poses.
        """
        state, following = self._nothing(len(pairs), pairs.shape[2] + steps), []
        first: Tensor | None = torch.ones(len(pairs), dtype=torch.bool, device=pairs.device)
        for pose in pairs.unbind(2):
            velocity = torch.zeros_like(pose) if first is not None else pose - state.pose
            state = self._take_in(state, pose, velocity, first)
            following.append(state.following)
            first = None
        return state, torch.stack(following, dim=2)

    def generate(self, pairs: Tensor, steps: int) -> Tensor:
        """Go on after some true ticks, with gradients (training).

        Args:
            pairs: ``[R, P, S, 136]`` observed, ``S`` at least 1.
            steps: ticks to generate, at least 1.

        Returns:
            ``[R, P, steps, 136]``.
        """
        # Spectral norms are computed once a sequence instead of once a tick.
        with parametrize.cached():
            state, _ = self.observe(pairs, steps)
            future = [state.following]
            for _ in range(steps - 1):
                state = self._take_in(state, state.following, state.following - state.pose, None)
                future.append(state.following)
        return torch.stack(future, dim=2)

    # -- weights --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def fit_units(self, poses: Tensor, reference: Tensor) -> None:
        """Measure mean and units.

        Args:
            poses: ``[R, T, 136]`` training tracks in head frames.
            reference: ``[R, 136]`` the poses that the frames were made from; not used.
        """
        self.mean.copy_(poses.flatten(0, 1).mean(0))
        self.pose_unit.copy_((poses - self.mean).square().mean().sqrt())
        self.velocity_unit.copy_(poses.diff(dim=1).square().mean().sqrt())

    def to_weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors of a model file, spectral norms multiplied in."""
        return {"kind": self.KIND, **asdict(replace(self.config, spectral=False))}, folded(self)

    # -- parts ----------------------------------------------------------------------------------------------

    def _nothing(self, slots: int, ticks: int | None = None) -> PairState:
        poses = self.mean.new_zeros((slots, self.pairs, POSE))
        alone = torch.zeros(slots, dtype=torch.bool, device=poses.device)
        return PairState(poses, poses, poses, self.network.memory(slots, self.pairs, ticks), alone)

    def _with_partners(self, core: PairState, pose: Tensor) -> Tensor:
        """``[N, P, 136]`` poses of this tick, of which ``[N, 136]`` are known."""
        if not self.config.paired:
            return pose.unsqueeze(1)
        partner = torch.where(core.alone[:, None], core.following[:, 1], _mirror(pose))
        return torch.stack([pose, partner], dim=1)

    def _take_in(self, core: PairState, poses: Tensor, velocity: Tensor, first: Tensor | None) -> PairState:
        """The state after ``[N, P, 136]`` poses; ``first`` heads begin with them, None for nobody."""
        memory, beginning, alone = core.memory, core.first, core.alone
        if first is not None:
            started = self.network.start((poses - self.mean) / self.pose_unit, memory)
            memory, beginning = chosen(first, started, memory), chosen(first, poses, beginning)
            alone = alone & ~first
        memory, out = self.network(memory, self._inputs(poses, velocity))
        return PairState(poses, beginning, self._following(poses, beginning, out), memory, alone)

    def _inputs(self, poses: Tensor, velocity: Tensor) -> Tensor:
        return torch.cat([(poses - self.mean) / self.pose_unit, velocity / self.velocity_unit], dim=-1)

    def _following(self, poses: Tensor, first: Tensor, out: Tensor) -> Tensor:
        """The next poses of ``[N, P, ..., 136]`` ones."""
        given: Tensor = self.head(out)
        if self.config.offsets == "first":
            return first + self.pose_unit * given
        return poses + self.velocity_unit * given

    def _first_velocity(self, poses: Tensor, generator: torch.Generator) -> Tensor:
        """``[N, P, 136]``: every head moves as a whole."""
        size = (*poses.shape[:2], 1, 2)
        drawn = torch.rand(size, generator=generator, device=poses.device, dtype=poses.dtype)
        velocity = self.config.jitter * (2.0 * drawn - 1.0)
        return velocity.expand(*size[:2], NUM_LANDMARKS, 2).flatten(-2)


def _mirror(poses: Tensor) -> Tensor:
    """``[..., 136]``."""
    return mirrored(poses.unflatten(-1, (NUM_LANDMARKS, 2))).flatten(-2)


def _with_partner(own: Any, other: Any) -> Any:
    """A state of pairs, or a part of it: the first head of one, the second of another."""
    if is_dataclass(own):
        parts = {f.name: _with_partner(getattr(own, f.name), getattr(other, f.name)) for f in fields(own)}
        return type(own)(**parts)  # type: ignore[misc]
    return own if own.dim() == 1 else torch.cat([own[:, :1], other[:, 1:]], dim=1)
