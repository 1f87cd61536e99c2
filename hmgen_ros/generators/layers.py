"""Layers of the networks for sequences: an LSTM with layer norm, spectral norm, pooling over people.

The thesis (section 3.5.3) uses layer normalisation in every recurrent network, spectral normalisation
after every linear layer and batch normalisation in the decoder's output.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize

from hmgen_ros.generators.recurrence import CellWeights, recur, recur_fused


def linear(inputs: int, outputs: int, bias: bool = True, spectral: bool = True) -> nn.Linear:
    """A linear layer, with spectral normalisation (largest singular value 1) where asked for."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    if spectral:
        parametrizations.spectral_norm(layer)
    return layer


def folded(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module with its spectral norms multiplied into plain weights.

    It fits the same module built without spectral norm, which then gives the same numbers.
    """
    # Of a copy, for the original may be training. The norms are not removed from it: a copy shares its
    # layers' classes with the original, and removing a norm changes the class.
    plain = copy.deepcopy(module).eval()
    state = {name: tensor for name, tensor in plain.state_dict().items() if "parametrizations" not in name}
    for name, part in plain.named_modules():
        if parametrize.is_parametrized(part, "weight"):
            state[f"{name}.weight" if name else "weight"] = part.weight
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def pool_people(hidden: Tensor, present: Tensor | None = None) -> Tensor:
    """The largest value over people of every coordinate (3.5).

    Args:
        hidden: ``[..., N, H]``.
        present: ``[..., N]`` bool, broadcast to ``hidden``; everybody where None.

    Returns:
        ``[..., H]``; zeros where nobody is present.
    """
    if hidden.shape[-2] == 0:
        return hidden.new_zeros((*hidden.shape[:-2], hidden.shape[-1]))
    if present is None:
        return hidden.amax(-2)
    pooled = hidden.masked_fill(~present.unsqueeze(-1), -torch.inf).amax(-2)
    return pooled.masked_fill(~present.any(-1, keepdim=True), 0.0)


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over all rows of people who are present, whatever the leading dimensions."""

    def forward(self, rows: Tensor, present: Tensor | None = None, updates: int = 1) -> Tensor:
        """Normalise ``[..., F]``.

        Args:
            rows: ``[..., F]``.
            present: ``[...]`` bool; the other rows count for nothing and come back as zeros.
            updates: how many calls make up one training iteration (one a time step); each then moves the
                running statistics by so much less.
        """
        flat = rows.reshape(-1, rows.shape[-1])
        if present is None:
            return self._normalise(flat, updates).reshape(rows.shape)
        index = present.reshape(-1).nonzero().squeeze(-1)
        normal = self._normalise(flat.index_select(0, index), updates)
        return torch.zeros_like(flat).index_copy(0, index, normal).reshape(rows.shape)

    def affine_map(self) -> tuple[Tensor, Tensor]:
        """Scale and bias, ``[F]`` each, that give the same as the norm with its running statistics."""
        assert self.running_mean is not None  # it always tracks both
        assert self.running_var is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def _normalise(self, rows: Tensor, updates: int) -> Tensor:
        # One row alone has no variance; the running statistics stand in.
        batch = self.training and rows.shape[0] > 1
        momentum = (self.momentum or 0.0) / updates
        return functional.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, batch, momentum, self.eps
        )


class NormLSTM(nn.Module):
    """LSTM with layer norm on the summed inputs of its gates and on its cell.

    ``i, f, o, g = norm(W x + U h)``, ``c' = σ(f) c + σ(i) tanh(g)``, ``h' = σ(o) tanh(norm(c'))``.
    The gates' bias is that of the norm; it starts at 1 for the forget gate.

    Args:
        inputs: size ``F`` of an input.
        hidden: size ``H`` of the hidden state.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.input = nn.Parameter(torch.empty(4 * hidden, inputs))
        self.recurrent = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.gate_norm = nn.LayerNorm(4 * hidden)
        self.cell_norm = nn.LayerNorm(hidden)
        for weight in (self.input, self.recurrent):
            nn.init.uniform_(weight, -(hidden**-0.5), hidden**-0.5)
        with torch.no_grad():
            self.gate_norm.bias[hidden : 2 * hidden] = 1.0

    def weights(self) -> CellWeights:
        """The weights of a step, to be asked for once a sequence."""
        factor = torch.ones_like(self.gate_norm.weight)
        factor[3 * self.hidden :] = 2.0
        return CellWeights(
            self.recurrent.t(),
            self.gate_norm.weight * factor,
            self.gate_norm.bias * factor,
            self.cell_norm.weight * 2.0,
            self.cell_norm.bias * 2.0,
        )

    def run(
        self,
        projected: Sequence[Tensor],
        state: tuple[Tensor, Tensor] | None = None,
        masks: Sequence[Tensor] | None = None,
    ) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """All steps, from inputs that are multiplied by :attr:`input` already.

        Args:
            projected: one ``[R_t, 4H]`` a step; ``R_t`` may shrink, then the last rows have ended.
            state: (hidden, cell) to start from, ``[R_0, H]`` each; zeros where None.
            masks: one ``[R_t, 1]`` bool a step; where False the state stays as it is.

        Returns:
            The hidden states ``[R_t, H]`` after each step, and the last (hidden, cell).
        """
        if masks is None:
            sizes = [len(step) for step in projected]
            hidden, last = self.scan(torch.cat(list(projected)), sizes, state)
            return list(hidden.split(sizes)), last
        return recur(self.weights(), projected, state or self._zeros(projected[0]), masks)

    def scan(
        self, projected: Tensor, sizes: Sequence[int], state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """All steps, as :meth:`run`, with the rows of all steps one after another.

        Args:
            projected: ``[sum of sizes, 4H]``.
            sizes: rows of each step, never growing; the last rows end first.
            state: (hidden, cell) to start from, ``[sizes[0], H]`` each; zeros where None.

        Returns:
            The hidden states ``[sum of sizes, H]`` after each step, and the last (hidden, cell).
        """
        weights, start = self.weights(), state or self._zeros(projected[: sizes[0]])
        if torch.is_autocast_enabled(projected.device.type):
            # Which precision an operation has is decided for each of them.
            steps, last = recur(weights, projected.split(list(sizes)), start)
            return torch.cat(steps), last
        hidden, cell = recur_fused(weights, projected, sizes, start)
        return hidden, (hidden[len(hidden) - sizes[-1] :], cell)

    def _zeros(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        zeros = rows.new_zeros(rows.shape[0], self.hidden)
        return zeros, zeros

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over whole sequences.

        Args:
            inputs: ``[R, T, F]`` with ``T`` at least 1.
            mask: ``[R, T]`` bool; the state stays as it is at ticks where it is False.

        Returns:
            Hidden states ``[R, T, H]`` and the last (hidden, cell), ``[R, H]`` each.
        """
        # Time first: then each step is one block of memory, for the gradients too.
        rows, ticks = inputs.shape[:2]
        projected = functional.linear(inputs.transpose(0, 1), self.input)
        if mask is None:
            hidden, state = self.scan(projected.flatten(0, 1), [rows] * ticks)
            return hidden.view(ticks, rows, -1).transpose(0, 1), state
        outputs, state = self.run(projected.unbind(0), masks=mask.t().unsqueeze(-1).unbind(0))
        return torch.stack(outputs, dim=1), state
