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
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.prepared import Prepared
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
        past: ``[N, 32 · 4 · C]`` inputs of each level's convolution, oldest first; as many as the coarsest
            level looks back, so that all levels move on by one copy.
    """

    mean: Tensor
    ticks: Tensor
    past: Tensor


class PyramidWeights(NamedTuple):
    """What one tick needs.

    Attributes:
        embed: ``[4 F, C]`` of features that only their mean has been taken from.
        embed_shift: ``[C]``.
        earlier: ``[4, 4, C]`` taps of earlier ticks, by level.
        levels: what is left of each block.
    """

    embed: Tensor
    embed_shift: Tensor
    earlier: Tensor
    levels: list[_LevelWeights]


class _LevelWeights(NamedTuple):
    """One block's, for a tick. The norm's scale and shift and GELU's factors are in the dense layers'."""

    tap: Tensor  # [C] of the present tick
    wide: Tensor  # [2 C, C]
    wide_bias: Tensor  # [2 C]
    narrow: Tensor  # [C, 2 C]
    narrow_bias: Tensor  # [C]

    def __call__(self, before: Tensor, level: Tensor) -> Tensor:
        """``[N, C]`` of earlier ticks, weighed, and of the present one to the next level's ``[N, C]``."""
        normal = torch.layer_norm(torch.addcmul(before, level, self.tap), self.tap.shape)
        wide = functional.linear(normal, self.wide, self.wide_bias)
        # Half the time of GELU itself, whose library is slow to call.
        hidden = torch.addcmul(wide, wide, wide.erf())
        return level + functional.linear(hidden, self.narrow, self.narrow_bias)


class SpeechPyramid(Prepared[PyramidWeights]):
    """One ConvNeXt block a level, each reading the one below.

    Attributes:
        norm: of the audio features.
    """

    _earlier: Tensor

    def __init__(self, heard: int, channels: int) -> None:
        """Sizes.

        Args:
            heard: numbers of a window of sound.
            channels: of each level.
        """
        super().__init__()
        self.norm = SpeechNorm(heard)
        self.embed = nn.Linear(STEPS * heard, channels)
        self.blocks = nn.ModuleList(_Block(channels, 2**level) for level in range(LEVELS))
        reach = (TAPS - 1) * 2 ** (LEVELS - 1)
        self._past, self._tick = reach * LEVELS * channels, LEVELS * channels
        ticks = torch.tensor([[reach - i * 2**k for i in range(TAPS - 1, 0, -1)] for k in range(LEVELS)])
        rows = (ticks * LEVELS + torch.arange(LEVELS).unsqueeze(1)).flatten()
        self.register_buffer("_earlier", rows, persistent=False)

    def initial_state(self, slots: int) -> SpeechState:
        """Nothing heard."""
        norm = self.norm.initial_state(slots)
        return SpeechState(norm.mean, norm.ticks, self.embed.weight.detach().new_zeros(slots, self._past))

    def prepare(self) -> PyramidWeights:
        """The weights as a tick uses them."""
        taps = torch.stack([block.taps for block in self._blocks])
        embed = self.embed.weight / self.norm.unit.repeat(STEPS)
        return PyramidWeights(embed.t(), self.embed.bias, taps[:, :-1], [b.tick() for b in self._blocks])

    def step(self, state: SpeechState, heard: Tensor) -> tuple[SpeechState, Tensor]:
        """Hear one tick: ``[N, 4, F]`` to ``[N, 4, C]`` by level."""
        weights, rows = self.prepared, len(heard)
        norm, centred = self.norm.centre(NormState(state.mean, state.ticks), heard)
        level = torch.addmm(weights.embed_shift, centred.flatten(1), weights.embed)
        channels = level.shape[1]
        # What has been heard before is weighed for all levels at once. There may be no rows to tell sizes by.
        ticks = state.past.unflatten(1, (-1, channels))
        earlier = ticks.index_select(1, self._earlier).view(rows, LEVELS, TAPS - 1, channels)
        mixed = (earlier * weights.earlier).sum(2).unbind(1)
        past, found = [state.past[:, self._tick :]], []
        for block, before in zip(weights.levels, mixed, strict=True):
            past.append(level)
            level = block(before, level)
            found.append(level)
        levels = torch.cat(found).view(LEVELS, rows, channels).transpose(0, 1)
        return SpeechState(norm.mean, norm.ticks, torch.cat(past, dim=1)), levels

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
        normal = self.norm((taps * self.taps).sum(-2))
        return now + cast("Tensor", self.narrow(functional.gelu(self.wide(normal))))

    def tick(self) -> _LevelWeights:
        """The weights as a tick uses them: GELU is ``(u + u erf(u)) / √2`` of ``u = x / √2``."""
        wide, half = self.wide.weight, 0.5**0.5
        shift = self.wide.bias + wide @ self.norm.bias
        return _LevelWeights(
            self.taps[-1],
            wide * self.norm.weight * half,
            shift * half,
            self.narrow.weight * half,
            self.narrow.bias,
        )
