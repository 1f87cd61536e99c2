"""Rates of events: the same tick by tick and at once, and what they say of people and groups."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.event_rates import EventCounts, EventRates, EventRatesConfig
from hmgen_ros.generators.person_history import History, HistoryConfig
from hmgen_ros.generators.situations import SemiMarkovConfig, Situations
from hmgen_ros.types import Action, action_mask

SPEAKING, NOD = action_mask(Action.SPEAKING), action_mask(Action.HEAD_GESTURE)
SPACE = ActionSpace((0, SPEAKING, NOD, SPEAKING | NOD))
HISTORY = History(SPACE, HistoryConfig())
SITUATIONS = Situations(SPACE, SemiMarkovConfig(dwell_edges=(2, 4, 8), fresh_ticks=3, recent_ticks=6))
SPEECH, HEADS = (HISTORY.actions.index(action) for action in (Action.SPEAKING, Action.HEAD_GESTURE))
BEGINS_ALONE, BEGINS_BESIDE, ENDS_ALONE, ENDS_BESIDE = range(4)
sequences = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 40), st.integers(0, 4)), elements=st.integers(-1, 3)
)


def rates_of(table: torch.Tensor, **settings: object) -> EventRates:
    """With the same ``[A, A]`` probabilities in all situations of a symbol, none for absent people."""
    rates = EventRates(HISTORY, SITUATIONS, EventRatesConfig(**settings))
    rows = len(rates.flips) // (len(SPACE) + 1)
    rates.set_table(torch.cat([table, torch.zeros(1, len(SPACE))]).repeat_interleave(rows, dim=0))
    return rates


def steady(begins: float, ends: float) -> torch.Tensor:
    """Speech begins and ends with these probabilities a tick, and nothing else ever happens."""
    table = torch.zeros(4, 4)
    for silent, speaking in ((0, 1), (2, 3)):
        table[silent, [silent, speaking]] = torch.tensor([1.0 - begins, begins])
        table[speaking, [speaking, silent]] = torch.tensor([1.0 - ends, ends])
    return table


def counts_of(rates: EventRates, actions: torch.Tensor) -> EventCounts:
    return rates.of_sequence(HISTORY.of_sequence(actions))


@settings(max_examples=60, deadline=None)
@given(sequences, st.integers(0, 1000))
def test_one_tick_at_a_time_is_the_whole_sequence_at_once(actions: np.ndarray, seed: int) -> None:
    table = torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(4), 4)).float()
    rates = rates_of(table, time_constants_s=(0.5, 20.0))
    at_once = counts_of(rates, torch.from_numpy(actions))
    state, counts = HISTORY.initial(actions.shape[1]), rates.initial(actions.shape[1])
    for tick, symbols in enumerate(torch.from_numpy(actions)):
        counts = rates.advance(counts, state, symbols)
        state = HISTORY.advance(state, symbols)
        for name in ("observed", "expected"):
            one, all_ = getattr(counts, name), getattr(at_once, name)[tick]
            torch.testing.assert_close(one, all_, atol=1e-4, rtol=0, msg=f"{name} at tick {tick}")
        ratios = rates.log_ratios(counts)
        assert ratios.numel() == actions.shape[1] * rates.width
        assert bool(torch.isfinite(ratios).all())


def test_who_begins_three_times_as_often_as_expected_is_found_out() -> None:
    random = np.random.default_rng(0)
    symbols, now = [], 0
    for number in random.random(20000):
        now = int(number < 0.06) if now == 0 else int(number >= 0.1)
        symbols.append([now])
    rates = rates_of(steady(0.02, 0.1), time_constants_s=(400.0,))
    found = rates.log_ratios(counts_of(rates, torch.tensor(symbols)))[-1, 0, SPEECH, :, 0].exp()
    assert float(found[BEGINS_ALONE]) == pytest.approx(3.0, rel=0.15)
    assert float(found[ENDS_ALONE]) == pytest.approx(1.0, rel=0.15)
    # Nobody else was there, so nothing is known of events beside others.
    assert found[[BEGINS_BESIDE, ENDS_BESIDE]].tolist() == [1.0, 1.0]


def test_events_beside_others_are_counted_apart() -> None:
    rates = rates_of(steady(0.02, 0.1))
    actions = torch.tensor([[0, 0], [1, 0], [1, 1], [1, 0]])
    observed = counts_of(rates, actions).observed[-1, :, SPEECH, :, 1].round(decimals=2)
    assert observed.tolist() == [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0]]


def test_a_newcomer_is_taken_for_one_of_the_group() -> None:
    rates = rates_of(steady(0.02, 0.1))
    counts = rates.initial(3)
    counts.observed[:2, SPEECH, BEGINS_ALONE] = 30.0
    counts.expected[:2, SPEECH, BEGINS_ALONE] = 10.0
    ratios = rates.log_ratios(counts)[:, SPEECH, BEGINS_ALONE, 0]
    assert float(ratios[2]) == pytest.approx(math.log(63.0 / 23.0))
    assert float(ratios[2]) < float(ratios[0]) < math.log(3.0)


def test_nothing_changes_while_a_person_is_not_seen() -> None:
    rates = rates_of(steady(0.02, 0.1))
    before = torch.tensor([[0], [1], [1], [0]])
    gone = torch.cat([before, torch.full((50, 1), ABSENT)])
    for name in ("observed", "expected"):
        kept, held = (getattr(counts_of(rates, actions), name)[-1] for actions in (before, gone))
        assert torch.equal(kept, held)


def test_an_action_that_was_not_annotated_can_be_left_out() -> None:
    rates = rates_of(torch.full((4, 4), 0.25))
    counts = counts_of(rates, torch.tensor([[0, 2], [1, 3], [2, 0], [1, 1]]))
    ratios = rates.log_ratios(rates.without(counts, Action.HEAD_GESTURE))
    assert bool((ratios[:, :, HEADS] == 0).all())
    assert torch.equal(ratios[:, :, SPEECH], rates.log_ratios(counts)[:, :, SPEECH])
    assert bool((rates.log_ratios(counts)[-1, :, HEADS] != 0).any())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("time_constants_s", ()),
        ("time_constants_s", (2.0, 1.0)),
        ("group_weight", 0.0),
        ("person_weight", -1.0),
    ],
)
def test_senseless_settings_are_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=setting):
        EventRatesConfig(**{setting: value})
