"""Running normalisation of audio features: what a voice and a microphone do to all of them is taken out.

A stream knows no mean over the whole clip. Each feature's mean is learned as it goes: from the training
set's mean, which counts as some seconds that have been heard, to the mean of the last ten seconds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hmgen_ros.types import TICK_HZ

#: Ticks that the training mean counts for, and ticks that are remembered.
_PRIOR, _REMEMBERED = 2 * TICK_HZ, 10 * TICK_HZ


class NormState(NamedTuple):
    """``[N, F]`` running means, and ``[N, 1]`` ticks that they rest on."""

    mean: Tensor
    ticks: Tensor


class SpeechNorm(nn.Module):
    """The normalisation, of ``[..., S, F]`` features of a tick.

    Attributes:
        mean, unit: ``[F]`` of the training set.
    """

    mean: Tensor
    unit: Tensor

    def __init__(self, features: int) -> None:
        """Without measured means; :meth:`fit` measures them."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("unit", torch.ones(features))

    @torch.no_grad()
    def fit(self, heard: Tensor) -> None:
        """Measure mean and standard deviation of ``[R, F]`` features of the training set."""
        self.mean.copy_(heard.mean(0))
        self.unit.copy_(heard.std(0).clamp(min=1e-3))

    def initial_state(self, slots: int) -> NormState:
        """Nothing heard by any of ``slots`` listeners."""
        ticks = torch.full((slots, 1), float(_PRIOR), device=self.mean.device)
        return NormState(self.mean.expand(slots, -1), ticks)

    def step(self, state: NormState, heard: Tensor) -> tuple[NormState, Tensor]:
        """Normalise one tick, ``[N, S, F]``, by what has been heard up to its end."""
        state, centred = self.centre(state, heard)
        return state, centred / self.unit

    def centre(self, state: NormState, heard: Tensor) -> tuple[NormState, Tensor]:
        """The same, but for the unit."""
        ticks = (state.ticks + 1.0).clamp(max=float(_REMEMBERED))
        mean = torch.addcdiv(state.mean, heard.mean(1) - state.mean, ticks)
        return NormState(mean, ticks), heard - mean.unsqueeze(1)

    def forward(self, heard: Tensor) -> Tensor:
        """``[B, T, S, F]`` whole sequences from their beginnings, as :meth:`step` would."""
        state, found = self.initial_state(len(heard)), []
        for tick in heard.unbind(1):
            state, normal = self.step(state, tick)
            found.append(normal)
        return torch.stack(found, dim=1)
