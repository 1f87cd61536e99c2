"""What planners are told follows from the sampled futures as the messages define it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.rollout import (
    NextAction,
    NextSpeaker,
    count_speaking_ticks,
    forecast,
    marginals,
    next_actions,
    next_speaker,
)
from hmgen_ros.types import Action

QUICK = settings(deadline=None, max_examples=50)
NONE, SPEAKS, NODS, SPEAKS_NODDING = range(4)
SPACE = ActionSpace((0, 0b10, 0b1000, 0b1010))


def futures(*people: list[list[int]]) -> NDArray[np.int64]:
    """``[S, T, N]`` from a list of sampled sequences for each person."""
    return np.stack([np.array(person) for person in people], axis=-1)


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Samples, present and outlook of the same people, some absent."""
    samples, steps, people = (draw(st.integers(low, 6)) for low in (1, 1, 0))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    drawn, now = rng.integers(0, 4, (samples, steps, people)), rng.integers(0, 4, people)
    absent = rng.random(people) < 0.25
    drawn[:, :, absent], now[absent] = ABSENT, ABSENT
    outlook = rng.dirichlet(np.ones(4), (steps, people))
    outlook[:, absent] = 0
    return drawn, now, outlook


@QUICK
@given(cases(), st.sampled_from([0.0, 1.0, 128.0]))
def test_marginals_are_distributions(case: tuple, weight: float) -> None:
    drawn, now, outlook = case
    for smooth in (outlook, outlook[0]):
        table = marginals(drawn, smooth, weight)
        assert table.dtype == np.float32
        np.testing.assert_allclose(table.sum(-1), np.broadcast_to(now != ABSENT, table.shape[:2]), atol=1e-5)
        np.testing.assert_allclose(table[0], outlook[0], atol=1e-6)


def test_marginals_lean_on_the_outlook() -> None:
    drawn = futures([[NONE, NONE], [NONE, SPEAKS]])
    outlook = np.full((2, 1, 4), 0.25)
    np.testing.assert_allclose(marginals(drawn, outlook, 0.0)[1, 0], [0.5, 0.5, 0, 0])
    np.testing.assert_allclose(marginals(drawn, outlook, 2.0)[1, 0], [0.375, 0.375, 0.125, 0.125])
    with pytest.raises(ValueError, match="outlook must be"):
        marginals(drawn, np.ones((3, 1, 4)))
    with pytest.raises(ValueError, match="samples must be"):
        marginals(np.zeros((0, 2, 1)), outlook)


@QUICK
@given(cases())
def test_forecasts_leave_out_who_cannot_be_seen(case: tuple) -> None:
    drawn, now, outlook = case
    ids = [f"p{i}" for i in range(len(now))]
    found = forecast(torch.from_numpy(drawn), torch.from_numpy(outlook), torch.from_numpy(now), SPACE, 7, ids)
    seen = np.flatnonzero(now != ABSENT)
    assert found.person_ids == tuple(f"p{i}" for i in seen)
    assert found.action_masks == SPACE.masks
    assert found.samples.dtype == np.uint8
    np.testing.assert_array_equal(found.samples, drawn[:, :, seen])
    np.testing.assert_array_equal(found.current, now[seen])
    np.testing.assert_allclose(found.probabilities.sum(-1), 1.0, atol=1e-5)
    assert found.probabilities.shape == (drawn.shape[1], len(seen), 4)
    with pytest.raises(ValueError, match="names"):
        forecast(drawn, outlook, now, SPACE, 7, [*ids, "more"])


def test_next_action_of_an_expected_change() -> None:
    drawn = futures(
        [
            [NONE, NONE, SPEAKS, SPEAKS],
            [NONE, SPEAKS_NODDING, SPEAKS, NONE],
            [SPEAKS, SPEAKS, NONE, NONE],
            [NONE, NONE, NONE, NONE],
        ]
    )
    (found,) = next_actions(drawn, [NONE], SPACE)
    assert found == NextAction(
        valid=True,
        current_action=Action.NONE,
        action=Action.SPEAKING,
        next_index=SPEAKS,
        next_mask=0b10,
        confidence=0.5,
        seconds_until_start=pytest.approx(2 * 0.04),
        change_probability=0.75,
        speak_probability=0.75,
    )


def test_next_action_where_no_change_is_expected() -> None:
    drawn = futures([[SPEAKS] * 3, [SPEAKS] * 3, [SPEAKS, NONE, NONE], [NODS] * 3])
    (found,) = next_actions(drawn, [SPEAKS], SPACE)
    assert (found.current_action, found.action) == (Action.SPEAKING, Action.SPEAKING)
    assert (found.confidence, found.change_probability) == (0.5, 0.5)
    assert found.seconds_until_start == 0.0
    assert found.speak_probability == 0.75


@QUICK
@given(cases())
def test_next_actions_are_consistent(case: tuple) -> None:
    drawn, now, _ = case
    for i, found in enumerate(next_actions(drawn, now, SPACE)):
        if now[i] == ABSENT:
            assert found == NextAction()
            continue
        horizon = drawn.shape[1] * 0.04
        assert 0 <= found.confidence <= 1
        assert found.change_probability == pytest.approx((drawn[:, :, i] != now[i]).any(1).mean())
        expected = found.change_probability > 0.5
        assert (found.next_index != now[i]) == expected
        assert (found.seconds_until_start > 0) == expected
        assert found.seconds_until_start <= horizon + 1e-9
        assert SPACE.encode(found.next_mask) == found.next_index


def test_next_speaker_of_a_handover() -> None:
    drawn = futures(
        [
            [SPEAKS, NONE, NONE, NONE],
            [SPEAKS, SPEAKS, NONE, NONE],
            [SPEAKS] * 4,
            [NONE, SPEAKS, SPEAKS, NONE],
        ],
        [[NONE, NONE, SPEAKS, SPEAKS], [NONE, NONE, NONE, SPEAKS], [NONE] * 4, [NONE] * 4],
        [[NONE] * 4, [NONE] * 4, [NODS] * 4, [NODS] * 4],
    )
    assert next_speaker(drawn, [SPEAKS, NONE, NONE], [30, 0, 0], SPACE) == NextSpeaker(
        valid=True,
        current=0,
        person=1,
        probability=0.5,
        none_probability=0.25,
        seconds_until_start=pytest.approx(3.5 * 0.04),
    )


def test_a_nod_while_speaking_is_no_new_turn_and_ties_are_shared() -> None:
    drawn = futures(
        [[SPEAKS_NODDING, SPEAKS]] * 2, [[NONE, SPEAKS], [NONE, NONE]], [[NONE, SPEAKS], [NONE, NONE]]
    )
    found = next_speaker(drawn, [SPEAKS, NONE, NONE], [3, 0, 0], SPACE)
    assert (found.current, found.person, found.probability, found.none_probability) == (0, 1, 0.25, 0.5)


def test_who_began_first_has_the_floor() -> None:
    drawn = futures([[SPEAKS]], [[SPEAKS]], [[NONE]])
    found = next_speaker(drawn, [SPEAKS, SPEAKS_NODDING, NONE], [4, 9, 0], SPACE)
    assert found == NextSpeaker(valid=True, current=1, none_probability=1.0)


@QUICK
@given(cases())
def test_next_speaker_probabilities_are_a_distribution(case: tuple) -> None:
    drawn, now, _ = case
    found = next_speaker(drawn, now, np.zeros(len(now)), SPACE)
    assert found.valid == bool((now != ABSENT).any())
    assert 0 <= found.probability <= 1 - found.none_probability + 1e-9
    if found.person is not None:
        assert now[found.person] != ABSENT
        assert found.probability >= (1 - found.none_probability) / (now != ABSENT).sum() - 1e-9
        assert 0 < found.seconds_until_start <= drawn.shape[1] * 0.04 + 1e-9
    else:
        assert (found.probability, found.seconds_until_start) == (0.0, 0.0)


def test_speaking_ticks_count_up_and_start_over() -> None:
    ticks = np.zeros(3, dtype=np.int64)
    for now in ([SPEAKS, NONE, ABSENT], [SPEAKS_NODDING, SPEAKS, ABSENT], [SPEAKS, NONE, SPEAKS]):
        ticks = count_speaking_ticks(ticks, now, SPACE)
    assert ticks.tolist() == [3, 0, 1]


def test_mismatched_people_are_refused() -> None:
    drawn = np.zeros((2, 2, 3), dtype=np.int64)
    with pytest.raises(ValueError, match="3 people"):
        next_actions(drawn, [0, 0], SPACE)
    with pytest.raises(ValueError, match="3 people"):
        next_speaker(drawn, [0, 0, 0], [0], SPACE)
