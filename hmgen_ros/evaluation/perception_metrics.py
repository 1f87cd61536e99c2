"""Figures of merit of perception: who is followed, who is said to speak, what people are said to do.

Pure functions of arrays and intervals. Tracking follows CLEAR-MOT (Bernardin and Stiefelhagen 2008,
doi:10.1155/2008/246309): a person keeps the id that it had while that one is near enough, the rest are
matched at the least total distance, and a person that is matched to another id than before is a switch.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Flags = NDArray[np.bool_]
Floats = NDArray[np.floating]
#: Start and end in seconds.
Interval = tuple[float, float]

#: What nobody could match; larger than any distance that counts.
_FAR = 1e6


@dataclass
class Tally:
    """True and false positives and misses, to be added up over scenes."""

    right: int = 0
    false: int = 0
    missed: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.right + other.right, self.false + other.false, self.missed + other.missed)

    @property
    def precision(self) -> float:
        """Share of what was found that is true; NaN where nothing was found."""
        return _share(self.right, self.right + self.false)

    @property
    def recall(self) -> float:
        """Share of what is true that was found; NaN where nothing is true."""
        return _share(self.right, self.right + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of both; NaN where there was nothing to find and nothing was found."""
        return _share(2 * self.right, 2 * self.right + self.false + self.missed)


def tick_tally(truth: Flags, found: Flags) -> Tally:
    """Count over ticks, or over anything else of which two arrays of one shape say whether it is so."""
    truth, found = np.asarray(truth, bool), np.asarray(found, bool)
    return Tally(int((truth & found).sum()), int((~truth & found).sum()), int((truth & ~found).sum()))


def f1(truth: Flags, found: Flags) -> float:
    """F1 over ticks; NaN where nothing is true and nothing found."""
    return tick_tally(truth, found).f1


def average_precision(truth: Flags, score: Floats) -> float:
    """Area under the steps of precision over recall; equal scores are taken together.

    Args:
        truth: of any shape.
        score: of the same shape, higher for what is more surely true.

    Returns:
        In (0, 1]; NaN where nothing is true.
    """
    recall, precision = precision_recall(truth, score)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision)) if len(recall) else math.nan


def precision_recall(truth: Flags, score: Floats) -> tuple[Floats, Floats]:
    """Recall and precision at every distinct score, highest first; empty where nothing is true."""
    truth, score = np.asarray(truth, bool).ravel(), np.asarray(score, np.float64).ravel()
    if not truth.any():
        return np.zeros(0), np.zeros(0)
    order = np.argsort(-score, kind="stable")
    ranked, right = score[order], np.cumsum(truth[order])
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
    return right[last] / right[-1], right[last] / (last + 1)


def event_tally(truth: Sequence[Interval], found: Sequence[Interval], late_s: float = 0.0) -> Tally:
    """Count events: a true one is found by at most one that overlaps it, which then is right.

    Args:
        truth: intervals in seconds.
        found: intervals in seconds.
        late_s: an event may be found so long after its end, as what swings is only known after a swing.
    """
    if not truth or not found:
        return Tally(0, len(found), len(truth))
    shared = np.array(
        [[min(e + late_s, f) - max(s, b) for b, f in found] for s, e in truth],
    )
    rows, columns = linear_sum_assignment(np.maximum(shared, 0.0), maximize=True)
    right = int((shared[rows, columns] > 0).sum())
    return Tally(right, len(found) - right, len(truth) - right)


def intervals_of(flags: Flags, times: Floats, period_s: float) -> list[Interval]:
    """Runs of true ticks as intervals.

    Args:
        flags: ``[N]``.
        times: ``[N]`` seconds, increasing.
        period_s: how long the last tick of a run lasts.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [
        (float(times[a]), float(times[b - 1]) + period_s)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def during(intervals: Sequence[Interval], times: Floats) -> Flags:
    """``[N]``: which times lie in one of the intervals."""
    inside = np.zeros(len(times), bool)
    for start, end in intervals:
        inside |= (times >= start) & (times < end)
    return inside


def jitter_px(landmarks: Floats) -> float:
    """How far the landmarks of a face that stands still tremble.

    Args:
        landmarks: ``[T, 68, 2]`` pixels.

    Returns:
        Root of the mean squared distance of a landmark from its mean place, pixels; NaN without ticks.
    """
    if not len(landmarks):
        return math.nan
    away = landmarks.astype(np.float64) - landmarks.mean(axis=0, dtype=np.float64)
    return float(np.sqrt(np.square(away).sum(axis=-1).mean()))


@dataclass
class Tracking:
    """Counts of CLEAR-MOT, to be added up over scenes.

    Attributes:
        truths: person-ticks at which somebody was to be followed.
        misses: of these, those without an id.
        false_positives: ids near nobody.
        switches: people matched to another id than the last time.
        takeovers: of the ids matched, those that were somebody else's the last time: confusions that
            whoever relies on ids cannot notice.
    """

    truths: int = 0
    misses: int = 0
    false_positives: int = 0
    switches: int = 0
    takeovers: int = 0

    def __add__(self, other: Tracking) -> Tracking:
        return Tracking(
            self.truths + other.truths,
            self.misses + other.misses,
            self.false_positives + other.false_positives,
            self.switches + other.switches,
            self.takeovers + other.takeovers,
        )

    @property
    def mota(self) -> float:
        """Multiple object tracking accuracy, at most 1; NaN where nobody was to be followed."""
        if not self.truths:
            return math.nan
        return 1 - (self.misses + self.false_positives + self.switches) / self.truths


@dataclass
class ClearMot:
    """Follows people and ids through the ticks of one scene.

    Args:
        gate: greatest distance at which an id is a person's.

    Attributes:
        tracking: the counts so far.
    """

    gate: float = 1.0
    tracking: Tracking = field(default_factory=Tracking)
    _last_id: dict[int, Hashable] = field(default_factory=dict)
    _last_person: dict[Hashable, int] = field(default_factory=dict)

    def update(
        self, required: Flags, optional: Flags, ids: Sequence[Hashable], distances: Floats
    ) -> Mapping[int, int]:
        """Take one tick.

        Args:
            required: ``[P]`` people who are to be found.
            optional: ``[P]`` people who may be found, such as half hidden ones: an id near one is neither
                right nor wrong.
            ids: ``H`` ids that were given, each once.
            distances: ``[P, H]``; NaN and what is above the gate is no match.

        Returns:
            Person to index of its id, of the people required and optional.
        """
        near = np.where(distances <= self.gate, distances, _FAR)
        near[~(required | optional)] = _FAR
        pairs = self._keep(near, ids)
        free_rows = [p for p in range(len(near)) if p not in pairs]
        free_columns = [h for h in range(len(ids)) if h not in pairs.values()]
        rest = near[np.ix_(free_rows, free_columns)]
        rows, columns = linear_sum_assignment(rest)
        for r, c in zip(rows, columns, strict=True):
            if rest[r, c] < _FAR:
                pairs[free_rows[r]] = free_columns[c]
        self._count(required, pairs, ids)
        return pairs

    def _keep(self, near: Floats, ids: Sequence[Hashable]) -> dict[int, int]:
        """Who keeps its id, because that one is still near."""
        place = {name: h for h, name in enumerate(ids)}
        kept: dict[int, int] = {}
        for person, name in self._last_id.items():
            h = place.get(name)
            if h is not None and self._last_person[name] == person and near[person, h] < _FAR:
                kept[person] = h
        return kept

    def _count(self, required: Flags, pairs: Mapping[int, int], ids: Sequence[Hashable]) -> None:
        t = self.tracking
        t.truths += int(required.sum())
        t.misses += sum(1 for p in np.flatnonzero(required) if int(p) not in pairs)
        t.false_positives += len(ids) - len(pairs)
        for person, h in pairs.items():
            name = ids[h]
            t.switches += self._last_id.get(person, name) != name
            t.takeovers += self._last_person.get(name, person) != person
            self._last_id[person], self._last_person[name] = name, person


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
