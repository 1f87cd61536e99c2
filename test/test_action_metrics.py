"""H_M, H_C and the measures of sequences; scores of probabilities, onsets and next speakers; intervals."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hmgen_ros.evaluation import bootstrap
from hmgen_ros.evaluation.action_metrics import describe, entropy_of, score
from hmgen_ros.evaluation.forecast_scores import (
    BINS,
    ONSET_TOLERANCE,
    auc,
    first_to_speak,
    onset_f1,
    onset_sums,
    probability_sums,
    probability_values,
    reliability,
    speaker_sums,
    turn_ends,
)
from hmgen_ros.generators.action_space import ABSENT, ActionSpace

NONE, SPEAKS, LAUGHS, NODS, SPEAKS_NODDING = range(5)
SPACE = ActionSpace((0, 0b10, 0b100, 0b1000, 0b1010))
SEEDS = st.integers(0, 2**32 - 1)


def random_windows(seed: int, windows: int = 6, ticks: int = 30, people: int = 3) -> NDArray[np.int64]:
    """Windows with runs and some absences."""
    rng = np.random.default_rng(seed)
    changes = rng.random((windows, ticks, people)) < 0.2
    changes[:, 0] = True
    drawn = rng.choice(np.arange(ABSENT, 5), changes.shape, p=[0.05, 0.5, 0.2, 0.05, 0.1, 0.1])
    last = np.maximum.accumulate(np.where(changes, np.arange(ticks)[:, None], 0), axis=1)
    return np.take_along_axis(drawn, last, axis=1)


def naive_entropy(symbols: NDArray[np.int64]) -> float:
    seen = symbols[symbols != ABSENT]
    share = np.bincount(seen) / len(seen)
    return float(-sum(p * np.log(p) for p in share if p))


def test_entropies_of_known_sequences() -> None:
    windows = np.zeros((2, 4, 1), np.int64)
    windows[1, :, 0] = [NONE, NONE, SPEAKS, SPEAKS]
    found = describe(windows, SPACE)
    assert found["H_M"] == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert found["H_C"] == pytest.approx(np.log(2) / 2)
    assert found["IS"] == pytest.approx(np.exp(found["H_M"] - found["H_C"]))
    assert found["changes"] == pytest.approx(1 / 6 * 25)


@given(SEEDS)
def test_entropies_follow_their_definition(seed: int) -> None:
    windows = random_windows(seed)
    found = describe(windows, SPACE)
    lines = [line for line in windows.transpose(0, 2, 1).reshape(-1, windows.shape[1]) if (line >= 0).any()]
    assert found["H_M"] == pytest.approx(naive_entropy(windows))
    assert found["H_C"] == pytest.approx(np.mean([naive_entropy(line) for line in lines]), abs=1e-12)
    assert 0 <= found["H_C"] <= found["H_M"] + 0.5
    assert found["H_M"] <= np.log(5)


@given(SEEDS)
def test_short_dwells_follow_their_definition(seed: int) -> None:
    windows = random_windows(seed)
    lengths = []
    for line in windows.transpose(0, 2, 1).reshape(-1, windows.shape[1]):
        edges = np.nonzero(np.diff(line))[0] + 1
        lengths += [b - a for a, b in pairwise(edges) if line[a] != ABSENT]
    expected = np.mean(np.array(lengths) < 5) if lengths else np.nan
    assert describe(windows, SPACE)["short_dwell"] == pytest.approx(expected, nan_ok=True)


def test_entropy_of_nothing_is_unknown() -> None:
    assert np.isnan(entropy_of(np.zeros(4)))
    assert entropy_of(np.array([0, 3])) == 0.0


@pytest.mark.parametrize("windows", [np.zeros((3, 4), np.int64), np.zeros((3, 1, 2), np.int64)])
def test_describe_wants_windows(windows: NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match=r"\[W, T, N\]"):
        describe(windows, SPACE)


def test_describe_wants_people() -> None:
    with pytest.raises(ValueError, match="nobody"):
        describe(np.full((3, 4, 2), ABSENT), SPACE)


@given(SEEDS)
def test_probability_values_are_the_mean_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given_ = 0.99 * rng.dirichlet(np.ones(5), (7, 2, 3)) + 0.002  # none below what counts as impossible
    truth = rng.integers(ABSENT, 5, (7, 2, 3))
    truth[0] = NONE
    scores, bins = probability_sums(given_, truth)
    found = probability_values(scores.sum(axis=0), bins.sum(axis=0))
    for horizon in range(2):
        expected = score(given_[:, horizon], truth[:, horizon])
        assert found["nll"][horizon] == pytest.approx(expected.nll)
        assert found["brier"][horizon] == pytest.approx(expected.brier)
        assert found["ece"][horizon] == pytest.approx(naive_ece(given_[:, horizon], truth[:, horizon]))


def naive_ece(given_: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    pairs = [
        (p, action == symbol)
        for row, symbol in zip(given_.reshape(-1, 5), truth.ravel(), strict=True)
        if symbol != ABSENT
        for action, p in enumerate(row)
    ]
    error = 0.0
    for index in range(BINS):
        inside = [(p, hit) for p, hit in pairs if min(int(p * BINS), BINS - 1) == index]
        if inside:
            error += len(inside) / len(pairs) * abs(np.mean(inside, axis=0) @ [1, -1])
    return error


def test_forecasts_as_often_true_as_they_say_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    given_ = rng.dirichlet(np.ones(5), (40_000, 1, 1))
    truth = (rng.random((40_000, 1, 1, 1)) > given_.cumsum(-1)).sum(-1).clip(max=4)
    scores, bins = probability_sums(given_, truth)
    honest = probability_values(scores.sum(0), bins.sum(0))["ece"][0]
    scores, bins = probability_sums(given_**2 / (given_**2).sum(-1, keepdims=True), truth)
    assert honest < 0.005 < 0.05 < probability_values(scores.sum(0), bins.sum(0))["ece"][0]
    table = reliability(bins.sum(axis=(0, 1)))
    assert table["count"][0] > 0
    assert len(table["probability"]) == len(table["frequency"]) == BINS


def test_what_was_called_impossible_is_not_worth_infinity() -> None:
    scores, bins = probability_sums(np.eye(5)[None, None, None, 0], np.array([[[SPEAKS]]]))
    assert probability_values(scores[0], bins[0])["nll"][0] == pytest.approx(-np.log(1e-6))
    with pytest.raises(ValueError, match="given must be"):
        probability_sums(np.ones((1, 1, 1, 5)), np.zeros((1, 1, 2), np.int64))
    nobody = probability_sums(np.ones((1, 1, 1, 5)) / 5, np.full((1, 1, 1), ABSENT))
    assert np.isnan(probability_values(nobody[0][0], nobody[1][0])["nll"]).all()


def speech(*ticks: int) -> NDArray[np.int64]:
    """One window of one person who speaks at each of these ticks."""
    line = np.zeros(40, np.int64)
    line[list(ticks)] = SPEAKS
    return line[None, :, None]


@pytest.mark.parametrize(
    ("predicted", "true", "matched"),
    [
        ((5,), (5,), 1),
        ((5,), (15,), 1),
        ((5,), (16,), 0),
        ((16,), (5,), 0),
        ((5, 10), (7,), 1),
        ((7,), (5, 10), 1),
        ((5, 20), (14, 16), 2),
        ((), (5,), 0),
        ((5,), (), 0),
    ],
)
def test_onsets_are_matched(predicted: tuple[int, ...], true: tuple[int, ...], matched: int) -> None:
    sums = onset_sums(speech(*predicted)[:, None], speech(*true), np.zeros((1, 1), np.int64), SPACE)
    assert sums.tolist() == [[matched, len(predicted), len(true)]]


def test_bits_have_onsets_of_their_own() -> None:
    now = np.array([[SPEAKS, NONE, ABSENT]])
    truth = np.full((1, 40, 3), NONE)
    truth[0, :, 0] = SPEAKS_NODDING  # begins to nod, went on speaking
    truth[0, 3:, 1] = SPEAKS
    truth[0, :, 2] = ABSENT
    futures = np.repeat(truth[:, None], 2, axis=1)
    futures[0, 1, :, 1] = LAUGHS  # another bit than the true one
    sums = onset_sums(futures, truth, now, SPACE)
    assert sums.tolist() == [[3, 4, 4]]
    assert onset_f1(sums[0]) == pytest.approx(3 / 4)
    assert np.isnan(onset_f1(np.zeros(3)))


@given(SEEDS)
def test_matching_is_the_largest_there_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = np.where(rng.random((2, 5, 40, 2)) < 0.2, SPEAKS, NONE)
    now = np.zeros((5, 2), np.int64)
    matched, predicted, true = onset_sums(windows[0][:, None], windows[1], now, SPACE).sum(axis=0)
    best, counts = 0, [0, 0]
    for window in range(5):
        for person in range(2):
            lines = [np.append(0, one[window, :, person]) for one in windows]
            ours, theirs = (np.nonzero(np.diff(line) > 0)[0] for line in lines)
            near = np.abs(ours[:, None] - theirs[None, :]) <= ONSET_TOLERANCE
            best += near[linear_sum_assignment(near, maximize=True)].sum()
            counts[0] += len(ours)
            counts[1] += len(theirs)
    assert (matched, predicted, true) == (best, *counts)


def test_first_to_speak_shares_ties() -> None:
    futures = np.zeros((1, 4, 10, 3), np.int64)
    futures[0, 0, 5:, 0] = SPEAKS
    futures[0, 1, 3:, 1] = futures[0, 1, 4:, 0] = SPEAKS
    futures[0, 2, 3:, 1] = futures[0, 2, 3:, 2] = SPEAKS_NODDING
    assert first_to_speak(futures, SPACE).tolist() == [[0.25, 0.375, 0.125]]


def test_turn_ends_are_where_speech_ends() -> None:
    symbols = np.array(
        [[1, 0], [1, 1], [0, 1], [0, 0], [0, 0], [4, ABSENT], [0, ABSENT], [1, 0], [ABSENT] * 2]
    )
    assert turn_ends(symbols, SPACE).tolist() == [3, 6]


@given(SEEDS)
def test_auc_counts_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, spoke = rng.integers(0, 6, 40) / 3, rng.random(40) < 0.4
    spoke[:2] = [True, False]
    wins = (scores[spoke][:, None] > scores[~spoke]) + 0.5 * (scores[spoke][:, None] == scores[~spoke])
    sums = speaker_sums(scores, spoke, rng.integers(0, 3, 40), 3)
    assert auc(sums.sum(axis=0)) == pytest.approx(wins.mean())
    assert sums.sum() == 40


def test_auc_needs_both_kinds() -> None:
    assert np.isnan(auc(np.zeros((0, 2))))
    assert auc(np.array([[10.0, 3.0]])) == 0.5


def test_blocks_are_drawn_within_meetings() -> None:
    blocks = bootstrap.block_counts([1500, 1501, 0, 4000])
    assert blocks == [1, 2, 0, 3]
    draws = bootstrap.draw_blocks(blocks, 50, np.random.default_rng(0))
    assert draws.shape == (50, 6)
    assert (draws[:, :1] == 1).all()
    assert (draws[:, 1:3].sum(axis=1) == 2).all()
    assert (draws[:, 3:].sum(axis=1) == 3).all()


def test_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        totals: dict[str, NDArray[np.float64]] = {}
        values = np.stack([rng.normal(3.0, 1.0, 60), np.ones(60)], axis=-1)
        bootstrap.add_to_blocks(totals, {"sums": values}, np.arange(60), 60)
        drawn = bootstrap.resample(totals, bootstrap.draw_blocks([60], 200, rng))["sums"]
        low, high = bootstrap.interval(drawn[:, 0] / drawn[:, 1])
        covered += low < 3.0 < high
    assert 0.88 < covered / 200 < 0.99


def test_interval_of_what_is_mostly_unknown_is_unknown() -> None:
    assert np.isnan(bootstrap.interval(np.array([1.0, np.nan, np.nan]))).all()
    assert bootstrap.interval(np.array([1.0, 1.0, np.nan])) == [1.0, 1.0]
