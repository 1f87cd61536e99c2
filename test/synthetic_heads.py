"""Heads that move smoothly, for tests of generators of head motion."""

import math

import torch
from torch import Tensor

from hmgen_ros.generators.head_frame import head_frame, to_frame


def moving_heads(heads: int, ticks: int, seed: int = 0) -> Tensor:
    """``[R, T, 68, 2]`` pixels: faces that nod and sway, each at its own pace."""
    rng = torch.Generator().manual_seed(seed)
    face = 80.0 * torch.randn((1, 1, 68, 2), generator=rng)  # of one person, or nothing is to be learned
    tick = torch.arange(ticks)[None, :, None]
    pace, phase = (torch.rand((2, heads, 1, 2), generator=rng) * torch.tensor([0.2, 6.0])).split(1, dim=-1)
    phases = 0.1 * tick + pace * tick + phase  # [2, R, T, 1]
    sway, nod = 20.0 * phases[0].sin(), 0.1 * phases[1].cos()
    lift = torch.stack([torch.ones_like(nod), 1.0 + nod], dim=-1)
    return 300.0 + face * lift + torch.stack([sway, torch.zeros_like(sway)], dim=-1)


def framed(landmarks: Tensor) -> Tensor:
    """``[R, T, 136]`` in the frames of their first poses."""
    return to_frame(landmarks, head_frame(landmarks[:, :1])).flatten(-2)


def far_from(one: Tensor, other: Tensor) -> float:
    """Largest distance of a coordinate, in pixels; infinite where one is NaN and the other is not."""
    if not torch.equal(one.isnan(), other.isnan()):
        return math.inf
    return float((one - other).nan_to_num().abs().max())
