"""Measures a generator of head motion on held-out tracks while it is trained.

The distance that chooses the best iteration is none of those that models are reported with, so that no
model is chosen by what it is judged by: a Fréchet distance over plain features of a window (the main
components of its displacements and of its velocities, and how lively it is), fitted on training windows.
Components are bent by ``asinh``, or the liveliest speaker alone would decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmgen_ros.evaluation.inception import Moments, frechet_distance
from hmgen_ros.generators.framed_motion import FramedMotion, FramedState
from hmgen_ros.training.motion_windows import MotionWindows
from hmgen_ros.types import NUM_LANDMARKS

Floats = NDArray[np.float64]

_COMPONENTS = 12
#: Where components begin to be bent, in standard deviations.
_BEND = 0.2
_AT_ONCE = 4096


@dataclass(frozen=True)
class WindowFeatures:
    """Plain features of ``[W, T + 1, 136]`` windows in the frame of their first pose.

    Attributes:
        displacements, velocities: ``[T 136, K]`` main components.
        unit: ``[2 K]`` standard deviations of the components in the training set.
        scale: ``[2 K + 2]`` those of the features.
    """

    displacements: Tensor
    velocities: Tensor
    unit: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, windows: Tensor) -> WindowFeatures:
        """Learn components and scales from real windows."""
        parts = []
        for rows in _rows(windows):
            parts.append(_main_components(rows))
        along = [rows @ axes for rows, axes in zip(_rows(windows), parts, strict=True)]
        unit = torch.cat(along, dim=1).std(dim=0).clamp(min=1e-9)
        unscaled = cls(parts[0], parts[1], unit, torch.ones(2 * _COMPONENTS + 2))
        return cls(parts[0], parts[1], unit, unscaled(windows).std(dim=0).clamp(min=1e-9))

    def __call__(self, windows: Tensor) -> Tensor:
        """``[W, 2 K + 2]``."""
        displacement, velocity = _rows(windows)
        speed = velocity.square().mean(1, keepdim=True).sqrt()
        jerk = windows.diff(n=2, dim=1).flatten(1).square().mean(1, keepdim=True).sqrt()
        liveliness = torch.cat([speed, jerk], dim=1).clamp(min=1e-6).log()
        parts = torch.cat([displacement @ self.displacements, velocity @ self.velocities], dim=1)
        bent = torch.asinh(parts / (_BEND * self.unit))
        return torch.cat([bent, liveliness], dim=1) / self.scale


class MotionValidation:
    """One future of each chosen window against what the head did.

    Attributes:
        reference: the data's own values: the distance of as many training windows.
    """

    def __init__(self, training: MotionWindows, held_out: MotionWindows, windows: int, seed: int = 0) -> None:
        """Choose windows, evenly from all of them.

        Args:
            training: of ``T + 1`` ticks; tells what the features are.
            held_out: as long.
            windows: how many at most.
            seed: of the futures; the same at each evaluation, so that curves move by the model alone.
        """
        self._seed, self._ticks = seed, held_out.ticks - 1
        typical = some_windows(training, 4 * windows)
        self._features = WindowFeatures.fit(typical)
        real = some_windows(held_out, windows)
        self._start = real[:, 0].unflatten(-1, (NUM_LANDMARKS, 2))
        self._real = self._features(real).double().numpy()
        self.reference = self._compare(typical[::4])

    @torch.no_grad()
    def __call__(self, model: FramedMotion[Any]) -> dict[str, float]:
        """``fd_window``, and speed and jerk against the data's (1 is right)."""
        model.eval()
        device = next(model.parameters()).device
        state = model.initial_state(len(self._start))
        state, _ = model.step(state, self._start.to(device))
        generator = torch.Generator(device=device).manual_seed(self._seed)
        future = self._futures(model, state, generator).transpose(0, 1)  # [W, T, 68, 2]
        whole = torch.cat([self._start[:, None], future.cpu()], dim=1).flatten(-2)
        return self._measure(whole)

    def _futures(
        self, model: FramedMotion[Any], state: FramedState[Any], generator: torch.Generator
    ) -> Tensor:
        """``[T, W, 68, 2]`` from heads that have been seen."""
        return model.rollout(state, self._ticks, generator)

    def _measure(self, windows: Tensor) -> dict[str, float]:
        """Of ``[W, T + 1, 136]`` generated windows."""
        return self._compare(windows)

    def _compare(self, windows: Tensor) -> dict[str, float]:
        found = self._features(windows).double().numpy()
        if not np.isfinite(found).all():
            return {"fd_window": float("inf"), "speed": float("nan"), "jerk": float("nan")}
        scale = self._features.scale[-2:].double().numpy()
        lively = np.exp((found[:, -2:].mean(0) - self._real[:, -2:].mean(0)) * scale)
        distance = frechet_distance(_moments(self._real), _moments(found))
        return {"fd_window": distance, "speed": float(lively[0]), "jerk": float(lively[1])}


def some_windows(windows: MotionWindows, count: int) -> Tensor:
    """``[W, T + 1, 136]`` windows, at most ``count``, evenly from all."""
    return torch.cat([windows.cut(rows) for rows in some_rows(windows, count).split(_AT_ONCE)])


def some_rows(windows: MotionWindows, count: int) -> Tensor:
    """Numbers of windows, at most ``count``, evenly from all."""
    rows = np.linspace(0, len(windows) - 1, min(count, len(windows))).astype(np.int64)
    return torch.from_numpy(rows)


def _rows(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Displacements from the first pose and velocities, ``[W, T 136]`` each."""
    return (windows[:, 1:] - windows[:, :1]).flatten(1), windows.diff(dim=1).flatten(1)


def _main_components(rows: Tensor) -> Tensor:
    """``[F, K]`` right singular vectors of ``[R, F]``, by way of the smaller ``[R, R]`` matrix."""
    values, vectors = torch.linalg.eigh((rows @ rows.T).double())
    scaled = vectors[:, -_COMPONENTS:] / values[-_COMPONENTS:].clamp(min=1e-12).sqrt()
    components: Tensor = rows.T @ scaled.to(rows)
    return components


def _moments(rows: Floats) -> Moments:
    return Moments(np.array(float(len(rows))), rows.sum(axis=0), rows.T @ rows)
