"""Windows of head motion with the speech that goes with them, drawn on the device they are trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hmgen_ros.data.speech_tracks import SpeechSegment
from hmgen_ros.data.tracks import Corpus
from hmgen_ros.perception.audio_features import Kind, features_of
from hmgen_ros.training.motion_windows import MotionWindows, WindowSettings


class SpeechWindows(MotionWindows):
    """Every window of the pieces of tracks that have sound."""

    def __init__(
        self,
        speech: Sequence[SpeechSegment],
        ticks: int,
        kind: Kind,
        settings: WindowSettings | None = None,
    ) -> None:
        """Lay the tracks and their sound side by side.

        Args:
            speech: pieces of tracks with their sound.
            ticks: length of a window.
            kind: which audio features.
            settings: how windows are cut and varied.

        Raises:
            ValueError: no piece is long enough.
        """
        super().__init__(Corpus([piece.segment for piece in speech]), ticks, settings)
        long = [piece for piece in speech if len(piece.segment.landmarks) >= ticks]
        self._heard = torch.from_numpy(np.concatenate([features_of(piece.sound, kind) for piece in long]))

    def to(self, device: torch.device) -> SpeechWindows:
        """Move to a device; returns itself."""
        super().to(device)
        self._heard = self._heard.to(device)
        return self

    def heard(self, rows: Tensor) -> Tensor:
        """``[B, T, 4, F]`` audio features of windows by number (``[B]``)."""
        ticks = torch.arange(self.ticks, device=rows.device)
        return self._heard[self._starts[rows][:, None] + ticks]
