"""How far generated head motion is from real motion, on whole arrays.

Windows are ``[W, T, 68, 2]`` landmarks in the frame of each one's first pose
(:func:`hmgen_ros.evaluation.motion_raster.in_own_frame`): face sizes, 25 Hz.

Offline twins of the thesis' distances (4.4.2), which go by other names for they are other numbers:

============  =============================================================================================
``fd_motion``  Fréchet distance of a sequence network's activations
               (:mod:`hmgen_ros.evaluation.motion_inception`), in the place of FVD
``fd_map``     of soft motion maps, in the place of t-FID
``fd_static``  of single poses, in the place of FID
============  =============================================================================================

Beside them what a robot engineer asks. FID, t-FID and FVD themselves are in
:mod:`hmgen_ros.evaluation.image_distances`, for those who have the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmgen_ros.evaluation.inception import Moments, frechet_distance
from hmgen_ros.evaluation.motion_channels import HEAD_CHANNELS, channels, misfit
from hmgen_ros.evaluation.motion_raster import exponential_weights, soft_motion_map
from hmgen_ros.types import TICK_HZ

Floats = NDArray[np.float64]

#: Cells of the soft motion maps, and cells to the size of a face.
_CELLS, _FACE = 56, 10.0
#: Main components that maps and poses are compared in.
_MAP_COMPONENTS, _POSE_COMPONENTS = 48, 48
#: What counts as no power, in units of the channels squared, so that still heads have a spectrum.
_NO_POWER = 1e-8


def frechet(one: Floats, other: Floats) -> float:
    """Fréchet distance of two sets of features, ``[R, D]`` and ``[R', D]``."""
    return frechet_distance(_moments(one), _moments(other))


@dataclass(frozen=True)
class Components:
    """Main components of real features, in which Fréchet distances are taken.

    Attributes:
        mean: ``[D]``.
        axes: ``[D, K]``.
    """

    mean: Tensor
    axes: Tensor

    @classmethod
    def fit(cls, rows: Tensor, count: int) -> Components:
        """Learn at most ``count`` components of ``[R, D]``."""
        mean = rows.mean(0)
        centred = (rows - mean).double()
        # By way of the smaller of the two matrices of products.
        if len(rows) < rows.shape[1]:
            values, vectors = torch.linalg.eigh(centred @ centred.T)
            vectors = centred.T @ (vectors / values.clamp(min=1e-12).sqrt())
        else:
            vectors = torch.linalg.eigh(centred.T @ centred)[1]
        return cls(mean, vectors[:, -count:].to(rows.dtype))

    def __call__(self, rows: Tensor) -> Floats:
        """``[R, K]``."""
        return np.asarray(((rows - self.mean) @ self.axes).double().numpy())


def map_rows(windows: Tensor) -> Tensor:
    """``[W, 3 56 56]`` soft motion maps of windows."""
    weights = exponential_weights(windows.shape[1])
    return torch.cat(
        [soft_motion_map(part, weights, _CELLS, _FACE).flatten(1) for part in windows.split(128)]
    )


def pose_rows(windows: Tensor) -> Tensor:
    """``[W T, 136]`` all poses of windows."""
    return windows.flatten(2).flatten(0, 1)


def map_components(windows: Tensor) -> Components:
    """Components of motion maps, fitted on real windows."""
    return Components.fit(map_rows(windows), _MAP_COMPONENTS)


def pose_components(windows: Tensor) -> Components:
    """Components of poses, fitted on real windows."""
    return Components.fit(pose_rows(windows), _POSE_COMPONENTS)


@dataclass(frozen=True)
class Dynamics:
    """How the head channels of some windows move.

    Attributes:
        changes: velocity, acceleration and jerk: sorted absolute values ``[M, 5]`` each.
        power: ``[F, 5]`` mean power spectrum.
    """

    changes: tuple[Floats, Floats, Floats]
    power: Floats

    @classmethod
    def of(cls, windows: Tensor) -> Dynamics:
        """Measure windows of at least four ticks."""
        seen = channels(windows)[..., : len(HEAD_CHANNELS)].double().numpy()  # [W, T, 5]
        seen[..., :3] = np.unwrap(seen[..., :3], axis=1)
        found = []
        for order in (1, 2, 3):
            change = np.abs(np.diff(seen, n=order, axis=1)) * TICK_HZ**order
            found.append(np.sort(change.reshape(-1, change.shape[-1]), axis=0))
        taper = np.hanning(seen.shape[1] + 2)[1:-1, None]
        spectrum = np.fft.rfft((seen - seen.mean(axis=1, keepdims=True)) * taper, axis=1)
        return cls((found[0], found[1], found[2]), (np.abs(spectrum) ** 2).mean(axis=0)[1:])


def compare_dynamics(real: Dynamics, generated: Dynamics) -> dict[str, float]:
    """How differently generated heads move.

    Returns:
        ``velocity``, ``acceleration`` and ``jerk``: Wasserstein distances of the head channels' absolute
        values, in units of the real mean; ``spectrum``: mean absolute difference of the power spectra, dB.
    """
    names = ("velocity", "acceleration", "jerk")
    found = {}
    for name, one, other in zip(names, real.changes, generated.changes, strict=True):
        apart = np.abs(_quantiles(one) - _quantiles(other)).mean(axis=0)
        found[name] = float((apart / one.mean(axis=0).clip(min=1e-9)).mean())
    decibel = [10.0 * np.log10(d.power + _NO_POWER) for d in (real, generated)]
    return {**found, "spectrum": float(np.abs(decibel[0] - decibel[1]).mean())}


def distance(poses: Tensor, others: Tensor) -> Tensor:
    """``[...]`` root mean square distance of landmarks, ``[..., 68, 2]`` each."""
    squared: Tensor = (poses - others).square().sum(-1).mean(-1)
    return squared.sqrt()


def diversity(samples: Tensor) -> float:
    """Root mean square distance between samples: ``[S, W, 68, 2]`` poses, ``S`` at least 2."""
    count = len(samples)
    pairs = [distance(samples[i], samples[j]).square().mean() for i in range(count) for j in range(i)]
    return float(torch.stack(pairs).mean().sqrt())


def face_error(windows: Tensor) -> float:
    """How much the rigid part of faces is deformed, in distances of the outer eye corners.

    Root mean square change, since the first pose, of what a rigid head model leaves over.
    """
    left = misfit(windows)
    return float((left - left[:, :1]).square().sum(-1).mean().sqrt())


def _quantiles(values: Floats) -> Floats:
    """``[200, C]`` of sorted ``[M, C]``; each stands for an equal part."""
    places = (np.arange(200) + 0.5) / 200 * (len(values) - 1)
    low = np.floor(places).astype(np.int64)
    part = (places - low)[:, None]
    result: Floats = values[low] * (1.0 - part) + values[np.minimum(low + 1, len(values) - 1)] * part
    return result


def _moments(rows: Floats) -> Moments:
    return Moments(np.array(float(len(rows))), rows.sum(axis=0), rows.T @ rows)
