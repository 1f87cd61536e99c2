"""Syncers: how well a moving face fits a voice, at four time scales (thesis, 5.3.1).

Poses and audio features are blurred and thinned out level by level (5.5), so that level ``i`` looks at
``200 * 2**(i - 1)`` ms with windows of five poses and twenty audio steps each. At every level one network
embeds windows of the face, another one windows of the sound; their cosine (5.3) tells how well they fit.

Faces are described by how they differ from their own mean over the sequence, in the frame of the head: what
a face looks like says nothing of what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.speech_norm import SpeechNorm
from hmgen_ros.generators.weights import Weights, WeightsError
from hmgen_ros.types import NUM_LANDMARKS

KIND = "syncer"
#: Levels of the pyramids, and samples that each looks at: of the face, and of the sound.
LEVELS, FACE_WINDOW, STEPS = 4, 5, 4
#: Samples to either side that the next level averages over (5.5: k = 3).
_BLUR = 3
_POSE = 2 * NUM_LANDMARKS


@dataclass(frozen=True, kw_only=True)
class SyncerConfig:
    """Sizes and choices.

    Attributes:
        features: which audio features it hears, see :mod:`hmgen_ros.perception.audio_features`.
        heard: numbers of an audio step.
        hidden: size of the networks.
        embedding: size of what they give.
        dropout: while training.

    Raises:
        ValueError: a size is out of its range.
    """

    features: str = "logmel"
    heard: int = 26
    hidden: int = 128
    embedding: int = 64
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.heard, self.hidden, self.embedding) < 1:
            raise ValueError(
                f"heard, hidden and embedding must be at least 1, got {self.heard}, {self.hidden}, "
                f"{self.embedding}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")


class Embedded(NamedTuple):
    """``[B, n, E]`` unit vectors of every window of a level: of the face and of the sound."""

    face: Tensor
    sound: Tensor


class SyncerPyramid(nn.Module):
    """One syncer a level.

    Attributes:
        config: sizes and choices.
        norm: of the audio features.
        unit: ``[136]`` how far landmarks go from their mean over a sequence, in the training set.
    """

    unit: Tensor

    def __init__(self, config: SyncerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SyncerConfig()
        self.norm = SpeechNorm(config.heard)
        self.faces = nn.ModuleList(_face_network(config) for _ in range(LEVELS))
        self.sounds = nn.ModuleList(_sound_network(config) for _ in range(LEVELS))
        self.register_buffer("unit", torch.ones(_POSE))

    @torch.no_grad()
    def fit_units(self, poses: Tensor, heard: Tensor) -> None:
        """Measure units on training sequences.

        Args:
            poses: ``[R, T, 136]`` in head frames.
            heard: ``[R, T, 4, F]``.
        """
        self.unit.copy_((poses - poses.mean(1, keepdim=True)).flatten(0, 1).std(0).clamp(min=1e-4))
        self.norm.fit(heard.flatten(0, 2))

    def forward(self, poses: Tensor, heard: Tensor) -> list[Embedded]:
        """Embed every window of some sequences, at every level that they are long enough for.

        Args:
            poses: ``[B, T, 136]`` in head frames.
            heard: ``[B, T, 4, F]`` features as they are heard.

        Returns:
            By level, the finest first; windows begin at samples 0, 1, … of their level.
        """
        faces = [self.faces[i](window) for i, window in enumerate(self.face_windows(poses))]
        sounds = [self.sounds[i](window) for i, window in enumerate(self.sound_windows(heard))]
        return [Embedded(*pair) for pair in zip(faces, sounds, strict=True)]

    def face_windows(self, poses: Tensor) -> list[Tensor]:
        """``[B, n, 5, 136]`` by level of ``[B, T, 136]`` poses."""
        level, found = (poses - poses.mean(1, keepdim=True)) / self.unit, []
        for _ in range(LEVELS):
            if level.shape[1] < FACE_WINDOW:
                break
            found.append(level.unfold(1, FACE_WINDOW, 1).transpose(2, 3))
            level = blurred(level)
        return found

    def sound_windows(self, heard: Tensor) -> list[Tensor]:
        """``[B, n, 20, F]`` by level of ``[B, T, 4, F]`` features."""
        level, found = self.norm(heard).flatten(1, 2), []
        ticks = heard.shape[1]
        for _ in range(LEVELS):
            if ticks < FACE_WINDOW:
                break
            # A level of an odd number of samples has some steps of sound less than four for the last of them.
            whole = functional.pad(level, (0, 0, 0, STEPS * ticks - level.shape[1]), "constant")
            found.append(whole.unfold(1, STEPS * FACE_WINDOW, STEPS).transpose(2, 3))
            level, ticks = blurred(level), -(-ticks // 2)
        return found

    def to_weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors of a model file."""
        return {"kind": KIND, **asdict(self.config)}, dict(self.state_dict())

    @classmethod
    def from_weights(cls, read: Weights) -> Self:
        """The pyramid of a model file, in evaluation mode.

        Raises:
            WeightsError: the file is of another kind or does not fit.
        """
        settings = {name: value for name, value in read.config_of(KIND).items() if name != "kind"}
        try:
            model = cls(SyncerConfig(**settings))
            model.load_state_dict(read.tensors)
        except (TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{read.source} does not fit this program: {error}; train it again") from error
        return model.eval()


def blurred(level: Tensor) -> Tensor:
    """The next level of ``[B, T, F]`` samples (5.5): ``[B, ceil(T / 2), F]``; ends average what there is."""
    rows = functional.avg_pool1d(
        level.transpose(1, 2), 2 * _BLUR + 1, stride=2, padding=_BLUR, count_include_pad=False
    )
    return rows.transpose(1, 2)


def agreement(levels: Sequence[Embedded]) -> Tensor:
    """Mean over levels of the mean cosine of faces with their own sounds, (5.4) without its sign; ``[B]``."""
    return torch.stack([(e.face * e.sound).sum(-1).mean(1) for e in levels]).mean(0)


class _Unit(nn.Module):
    """Vectors to length 1."""

    def forward(self, rows: Tensor) -> Tensor:
        return functional.normalize(rows, dim=-1)


def _face_network(config: SyncerConfig) -> nn.Module:
    """``[B, n, 5, 136]`` windows to ``[B, n, E]``."""
    hidden = config.hidden
    return nn.Sequential(
        nn.Flatten(2),
        nn.Linear(FACE_WINDOW * _POSE, hidden),
        *_dense(hidden, config.dropout),
        nn.Linear(hidden, hidden),
        *_dense(hidden, config.dropout),
        nn.Linear(hidden, config.embedding),
        _Unit(),
    )


def _sound_network(config: SyncerConfig) -> nn.Module:
    """``[B, n, 20, F]`` windows to ``[B, n, E]``."""
    hidden = config.hidden
    return nn.Sequential(
        nn.Flatten(2),
        nn.Linear(STEPS * FACE_WINDOW * config.heard, 2 * hidden),
        *_dense(2 * hidden, config.dropout),
        nn.Linear(2 * hidden, hidden),
        *_dense(hidden, config.dropout),
        nn.Linear(hidden, config.embedding),
        _Unit(),
    )


def _dense(size: int, dropout: float) -> tuple[nn.Module, ...]:
    return nn.LayerNorm(size), nn.GELU(), nn.Dropout(dropout)
