"""How well faces and voices are in time with each other (thesis, 5.4: AV-Off and AV-Conf).

At each level of a syncer's pyramid the sound is held against the face some samples earlier and later; where
they fit best is the offset (5.15, 5.16), and how much better than usual is the confidence (5.17). A sample of
level ``i`` is ``40 * 2**(i - 1)`` ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmgen_ros.generators.syncer import FACE_WINDOW, LEVELS, Embedded, SyncerPyramid

#: ``V_shift`` of the thesis: samples to either side.
MAX_SHIFT = 15
#: What is told of every level.
_NAMES = ("off", "off_abs", "off_std", "conf", "conf_std", "cosine", "shifts", "windows", "missing")
#: Sequences that are embedded at once.
_BATCH = 64


class Synchrony(NamedTuple):
    """Of each sequence.

    Attributes:
        offset: ``[B]`` samples by which the face comes after its sound, where they fit best; int64.
        confidence: ``[B]`` median less smallest distance.
    """

    offset: Tensor
    confidence: Tensor


class LevelSynchrony(NamedTuple):
    """Everything about ``B`` sequences at one level.

    Attributes:
        windows: of each sequence.
        cosine: ``[B]`` mean cosine of faces and their own sounds, (5.4) without its sign.
        shifts: ``[S]`` that were tried, samples.
        distances: ``[B, S]`` of sound and shifted face, see :func:`shifted_distances`.
    """

    windows: int
    cosine: Tensor
    shifts: Tensor
    distances: Tensor


def reach(windows: int, max_shift: int = MAX_SHIFT) -> int:
    """Samples to either side that a sequence of so many windows is shifted by: half of them are left."""
    return min(max_shift, windows // 2)


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
    most = reach(windows, max_shift)
    shifts = torch.arange(-most, most + 1)
    found = []
    for shift in shifts.tolist():
        face = embedded.face[:, max(0, shift) : windows + min(0, shift)]
        sound = embedded.sound[:, max(0, -shift) : windows + min(0, -shift)]
        found.append((face - sound).norm(dim=-1).mean(1))
    return shifts, torch.stack(found, dim=1)


def synchrony(embedded: Embedded, max_shift: int = MAX_SHIFT) -> Synchrony:
    """Offset and confidence of ``B`` sequences at one level (5.15 to 5.17)."""
    return best_shift(*shifted_distances(embedded, max_shift))


@torch.inference_mode()
def pyramid_synchrony(syncer: SyncerPyramid, poses: Tensor, heard: Tensor) -> list[LevelSynchrony]:
    """Measure sequences at every level that they are long enough for.

    Args:
        syncer: in evaluation mode.
        poses: ``[B, T, 136]`` in head frames, ``B`` at least 1.
        heard: ``[B, T, 4, F]`` features as they are heard, of the syncer's kind.

    Returns:
        By level, the finest first; on the CPU.
    """
    parts = [
        [_measured(level) for level in syncer(*batch)]
        for batch in zip(poses.split(_BATCH), heard.split(_BATCH), strict=True)
    ]
    return [
        LevelSynchrony(
            level[0].windows,
            torch.cat([part.cosine for part in level]).cpu(),
            level[0].shifts,
            torch.cat([part.distances for part in level]).cpu(),
        )
        for level in zip(*parts, strict=True)
    ]


def mean_scores(levels: Sequence[LevelSynchrony], ticks: int) -> dict[str, list[Any]]:
    """Means over sequences, a list with an entry for each of the four levels under every name.

    Args:
        levels: from :func:`pyramid_synchrony`.
        ticks: length of the sequences.

    Returns:
        ``off`` (samples), ``off_abs`` (of absolute offsets, as in the thesis), ``conf``, ``off_std`` and
        ``conf_std`` (of absolute offsets and confidences, over sequences), ``cosine``,
        ``shifts`` (that were tried to either side), ``windows`` (compared, of all sequences) and ``missing``:
        None, or why there are no scores. They are None where a sequence has less than two windows.
    """
    found: dict[str, list[Any]] = {name: [None] * LEVELS for name in _NAMES}
    for i in range(LEVELS):
        if i < len(levels):
            found["cosine"][i] = float(levels[i].cosine.mean())
            found["windows"][i] = len(levels[i].cosine) * levels[i].windows
        if i < len(levels) and len(levels[i].shifts) > 1:
            offset, confidence = best_shift(levels[i].shifts, levels[i].distances)
            found["off"][i] = float(offset.double().mean())
            found["off_abs"][i] = float(offset.abs().double().mean())
            found["conf"][i] = float(confidence.mean())
            found["off_std"][i] = float(offset.abs().double().std(correction=0))
            found["conf_std"][i] = float(confidence.std(correction=0))
            found["shifts"][i] = int(levels[i].shifts[-1])
        else:
            needed = FACE_WINDOW * 2**i + 1
            found["missing"][i] = f"takes {needed} ticks in one piece to be shifted, there are {ticks}"
    return found


def common_offset(level: LevelSynchrony) -> tuple[int, float]:
    """The offset of all sequences together, and how clearly it stands out.

    Returns:
        Samples by which faces come after their sounds, and by how many median deviations the smallest mean
        distance lies below the median one.
    """
    distances = level.distances.mean(0)
    below = distances.median() - distances.min()
    usual = (distances - distances.median()).abs().median()
    return int(level.shifts[distances.argmin()]), float(below / usual.clamp(min=1e-6))


def _measured(embedded: Embedded) -> LevelSynchrony:
    cosine = (embedded.face * embedded.sound).sum(-1).mean(1)
    return LevelSynchrony(embedded.face.shape[1], cosine, *shifted_distances(embedded))


def best_shift(shifts: Tensor, distances: Tensor) -> Synchrony:
    """Offset and confidence of ``[B, S]`` distances at ``[S]`` shifts (5.16, 5.17)."""
    smallest, place = distances.min(dim=1)
    return Synchrony(shifts.to(place.device)[place], distances.median(dim=1).values - smallest)
