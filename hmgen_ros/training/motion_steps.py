"""One training iteration of each kind of system of chapter 4: adversarial, squared error, a model's own loss.

As in chapter 3, generated and true tracks pass the discriminators in one batch, and the generator learns from
the same generated tracks that the discriminators have just been shown.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import torch
from lightning_fabric.fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hmgen_ros.generators.framed_motion import FramedMotion
from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.suhmo import Suhmo
from hmgen_ros.training.energy_score import EnergyScore
from hmgen_ros.training.loop_config import batch_indices, seed_iteration
from hmgen_ros.training.motion_windows import MotionWindows
from hmgen_ros.training.suhmo_discriminators import MotionJudge, hinge

#: The rates after ``decay_from`` iterations (section 4.4.1).
_DECAY = 0.1
#: Futures of each head that the energy score compares.
_FUTURES = 2
#: Random choices of pieces that held-out futures are scored by.
_HELD_OUT_DRAWS = 8
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


class EnergyStep(MotionStep):
    """The energy score of futures that the model has generated itself.

    It is smallest for the true distribution on held-out tracks, too, and so tells the best iteration there.
    """

    model: NoiseDriven

    def __init__(
        self,
        model: NoiseDriven,
        score: EnergyScore,
        windows: MotionWindows,
        held_out: Tensor,
        settings: MotionSettings,
        validation: Measure,
    ) -> None:
        """As :class:`MotionStep`, with what the score needs.

        Args:
            model: the generator.
            score: fitted to the training set.
            windows: to train on.
            held_out: ``[W, steps + 1, 136]`` windows of other tracks, in the frames of their first poses.
            settings: of an iteration.
            validation: of the generator.
        """
        super().__init__(model, windows, settings, validation)
        self._score, self._held_out = score, held_out

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        super().setup(fabric)
        self._score.to(fabric.device)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The score of held-out tracks beside what all systems are measured by."""
        true = self._held_out.to(self._fabric.device)
        seed_iteration(0, 0, 0)  # the same pieces at each evaluation
        future = self._held_out_futures(cast("NoiseDriven", self._kept).eval(), true)
        both = torch.cat([true[:, :1].expand(_FUTURES, -1, -1, -1), future], dim=2)
        scores = [torch.stack(list(self._score(both, true).values())).sum() for _ in range(_HELD_OUT_DRAWS)]
        return {"energy": float(torch.stack(scores).mean()), **super().validate()}

    def _held_out_futures(self, model: NoiseDriven, true: Tensor) -> Tensor:
        """``[S, W, T, 136]`` futures of the first poses of ``[W, T + 1, 136]`` tracks."""
        first = true[:, :1].repeat(_FUTURES, 1, 1)
        future: Tensor = model.generate(first, first[:, 0], true.shape[1] - 1)
        return torch.unflatten(future, 0, (_FUTURES, -1))

    def _drawn(self, rows: Tensor, iteration: int) -> Batch:
        late = _is_late(iteration)
        return Batch(*self._windows.draw(rows, anywhere=late), self._windows.heard(rows))

    def _losses(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        if _is_late(iteration):
            return self._late_losses(batch)
        seeds, steps = self._seeds(), self.settings.steps
        observed, true = batch.poses[:, :seeds], batch.poses[:, seeds - 1 : seeds + steps]
        again = observed.repeat(_FUTURES, 1, 1), batch.reference.repeat(_FUTURES, 1)
        future = self._wrapped.generate(*again, steps, for_each_future(batch.heard)).unflatten(
            0, (_FUTURES, -1)
        )
        generated = torch.cat([true[:, :1].expand(_FUTURES, -1, -1, -1), future], dim=2)
        losses = {**self._score(generated, true), **self._beside(generated, batch, seeds)}
        self._update(torch.stack(list(losses.values())).sum())
        return losses

    def _beside(self, generated: Tensor, batch: Batch, seeds: int) -> dict[str, Tensor]:
        """What else ``[S, B, T + 1, 136]`` futures, and the pose before, are to be; nothing."""
        return {}

    def _late_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Heads that have gone on from the reference for long are where the track's other ticks are."""
        wandered = int(torch.randint(*_WANDERED, ()))
        again = batch.reference.repeat(_FUTURES, 1)
        sound = None if batch.heard is None else _long_sound(batch.heard, wandered + 2 * _LATE_STEPS)
        future = self._wrapped.generate_late(again, wandered, _LATE_STEPS, for_each_future(sound))
        score: Tensor = self._score.whereabouts(
            future.unflatten(0, (_FUTURES, -1)), batch.poses, batch.reference
        )
        self._update(score)
        return {"whereabouts": score}


def for_each_future(sound: Tensor | None) -> Tensor | None:
    """The sound of every future."""
    return None if sound is None else sound.repeat(_FUTURES, *[1] * (sound.dim() - 1))


def _long_sound(heard: Tensor, ticks: int) -> Tensor:
    """``[B, ticks or more, 4, F]``: the sound of one window after the other."""
    return torch.cat([heard.roll(i, 0) for i in range(-(-ticks // heard.shape[1]))], dim=1)


def _part_of_rate(settings: MotionSettings, iteration: int) -> float:
    if settings.decay_from is None or iteration < settings.decay_from:
        return 1.0
    if settings.decay_over is None:
        return _DECAY
    done = min(1.0, (iteration - settings.decay_from + 1) / settings.decay_over)
    return 0.5 * (1.0 + math.cos(math.pi * done))


def _is_late(iteration: int) -> bool:
    return iteration % _LATE_EVERY == _LATE_EVERY - 1


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
