"""Training iterations by the energy score of futures that a generator has generated itself."""

from __future__ import annotations

from typing import cast

import torch
from lightning_fabric.fabric import Fabric
from torch import Tensor

from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.training.energy_score import EnergyScore
from hmgen_ros.training.loop_config import seed_iteration
from hmgen_ros.training.motion_steps import Batch, Measure, MotionSettings, MotionStep
from hmgen_ros.training.motion_windows import MotionWindows

#: Futures of each head that the energy score compares.
_FUTURES = 2
#: Random choices of pieces that held-out futures are scored by.
_HELD_OUT_DRAWS = 8
#: Every so many iterations it is looked where heads are after so many ticks of free motion, of which the
#: last ones are learned from.
_LATE_EVERY, _WANDERED, _LATE_STEPS = 4, (40, 300), 16


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
        losses = {
            **self._score(generated, true, self.settings.between_heads),
            **self._beside(generated, batch, seeds),
        }
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
            future.unflatten(0, (_FUTURES, -1)), batch.poses, batch.reference, self.settings.between_heads
        )
        self._update(score)
        return {"whereabouts": score}


def for_each_future(sound: Tensor | None) -> Tensor | None:
    """The sound of every future."""
    return None if sound is None else sound.repeat(_FUTURES, *[1] * (sound.dim() - 1))


def _long_sound(heard: Tensor, ticks: int) -> Tensor:
    """``[B, ticks or more, 4, F]``: the sound of one window after the other."""
    return torch.cat([heard.roll(i, 0) for i in range(-(-ticks // heard.shape[1]))], dim=1)


def _is_late(iteration: int) -> bool:
    return iteration % _LATE_EVERY == _LATE_EVERY - 1
