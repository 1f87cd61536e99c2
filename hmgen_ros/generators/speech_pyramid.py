"""What a generator of head motion hears: features of the sound at four time scales, tick by tick.

The thesis (5.3.2) thins the sound out from level to level by strided convolutions and interpolates the
coarse levels back, which needs the sound to come: its public code looks 60 ms to 1.2 s ahead, and normalises
by the whole clip. Here every level has a vector at every tick, and none looks ahead: convolutions over five
ticks that lie 1, 2, 4 and 8 ticks apart reach as far back as the strided ones, and what comes out does not
hang on where the sound began. A generator that may look ahead is given the vector of a later tick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.speech_norm import NormState, SpeechNorm

#: Windows of sound a tick, ticks that a convolution sees, and levels there are.
STEPS, TAPS, LEVELS = 4, 5, 4
#: Of the dense layers between convolutions.
_WIDER = 2


@dataclass(frozen=True, slots=True)
class SpeechState:
    """What is remembered of each sound.

    Attributes:
        mean, ticks: of the running normalisation.
        past_1, past_2, past_3, past_4: ``[N, 4 * 2**(i - 1) + 1, C]`` inputs of each level's convolution,
            the present one last.
    """

    mean: Tensor
    ticks: Tensor
    past_1: Tensor
    past_2: Tensor
    past_3: Tensor
    past_4: Tensor

    @property
    def pasts(self) -> tuple[Tensor, ...]:
        """By level."""
        return self.past_1, self.past_2, self.past_3, self.past_4


class SpeechPyramid(nn.Module):
    """One ConvNeXt block a level, each reading the one below.

    Attributes:
        norm: of the audio features.
        channels: size of the vectors.
    """

    def __init__(self, heard: int, channels: int) -> None:
        """Sizes.

        Args:
            heard: numbers of a window of sound.
            channels: of each level.
        """
        super().__init__()
        self.channels = channels
        self.norm = SpeechNorm(heard)
        self.embed = nn.Linear(STEPS * heard, channels)
        self.blocks = nn.ModuleList(_Block(channels, 2**level) for level in range(LEVELS))

    def initial_state(self, slots: int) -> SpeechState:
        """Nothing heard."""
        norm = self.norm.initial_state(slots)
        zeros = self.embed.weight.detach().new_zeros
        pasts = (zeros((slots, block.reach + 1, self.channels)) for block in self._blocks)
        return SpeechState(norm.mean, norm.ticks, *pasts)

    def step(self, state: SpeechState, heard: Tensor) -> tuple[SpeechState, Tensor]:
        """Hear one tick: ``[N, 4, F]`` to ``[N, 4, C]`` by level."""
        norm, normal = self.norm.step(NormState(state.mean, state.ticks), heard)
        level, found, pasts = self.embed(normal.flatten(1)), [], []
        for block, past in zip(self._blocks, state.pasts, strict=True):
            past = torch.cat([past[:, 1:], level.unsqueeze(1)], dim=1)
            level = block(past[:, :: block.apart], level)
            found.append(level)
            pasts.append(past)
        return SpeechState(norm.mean, norm.ticks, *pasts), torch.stack(found, dim=1)

    def forward(self, heard: Tensor) -> Tensor:
        """``[B, T, 4, F]`` whole sounds to ``[B, T, 4, C]``, as :meth:`step` would."""
        level, found = self.embed(self.norm(heard).flatten(2)), []
        for block in self._blocks:
            padded = functional.pad(level, (0, 0, block.reach, 0))
            ticks = level.shape[1]
            taps = [padded[:, i * block.apart : i * block.apart + ticks] for i in range(TAPS)]
            level = block(torch.stack(taps, dim=2), level)
            found.append(level)
        return torch.stack(found, dim=2)

    @property
    def _blocks(self) -> Iterable[_Block]:
        return cast("Iterable[_Block]", self.blocks)


class _Block(nn.Module):
    """A depth-wise convolution over five ticks that lie apart, then dense layers, about the input.

    Attributes:
        apart: ticks from one to the next.
        reach: ticks before the present one that it sees.
    """

    def __init__(self, channels: int, apart: int) -> None:
        super().__init__()
        self.apart, self.reach = apart, (TAPS - 1) * apart
        self.taps = nn.Parameter(torch.randn(TAPS, channels) / TAPS**0.5)
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, _WIDER * channels)
        self.narrow = nn.Linear(_WIDER * channels, channels)

    def forward(self, taps: Tensor, now: Tensor) -> Tensor:
        """``[..., 5, C]`` and the ``[..., C]`` present ones to ``[..., C]``."""
        # Functions, not the layers themselves: half of a tick's time is the calling of small layers.
        norm, wide, narrow = self.norm, self.wide, self.narrow
        mixed = functional.layer_norm(
            (taps * self.taps).sum(-2), norm.normalized_shape, norm.weight, norm.bias, norm.eps
        )
        hidden = functional.gelu(functional.linear(mixed, wide.weight, wide.bias))
        return now + functional.linear(hidden, narrow.weight, narrow.bias)
