"""The multi-scale module of MS-Sync's generator (thesis, 5.3.2): a branch a level, merged by a soft mask.

Branches are independent of each other but of one shape: all of them are one product of stacked matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Of the dense layers of a ConvNeXt block.
_WIDER = 2


class Spoken(NamedTuple):
    """What the branches say of the next tick.

    Attributes:
        velocity: ``[N, 2 L]`` merged (5.8).
        loose: ``[N, K]`` by how much the velocity is less certain along each direction; mean of the branches.
    """

    velocity: Tensor
    loose: Tensor


class SpeechBranches(nn.Module):
    """A dense layer, a ConvNeXt block of kernel size 1, and the outputs, for every level.

    Velocities are told along main directions: a branch cannot deform a face as none is deformed, but by the
    mask.
    """

    def __init__(self, levels: int, inputs: int, width: int, directions: int, landmarks: int) -> None:
        """Sizes.

        Args:
            levels: branches.
            inputs: numbers that each reads.
            width: of the hidden layers.
            directions: ``K`` of the velocities.
            landmarks: ``L``; a mask has as many numbers.
        """
        super().__init__()
        self._outputs = [directions, directions, landmarks]
        self.enter = _Stacked(levels, inputs, width)
        self.norm = nn.LayerNorm(width)
        self.wide = _Stacked(levels, width, _WIDER * width)
        self.narrow = _Stacked(levels, _WIDER * width, width)
        self.out = _Stacked(levels, width, sum(self._outputs))
        with torch.no_grad():
            self.out.weight.mul_(0.1)

    def forward(self, inputs: Tensor, directions: Tensor) -> Spoken:
        """What ``[levels, N, inputs]`` say, with the ``[K, 2 L]`` main directions of velocities."""
        # Functions, not the layers themselves: a good part of a tick's time is the calling of small layers.
        hidden = functional.gelu(self.enter.forward(inputs))
        normal = functional.layer_norm(hidden, hidden.shape[-1:], self.norm.weight, self.norm.bias)
        hidden = hidden + self.narrow.forward(functional.gelu(self.wide.forward(normal)))
        along, loose, mask = torch.split_with_sizes(self.out.forward(hidden), self._outputs, dim=-1)
        # The two coordinates of a landmark share its weight.
        weight = mask.softmax(0).unsqueeze(-1)
        velocity = (along @ directions).view(*mask.shape, 2)
        return Spoken((weight * velocity).sum(0).flatten(-2), loose.mean(0))


class _Stacked(nn.Module):
    """Linear layers beside each other: ``[levels, N, inputs]`` to ``[levels, N, outputs]``."""

    def __init__(self, levels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(levels, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(levels, 1, outputs))

    def forward(self, rows: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, rows, self.weight)
