"""From sampled futures to what a planner asks: who will do what, and when.

Pure functions on ``[S, T, N]`` samples of symbols of an action space, numpy arrays or tensors. Step ``t``
lies ``(t + 1)`` periods after the last observed tick. ``ABSENT`` people have ``ABSENT`` samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.types import TICK_HZ, Action, ActionForecast, actions_of

PERIOD_S = 1.0 / TICK_HZ


@dataclass(frozen=True, slots=True)
class NextAction:
    """What one person will probably do next; fields as in ``PredictedAction.msg``.

    Attributes:
        valid: False for a person who cannot be observed; the other fields are then defaults.
        current_action: the main action that holds now (of several, the one with the lowest code).
        action: the main action of the next state; ``current_action`` where no change is expected.
        next_index: the next state in the action space (the current one where no change is expected).
        next_mask: all actions of the next state as a bit mask.
        confidence: part of the sampled futures that agree on this next state, 0 to 1.
        seconds_until_start: median time until it starts among those futures; 0: no change expected.
        change_probability: part of the futures in which the state changes at all, 0 to 1.
        speak_probability: part of the futures in which the person speaks at some step, 0 to 1.
    """

    valid: bool = False
    current_action: Action = Action.UNKNOWN
    action: Action = Action.UNKNOWN
    next_index: int = ABSENT
    next_mask: int = 0
    confidence: float = 0.0
    seconds_until_start: float = 0.0
    change_probability: float = 0.0
    speak_probability: float = 0.0


@dataclass(frozen=True, slots=True)
class NextSpeaker:
    """Who takes the floor next; fields as in ``NextSpeaker.msg``, people as positions in the samples.

    Attributes:
        valid: False where nobody can be observed; the other fields are then defaults.
        current: who speaks now (of several, who began first); None where nobody does.
        person: the most probable next to start speaking; None where nobody does in any future.
        probability: part of the futures in which ``person`` is the first to start, 0 to 1.
        none_probability: part of the futures in which nobody starts, 0 to 1.
        seconds_until_start: median time until ``person`` starts where they are first; 0 where None.
    """

    valid: bool = False
    current: int | None = None
    person: int | None = None
    probability: float = 0.0
    none_probability: float = 0.0
    seconds_until_start: float = 0.0


def marginals(samples: ArrayLike, outlook: ArrayLike, outlook_weight: float = 128.0) -> NDArray[np.float32]:
    """Probability of every action at every step.

    Frequencies among the samples, which know how people react to each other, leaning on the smooth
    outlook, which knows rare actions too. The first step is the outlook's, which is exact there.

    Args:
        samples: ``[S, T, N]`` with ``S`` and ``T`` at least 1.
        outlook: ``[T, N, A]`` the forecaster's probabilities without sampling, zero for absent people; or
            ``[N, A]``, those of the next tick alone, where a forecaster can say no more.
        outlook_weight: so many samples the outlook counts for, >= 0; the next tick alone counts for at
            most one.

    Returns:
        ``[T, N, A]`` float32, sums to 1 over the last axis; zero for absent people.

    Raises:
        ValueError: shapes do not fit.
    """
    drawn, smooth = _samples(samples), np.asarray(outlook, dtype=np.float64)
    _, steps, people = drawn.shape
    if smooth.ndim == 2:
        smooth = np.broadcast_to(smooth, (steps, *smooth.shape))
        outlook_weight = min(outlook_weight, 1.0)
    if smooth.ndim != 3 or smooth.shape[:2] != (steps, people):
        raise ValueError(f"outlook must be [{steps}, {people}, A] to fit the samples, got {smooth.shape}")
    cell = np.arange(steps * people).reshape(steps, people) * smooth.shape[2] + drawn
    counts = np.bincount(cell[drawn != ABSENT], minlength=smooth.size)
    result = counts.reshape(smooth.shape) + outlook_weight * smooth
    result[0] = smooth[0]
    total = result.sum(axis=-1, keepdims=True)
    np.divide(result, total, out=result, where=total > 0)
    return result.astype(np.float32)


def forecast(
    samples: ArrayLike,
    probabilities: ArrayLike,
    current: ArrayLike,
    space: ActionSpace,
    stamp_ns: int,
    person_ids: Sequence[str],
) -> ActionForecast:
    """The group's forecast of everybody who can be observed now.

    Args:
        samples: ``[S, T, N]`` sampled futures.
        probabilities: ``[T, N, A]`` of each action at each step.
        current: ``[N]`` what each person does now; ``ABSENT`` people are left out of the forecast.
        space: the forecaster's action space.
        stamp_ns: stamp of the last observed tick.
        person_ids: ``N`` names.

    Raises:
        ValueError: the numbers of people differ.
    """
    drawn, now = _samples(samples), np.asarray(current, dtype=np.int64)
    table = np.asarray(probabilities, dtype=np.float32)
    if not len(person_ids) == drawn.shape[2] == len(now) == table.shape[1]:
        raise ValueError(
            f"{len(person_ids)} names, {len(now)} actions, {drawn.shape[2]} sampled people and "
            f"probabilities of {table.shape[1]} differ"
        )
    seen = now != ABSENT
    return ActionForecast(
        stamp_ns=stamp_ns,
        person_ids=tuple(name for name, there in zip(person_ids, seen, strict=True) if there),
        action_masks=space.masks,
        current=now[seen],
        probabilities=table[:, seen],
        samples=drawn[:, :, seen].astype(np.uint8),
    )


def next_actions(
    samples: ArrayLike, current: ArrayLike, space: ActionSpace, period_s: float = PERIOD_S
) -> tuple[NextAction, ...]:
    """What each person does next.

    A person's next state in one future is the first joint action that differs from the present one. A
    change is expected where more than half of the futures bring one; the next state is then the most
    frequent one among them (of equals, the one with the lowest index).

    Args:
        samples: ``[S, T, N]`` sampled futures.
        current: ``[N]`` what each person does now.
        space: the action space of both.
        period_s: seconds between steps.

    Raises:
        ValueError: the numbers of people differ.
    """
    drawn, now = _samples(samples), np.asarray(current, dtype=np.int64)
    _same_people(drawn, now)
    differs = drawn != now
    changes = differs.any(axis=1)
    onset = differs.argmax(axis=1)
    state = np.where(changes, np.take_along_axis(drawn, onset[:, None, :], axis=1)[:, 0], now)
    speaks = _speaks(drawn, space).any(axis=1).mean(axis=0)
    return tuple(
        _next_action(int(now[i]), state[:, i], onset[:, i], changes[:, i], float(speaks[i]), space, period_s)
        for i in range(len(now))
    )


def next_speaker(
    samples: ArrayLike,
    current: ArrayLike,
    speaking_ticks: ArrayLike,
    space: ActionSpace,
    period_s: float = PERIOD_S,
    probabilities: ArrayLike | None = None,
) -> NextSpeaker:
    """Who speaks now and who starts speaking next.

    To start is to speak at a step without having spoken at the one before, so a present speaker can be
    next too, after a pause. Where several start at the same step, each gets an equal part of that future.

    Args:
        samples: ``[S, T, N]`` sampled futures.
        current: ``[N]`` what each person does now.
        speaking_ticks: ``[N]`` for how many ticks each has spoken (see :func:`count_speaking_ticks`).
        space: the action space of both.
        period_s: seconds between steps.
        probabilities: ``[N]`` that each person is the first to start, where more is known of them than the
            samples tell.

    Raises:
        ValueError: the numbers of people differ.
    """
    drawn, now = _samples(samples), np.asarray(current, dtype=np.int64)
    ticks = np.asarray(speaking_ticks, dtype=np.int64)
    _same_people(drawn, now)
    _same_people(drawn, ticks)
    if not (now != ABSENT).any():
        return NextSpeaker()
    speaking = np.concatenate(
        [np.broadcast_to(_speaks(now, space), drawn[:, :1].shape), _speaks(drawn, space)], 1
    )
    starts = speaking[:, 1:] & ~speaking[:, :-1]
    step = np.where(starts.any(axis=1), starts.argmax(axis=1), starts.shape[1])
    earliest = step.min(axis=1)
    happens = earliest < starts.shape[1]
    first = (step == earliest[:, None]) & happens[:, None]
    share = (first / np.maximum(first.sum(axis=1, keepdims=True), 1)).mean(axis=0)
    if probabilities is not None:
        share = np.asarray(probabilities, dtype=np.float64)
        _same_people(drawn, share)
    holder = int(np.where(speaking[0, 0], ticks, -1).argmax()) if speaking[0, 0].any() else None
    if not share.any():
        return NextSpeaker(valid=True, current=holder, none_probability=1.0)
    person = int(share.argmax())
    # In no future at all: then it is not before the end of those that there are.
    of = first[:, person] if first[:, person].any() else slice(None)
    return NextSpeaker(
        valid=True,
        current=holder,
        person=person,
        probability=float(share[person]),
        none_probability=float(np.clip(1.0 - share.sum(), 0.0, 1.0)),
        seconds_until_start=float((np.median(step[of, person]) + 1.0) * period_s),
    )


def count_speaking_ticks(before: ArrayLike, current: ArrayLike, space: ActionSpace) -> NDArray[np.int64]:
    """``[N]`` ticks that each person has spoken without a break, given the count of the tick before."""
    return np.where(_speaks(np.asarray(current, dtype=np.int64), space), np.asarray(before) + 1, 0)


def _next_action(
    now: int,
    state: NDArray[np.int64],
    onset: NDArray[np.int64],
    changes: NDArray[np.bool_],
    speaks: float,
    space: ActionSpace,
    period_s: float,
) -> NextAction:
    """One person's next action from the next state, its onset and whether it comes, ``[S]`` each."""
    if now == ABSENT:
        return NextAction()
    change = float(changes.mean())
    after = int(np.bincount(state[changes]).argmax()) if change > 0.5 else now
    agree = state == after
    return NextAction(
        valid=True,
        current_action=actions_of(space.decode(now))[0],
        action=actions_of(space.decode(after))[0],
        next_index=after,
        next_mask=space.decode(after),
        confidence=float(agree.mean()),
        seconds_until_start=float((np.median(onset[agree]) + 1.0) * period_s) if after != now else 0.0,
        change_probability=change,
        speak_probability=speaks,
    )


def _samples(samples: ArrayLike) -> NDArray[np.int64]:
    drawn = np.asarray(samples, dtype=np.int64)
    if drawn.ndim != 3 or drawn.shape[0] < 1 or drawn.shape[1] < 1:
        raise ValueError(f"samples must be [S, T, N] with S and T at least 1, got shape {drawn.shape}")
    return drawn


def _same_people(samples: NDArray[np.int64], per_person: NDArray[np.int64]) -> None:
    if per_person.shape != samples.shape[2:]:
        raise ValueError(
            f"samples of {samples.shape[2]} people do not fit an array of shape {per_person.shape}"
        )


def _speaks(actions: NDArray[np.int64], space: ActionSpace) -> NDArray[np.bool_]:
    """Whether each symbol contains speech; the appended False answers for ``ABSENT`` (-1)."""
    return np.append(space.with_action(Action.SPEAKING), False)[actions]
