"""Holds what perception made of a recording against what is known about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.perception_metrics import (
    ClearMot,
    Interval,
    during,
    event_tally,
    intervals_of,
    jitter_px,
    tick_tally,
)
from hmgen_ros.evaluation.perception_run import Pass, Seen
from hmgen_ros.evaluation.perception_scores import Following, Scores
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
#: Tracks that end sooner than the recording by more, or later, are those of another length, or fps is wrong.
TRACK_SHORT_S, TRACK_LONG_S = 0.5, 1.0
#: Scale and shift of places in a picture.
PlaceMove = tuple[float, float, float]
UNMOVED: PlaceMove = (1.0, 0.0, 0.0)


def score_scene(truth: SceneTruth, found: Pass, place: PlaceMove = UNMOVED, whole: bool = False) -> Scores:
    """Score one pass.

    Args:
        truth: what is known.
        found: what perception made of the recording.
        place: scale and shift of the picture that perception saw.
        whole: the whole recording was perceived, so that tracks that are longer are worth a word.
    """
    scores = Scores(ticks=len(found.times), seconds=found.times[-1] if found.times else 0.0)
    scores.cpu_ms = {"frame": found.cpu_ms, **found.stage_cpu_ms}
    scores.counts, scores.latency_ms = dict(found.counts), dict(found.latency_ms)
    unknown = list(truth.missing)
    if not truth.people:
        unknown.append("people[]: nobody is listed")
    times = np.array(found.times)
    _score_voice(truth, found, times, scores, unknown)
    if truth.people and all(p.place is not None for p in truth.people):
        found, times = _while_placed(truth, found, whole, unknown)
        who = _follow(truth, found, times, place, scores)
        for index, person in enumerate(truth.people):
            _score_person(person, who.seen[index], who.in_view[index], times, scores)
            scores.timeline += _timeline(truth.name, person.label, who.seen[index], times)
        if all(p.speaking is not None for p in truth.people):
            _score_strangers(who.strangers, scores)
    if unknown:
        scores.not_scored[truth.name] = unknown
    return scores


def _while_placed(
    truth: SceneTruth, found: Pass, whole: bool, unknown: list[str]
) -> tuple[Pass, NDArray[np.float64]]:
    """The ticks at which it is known where everyone is, and their times; other lengths are noted."""
    times = np.array(found.times)
    end_s = min(p.place.end_s for p in truth.people if p.place is not None)
    length_s = float(times[-1]) + TICK_S if len(times) else 0.0
    lengths = f"tracks end at {end_s:.2f} s, the recording at {length_s:.2f} s; is fps right?"
    if end_s < length_s - TRACK_SHORT_S:
        unknown.append(f"people[]: {lengths}")
        ticks = int((times < end_s).sum())
        return replace(found, times=found.times[:ticks], people=found.people[:ticks]), times[:ticks]
    if whole and length_s + TRACK_LONG_S < end_s < math.inf:
        unknown.append(f"people[]: {lengths}")
    return found, times


def _timeline(
    scene: str, label: str, seen: Sequence[Seen | None], times: NDArray[np.float64]
) -> list[Following]:
    """The stretches in which a person was followed under one id."""
    found: list[Following] = []
    before: str | None = None
    for who, time_s in zip(seen, times.tolist(), strict=True):
        if who is None:
            before = None
        elif who.person_id == before:
            found[-1] = (*found[-1][:4], time_s + TICK_S)
        else:
            found.append((scene, label, who.person_id, time_s, time_s + TICK_S))
            before = who.person_id
    return found


@dataclass
class Followed:
    """Who is who: for each person the :class:`Seen` at every tick, None where nobody is; the rest."""

    seen: list[list[Seen | None]]
    in_view: NDArray[np.bool_]
    strangers: list[float]


def _score_voice(
    truth: SceneTruth, found: Pass, times: NDArray[np.float64], scores: Scores, unknown: list[str]
) -> None:
    voice = np.array(found.voice)
    spoken = truth.spoken(times + MIDDLE_S)
    late = truth.spoken(times + MIDDLE_S - FORGIVEN_S)
    if spoken is None or late is None:
        return
    if not np.isfinite(voice).any():
        unknown.append("voice activity: nothing is heard in the recording")
    else:
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
