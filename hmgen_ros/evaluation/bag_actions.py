"""What forecasts of actions on a bag were worth, against what happened later in the same bag.

Scores are first sums over stretches of the bag, which can be added up; what they are worth is in
:mod:`hmgen_ros.evaluation.bag_action_values`. All models are scored in one action space, at every tick, over
everybody who was known then and is known at the horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.bag_action_log import ActionLog, Forecast, Segment
from hmgen_ros.evaluation.bag_stretches import Sums, add_up, runs, stack
from hmgen_ros.evaluation.forecast_scores import (
    first_to_speak,
    onset_sums,
    probability_sums,
    turn_ends,
)
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.types import CONCURRENT_ACTIONS, Action

#: Ticks after a turn end in which the next speaker begins (1.6 s).
TURN = 40
#: An action counts as forecast where it is at least this probable.
_LIKELY = 0.5
#: Probabilities are told apart to a thousandth for areas under ROC curves.
_LEVELS = 1001

#: What happened instead of what was perceived: of some people's masks ``[T, N]`` at stamps ``[T]``.
Truth = Callable[[Segment, NDArray[np.uint16]], NDArray[np.uint16]]


def action_sums(log: ActionLog, truth: Truth | None = None) -> dict[str, Sums]:
    """Sums ``[B, ...]`` of each of the log's stretches, by model.

    Args:
        log: of one bag.
        truth: what happened, where it is known better than it was perceived.
    """
    rows: dict[str, dict[int, Sums]] = {}
    for segment in log.segments:
        masks = segment.table()
        happened = log.space.observe_array(masks if truth is None else truth(segment, masks))
        for name, forecasts in segment.forecasts.items():
            of_model = rows.setdefault(name, {})
            for row, sums in _segment_sums(log, segment, forecasts, happened):
                add_up(of_model.setdefault(row, {}), sums)
    return {name: stack(of_model, len(log.stretches)) for name, of_model in rows.items()}


def _segment_sums(
    log: ActionLog, segment: Segment, forecasts: Sequence[Forecast], happened: NDArray[np.int64]
) -> Iterator[tuple[int, Sums]]:
    """The numbers of the stretches of a segment, and their sums."""
    columns = {person: i for i, person in enumerate(segment.people())}
    ends = turn_ends(happened, log.space)
    for row, part in runs(segment.rows):
        index, own = np.array(segment.index[part]), forecasts[part]
        given, known = _given(log, own, columns)
        then = _after(happened, index, np.array(log.horizons))
        then = np.where(known[:, None], then, ABSENT)
        yield (
            row,
            {
                **_probability_sums(given, then, log.space),
                **_onsets(log, index, own, columns, happened),
                **_turns(log, ends, index, own, columns, happened),
            },
        )


def _given(
    log: ActionLog, forecasts: Sequence[Forecast], columns: Mapping[str, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """``[W, H, N, A]`` probabilities and ``[W, N]`` of whom there are any."""
    given = np.zeros((len(forecasts), len(log.horizons), len(columns), len(log.space)), np.float32)
    known = np.zeros((len(forecasts), len(columns)), bool)
    for row, forecast in enumerate(forecasts):
        place = [columns[person] for person in forecast.ids]
        given[row][:, place] = forecast.given
        known[row, place] = True
    return given, known


def _after(
    happened: NDArray[np.int64], index: NDArray[np.int64], ahead: NDArray[np.int64]
) -> NDArray[np.int64]:
    """``[W, H, N]`` symbols ``ahead`` ticks after some; ``ABSENT`` beyond the end."""
    padded = np.concatenate([happened, np.full((ahead.max(initial=1), happened.shape[1]), ABSENT)])
    return np.asarray(padded[index[:, None] + ahead])


def _probability_sums(given: NDArray[np.float32], then: NDArray[np.int64], space: ActionSpace) -> Sums:
    scores, bins = probability_sums(given, then)
    does = np.stack([space.with_action(action) for action in CONCURRENT_ACTIONS], axis=-1)  # [A, K]
    probable = given @ does.astype(np.float32)  # [W, H, N, K]
    true = np.concatenate([does, np.zeros_like(does[:1])])[then]
    seen = (then != ABSENT)[..., None]
    likely = (probable >= _LIKELY) & seen
    hits = [(likely & true), (likely & ~true), (~likely & true & seen)]
    speaks = CONCURRENT_ACTIONS.index(Action.SPEAKING)
    level = np.clip(np.rint(probable[..., speaks] * (_LEVELS - 1)), 0, _LEVELS - 1).astype(np.int64)
    return {
        "scores": scores.sum(axis=0),
        "bins": bins.sum(axis=0),
        "hits": np.stack([part.sum(axis=(0, 2)) for part in hits], axis=-1).astype(np.float64),
        "speaking": np.stack(
            [
                _levels(level[:, h][seen[:, h, :, 0]], true[:, h, :, speaks][seen[:, h, :, 0]])
                for h in range(given.shape[1])
            ]
        ),
    }


def _levels(level: NDArray[np.int64], true: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``[1001, 2]`` how often each level was given to what did not and what did happen."""
    cells = np.bincount(level * 2 + true, minlength=_LEVELS * 2)
    return cells.reshape(_LEVELS, 2).astype(np.float64)


def _onsets(
    log: ActionLog,
    index: NDArray[np.int64],
    forecasts: Sequence[Forecast],
    columns: Mapping[str, int],
    happened: NDArray[np.int64],
) -> Sums:
    """Sums of onsets within sampled futures, up to the longest horizon."""
    steps = log.horizons[-1]
    chosen = [
        i for i, f in enumerate(forecasts) if f.futures is not None and index[i] + steps < len(happened)
    ]
    total = np.zeros(3)
    for start in range(0, len(chosen), 100):
        rows = chosen[start : start + 100]
        samples = max((len(f.futures) for i in rows if (f := forecasts[i]).futures is not None), default=0)
        futures = np.full((len(rows), samples, steps, len(columns)), ABSENT)
        for row, i in enumerate(rows):
            drawn = forecasts[i].futures
            if drawn is not None and forecasts[i].ids:
                futures[row][:, :, [columns[p] for p in forecasts[i].ids]] = drawn[:, :steps]
        truth = _after(happened, index[rows], 1 + np.arange(steps))
        known = (futures[:, 0, 0] != ABSENT)[:, None]
        truth = np.where(known, truth, ABSENT)
        futures = np.where(truth[:, None] == ABSENT, ABSENT, futures)
        now = np.where(known[:, 0], happened[index[rows]], ABSENT)
        total += onset_sums(futures, truth, now, log.space).sum(axis=0)
    return {"onsets": total}


def _turns(
    log: ActionLog,
    ends: NDArray[np.int64],
    index: NDArray[np.int64],
    forecasts: Sequence[Forecast],
    columns: Mapping[str, int],
    happened: NDArray[np.int64],
) -> Sums:
    """Scores of who speaks first after a turn has ended, where somebody does within 1.6 s."""
    row_of = {int(tick): row for row, tick in enumerate(index)}
    levels, hits = np.zeros((_LEVELS, 2)), np.zeros(2)
    for end in ends:
        row = row_of.get(int(end))
        if row is None or end + TURN >= len(happened):
            continue
        forecast, after = forecasts[row], happened[end + 1 : end + 1 + TURN]
        place = [columns[person] for person in forecast.ids]
        stay = [i for i, column in enumerate(place) if (after[:, column] != ABSENT).all()]
        if not stay:
            continue
        spoke = first_to_speak(after[None, None][..., [place[i] for i in stay]], log.space)[0] > 0
        if not spoke.any():
            continue
        starts = forecast.starts[stay]
        levels += _levels(np.rint(starts.clip(0, 1) * (_LEVELS - 1)).astype(np.int64), spoke)
        hits += (float(spoke[int(starts.argmax())]), 1.0)
    return {"turns": levels, "turn_hits": hits}
