"""Intervals of the scores of bags: they hold the score, shrink with more data, and are not made up."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_evaluate_bag import TICKS, people_bag, quiet

from hmgen_ros.evaluation.bag_action_values import action_measures, action_support
from hmgen_ros.evaluation.bag_heads import head_measures
from hmgen_ros.evaluation.bag_intervals import FEWEST, Units, interval
from hmgen_ros.evaluation.bag_stretches import STRETCH_S, Measures, Stretches, Sums, whole
from hmgen_ros.evaluation.evaluate_bag import EvaluateBagConfig, evaluate_bag

QUICK = settings(deadline=None, max_examples=15)
MEASURES = ("nll", "brier", "f1", "onset_f1", "next_speaker_auc", "next_speaker_hits")


def action_sums(stretches: int, seed: int, clarity: float = 1.0) -> Sums:
    """Sums of stretches that differ from each other, of forecasts that are better where clarity is more."""
    rng = np.random.default_rng(seed)
    people = rng.integers(50, 500, (stretches, 2)).astype(float)
    level = rng.gamma(4.0, 0.25, (stretches, 1)) / clarity
    scores = np.stack([people * level, people * level * 0.5, people], axis=-1)  # [B, H, 3]
    hits = rng.integers(1, 50, (stretches, 2, 3, 3)).astype(float)
    onsets = rng.integers(1, 50, (stretches, 3)).astype(float)
    turns = np.zeros((stretches, 11, 2))
    for kind in range(2):
        for row in range(stretches):
            drawn = np.clip(rng.normal(4 + 2 * kind * clarity, 2.0, 3).round(), 0, 10).astype(int)
            np.add.at(turns[row, :, kind], drawn, 1.0)
    hit = rng.integers(0, 4, stretches).astype(float)
    turn_hits = np.stack([hit, np.full(stretches, 3.0)], axis=-1)
    return {"scores": scores, "hits": hits, "onsets": onsets, "turns": turns, "turn_hits": turn_hits}


def told(sums: Sums, seed: int = 0) -> dict[str, tuple[float, tuple[float, float] | None]]:
    """Each measure and its interval."""
    units = Units.among(np.zeros(len(sums["scores"]), int), seed)
    own = units.add_up(sums)
    replicates = units.replicates({"": own}, lambda drawn: action_measures(drawn[""]))
    value, support = action_measures(whole(own)), action_support(own)
    return {m: (float(value[m]), interval(replicates[m], float(value[m]), int(support[m]))) for m in MEASURES}


@QUICK
@given(st.integers(FEWEST, 40), st.integers(0, 10_000))
def test_intervals_hold_the_score_and_are_the_same_bits_again(stretches: int, seed: int) -> None:
    sums = action_sums(stretches, seed)
    found = told(sums, seed)
    assert found == told(sums, seed)
    for value, held in found.values():
        assert held is not None
        assert held[0] <= value <= held[1]
        assert held[0] < held[1]
    other = told(sums, seed + 1)
    assert any(found[metric] != other[metric] for metric in MEASURES)


@QUICK
@given(st.integers(0, 10_000))
def test_intervals_shrink_with_more_data(seed: int) -> None:
    """Nine times the same stretches say the same of three times the width or less."""
    sums = action_sums(8, seed)
    often = {name: np.concatenate([value] * 9) for name, value in sums.items()}
    for metric, (value, held) in told(sums).items():
        same, closer = told(often)[metric]
        assert held is not None
        assert closer is not None
        assert same == pytest.approx(value)
        assert closer[1] - closer[0] < 0.5 * (held[1] - held[0])


@QUICK
@given(st.integers(1, FEWEST - 1), st.integers(0, 10_000))
def test_of_few_stretches_nothing_is_told(stretches: int, seed: int) -> None:
    for value, held in told(action_sums(stretches, seed)).values():
        assert np.isfinite(value)
        assert held is None
    # Turns ended in few of many stretches: of who spoke next nothing is told, of the rest all.
    sums = action_sums(20, seed)
    for name in ("turns", "turn_hits"):
        sums[name][stretches:] = 0
    found = told(sums)
    assert found["nll"][1] is not None
    assert found["next_speaker_auc"][1] is None


def mean_and_interval(rows: NDArray[np.float64], units: Units) -> tuple[float, tuple[float, float] | None]:
    sums = {"": units.add_up({"rows": rows})}

    def mean(drawn: dict[str, Sums]) -> Measures:
        return {"mean": drawn[""]["rows"][..., 0] / drawn[""]["rows"][..., 1]}

    value = float(rows[:, 0].sum() / rows[:, 1].sum())
    return value, interval(units.replicates(sums, mean)["mean"], value, len(units))


@pytest.mark.parametrize("stretches", [FEWEST, 12])
def test_intervals_hold_the_truth_about_as_often_as_they_say(stretches: int) -> None:
    """Also of few stretches, where the middle of the replicates alone would hold it in 84 or 90 of 100."""
    rng = np.random.default_rng(0)
    units = Units.among(np.zeros(stretches, int), 0)
    held = 0
    for _ in range(300):
        rows = np.stack([250 * rng.normal(3.0, 1.0, stretches), np.full(stretches, 250.0)], axis=-1)
        _, found = mean_and_interval(rows, units)
        assert found is not None
        held += found[0] < 3.0 < found[1]
    assert 0.88 < held / 300 < 0.99


def test_of_enough_bags_bags_are_drawn() -> None:
    """Stretches of one bag are alike here: drawn alone they would claim to know a lot."""
    rng = np.random.default_rng(1)
    bag = np.repeat(np.arange(6), 30)
    levels = rng.normal(3.0, 1.0, 6)
    rows = np.stack([levels[bag] + rng.normal(0.0, 0.1, len(bag)), np.ones(len(bag))], axis=-1)
    bags, stretches = Units.among(bag, 0), Units.among(np.zeros(len(bag), int), 0)
    assert (bags.name, len(bags)) == ("bags", 6)
    assert (stretches.name, len(stretches)) == (f"stretches of {STRETCH_S} s", 180)
    wide, narrow = (mean_and_interval(rows, units)[1] for units in (bags, stretches))
    assert wide is not None
    assert narrow is not None
    assert wide[1] - wide[0] > 4 * (narrow[1] - narrow[0])


def test_differences_of_one_draw_are_surer_than_scores() -> None:
    """A head model that is better by the same everywhere, in stretches of which some are hard."""
    rng = np.random.default_rng(2)
    people = np.full((20, 1), 100.0)
    hard = rng.gamma(2.0, 1.0, (20, 1))
    errors = np.stack([hard * people, hard * people, people, people, people], axis=-1)
    better = errors * np.array([0.9, 1.0, 1.0, 1.0, 1.0])
    units = Units.among(np.zeros(20, int), 0)

    def less(drawn: dict[str, Sums]) -> Measures:
        found = head_measures(drawn)
        return {"less": found["new"]["error"] - found["hold"]["error"], **found["new"]}

    found = units.replicates({"new": {"errors": better}, "hold": {"errors": errors}}, less)
    alone, paired = (interval(found[name][:, 0], np.median(found[name]), 20) for name in ("error", "less"))
    assert alone is not None
    assert paired is not None
    assert paired[1] - paired[0] < 0.2 * (alone[1] - alone[0])
    assert paired[1] < 0
    assert found["to_hold"] == pytest.approx(0.9)


def test_stretches_come_in_order_and_the_same_time_twice_is_one() -> None:
    stretches, second = Stretches(), 1_000_000_000
    stamps = [100 * second + tick * second for tick in (0, 3, 9, 10, 11, 2, 35, 10)]
    assert [stretches.row(stamp) for stamp in stamps] == [0, 0, 0, 1, 1, 0, 2, 1]
    assert stretches.starts == [stamps[0], stamps[3], stamps[6]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a bag of 52 s."""
    folder = tmp_path_factory.mktemp("bags")
    bag = people_bag(folder / "bag", 52 * 25)
    out = {"json": folder / "one.json", "html": folder / "one.html"}
    evaluate_bag(EvaluateBagConfig(bag, model="semi_markov", samples=4, **out), quiet())
    return folder


def test_results_hold_intervals_and_differences(results: Path) -> None:
    report = json.loads((results / "one.json").read_text())
    assert (report["intervals"]["units"], report["intervals"]["count"]) == ("stretches of 10 s", 6)
    scores = report["actions"]["semi_markov"]
    for metric in ("nll", "brier", "f1", "next_speaker_auc"):
        low, high = scores["ci95"][metric]
        assert low <= scores[metric] <= high
    ahead = scores["by_horizon"]["0.4"]
    assert ahead["ci95"]["speaking_auc"][0] <= ahead["speaking_auc"] <= ahead["ci95"]["speaking_auc"][1]
    moved = report["heads"]["constant_velocity"]["by_horizon"]["0.4"]
    assert moved["ci95"]["error"][0] <= moved["error"] <= moved["ci95"]["error"][1]
    less = report["differences"]
    nll = less["actions"]["persistence"]["nll"]
    assert nll["difference"] == pytest.approx(scores["nll"] - report["actions"]["persistence"]["nll"])
    assert nll["ci95"][0] <= nll["difference"] <= nll["ci95"][1]
    error = less["heads"]["hold"]["0.4"]["error"]
    assert error["ci95"][0] <= error["difference"] <= error["ci95"][1]
    page = (results / "one.html").read_text()
    assert "6 stretches of 10 s, drawn anew" in page
    assert "semi_markov less others" in page
    low, high = scores["ci95"]["nll"]
    assert f"{low:.3f} to {high:.3f}" in page


def test_two_runs_on_one_bag_are_paired(results: Path) -> None:
    bag = results / "bag"
    config = EvaluateBagConfig(bag, model="persistence", samples=4, compare=results / "one.json")
    less = evaluate_bag(config, quiet())["differences"]
    before = json.loads((results / "one.json").read_text())["differences"]
    # The same models the other way round, from the same draws.
    new, old = (
        part["actions"][name] for part, name in ((less, "semi_markov (one)"), (before, "persistence"))
    )
    for metric in ("nll", "f1", "next_speaker_auc"):
        assert new[metric]["difference"] == pytest.approx(-old[metric]["difference"], abs=1e-6)
        assert new[metric]["ci95"] == pytest.approx([-end for end in old[metric]["ci95"][::-1]], abs=2e-6)
    same = less["actions"]["persistence (one)"]["nll"]
    assert same == {"difference": 0.0, "ci95": [0.0, 0.0]}


def test_runs_that_cannot_be_paired_say_why(results: Path, tmp_path: Path) -> None:
    short = people_bag(tmp_path / "short", TICKS)
    alone = tmp_path / "alone.json"
    alone.write_bytes((results / "one.json").read_bytes())
    for compare, why in ((results / "one.json", "not of the same bags"), (alone, "no alone.stretches.json")):
        report = evaluate_bag(EvaluateBagConfig(short, compare=compare, model="persistence"), quiet())
        assert why in report["differences"]["note"]
        assert not any("(" in name for name in report["differences"]["actions"])
    assert "cannot be told from one stretch of 10 s" in report["intervals"]["note"]
    assert set(report["actions"]["persistence"]["ci95"].values()) == {None}
    (tmp_path / "alone.stretches.json").write_text('{"bag": [0]}')
    with pytest.raises(ValueError, match=r"alone\.stretches\.json holds no stretches"):
        evaluate_bag(EvaluateBagConfig(short, compare=alone, model="persistence"), quiet())
