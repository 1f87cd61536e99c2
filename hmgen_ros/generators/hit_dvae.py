"""HiT-DVAE (Bie, Guo, Leglaive, Girin, Moreno-Noguer and Alameda-Pineda, 2022) for head motion.

A dynamical VAE with two levels of latents, whose dependencies in time are Transformers: one ``w`` for the
content of a sequence and one ``z_t`` for each tick,

``p(x, z, w) = p(w) Π_t p(z_t | x_{1:t-1}, z_{1:t-1}, w) p(x_t | x_{1:t-1}, z_{1:t}, w)``,

``q(w, z | x) = q(w | x_{1:T}) Π_t q(z_t | x_{1:t}, w)``,

trained by the evidence lower bound with a fixed variance of poses, that is by the squared error and both
divergences. The first pose is given and has no latent: generation begins from one observed pose, as the
thesis asks of this model (section 4.4.3). In use ``w``, of which one pose says nothing, and every ``z_t`` are
drawn from their priors, and the pose is the mean of its distribution.

One causal Transformer remembers poses and latents, another one poses alone (for ``q``); a third one, queried
with ``z_t`` and ``w``, attends to what the first remembers and gives the pose. Decided here, not there:

* ``q(z_t)`` looks at the past and the present pose only, so that latents of observed ticks are inferred as
  they come, and independently of each other given ``w``, so that a training step is parallel over ticks.
* A tick's distance in time is a learned bias of attention instead of a positional encoding, and attention
  looks back ``window`` ticks: a tick costs the same however long the head has been running.
* Tokens show velocities beside positions, and what is given is the velocity from the last pose, as in the
  thesis' own generators; ``offsets="pose"`` reads and gives positions alone.
* Training shows the model poses of its own (``own_inputs``), or else what it generates soon runs away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hmgen_ros.generators.causal_attention import CausalStack, Past
from hmgen_ros.generators.framed_motion import POSE, FramedMotion, FramedState, chosen
from hmgen_ros.generators.hit_dvae_networks import ContentEncoder, HitDvaeConfig, Normal, NormalHead

__all__ = ["HitDvae", "HitDvaeConfig", "HitState"]


@dataclass(frozen=True, slots=True)
class HitState:
    """What is remembered of each head.

    Attributes:
        pose: ``[N, 136]`` the last one.
        content: ``[N, W]`` ``w``; its mean, zero, until the head goes on by itself.
        known: ``[N, D]`` what the first Transformer gave at the last tick.
        past: of the first Transformer: poses and latents.
        sight: of the second one: poses.
        recalled: of the third one: what the first gave.
    """

    pose: Tensor
    content: Tensor
    known: Tensor
    past: Past
    sight: Past
    recalled: Past


class HitDvae(FramedMotion[HitState]):
    """The generator.

    Attributes:
        config: sizes and loss.
        mean: ``[136]`` mean pose of the training set, in head frames.
        pose_unit, velocity_unit: root mean square of poses about it, and of velocities.
    """

    KIND: ClassVar[str] = "hit_dvae"
    CONFIG: ClassVar[type[Any]] = HitDvaeConfig
    config: HitDvaeConfig

    mean: Tensor
    pose_unit: Tensor
    velocity_unit: Tensor

    def __init__(self, config: HitDvaeConfig | None = None) -> None:
        super().__init__(config)
        config = self.config
        width, sizes = config.width, config.stack()
        shown = 2 * POSE if config.offsets == "last" else POSE
        self.embed, self.embed_sight, self.embed_whole = (nn.Linear(shown, width) for _ in range(3))
        self.embed_latent = nn.Linear(config.latent, width, bias=False)
        self.history = CausalStack(sizes, relative=True)
        self.sight = CausalStack(sizes, relative=True)
        self.decoder = CausalStack(sizes, relative=True)
        self.content = ContentEncoder(config)
        self.prior = NormalHead(width, config.content, config.latent)
        self.posterior = NormalHead(width, config.content, config.latent)
        self.query = nn.Linear(width + config.latent + config.content, width)
        self.out = nn.Linear(width, POSE)
        with torch.no_grad():  # heads begin still
            self.out.weight.mul_(0.1)
            self.out.bias.zero_()
        self.register_buffer("mean", torch.zeros(POSE))
        self.register_buffer("pose_unit", torch.ones(()))
        self.register_buffer("velocity_unit", torch.ones(()))

    # -- one tick -------------------------------------------------------------------------------------------

    def core_state(self, slots: int) -> HitState:
        """Nothing seen."""
        return HitState(
            self.mean.new_zeros((slots, POSE)),
            self.mean.new_zeros((slots, self.config.content)),
            self.mean.new_zeros((slots, self.config.width)),
            self.history.nothing(slots),
            self.sight.nothing(slots),
            self.decoder.nothing(slots),
        )

    def core_observe(self, core: HitState, pose: Tensor, first: Tensor) -> HitState:
        """Take in one pose, with the mean of its inferred latent; first poses have none."""
        core = chosen(first, replace(self.core_state(len(pose)), pose=pose), core)
        core, inferred = self.look(core, pose)
        return self.take_in(core, pose, inferred.mean.masked_fill(first[:, None], 0.0))

    def core_next(self, core: HitState, pose: Tensor, generator: torch.Generator | None) -> Tensor:
        """The pose one tick later of a latent that is drawn, or of its mean."""
        return self._draw(core, pose, generator)[1]

    def core_start(self, core: HitState, pose: Tensor, generator: torch.Generator) -> HitState:
        """Draw the content."""
        size = core.content.shape
        content = torch.randn(size, generator=generator, device=pose.device, dtype=pose.dtype)
        return replace(core, content=content)

    def advance(
        self, state: FramedState[HitState], generator: torch.Generator
    ) -> tuple[FramedState[HitState], Tensor]:
        """As :meth:`FramedMotion.advance`; remembers the latent that was drawn instead of inferring it."""
        latent, pose = self._draw(state.core, state.last, generator)
        pose = torch.where(state.seen[:, None], self._kept(state, pose), state.last)
        core = self.take_in(self.look(state.core, pose)[0], pose, latent)
        after = replace(state, last=pose, core=chosen(state.seen, core, state.core))
        return after, self._landmarks(after, pose)

    # -- parts of one tick -----------------------------------------------------------------------------------

    def look(self, core: HitState, pose: Tensor) -> tuple[HitState, Normal]:
        """See ``[N, 136]`` poses and infer their latents, before :meth:`take_in`."""
        token = self.embed_sight(self._tokens(pose, pose - core.pose))
        sight, known = self.sight.extend(core.sight, token.unsqueeze(1))
        return replace(core, sight=sight), self.posterior(known[:, 0], core.content)

    def take_in(self, core: HitState, pose: Tensor, latent: Tensor) -> HitState:
        """Remember ``[N, 136]`` poses and their ``[N, Z]`` latents."""
        token = self.embed(self._tokens(pose, pose - core.pose)) + self.embed_latent(latent)
        past, known = self.history.extend(core.past, token.unsqueeze(1))
        recalled = self.decoder.note(core.recalled, known)
        return replace(core, pose=pose, known=known[:, 0], past=past, recalled=recalled)

    def place(self, core: HitState, pose: Tensor, latent: Tensor) -> Tensor:
        """``[N, 136]`` poses one tick after those that were taken in, by the ``[N, Z]`` latents of it."""
        query = self.query(torch.cat([core.known, latent, core.content], dim=-1))
        return self._placed(pose, self.decoder.recall(core.recalled, query))

    # -- whole sequences ------------------------------------------------------------------------------------

    def core_sequence(self, poses: Tensor) -> Tensor:
        """``[R, T, 136]`` to the expected next ones, with latents at their means."""
        content = poses.new_zeros((len(poses), self.config.content))
        latents = self.infer(poses, content).mean
        known = self.remember(poses, latents)
        following = self.prior(known, _along(content, known)).mean
        return self.decode(poses, known, following, content)

    def losses(self, poses: Tensor, reference: Tensor | None = None, iteration: int = 0) -> dict[str, Tensor]:
        """Negative evidence lower bound of whole tracks, up to constants.

        Args:
            poses: ``[B, T + 1, 136]`` the first pose and those to follow, in head frames.
            reference: the poses that the frames were made from; not used.
            iteration: from 0 on, for the warm-up.

        Returns:
            ``"loss"`` a tick and coordinate; ``"reconstruction"``, the mean squared error in units of the
            velocities; ``"kl_content"`` a sequence and ``"kl_latent"`` a tick, in nats.
        """
        grown = min(1.0, (iteration + 1) / max(1, self.config.warm_up))
        about = self.content(self.embed_whole(self._inputs(poses)))
        content = about.at(torch.randn_like(about.mean))
        inferred = self.infer(poses, content)
        latents = inferred.at(torch.randn_like(inferred.mean))
        shown = self._shown(poses, latents, content, grown * self.config.own_inputs)
        known = self.remember(shown, latents)
        prior = self.prior(known[:, :-1], _along(content, known[:, :-1]))
        given = self.decode(shown[:, :-1], known[:, :-1], latents[:, 1:], content)
        reconstruction = ((given - poses[:, 1:]) / self.velocity_unit).square().mean()
        kl_content = about.divergence_from_standard().mean()
        kl_latent = Normal(inferred.mean[:, 1:], inferred.log_variance[:, 1:]).divergence(prior).mean()
        ticks = poses.shape[1] - 1
        divergence = self.config.kl_content * kl_content / ticks + self.config.kl_latent * kl_latent
        return {
            "loss": reconstruction + grown * divergence / POSE,
            "reconstruction": reconstruction,
            "kl_content": kl_content,
            "kl_latent": kl_latent,
        }

    def infer(self, poses: Tensor, content: Tensor) -> Normal:
        """``q(z_t | x_{1:t}, w)`` of every tick of ``[B, T, 136]``; without meaning at the first one."""
        known = self.sight(self.embed_sight(self._inputs(poses)))
        inferred: Normal = self.posterior(known, _along(content, known))
        return inferred

    def remember(self, poses: Tensor, latents: Tensor) -> Tensor:
        """``[B, T, D]`` what is known after each tick of poses and ``[B, T, Z]`` latents but the first."""
        latents = torch.cat([torch.zeros_like(latents[:, :1]), latents[:, 1:]], dim=1)
        known: Tensor = self.history(self.embed(self._inputs(poses)) + self.embed_latent(latents))
        return known

    def decode(self, poses: Tensor, known: Tensor, following: Tensor, content: Tensor) -> Tensor:
        """``[B, T, 136]`` poses one tick after ``[B, T, 136]`` ones, by the latents of these later ticks."""
        query = self.query(torch.cat([known, following, _along(content, known)], dim=-1))
        return self._placed(poses, self.decoder(query, known))

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

    # -- parts ----------------------------------------------------------------------------------------------

    def _draw(self, core: HitState, pose: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """``[N, Z]`` latents of the next tick, and its ``[N, 136]`` poses."""
        prior = self.prior(core.known, core.content)
        latent = prior.mean
        if generator is not None:
            size = latent.shape
            latent = prior.at(torch.randn(size, generator=generator, device=pose.device, dtype=pose.dtype))
        return latent, self.place(core, pose, latent)

    def _shown(self, poses: Tensor, latents: Tensor, content: Tensor, share: float) -> Tensor:
        """The true poses, some of them replaced by what the model gives for them."""
        if not share:
            return poses
        with torch.no_grad():
            known = self.remember(poses, latents)[:, :-1]
            given = self.decode(poses[:, :-1], known, latents[:, 1:], content)
        own = torch.rand(given.shape[:2], device=poses.device).unsqueeze(-1) < share
        return torch.cat([poses[:, :1], torch.where(own, given, poses[:, 1:])], dim=1)

    def _inputs(self, poses: Tensor) -> Tensor:
        """``[B, T, 272 or 136]`` of whole tracks."""
        velocities = torch.cat([torch.zeros_like(poses[:, :1]), poses.diff(dim=1)], dim=1)
        return self._tokens(poses, velocities)

    def _tokens(self, poses: Tensor, velocities: Tensor) -> Tensor:
        scaled = (poses - self.mean) / self.pose_unit
        if self.config.offsets == "pose":
            return scaled
        return torch.cat([scaled, velocities / self.velocity_unit], dim=-1)

    def _placed(self, poses: Tensor, decoded: Tensor) -> Tensor:
        """The poses after ``[..., 136]`` ones that the decoder means."""
        given: Tensor = self.out(decoded)
        if self.config.offsets == "last":
            return poses + self.velocity_unit * given
        return self.mean + self.pose_unit * given


def _along(content: Tensor, known: Tensor) -> Tensor:
    """``[B, W]`` for every tick of ``[B, T, D]``."""
    return content.unsqueeze(1).expand(-1, known.shape[1], -1)
