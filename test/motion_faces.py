"""Rigid faces that turn and move, with a head behind them, for tests of what is read off landmarks."""

import math

import torch
from torch import Tensor

from hmgen_ros.perception.head_pose import HEAD_MODEL, RIGID_POINTS


def turning_faces(
    heads: int, ticks: int, seed: int, angles: tuple[float, float, float] | None = None
) -> Tensor:
    """``[R, T, 68, 2]`` pixels: one rigid head seen from far away.

    Args:
        heads: how many.
        ticks: of each.
        seed: of the motion.
        angles: yaw, pitch and roll, rad, held; without them heads turn and sway, each in its own way.
    """
    rng = torch.Generator().manual_seed(seed)
    model = torch.randn(68, 3, generator=torch.Generator().manual_seed(5)) * 0.4
    model[list(RIGID_POINTS)] = torch.from_numpy(HEAD_MODEL).float()
    tick = torch.arange(ticks)[None, :, None]
    pace = 0.05 + 0.2 * torch.rand(heads, 1, 5, generator=rng)
    phase = 2.0 * math.pi * torch.rand(heads, 1, 5, generator=rng)
    size = torch.tensor([0.3, 0.15, 0.1, 8.0, 5.0]) * (0.3 + torch.rand(heads, 1, 1, generator=rng))
    moved = size * (pace * tick + phase).sin()  # [R, T, 5]
    turned = moved[..., :3] if angles is None else torch.tensor(angles).expand(heads, ticks, 3)
    points = 100.0 * model @ _rotation(turned)[..., :2, :].transpose(-1, -2)
    place = moved[..., 3:] if angles is None else torch.zeros(heads, ticks, 2)
    return 300.0 + points + place.unsqueeze(-2)


def _rotation(angles: Tensor) -> Tensor:
    """``[..., 3, 3]``, angles as :func:`hmgen_ros.evaluation.motion_channels.angles_of` reads them."""
    yaw, pitch, roll = angles.unbind(-1)
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def stacked(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    about_y = stacked((yaw.cos(), zero, -yaw.sin()), (zero, one, zero), (yaw.sin(), zero, yaw.cos()))
    about_x = stacked((one, zero, zero), (zero, pitch.cos(), -pitch.sin()), (zero, pitch.sin(), pitch.cos()))
    about_z = stacked((roll.cos(), roll.sin(), zero), (-roll.sin(), roll.cos(), zero), (zero, zero, one))
    return about_y @ about_x @ about_z
