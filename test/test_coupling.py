"""Coupling of people: known where it is total or absent, and gone once people are shuffled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hmgen_ros.evaluation.action_metrics import describe, entropy_of
from hmgen_ros.evaluation.coupling import (
    LAG_NAMES,
    joint_counts,
    lagged_response,
    mutual_information,
    pairwise_mi,
    shuffle_people,
)
from hmgen_ros.generators.action_space import ABSENT, ActionSpace

NONE, SPEAKS = 0, 1
SPACE = ActionSpace((0, 0b10, 0b100, 0b1000, 0b1010))
SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
def test_information_of_copies_is_their_entropy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.choice(5, (4, 30, 1), p=rng.dirichlet(np.ones(5)))
    assert pairwise_mi(np.repeat(one, 3, axis=2), SPACE) == pytest.approx(
        entropy_of(np.bincount(one.ravel())), abs=1e-9
    )


@given(SEEDS)
def test_information_of_independent_people_is_about_zero(seed: int) -> None:
    windows = np.random.default_rng(seed).choice(5, (100, 40, 4), p=[0.6, 0.2, 0.1, 0.06, 0.04])
    assert 0 <= pairwise_mi(windows, SPACE) < 2e-3


@given(SEEDS)
def test_joint_table_counts_pairs(seed: int) -> None:
    windows = np.random.default_rng(seed).integers(ABSENT, 5, (2, 3, 4, 4))
    expected = np.zeros((2, 5, 5))
    for w, s, t in np.ndindex(windows.shape[:3]):
        for i in range(4):
            for j in range(4):
                a, b = windows[w, s, t, i], windows[w, s, t, j]
                if i != j and ABSENT not in (a, b):
                    expected[w, a, b] += 1
    np.testing.assert_array_equal(joint_counts(windows, 5), expected)


def test_information_needs_two_people() -> None:
    assert np.isnan(pairwise_mi(np.zeros((3, 4, 1), np.int64), SPACE))
    assert np.isnan(pairwise_mi(np.zeros((3, 4, 0), np.int64), SPACE))
    assert mutual_information(np.array([[4.0, 0.0], [0.0, 4.0]])) == pytest.approx(np.log(2))


def turn_taking(rng: np.random.Generator, pause: int, windows: int = 60) -> NDArray[np.int64]:
    """Two people who take turns of random length, each beginning ``pause`` ticks after the other ended."""
    result = np.zeros((windows, 80, 2), np.int64)
    for window in result:
        tick, person = -int(rng.integers(0, 30)), int(rng.integers(2))
        while tick < 80:
            end = tick + int(rng.integers(10, 40))
            window[max(tick, 0) : max(end, 0), person] = SPEAKS
            tick, person = end + pause, 1 - person
    return result


@pytest.mark.parametrize(("pause", "lag"), [(2, 0), (9, 0), (12, 1), (25, 2)])
def test_who_follows_at_a_lag_shows_there(pause: int, lag: int) -> None:
    found = lagged_response(turn_taking(np.random.default_rng(pause), pause), SPACE)
    assert list(found) == list(LAG_NAMES)
    assert max(found, key=found.__getitem__) == LAG_NAMES[lag]
    assert found[LAG_NAMES[lag]] > 1.5


def test_who_minds_nobody_answers_as_at_any_time() -> None:
    windows = turn_taking(np.random.default_rng(0), 5, windows=800)
    found = lagged_response(shuffle_people(windows, np.random.default_rng(1)), SPACE)
    assert all(0.85 < value < 1.15 for value in found.values())


def test_short_windows_have_no_late_lags() -> None:
    found = lagged_response(turn_taking(np.random.default_rng(0), 5)[:, :40], SPACE)
    assert np.isfinite(found["0-0.4"])
    assert np.isnan(found["0.8-1.6"])


@given(SEEDS, st.integers(1, 6), st.integers(0, 4))
def test_shuffling_moves_whole_windows_within_a_seat(seed: int, count: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    windows = rng.integers(ABSENT, 5, (count, 6, people))
    mixed = shuffle_people(windows, rng)
    for seat in range(people):
        before, after = (sorted(map(tuple, one[:, :, seat])) for one in (windows, mixed))
        assert before == after


@given(SEEDS)
def test_shuffling_keeps_what_single_people_do_and_ends_coupling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = turn_taking(rng, 5, windows=150)
    before, after = describe(windows, SPACE), describe(shuffle_people(windows, rng), SPACE)
    assert after["H_M"] == before["H_M"]
    for name in ("H_C", "changes", "short_dwell"):
        assert after[name] == pytest.approx(before[name], rel=1e-12, nan_ok=True)
    assert before["overlap"] == 0 < 0.1 < after["overlap"]
    assert after["pairwise_mi"] < 0.1 * before["pairwise_mi"]


def test_the_unseen_are_no_silence() -> None:
    windows = np.full((1, 10, 2), ABSENT)
    windows[0, :4] = [SPEAKS, NONE]
    windows[0, 4:6] = [NONE, ABSENT]
    found = describe(windows, SPACE)
    assert found["silence"] == pytest.approx(2 / 6)
    assert found["overlap"] == 0.0
