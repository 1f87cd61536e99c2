"""Training iterations of chapter 4's systems: adversarial, and by squared error alone.

As in chapter 3, generated and true tracks pass the discriminators in one batch, and the generator learns from
the same generated tracks that the discriminators have just been shown.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from lightning_fabric.fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from hmgen_ros.generators.suhmo import Suhmo
from hmgen_ros.training.motion_steps import Batch, Measure, MotionSettings, MotionStep
from hmgen_ros.training.motion_windows import MotionWindows
from hmgen_ros.training.suhmo_discriminators import MotionJudge, hinge


class Generated(NamedTuple):
    """What a generator made of the first ticks of a batch, in pairs of heads.

    Attributes:
        last: ``[R, P, 1, 136]`` the last observed poses.
        fake, true: ``[R, P, T, 136]`` generated and true ones.
        seeds: ticks that were observed.
    """

    last: Tensor
    fake: Tensor
    true: Tensor
    seeds: int


class SuhmoStep(MotionStep):
    """What SUHMo's systems share: pairs of tracks, of which the first ticks are observed."""

    model: Suhmo

    def _generate(self, batch: Batch) -> Generated:
        """Go on from the first ticks of pairs of tracks."""
        pairs = batch.poses.unflatten(0, (-1, self.model.pairs))
        seeds = self._seeds()
        observed, true = pairs[:, :, :seeds], pairs[:, :, seeds : seeds + self.settings.steps]
        fake: Tensor = self._wrapped.generate(observed, self.settings.steps)
        return Generated(observed[:, :, -1:], fake, true, seeds)

    def _squared_error(self, fake: Tensor, true: Tensor) -> Tensor:
        """In units of the velocities, so that its weight does not hang on how lively the tracks are."""
        return functional.mse_loss(fake / self.model.velocity_unit, true / self.model.velocity_unit)


class SquaredErrorStep(SuhmoStep):
    """The squared error alone: the thesis' MLE."""

    def _losses(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        generated = self._generate(batch)
        loss = self._squared_error(generated.fake, generated.true)
        self._update(loss)
        return {"reconstruction": loss}


class AdversarialMotionStep(SuhmoStep):
    """Hinge losses of three discriminators with the weak squared error (4.11)."""

    def __init__(
        self,
        model: Suhmo,
        judge: MotionJudge,
        windows: MotionWindows,
        settings: MotionSettings,
        validation: Measure,
    ) -> None:
        """As :class:`MotionStep`, with the discriminators to be trained."""
        super().__init__(model, windows, settings, validation)
        self.judge = judge
        self._judge_adam: Optimizer = Adam(judge.parameters(), settings.discriminator_rate, settings.betas)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Generator and discriminators."""
        return {**super().modules, "discriminator": self.judge}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """Of both."""
        return {**super().optimizers, "discriminator": self._judge_adam}

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        super().setup(fabric)
        self._wrapped_judge, self._judge_adam = fabric.setup(self.judge, self._judge_adam)

    def _rates(self) -> dict[str, float]:
        return {**super()._rates(), "discriminator": self.settings.discriminator_rate}

    def _losses(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        self.judge.train()
        made = self._generate(batch)
        fake, real = (torch.cat([made.last, part], dim=2) for part in (made.fake, made.true))
        if fake.shape[1] == 1:  # discriminators see pairs of heads in any case
            fake, real = (t.flatten(0, 1).unflatten(0, (-1, 2)) for t in (fake, real))
        windows = self.judge.windows(fake.shape[2])
        judged = self._train_judge(real, fake.detach(), windows)
        self.judge.requires_grad_(False)
        scores = self.judge(fake, windows)
        self.judge.requires_grad_(True)
        adversarial = -torch.stack([score.mean() for score in scores.values()]).sum()
        weight, beside = self._beside(made, batch)
        self._update(adversarial + weight * torch.stack(list(beside.values())).sum())
        return {**judged, "adversarial": adversarial, **beside}

    def _beside(self, made: Generated, batch: Batch) -> tuple[float, dict[str, Tensor]]:
        """The weight of what else the generator learns by, and its parts."""
        return self.settings.lambda_reco, {"reconstruction": self._squared_error(made.fake, made.true)}

    def _train_judge(self, real: Tensor, fake: Tensor, windows: list[tuple[int, int]]) -> dict[str, Tensor]:
        self._judge_adam.zero_grad()
        scores = self._wrapped_judge(torch.cat([real, fake]), windows)
        true, generated = ({n: s.chunk(2)[i] for n, s in scores.items()} for i in (0, 1))
        loss = hinge(true, generated)
        self._fabric.backward(loss)
        self._judge_adam.step()
        gaps = {f"gap_{name}": true[name].mean() - generated[name].mean() for name in true}
        return {"discriminator": loss, **gaps}
