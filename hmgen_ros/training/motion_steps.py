"""One training iteration of each kind of system of chapter 4: adversarial, squared error, a model's own loss.

As in chapter 3, generated and true tracks pass the discriminators in one batch, and the generator learns from
the same generated tracks that the discriminators have just been shown.
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

from hmgen_ros.generators.framed_motion import FramedMotion
from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.suhmo import Suhmo
from hmgen_ros.training.energy_score import EnergyScore
from hmgen_ros.training.loop_config import batch_indices
from hmgen_ros.training.motion_windows import MotionWindows
from hmgen_ros.training.suhmo_discriminators import MotionJudge, hinge

#: The rates after ``decay_from`` iterations (section 4.4.1).
_DECAY = 0.1
#: Futures of each head that the energy score compares.
_FUTURES = 2
#: Every so many iterations it is looked where heads are after so many ticks of free motion, of which the
#: last ones are learned from.
_LATE_EVERY, _WANDERED, _LATE_STEPS = 4, (40, 300), 16


@dataclass(frozen=True, kw_only=True)
class MotionSettings:
    """Settings of one iteration.

    Attributes:
        seed: of the order of the windows.
        batch: heads an iteration and process; an even number.
        steps: ticks to generate.
        seeds: most observed ticks.
        generator_rate, discriminator_rate: Adam's learning rates.
        betas: Adam's, of both.
        lambda_reco: weight of the squared error (4.11), which is measured in units of the velocities.
        clip_norm: gradients of the generator are scaled down to this norm; 0 does not.
        decay_from: iteration from which the rates are a tenth; None keeps them.
    """

    seed: int = 0
    batch: int = 32
    steps: int = 40
    seeds: int = 1
    generator_rate: float = 2e-5
    discriminator_rate: float = 1e-5
    betas: tuple[float, float] = (0.5, 0.999)
    lambda_reco: float = 1e-2
    clip_norm: float = 1.0
    decay_from: int | None = None


class OwnLoss(Protocol):
    """A generator that brings its own loss."""

    def losses(self, poses: Tensor, reference: Tensor, iteration: int) -> dict[str, Tensor]:
        """Parts of the loss of ``[B, T, 136]`` true tracks; ``"loss"`` is their sum.

        Args:
            poses: in head frames.
            reference: ``[B, 136]`` the poses that the frames were made from.
            iteration: from 0 on.
        """


class Measure(Protocol):
    """Measures a generator on held-out tracks."""

    reference: dict[str, float]

    def __call__(self, model: FramedMotion[Any]) -> dict[str, float]:
        """The generator's values."""


class MotionStep(ABC):
    """What all systems share: the generator, its optimiser, the windows and the validation."""

    def __init__(
        self, model: FramedMotion[Any], windows: MotionWindows, settings: MotionSettings, validation: Measure
    ) -> None:
        """Nothing is moved to a device before :meth:`setup`."""
        self.model, self.settings = model, settings
        self._windows, self._validation = windows, validation
        self._adam: Optimizer = Adam(model.parameters(), settings.generator_rate, settings.betas)
        self._global_batch = settings.batch

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run changes."""
        return {"generator": self.model}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """Of the modules."""
        return {"generator": self._adam}

    @property
    def epoch(self) -> int:
        """Iterations that see every window once; neighbouring windows overlap."""
        return max(1, len(self._windows) // self._global_batch)

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        self._fabric = fabric
        self._global_batch = self.settings.batch * fabric.world_size
        self._wrapped, self._adam = fabric.setup(self.model, self._adam)
        for method in ("generate", "generate_late", "losses"):
            if hasattr(self.model, method):
                self._wrapped.mark_forward_method(method)
        self._windows.to(fabric.device)

    def step(self, iteration: int) -> dict[str, float]:
        """One iteration on its windows."""
        self.model.train()
        self._set_rates(iteration)
        chosen = batch_indices(len(self._windows), self._global_batch, iteration, self.settings.seed)
        first = self._fabric.global_rank * self.settings.batch
        rows = torch.from_numpy(chosen[first : first + self.settings.batch]).to(self._fabric.device)
        poses, reference = self._drawn(rows, iteration)
        with self._fabric.autocast():
            losses = self._losses(poses, reference, iteration)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def validate(self) -> dict[str, float]:
        """Metrics of the present generator."""
        return self._validation(self.model)

    def reference(self) -> dict[str, float]:
        """The data's own metrics."""
        return self._validation.reference

    def weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The generator as a model file."""
        found: tuple[dict[str, Any], dict[str, Tensor]] = self.model.to_weights()
        return found

    def _drawn(self, rows: Tensor, iteration: int) -> tuple[Tensor, Tensor]:
        """The windows of an iteration and the poses that their frames were made from."""
        return self._windows.draw(rows)

    @abstractmethod
    def _losses(self, poses: Tensor, reference: Tensor, iteration: int) -> dict[str, Tensor]:
        """Train on ``[B, T, 136]`` tracks; returns their losses."""

    def _seeds(self) -> int:
        """How many ticks are observed; drawn by PyTorch's generator, so that a resumed run draws the same."""
        return int(torch.randint(1, self.settings.seeds + 1, ()))

    def _set_rates(self, iteration: int) -> None:
        decays = self.settings.decay_from is not None and iteration >= self.settings.decay_from
        for name, rate in self._rates().items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate * (_DECAY if decays else 1.0)

    def _rates(self) -> dict[str, float]:
        return {"generator": self.settings.generator_rate}

    def _update(self, loss: Tensor) -> None:
        self._adam.zero_grad()
        self._fabric.backward(loss)
        if self.settings.clip_norm:
            self._fabric.clip_gradients(self._wrapped, self._adam, max_norm=self.settings.clip_norm)
        self._adam.step()


class OwnLossStep(MotionStep):
    """A model that brings its own loss."""

    def _losses(self, poses: Tensor, reference: Tensor, iteration: int) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self._wrapped.losses(poses, reference, iteration)
        self._update(losses["loss"])
        return losses


class EnergyStep(MotionStep):
    """The energy score of futures that the model has generated itself."""

    model: NoiseDriven

    def __init__(
        self,
        model: NoiseDriven,
        score: EnergyScore,
        windows: MotionWindows,
        settings: MotionSettings,
        validation: Measure,
    ) -> None:
        """As :class:`MotionStep`, with the score, fitted to the training set."""
        super().__init__(model, windows, settings, validation)
        self._score = score

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        super().setup(fabric)
        self._score.to(fabric.device)

    def _drawn(self, rows: Tensor, iteration: int) -> tuple[Tensor, Tensor]:
        return self._windows.draw(rows, anywhere=_is_late(iteration))

    def _losses(self, poses: Tensor, reference: Tensor, iteration: int) -> dict[str, Tensor]:
        if _is_late(iteration):
            return self._late_losses(poses, reference)
        seeds, steps = self._seeds(), self.settings.steps
        observed, true = poses[:, :seeds], poses[:, seeds - 1 : seeds + steps]
        again = observed.repeat(_FUTURES, 1, 1), reference.repeat(_FUTURES, 1)
        future = self._wrapped.generate(*again, steps).unflatten(0, (_FUTURES, -1))
        last = true[:, :1].expand(_FUTURES, -1, -1, -1)
        scores: dict[str, Tensor] = self._score(torch.cat([last, future], dim=2), true)
        self._update(torch.stack(list(scores.values())).sum())
        return scores

    def _late_losses(self, poses: Tensor, reference: Tensor) -> dict[str, Tensor]:
        """Heads that have gone on from the reference for long are where the track's other ticks are."""
        wandered = int(torch.randint(*_WANDERED, ()))
        again = reference.repeat(_FUTURES, 1)
        future = self._wrapped.generate_late(again, wandered, _LATE_STEPS).unflatten(0, (_FUTURES, -1))
        score: Tensor = self._score.whereabouts(future, poses, reference)
        self._update(score)
        return {"whereabouts": score}


def _is_late(iteration: int) -> bool:
    return iteration % _LATE_EVERY == _LATE_EVERY - 1


class SuhmoStep(MotionStep):
    """What SUHMo's systems share: pairs of tracks, of which the first ticks are observed."""

    model: Suhmo

    def _generate(self, poses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Go on from the first ticks of pairs of tracks.

        Returns:
            ``[R, P, 1, 136]`` the last observed poses, ``[R, P, T, 136]`` generated and true ones.
        """
        pairs = poses.unflatten(0, (-1, self.model.pairs))
        seeds = self._seeds()
        observed, true = pairs[:, :, :seeds], pairs[:, :, seeds : seeds + self.settings.steps]
        fake: Tensor = self._wrapped.generate(observed, self.settings.steps)
        return observed[:, :, -1:], fake, true

    def _squared_error(self, fake: Tensor, true: Tensor) -> Tensor:
        """In units of the velocities, so that its weight does not hang on how lively the tracks are."""
        return functional.mse_loss(fake / self.model.velocity_unit, true / self.model.velocity_unit)


class SquaredErrorStep(SuhmoStep):
    """The squared error alone: the thesis' MLE."""

    def _losses(self, poses: Tensor, reference: Tensor, iteration: int) -> dict[str, Tensor]:
        _, fake, true = self._generate(poses)
        loss = self._squared_error(fake, true)
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

    def _losses(self, poses: Tensor, reference: Tensor, iteration: int) -> dict[str, Tensor]:
        self.judge.train()
        last, fake, true = self._generate(poses)
        generated, real = torch.cat([last, fake], dim=2), torch.cat([last, true], dim=2)
        if not self.model.config.paired:  # discriminators see pairs of heads in any case
            generated, real = (t.flatten(0, 1).unflatten(0, (-1, 2)) for t in (generated, real))
        windows = self.judge.windows(generated.shape[2])
        judged = self._train_judge(real, generated.detach(), windows)
        self.judge.requires_grad_(False)
        scores = self.judge(generated, windows)
        self.judge.requires_grad_(True)
        adversarial = -torch.stack([score.mean() for score in scores.values()]).sum()
        reconstruction = self._squared_error(fake, true)
        self._update(adversarial + self.settings.lambda_reco * reconstruction)
        return {**judged, "adversarial": adversarial, "reconstruction": reconstruction}

    def _train_judge(self, real: Tensor, fake: Tensor, windows: list[tuple[int, int]]) -> dict[str, Tensor]:
        self._judge_adam.zero_grad()
        scores = self._wrapped_judge(torch.cat([real, fake]), windows)
        true, generated = ({n: s.chunk(2)[i] for n, s in scores.items()} for i in (0, 1))
        loss = hinge(true, generated)
        self._fabric.backward(loss)
        self._judge_adam.step()
        gaps = {f"gap_{name}": true[name].mean() - generated[name].mean() for name in true}
        return {"discriminator": loss, **gaps}
