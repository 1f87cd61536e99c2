"""Keeps generated poses within what faces of the training set did: place, size and deformation.

A generator that runs for hours accumulates errors. Each pose is split into its place, its size and its
shape; the difference of the shape to the one the head started with is measured in the main directions in
which training shapes differed from their own first pose, in units of how far they did along each. What
exceeds the limits is drawn back onto them, and counted. The limits are the extremes of training poses, a
little widened: real motion does not meet them. A pose within them comes back as it is. A head that was *seen*
outside of them may be there: its limits reach as far as where it was, so that nothing jumps, and no further.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hmgen_ros.types import NUM_LANDMARKS

_POSE = 2 * NUM_LANDMARKS
#: Training poses that lie within each limit, before it is widened by this factor.
_WITHIN, _WIDER = 0.999, 1.2
#: What no limit is stricter than, in sizes of the face: less than landmarks tremble by.
_TREMOR = 2e-3
#: A head that was on its limits is still there after rounding.
_ROUNDING = 1e-4
#: Numbers of a shape, and of a place.
_SHAPE_PLACE = [_POSE, 2]


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
        deformed: largest norm of the deformation along them, in their standard deviations.
        rest: largest norm of what the directions leave over.
        reach: largest distance of the centroid from the origin.
        shrink, grow: smallest and largest size.
        corrected: poses drawn back since the last look, int64.
    """

    directions: Tensor
    spread: Tensor
    deformed: Tensor
    rest: Tensor
    reach: Tensor
    shrink: Tensor
    grow: Tensor
    corrected: Tensor
    _into: Tensor
    _shares: Tensor
    _most: Tensor

    def __init__(self, directions: int = 24) -> None:
        """Without limits, to be filled by :meth:`fit` or from weights.

        Args:
            directions: ``K``, 1 to 136.
        """
        super().__init__()
        if not 1 <= directions <= _POSE:
            raise ValueError(f"directions must lie between 1 and {_POSE}, got {directions}")
        self.register_buffer("directions", torch.eye(_POSE)[:, :directions].clone())
        self.register_buffer("spread", torch.ones(directions))
        for name in ("deformed", "rest", "reach", "grow"):
            self.register_buffer(name, torch.full((), torch.inf))
        self.register_buffer("shrink", torch.zeros(()))
        self.register_buffer("corrected", torch.zeros((), dtype=torch.int64), persistent=False)
        # The limits in a form that is quickly looked at.
        for name, size in (("_into", (_POSE, _POSE + 2)), ("_shares", (_POSE, 2)), ("_most", (5,))):
            self.register_buffer(name, torch.empty(size), persistent=False)
        self._lay_out()

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
        self.spread.copy_(values[-count:].clamp(min=_TREMOR**2).sqrt())
        along = change @ self.directions
        beside = change - along @ self.directions.T
        # All of these have long tails: their own extremes, a little widened.
        for limit, found in (
            (self.deformed, (along / self.spread).norm(dim=-1)),
            (self.rest, beside.norm(dim=-1)),
            (self.reach, place.norm(dim=-1)),
            (self.grow, size),
        ):
            limit.copy_(_WIDER * torch.quantile(found, _WITHIN) + _TREMOR)
        self.shrink.copy_(torch.quantile(size, 1.0 - _WITHIN) / _WIDER)
        self._lay_out()

    def forward(self, poses: Tensor, first: Tensor, before: Tensor) -> Tensor:
        """Draw poses back into the limits.

        Args:
            poses: ``[N, 136]``, or ``[T, N, 136]`` of several ticks.
            first: ``[N, 136]`` the pose each head's frame was made from.
            before: ``[N, 136]`` where each head was before them.
        """
        # A GPU would have to be waited for to leave early.
        if poses.device.type == "cpu" and self._within(poses, first):
            return poses
        ticks = poses if poses.dim() > first.dim() else poses.unsqueeze(0)
        change, parts = self._change(torch.cat([ticks, first.unsqueeze(0)]))
        excess = self._excess(change, parts)
        already = self._excess(*self._change(torch.stack([before, first])))
        ratio = excess / already.clamp(min=1.0)
        wrong = ratio.amax(-1, keepdim=True) > 1.0 + _ROUNDING
        self.corrected += wrong.sum()
        over, beyond, away, large, small = ratio.clamp(min=1.0).unsqueeze(-1).unbind(-2)
        along = change @ self.directions @ self.directions.T
        kept = parts.shape[-1] + along / over + (change - along) / beyond
        kept = (kept * (parts.size[:-1] / large * small)).unflatten(-1, (-1, 2))
        drawn = (kept + (parts.place[:-1] / away).unsqueeze(-2)).flatten(-2)
        return torch.where(wrong, drawn, ticks).reshape(poses.shape)

    @torch.no_grad()
    def _lay_out(self) -> None:
        """From a pose to its shape, times its size, along an orthonormal basis, and to its place.

        The directions are the first of the basis; squares along it add up to those that two limits are about.
        """
        count, every = len(self.spread), torch.eye(_POSE).to(self.directions)
        rest = torch.linalg.qr(torch.cat([self.directions, every], dim=1)).Q[:, count:]
        basis = torch.cat([self.directions, rest], dim=1)
        place = every[:2, :2].repeat(NUM_LANDMARKS, 1) / NUM_LANDMARKS
        self._into.copy_(torch.cat([basis - NUM_LANDMARKS * place @ (place.T @ basis), place], dim=1))
        self._shares.zero_()
        self._shares[:count, 0] = NUM_LANDMARKS / self.spread.square()
        self._shares[count:, 1] = NUM_LANDMARKS
        size = torch.stack([self.grow, -self.shrink]) * NUM_LANDMARKS**0.5
        squares = torch.stack([self.deformed, self.rest]).square()
        self._most.copy_(torch.cat([squares, size, self.reach.unsqueeze(0)]))

    def _load_from_state_dict(self, *given: Any) -> None:
        super()._load_from_state_dict(*given)
        self._lay_out()

    def _within(self, poses: Tensor, first: Tensor) -> bool:
        """Whether all of ``[..., N, 136]`` poses lie within the limits."""
        into, norm = self._into, torch.linalg.vector_norm
        shape, place = torch.split_with_sizes(poses @ into, _SHAPE_PLACE, dim=-1)
        begun = first @ into[:, :_POSE]
        size = norm(shape, dim=-1, keepdim=True)
        change = shape / size - begun / norm(begun, dim=-1, keepdim=True)
        squares, away = change.square() @ self._shares, norm(place, dim=-1, keepdim=True)
        return bool((torch.cat([squares, size, -size, away], dim=-1) <= self._most).all())

    def _change(self, rows: Tensor) -> tuple[Tensor, _Parts]:
        """``[T, N, 136]`` deformations from the last of ``[T + 1, N, 136]`` poses, and all their parts."""
        parts = _parts(rows)
        return parts.shape[:-1] - parts.shape[-1], parts

    def _excess(self, change: Tensor, parts: _Parts) -> Tensor:
        """``[T, N, 5]`` how far each limit is used; 1 is on it."""
        along = change @ self.directions
        beside = change - along @ self.directions.T
        size = parts.size[:-1, :, 0]
        norm = torch.linalg.vector_norm
        found = [
            norm(along / self.spread, dim=-1),
            norm(beside, dim=-1),
            norm(parts.place[:-1], dim=-1),
            size,
            size.reciprocal(),
        ]
        limits = [self.deformed, self.rest, self.reach, self.grow, self.shrink.reciprocal()]
        return torch.stack(found, dim=-1) / torch.stack(limits)


def _parts(poses: Tensor) -> _Parts:
    points = poses.reshape(*poses.shape[:-1], NUM_LANDMARKS, 2)
    place = points.mean(dim=-2)
    away = (points - place.unsqueeze(-2)).flatten(-2)
    # As in a head frame: the root mean square distance of the landmarks.
    size = torch.linalg.vector_norm(away, dim=-1, keepdim=True) / NUM_LANDMARKS**0.5
    size = size.clamp(min=1e-6)
    return _Parts(place, size, away / size)
