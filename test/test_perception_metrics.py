"""Known figures of hand-made cases, and what holds for any."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmgen_ros.evaluation.perception_metrics import (
    ClearMot,
    Tally,
    average_precision,
    during,
    event_tally,
    f1,
    intervals_of,
    jitter_px,
    precision_recall,
    tick_tally,
)

HERE, AWAY = 0.0, 9.0


def follow(ticks: list[list[str | None]], hidden: tuple[tuple[int, int], ...] = ()) -> ClearMot:
    """Two people on seats far apart; each tick names the id at each seat, None for none."""
    mot = ClearMot()
    for tick, names in enumerate(ticks):
        seats = [i for i, name in enumerate(names) if name is not None]
        distances = np.full((2, len(seats)), AWAY)
        for column, seat in enumerate(seats):
            distances[seat, column] = HERE
        required = np.array([(tick, p) not in hidden for p in range(2)])
        mot.update(required, ~required, [name for name in names if name is not None], distances)
    return mot


def test_faultless_tracking_is_1() -> None:
    t = follow([["a", "b"]] * 10).tracking
    assert (t.mota, t.switches, t.takeovers, t.truths) == (1.0, 0, 0, 20)


def test_a_new_id_is_a_switch_and_a_swap_is_two_takeovers() -> None:
    t = follow([["a", "b"]] * 5 + [["c", "b"]] * 5).tracking
    assert (t.switches, t.takeovers) == (1, 0)
    assert t.mota == pytest.approx(1 - 1 / 20)
    t = follow([["a", "b"]] * 5 + [["b", "a"]] * 5).tracking
    assert (t.switches, t.takeovers) == (2, 2)


def test_misses_and_false_positives_count_and_hidden_people_do_not() -> None:
    t = follow([["a", "b"], ["a", None], ["a", "b"]]).tracking
    assert (t.misses, t.switches, t.mota) == (1, 0, pytest.approx(1 - 1 / 6))
    hidden = ((1, 1),)
    t = follow([["a", "b"], ["a", None], ["a", "b"]], hidden).tracking
    assert (t.misses, t.truths, t.mota) == (0, 5, 1.0)
    # Who is half hidden may be found as well; that is neither right nor wrong, but the id is theirs.
    t = follow([["a", "b"], ["a", "c"], ["a", "c"]], hidden).tracking
    assert (t.false_positives, t.switches) == (0, 1)
    mot = ClearMot()
    mot.update(np.array([True]), np.array([False]), ["a", "x"], np.array([[HERE, AWAY]]))
    assert mot.tracking.false_positives == 1
    assert mot.tracking.mota == 0.0


def test_who_is_followed_keeps_the_id_although_another_comes_nearer() -> None:
    mot = ClearMot()
    both = np.array([True, True])
    mot.update(both, ~both, ["a", "b"], np.array([[0.1, 5.0], [5.0, 0.1]]))
    mot.update(both, ~both, ["a", "b"], np.array([[0.8, 0.2], [0.2, 0.8]]))
    assert mot.tracking.switches == 0
    mot.update(both, ~both, ["a", "b"], np.array([[1.2, 0.2], [0.2, 1.2]]))
    assert mot.tracking.switches == 2


def test_nobody_to_follow_has_no_accuracy() -> None:
    mot = ClearMot()
    mot.update(np.zeros(0, bool), np.zeros(0, bool), ["a"], np.zeros((0, 1)))
    assert math.isnan(mot.tracking.mota)
    assert mot.tracking.false_positives == 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30), st.permutations("abcdef"))
def test_ids_may_be_any_names_as_long_as_they_stay(seen: list[tuple[bool, bool]], names: list[str]) -> None:
    ticks = [[name if there else None for name, there in zip(names[:2], row, strict=True)] for row in seen]
    t = follow(ticks).tracking
    missed = sum(row.count(False) for row in seen)
    assert (t.switches, t.takeovers, t.false_positives) == (0, 0, 0)
    assert t.mota == pytest.approx(1 - missed / (2 * len(seen)))


def test_tally_of_ticks() -> None:
    tally = tick_tally(np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 1], bool))
    assert (tally.right, tally.false, tally.missed) == (2, 1, 1)
    assert tally.precision == tally.recall == tally.f1 == pytest.approx(2 / 3)
    assert math.isnan(Tally().f1)
    assert f1(np.array([True, True]), np.array([False, False])) == 0.0


def test_average_precision_of_known_rankings() -> None:
    truth = np.array([True, False, True, False])
    assert average_precision(truth, np.array([0.9, 0.1, 0.8, 0.2])) == 1.0
    assert average_precision(truth, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(truth, np.zeros(4)) == 0.5
    assert math.isnan(average_precision(np.zeros(3, bool), np.zeros(3)))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40), st.randoms())
def test_average_precision_depends_on_ranks_alone(pairs: list[tuple[bool, int]], random: Random) -> None:
    truth, score = np.array([t for t, _ in pairs]), np.array([float(s) for _, s in pairs])
    if not truth.any():
        return
    value = average_precision(truth, score)
    order = list(range(len(pairs)))
    random.shuffle(order)
    assert average_precision(truth[order], score[order]) == pytest.approx(value)
    assert average_precision(truth, 2 * score - 7) == pytest.approx(value)
    assert 0 < value <= 1
    recall, precision = precision_recall(truth, score)
    assert recall[-1] == 1
    assert precision[-1] == pytest.approx(truth.mean())


def test_events_are_found_once_and_may_be_found_late() -> None:
    truth = [(1.0, 2.0), (5.0, 6.0)]
    tally = event_tally(truth, [(1.5, 1.7), (1.8, 2.5), (9.0, 9.5)])
    assert (tally.right, tally.false, tally.missed) == (1, 2, 1)
    assert event_tally(truth, [(6.2, 6.5)]).right == 0
    assert event_tally(truth, [(6.2, 6.5)], late_s=0.5).right == 1
    assert (event_tally([], [(0, 1)]).false, event_tally([(0, 1)], []).missed) == (1, 1)


@given(st.lists(st.booleans(), max_size=60))
def test_runs_and_intervals_are_the_same(flags: list[bool]) -> None:
    times = np.arange(len(flags)) * 0.04
    found = intervals_of(np.array(flags, bool), times, 0.04)
    np.testing.assert_array_equal(during(found, times + 0.02), flags)
    perfect = event_tally(found, found)
    assert (perfect.false, perfect.missed, perfect.right) == (0, 0, len(found))


def test_jitter_is_the_distance_from_the_mean_place() -> None:
    rng = np.random.default_rng(0)
    face = rng.uniform(0, 400, (1, 68, 2)).repeat(200, axis=0)
    assert jitter_px(face) == pytest.approx(0.0, abs=1e-9)
    trembling = face + rng.normal(0, 0.3, face.shape)
    assert jitter_px(trembling) == pytest.approx(0.3 * math.sqrt(2), rel=0.02)
    assert math.isnan(jitter_px(face[:0]))
