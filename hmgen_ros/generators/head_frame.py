"""The frame in which generators of head motion work: a fixed origin and unit, taken from one reference pose.

Origin is the centroid of the reference pose's landmarks, the unit their root mean square distance from it
(the centroid size of shape analysis). Unlike the distance of the eyes it hardly changes as the head turns,
so a face in profile is no special case. The frame stays where it is, and what moves in it is the head:
translation and approach are kept (the thesis' CONFER and VoxCeleb2 (II) preprocessing). :func:`centred`
takes translation out of every single pose instead (VoxCeleb2 (I)), where only turning and expressions are
to be learned.

Both ways are exact: :func:`from_frame` undoes :func:`to_frame`, and adding its offsets undoes
:func:`centred`, up to rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hmgen_ros.types import NUM_LANDMARKS

#: Largest coordinate: squares of larger ones come near the limit of float32.
_FARTHEST = 1e9
#: Smallest extent across the longest axis of a face, as a part of its extent along it. Below, the points
#: have collapsed onto a line.
_MIN_BREADTH = 0.05

#: iBUG-68: which landmark a mirrored face shows in each place.
MIRRORED = torch.tensor(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *range(67, 64, -1),
    ]
)


class HeadFrame(NamedTuple):
    """Origin ``[..., 2]`` and unit ``[...]`` of a frame, in the unit of the landmarks it was made from."""

    origin: Tensor
    size: Tensor


def head_frame(pose: Tensor) -> HeadFrame:
    """The frame of a reference pose.

    Args:
        pose: ``[..., 68, 2]``, usable (see :func:`usable`); others give frames of no use, not errors.
    """
    origin = pose.mean(dim=-2)
    distance = (pose - origin.unsqueeze(-2)).square().sum(dim=-1)
    return HeadFrame(origin, distance.mean(dim=-1).sqrt())


def usable(pose: Tensor) -> Tensor:
    """``[...]`` bool: whether ``[..., 68, 2]`` is a face to start from.

    False where a coordinate is not finite or above 1e9, or where the points have collapsed into one or onto
    a line.
    """
    finite = (pose.abs() <= _FARTHEST).all(dim=-1).all(dim=-1)  # NaN is not
    points = torch.where(finite[..., None, None], pose, 0.0).double()
    points = points - points.mean(dim=-2, keepdim=True)
    x, y = points.unbind(dim=-1)
    # Eigenvalues of the covariance matrix: the squared extents along and across the longest axis.
    xx, yy, xy = (x * x).mean(-1), (y * y).mean(-1), (x * y).mean(-1)
    middle, radius = (xx + yy) / 2, (((xx - yy) / 2).square() + xy.square()).sqrt()
    along, across = middle + radius, middle - radius
    return finite & (along > 0.0) & (across >= _MIN_BREADTH**2 * along)


def to_frame(landmarks: Tensor, frame: HeadFrame) -> Tensor:
    """``[..., 68, 2]`` landmarks in a frame; leading dimensions broadcast."""
    return (landmarks - frame.origin.unsqueeze(-2)) / frame.size[..., None, None]


def from_frame(landmarks: Tensor, frame: HeadFrame) -> Tensor:
    """``[..., 68, 2]`` landmarks back in the unit that the frame was made in."""
    return landmarks * frame.size[..., None, None] + frame.origin.unsqueeze(-2)


def centred(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Poses without translation.

    Returns:
        ``[..., 68, 2]`` landmarks with their centroid in the origin, and the ``[..., 1, 2]`` centroids.
    """
    offsets = landmarks.mean(dim=-2, keepdim=True)
    return landmarks - offsets, offsets


def mirrored(landmarks: Tensor) -> Tensor:
    """``[..., 68, 2]`` in a head frame, seen in a mirror: left and right exchanged."""
    if landmarks.shape[-2:] != (NUM_LANDMARKS, 2):
        raise ValueError(f"landmarks must be [..., {NUM_LANDMARKS}, 2], not {list(landmarks.shape)}")
    swapped = landmarks.index_select(-2, MIRRORED.to(landmarks.device))
    return swapped * swapped.new_tensor([-1.0, 1.0])
