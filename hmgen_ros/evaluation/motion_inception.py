"""The sequence network behind ``fd_motion``: it reads landmark motion, and its activations are compared.

FID and FVD rest on networks for pictures whose weights do not come with this package. In the spirit of SFID
(thesis 3.4) this network reads landmarks themselves, with a bidirectional LSTM and dense layers, and
regresses what characterises a piece of motion: for each channel of head and face
(:mod:`hmgen_ros.evaluation.motion_channels`) how much it varies, how fast it moves, and how fast it changes
its movement. The Fréchet distance of its last activations tells how far generated motion is from real motion.
Distances of different networks cannot be compared, nor with FID or FVD.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hmgen_ros.evaluation.motion_channels import CHANNELS, channels
from hmgen_ros.generators import weights
from hmgen_ros.types import NUM_LANDMARKS

KIND = "motion_inception"
NAME = "motion_inception"
#: Amount, speed and acceleration of each channel.
TARGETS = 3 * len(CHANNELS)
_POSE = 2 * NUM_LANDMARKS
#: What is smaller than this, in units of the channels, counts as still: landmarks in whole sixteenths of
#: pixels tremble by about as much.
_STILL = 2e-3
#: Where the network's inputs begin to be bent, in root mean squares of the training set: quiet and lively
#: heads are told apart among themselves, too.
_BEND = 0.2
_ROWS_AT_ONCE = 512
#: A window needs three ticks to have an acceleration.
SHORTEST = 3


@dataclass(frozen=True)
class MotionInceptionConfig:
    """Sizes.

    Attributes:
        hidden: size of the LSTM's state in each direction and of the activations, at least 1.

    Raises:
        ValueError: it is below 1.
    """

    hidden: int = 64

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {self.hidden}")


class MotionInception(nn.Module):
    """Regresses amount, speed and acceleration of each channel of a window.

    Attributes:
        units: ``[2]`` root mean squares of displacements from the first pose, and of velocities.
        target_mean, target_scale: ``[30]`` of the targets in the training set.
    """

    units: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(self, config: MotionInceptionConfig | None = None) -> None:
        super().__init__()
        self.config = config or MotionInceptionConfig()
        hidden = self.config.hidden
        self.embed = nn.Linear(2 * _POSE, hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True, bidirectional=True)
        self.dense = nn.Sequential(
            nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.head = nn.Linear(hidden, TARGETS)
        self.register_buffer("units", torch.ones(2))
        self.register_buffer("target_mean", torch.zeros(TARGETS))
        self.register_buffer("target_scale", torch.ones(TARGETS))

    @torch.no_grad()
    def fit_units(self, windows: Tensor) -> None:
        """Measure the units on ``[W, T, 68, 2]`` training windows in the frames of their first poses."""
        moved = windows - windows[:, :1]
        self.units.copy_(torch.stack([p.square().mean().sqrt() for p in (moved, windows.diff(dim=1))]))
        wanted = targets(windows)
        self.target_mean.copy_(wanted.mean(0))
        self.target_scale.copy_(wanted.std(0).clamp(min=1e-6))

    def activations(self, windows: Tensor) -> Tensor:
        """``[W, T, 68, 2]`` windows in the frames of their first poses to ``[W, hidden]``.

        Raises:
            ValueError: a window is shorter than three ticks.
        """
        if windows.shape[1] < SHORTEST:
            raise ValueError(f"windows must have at least {SHORTEST} ticks, got {windows.shape[1]}")
        moved = (windows - windows[:, :1]).flatten(2) / (_BEND * self.units[0])
        velocity = windows.diff(dim=1).flatten(2) / (_BEND * self.units[1])
        velocity = torch.cat([velocity[:, :1], velocity], dim=1)
        inputs = self.embed(torch.asinh(torch.cat([moved, velocity], dim=-1)))
        read, _ = self.lstm(inputs)
        # The mean over time reads windows of any length alike.
        found: Tensor = self.dense(read.mean(dim=1))
        return found

    def forward(self, windows: Tensor) -> Tensor:
        """``[W, T, 68, 2]`` to the ``[W, 30]`` estimated targets, standardised."""
        estimated: Tensor = self.head(self.activations(windows))
        return estimated

    def standardised(self, windows: Tensor) -> Tensor:
        """``[W, 30]`` true targets as the network regresses them."""
        return (targets(windows) - self.target_mean) / self.target_scale

    @torch.inference_mode()
    def rows(self, windows: Tensor) -> NDArray[np.float64]:
        """``[W, hidden]`` activations on the CPU."""
        parts = [self.activations(part).double().cpu() for part in windows.split(_ROWS_AT_ONCE)]
        return np.asarray(torch.cat(parts).numpy())

    @classmethod
    def load(cls, name: str = NAME, device: str | torch.device = "cpu") -> Self:
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
        config = {name: value for name, value in loaded.config_of(KIND).items() if name != "kind"}
        try:
            net = cls(MotionInceptionConfig(**config))
            net.load_state_dict(loaded.tensors)
        except (TypeError, ValueError, RuntimeError) as error:
            raise weights.WeightsError(f"{loaded.source}: {error}; train the model again") from error
        return net.eval()

    def to_weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors, to be written by :func:`hmgen_ros.generators.weights.save`."""
        return {"kind": KIND, **asdict(self.config)}, dict(self.state_dict())


def targets(windows: Tensor) -> Tensor:
    """``[W, 30]`` logarithms of each channel's deviation, speed and acceleration (root mean squares)."""
    seen = channels(windows)  # [W, T, 10]
    changes = [seen - seen.mean(dim=1, keepdim=True), seen.diff(dim=1), seen.diff(n=2, dim=1)]
    sizes = [change.square().mean(dim=1).sqrt() for change in changes]
    return torch.cat([(size + _STILL).log() for size in sizes], dim=-1)
