"""Keeps generated poses within what faces of the training set did: place, size and deformation.

A generator that runs for hours accumulates errors. Each pose is split into its place, its size and its
shape; the difference of the shape to the one the head started with is measured in the main directions in
which training shapes differed from their own first pose. What exceeds the limits is drawn back onto them, and
counted. A pose within the limits comes back as it is. A head that was *seen* outside of them may be there:
its limits reach as far as where it was, so that nothing jumps, and no further.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hmgen_ros.generators.head_frame import head_frame

_POSE = 136
#: A head that was on its limits is still there after rounding.
_ROUNDING = 1e-4


class _Parts(NamedTuple):
    """Centroid ``[..., 2]``, size ``[..., 1]`` and shape ``[..., 136]`` of poses."""

    place: Tensor
    size: Tensor
    shape: Tensor


class PlausibleFace(nn.Module):
    """Limits of poses in head frames.

    Attributes:
        directions: ``[136, K]`` orthonormal main directions of deformation.
        spread: ``[K]`` standard deviation along each.
        rest: standard deviation of what the directions leave over (its norm).
        reach: largest distance of the centroid from the origin.
        shrink, grow: smallest and largest size.
        corrected: poses drawn back since the last look, int64.
    """

    directions: Tensor
    spread: Tensor
    rest: Tensor
    reach: Tensor
    shrink: Tensor
    grow: Tensor
    corrected: Tensor

    def __init__(self, directions: int = 24, deviations: float = 4.0) -> None:
        """Without limits, to be filled by :meth:`fit` or from weights.

        Args:
            directions: ``K``, 1 to 136.
            deviations: standard deviations that the shape may be away.
        """
        super().__init__()
        if not 1 <= directions <= _POSE:
            raise ValueError(f"directions must lie between 1 and {_POSE}, got {directions}")
        if not deviations > 0.0:
            raise ValueError(f"deviations must be above 0, got {deviations}")
        self.deviations = deviations
        self.register_buffer("directions", torch.eye(_POSE)[:, :directions].clone())
        self.register_buffer("spread", torch.full((directions,), torch.inf))
        for name in ("rest", "reach", "grow"):
            self.register_buffer(name, torch.full((), torch.inf))
        self.register_buffer("shrink", torch.zeros(()))
        self.register_buffer("corrected", torch.zeros((), dtype=torch.int64), persistent=False)

    @torch.no_grad()
    def fit(self, poses: Tensor, first: Tensor) -> None:
        """Learn the limits from real poses.

        Args:
            poses: ``[R, 136]`` in the head frames of their tracks' reference poses.
            first: ``[R, 136]`` these reference poses.
        """
        place, size, shape = _parts(poses)
        change = shape - _parts(first).shape
        covariance = change.double().T @ change.double() / len(change)
        values, vectors = torch.linalg.eigh(covariance)
        count = self.directions.shape[1]
        self.directions.copy_(vectors[:, -count:])
        self.spread.copy_(values[-count:].clamp(min=1e-12).sqrt())
        self.rest.copy_(values[:-count].clamp(min=0.0).sum().sqrt() + 1e-3)
        # Sizes and places have long tails and few modes: their own extremes, a little widened.
        self.reach.copy_(1.2 * torch.quantile(place.norm(dim=-1), 0.999))
        self.shrink.copy_(torch.quantile(size, 0.001) / 1.1)
        self.grow.copy_(1.1 * torch.quantile(size, 0.999))

    def forward(self, poses: Tensor, first: Tensor, before: Tensor) -> Tensor:
        """Draw poses back into the limits.

        Args:
            poses: ``[N, 136]``, or ``[T, N, 136]`` of several ticks.
            first: ``[N, 136]`` the pose each head's frame was made from.
            before: ``[N, 136]`` where each head was before them.
        """
        # The pose before and the reference in the same rows: many small operations cost more than large ones.
        ticks = poses if poses.dim() > first.dim() else poses.unsqueeze(0)
        rows = torch.cat([ticks, before.unsqueeze(0), first.unsqueeze(0)])
        place, size, shape = _parts(rows)
        change = shape[:-1] - shape[-1]
        along = change @ self.directions  # [T + 1, N, K]
        beside = change - along @ self.directions.T
        excess = torch.cat(
            [
                (along / (self.deviations * self.spread)).norm(dim=-1, keepdim=True),
                beside.norm(dim=-1, keepdim=True) / (self.deviations * self.rest),
                place[:-1].norm(dim=-1, keepdim=True) / self.reach,
                size[:-1] / self.grow,
                self.shrink / size[:-1],
            ],
            dim=-1,
        )  # 1 is on the limit
        ratio = excess[:-1] / excess[-1].clamp(min=1.0)
        wrong = ratio.amax(-1, keepdim=True) > 1.0 + _ROUNDING
        self.corrected += wrong.sum()
        over, beyond, away, large, small = ratio.clamp(min=1.0).unsqueeze(-1).unbind(-2)
        kept = shape[-1] + (along[:-1] / over) @ self.directions.T + beside[:-1] / beyond
        kept = (kept * (size[:-2] / large * small)).unflatten(-1, (-1, 2))
        drawn = (kept + (place[:-2] / away).unsqueeze(-2)).flatten(-2).reshape(poses.shape)
        return torch.where(wrong.reshape(*poses.shape[:-1], 1), drawn, poses)


def _parts(poses: Tensor) -> _Parts:
    points = poses.unflatten(-1, (-1, 2))
    place, size = head_frame(points)
    size = size.unsqueeze(-1).clamp(min=1e-6)
    return _Parts(place, size, (points - place.unsqueeze(-2)).flatten(-2) / size)
