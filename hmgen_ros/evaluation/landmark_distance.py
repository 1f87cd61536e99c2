"""Landmark distances: how far a generated mouth is from the one that was seen (thesis 5.4.4).

``lmd`` is the distance of L. Chen et al. (Lip Movements Generation at a Glance, ECCV 2018): in every frame
the means of the twenty mouth landmarks of both faces are laid upon each other, and the Euclidean distances
of corresponding landmarks are averaged over landmarks and frames. There it is in pixels. Here each sequence
is divided by its own median face size (see :mod:`hmgen_ros.generators.head_frame`), so that pictures of
different sizes and crops can be compared; a mouth is some 0.8 face sizes wide.

``lmd_front`` compares the mouths of heads that face the camera, without what merely follows from how heads
are turned. A head model is fitted to the eye corners and the nose of each frame
(:func:`hmgen_ros.evaluation.motion_channels.fit_head`, scaled orthography); with its rotation undone, each
mouth is laid out in the frontal plane of its head, at the size that the head has on the median over its
sequence. A frame does not say how deep a landmark lies, so a mean mouth's depth is taken:
on held-out tracks of a lively speaker the spread of mouths around their mean falls from 0.027 to 0.016 of the
eyes' distance by this, and to 0.019 where mouths are taken for flat.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hmgen_ros.evaluation.motion_channels import fit_head
from hmgen_ros.generators.head_frame import head_frame
from hmgen_ros.types import NUM_LANDMARKS

#: iBUG-68: outer and inner lips.
_MOUTH = slice(48, 68)
#: Depth of the mouth's landmarks behind their mean, in distances of the outer eye corners: what made mouths
#: of one speaker (the training part of the Obama tracks, 20 minutes) most alike while he turned; symmetric.
# fmt: off
_DEPTH = (
    0.17, 0.01, -0.10, -0.12, -0.10, 0.01, 0.17, 0.06, -0.02, -0.04, -0.02, 0.06,
    0.15, -0.07, -0.09, -0.07, 0.15, -0.05, -0.07, -0.05,
)
# fmt: on
#: Cosine of the largest angle between a head's front and the camera: beyond 60 degrees half of the mouth
#: is out of sight, and a little noise in the picture is much in the frontal plane.
_MOST_TURNED = 0.5


def lmd(generated: Tensor, true: Tensor) -> Tensor:
    """Mean distance of mouth landmarks after their means were laid upon each other.

    Args:
        generated: ``[..., T, 68, 2]`` in any unit.
        true: likewise, of the same frames; the unit may be another one.

    Returns:
        ``[...]`` in face sizes, each sequence's own.

    Raises:
        ValueError: shapes differ or are others, a coordinate is not finite, or a face has no extent.
    """
    _check(generated, true)
    mouths = [_centred_mouth(faces) / _face_size(faces)[..., None, None, None] for faces in (generated, true)]
    distance: Tensor = torch.linalg.vector_norm(mouths[0] - mouths[1], dim=-1).mean(dim=(-2, -1))
    return distance


def lmd_front(generated: Tensor, true: Tensor) -> Tensor:
    """The same of the mouths of frontal heads; see the module's text.

    Frames in which either head is turned away by more than 60 degrees are left out.

    Args:
        generated: ``[..., T, 68, 2]``, x to the right and y down, in any unit.
        true: likewise, of the same frames.

    Returns:
        ``[...]`` in face sizes, each sequence's own; NaN where no frame is left.

    Raises:
        ValueError: as :func:`lmd`.
    """
    _check(generated, true)
    (one, one_seen), (other, other_seen) = _frontal_mouth(generated), _frontal_mouth(true)
    seen = one_seen & other_seen
    apart = torch.linalg.vector_norm(one - other, dim=-1).mean(dim=-1)
    return torch.where(seen, apart, 0.0).sum(-1) / seen.sum(-1)


def _frontal_mouth(faces: Tensor) -> tuple[Tensor, Tensor]:
    """Mouths as the camera would see them if heads faced it.

    Returns:
        ``[..., T, 20, 2]`` in face sizes, about their means, and ``[..., T]`` bool: turned far enough
        towards the camera; others are numbers of no use.
    """
    fit = fit_head(faces)
    plane, behind = fit.rotation[..., :2], fit.rotation[..., 2]  # [..., T, 2, 2] and [..., T, 2]
    # The determinant is the cosine of the angle between the head's front and the camera.
    seen = torch.linalg.det(plane) >= _MOST_TURNED
    plane = torch.where(seen[..., None, None], plane, torch.eye(2).to(plane))
    depth = faces.new_tensor(_DEPTH)
    depth = depth - depth.mean()
    flat = _centred_mouth(faces) / fit.scale[..., None, None] - depth[:, None] * behind.unsqueeze(-2)
    front = torch.linalg.solve(plane, flat.transpose(-1, -2)).transpose(-1, -2)
    # From distances of the eye corners to face sizes.
    eyes = fit.scale.median(dim=-1).values / _face_size(faces)
    return front * eyes[..., None, None, None], seen


def _centred_mouth(faces: Tensor) -> Tensor:
    mouth = faces[..., _MOUTH, :]
    return mouth - mouth.mean(dim=-2, keepdim=True)


def _face_size(faces: Tensor) -> Tensor:
    """``[...]`` median over the frames of ``[..., T, 68, 2]``."""
    return head_frame(faces).size.median(dim=-1).values


def _check(generated: Tensor, true: Tensor) -> None:
    for name, faces in (("generated", generated), ("true", true)):
        if faces.ndim < 3 or faces.shape[-2:] != (NUM_LANDMARKS, 2) or not faces.shape[-3]:
            raise ValueError(f"{name} landmarks must be [..., T, 68, 2], got {list(faces.shape)}")
        if not torch.isfinite(faces).all():
            raise ValueError(f"{name} landmarks must be finite; leave out frames without a face")
        if not (_face_size(faces) > 0.0).all():
            raise ValueError(f"{name} landmarks have collapsed into one point in most frames")
    if generated.shape != true.shape:
        raise ValueError(
            f"generated and true landmarks must be of the same frames, got {list(generated.shape)} and "
            f"{list(true.shape)}"
        )
