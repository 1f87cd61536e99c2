"""The multi-scale module of MS-Sync's generator (thesis, 5.3.2): a branch a level, merged by a soft mask.

Branches are independent of each other but of one shape: all of them are one product of stacked matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.reused import Reused

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


class BranchWeights(NamedTuple):
    """The layers of all branches, and ``[width]`` scale and shift of the norm."""

    enter: Reused
    wide: Reused
    narrow: Reused
    out: Reused
    scale: Tensor
    shift: Tensor


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
        self._width, self._outputs = [width], [directions, directions, landmarks]
        self.enter = _Stacked(levels, inputs, width)
        self.norm = nn.LayerNorm(width)
        self.wide = _Stacked(levels, width, _WIDER * width)
        self.narrow = _Stacked(levels, _WIDER * width, width)
        self.out = _Stacked(levels, width, sum(self._outputs))
        with torch.no_grad():
            self.out.weight.mul_(0.1)

    def weights(self) -> BranchWeights:
        """The layers, to be asked for once a sequence."""
        enter, wide, narrow, out = (
            Reused(layer.weight, layer.bias) for layer in (self.enter, self.wide, self.narrow, self.out)
        )
        return BranchWeights(enter, wide, narrow, out, self.norm.weight, self.norm.bias)

    def forward(self, weights: BranchWeights, inputs: Tensor, directions: Tensor) -> Spoken:
        """What ``[levels, N, inputs]`` say, with the ``[K, 2 L]`` main directions of velocities."""
        hidden = functional.gelu(weights.enter(inputs))
        normal = torch.layer_norm(hidden, self._width, weights.scale, weights.shift)
        hidden = hidden + weights.narrow(functional.gelu(weights.wide(normal)))
        told = weights.out(hidden)
        along, loose, mask = torch.split_with_sizes(told, self._outputs, dim=2)
        # The two coordinates of a landmark share its weight.
        weight = mask.softmax(0).unsqueeze(3)
        velocity = (along @ directions).view(*mask.shape, 2)
        return Spoken((weight * velocity).sum(0).flatten(1), loose.mean(0))


class _Stacked(nn.Module):
    """Weights of linear layers beside each other: ``[levels, N, inputs]`` to ``[levels, N, outputs]``."""

    def __init__(self, levels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(levels, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(levels, 1, outputs))
