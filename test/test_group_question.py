"""Questions to a forecaster: a history that is told is as good as one that was observed; nothing changes."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_forecasters import NONE, SPEAKING, group_attention, scene, semi_markov, social

from hmgen_ros.generators.group_forecaster import GroupForecast, GroupForecaster
from hmgen_ros.generators.group_question import BadQuestion, GroupQuestion, answer
from hmgen_ros.types import UNKNOWN_MASK, Action, action_mask

LAUGHING = action_mask(Action.LAUGHING)
IDS = ("a", "b", "c")


@pytest.fixture(params=[semi_markov, group_attention, social], ids=lambda make: make.__name__)
def forecaster(request: pytest.FixtureRequest) -> GroupForecaster:
    return GroupForecaster(request.param(), samples=16)


def observe(forecaster: GroupForecaster, masks: np.ndarray) -> None:
    forecaster.reset()
    for tick, row in enumerate(masks):
        forecaster.observe(scene(tick, dict(zip(IDS, row.tolist(), strict=False))))


def history(ticks: int, people: int = 2, seed: int = 0) -> np.ndarray:
    """Actions that last some ticks each."""
    choices = np.array([NONE, SPEAKING, LAUGHING, SPEAKING | LAUGHING, UNKNOWN_MASK], np.uint16)
    drawn = np.random.default_rng(seed).integers(0, len(choices), (-(-ticks // 5), people))
    return np.repeat(choices[drawn], 5, axis=0)[:ticks]


def ask(told: np.ndarray | None = None, ids: tuple[str, ...] = (), **changes: object) -> GroupQuestion:
    values: dict[str, object] = {"horizon_s": 0.8, "samples": 24, "seed": 7, **changes}
    return GroupQuestion(ids, told, **values)  # type: ignore[arg-type]


def same(one: GroupForecast, other: GroupForecast) -> None:
    np.testing.assert_array_equal(one.forecast.samples, other.forecast.samples)
    np.testing.assert_allclose(one.forecast.probabilities, other.forecast.probabilities, atol=1e-5)
    assert one.forecast.person_ids == other.forecast.person_ids
    assert [action.next_mask for action in one.actions] == [action.next_mask for action in other.actions]
    assert one.speaker.person_id == other.speaker.person_id


@pytest.mark.parametrize("seed", range(3))
def test_a_history_that_is_told_has_the_futures_of_one_that_was_observed(
    forecaster: GroupForecaster, seed: int
) -> None:
    masks = history(43, seed=seed)
    observe(forecaster, masks)
    observed = answer(forecaster, forecaster.moment, ask())
    same(observed, answer(forecaster, None, ask(masks, IDS[:2])))
    assert observed.forecast.samples.shape[:2] == (24, 20)
    assert observed.forecast.stamp_ns == scene(42, {}).stamp_ns


def test_questions_change_nothing(forecaster: GroupForecaster) -> None:
    masks = history(40)
    observe(forecaster, masks)
    plain = forecaster.observe(scene(40, {"a": NONE, "b": SPEAKING}))
    observe(forecaster, masks)
    before = forecaster.moment
    first = answer(forecaster, before, ask())
    answer(forecaster, None, ask(history(30, 3), IDS, samples=3))
    after = forecaster.observe(scene(40, {"a": NONE, "b": SPEAKING}))
    same(plain, after)
    same(first, answer(forecaster, before, ask()))


def test_some_of_the_group_in_the_order_asked(forecaster: GroupForecaster) -> None:
    masks = np.full((30, 3), NONE, np.uint16)
    masks[:, 1] = UNKNOWN_MASK
    observe(forecaster, masks)
    every = answer(forecaster, forecaster.moment, ask())
    assert every.forecast.person_ids == ("a", "c")
    some = answer(forecaster, forecaster.moment, ask(ids=("c", "b")))
    assert some.forecast.person_ids == ("c",)
    assert [action.person_id for action in some.actions] == ["c", "b"]
    np.testing.assert_array_equal(some.forecast.samples[..., 0], every.forecast.samples[..., 1])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ask(ids=("x",)), "x cannot be seen; in view: a, b"),
        (lambda: ask(horizon_s=11.0), "horizon is 11 s"),
        (lambda: ask(horizon_s=float("nan")), "horizon is nan s"),
        (lambda: ask(horizon_s=-1.0), "horizon is -1 s"),
        (lambda: ask(samples=1025), "samples is 1025"),
        (lambda: ask(ids=("a", "a")), "different"),
        (lambda: ask(ids=("a", "")), "none of them empty"),
        (lambda: ask(history(5), IDS[:2], samples=0), "samples is 0"),
        (lambda: ask(np.zeros((5, 13), np.uint16), tuple("abcdefghijklm")), "13 people"),
        (lambda: ask(np.zeros((15_001, 1), np.uint16), ("a",)), "15001 ticks"),
        (lambda: ask(np.full((5, 1), 1 << 12, np.uint16), ("a",)), "4096"),
    ],
)
def test_what_has_no_answer_says_why(make: Callable[[], GroupQuestion], text: str) -> None:
    forecaster = GroupForecaster(semi_markov(), samples=4)
    observe(forecaster, history(10))
    with pytest.raises(BadQuestion, match=text):
        answer(forecaster, forecaster.moment, make())


def test_nothing_is_known_before_the_first_tick() -> None:
    forecaster = GroupForecaster(semi_markov(), samples=4)
    with pytest.raises(BadQuestion, match="nothing has been observed"):
        answer(forecaster, forecaster.moment, ask())


@settings(max_examples=25, deadline=None)
@given(
    masks=st.integers(1, 4).flatmap(
        lambda people: st.lists(
            st.lists(st.sampled_from([0, 2, 4, 6, 1022, UNKNOWN_MASK]), min_size=people, max_size=people),
            min_size=1,
            max_size=12,
        )
    ),
    steps=st.integers(1, 12),
    samples=st.integers(1, 9),
)
def test_any_history_has_an_answer(masks: list[list[int]], steps: int, samples: int) -> None:
    told = np.array(masks, np.uint16)
    ids = tuple("abcd"[: told.shape[1]])
    forecaster = GroupForecaster(semi_markov(), samples=4)
    found = answer(forecaster, None, ask(told, ids, horizon_s=0.04 * steps, samples=samples))
    known = told[-1] != UNKNOWN_MASK
    assert found.forecast.samples.shape == (samples, steps, known.sum())
    np.testing.assert_allclose(found.forecast.probabilities.sum(-1), 1.0, atol=1e-4)
    assert [action.valid for action in found.actions] == known.tolist()
