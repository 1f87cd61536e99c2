"""ACTOR (Petrovich, Black and Varol, 2021) for head motion: a Transformer VAE over whole sequences.

An encoder reads a whole motion behind two learned tokens, whose outputs are mean and logarithmic variance
of one latent ``z``. A decoder is queried with nothing but positional encodings of the ticks, attends to
``z`` and gives all poses at once; none is fed back. The paper's three tables of action embeddings (the
encoder's two tokens and what is added to ``z``) become linear maps of the observed initial pose, as the
thesis has it (section 4.4.3). Landmarks are points already, so the paper's losses on rotations and on
vertices are one.

What is not the paper's:

* Queries look at earlier ticks only. A pose then does not hang on how many ticks are asked for, and a stream
  of any length agrees with a sequence decoded at once. Later ticks than those trained are later positional
  encodings, as in the paper.
* The memory that queries attend to is ``z`` alone, so attention to it is one linear map, and written so.
* Poses may be displacements from the initial one (``offsets``), for faces unlike those of the training set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from hmgen_ros.generators.causal_attention import CausalStack, Past, StackSizes, sinusoids
from hmgen_ros.generators.framed_motion import POSE, FramedMotion, FramedState, chosen

#: Ticks decoded at once; more are decoded in parts.
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class ActorConfig:
    """Sizes and loss; the defaults train within minutes on one core and were tuned on validation tracks.

    Attributes:
        width: of tokens and of the latent; the paper has 256.
        layers: of encoder and decoder each; the paper has 8.
        heads: of the attention.
        feed: size between the layers; the paper has 1024.
        window: ticks that queries look back; as many as the training has, so that no query ever sees more.
        dropout: while training; the paper has 0.1.
        kl_weight: of the divergence of one sequence's latent against the mean squared error in units of
            displacements. The paper's 1e-5 multiplies the sum over a batch of 20: 2e-4 a sequence.
        warm_up: iterations over which this weight grows to its value; 0 starts with it.
        offsets: poses are "pose", absolute as the paper's, or displacements from the "first" one.

    Raises:
        ValueError: a setting is out of its range.
    """

    width: int = 128
    layers: int = 4
    heads: int = 4
    feed: int = 512
    window: int = 40
    dropout: float = 0.0
    kl_weight: float = 2e-4
    warm_up: int = 0
    offsets: Literal["pose", "first"] = "pose"

    def __post_init__(self) -> None:
        self.stack()
        if not self.kl_weight >= 0.0 or self.warm_up < 0:
            raise ValueError(
                f"kl_weight and warm_up must be at least 0, got {self.kl_weight}, {self.warm_up}"
            )
        if self.offsets not in ("pose", "first"):
            raise ValueError(f"offsets must be 'pose' or 'first', got {self.offsets!r}")

    @classmethod
    def thesis(cls) -> ActorConfig:
        """The paper's sizes; the thesis names no others."""
        return cls(width=256, layers=8, heads=4, feed=1024, dropout=0.1)

    def stack(self) -> StackSizes:
        """Sizes of the decoder's layers."""
        return StackSizes(
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            feed=self.feed,
            window=self.window,
            dropout=self.dropout,
        )


@dataclass(frozen=True, slots=True)
class ActorState:
    """The motion that each head has set out on.

    Attributes:
        origin: ``[N, 136]`` its initial pose.
        content: ``[N, D]`` what queries attend to: the latent and the initial pose.
        past: of the decoder; its count is the tick.
        following: ``[N, 136]`` the pose after the ticks decoded so far.
    """

    origin: Tensor
    content: Tensor
    past: Past
    following: Tensor


class Actor(FramedMotion[ActorState]):
    """The generator.

    :meth:`core_start` sets out on a new motion, which then does not hang on what is seen any more. A head
    that is only observed is expected to set out, from each pose anew, on the motion of the latent's mean.

    Attributes:
        config: sizes and loss.
        mean: ``[136]`` mean pose of the training set, in head frames.
        pose_unit, displacement_unit: root mean square of poses about it, and of displacements from a window's
            first pose.
    """

    KIND: ClassVar[str] = "actor"
    CONFIG: ClassVar[type[Any]] = ActorConfig
    config: ActorConfig

    mean: Tensor
    pose_unit: Tensor
    displacement_unit: Tensor

    def __init__(self, config: ActorConfig | None = None) -> None:
        super().__init__(config)
        config = self.config
        width = config.width
        self.embed = nn.Linear(POSE, width)
        self.mean_token, self.variance_token = nn.Linear(POSE, width), nn.Linear(POSE, width)
        layer = nn.TransformerEncoderLayer(
            width, config.heads, config.feed, config.dropout, activation="gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.condition = nn.Linear(POSE, width)
        self.decoder = CausalStack(config.stack(), joined=True)
        self.out = nn.Linear(width, POSE)
        self.register_buffer("mean", torch.zeros(POSE))
        self.register_buffer("pose_unit", torch.ones(()))
        self.register_buffer("displacement_unit", torch.ones(()))

    # -- one tick -------------------------------------------------------------------------------------------

    def core_state(self, slots: int) -> ActorState:
        """Nothing seen."""
        poses = self.mean.new_zeros((slots, POSE))
        return ActorState(
            poses, self.mean.new_zeros((slots, self.config.width)), self.decoder.nothing(slots), poses
        )

    def core_observe(self, core: ActorState, pose: Tensor, first: Tensor) -> ActorState:
        """One tick further on each motion; heads seen for the first time set out on the mean's."""
        latent = pose.new_zeros((len(pose), self.config.width))
        return self._onward(chosen(first, self._begin(pose, latent), core))

    def core_next(self, core: ActorState, pose: Tensor, generator: torch.Generator | None) -> Tensor:
        """The motion's next pose; without chance, the first one of the mean's motion from this pose."""
        if generator is not None:
            return core.following
        latent = pose.new_zeros((len(pose), self.config.width))
        return self._onward(self._begin(pose, latent)).following

    def core_start(self, core: ActorState, pose: Tensor, generator: torch.Generator) -> ActorState:
        """Draw a latent and set out from the last pose."""
        size = (len(pose), self.config.width)
        latent = torch.randn(size, generator=generator, device=pose.device, dtype=pose.dtype)
        return self._onward(self._begin(pose, latent))

    # -- whole sequences ------------------------------------------------------------------------------------

    def core_sequence(self, poses: Tensor) -> Tensor:
        """``[R, T, 136]`` to the expected next ones, each from its pose alone."""
        flat = poses.flatten(0, 1)
        latent = flat.new_zeros((len(flat), self.config.width))
        following: Tensor = self._onward(self._begin(flat, latent)).following.unflatten(0, poses.shape[:2])
        return following

    def poses_ahead(self, state: FramedState[ActorState], steps: int, generator: torch.Generator) -> Tensor:
        """``[steps, N, 136]``: all ticks decoded at once."""
        core, future = state.core, [state.core.following.unsqueeze(1)]
        for done in range(1, steps, _AT_ONCE):
            past, poses = self._decode(core, min(_AT_ONCE, steps - done))
            core = ActorState(core.origin, core.content, past, poses[:, -1])
            future.append(poses)
        poses = self._kept(state, torch.cat(future, dim=1).transpose(0, 1))
        return torch.where(state.seen[:, None], poses, state.last)

    def losses(self, poses: Tensor, reference: Tensor | None = None, iteration: int = 0) -> dict[str, Tensor]:
        """Negative evidence lower bound of whole motions, up to constants.

        Args:
            poses: ``[B, T + 1, 136]`` the initial pose and the motion, in head frames.
            reference: the poses that the frames were made from; not used.
            iteration: from 0 on, for the warm-up.

        Returns:
            ``"loss"``; ``"reconstruction"``, the mean squared error in units of displacements; ``"kl"`` of
            one sequence in nats.
        """
        origin, motion = poses[:, 0], poses[:, 1:]
        mean, log_variance = self.encode(origin, motion)
        latent = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        decoded = self.decode(origin, latent, motion.shape[1])
        reconstruction = ((decoded - motion) / self.displacement_unit).square().mean()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(-1).mean()
        weight = self.config.kl_weight * min(1.0, (iteration + 1) / max(1, self.config.warm_up))
        return {"loss": reconstruction + weight * kl, "reconstruction": reconstruction, "kl": kl}

    def encode(self, origin: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithmic variance ``[B, D]`` of the latents of ``[B, T, 136]`` motions."""
        initial = self._scaled(origin)
        tokens = torch.stack([self.mean_token(initial), self.variance_token(initial)], dim=1)
        tokens = torch.cat([tokens, self.embed(self._scaled(motion))], dim=1)
        ticks = torch.arange(tokens.shape[1], device=tokens.device)
        encoded: Tensor = self.encoder(tokens + sinusoids(ticks, self.config.width))
        return encoded[:, 0], encoded[:, 1]

    def decode(self, origin: Tensor, latent: Tensor, ticks: int) -> Tensor:
        """``[B, T, 136]`` motions from ``[B, 136]`` initial poses and ``[B, D]`` latents."""
        count = torch.zeros(len(origin), dtype=torch.int64, device=origin.device)
        content = latent + self.condition(self._scaled(origin))
        return self._placed(origin, self.decoder(self._queries(count, ticks), joined=content))

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
        self.displacement_unit.copy_((poses[:, 1:] - poses[:, :1]).square().mean().sqrt())

    # -- parts ----------------------------------------------------------------------------------------------

    def _begin(self, origin: Tensor, latent: Tensor) -> ActorState:
        """Motions of which no tick is decoded."""
        content = latent + self.condition(self._scaled(origin))
        return ActorState(origin, content, self.decoder.nothing(len(origin)), origin)

    def _onward(self, core: ActorState) -> ActorState:
        """One tick further on each motion."""
        past, following = self._decode(core, 1)
        return ActorState(core.origin, core.content, past, following[:, 0])

    def _decode(self, core: ActorState, ticks: int) -> tuple[Past, Tensor]:
        """What the decoder remembers after some more ticks, and their ``[N, ticks, 136]`` poses."""
        queries = self._queries(core.past.count, ticks)
        past, decoded = self.decoder.extend(core.past, queries, joined=core.content)
        return past, self._placed(core.origin, decoded)

    def _queries(self, count: Tensor, ticks: int) -> Tensor:
        """``[N, ticks, D]`` encodings of the ticks after ``[N]`` ones."""
        following = count.unsqueeze(-1) + torch.arange(ticks, device=count.device)
        return sinusoids(following, self.config.width).to(self.mean.dtype)

    def _placed(self, origin: Tensor, decoded: Tensor) -> Tensor:
        """``[N, T, 136]`` poses of what the decoder says."""
        given: Tensor = self.out(decoded)
        if self.config.offsets == "first":
            return origin.unsqueeze(1) + self.displacement_unit * given
        return self.mean + self.pose_unit * given

    def _scaled(self, poses: Tensor) -> Tensor:
        return (poses - self.mean) / self.pose_unit
