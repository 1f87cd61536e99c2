"""What syncers are trained by: windows of a face are told from those that belong to other sounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.syncer import LEVELS, Embedded

#: Windows of the same sequence that lie closer share most of what they show with the right one.
_NEAR = 2
#: Cosines are multiplied by this at first, and by this at most.
_SCALE, _MOST = 10.0, 50.0
#: Of the triplet loss, in distances of unit vectors, and wrong windows that it looks at for each right one.
_MARGIN, _WRONG = 0.5, 8


class CosineScale(nn.Module):
    """What the cosines of each level are multiplied by."""

    def __init__(self) -> None:
        super().__init__()
        self.logs = nn.Parameter(torch.full((LEVELS,), math.log(_SCALE)))

    def forward(self) -> Tensor:
        """``[levels]``."""
        return self.logs.exp().clamp(max=_MOST)


def info_nce(embedded: Embedded, anchors: int, negatives: int, scale: Tensor) -> Tensor:
    """InfoNCE (5.2, with its logarithm) of a level.

    Half of the wrong windows come from the same sequence, for these share the face; drawn by PyTorch's own
    generator.

    Args:
        embedded: ``[B, n, E]`` unit vectors.
        anchors: windows of sound that are asked about, at most.
        negatives: wrong windows of faces for each, at most.
        scale: what cosines are multiplied by; the thesis has 1, which leaves the softmax nearly flat.
    """
    right, wrong = scores(embedded, anchors, negatives)
    logits = scale * torch.cat([right.unsqueeze(1), wrong], dim=1)
    return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


def triplet(embedded: Embedded, anchors: int) -> Tensor:
    """Triplet loss of a level: right windows lie nearer than wrong ones by a margin."""
    right, wrong = (_distance(cosine) for cosine in scores(embedded, anchors, _WRONG))
    return (right.unsqueeze(1) - wrong + _MARGIN).clamp(min=0.0).mean()


def scores(embedded: Embedded, anchors: int, negatives: int) -> tuple[Tensor, Tensor]:
    """Cosines of some windows of sound with the right window of a face, and with wrong ones.

    Returns:
        ``[A]`` and ``[A, N]``.
    """
    batch, windows = embedded.face.shape[:2]
    faces, sounds = (part.flatten(0, 1) for part in embedded)
    device = faces.device
    rows = torch.randperm(batch * windows, device=device)[:anchors]
    cosines = sounds[rows] @ faces.T  # [A, B n]
    every = torch.arange(batch * windows, device=device)
    same = every // windows == (rows // windows).unsqueeze(1)
    far = (every - rows.unsqueeze(1)).abs() >= _NEAR
    inside, outside = same & far, ~same
    odds = inside / inside.sum(1, keepdim=True).clamp(min=1) + outside / outside.sum(1, keepdim=True).clamp(
        min=1
    )
    count = min(negatives, int((inside | outside).sum(1).min()))
    wrong = torch.multinomial(odds, count)
    return cosines.gather(1, rows.unsqueeze(1)).squeeze(1), cosines.gather(1, wrong)


def _distance(cosine: Tensor) -> Tensor:
    """Of unit vectors; the gradient of a root at 0 is no number."""
    return (2.0 - 2.0 * cosine).clamp(min=1e-6).sqrt()
