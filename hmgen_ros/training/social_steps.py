"""One training iteration of each kind of system: adversarial, squared error, likelihood.

Generated and true actions pass the discriminator in one batch, and the generator learns from the same
generated actions that the discriminator has just been shown: one generation an iteration.

With several processes every gradient must be averaged exactly once. Fabric averages what has gathered in
``.grad`` at the backward pass through the wrapped module, so passes through the plain module (the penalty)
come before it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from lightning_fabric.fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from hmgen_ros.data.preparation import Prepared
from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.social import SocialGenerator
from hmgen_ros.training.loop_config import batch_indices, check_batch
from hmgen_ros.training.social_discriminators import SocialDiscriminator
from hmgen_ros.training.social_losses import (
    discriminator_loss,
    generator_loss,
    real_gradient_penalty,
    reconstruction_loss,
)
from hmgen_ros.training.social_systems import Relaxation


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """Settings of one iteration.

    Attributes:
        seed: of the order of the samples.
        batch: samples an iteration and process.
        generator_rate: Adam's learning rate.
        discriminator_rate: Adam's learning rate.
        betas: Adam's, of both.
        lambda_reco: weight of the squared error (3.14).
        soft: how generated actions reach the discriminator.
        r1: weight of the gradient penalty on real data.
        r1_every: iterations from one penalty to the next; it is weighted up to make up for the others.
        lambda_likelihood: weight of the likelihood beside the adversarial loss.
        clip_norm: gradients of the generator are scaled down to this norm; 0 does not.
    """

    seed: int = 0
    batch: int = 32
    generator_rate: float = 2e-5
    discriminator_rate: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    lambda_reco: float = 0.0
    soft: Relaxation = "softmax"
    r1: float = 0.0
    r1_every: int = 8
    lambda_likelihood: float = 0.0
    clip_norm: float = 0.0


class Validation(Protocol):
    """Measures a generator on held-out samples."""

    @property
    def reference(self) -> dict[str, float]:
        """The data's own values."""

    def __call__(self, generator: SocialGenerator) -> dict[str, float]:
        """The generator's values."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one iteration.

    Attributes:
        observed: ``[B, 60, N]`` int64 symbols.
        target: ``[B, T, N]`` int64 symbols.
    """

    observed: Tensor
    target: Tensor

    @property
    def present(self) -> Tensor:
        """``[B, N]`` bool: the people who have a future, as the generator takes it."""
        return self.observed[:, -1] != ABSENT

    @property
    def known(self) -> Tensor:
        """``[B, T, N]`` bool: future actions that count; the others are left out of every loss."""
        return (self.target != ABSENT) & self.present.unsqueeze(1)


class GeneratorStep(ABC):
    """What all systems share: the generator, its optimiser, the samples and the validation."""

    def __init__(
        self, generator: SocialGenerator, data: Prepared, settings: StepSettings, validation: Validation
    ) -> None:
        """Nothing is moved to a device before :meth:`setup`; raises ValueError where samples are too few."""
        check_batch(len(data.observed), settings.batch)
        self.generator, self.settings, self._validation = generator, settings, validation
        self._observed, self._target = torch.from_numpy(data.observed), torch.from_numpy(data.target)
        self._adam: Optimizer = Adam(generator.parameters(), settings.generator_rate, settings.betas)
        self._global_batch = settings.batch

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run changes."""
        return {"generator": self.generator}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """Of the modules."""
        return {"generator": self._adam}

    @property
    def epoch(self) -> int:
        """Iterations that see each sample once."""
        return max(1, len(self._observed) // self._global_batch)

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        self._fabric = fabric
        self._global_batch = self.settings.batch * fabric.world_size
        self._wrapped, self._adam = fabric.setup(self.generator, self._adam)
        for method in ("generate", "log_likelihood_logits"):
            self._wrapped.mark_forward_method(method)
        self._observed, self._target = self._observed.to(fabric.device), self._target.to(fabric.device)

    def step(self, iteration: int) -> dict[str, float]:
        """One iteration on its samples."""
        self.generator.train()
        chosen = batch_indices(len(self._observed), self._global_batch, iteration, self.settings.seed)
        first = self._fabric.global_rank * self.settings.batch
        rows = torch.from_numpy(chosen[first : first + self.settings.batch]).to(self._fabric.device)
        with self._fabric.autocast():
            losses = self._losses(Batch(self._observed[rows], self._target[rows]), iteration)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def validate(self) -> dict[str, float]:
        """Metrics of the present generator."""
        return self._validation(self.generator)

    def reference(self) -> dict[str, float]:
        """The data's own metrics."""
        return self._validation.reference

    def weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The generator as a model file."""
        return self.generator.to_weights()

    @abstractmethod
    def _losses(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        """Train on a batch; returns its losses."""

    def _update(self, loss: Tensor) -> None:
        """One step of the generator down this loss and what has gathered in its gradients."""
        self._fabric.backward(loss)
        if self.settings.clip_norm:
            self._fabric.clip_gradients(self._wrapped, self._adam, max_norm=self.settings.clip_norm)
        self._adam.step()

    def _generate(self, batch: Batch) -> Tensor:
        """``[B, T, N, A]`` generated actions, zero for absent people."""
        steps = batch.target.shape[1]
        future: Tensor = self._wrapped.generate(batch.observed, steps, soft=self.settings.soft)
        return future

    def _truth(self, batch: Batch) -> Tensor:
        """``[B, T, N, A]`` true actions, zero where they are unknown."""
        return one_hot(batch.target, len(self.generator.space)) * batch.known.unsqueeze(-1)

    def _negative_log_likelihood(self, batch: Batch) -> Tensor:
        """Mean over the known ticks of present people, nats."""
        logits = self._wrapped.log_likelihood_logits(batch.observed, batch.target)  # [B, T, N, A]
        truth = batch.target.masked_fill(~batch.known, ABSENT)
        return functional.cross_entropy(logits.flatten(0, -2), truth.flatten(), ignore_index=ABSENT)


class LikelihoodStep(GeneratorStep):
    """Maximum likelihood of each next action given the true past (teacher forcing)."""

    def _losses(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        self._adam.zero_grad()
        loss = self._negative_log_likelihood(batch)
        self._update(loss)
        return {"nll": loss}


class NoGanStep(GeneratorStep):
    """The squared error alone (3.13), the thesis' ablation without adversarial losses."""

    def _losses(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        self._adam.zero_grad()
        loss = reconstruction_loss(self._generate(batch), self._truth(batch))
        self._update(loss)
        return {"reconstruction": loss}


class AdversarialStep(GeneratorStep):
    """Hinge losses of discriminator and generator with the weak squared error (3.11) to (3.14)."""

    def __init__(
        self,
        generator: SocialGenerator,
        discriminator: SocialDiscriminator,
        data: Prepared,
        settings: StepSettings,
        validation: Validation,
    ) -> None:
        """As :class:`GeneratorStep`, with the discriminator to be trained."""
        super().__init__(generator, data, settings, validation)
        self.discriminator = discriminator
        self._judge_adam: Optimizer = Adam(
            discriminator.parameters(), settings.discriminator_rate, settings.betas
        )

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Generator and discriminator."""
        return {**super().modules, "discriminator": self.discriminator}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """Of both."""
        return {**super().optimizers, "discriminator": self._judge_adam}

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        super().setup(fabric)
        self._judge, self._judge_adam = fabric.setup(self.discriminator, self._judge_adam)

    def _losses(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        self.discriminator.train()
        observed = one_hot(hold_gaps(batch.observed), len(self.generator.space))  # [B, 60, N, A]
        fake = self._generate(batch)
        # An unknown action is the generated one in both, so that gaps tell nothing.
        real = torch.where(batch.known.unsqueeze(-1), self._truth(batch), fake.detach())
        losses = self._train_discriminator(observed, real, fake.detach(), batch.present, iteration)
        return losses | self._train_generator(observed, fake, batch)

    def _train_discriminator(
        self, observed: Tensor, real: Tensor, fake: Tensor, present: Tensor, iteration: int
    ) -> dict[str, Tensor]:
        settings = self.settings
        losses: dict[str, Tensor] = {}
        self._judge_adam.zero_grad()
        if settings.r1 and iteration % settings.r1_every == 0:
            losses["r1"] = real_gradient_penalty(self.discriminator, observed, real, present)
            self._fabric.backward(settings.r1 * settings.r1_every * losses["r1"])
        true, generated = self._judge(observed, torch.stack([real, fake]), present)  # [B] each
        loss = discriminator_loss(true, generated)
        self._fabric.backward(loss)
        self._judge_adam.step()
        return losses | {"discriminator": loss, "score_real": true.mean(), "score_fake": generated.mean()}

    def _train_generator(self, observed: Tensor, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        settings, losses = self.settings, {}
        self._adam.zero_grad()
        self.discriminator.requires_grad_(False)
        adversarial = generator_loss(self.discriminator(observed, fake, batch.present))
        self.discriminator.requires_grad_(True)
        reconstruction = reconstruction_loss(fake, self._truth(batch))
        loss = adversarial + settings.lambda_reco * reconstruction
        if settings.lambda_likelihood:
            self._fabric.backward(loss)
            losses["nll"] = self._negative_log_likelihood(batch)
            loss = settings.lambda_likelihood * losses["nll"]
        self._update(loss)
        return {"adversarial": adversarial, "reconstruction": reconstruction, **losses}


def hold_gaps(observed: Tensor) -> Tensor:
    """``[B, T, N]`` symbols whose unknown ticks show the action before them, at the start the first one.

    Fed with blanks from the first tick on, a discriminator stays at a state of zeros, where the gradient of
    a layer norm is so steep that it overflows within a few ticks. People never seen stay ``ABSENT``.
    """
    known = observed != ABSENT
    tick = torch.arange(observed.shape[1], device=observed.device)[:, None]
    last = torch.where(known, tick, -1).cummax(dim=1).values
    first = known.int().argmax(dim=1, keepdim=True)
    return observed.gather(1, torch.maximum(last, first))


def one_hot(symbols: Tensor, actions: int) -> Tensor:
    """``[..., A]`` float, zero for ``ABSENT``."""
    known = (symbols != ABSENT).unsqueeze(-1)
    return (functional.one_hot(symbols.clamp(min=0), actions) * known).float()
