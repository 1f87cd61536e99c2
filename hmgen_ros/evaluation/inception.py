"""SFID: the distance between two sets of action sequences (thesis 3.4).

The thesis' "inception" network reads one person's sequence with a bidirectional LSTM and five dense layers
and regresses the share of each action in it. The Fréchet distance of its last activations before the
regression head tells how far generated sequences are from real ones. Networks are trained by
:mod:`hmgen_ros.training.train_inception`; distances of different networks cannot be compared.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.layers import NormLSTM

_DENSE_LAYERS = 5
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class InceptionConfig:
    """Sizes of the network.

    Attributes:
        hidden: size of the LSTM's state in each direction and of the activations, at least 1.
        ticks: length of the sequences it was trained on; others can be read too.

    Raises:
        ValueError: a size is below 1.
    """

    hidden: int = 64
    ticks: int = 40

    def __post_init__(self) -> None:
        if min(self.hidden, self.ticks) < 1:
            raise ValueError(f"hidden and ticks must be at least 1, got {self.hidden} and {self.ticks}")


class InceptionNet(nn.Module):
    """Regresses the share of each action in a sequence; its activations are compared by :func:`sfid`.

    Args:
        space: what the symbols mean.
        config: sizes.
    """

    def __init__(self, space: ActionSpace, config: InceptionConfig | None = None) -> None:
        super().__init__()
        self.space, self.config = space, config or InceptionConfig()
        hidden, actions = self.config.hidden, len(space)
        self.forwards, self.backwards = NormLSTM(actions, hidden), NormLSTM(actions, hidden)
        for lstm in (self.forwards, self.backwards):
            _remember(lstm, self.config.ticks)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for index in range(_DENSE_LAYERS):
            layers[f"dense{index}"] = nn.Linear(hidden if index else 2 * hidden, hidden)
            layers[f"relu{index}"] = nn.ReLU()
        self.dense = nn.Sequential(layers)
        self.head = nn.Linear(hidden, actions)

    def activations(self, symbols: Tensor) -> Tensor:
        """``[R, T]`` int64 symbols, nobody absent, to ``[R, hidden]``, the input of the head."""
        last = [
            # A row of the input weights is what a one-hot input gives.
            lstm.run(functional.embedding(ticks, lstm.input.t()).unbind(0))[1][0]
            for lstm, ticks in ((self.forwards, symbols.t()), (self.backwards, symbols.t().flip(0)))
        ]
        activations: Tensor = self.dense(torch.cat(last, dim=-1))
        return activations

    def forward(self, symbols: Tensor) -> Tensor:
        """``[R, T]`` symbols to ``[R, A]`` estimated shares (not normalised)."""
        shares: Tensor = self.head(self.activations(symbols))
        return shares

    @classmethod
    def load(cls, name: str = "sfid_t40", device: str | torch.device = "cpu") -> Self:
        """The network of this name in the package's ``models/``.

        Raises:
            hmgen_ros.generators.weights.WeightsError: no such model, or its file is damaged.
        """
        return cls.from_weights(weights.load(name)).to(device).eval()

    @classmethod
    def from_weights(cls, loaded: weights.Weights) -> Self:
        """The network that :meth:`to_weights` described.

        Raises:
            hmgen_ros.generators.weights.WeightsError: these are weights of something else.
        """
        config = loaded.config_of("inception")
        try:
            net = cls(ActionSpace.from_json(config["action_masks"]), InceptionConfig(**config["network"]))
            net.load_state_dict(loaded.tensors)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise weights.WeightsError(f"{loaded.source}: {error}; train the model again") from error
        return net

    def to_weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors, to be written by :func:`hmgen_ros.generators.weights.save`."""
        config = {
            "kind": "inception",
            "action_masks": self.space.to_json(),
            "network": asdict(self.config),
        }
        return config, {name: tensor.detach().clone() for name, tensor in self.state_dict().items()}


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over sequences, from which mean and covariance come; may be added up.

    Attributes:
        count: ``[...]`` sequences.
        total: ``[..., H]`` sum of their activations.
        square: ``[..., H, H]`` sum of the outer products.
    """

    count: NDArray[np.float64]
    total: NDArray[np.float64]
    square: NDArray[np.float64]


def sfid(net: InceptionNet, real: NDArray[np.int64], generated: NDArray[np.int64]) -> float:
    """Sequential Fréchet inception distance of two sets of windows; 0 for equal sets, lower is closer.

    Args:
        net: over the action space of the symbols.
        real: ``[W, T, N]`` symbols; a person's window is one sequence, those with any ``ABSENT`` are left
            out.
        generated: ``[W', T, N']``, as long.

    Raises:
        ValueError: lengths differ, a symbol is not in the space, or fewer than two sequences are left.
    """
    if real.shape[1] != generated.shape[1]:
        raise ValueError(f"real windows have {real.shape[1]} ticks, generated ones {generated.shape[1]}")
    return frechet_distance(moments(net, real), moments(net, generated))


def moments(net: InceptionNet, windows: NDArray[np.int64]) -> Moments:
    """Moments of the activations of ``[W, T, N]`` windows; of use where one set meets many others.

    Raises:
        ValueError: a symbol is not in the space.
    """
    rows, _ = complete_sequences(windows)
    return sum_moments(activations(net, rows), np.zeros(len(rows), np.int64), 1, squeeze=True)


def complete_sequences(windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``[R, T]`` sequences of ``[W, T, N]`` without any ``ABSENT``, and the window of each, ``[R]``."""
    lines = np.moveaxis(windows, 1, -1)  # [W, N, T]
    whole = (lines != ABSENT).all(axis=-1)
    return np.ascontiguousarray(lines[whole]), np.nonzero(whole)[0]


def activations(net: InceptionNet, sequences: NDArray[np.int64]) -> NDArray[np.float64]:
    """``[R, hidden]`` activations of ``[R, T]`` sequences of symbols, none of them ``ABSENT``.

    Equal sequences, of which meetings have many, are computed once.

    Raises:
        ValueError: not ``[R, T]``, or a symbol is not in the net's space.
    """
    if sequences.ndim != 2 or not sequences.shape[1]:
        raise ValueError(f"sequences must be [R, T] with T at least 1, got {sequences.shape}")
    if not len(sequences):
        return np.zeros((0, net.config.hidden))
    if sequences.min() < 0 or sequences.max() >= len(net.space):
        raise ValueError(
            f"symbols must be 0 to {len(net.space) - 1}, got {sequences.min()} to {sequences.max()}"
        )
    lines = np.ascontiguousarray(sequences, dtype=np.uint8)
    _, first, place = np.unique(
        lines.view(f"V{lines.shape[1]}")[:, 0], return_index=True, return_inverse=True
    )
    device = net.head.weight.device
    rows = torch.from_numpy(sequences[first]).to(device)
    with torch.inference_mode():
        parts = [net.activations(part).double().cpu() for part in rows.split(_ROWS_AT_ONCE)]
    return np.asarray(torch.cat(parts).numpy()[place])


def sum_moments(
    rows: NDArray[np.float64], group: NDArray[np.int64], groups: int, *, squeeze: bool = False
) -> Moments:
    """Moments of ``[R, H]`` activations by group, with leading dimension ``groups``.

    Args:
        rows: ``[R, H]``.
        group: ``[R]`` 0 to ``groups - 1``.
        groups: how many there are.
        squeeze: drop the leading dimension.
    """
    order = np.argsort(group, kind="stable")
    parts = np.split(rows[order], np.cumsum(np.bincount(group, minlength=groups))[:-1])
    result = Moments(
        np.array([float(len(part)) for part in parts]),
        np.stack([part.sum(axis=0) for part in parts]),
        np.stack([part.T @ part for part in parts]),
    )
    return Moments(result.count[0], result.total[0], result.square[0]) if squeeze else result


def frechet_distance(one: Moments, other: Moments) -> float:
    """Fréchet distance of two normal distributions with these moments (each without leading dimensions).

    ``|m - m'|² + tr(C + C' - 2 (C C')^½)``. The trace of the root is the sum of the singular values of
    ``C^½ C'^½``: real, symmetric in the two, and safe where a covariance is singular.

    Raises:
        ValueError: either has fewer than two sequences.
    """
    (mean, covariance), (mean2, covariance2) = _mean_and_covariance(one), _mean_and_covariance(other)
    product = _root(covariance) @ _root(covariance2)
    shared = np.linalg.svd(product, compute_uv=False).sum()
    distance = ((mean - mean2) ** 2).sum() + np.trace(covariance) + np.trace(covariance2) - 2.0 * shared
    return float(max(distance, 0.0))


def _remember(lstm: NormLSTM, ticks: int) -> None:
    """Start with memories of all lengths up to the sequence's (Tallec and Ollivier, 2018).

    With the usual start they fade within a few ticks, and counting over 80 is hardly learned.
    """
    lengths = torch.empty(lstm.hidden).uniform_(1.0, max(ticks - 1.0, 1.5))
    with torch.no_grad():
        lstm.gate_norm.bias[: lstm.hidden] = -lengths.log()
        lstm.gate_norm.bias[lstm.hidden : 2 * lstm.hidden] = lengths.log()


def _mean_and_covariance(moments: Moments) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if moments.count < 2:
        raise ValueError(f"a Fréchet distance needs at least 2 whole sequences, got {int(moments.count)}")
    mean = moments.total / moments.count
    covariance = moments.square / moments.count - np.outer(mean, mean)
    return mean, covariance * (moments.count / (moments.count - 1.0))


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square root of a symmetric matrix; what rounding left below zero counts as zero."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    return root
