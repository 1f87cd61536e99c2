"""The group-attention forecaster trained from rasters to a shipped model."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import tyro
from rich.console import Console
from social_corpus import write_corpus

from hmgen_ros.generators import weights
from hmgen_ros.generators.group_attention import GroupAttention
from hmgen_ros.training.run_log import RunError
from hmgen_ros.training.train_group_attention import GroupAttentionTrainConfig, command, train

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> GroupAttentionTrainConfig:
    folder = tmp_path_factory.mktemp("data")
    parts = {"ES2002a": "training", "ES2002b": "training", "ES2003a": "development"}
    write_corpus(folder, parts, headless=("ES2002b",))
    return GroupAttentionTrainConfig(
        data=folder,
        out=tmp_path_factory.mktemp("runs"),
        iterations=4,
        eval_every=2,
        log_every=1,
        batch=8,
        width=8,
        hidden=8,
        quiet=0.3,
        validation_samples=2,
        sfid_iterations=10,
        accelerator="cpu",
        threads=1,
    )


def result(path: Path) -> dict:
    return json.loads((path / "result.json").read_text())


def test_a_run_leaves_curves_a_result_and_a_model_that_ships(
    config: GroupAttentionTrainConfig, tmp_path: Path
) -> None:
    config = replace(config, ship="mine", models=tmp_path)
    folder = train(config, QUIET)
    found = result(folder)
    assert found["iterations"] == 4
    assert {"nll", "nll_0.2s", "nll_3.2s", "H_M", "H_C", "overlap", "pairwise_mi"} <= found["best"].keys()
    assert found["best"]["nll"] <= found["last"]["nll"]
    shipped = GroupAttention.from_weights(weights.load("mine", tmp_path / "manifest.yaml"))
    torch.testing.assert_close(shipped.chain.sum(dim=1), torch.ones(len(shipped.space)))
    assert not torch.equal(shipped.chain, torch.eye(len(shipped.space)))
    assert "ES2002" in (tmp_path / "mine.md").read_text()


def test_it_learns(config: GroupAttentionTrainConfig) -> None:
    folder = train(replace(config, name="longer", iterations=150, eval_every=150, batch=64, rate=0.02), QUIET)
    lines = (folder / "log.csv").read_text().splitlines()
    columns = lines[0].split(",")
    losses = [float(row.split(",")[columns.index("nll_tick")] or "nan") for row in lines[1:]]
    losses = [loss for loss in losses if loss == loss]
    assert sum(losses[-20:]) < 0.95 * sum(losses[:20])


def test_a_stopped_run_goes_on_to_the_same_numbers(config: GroupAttentionTrainConfig) -> None:
    whole = train(replace(config, name="whole"), QUIET)
    stopped = replace(config, name="stopped", max_minutes=1e-6)
    for _ in range(8):
        path = train(stopped, QUIET)
        if result(path)["iterations"] == 4:
            break
        stopped = replace(stopped, max_minutes=None)
    one, two = (weights.read(path / "best.safetensors").tensors for path in (whole, path))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert result(whole)["last"] == result(path)["last"]


def test_another_length_is_another_run(config: GroupAttentionTrainConfig) -> None:
    train(replace(config, name="short", iterations=2), QUIET)
    with pytest.raises(RunError, match="iterations"):
        train(replace(config, name="short", iterations=3), QUIET)


def test_the_command_names_what_differs_and_is_read_back(config: GroupAttentionTrainConfig) -> None:
    given = GroupAttentionTrainConfig(seed=3, headless=False, batch=64, ship="mine")
    words = shlex.split(command(given))
    assert words[:3] == ["hmgen", "train", "attention"]
    assert tyro.cli(GroupAttentionTrainConfig, args=words[3:]) == given


@pytest.mark.parametrize(
    ("field", "value"), [("batch", 0), ("rate", 0.0), ("smaller_groups", 1.5), ("validation_stride", 0)]
)
def test_senseless_settings_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        GroupAttentionTrainConfig(**{field: value})


def test_a_run_refused_for_its_data_leaves_nothing_behind(config: GroupAttentionTrainConfig) -> None:
    wrong = replace(config, batch=10_000_000, seed=7)
    with pytest.raises(ValueError, match="batch must lie between 1 and the"):
        train(wrong, QUIET)
    assert not wrong.folder.path.exists()
