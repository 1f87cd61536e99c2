"""Layers of the networks for sequences: an LSTM with layer norm, spectral norm, pooling over people.

The thesis (section 3.5.3) uses layer normalisation in every recurrent network, spectral normalisation
after every linear layer and batch normalisation in the decoder's output.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize

#: At most so many rows are multiplied as columns.
_FEW_ROWS = 3


def linear(inputs: int, outputs: int, bias: bool = True, spectral: bool = True) -> nn.Linear:
    """A linear layer, with spectral normalisation (largest singular value 1) where asked for."""
    layer = Dense(inputs, outputs, bias=bias)
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


class Dense(nn.Linear):
    """A linear layer that is fast for two or three rows on a CPU, too.

    One row is multiplied at the rate at which memory is read, two of them by the usual product at half of
    it: the library sees few rows and many outputs. Where it sees few columns instead, it loses nothing.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """``[..., F]`` to ``[..., outputs]``."""
        if not _few(rows):
            return super().forward(rows)
        return _from_columns(self.weight, self.bias, rows.reshape(-1, rows.shape[-1])).view(
            *rows.shape[:-1], -1
        )


class DenseLstmCell(nn.LSTMCell):
    """An LSTM cell that is fast for two or three rows on a CPU, too; see :class:`Dense`."""

    def forward(self, rows: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """``[R, F]`` and the ``[R, H]`` hidden state and cell to the next ones."""
        if state is None or not _few(rows):
            after: tuple[Tensor, Tensor] = super().forward(rows, state)
            return after
        hidden, cell = state
        gates = _from_columns(self.weight_ih, self.bias_ih, rows)
        gates = gates + _from_columns(self.weight_hh, self.bias_hh, hidden)
        opened, kept, new, shown = gates.chunk(4, dim=1)
        cell = torch.sigmoid(kept) * cell + torch.sigmoid(opened) * torch.tanh(new)
        return torch.sigmoid(shown) * torch.tanh(cell), cell


def _few(rows: Tensor) -> bool:
    """Whether rows are so few that the product is faster the other way round; never while training."""
    count = rows.numel() // rows.shape[-1]
    return not torch.is_grad_enabled() and rows.device.type == "cpu" and 2 <= count <= _FEW_ROWS


def _from_columns(weight: Tensor, bias: Tensor | None, rows: Tensor) -> Tensor:
    """``[R, F]`` to a contiguous ``[R, outputs]``."""
    columns = weight @ rows.t() if bias is None else torch.addmm(bias.unsqueeze(1), weight, rows.t())
    return columns.t().contiguous()


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


class CellWeights(NamedTuple):
    """What one step of :class:`NormLSTM` needs; ``tanh(x)`` is computed as ``2 sigmoid(2x) - 1``.

    One sigmoid over all gates is several times faster on a CPU than sigmoid and tanh on parts of them,
    so the factors 2 inside are multiplied into the weights of the norms, once a sequence.
    """

    recurrent: Tensor  # [H, 4H]
    gate_scale: Tensor  # [4H]
    gate_shift: Tensor  # [4H]
    cell_scale: Tensor  # [H]
    cell_shift: Tensor  # [H]


def lstm_cell(weights: CellWeights, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step: ``[..., 4H]`` summed inputs of the gates and ``[..., H]`` cell to the new (hidden, cell)."""
    normal = functional.layer_norm(gates, gates.shape[-1:], weights.gate_scale, weights.gate_shift)
    into, forget, out, half = normal.sigmoid().chunk(4, dim=-1)
    cell = torch.addcmul(forget * cell, into, half, value=2.0) - into
    normal = functional.layer_norm(cell, cell.shape[-1:], weights.cell_scale, weights.cell_shift)
    return torch.addcmul(-out, out, normal.sigmoid(), value=2.0), cell


def lstm_gates(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The end of a plain LSTM's step: ``[R, 4H]`` gates and ``[R, H]`` cell to the new (hidden, cell).

    The gates are in PyTorch's order (into, forget, new, out), those of the new values doubled: then one
    sigmoid does for all of them.
    """
    into, forget, half, out = gates.sigmoid().chunk(4, dim=1)
    cell = torch.addcmul(forget * cell, into, half, value=2.0) - into
    return out * torch.tanh(cell), cell


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
        weights = self.weights()
        rows = projected[0].shape[0]
        zeros = projected[0].new_zeros(rows, self.hidden)
        hidden, cell = state or (zeros, zeros)
        outputs = []
        for step, inputs in enumerate(projected):
            if inputs.shape[0] != hidden.shape[0]:
                hidden, cell = hidden[: inputs.shape[0]], cell[: inputs.shape[0]]
            gates = torch.addmm(inputs, hidden, weights.recurrent)
            after = lstm_cell(weights, gates, cell)
            if masks is not None:
                after = (
                    torch.where(masks[step], after[0], hidden),
                    torch.where(masks[step], after[1], cell),
                )
            hidden, cell = after
            outputs.append(hidden)
        return outputs, (hidden, cell)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over whole sequences.

        Args:
            inputs: ``[R, T, F]`` with ``T`` at least 1.
            mask: ``[R, T]`` bool; the state stays as it is at ticks where it is False.

        Returns:
            Hidden states ``[R, T, H]`` and the last (hidden, cell), ``[R, H]`` each.
        """
        # Time first: then each step is one block of memory, for the gradients too.
        projected = functional.linear(inputs.transpose(0, 1), self.input).unbind(0)
        masks = None if mask is None else mask.t().unsqueeze(-1).unbind(0)
        outputs, state = self.run(projected, masks=masks)
        return torch.stack(outputs, dim=1), state


def inverse_softplus(value: Tensor) -> Tensor:
    """What softplus makes positive numbers of; as from 1e-6 on of smaller ones."""
    small: Tensor = torch.expm1(value.clamp(max=20.0)).clamp(min=1e-6).log()
    return torch.where(value > 20.0, value, small)
