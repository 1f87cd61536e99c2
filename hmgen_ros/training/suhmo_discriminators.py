"""SUHMo's discriminators: sequences, pairs of sequences, single frames (thesis, sections 4.3.2 to 4.3.5).

A network that takes sequences of any length scores windows of any length: which ones, is drawn anew at every
iteration (4.5). All see positions, velocities and accelerations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.framed_motion import POSE
from hmgen_ros.generators.layers import linear

#: A window of one tick has neither velocity nor acceleration.
_SHORTEST = 3


@dataclass(frozen=True, kw_only=True)
class MotionJudgeConfig:
    """Sizes and choices of the discriminators.

    Attributes:
        network: "rnn" (one LSTM layer) or "transformer" (one block, class token).
        hidden: size of the LSTM's hidden state, or of the tokens; the thesis has 1024 and 128.
        frame: sizes of the dense layers that judge single frames.
        windows: windows an iteration, each of its own length.
        multi_scale: False shows whole sequences only (ablation "w/o multi-scale discriminator").
        joint: False leaves out the discriminator of pairs (ablation "One-sample D").
        spectral: spectral norm in dense layers.

    Raises:
        ValueError: a setting is out of its range.
    """

    network: Literal["rnn", "transformer"] = "rnn"
    hidden: int = 1024
    frame: tuple[int, ...] = (512, 512)
    windows: int = 4
    multi_scale: bool = True
    joint: bool = True
    spectral: bool = True

    def __post_init__(self) -> None:
        if self.network not in ("rnn", "transformer"):
            raise ValueError(f"network must be 'rnn' or 'transformer', got {self.network!r}")
        if min(self.hidden, self.windows, *self.frame) < 1:
            raise ValueError(
                "hidden, windows and frame must be at least 1, "
                f"got {self.hidden}, {self.windows}, {self.frame}"
            )


class SequenceJudge(nn.Module):
    """Scores sequences, ``D_s``, or pairs of them, ``D_s^J``."""

    def __init__(self, config: MotionJudgeConfig, joint: bool) -> None:
        """Sizes from the configuration; ``joint`` gives one score a pair."""
        super().__init__()
        self._joint, size = joint, config.hidden
        self.recurrent = nn.LSTM(3 * POSE, size, batch_first=True) if config.network == "rnn" else None
        if self.recurrent is None:
            self.embed = nn.Linear(3 * POSE, size)
            self.token = nn.Parameter(0.02 * torch.randn(size))
            self.query_key_value = nn.Linear(size, 3 * size)
            self.out = nn.Linear(size, size)
            self.attended, self.fed = nn.LayerNorm(size), nn.LayerNorm(size)
            self.feed = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Linear(size, size))
        self.score = nn.Sequential(
            linear(size, size, spectral=config.spectral),
            nn.LeakyReLU(0.2),
            linear(size, 1, spectral=config.spectral),
        )

    def forward(self, window: Tensor) -> Tensor:
        """``[R, P, L, 408]`` positions, velocities, accelerations to ``[R]`` or ``[R, P]`` scores."""
        rows = window.flatten(0, 1)
        code = self._read(rows) if self.recurrent is None else self.recurrent(rows)[1][0][0]
        code = code.unflatten(0, window.shape[:2])
        if self._joint:
            code = code.amax(1)  # batch-pool (4.12): both heads of a pair have one score
        scores: Tensor = self.score(code)
        return scores.squeeze(-1)

    def _read(self, rows: Tensor) -> Tensor:
        """What the class token of a single self-attention block has seen, ``[R P, H]``."""
        tokens = self.embed(rows)
        tokens = torch.cat([self.token.expand(len(rows), 1, -1), tokens], dim=1)
        query, key, value = self.query_key_value(tokens).chunk(3, dim=-1)
        # Only the class token is asked for.
        mixed = functional.scaled_dot_product_attention(query[:, :1], key, value)
        token = self.attended(tokens[:, :1] + self.out(mixed))
        result: Tensor = self.fed(token + self.feed(token))
        return result[:, 0]


class MotionJudge(nn.Module):
    """All discriminators of one system in one module.

    Attributes:
        units: ``[3]`` of positions, velocities and accelerations: they see numbers of about 1.
        mean: ``[136]`` mean pose.
    """

    units: Tensor
    mean: Tensor

    def __init__(self, config: MotionJudgeConfig) -> None:
        super().__init__()
        self.config = config
        self.single = SequenceJudge(config, joint=False)
        self.pair = SequenceJudge(config, joint=True) if config.joint else None
        layers: list[nn.Module] = []
        size = POSE
        for hidden in config.frame:
            layers += [linear(size, hidden, spectral=config.spectral), nn.LeakyReLU(0.2)]
            size = hidden
        self.frame = nn.Sequential(*layers, linear(size, 1, spectral=config.spectral))
        self.register_buffer("units", torch.ones(3))
        self.register_buffer("mean", torch.zeros(POSE))

    @torch.no_grad()
    def fit_units(self, poses: Tensor) -> None:
        """Measure mean and units on ``[R, T, 136]`` training tracks in head frames."""
        self.mean.copy_(poses.flatten(0, 1).mean(0))
        seen = (poses - self.mean, poses.diff(dim=1), poses.diff(n=2, dim=1))
        for unit, rows in zip(self.units, seen, strict=True):
            unit.copy_(rows.square().mean().sqrt())

    def windows(self, ticks: int) -> list[tuple[int, int]]:
        """(start, length) of this iteration's windows in sequences of ``ticks``, by PyTorch's generator."""
        if not self.config.multi_scale:
            return [(0, ticks)]
        lengths = torch.randint(_SHORTEST, ticks + 1, (self.config.windows,)).tolist()
        return [(int(torch.randint(0, ticks - length + 1, ())), length) for length in lengths]

    def forward(self, tracks: Tensor, windows: list[tuple[int, int]]) -> dict[str, Tensor]:
        """Scores of ``[R, P, T, 136]`` tracks in head frames, by discriminator.

        Returns:
            ``single``: ``[R, P, K]``; ``pair``: ``[R, K]`` where there is one; ``frame``: ``[R, P, T - 1]``,
            the given first pose is not judged (4.10).
        """
        seen = self._seen(tracks)
        parts = [seen[:, :, start : start + length] for start, length in windows]
        scores = {"single": torch.stack([self.single(part) for part in parts], dim=-1)}
        if self.pair is not None:
            scores["pair"] = torch.stack([self.pair(part) for part in parts], dim=-1)
        scores["frame"] = self.frame(seen[:, :, 1:, :POSE]).squeeze(-1)
        return scores

    def _seen(self, tracks: Tensor) -> Tensor:
        """``[R, P, T, 408]``; velocities and accelerations before the start are zero."""
        velocity = functional.pad(tracks.diff(dim=2), (0, 0, 1, 0))
        acceleration = functional.pad(velocity[:, :, 1:].diff(dim=2), (0, 0, 2, 0))
        position, speed, change = self.units
        return torch.cat([(tracks - self.mean) / position, velocity / speed, acceleration / change], dim=-1)


def hinge(real: dict[str, Tensor], fake: dict[str, Tensor]) -> Tensor:
    """The discriminators' loss, summed over them (geometric GAN)."""
    losses = [
        functional.relu(1.0 - real[name]).mean() + functional.relu(1.0 + fake[name]).mean() for name in real
    ]
    return torch.stack(losses).sum()
