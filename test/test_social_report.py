"""The report is rebuilt from run folders as the training writes them; what is missing says so."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hmgen_ros.evaluation.social_figures import CURVES, draw_calibration, draw_curves
from hmgen_ros.evaluation.social_held_out import coupling, horizons, with_interval
from hmgen_ros.evaluation.social_report import ReportConfig, benchmark, write_report
from hmgen_ros.evaluation.social_runs import ReportError, mean_curve, read_runs, select, spread
from hmgen_ros.evaluation.social_tables import (
    NOT_RUN,
    THESIS,
    ablation,
    comparison,
    efforts,
    everything,
)
from hmgen_ros.evaluation.social_targets import MET, NOT_MET, UNKNOWN, UNSURE, targets
from hmgen_ros.training.run_log import RunFolder, RunLog, write_json

QUIET = Console(quiet=True)
DATA = {"H_M": 1.2, "H_C": 0.3, "IS": math.exp(0.9), "overlap": 0.07, "pairwise_mi": 0.11}
DATA |= {"short_dwell": 0.05, "changes": 0.3}


def make_run(folder, system, target=40, lambda_reco=0.0, seed=0, iterations=300, best=None, asked=300):
    """A run folder by the training's own writer, with an evaluation every 100 iterations."""
    run = RunFolder(folder / f"{system}-t{target}-reco{lambda_reco:g}-s{seed}")
    settings = {"system": system, "batch": 16, "hidden": 24, "generator_rate": 2e-5, "seed": seed}
    run.prepare(settings, {"iterations": asked}, force=False)
    log = RunLog(run, 0)
    for iteration in range(0, iterations + 1, 50):
        row = {"iteration": iteration, "epoch": iteration // 10, "seconds": iteration / 2, "loss": 1.0}
        if iteration % 100 == 0:
            row |= {"H_M": 1.0 + iteration / 1000 + seed / 10, "SFID": 9.0 - iteration / 100 + seed}
        log.add(row)
    log.close()
    found = {"iteration": 200, **DATA, "SFID": 2.0 + seed} | (best or {})
    result = {"best": found, "last": found, "data": DATA, "iterations": iterations, "seconds": 90.0}
    write_json(run.result, result)
    return run


@pytest.fixture
def runs_folder(tmp_path):
    folder = tmp_path / "runs"
    for seed, h_m in enumerate((1.0, 1.1, 1.2)):
        make_run(folder, "local_rnn", seed=seed, best={"H_M": h_m})
    make_run(folder, "simple_rnn", lambda_reco=1e-3, best={"H_M": 0.5, "H_C": math.nan, "SFID": 250.0})
    make_run(folder, "no_gan", lambda_reco=1.0, best={"SFID": 4.5})
    make_run(folder, "attention", iterations=200)
    return folder


def cells(text, *start):
    """The cells of the Markdown row that begins with ``start``."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    (row,) = [row for row in rows if row[: len(start)] == list(start)]
    return row


def evaluation(**default):
    """An evaluation in which ``refined`` is shipped and as good as the data."""
    scores = {"nll": 0.5, "brier": 0.3, "ece": 0.01, "next_speaker_auc": 0.7, "SFID": 1.0}
    horizons = {h: {"nll": float(h), "brier": 0.1, "ece": 0.01} for h in ("0.2", "1.6", "0.4")}
    shipped = {**DATA, **scores, "ci95": {"nll": [0.45, 0.55]}, "by_horizon": horizons} | default
    worse = {**DATA, "nll": 0.9, "brier": 0.4, "next_speaker_auc": 0.6, "SFID": 3.0}
    difference = {"nll": [-0.5, -0.3], "brier": [-0.2, 0.1], "next_speaker_auc": [0.05, 0.15]}
    others = ("persistence", "semi_markov", "likelihood")
    models = {"refined": shipped} | {name: {**worse, "difference_ci95": difference} for name in others}
    controls = {"shuffled": {**DATA, "overlap": 0.18}}
    about = {"meetings": ["ES2002a"], "seed": 0, "date": "2026-01-02T03:04:05", "machine": {"cores": 2}}
    return {"default": "refined", "data": DATA, "controls": controls, "models": models, **about}


def test_a_table_has_mean_and_deviation_over_seeds_beside_the_thesis(runs_folder):
    runs, passed = read_runs(runs_folder)
    assert not passed
    text = comparison(runs, 40)
    ours = cells(text, "LocalRNN", "0")
    assert ours[2:] == ["1.100 ± 0.100", "0.300 ± 0.000", "3.000 ± 1.000", "3", "200 of 300", *THESIS_LOCAL]
    assert cells(text, "data")[2:5] == ["1.200", "0.300", "–"]
    assert cells(text, "SimpleRNN", "0.001")[2:7] == ["0.500", "–", "250", "1", "200 of 300"]
    assert cells(text, "DenseRNN", "0")[2:6] == [NOT_RUN, NOT_RUN, NOT_RUN, "0"]
    assert NOT_RUN in cells(comparison(runs, 80), "data")


THESIS_LOCAL = ["2.18 ± 0.03", "0.26 ± 0.03", "0.24 ± 0.04"]


def test_the_thesis_numbers_are_those_of_its_tables():
    assert THESIS[40, "simple_rnn", 0.0] == ("1.94 ± 0.05", "0.38 ± 0.07", "1.10 ± 0.25")
    assert THESIS[80, "dense_rnn", 1e-3] == ("2.12 ± 0.03", "0.05 ± 0.04", "0.82 ± 0.06")
    assert len(THESIS) == 12
    assert all(re.fullmatch(r"\d\.\d\d ± \d\.\d\d", cell) for row in THESIS.values() for cell in row)


def test_the_ablation_takes_no_gan_whatever_its_weight(runs_folder):
    text = ablation(read_runs(runs_folder)[0])
    assert cells(text, "No-GAN")[3] == "4.500"
    assert cells(text, "Dual-stream (full)")[1] == "1.100 ± 0.100"
    assert cells(text, "Inter-stream")[1] == NOT_RUN


def test_every_system_is_listed_with_coupling_and_its_own_data(runs_folder):
    make_run(runs_folder, "local_rnn_35a")
    make_run(runs_folder, "brand_new")
    text = everything(read_runs(runs_folder)[0])
    assert cells(text, "LocalRNN")[4:6] == ["0.070 ± 0.000", "0.110 ± 0.000"]
    assert cells(text, "data, more actions")[1] == "1.200"
    assert cells(text, "data, three and four people")[1] == NOT_RUN
    assert cells(text, "brand_new")[1] == "1.200"
    assert cells(text, "likelihood with sampling")[1] == NOT_RUN


def test_what_was_run_is_told(runs_folder):
    row = cells(efforts(read_runs(runs_folder)[0]), "LocalRNN")
    assert row[1:8] == ["40", "0", "0, 1, 2", "300", "30", "16", "24"]
    assert row[8:12] == ["2e-05", "–", "–", "1.5"]


def test_curves_are_means_over_the_seeds_measured(runs_folder):
    found = select(read_runs(runs_folder)[0], "local_rnn", 40, 0.0)
    iterations, mean, std = mean_curve(found, "H_M")
    assert iterations.tolist() == [0, 100, 200, 300]
    np.testing.assert_allclose(mean, [1.1, 1.2, 1.3, 1.4])
    np.testing.assert_allclose(std, 0.1)
    assert not len(mean_curve(found, "no such metric")[0])
    assert not len(mean_curve([], "H_M")[0])


@given(st.lists(st.floats(-1e3, 1e3), max_size=6), st.integers(0, 3))
def test_spread_ignores_what_was_not_measured(values, missing):
    found = spread([*values, *[math.nan] * missing])
    if not values:
        assert found is None
        return
    assert found.count == len(values)
    assert min(values) - 1e-9 <= found.mean <= max(values) + 1e-9
    assert math.isnan(found.std) == (len(values) == 1)


def test_targets_are_met_or_not_as_the_numbers_say(runs_folder):
    text = targets(evaluation(H_M=1.24, H_C=0.33, overlap=0.09), read_runs(runs_folder)[0], "local_rnn")
    verdict = {
        row[0]: row[-1]
        for row in map(lambda line: [c.strip() for c in line[1:-1].split("|")], text.splitlines())
    }
    assert verdict["distance of H_M from the data ≤ 0.03"] == NOT_MET
    assert verdict["distance of H_C from the data ≤ 0.04"] == MET
    assert verdict["speech overlap within 20% of the data's"] == NOT_MET
    assert verdict["pairwise mutual information within 20% of the data's"] == MET
    assert verdict["NLL better than persistence's"] == MET
    assert verdict["Brier better than semi-Markov's"] == UNSURE
    assert verdict["next-speaker AUC better than likelihood with sampling's"] == MET
    # On validation windows: 250 and 4.5 against the mean 3.0 of the system that was shipped.
    assert verdict["SFID at least 2 × lower than SimpleRNN's"] == MET
    assert verdict["SFID at least 2 × lower than No-GAN's"] == NOT_MET
    assert verdict["SFID at least 2 × lower than DenseRNN's"] == UNKNOWN


def test_held_out_sfid_goes_before_that_of_the_runs(runs_folder):
    content = evaluation(SFID=1.0)
    content["models"]["no_gan"] = {"SFID": 2.5}
    row = cells(
        targets(content, read_runs(runs_folder)[0], "local_rnn"), "SFID at least 2 × lower than No-GAN's"
    )
    assert row[1:] == ["1", "2.5 (2.5 ×, held out)", MET]


@pytest.mark.parametrize(
    ("interval", "ours", "expected"),
    [([0.01, 0.2], 0.7, MET), ([-0.1, 0.2], 0.7, UNSURE), ([-0.2, -0.1], 0.5, NOT_MET), (None, 0.5, NOT_MET)],
)
def test_a_score_to_be_raised_is_met_only_above_zero(interval, ours, expected):
    content = evaluation(next_speaker_auc=ours)
    content["models"]["persistence"]["difference_ci95"] = (
        {} if interval is None else {"next_speaker_auc": interval}
    )
    assert (
        cells(targets(content, [], "refined"), "next-speaker AUC better than persistence's")[-1] == expected
    )


def test_a_model_does_not_beat_itself():
    content = evaluation()
    content["default"] = "likelihood"
    row = cells(targets(content, [], "likelihood"), "NLL better than likelihood with sampling's")
    assert row[-1] == "is the shipped model"


def test_horizons_are_sorted_as_numbers():
    text = horizons(evaluation(), "nll")
    assert cells(text, "model") == ["model", "0.2 s", "0.4 s", "1.6 s"]
    assert cells(text, "**refined**")[1:] == ["0.200", "0.400", "1.600"]
    assert cells(text, "persistence")[1:] == ["–"] * 3


def test_coupling_has_the_control_and_the_responses_by_lag():
    content = evaluation(response={"0-0.4": 2.5, "0.4-0.8": 1.5})
    text = coupling(content)
    assert cells(text, "model")[1:] == [
        "overlap",
        "silence",
        "pairwise MI",
        "response 0-0.4 s",
        "response 0.4-0.8 s",
    ]
    assert cells(text, "**refined**")[4:] == ["2.500", "1.500"]
    assert cells(text, "data, shuffled")[1:] == ["0.180", "–", "0.110", "–", "–"]


def test_an_interval_stands_beside_its_value():
    assert with_interval({"nll": 0.5, "ci95": {"nll": [0.4, 0.6]}}, "nll") == "0.500 [0.400, 0.600]"
    assert with_interval({"nll": 0.5, "ci95": {"nll": [None, 0.6]}}, "nll") == "0.500"
    assert with_interval({"nll": None}, "nll") == "–"


def test_the_whole_report(runs_folder, tmp_path):
    (runs_folder / "notes").mkdir()
    (runs_folder / "cnn-t40-reco0-s0").mkdir()
    content = evaluation(reliability={"probability": [0.1, 0.9], "frequency": [0.2, 0.8], "count": [5, 4]})
    (tmp_path / "evaluation.json").write_text(json.dumps(content))
    (tmp_path / "speed.json").write_text(
        json.dumps({"machine": {"cores": 2}, "ticks": [{"people": 4, "ms": 5.25}]})
    )
    config = ReportConfig(
        runs=runs_folder,
        evaluation=tmp_path / "evaluation.json",
        speed=tmp_path / "speed.json",
        out=tmp_path / "docs" / "social.md",
    )
    text = write_report(config, QUIET).read_text(encoding="utf-8")
    assert "Folders passed over: cnn-t40-reco0-s0, notes" in text
    assert "as they went: attention-t40-reco0-s0" in text
    assert "| 4 | 5.25 |" in text
    assert "| data, shuffled | 0.180 |" in text
    images = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(images) == 5
    for image in images:
        path = config.out.parent / image
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < 120_000


def test_nothing_run_yet_is_no_error(tmp_path):
    config = ReportConfig(runs=tmp_path / "none", out=tmp_path / "social.md")
    text = write_report(config, QUIET).read_text(encoding="utf-8")
    assert text.count(f"| LocalRNN | 0.001 | {NOT_RUN} |") == 2
    assert "not evaluated" in text
    assert "{" not in text
    assert (tmp_path / "social" / "figure_3_4.png").is_file()


def test_the_same_runs_give_the_same_files(runs_folder, tmp_path):
    runs, _ = read_runs(runs_folder)
    first, second = (draw_curves(CURVES[0], runs, tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    assert first != draw_curves(CURVES[0], select(runs, "simple_rnn", 40), tmp_path / "c").read_bytes()


def test_no_calibration_without_its_table(tmp_path):
    assert draw_calibration(evaluation(), tmp_path) is None


def test_a_damaged_run_is_named(runs_folder):
    path = runs_folder / "local_rnn-t40-reco0-s1" / "result.json"
    path.write_text("{")
    with pytest.raises(ReportError, match="local_rnn-t40-reco0-s1"):
        read_runs(runs_folder)


def test_a_half_written_last_line_is_left_out(runs_folder):
    path = runs_folder / "attention-t40-reco0-s0" / "log.csv"
    before = select(read_runs(runs_folder)[0], "attention", 40)[0].curves["iteration"]
    with path.open("a") as file:
        file.write("250,2")
    np.testing.assert_array_equal(
        select(read_runs(runs_folder)[0], "attention", 40)[0].curves["iteration"], before
    )


def test_settings_are_checked_by_name(tmp_path):
    with pytest.raises(ValueError, match="out must be a Markdown"):
        ReportConfig(out=tmp_path)
    with pytest.raises(ValueError, match=r"evaluation: there is no file .*none\.json"):
        ReportConfig(evaluation=tmp_path / "none.json")


def test_a_benchmark_becomes_a_list_and_tables(tmp_path):
    path = tmp_path / "b.json"
    rows = [{"a": 1, "b": 0.123456}, {"a": 2, "c": None}]
    systems = {"local_rnn": {"40": 0.5, "80": 0.75}, "cnn": {"40": 0.25}}
    content = {
        "machine": {"cores": 2, "gpu": None},
        "rows": rows,
        "systems": systems,
        "batch": {"8": 0.1, "32": 0.4},
    }
    path.write_text(json.dumps(content))
    text = benchmark(path)
    assert text.startswith("- machine: cores 2, gpu –\n")
    assert cells(text, "1") == ["1", "0.1235", "–"]
    assert cells(text, "local_rnn") == ["local_rnn", "0.5", "0.75"]
    assert cells(text, "cnn")[2] == "–"
    assert cells(text, "8") == ["8", "32"]
    assert cells(text, "0.1") == ["0.1", "0.4"]
