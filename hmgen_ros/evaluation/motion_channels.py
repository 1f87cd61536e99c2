"""What a head and a face do, read off landmarks on whole arrays: turning, moving, lips, eyes, brows.

The orientation is the scaled rotation of :data:`hmgen_ros.perception.head_pose.HEAD_MODEL` that lies nearest
to the landmarks that speech and expressions do not move, under scaled orthography. This start of the
perception's own solver is exact for a head far from the camera, needs neither a camera nor an iteration, and
takes a microsecond a pose, so that a million generated poses can be compared with real ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmgen_ros.perception.head_pose import HEAD_MODEL, RIGID_POINTS

#: What :func:`channels` measures, in this order. Angles in radians (conventions:
#: :class:`hmgen_ros.types.HeadPose`), places in the unit of the landmarks, the scale as its logarithm, and
#: what the face does in distances of the outer eye corners.
CHANNELS = ("yaw", "pitch", "roll", "x", "y", "scale", "mouth_open", "mouth_width", "eyes_open", "brows_up")
#: Those of the head as a whole that a robot can follow.
HEAD_CHANNELS = CHANNELS[:5]

#: iBUG-68 pairs of landmarks whose distance is an opening.
_INNER_LIPS = ((61, 67), (62, 66), (63, 65))
_MOUTH_CORNERS = ((48, 54),)
_EYELIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
#: Brows above the inner and outer corners of the eyes.
_BROWS = ((19, 36), (21, 39), (22, 42), (24, 45))
#: A face seen as a line is taken for one this part (squared) as broad, so that all numbers stay finite; a
#: face that has collapsed into a point for one of the root of this size.
_FLAT, _POINT = 1e-8, 1e-12


class HeadFit(NamedTuple):
    """Scaled rotations of the head model that lie nearest to some poses.

    Attributes:
        rotation: ``[..., 2, 3]`` first two rows of the rotation from the model to the image (x right, y
            down).
        scale: ``[...]`` distance of the outer eye corners of a head that faces the camera, in the unit of the
            landmarks.
        place: ``[..., 2]`` centroid of the rigid landmarks.
    """

    rotation: Tensor
    scale: Tensor
    place: Tensor


def fit_head(landmarks: Tensor) -> HeadFit:
    """Fit the head model to ``[..., 68, 2]`` finite landmarks.

    What is fitted is a free linear map first; its polar part is the nearest scaled rotation.
    """
    points = landmarks[..., list(RIGID_POINTS), :]
    place = points.mean(dim=-2)
    inverse = torch.from_numpy(np.linalg.pinv(HEAD_MODEL - HEAD_MODEL.mean(0))).to(points)  # [3, 11]
    rows = (inverse @ (points - place.unsqueeze(-2))).transpose(-1, -2)  # [..., 2, 3]
    # M (Mᵀ M)^-½ without a decomposition: the root of a symmetric 2 × 2 matrix is known in closed form.
    xx, yy = rows.square().sum(-1).unbind(-1)
    xy = (rows[..., 0, :] * rows[..., 1, :]).sum(-1)
    floor = _FLAT * (xx + yy) + _POINT
    root = (xx * yy - xy.square()).clamp(min=0.0).sqrt() + floor
    trace = (xx + yy + 2.0 * root).sqrt()
    inverse_root = (
        torch.stack([torch.stack([yy + root, -xy], -1), torch.stack([-xy, xx + root], -1)], -2)
        / (root * trace)[..., None, None]
    )
    return HeadFit(inverse_root @ rows, trace / 2.0, place)


def angles_of(rotation: Tensor) -> Tensor:
    """``[..., 3]`` yaw, pitch and roll of :attr:`HeadFit.rotation`, radians."""
    x, y = rotation.unbind(dim=-2)
    depth = x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]
    yaw = torch.atan2(-x[..., 2], depth)
    pitch = -torch.asin(y[..., 2].clamp(-1.0, 1.0))
    roll = torch.atan2(-y[..., 0], y[..., 1])
    return torch.stack([yaw, pitch, roll], dim=-1)


def head_angles(landmarks: Tensor) -> Tensor:
    """``[..., 3]`` yaw, pitch and roll of ``[..., 68, 2]``, radians; as if seen from far away."""
    return angles_of(fit_head(landmarks).rotation)


def channels(landmarks: Tensor) -> Tensor:
    """``[..., 10]`` of ``[..., 68, 2]`` landmarks: see :data:`CHANNELS`."""
    fit = fit_head(landmarks)
    openings = [_distance(landmarks, pairs) / fit.scale for pairs in (_INNER_LIPS, _MOUTH_CORNERS, _EYELIDS)]
    brows = _distance(landmarks, _BROWS) / fit.scale
    head = [*angles_of(fit.rotation).unbind(-1), *fit.place.unbind(-1), fit.scale.log()]
    return torch.stack([*head, *openings, brows], dim=-1)


def misfit(landmarks: Tensor) -> Tensor:
    """Where the rigid landmarks lie beside those of the fitted head.

    Returns:
        ``[..., 11, 2]`` in distances of the outer eye corners and in the axes of an upright head, so that a
        rigid face keeps it however it moves (but for perspective and for what the model's depth lacks).
    """
    fit = fit_head(landmarks)
    model = torch.from_numpy(HEAD_MODEL - HEAD_MODEL.mean(0)).to(landmarks)  # [11, 3]
    fitted = fit.scale[..., None, None] * (model @ fit.rotation.transpose(-1, -2))
    points = landmarks[..., list(RIGID_POINTS), :] - fit.place.unsqueeze(-2)
    beside: Tensor = (points - fitted) / fit.scale[..., None, None]
    roll = angles_of(fit.rotation)[..., 2]
    cos, sin = roll.cos(), roll.sin()
    upright = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    return beside @ upright.transpose(-1, -2)


def _distance(landmarks: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    """``[...]`` mean distance of pairs of landmarks."""
    one, other = zip(*pairs, strict=True)
    apart = landmarks[..., list(one), :] - landmarks[..., list(other), :]
    distance: Tensor = torch.linalg.vector_norm(apart, dim=-1).mean(dim=-1)
    return distance
