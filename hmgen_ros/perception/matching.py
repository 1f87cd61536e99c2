"""Which face belongs to which track: where it was to be expected, and what it looks like.

Costs are negative log likelihoods, up to a constant. A face may belong to a track that expected it there, or
to one that knows its looks; all are decided at once, so that the whole is most likely.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hmgen_ros.perception.appearance import OTHER, SAME, Gallery, log_odds
from hmgen_ros.perception.box_motion import BoxMotion
from hmgen_ros.perception.boxes import box_iou, grow

Floats = NDArray[np.float32]
Costs = NDArray[np.float64]

#: A hidden face may come back elsewhere: the box in which it is expected grows with the uncertainty.
GROWTH, MAX_GROWTH = 2.0, 2.0
#: Most standard deviation of an expected place, face sizes.
MAX_SPREAD = 1.0
#: Standard deviation of the logarithm of a face's size from one sight to the next.
SIZE_SPREAD = 0.2
#: Cost of a face that comes up where its track did not expect it.
ELSEWHERE = 2.0
#: A pair that costs more is no pair.
NO_PAIR = 4.0


class Followed(Protocol):
    """What is to be known of a track."""

    motion: BoxMotion
    gallery: Gallery
    missed: int


def motion_costs(tracks: Sequence[Followed], boxes: Floats, min_overlap: float) -> Costs:
    """``[tracks, boxes]`` cost of each box's place, infinite where it was not to be expected.

    Args:
        tracks: predicted to the time of the boxes.
        boxes: ``[n, 4]``.
        min_overlap: least IoU with the box in which a track is expected.
    """
    if not tracks or not len(boxes):
        return np.full((len(tracks), len(boxes)), math.inf)
    expected = np.stack([t.motion.box for t in tracks])
    spread = np.array([min(t.motion.spread, MAX_SPREAD) for t in tracks])[:, None]
    scale = np.array([t.motion.scale for t in tracks])[:, None]
    growth = np.minimum(1 + GROWTH * spread[:, 0], MAX_GROWTH).astype(np.float32)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    middle = np.stack([t.motion.centre for t in tracks])
    away = np.square(middle[:, None] - centre[None]).sum(2) / np.square(scale * spread)
    size = np.sqrt(np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1.0))
    resized = np.log(size[None] / scale) / SIZE_SPREAD
    # Heavy tails: people start and stop more suddenly than a normal distribution has it.
    costs = 1.5 * np.log1p(away) + 2 * np.log(spread) + np.log1p(np.square(resized))
    near = box_iou(grow(expected, growth), boxes) >= min_overlap
    return np.where(near, costs, math.inf)


def pair_up(tracks: Sequence[Followed], costs: Costs, vectors: Mapping[int, Floats]) -> dict[int, int]:
    """Track index to box index, the most likely way.

    Args:
        tracks: those of the rows.
        costs: ``[tracks, boxes]`` of :func:`motion_costs`.
        vectors: what the faces that were looked at look like, by box.
    """
    costs = costs.copy()
    for column, vector in vectors.items():
        for row, track in enumerate(tracks):
            costs[row, column] = _with_looks(costs[row, column], track, vector)
    costs = np.minimum(costs, NO_PAIR)
    rows, columns = linear_sum_assignment(costs)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if costs[r, c] < NO_PAIR}


def _with_looks(cost: float, track: Followed, vector: Floats) -> float:
    """A pair's cost, given what the face looks like."""
    distance = track.gallery.distance(vector)
    if math.isinf(distance):
        return cost
    if math.isinf(cost):
        return ELSEWHERE - log_odds(distance) if distance < SAME else math.inf
    # Whoever comes up again must look like it; whoever was in view may be half covered now.
    return math.inf if track.missed and distance > OTHER else cost - log_odds(distance)
