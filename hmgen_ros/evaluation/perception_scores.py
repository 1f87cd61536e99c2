"""What perception came to on one or more scenes: counts that add up, and the figures made of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.perception_metrics import Tally, Tracking, average_precision

#: Scene, person, id, start and end in seconds.
Following = tuple[str, str, str, float, float]


@dataclass
class LabelScore:
    """How well one action is told.

    Attributes:
        ticks: person-ticks; those at which the action is said to be unknown count as not found.
        events: intervals.
        unknown: person-ticks at which it is said to be unknown although the face is in view.
        kinds: events found and missed by finer names, such as nods.
    """

    ticks: Tally = field(default_factory=Tally)
    events: Tally = field(default_factory=Tally)
    unknown: int = 0
    kinds: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def __add__(self, other: LabelScore) -> LabelScore:
        kinds: dict[str, Tally] = defaultdict(Tally, self.kinds)
        for name, tally in other.kinds.items():
            kinds[name] = kinds[name] + tally
        unknown = self.unknown + other.unknown
        return LabelScore(self.ticks + other.ticks, self.events + other.events, unknown, kinds)

    def summary(self) -> dict[str, Any]:
        """Precision, recall and F1 over ticks, and over events."""
        found = {**_prf(self.ticks), "unknown_ticks": self.unknown, "events": _prf(self.events)}
        if self.kinds:
            found["recall_by_kind"] = {name: t.recall for name, t in sorted(self.kinds.items())}
        return found


def _prf(tally: Tally) -> dict[str, Any]:
    return {
        "precision": tally.precision,
        "recall": tally.recall,
        "f1": tally.f1,
        "true": tally.right + tally.missed,
        "found": tally.right + tally.false,
    }


@dataclass
class Scores:
    """What one or more scenes came to; scenes are added up, so that every person-tick counts the same.

    Attributes:
        tracking: counts of CLEAR-MOT.
        ids: ids given to people, and ``people`` there were.
        spoken, spoken_late: whether the person spoke, at the time and a little before; ``score`` what
            perception said. Arrays over person-ticks in view, ids near nobody among them.
        heard, heard_late: of any voice, by tick.
        labels: by action.
        jitter: squared pixels summed over still person-ticks, and their number.
        cpu_ms: by stage, and ``frame`` in all; summed over images.
        ticks: images.
        seconds: length of the recordings.
        peak_mb: most memory the process ever had.
        counts: what perception counted.
        not_scored: what the truth does not say, by scene.
        failed: recordings that could not be read, with the reason.
        latency_ms: wall-clock milliseconds of a run of each stage, median and 99th percentile; of several
            scenes the longest.
        timeline: who was followed under which id: scene, person, id, start and end in seconds.
    """

    tracking: Tracking = field(default_factory=Tracking)
    ids: int = 0
    people: int = 0
    spoken: list[NDArray[np.bool_]] = field(default_factory=list)
    spoken_late: list[NDArray[np.bool_]] = field(default_factory=list)
    score: list[NDArray[np.float64]] = field(default_factory=list)
    heard: Tally = field(default_factory=Tally)
    heard_late: Tally = field(default_factory=Tally)
    labels: dict[str, LabelScore] = field(default_factory=lambda: defaultdict(LabelScore))
    jitter: tuple[float, int] = (0.0, 0)
    cpu_ms: dict[str, float] = field(default_factory=dict)
    ticks: int = 0
    seconds: float = 0.0
    peak_mb: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    not_scored: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    latency_ms: dict[str, tuple[float, float]] = field(default_factory=dict)
    timeline: list[Following] = field(default_factory=list)

    def __add__(self, other: Scores) -> Scores:
        labels: dict[str, LabelScore] = defaultdict(LabelScore, self.labels)
        for name, label in other.labels.items():
            labels[name] = labels[name] + label
        return Scores(
            self.tracking + other.tracking,
            self.ids + other.ids,
            self.people + other.people,
            self.spoken + other.spoken,
            self.spoken_late + other.spoken_late,
            self.score + other.score,
            self.heard + other.heard,
            self.heard_late + other.heard_late,
            labels,
            (self.jitter[0] + other.jitter[0], self.jitter[1] + other.jitter[1]),
            _summed(self.cpu_ms, other.cpu_ms),
            self.ticks + other.ticks,
            self.seconds + other.seconds,
            max(self.peak_mb, other.peak_mb),
            {k: int(v) for k, v in _summed(self.counts, other.counts).items()},
            self.not_scored | other.not_scored,
            self.failed | other.failed,
            self.latency_ms | {k: max(v, self.latency_ms.get(k, v)) for k, v in other.latency_ms.items()},
            self.timeline + other.timeline,
        )

    def summary(self) -> dict[str, Any]:
        """The figures; NaN where there is nothing to score."""
        t, (squares, still) = self.tracking, self.jitter
        scored = bool(self.score)
        score = np.concatenate(self.score) if scored else np.zeros(0)
        spoken, late = (np.concatenate(a) if scored else score > 0 for a in (self.spoken, self.spoken_late))
        return {
            "id_switches": t.switches if t.truths else None,
            "id_takeovers": t.takeovers if t.truths else None,
            "mota": t.mota,
            "miss_rate": t.misses / t.truths if t.truths else math.nan,
            "false_positives": t.false_positives if t.truths else None,
            "ids_per_person": self.ids / self.people if self.people else math.nan,
            "active_speaker_ap": average_precision(spoken, score),
            "active_speaker_ap_late": average_precision(late, score),
            "vad_f1": self.heard.f1,
            "vad_f1_late": self.heard_late.f1,
            "labels": {name: label.summary() for name, label in self.labels.items()},
            "still_jitter_px": math.sqrt(squares / still) if still else math.nan,
            "latency_ms": {name: list(times) for name, times in self.latency_ms.items()},
            "cpu_ms": {name: ms / max(self.ticks, 1) for name, ms in self.cpu_ms.items()},
            "peak_memory_mb": self.peak_mb,
            "ticks": self.ticks,
            "seconds": self.seconds,
            "counts": self.counts,
        }


def _summed(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in dict.fromkeys((*a, *b))}
