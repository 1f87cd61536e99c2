"""What all training iterations of head motion share, and those of models that bring their own loss.

The others are in :mod:`hmgen_ros.training.energy_steps` and :mod:`hmgen_ros.training.adversarial_steps`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import torch
from lightning_fabric.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hmgen_ros.generators.framed_motion import FramedMotion
from hmgen_ros.training.loop_config import batch_indices, check_batch
from hmgen_ros.training.motion_windows import MotionWindows

#: The rates after ``decay_from`` iterations (section 4.4.1).
_DECAY = 0.1


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
        between_heads: weight of the energy distance between all futures of a batch and all its true tracks
            (:class:`hmgen_ros.training.energy_score.EnergyScore`).
        clip_norm: gradients of the generator are scaled down to this norm; 0 does not.
        decay_from: iteration from which the rates are a tenth; None keeps them.
        decay_over: from there on the rates fall to nothing within so many iterations, along half a cosine,
            instead of at once to a tenth; None does the latter.
        averaging: the generator that is measured and kept is the exponential average of the weights, which
            keeps this part at each iteration; 0 takes the present ones.
    """

    seed: int = 0
    batch: int = 32
    steps: int = 40
    seeds: int = 1
    generator_rate: float = 2e-5
    discriminator_rate: float = 1e-5
    betas: tuple[float, float] = (0.5, 0.999)
    lambda_reco: float = 1e-2
    between_heads: float = 0.0
    clip_norm: float = 1.0
    decay_from: int | None = None
    decay_over: int | None = None
    averaging: float = 0.0


class Batch(NamedTuple):
    """What an iteration learns from.

    Attributes:
        poses: ``[B, T, 136]`` true tracks, in head frames.
        reference: ``[B, 136]`` the poses that the frames were made from.
        heard: ``[B, T + ahead, 4, F]`` audio features of the same ticks and some more, where there is sound.
    """

    poses: Tensor
    reference: Tensor
    heard: Tensor | None


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
        """Nothing is moved to a device before :meth:`setup`; raises ValueError where windows are too few."""
        check_batch(len(windows), settings.batch)
        self.model, self.settings = model, settings
        self._windows, self._validation = windows, validation
        self._adam: Optimizer = Adam(model.parameters(), settings.generator_rate, settings.betas)
        self._global_batch = settings.batch
        self._average: AveragedModel | None = None
        if settings.averaging:
            # Made from the generator as it is, units measured.
            self._average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging))

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run changes."""
        return {"generator": self.model} | ({} if self._average is None else {"average": self._average})

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
        for method in ("generate", "generate_late", "losses", "surprise"):
            if hasattr(self.model, method):
                self._wrapped.mark_forward_method(method)
        self._windows.to(fabric.device)
        if self._average is not None:
            self._average.to(fabric.device)

    def step(self, iteration: int) -> dict[str, float]:
        """One iteration on its windows."""
        self.model.train()
        self._set_rates(iteration)
        chosen = batch_indices(len(self._windows), self._global_batch, iteration, self.settings.seed)
        first = self._fabric.global_rank * self.settings.batch
        rows = torch.from_numpy(chosen[first : first + self.settings.batch]).to(self._fabric.device)
        batch = self._drawn(rows, iteration)
        with self._fabric.autocast():
            losses = self._losses(batch, iteration)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def validate(self) -> dict[str, float]:
        """Metrics of the generator that is kept."""
        return self._validation(self._kept)

    def reference(self) -> dict[str, float]:
        """The data's own metrics."""
        return self._validation.reference

    def weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The generator as a model file."""
        found: tuple[dict[str, Any], dict[str, Tensor]] = self._kept.to_weights()
        return found

    @property
    def _kept(self) -> FramedMotion[Any]:
        """The averaged generator, or the present one."""
        if self._average is None:
            return self.model
        return cast("FramedMotion[Any]", self._average.module)

    def _drawn(self, rows: Tensor, iteration: int) -> Batch:
        """The windows of an iteration."""
        return Batch(*self._windows.draw(rows), self._windows.heard(rows))

    @abstractmethod
    def _losses(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        """Train on a batch; returns its losses."""

    def _seeds(self) -> int:
        """How many ticks are observed; drawn by PyTorch's generator, so that a resumed run draws the same."""
        return int(torch.randint(1, self.settings.seeds + 1, ()))

    def _set_rates(self, iteration: int) -> None:
        part = _part_of_rate(self.settings, iteration)
        for name, rate in self._rates().items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate * part

    def _rates(self) -> dict[str, float]:
        return {"generator": self.settings.generator_rate}

    def _update(self, loss: Tensor) -> None:
        self._adam.zero_grad()
        self._fabric.backward(loss)
        if self.settings.clip_norm:
            self._fabric.clip_gradients(self._wrapped, self._adam, max_norm=self.settings.clip_norm)
        self._adam.step()
        if self._average is not None:
            self._average.update_parameters(self.model)


class OwnLossStep(MotionStep):
    """A model that brings its own loss."""

    def _losses(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self._wrapped.losses(batch.poses, batch.reference, iteration)
        self._update(losses["loss"])
        return losses


def _part_of_rate(settings: MotionSettings, iteration: int) -> float:
    if settings.decay_from is None or iteration < settings.decay_from:
        return 1.0
    if settings.decay_over is None:
        return _DECAY
    done = min(1.0, (iteration - settings.decay_from + 1) / settings.decay_over)
    return 0.5 * (1.0 + math.cos(math.pi * done))
