"""Transformer layers that look back only: over whole sequences, or tick by tick at a cost that does not grow.

What attention remembers of each slot are the keys and values of its last ticks, in a ring: tick ``t`` lies at
``t mod W``. A query sees the ``W`` last ticks, its own among them, so whole sequences and streams of any
length give the same numbers. Order is told either by the tokens themselves or by a learned bias for each
distance in time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class StackSizes:
    """Sizes of a stack of layers.

    Attributes:
        width: size ``D`` of a token.
        layers: ``L``.
        heads: ``H`` of the attention; they divide the width.
        feed: size of the layers between two attentions.
        window: ``W`` ticks that attention looks back, its own one among them.
        dropout: of attention weights and of what a layer adds, while training.

    Raises:
        ValueError: a size is out of its range.
    """

    width: int
    layers: int
    heads: int
    feed: int
    window: int
    dropout: float

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "feed", "window"):
            if (size := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width must be an even multiple of heads, got {self.width} and {self.heads} heads"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")


@dataclass(frozen=True, slots=True)
class Past:
    """What a stack remembers.

    Attributes:
        keys, values: ``[N, L, W, D]``.
        count: ``[N]`` int64 ticks taken in so far.
    """

    keys: Tensor
    values: Tensor
    count: Tensor


class CausalStack(nn.Module):
    """Layers of attention and dense layers, each with a layer norm behind it.

    Queries are tokens; keys and values come from the same tokens, or from a second sequence of as many ticks.
    """

    def __init__(self, sizes: StackSizes, relative: bool = False, joined: bool = False) -> None:
        """Sizes.

        Args:
            sizes: of the layers.
            relative: whether each head learns a bias for each distance in time.
            joined: whether each layer takes in one more vector, the same for all ticks of a sequence.
        """
        super().__init__()
        self.sizes = sizes
        self.layers = nn.ModuleList(_Layer(sizes, joined) for _ in range(sizes.layers))
        self.bias = nn.Parameter(torch.zeros(sizes.heads, sizes.window)) if relative else None

    def nothing(self, slots: int) -> Past:
        """No tick of any slot."""
        like = next(self.parameters())
        size = (slots, self.sizes.layers, self.sizes.window, self.sizes.width)
        zeros = like.new_zeros(size, requires_grad=False)
        return Past(zeros, zeros, torch.zeros(slots, dtype=torch.int64, device=like.device))

    def forward(self, tokens: Tensor, source: Tensor | None = None, joined: Tensor | None = None) -> Tensor:
        """Whole sequences.

        Args:
            tokens: ``[R, T, D]``.
            source: ``[R, T, D]`` what keys and values are made of; the tokens of each layer where None.
            joined: ``[R, D]`` the vector that each layer takes in.

        Returns:
            ``[R, T, D]``.
        """
        tick = torch.arange(tokens.shape[1], device=tokens.device)
        mask = self._mask((tick[:, None] - tick).unsqueeze(0))
        for layer in self._layers():
            keys, values = layer.remembered(tokens if source is None else source)
            tokens = layer(tokens, keys, values, mask, joined)
        return tokens

    def extend(self, past: Past, tokens: Tensor, joined: Tensor | None = None) -> tuple[Past, Tensor]:
        """The next ticks of every slot, ``[N, C, D]``; arguments as of :meth:`forward`.

        Returns:
            What is remembered then, and ``[N, C, D]``.
        """
        mask = self._mask(_ages(past.count, tokens.shape[1], self.sizes.window))
        new_keys, new_values = [], []
        for number, layer in enumerate(self._layers()):
            keys, values = layer.remembered(tokens)
            new_keys.append(keys)
            new_values.append(values)
            keys = torch.cat([past.keys[:, number], keys], dim=1)
            values = torch.cat([past.values[:, number], values], dim=1)
            tokens = layer(tokens, keys, values, mask, joined)
        return _remember(past, torch.stack(new_keys, dim=1), torch.stack(new_values, dim=1)), tokens

    def note(self, past: Past, source: Tensor) -> Past:
        """Remember ``[N, C, D]`` more ticks of a second sequence, without a query."""
        pairs = [layer.remembered(source) for layer in self._layers()]
        keys, values = (torch.stack(rows, dim=1) for rows in zip(*pairs, strict=True))
        return _remember(past, keys, values)

    def recall(self, past: Past, tokens: Tensor) -> Tensor:
        """What ``[N, D]`` tokens of the last tick find in a second sequence that has been noted.

        Slots that remember nothing find zeros.
        """
        ages = _ring_ages(past.count, self.sizes.window)
        mask = self._mask(torch.where(past.count[:, None] == 0, 0, ages).unsqueeze(1))
        rows = tokens.unsqueeze(1)
        for number, layer in enumerate(self._layers()):
            rows = layer(rows, past.keys[:, number], past.values[:, number], mask, None)
        return rows[:, 0]

    def _layers(self) -> Iterator[_Layer]:
        return iter(cast("Iterable[_Layer]", self.layers))

    def _mask(self, ages: Tensor) -> Tensor:
        """``[B, H or 1, T, K]`` for attention, of ``[B, T, K]`` ticks that each key is old."""
        seen = ((ages >= 0) & (ages < self.sizes.window)).unsqueeze(1)
        if self.bias is None:
            return seen
        bias = self.bias[:, ages.clamp(0, self.sizes.window - 1)].transpose(0, 1)
        return bias.masked_fill(~seen, -torch.inf)


class _Layer(nn.Module):
    """Attention, what is joined, dense layers; the norm follows each (Vaswani et al., 2017)."""

    def __init__(self, sizes: StackSizes, joined: bool) -> None:
        super().__init__()
        width = sizes.width
        self.heads, self.dropout = sizes.heads, sizes.dropout
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out, self.attended = nn.Linear(width, width), nn.LayerNorm(width)
        self.join = nn.Linear(width, width) if joined else None
        self.joined = nn.LayerNorm(width) if joined else None
        self.feed = nn.Sequential(
            nn.Linear(width, sizes.feed),
            nn.GELU(),
            nn.Dropout(sizes.dropout),
            nn.Linear(sizes.feed, width),
            nn.Dropout(sizes.dropout),
        )
        self.fed = nn.LayerNorm(width)

    def remembered(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of ``[N, T, D]``."""
        keys, values = self.key_value(source).chunk(2, dim=-1)
        return keys, values

    def forward(
        self, tokens: Tensor, keys: Tensor, values: Tensor, mask: Tensor, joined: Tensor | None
    ) -> Tensor:
        """``[N, T, D]`` tokens that look at ``[N, K, D]`` keys and values."""
        query, key, value = (self._split(rows) for rows in (self.query(tokens), keys, values))
        dropped = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropped)
        tokens = self.attended(tokens + self._drop(self.out(mixed.transpose(1, 2).flatten(2))))
        if self.join is not None and self.joined is not None and joined is not None:
            tokens = self.joined(tokens + self._drop(self.join(joined).unsqueeze(1)))
        result: Tensor = self.fed(tokens + self.feed(tokens))
        return result

    def _split(self, rows: Tensor) -> Tensor:
        split: Tensor = rows.unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)

    def _drop(self, rows: Tensor) -> Tensor:
        return functional.dropout(rows, self.dropout, self.training)


def sinusoids(ticks: Tensor, width: int) -> Tensor:
    """Positional encodings (Vaswani et al., 2017, section 3.5): ``[...]`` ticks to ``[..., width]``."""
    even = torch.arange(0, width, 2, device=ticks.device, dtype=torch.float32)
    angle = ticks.unsqueeze(-1) * torch.exp(even * (-math.log(10000.0) / width))
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def _ring_ages(count: Tensor, window: int) -> Tensor:
    """``[N, W]`` how many ticks before the last one each place of the ring was written.

    Places that hold nothing yet count as older than the window.
    """
    last = (count - 1).unsqueeze(-1)
    ages = (last - torch.arange(window, device=count.device)) % window
    return torch.where(ages <= last, ages, window)


def _ages(count: Tensor, ticks: int, window: int) -> Tensor:
    """``[N, C, W + C]`` how many ticks old each place of the ring and each new tick is at each new tick."""
    new = torch.arange(ticks, device=count.device)
    ring = _ring_ages(count, window).unsqueeze(1) + (new + 1).unsqueeze(-1)
    return torch.cat([ring, (new[:, None] - new).expand(len(count), -1, -1)], dim=-1)


def _remember(past: Past, keys: Tensor, values: Tensor) -> Past:
    """Write ``[N, L, C, D]`` keys and values of new ticks into the rings."""
    ticks, window = keys.shape[2], past.keys.shape[2]
    kept = min(ticks, window)
    count = past.count + ticks
    places = (count.unsqueeze(-1) - kept + torch.arange(kept, device=count.device)) % window  # [N, C]
    index = places[:, None, :, None].expand(-1, keys.shape[1], -1, keys.shape[3])
    return Past(
        past.keys.scatter(2, index, keys[:, :, -kept:]),
        past.values.scatter(2, index, values[:, :, -kept:]),
        count,
    )
