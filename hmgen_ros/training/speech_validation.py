"""Measures a speech-driven generator on held-out tracks while it is trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hmgen_ros.evaluation.sync_metrics import synchrony
from hmgen_ros.generators.framed_motion import FramedMotion, FramedState
from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.generators.syncer import SyncerPyramid
from hmgen_ros.training.motion_validation import MotionValidation, some_rows
from hmgen_ros.training.motion_windows import MotionWindows
from hmgen_ros.training.speech_windows import SpeechWindows


class SpeechValidation(MotionValidation):
    """One future of each chosen window by its own sound: as others, and how well it fits that sound.

    Attributes:
        reference: the data's own values; its confidences are those of the held-out faces themselves.
    """

    def __init__(
        self,
        training: MotionWindows,
        held_out: SpeechWindows,
        windows: int,
        syncer: SyncerPyramid,
        seed: int = 0,
    ) -> None:
        """Choose windows, evenly from all of them.

        Args:
            training: of ``T + 1`` ticks; tells what the features are.
            held_out: as long, with the sound that generators look ahead.
            windows: how many at most.
            syncer: that measures; not the one that generators are trained with.
            seed: of the futures.
        """
        rows = some_rows(held_out, windows)
        self._sound, self._syncer = held_out.heard(rows), syncer.eval()
        super().__init__(training, held_out, windows, seed)
        self.reference |= self._confidences(held_out.cut(rows))

    def _futures(
        self, model: FramedMotion[Any], state: FramedState[Any], generator: torch.Generator
    ) -> Tensor:
        assert isinstance(model, MsSync)
        sound = self._sound.transpose(0, 1).to(generator.device)  # [T + 1 + ahead, W, 4, F]
        return model.rollout_speaking(model.listen(state, sound[0]), sound[1:], generator)

    def _measure(self, windows: Tensor) -> dict[str, float]:
        return {**super()._measure(windows), **self._confidences(windows)}

    @torch.no_grad()
    def _confidences(self, windows: Tensor) -> dict[str, float]:
        """``conf_1`` to ``conf_4`` (5.17) of ``[W, T + 1, 136]`` windows."""
        levels = self._syncer(windows, self._sound[:, : windows.shape[1]])
        return {f"conf_{i}": float(synchrony(e).confidence.mean()) for i, e in enumerate(levels, start=1)}
