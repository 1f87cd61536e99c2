"""The networks of one stream of the discriminators: four kinds (thesis sections 3.3.3 and 3.5.4).

Time comes first: ``x`` is the observed part ``[t_obs, B, N, A]`` and ``y`` are ``M`` continuations of it
``[T, M, B, N, A]``, so that what is computed from the observed part serves real and generated
continuations alike. ``present`` is ``[B, N]`` bool.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from hmgen_ros.generators.layers import NormLSTM, linear, pool_people
from hmgen_ros.training.social_windows import WindowPlan, default_scales

KINDS = ("local_rnn", "simple_rnn", "dense_rnn", "cnn")
STREAMS = ("indiv", "inter")


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes and options; the defaults are the thesis' (section 3.5.3).

    Attributes:
        kind: one of :data:`KINDS`.
        observed: ticks of the observed part, at least 1.
        steps: ticks T of a continuation, at least 5.
        scales: lengths of windows (``local_rnn``) or kernels (``cnn``) in ticks, 2 to ``steps``; those of
            :func:`default_scales` where empty.
        embedding: size of an embedded action.
        hidden: size of the LSTMs' state.
        phi: size of φ(h) in (3.10) and of the other classifiers' first layer.
        psi: size of ψ(φ(h)) in (3.10) and of the other classifiers' second layer.
        channels: of the convolutions.
        depth: convolutions of each scale of ``cnn``, at least 1; those after the first have kernel 3.
        beta: where β of (3.10) starts, above 0; it is learned.
        streams: the streams there are, of :data:`STREAMS`.
        lambda_inter: weight of the stream "inter" (3.7).
        spectral: spectral norm in every linear layer and convolution.
    """

    kind: str = "local_rnn"
    observed: int = 60
    steps: int = 40
    scales: tuple[int, ...] = ()
    embedding: int = 64
    hidden: int = 64
    phi: int = 128
    psi: int = 128
    channels: int = 16
    depth: int = 2
    beta: float = 5.0
    streams: tuple[str, ...] = STREAMS
    lambda_inter: float = 1.0
    spectral: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        for name in ("observed", "embedding", "hidden", "phi", "psi", "channels", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.beta > 0.0:
            raise ValueError(f"beta must be above 0, got {self.beta}")
        if not self.streams or len(set(self.streams)) < len(self.streams) or set(self.streams) - set(STREAMS):
            raise ValueError(f"streams must be some of {', '.join(STREAMS)}, each once, got {self.streams}")
        object.__setattr__(self, "scales", tuple(self.scales) or default_scales(self.steps))
        WindowPlan.of(self.steps, self.scales)  # says what is wrong with scales


class StreamNetwork(nn.Module):
    """What all kinds share: embedded actions, and pooling over people in the stream "inter".

    Args:
        actions: size ``A`` of the action space.
        config: of the discriminator.
        pooled: whether to pool people.
    """

    def __init__(self, actions: int, config: DiscriminatorConfig, pooled: bool) -> None:
        super().__init__()
        self.config = config
        self.pooled = pooled
        self.embedding = linear(actions, config.embedding, bias=False, spectral=config.spectral)

    def pool(self, hidden: Tensor, present: Tensor) -> Tensor:
        """``[..., B, N, H]`` as it is, or pooled to ``[..., B, H]``."""
        return pool_people(hidden, present) if self.pooled else hidden


class Recurrent(StreamNetwork):
    """A network with an LSTM over actions; one-hot vectors meet embedding and input weights multiplied."""

    def __init__(self, actions: int, config: DiscriminatorConfig, pooled: bool) -> None:
        super().__init__(actions, config, pooled)
        self.lstm = NormLSTM(config.embedding, config.hidden)
        self.phi = linear(self.features(), config.phi, spectral=config.spectral)
        self.psi = linear(config.phi, config.psi, spectral=config.spectral)
        self.out = linear(config.psi, 1, bias=False, spectral=config.spectral)

    def features(self) -> int:
        """Size of what the classifier sees."""
        return self.config.hidden

    def projection(self) -> Tensor:
        """``[4H, A]`` from a (soft) one-hot vector to the gates."""
        weight: Tensor = self.lstm.input @ self.embedding.weight
        return weight

    def whole(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states over ``[X; Y]``: ``[t_obs, B, N, H]`` and ``[T, M, B, N, H]``."""
        weight = self.projection()
        projected = functional.linear(x.flatten(1, -2), weight).unbind(0)
        before, (hidden, cell) = self.lstm.run(projected)
        copies, size = y.shape[1], self.config.hidden
        state = hidden.repeat(copies, 1), cell.repeat(copies, 1)
        after, _ = self.lstm.run(functional.linear(y.flatten(1, -2), weight).unbind(0), state)
        return torch.stack(before).view(*x.shape[:-1], size), torch.stack(after).view(*y.shape[:-1], size)

    def classify(self, features: Tensor) -> Tensor:
        """``[..., F]`` to ``[...]`` scores."""
        scores: Tensor = self.out(_leaky(self.psi(_leaky(self.phi(features)))))
        return scores.squeeze(-1)


class LocalRNN(Recurrent):
    """The thesis' local projection discriminator (3.8) to (3.10)."""

    ticks: Tensor
    positions: Tensor
    log_starts: Tensor
    weights: Tensor

    def __init__(self, actions: int, config: DiscriminatorConfig, pooled: bool) -> None:
        super().__init__(actions, config, pooled)
        self.plan = WindowPlan.of(config.steps, config.scales)
        self.code = linear(config.hidden, config.phi, bias=False, spectral=config.spectral)  # Vᵀ
        # β stays positive this way.
        self.log_beta = nn.Parameter(torch.tensor(config.beta).log())
        self.register_buffer("ticks", torch.tensor(self.plan.ticks), persistent=False)
        self.register_buffer("positions", torch.tensor(sum(self.plan.positions, ())), persistent=False)
        # t_k counts from 1: the first window has the whole of the conditioning.
        self.register_buffer(
            "log_starts", torch.tensor(self.plan.window_starts).add(1.0).log(), persistent=False
        )
        self.register_buffer("weights", torch.tensor(self.plan.window_weights), persistent=False)

    def forward(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        """Scores ``[M, B, N]``, or ``[M, B]`` where people are pooled."""
        weight = self.projection()
        projected = functional.linear(x.flatten(1, -2), weight).unbind(0)
        _, (last, _) = self.lstm.run(projected)
        code = self.pool(last.view(*x.shape[1:-1], self.config.hidden), present)  # [B, N, H] or [B, H]
        hidden = self.pool(self.windows(y, weight), present)  # [K, M, B, N, H] or [K, M, B, H]
        phi = _leaky(self.phi(hidden))
        out: Tensor = self.out.weight
        likeness = (self.code(code) * phi).sum(-1)  # hᵀ V φ(h_k)
        distance = torch.exp(-self.log_starts * torch.exp(-self.log_beta))  # t_k^(-1/β)
        distance = distance.view(-1, *[1] * (likeness.dim() - 1))
        scores = distance * likeness * out.sum() + functional.linear(_leaky(self.psi(phi)), out).squeeze(-1)
        mean: Tensor = torch.tensordot(self.weights, scores, dims=1)
        return mean

    def windows(self, y: Tensor, weight: Tensor) -> Tensor:
        """Hidden state at the end of each window, ``[K, M, B, N, H]``, in the plan's order."""
        # Several windows read the same tick; it is projected once.
        ticks = functional.linear(y.flatten(1, -2), weight)  # [T, rows, 4H]
        rows, read = ticks.shape[1], ticks.index_select(0, self.ticks)  # [sum of sizes, rows, 4H]
        hidden, _ = self.lstm.run(read.flatten(0, 1).split([n * rows for n in self.plan.sizes]))
        size, counts = self.config.hidden, [len(places) for places in self.plan.positions]
        ends = [
            hidden[scale - 1].view(self.plan.sizes[scale - 1], rows, size).index_select(0, places)
            for scale, places in zip(self.plan.scales, self.positions.split(counts), strict=True)
        ]
        return torch.cat(ends).view(sum(counts), *y.shape[1:-1], size)


class SimpleRNN(Recurrent):
    """One score for the whole sequence, from the last hidden state."""

    def forward(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        """Scores ``[M, B, N]``, or ``[M, B]`` where people are pooled."""
        return self.classify(self.pool(self.whole(x, y)[1][-1], present))


class DenseRNN(Recurrent):
    """One score for the whole sequence, from the hidden states of all ticks."""

    def features(self) -> int:
        """All hidden states one after another."""
        return (self.config.observed + self.config.steps) * self.config.hidden

    def forward(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        """Scores ``[M, B, N]``, or ``[M, B]`` where people are pooled."""
        before, after = (self.pool(hidden, present) for hidden in self.whole(x, y))
        before = before.unsqueeze(1).expand(-1, *after.shape[1:])
        return self.classify(torch.cat([before, after]).movedim(0, -2).flatten(-2))


class CNN(StreamNetwork):
    """A pipeline of convolutions over ``[X; Y]`` for each scale τ, kernel τ and stride τ // 2.

    Scores are averaged over positions, then over scales.
    """

    def __init__(self, actions: int, config: DiscriminatorConfig, pooled: bool) -> None:
        super().__init__(actions, config, pooled)
        self.pipelines = nn.ModuleList(self._pipeline(scale) for scale in config.scales)
        self.hidden = nn.ModuleList(
            linear(config.channels, config.phi, spectral=config.spectral) for _ in config.scales
        )
        self.out = nn.ModuleList(linear(config.phi, 1, spectral=config.spectral) for _ in config.scales)

    def _pipeline(self, scale: int) -> nn.Sequential:
        config = self.config
        layers: list[nn.Module] = [nn.Conv1d(config.embedding, config.channels, scale, stride=scale // 2)]
        for _ in range(config.depth - 1):
            layers.append(nn.Conv1d(config.channels, config.channels, 3, padding=1))
        if config.spectral:
            layers = [parametrizations.spectral_norm(layer) for layer in layers]
        return nn.Sequential(*(part for layer in layers for part in (layer, nn.LeakyReLU(0.2))))

    def forward(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        """Scores ``[M, B, N]``, or ``[M, B]`` where people are pooled."""
        whole = torch.cat([x.unsqueeze(1).expand(-1, *y.shape[1:]), y])  # [t_obs + T, M, B, N, A]
        embedded = self.embedding(whole).movedim(0, -1)  # [M, B, N, E, t_obs + T]
        scores = torch.stack(
            [
                self._score(*layers, embedded, present)
                for layers in zip(self.pipelines, self.hidden, self.out, strict=True)
            ]
        )
        return scores.mean(0)

    def _score(
        self, pipeline: nn.Module, hidden: nn.Module, out: nn.Module, embedded: Tensor, present: Tensor
    ) -> Tensor:
        features = pipeline(embedded.flatten(0, -3)).movedim(-1, 0)  # [positions, rows, channels]
        features = features.reshape(features.shape[0], *embedded.shape[:-2], features.shape[-1])
        scores: Tensor = out(_leaky(hidden(self.pool(features, present))))
        return scores.squeeze(-1).mean(0)


NETWORKS: dict[str, type[StreamNetwork]] = {
    "local_rnn": LocalRNN,
    "simple_rnn": SimpleRNN,
    "dense_rnn": DenseRNN,
    "cnn": CNN,
}


def _leaky(hidden: Tensor) -> Tensor:
    return functional.leaky_relu(hidden, 0.2)
