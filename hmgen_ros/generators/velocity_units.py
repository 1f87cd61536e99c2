"""Directions and units of velocities, measured on training tracks, and a linear prediction to start from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Directions in which hardly anything moves are measured in this part of the largest unit, or rounding would
#: be taken for motion.
_FLAT = 2e-3
#: The smoothing of tracks, weights 1, 2, 1, takes away what is at 12.5 Hz, so that it cannot be undone as a
#: whole: undone is a filter of weights 1, 2 k, k² with this k.
UNDONE = 0.6
#: Ticks after which it does not matter any more that the first rough velocities are a guess.
_GUESSED = 16


class VelocityUnits(NamedTuple):
    """What is measured.

    Attributes:
        mean: ``[136]`` mean pose, in head frames.
        into: ``[136, 136 + K]`` to directions: of velocities, orthogonal, each over its standard deviation;
            then the main ones of poses over theirs.
        back: ``[136, 136]`` from velocities along their directions to those of the landmarks.
        nearer: ``[136]`` one over how far heads go along the directions of velocities.
        linear: ``[136, 408]`` velocity from the last two and from how far the head is from home, the latter
            times ``nearer``.
        rest: ``[136]`` standard deviation of what this leaves over. Both are of rough velocities where
            tracks were smoothed.
    """

    mean: Tensor
    into: Tensor
    back: Tensor
    nearer: Tensor
    linear: Tensor
    rest: Tensor


@torch.no_grad()
def velocity_units(
    poses: Tensor, reference: Tensor, directions: int, smoothed: bool = False
) -> VelocityUnits:
    """Measure them.

    Args:
        poses: ``[R, T, 136]`` training tracks in head frames, ``T`` at least 4.
        reference: ``[R, 136]`` the poses that the frames were made from.
        directions: ``K``, how many main ones of poses.
        smoothed: the tracks have been, and it is the rough velocities before that are predicted.
    """
    flat = poses.flatten(0, 1)
    mean = flat.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((flat - mean).double().T))
    spread = values[-directions:].clamp(min=float(values[-1]) * _FLAT**2).sqrt()
    velocity = poses.diff(dim=1)
    axes = torch.linalg.eigh(torch.cov(velocity.diff(dim=1).flatten(0, 1).double().T))[1].float()
    unit = (velocity.flatten(0, 1) @ axes).square().mean(0).sqrt()
    unit = unit.clamp(min=_FLAT * float(unit.max()))
    into = torch.cat([axes / unit, (vectors[:, -directions:] / spread).float()], dim=1)
    along = velocity @ axes / unit
    away = ((poses - reference.unsqueeze(1)) @ axes / unit)[:, :-1]
    nearer = away[:, 2:].flatten(0, 1).square().mean(0).clamp(min=1.0).rsqrt()
    if smoothed:
        along = _rough(along)
    begin = max(2, min(_GUESSED, along.shape[1] // 2)) if smoothed else 2
    linear, rest = _linear(along, away * nearer, begin)
    return VelocityUnits(mean, into, (axes * unit).T, nearer, linear, rest)


def _rough(along: Tensor) -> Tensor:
    """``[R, T, 136]`` velocities before they were smoothed with weights 1, 2, 1, as near as can be told."""
    rough = before = along[:, 0]
    found = []
    for velocity in along.unbind(1):
        rough, before = (1.0 + UNDONE) ** 2 * velocity - 2.0 * UNDONE * rough - UNDONE**2 * before, rough
        found.append(rough)
    return torch.stack(found, dim=1)


def _linear(along: Tensor, away: Tensor, begin: int) -> tuple[Tensor, Tensor]:
    """``[136, 408]`` and ``[136]``: velocities predicted from tick ``begin`` on, and what is left over."""
    known = torch.cat([along[:, begin - 1 : -1], along[:, begin - 2 : -2], away[:, begin:]], dim=-1)
    # Quiet heads count as much as lively ones.
    weight = along.square().mean(dim=(1, 2), keepdim=True).clamp(min=1e-6).rsqrt()
    rows, now = ((part * weight).flatten(0, 1).double() for part in (known, along[:, begin:]))
    # A trace of ridge: some directions hardly ever move.
    ridge = 1e-2 * len(rows) * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
    solved = torch.linalg.solve(rows.T @ rows + ridge, rows.T @ now)
    return solved.T, (now - rows @ solved).square().mean(0).sqrt()
