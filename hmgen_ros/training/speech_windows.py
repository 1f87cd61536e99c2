"""Windows of head motion with the speech that goes with them, drawn on the device they are trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hmgen_ros.data.speech_tracks import SpeechSegment
from hmgen_ros.data.tracks import Corpus
from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.training.motion_windows import MotionWindows, WindowSettings
from hmgen_ros.types import NUM_LANDMARKS
from hmgen_ros.types.sound import TICK_SAMPLES, Kind

#: iBUG-68: the mouth begins here.
_MOUTH = 48


class SpeechWindows(MotionWindows):
    """Every window of the pieces of tracks that have sound."""

    def __init__(
        self,
        speech: Sequence[SpeechSegment],
        ticks: int,
        kind: Kind,
        settings: WindowSettings | None = None,
        ahead: int = 0,
    ) -> None:
        """Lay the tracks and their sound side by side.

        Args:
            speech: pieces of tracks with their sound.
            ticks: length of a window.
            kind: which audio features.
            settings: how windows are cut and varied.
            ahead: ticks of sound behind each window that are heard, too; silence where a piece has ended.

        Raises:
            ValueError: no piece is long enough.
        """
        super().__init__(Corpus([piece.segment for piece in speech]), ticks, settings)
        self._ahead = ahead
        silent = np.zeros(ahead * TICK_SAMPLES, np.float32)
        sounds = [piece.sound for piece in speech if len(piece.segment.landmarks) >= ticks]
        heard = [features_of(np.concatenate([sound, silent]), kind) for sound in sounds]
        self._heard = torch.from_numpy(np.concatenate(heard))
        # Pieces lie further apart here than in the tensor of poses.
        lengths = np.array([len(sound) // TICK_SAMPLES for sound in sounds])
        piece = np.searchsorted(np.cumsum(lengths), self._starts.numpy(), side="right")
        self._sound_starts = self._starts + torch.from_numpy(ahead * piece)

    def to(self, device: torch.device) -> SpeechWindows:
        """Move to a device; returns itself."""
        super().to(device)
        self._heard, self._sound_starts = self._heard.to(device), self._sound_starts.to(device)
        return self

    def heard(self, rows: Tensor) -> Tensor:
        """``[B, T + ahead, 4, F]`` audio features of windows by number (``[B]``)."""
        ticks = torch.arange(self.ticks + self._ahead, device=rows.device)
        return self._heard[self._sound_starts[rows][:, None] + ticks]


def livelier(poses: Tensor, most: float) -> Tensor:
    """``[B, T, 136]`` poses that move more or less about their mean, and mouths once more or less.

    Drawn for each sequence by PyTorch's own generator.
    """
    mean = poses.mean(1, keepdim=True)
    factor = most ** (2.0 * torch.rand(2, len(poses), 1, 1, device=poses.device) - 1.0)
    moved = (factor[0] * (poses - mean)).unflatten(-1, (NUM_LANDMARKS, 2))
    mouth = moved[:, :, _MOUTH:]
    middle = mouth.mean(2, keepdim=True)
    moved = torch.cat([moved[:, :, :_MOUTH], middle + factor[1].unsqueeze(-1) * (mouth - middle)], dim=2)
    return mean + moved.flatten(-2)
