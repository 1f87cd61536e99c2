"""How well faces and voices are in time with each other (thesis, 5.4: AV-Off and AV-Conf).

At each level of a syncer's pyramid the sound is held against the face some samples earlier and later; where
they fit best is the offset (5.15, 5.16), and how much better than usual is the confidence (5.17). A sample of
level ``i`` is ``40 * 2**(i - 1)`` ms.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hmgen_ros.generators.syncer import Embedded

#: ``V_shift`` of the thesis: samples to either side.
MAX_SHIFT = 15


class Synchrony(NamedTuple):
    """Of each sequence.

    Attributes:
        offset: ``[B]`` samples by which the face comes after its sound, where they fit best; int64.
        confidence: ``[B]`` median less smallest distance.
    """

    offset: Tensor
    confidence: Tensor


def shifted_distances(embedded: Embedded, max_shift: int = MAX_SHIFT) -> tuple[Tensor, Tensor]:
    """Mean distances of sound and shifted face.

    Sequences are short at the coarse levels: a shift counts where at least half of the windows are left to
    be compared.

    Args:
        embedded: ``[B, n, E]`` of one level.
        max_shift: samples to either side, at most.

    Returns:
        ``[S]`` shifts in samples, positive where the face is taken from later, and ``[B, S]`` distances,
        0 to 2.
    """
    windows = embedded.face.shape[1]
    most = min(max_shift, windows // 2)
    shifts = torch.arange(-most, most + 1)
    found = []
    for shift in shifts.tolist():
        face = embedded.face[:, max(0, shift) : windows + min(0, shift)]
        sound = embedded.sound[:, max(0, -shift) : windows + min(0, -shift)]
        found.append((face - sound).norm(dim=-1).mean(1))
    return shifts, torch.stack(found, dim=1)


def synchrony(embedded: Embedded, max_shift: int = MAX_SHIFT) -> Synchrony:
    """Offset and confidence of ``B`` sequences at one level (5.15 to 5.17)."""
    shifts, distances = shifted_distances(embedded, max_shift)
    smallest, place = distances.min(dim=1)
    return Synchrony(shifts.to(place.device)[place], distances.median(dim=1).values - smallest)
