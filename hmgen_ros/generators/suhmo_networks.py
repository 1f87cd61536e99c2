"""The two networks of SUHMo's generator (thesis, section 4.3.5), a tick at a time over pairs of heads.

Both take the positions and velocities of a tick and give what the head of the output reads. The two heads of
a pair know of each other: the LSTM is fed the maximum of both hidden states (batch-pool, 4.12), attention
looks at the other head's past (batch-cross attention, 4.14). Rows are ``[N, P, ...]`` with ``P`` heads a
pair: 2, or 1 where single heads are generated (the thesis' ablation).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.layers import Dense, DenseLstmCell, linear

Memory = TypeVar("Memory")


@dataclass(frozen=True, slots=True)
class LstmMemory:
    """``[N, P, H]`` hidden state and cell."""

    hidden: Tensor
    cell: Tensor


@dataclass(frozen=True, slots=True)
class Attended:
    """What attention remembers.

    Attributes:
        keys, values: ``[N, P, W, D]``; tick ``t`` lies at ``t mod W``, for without positional encoding the
            order does not matter.
        count: ``[N, P]`` int64 ticks taken in so far.
    """

    keys: Tensor
    values: Tensor
    count: Tensor


class PairNetwork(nn.Module, Generic[Memory]):
    """What both networks are to the generator.

    Attributes:
        width: size of the output.
    """

    width: int

    @abstractmethod
    def memory(self, slots: int, pairs: int, ticks: int | None = None) -> Memory:
        """Nothing seen; ``ticks`` says how many will be at most, where that is known."""

    @abstractmethod
    def start(self, pose: Tensor, memory: Memory) -> Memory:
        """Memory of heads that begin with a pose, ``[N, P, 136]``, in the shape of another memory."""

    @abstractmethod
    def forward(self, memory: Memory, inputs: Tensor) -> tuple[Memory, Tensor]:
        """One tick: ``[N, P, F]`` to the new memory and ``[N, P, width]``."""


class PairLstm(PairNetwork[LstmMemory]):
    """One LSTM layer; the pooled hidden state of the pair joins the next input."""

    def __init__(self, pose: int, hidden: int, pooled: bool) -> None:
        """Sizes.

        Args:
            pose: numbers of a pose; an input has twice as many.
            hidden: size of the hidden state.
            pooled: whether heads come in pairs.
        """
        super().__init__()
        self.width, self._pooled = hidden, pooled
        self.first = Dense(pose, 2 * hidden)
        self.cell = DenseLstmCell(2 * pose + hidden * pooled, hidden)

    def memory(self, slots: int, pairs: int, ticks: int | None = None) -> LstmMemory:
        """Zeros."""
        zeros = self.first.weight.new_zeros((slots, pairs, self.width), requires_grad=False)
        return LstmMemory(zeros, zeros)

    def start(self, pose: Tensor, memory: LstmMemory) -> LstmMemory:
        """A dense layer on the first pose gives hidden state and cell."""
        hidden, cell = self.first(pose).chunk(2, dim=-1)
        return LstmMemory(torch.tanh(hidden), cell)

    def forward(self, memory: LstmMemory, inputs: Tensor) -> tuple[LstmMemory, Tensor]:
        """One tick."""
        shape = memory.hidden.shape
        if self._pooled:
            pooled = memory.hidden.amax(1, keepdim=True).expand(shape)
            inputs = torch.cat([inputs, pooled], dim=-1)
        before = (memory.hidden.flatten(0, 1), memory.cell.flatten(0, 1))
        hidden, cell = self.cell(inputs.flatten(0, 1), before)
        hidden = hidden.unflatten(0, shape[:2])
        return LstmMemory(hidden, cell.unflatten(0, shape[:2])), hidden


class PairAttention(PairNetwork[Attended]):
    """One block of attention with one head over the past of the other head, without positional encoding."""

    def __init__(self, pose: int, embedding: int, window: int) -> None:
        """Sizes.

        Args:
            pose: numbers of a pose; an input has twice as many.
            embedding: size ``D`` of tokens.
            window: ``W`` ticks remembered, the oldest are forgotten.
        """
        super().__init__()
        self.width, self._window = embedding, window
        self.embed = Dense(2 * pose, embedding)
        self.query_key_value = Dense(embedding, 3 * embedding)
        self.out = Dense(embedding, embedding)
        self.attended = nn.LayerNorm(embedding)
        self.feed = nn.Sequential(Dense(embedding, embedding), nn.GELU(), Dense(embedding, embedding))
        self.fed = nn.LayerNorm(embedding)

    def memory(self, slots: int, pairs: int, ticks: int | None = None) -> Attended:
        """Nothing, with room for so many ticks, or for the whole window."""
        window = self._window if ticks is None else min(ticks, self._window)
        zeros = self.embed.weight.new_zeros((slots, pairs, window, self.width), requires_grad=False)
        count = torch.zeros((slots, pairs), dtype=torch.int64, device=zeros.device)
        return Attended(zeros, zeros, count)

    def start(self, pose: Tensor, memory: Attended) -> Attended:
        """Nothing either: the first token says where the head begins."""
        return Attended(memory.keys, memory.values, torch.zeros_like(memory.count))

    def forward(self, memory: Attended, inputs: Tensor) -> tuple[Attended, Tensor]:
        """One tick, at a cost that grows with the past but does not go through the network again."""
        token = self.embed(inputs)  # [N, P, D]
        query, key, value = self.query_key_value(token).chunk(3, dim=-1)
        window = memory.keys.shape[2]
        place = torch.arange(window, device=token.device)
        written = (memory.count % window)[..., None, None].expand(-1, -1, 1, self.width)
        keys = memory.keys.scatter(2, written, key.unsqueeze(2))
        values = memory.values.scatter(2, written, value.unsqueeze(2))
        count = memory.count + 1
        seen = (place < count.unsqueeze(-1)).unsqueeze(-2)  # [N, P, 1, W]
        # Batch-cross: each head asks the other one's past; one head alone asks its own. It is the queries
        # that change places, for they are smaller than the past.
        asked = query.unsqueeze(2).flip(1)
        mixed = functional.scaled_dot_product_attention(asked, keys, values, attn_mask=seen).flip(1)
        return Attended(keys, values, count), self._block(token, mixed.squeeze(2))

    def sequence(self, inputs: Tensor) -> Tensor:
        """``[N, P, T, F]`` to ``[N, P, T, D]``: all ticks at once, each seeing those up to itself."""
        token = self.embed(inputs)
        query, key, value = self.query_key_value(token).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(query.flip(1), key, value, is_causal=True)
        return self._block(token, mixed.flip(1))

    def _block(self, token: Tensor, mixed: Tensor) -> Tensor:
        token = self.attended(token + self.out(mixed))
        result: Tensor = self.fed(token + self.feed(token))
        return result


def output_layers(inputs: int, hidden: tuple[int, ...], outputs: int, spectral: bool) -> nn.Sequential:
    """Dense layers with layer norm and leaky ReLU; the last one starts small, so that heads begin still."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [linear(inputs, size, spectral=spectral), nn.LayerNorm(size), nn.LeakyReLU(0.2)]
        inputs = size
    last = Dense(inputs, outputs)
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.zero_()
    return nn.Sequential(*layers, last)
