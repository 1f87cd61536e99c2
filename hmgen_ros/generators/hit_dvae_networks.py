"""The networks of :mod:`hmgen_ros.generators.hit_dvae`: what is remembered, the latents, the next pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from hmgen_ros.generators.causal_attention import StackSizes, sinusoids

#: Logarithmic variances are kept between these.
_NARROW, _WIDE = -12.0, 6.0


@dataclass(frozen=True, kw_only=True)
class HitDvaeConfig:
    """Sizes and loss; the defaults train within minutes on one core and were tuned on validation tracks.

    Attributes:
        width: of tokens.
        layers: of each of the four Transformers.
        heads: of the attention.
        feed: size between the layers.
        content: size of the sequence's latent ``w``.
        latent: size of a tick's latent ``z_t``.
        window: ticks that attention looks back; as many as the training has.
        dropout: while training.
        kl_content, kl_latent: weights of the divergences of ``w``, in nats a sequence, and of ``z_t``, in
            nats a tick, against the squared error of a pose, which is summed over its coordinates in units of
            the velocities. The bound's own weights are twice the variance of what the latents leave open.
        warm_up: iterations over which these weights grow to their values; 0 starts with them.
        own_inputs: share of ticks at which training shows what the model itself gave from the true past
            instead of the true pose (scheduled sampling); it grows with the warm-up.
        offsets: "pose" reads and gives positions; "last" reads velocities as well and gives the velocity from
            the last pose.

    Raises:
        ValueError: a setting is out of its range.
    """

    width: int = 64
    layers: int = 2
    heads: int = 4
    feed: int = 256
    content: int = 16
    latent: int = 16
    window: int = 40
    dropout: float = 0.0
    kl_content: float = 2.0
    kl_latent: float = 1.0
    warm_up: int = 1000
    own_inputs: float = 1.0
    offsets: Literal["pose", "last"] = "last"

    def __post_init__(self) -> None:
        self.stack()
        if min(self.content, self.latent) < 1:
            raise ValueError(f"content and latent must be at least 1, got {self.content}, {self.latent}")
        for name in ("kl_content", "kl_latent", "warm_up"):
            if not (value := getattr(self, name)) >= 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        if not 0.0 <= self.own_inputs <= 1.0:
            raise ValueError(f"own_inputs must lie in [0, 1], got {self.own_inputs}")
        if self.offsets not in ("pose", "last"):
            raise ValueError(f"offsets must be 'pose' or 'last', got {self.offsets!r}")

    @classmethod
    def thesis(cls) -> HitDvaeConfig:
        """Sizes of ACTOR's order; the thesis gives none for this model."""
        return cls(width=256, layers=4, heads=4, feed=1024, content=64, latent=64, dropout=0.1)

    def stack(self) -> StackSizes:
        """Sizes of the layers."""
        return StackSizes(
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            feed=self.feed,
            window=self.window,
            dropout=self.dropout,
        )


class Normal(NamedTuple):
    """A normal distribution with diagonal covariance, ``[..., Z]`` each."""

    mean: Tensor
    log_variance: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """The value that standard normal noise stands for."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def divergence(self, other: Normal) -> Tensor:
        """``[...]`` Kullback-Leibler divergence from another, in nats."""
        apart = (self.mean - other.mean).square() + self.log_variance.exp()
        ratio = other.log_variance - self.log_variance
        return 0.5 * (apart / other.log_variance.exp() + ratio - 1.0).sum(-1)

    def divergence_from_standard(self) -> Tensor:
        """``[...]`` Kullback-Leibler divergence from the standard normal one, in nats."""
        zeros = torch.zeros_like(self.mean)
        return self.divergence(Normal(zeros, zeros))


class NormalHead(nn.Module):
    """What a Transformer knows and the content, to a distribution."""

    def __init__(self, width: int, content: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width + content, width)
        self.out = nn.Linear(width, 2 * outputs)

    def forward(self, known: Tensor, content: Tensor) -> Normal:
        """``[..., D]`` and ``[..., W]`` to a distribution of ``[..., Z]``."""
        hidden = nn.functional.gelu(self.hidden(torch.cat([known, content], dim=-1)))
        mean, log_variance = self.out(hidden).chunk(2, dim=-1)
        return Normal(mean, log_variance.clamp(_NARROW, _WIDE))


class ContentEncoder(nn.Module):
    """A whole sequence to a distribution of its content ``w``, read off a learned token before it."""

    def __init__(self, config: HitDvaeConfig) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, config.feed, config.dropout, activation="gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.token = nn.Parameter(torch.zeros(config.width))
        self.out = nn.Linear(config.width, 2 * config.content)

    def forward(self, tokens: Tensor) -> Normal:
        """``[B, T, D]`` tokens of a sequence to a distribution of ``[B, W]``."""
        tokens = torch.cat([self.token.expand(len(tokens), 1, -1), tokens], dim=1)
        ticks = torch.arange(tokens.shape[1], device=tokens.device)
        encoded = self.encoder(tokens + sinusoids(ticks, tokens.shape[-1]).to(tokens.dtype))
        mean, log_variance = self.out(encoded[:, 0]).chunk(2, dim=-1)
        return Normal(mean, log_variance.clamp(_NARROW, _WIDE))
