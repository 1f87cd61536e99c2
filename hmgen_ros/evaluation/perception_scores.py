"""Holds what perception made of a recording against what is known about it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.perception_metrics import (
    ClearMot,
    Interval,
    Tally,
    Tracking,
    average_precision,
    during,
    event_tally,
    intervals_of,
    jitter_px,
    tick_tally,
)
from hmgen_ros.evaluation.perception_run import Pass, Seen
from hmgen_ros.evaluation.perception_truth import SEEN_SHARE, PersonTruth, SceneTruth
from hmgen_ros.types import TICK_NS, UNKNOWN_MASK, Action

TICK_S = TICK_NS / 1e9
#: What is said of a picture is held against the truth in the middle of its tick.
MIDDLE_S = TICK_S / 2
#: By which hearing and seeing a change may lag, for the second figure of who speaks.
FORGIVEN_S = 0.16
#: By which an action may be said to hold after its end and still be an event found: a swing of a nod is
#: known once it is over.
EVENT_LATE_S = 0.5
VOICE_AT = 0.5
#: Scale and shift of places in a picture.
PlaceMove = tuple[float, float, float]
UNMOVED: PlaceMove = (1.0, 0.0, 0.0)


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
            "cpu_ms": {name: ms / max(self.ticks, 1) for name, ms in self.cpu_ms.items()},
            "peak_memory_mb": self.peak_mb,
            "ticks": self.ticks,
            "seconds": self.seconds,
            "counts": self.counts,
        }


def _summed(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in dict.fromkeys((*a, *b))}


def score_scene(truth: SceneTruth, found: Pass, place: PlaceMove = UNMOVED) -> Scores:
    """Score one pass.

    Args:
        truth: what is known.
        found: what perception made of the recording.
        place: scale and shift of the picture that perception saw.
    """
    scores = Scores(ticks=len(found.times), seconds=found.times[-1] if found.times else 0.0)
    scores.cpu_ms = {"frame": found.cpu_ms, **found.stage_cpu_ms}
    scores.counts = dict(found.counts)
    if truth.missing:
        scores.not_scored[truth.name] = list(truth.missing)
    times = np.array(found.times)
    _score_voice(truth, found, times, scores)
    if truth.people and all(p.place is not None for p in truth.people):
        who = _follow(truth, found, times, place, scores)
        for index, person in enumerate(truth.people):
            _score_person(person, who.seen[index], who.in_view[index], times, scores)
        if all(p.speaking is not None for p in truth.people):
            _score_strangers(who.strangers, scores)
    return scores


@dataclass
class Followed:
    """Who is who: for each person the :class:`Seen` at every tick, None where nobody is; the rest."""

    seen: list[list[Seen | None]]
    in_view: NDArray[np.bool_]
    strangers: list[float]


def _score_voice(truth: SceneTruth, found: Pass, times: NDArray[np.float64], scores: Scores) -> None:
    voice = np.array(found.voice)
    spoken = truth.spoken(times + MIDDLE_S)
    late = truth.spoken(times + MIDDLE_S - FORGIVEN_S)
    if spoken is not None and late is not None and np.isfinite(voice).any():
        said = np.nan_to_num(voice) >= VOICE_AT
        scores.heard, scores.heard_late = tick_tally(spoken, said), tick_tally(late, said)


def _follow(
    truth: SceneTruth,
    found: Pass,
    times: NDArray[np.float64],
    place: PlaceMove,
    scores: Scores,
) -> Followed:
    """Match ids to people tick by tick."""
    scale, *shift = place
    mot, people = ClearMot(), truth.people
    seen: list[list[Seen | None]] = [[None] * len(times) for _ in people]
    in_view = np.zeros((len(people), len(times)), bool)
    strangers, ids = [], [set() for _ in people]  # type: list[float], list[set[str]]
    for tick, time_s in enumerate(times):
        faces = [s for s in found.people[tick] if s.origin is not None]
        at = [p.place.at(float(time_s)) for p in people if p.place is not None]
        visible = np.array([v for _, _, v in at])
        middles = np.array([m for m, _, _ in at]) * scale + shift
        sizes = np.array([s for _, s, _ in at]) * scale
        origins = np.array([s.origin for s in faces]).reshape(-1, 2)
        distances = np.linalg.norm(middles[:, None] - origins[None], axis=-1) / sizes[:, None]
        required = visible >= SEEN_SHARE
        pairs = mot.update(required, visible > 0, [s.person_id for s in faces], distances)
        in_view[:, tick] = required
        for person, h in pairs.items():
            seen[person][tick] = faces[h]
            ids[person].add(faces[h].person_id)
        strangers += [s.voice for h, s in enumerate(faces) if h not in pairs.values()]
    scores.tracking = mot.tracking
    scores.ids, scores.people = sum(map(len, ids)), len(people)
    return Followed(seen, in_view, strangers)


def _score_person(
    person: PersonTruth,
    seen: Sequence[Seen | None],
    in_view: NDArray[np.bool_],
    times: NDArray[np.float64],
    scores: Scores,
) -> None:
    """Speaking, actions and jitter of one person, at the ticks at which their face is in view."""
    middles = times + MIDDLE_S
    if person.speaking is not None:
        chance = np.array([0.0 if s is None else s.voice for s in seen])[in_view]
        scores.score.append(np.nan_to_num(chance))
        scores.spoken.append(during(person.speaking, middles)[in_view])
        scores.spoken_late.append(during(person.speaking, middles - FORGIVEN_S)[in_view])
        _score_label(Action.SPEAKING, person.speaking, {}, seen, in_view, times, scores)
    for name, when in person.actions.items():
        kinds = person.kinds if name == Action.HEAD_GESTURE.label else {}
        _score_label(Action[name.upper()], when, kinds, seen, in_view, times, scores)
    for span in person.still:
        inside = np.flatnonzero(during([span], times)).tolist()
        points = [s.landmarks for k in inside if (s := seen[k]) is not None and s.landmarks is not None]
        if points:
            squares, ticks = scores.jitter
            scores.jitter = squares + len(points) * jitter_px(np.array(points)) ** 2, ticks + len(points)


def _score_label(
    action: Action,
    when: Sequence[Interval],
    kinds: Mapping[str, Sequence[Interval]],
    seen: Sequence[Seen | None],
    in_view: NDArray[np.bool_],
    times: NDArray[np.float64],
    scores: Scores,
) -> None:
    masks = np.array([UNKNOWN_MASK if s is None else s.actions for s in seen], np.int64)
    unknown = masks == UNKNOWN_MASK
    holds = ~unknown & (masks >> int(action) & 1 > 0) & in_view
    is_so = during(when, times + MIDDLE_S)
    label = scores.labels[action.label]
    label.ticks += tick_tally(is_so[in_view], holds[in_view])
    label.unknown += int((unknown & in_view).sum())
    found = intervals_of(holds, times, TICK_S)
    to_find = [span for span in when if _mostly(during([span], times), in_view)]
    label.events += event_tally(to_find, found, EVENT_LATE_S)
    for name, spans in kinds.items():
        wanted = [span for span in spans if span in to_find]
        label.kinds[name] += event_tally(wanted, found, EVENT_LATE_S)


def _mostly(span: NDArray[np.bool_], in_view: NDArray[np.bool_]) -> bool:
    return bool(span.any() and in_view[span].mean() > 0.5)


def _score_strangers(voices: Sequence[float], scores: Scores) -> None:
    """Ids near nobody do not speak."""
    if voices:
        nobody = np.zeros(len(voices), bool)
        scores.score.append(np.nan_to_num(np.array(voices)))
        scores.spoken.append(nobody)
        scores.spoken_late.append(nobody)


def speaking_arrays(
    truth: SceneTruth, found: Pass
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """Who speaks when: what is true, what was decided, and how probable it was said to be.

    Args:
        truth: with places and speech of everyone.
        found: what perception made of it.

    Returns:
        ``[people, ticks]`` each; where somebody was not found, nothing was decided and 0 said.
    """
    times = np.array(found.times)
    followed = _follow(truth, found, times, UNMOVED, Scores())
    spoken = np.array([during(p.speaking or (), times + MIDDLE_S) for p in truth.people])
    masks = np.array([[0 if s is None else s.actions for s in row] for row in followed.seen], np.int64)
    chance = np.array([[0.0 if s is None else s.voice for s in row] for row in followed.seen])
    decided = (masks != UNKNOWN_MASK) & (masks >> int(Action.SPEAKING) & 1 > 0)
    return spoken, decided, np.nan_to_num(chance)
