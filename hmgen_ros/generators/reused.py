"""Linear layers that are used at every tick of a sequence.

Backpropagation adds up the gradient of a layer's weights from one tick to the next, and each time writes and
reads a matrix as large as the weights: with few rows a tick, this takes most of the time of training. Here
the rows and their gradients are remembered instead, and one product at the end gives the sum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Reused:
    """One linear layer, or several ones beside each other, for the ticks of one sequence.

    Attributes:
        weight: ``[inputs, outputs]`` or ``[L, inputs, outputs]``.
        bias: ``[outputs]`` or ``[L, 1, outputs]``.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """Of weights that stay the same until the sequence's gradients have been worked out."""
        self.weight, self.bias = weight, bias
        self._product = torch.addmm if weight.dim() == 2 else torch.baddbmm
        self._uses: list[tuple[Tensor, Tensor]] = []
        self._learned: Tensor | None = None
        # Mixed precision has its own ways from one type to the other.
        mixed = torch.is_autocast_enabled(weight.device.type)
        if weight.requires_grad and torch.is_grad_enabled() and not mixed:
            self._learned = _Sum.apply(weight, bias, self._uses)

    def __call__(self, rows: Tensor) -> Tensor:
        """``[R, inputs]`` to ``[R, outputs]``, or ``[L, R, inputs]`` to ``[L, R, outputs]``."""
        if self._learned is None or not torch.is_grad_enabled():
            return self._product(self.bias, rows, self.weight)
        found: Tensor = _Use.apply(rows, self._learned, self)
        return found


class _Sum(torch.autograd.Function):
    """Comes first in a sequence, so that its gradients are asked for last, when all uses are known."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, uses: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.uses, ctx.shape = uses, bias.shape
        return weight.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, gradients = (torch.cat(part, dim=-2) for part in zip(*ctx.uses, strict=True))
        ctx.uses.clear()
        return rows.mT @ gradients, gradients.sum(-2).view(ctx.shape), None


class _Use(torch.autograd.Function):
    """The layer at one tick."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, learned: Tensor, layer: Reused) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.layer, ctx.learned = layer, torch.zeros_like(learned)
        return layer._product(layer.bias, rows, layer.weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (rows,) = ctx.saved_tensors
        ctx.layer._uses.append((rows, gradient))
        return gradient @ ctx.layer.weight.mT, ctx.learned, None
