"""Encoder and decoder of SocialInteractionGAN's generator (thesis section 3.3.2, equations 3.1 to 3.6).

Actions enter as rows of a table: a symbol picks a row, a vector of probabilities mixes them, which is the
same as embedding a (soft) one-hot vector and multiplying it by the next layer's weights, but cheaper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.layers import CellWeights, MaskedBatchNorm, NormLSTM, linear, lstm_cell, pool_people

#: Histories that are encoded at once.
_ROWS = 1024


@dataclass(frozen=True)
class SocialConfig:
    """Sizes and options of the generator; the defaults are the thesis' (section 3.5.3).

    Attributes:
        observed: ticks of history the encoder sees, at least 1.
        embedding: size of an embedded action, at least 1.
        hidden: size of every LSTM's state and of the deep output, at least 1.
        noise: add noise to the code (3.2), so that one history has many futures even with ``draw``
            "argmax".
        temperature: P of (3.6), above 0.
        residual: added to the logit (after the division by the temperature, so in units of log odds) of
            the action that a person does already.
        residual_trainable: learn ``residual`` with the other parameters.
        spectral: spectral norm in every linear layer.
        batch_norm: batch norm in the deep output.
        draw: how a future is made from probabilities: "argmax", where only the noise differs, or
            "categorical".
    """

    observed: int = 60
    embedding: int = 64
    hidden: int = 64
    noise: bool = True
    temperature: float = 0.1
    residual: float = 0.0
    residual_trainable: bool = False
    spectral: bool = True
    batch_norm: bool = True
    draw: str = "argmax"

    def __post_init__(self) -> None:
        for name in ("observed", "embedding", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.temperature > 0.0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.draw not in ("argmax", "categorical"):
            raise ValueError(f"draw must be 'argmax' or 'categorical', got {self.draw!r}")


@dataclass(frozen=True, slots=True)
class SocialState:
    """What groups did lately.

    Attributes:
        actions: ``[..., N, observed]`` int64 the last symbols of each slot, newest last; ``ABSENT`` where
            nothing was seen.
        code: ``[..., N, H]`` the encoder's state after them.
    """

    actions: Tensor
    code: Tensor

    def grouped(self) -> tuple[Tensor, Tensor]:
        """The last actions ``[G, N]`` and the codes ``[G, N, H]``, whatever the leading dimensions."""
        *leading, people, hidden = self.code.shape
        groups = math.prod(leading)
        return self.actions[..., -1].reshape(groups, people), self.code.reshape(groups, people, hidden)


class Encoder(nn.Module):
    """The LSTM that reads one person's history (3.1); ticks at which a person was not seen are skipped."""

    def __init__(self, config: SocialConfig) -> None:
        super().__init__()
        self.lstm = NormLSTM(config.embedding, config.hidden)

    def forward(self, symbols: Tensor, embedding: Tensor) -> Tensor:
        """``[R, T]`` symbols and the ``[E, A]`` embedding to ``[R, H]`` codes; zeros for nobody seen."""
        if not symbols.shape[0]:
            return embedding.new_zeros(0, self.lstm.hidden)
        table = functional.linear(embedding.t(), self.lstm.input)  # [A, 4H]
        seen = symbols.t() != ABSENT  # [T, R]
        projected = functional.embedding(symbols.t().clamp(min=0), table).unbind(0)
        masks = None if bool(seen.all()) else seen.unsqueeze(-1).unbind(0)
        return self.lstm.run(projected, masks=masks)[1][0]

    def windows(self, symbols: Tensor, embedding: Tensor) -> Tensor:
        """The same for ``[..., T]`` symbols, some rows at a time, which bounds the memory; ``[..., H]``."""
        rows = symbols.reshape(math.prod(symbols.shape[:-1]), symbols.shape[-1])
        codes = [self(part, embedding) for part in rows.split(_ROWS)]
        return torch.cat(codes).view(*symbols.shape[:-1], self.lstm.hidden)


class Tables(NamedTuple):
    """The decoder's weights as one pass needs them, multiplied together as far as they can be."""

    cell: CellWeights
    action: Tensor  # [A, 4H + D + A] previous action: to gates, to deep output, to logits
    pooled: Tensor  # [H, 4H + D] pooled hidden state: to gates, to deep output
    hidden: Tensor  # [H, 4H + D] hidden state: to the next step's gates, to this step's deep output
    out: Tensor  # [D, A] divided by the temperature
    out_bias: Tensor  # [A] divided by the temperature


class Memory(NamedTuple):
    """The decoder between two steps, of ``G`` groups of ``N`` people."""

    recurrent: Tensor  # [G, N, 4H] the hidden state's part in the next step's gates
    cell: Tensor  # [G, N, H]
    pooled: Tensor  # [G, H]


class Decoder(nn.Module):
    """The LSTM that all people share, fed each person's last action and everybody's pooled state."""

    def __init__(self, actions: int, config: SocialConfig) -> None:
        super().__init__()
        size = config.hidden
        self.config = config
        self.lstm = NormLSTM(config.embedding + size, size)
        self.deep = linear(size + config.embedding + size, size, spectral=config.spectral)
        self.norm = MaskedBatchNorm(size) if config.batch_norm else None
        self.out = linear(size, actions, spectral=config.spectral)
        self.residual = nn.Parameter(
            torch.tensor(float(config.residual)), requires_grad=config.residual_trainable
        )

    def tables(self, embedding: Tensor, fold: bool) -> Tables:
        """The weights for one pass.

        Args:
            embedding: ``[E, A]`` weight of the embedding of actions.
            fold: multiply the batch norm's running statistics in, for a pass without it.
        """
        size, width = self.config.hidden, self.config.embedding
        deep: Tensor = self.deep.weight
        shift: Tensor = self.deep.bias
        if fold and self.norm is not None:
            scale, bias = self.norm.affine_map()
            deep, shift = deep * scale.unsqueeze(-1), shift * scale + bias
        deep_hidden, deep_action, deep_pooled = deep.split([size, width, size], dim=1)
        gates_action, gates_pooled = self.lstm.input.split([width, size], dim=1)
        cell = self.lstm.weights()
        actions = embedding.t()  # [A, E]
        echo = self.residual * torch.eye(len(actions), device=actions.device)
        return Tables(
            cell=cell,
            # Rows are mixed with weights that sum to 1, so the bias may ride on them.
            action=torch.cat([actions @ gates_action.t(), actions @ deep_action.t() + shift, echo], dim=1),
            pooled=torch.cat([gates_pooled, deep_pooled]).t(),
            hidden=torch.cat([cell.recurrent, deep_hidden.t()], dim=1),
            out=self.out.weight.t() / self.config.temperature,
            out_bias=self.out.bias / self.config.temperature,
        )

    def begin(self, tables: Tables, code: Tensor, present: Tensor | None) -> Memory:
        """The memory before the first step.

        Args:
            tables: of this pass.
            code: ``[G, N, H]`` the first hidden states, noise added (3.2); the cell starts at zero.
            present: ``[G, N]`` bool, None for everybody.
        """
        return Memory(code @ tables.cell.recurrent, torch.zeros_like(code), pool_people(code, present))

    def advance(
        self, tables: Tables, memory: Memory, rows: Tensor, present: Tensor | None, updates: int | None = None
    ) -> tuple[Memory, Tensor]:
        """One step (3.3) to (3.5).

        Args:
            tables: of this pass.
            memory: of the step before.
            rows: ``[G, N, 4H + D + A]`` rows of ``tables.action`` for the previous actions.
            present: ``[G, N]`` bool, None for everybody.
            updates: steps of this pass where the batch norm is to be computed; None where it is folded.

        Returns:
            The new memory, and ``[G, N, A]`` logits divided by the temperature.
        """
        size = self.config.hidden
        gates, deep, echo = rows.split([4 * size, size, rows.shape[-1] - 5 * size], dim=-1)
        pooled_gates, pooled_deep = (memory.pooled @ tables.pooled).unsqueeze(-2).split([4 * size, size], -1)
        hidden, cell = lstm_cell(tables.cell, gates + pooled_gates + memory.recurrent, memory.cell)
        recurrent, hidden_deep = (hidden @ tables.hidden).split([4 * size, size], dim=-1)
        deep = deep + pooled_deep + hidden_deep
        if updates is not None and self.norm is not None:
            deep = self.norm(deep, present, updates)
        logits = torch.matmul(deep.relu(), tables.out) + (tables.out_bias + echo)
        return Memory(recurrent, cell, pool_people(hidden, present)), logits

    def teacher_forced(
        self, tables: Tables, code: Tensor, previous: Tensor, present: Tensor | None, normalise: bool
    ) -> Tensor:
        """Logits of all steps given the true previous actions.

        Args:
            tables: of this pass.
            code: ``[B, N, H]`` first hidden states.
            previous: ``[B, T, N]`` symbols, none absent.
            present: ``[B, N]`` bool, None for everybody.
            normalise: batch norm over everything at once; False where it is folded.

        Returns:
            ``[B, T, N, A]`` logits divided by the temperature.
        """
        size = self.config.hidden
        rows = functional.embedding(previous.transpose(0, 1), tables.action)  # [T, B, N, 4H + D + A]
        gates, deep, echo = rows.split([4 * size, size, rows.shape[-1] - 5 * size], dim=-1)
        hidden, cell, pooled = code, torch.zeros_like(code), pool_people(code, present)
        states, pools = [], []
        for step in gates.unbind(0):
            pools.append(pooled)
            context = (pooled @ tables.pooled[:, : 4 * size]).unsqueeze(-2)
            hidden, cell = lstm_cell(tables.cell, step + context + hidden @ tables.cell.recurrent, cell)
            pooled = pool_people(hidden, present)
            states.append(hidden)
        context = (torch.stack(pools) @ tables.pooled[:, 4 * size :]).unsqueeze(-2)  # [T, B, 1, D]
        deep = deep + context + torch.stack(states) @ tables.hidden[:, 4 * size :]
        if normalise and self.norm is not None:
            deep = self.norm(deep, None if present is None else present.expand(deep.shape[:-1]))
        logits: Tensor = torch.matmul(deep.relu(), tables.out) + (tables.out_bias + echo)
        return logits.transpose(0, 1)
