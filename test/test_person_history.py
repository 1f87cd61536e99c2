"""What is remembered of people: the same tick by tick and at once, and sound when people come and go."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.person_history import LONG, RAMPS, History, HistoryConfig, HistoryState
from hmgen_ros.types import Action, action_mask

SPACE = ActionSpace(
    (
        0,
        action_mask(Action.SPEAKING),
        action_mask(Action.HEAD_GESTURE),
        action_mask(Action.SPEAKING, Action.HEAD_GESTURE),
        action_mask(Action.TAKING_NOTES),
    )
)
sequences = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 40), st.integers(0, 4)), elements=st.integers(-1, 4)
)


def stream(history: History, actions: torch.Tensor) -> list[HistoryState]:
    state, states = history.initial(actions.shape[1]), []
    for tick in actions:
        state = history.advance(state, tick)
        states.append(state)
    return states


@settings(max_examples=60, deadline=None)
@given(sequences, st.integers(0, 5))
def test_one_tick_at_a_time_is_the_whole_sequence_at_once(actions: np.ndarray, events: int) -> None:
    history = History(SPACE, HistoryConfig(events=events))
    at_once = history.of_sequence(torch.from_numpy(actions))
    for tick, state in enumerate(stream(history, torch.from_numpy(actions))):
        for field in fields(HistoryState):
            one, all_ = getattr(state, field.name), getattr(at_once, field.name)[tick]
            torch.testing.assert_close(one, all_, atol=1e-5, rtol=0, msg=f"{field.name} at tick {tick}")
        for features in (history.person_features, history.event_features):
            torch.testing.assert_close(features(state), features(at_once)[tick], atol=1e-3, rtol=0)


def test_counters_tell_how_long_and_since_when() -> None:
    history = History(SPACE, HistoryConfig(events=2))
    state = stream(history, torch.tensor([[0], [0], [1], [1], [1], [2]]))[-1]
    assert int(state.dwell) == 1
    assert int(state.previous) == 1
    assert state.event_symbol[0].tolist() == [2, 1]
    assert state.event_age[0].tolist() == [1, 4]
    since = dict(zip(history.actions, state.since[0].tolist(), strict=True))
    assert since == {Action.SPEAKING: 1, Action.HEAD_GESTURE: 1, Action.TAKING_NOTES: LONG}


def test_habits_outlast_an_absence_but_counters_do_not() -> None:
    history = History(SPACE, HistoryConfig())
    speaking = [[1]] * 100
    before = stream(history, torch.tensor(speaking))[-1]
    after = stream(history, torch.tensor(speaking + [[ABSENT]] * 50 + [[0]]))[-1]
    torch.testing.assert_close(after.memory, before.memory, atol=0.05, rtol=0)
    assert int(after.dwell) == 1
    assert int(after.previous) == ABSENT
    assert (after.since == LONG).all()


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.int64, 7, elements=st.integers(0, 1 << 20)))
def test_ramps_grow_with_time_and_stay_between_nought_and_one(ticks: np.ndarray) -> None:
    history = History(SPACE, HistoryConfig())
    ramps = history.ramps(torch.from_numpy(np.sort(ticks)))
    assert ramps.shape == (7, RAMPS)
    assert bool(((ramps >= 0) & (ramps <= 1)).all())
    assert bool((ramps[1:] >= ramps[:-1]).all())


@pytest.mark.parametrize("times", [(), (0.0, 1.0), (2.0, 1.0), (1.0, 1.0)])
def test_senseless_time_constants_are_refused(times: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="time_constants_s"):
        HistoryConfig(time_constants_s=times)
