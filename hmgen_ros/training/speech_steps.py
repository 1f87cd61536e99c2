"""One training iteration of each kind of system of chapter 5: all agree with a frozen pyramid of syncers.

The thesis adds ``lambda L_AV`` (5.14) to the adversarial losses of chapter 4. Ours adds it to the energy
score of futures, which needs no adversary; the likelihood baseline has neither.
"""

from __future__ import annotations

from typing import cast

import torch
from lightning_fabric.fabric import Fabric
from torch import Tensor

from hmgen_ros.generators import weights
from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.syncer import SyncerPyramid, agreement
from hmgen_ros.training.adversarial_steps import AdversarialMotionStep, Generated
from hmgen_ros.training.energy_score import EnergyScore
from hmgen_ros.training.energy_steps import EnergyStep, for_each_future
from hmgen_ros.training.motion_steps import Batch, Measure, MotionSettings, MotionStep
from hmgen_ros.training.motion_windows import MotionWindows
from hmgen_ros.training.suhmo_discriminators import MotionJudge
from hmgen_ros.types.sound import Kind


class SyncLoss:
    """``-L_AV``'s other sign, (5.4) averaged over levels, by a frozen pyramid."""

    def __init__(self, syncer: SyncerPyramid, weight: float, levels: int) -> None:
        """Freeze it.

        Args:
            syncer: trained by InfoNCE.
            weight: lambda of (5.14).
            levels: how many of the finest ones count.
        """
        self.weight = weight
        self._syncer, self._levels = syncer.eval().requires_grad_(False), levels

    def to(self, device: torch.device) -> None:
        """Move to a device."""
        self._syncer.to(device)

    def __call__(self, poses: Tensor, heard: Tensor) -> Tensor:
        """How little ``[B, T, 136]`` poses fit ``[B, T, 4, F]`` features: -1 is best, 1 worst."""
        return -agreement(self._syncer(poses, heard)[: self._levels]).mean()


def syncer_of(name: str, kind: Kind) -> SyncerPyramid:
    """A shipped pyramid that hears these features.

    Raises:
        hmgen_ros.generators.weights.WeightsError: it is missing, damaged, or hears others.
    """
    found = SyncerPyramid.from_weights(weights.load(name))
    if found.config.features != kind:
        raise weights.WeightsError(
            f"{name} hears {found.config.features}, not {kind}; hmgen train syncer --features {kind} --ship "
            f"{name} makes one that does"
        )
    return found


class SpeechEnergyStep(EnergyStep):
    """The energy score of futures, and their synchrony."""

    def __init__(
        self,
        model: MsSync,
        score: EnergyScore,
        sync: SyncLoss,
        windows: MotionWindows,
        held_out: tuple[Tensor, Tensor],
        settings: MotionSettings,
        validation: Measure,
    ) -> None:
        """As :class:`EnergyStep`; ``held_out`` are ``[W, T + 1, 136]`` windows and what is heard in them."""
        super().__init__(model, score, windows, held_out[0], settings, validation)
        self._sync, self._heard = sync, held_out[1]

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        super().setup(fabric)
        self._sync.to(fabric.device)
        self._heard = self._heard.to(fabric.device)

    def _held_out_futures(self, model: NoiseDriven, true: Tensor) -> Tensor:
        first = true[:, :1].repeat(2, 1, 1)
        future = model.generate(first, first[:, 0], true.shape[1] - 1, for_each_future(self._heard))
        return torch.unflatten(future, 0, (2, -1))

    def _beside(self, generated: Tensor, batch: Batch, seeds: int) -> dict[str, Tensor]:
        assert batch.heard is not None
        if not self._sync.weight:
            return {}
        heard = batch.heard[:, seeds - 1 : seeds - 1 + generated.shape[2]]
        found = self._sync(generated.flatten(0, 1), cast("Tensor", for_each_future(heard)))
        return {"sync": self._sync.weight * found}


class LikelihoodStep(MotionStep):
    """The likelihood of single ticks, each told the true past."""

    def _losses(self, batch: Batch, iteration: int) -> dict[str, Tensor]:
        loss: Tensor = self._wrapped.surprise(*batch)
        self._update(loss)
        return {"surprise": loss}


class SpeechAdversarialStep(AdversarialMotionStep):
    """Hinge losses of three discriminators, which do not hear, and synchrony (5.14)."""

    def __init__(
        self,
        model: MsSync,
        judge: MotionJudge,
        sync: SyncLoss,
        windows: MotionWindows,
        settings: MotionSettings,
        validation: Measure,
    ) -> None:
        """As :class:`AdversarialMotionStep`, with the synchrony loss."""
        super().__init__(model, judge, windows, settings, validation)  # type: ignore[arg-type]
        self._sync = sync

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        super().setup(fabric)
        self._sync.to(fabric.device)

    def _generate(self, batch: Batch) -> Generated:
        seeds, steps = self._seeds(), self.settings.steps
        observed = batch.poses[:, :seeds]
        fake = self._wrapped.generate(observed, batch.reference, steps, batch.heard)
        parts = (observed[:, -1:], fake, batch.poses[:, seeds : seeds + steps])
        last, fake, true = (part.unflatten(0, (-1, 2)) for part in parts)
        return Generated(last, fake, true, seeds)

    def _beside(self, made: Generated, batch: Batch) -> tuple[float, dict[str, Tensor]]:
        assert batch.heard is not None
        poses = torch.cat([made.last, made.fake], dim=2).flatten(0, 1)
        heard = batch.heard[:, made.seeds - 1 : made.seeds - 1 + poses.shape[1]]
        return self._sync.weight, {"sync": self._sync(poses, heard)}
