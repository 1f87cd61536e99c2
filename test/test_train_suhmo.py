"""Every system of chapter 4 trained for a few iterations on tracks made here."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro
from motion_corpus import write_tracks
from rich.console import Console

from hmgen_ros.cli import main
from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.generators import motion_models, weights
from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.suhmo import Suhmo
from hmgen_ros.training.adversarial_steps import AdversarialMotionStep
from hmgen_ros.training.loop_config import seed_iteration
from hmgen_ros.training.motion_systems import SIZES, SYSTEMS
from hmgen_ros.training.run_log import RunError
from hmgen_ros.training.train_suhmo import (
    SuhmoTrainConfig,
    command,
    corpus_of,
    make_generator,
    make_step,
    train,
)

QUIET = Console(quiet=True)
METRICS = {"fd_window", "speed", "jerk"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SuhmoTrainConfig:
    """A tiny run on few tracks."""
    data = tmp_path_factory.mktemp("data")
    write_tracks(data)
    return SuhmoTrainConfig(
        data=data,
        out=tmp_path_factory.mktemp("runs"),
        iterations=2,
        eval_every=1,
        log_every=1,
        checkpoint_every=1,
        steps=20,
        batch=4,
        hidden=8,
        judge_hidden=8,
        validation_windows=16,
        accelerator="cpu",
    )


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_every_system_trains(config: SuhmoTrainConfig, system: Any) -> None:
    path = train(replace(config, system=system), QUIET)
    assert path.name == f"{system}-small-s0"
    result = json.loads((path / "result.json").read_text(encoding="utf-8"))
    assert result["best"].keys() >= METRICS
    assert result["data"].keys() == METRICS
    with (path / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows if row["fd_window"]] == [0, 1, 2]
    model = motion_models.read(path / "best.safetensors")
    state, _ = model.step(model.initial_state(1), torch.randn(1, 68, 2))
    assert torch.isfinite(model.rollout(state, 5, torch.Generator())).all()
    # What the models start from was measured, and so were the limits of faces.
    assert torch.isfinite(model.plausible.reach)


def test_training_changes_the_generator_and_the_judges(config: SuhmoTrainConfig) -> None:
    step = make_step(config, corpus_of(config, "train"), corpus_of(config, "validation"))
    assert isinstance(step, AdversarialMotionStep)
    step.setup(config.launch())
    before = {n: p.clone() for m in step.modules.values() for n, p in m.named_parameters()}
    seed_iteration(0, 0, 0)
    losses = step.step(0)
    assert {"discriminator", "adversarial", "reconstruction"} <= losses.keys()
    # Within the margins of the hinge losses true and generated scores pull at the last biases alike.
    level = {"single.score.2.bias", "pair.score.2.bias", "frame.2.bias"}
    for module in step.modules.values():
        for name, parameter in module.named_parameters():
            assert name in level or not torch.equal(parameter, before[name]), name
    assert all(parameter.requires_grad for parameter in step.judge.parameters())


@pytest.mark.parametrize("system", ["suhmo_rnn", "noise_driven"])
def test_a_stopped_run_goes_on_to_the_same_numbers(
    config: SuhmoTrainConfig, tmp_path: Path, system: Any
) -> None:
    whole = replace(config, system=system, iterations=4, averaging=0.9, out=tmp_path / "whole")
    train(whole, QUIET)
    stopped = replace(whole, out=tmp_path / "stopped", iterations=2)
    train(stopped, QUIET)
    train(replace(stopped, iterations=4), QUIET)
    one, other = (c.folder.last for c in (whole, stopped))
    first, second = weights.read(one).tensors, weights.read(other).tensors
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_rates_fall_at_once_or_along_a_cosine(config: SuhmoTrainConfig) -> None:
    corpora = corpus_of(config, "train"), corpus_of(config, "validation")

    def rates(**settings: Any) -> list[float]:
        given = replace(config, system="mle", generator_rate=1e-3, **settings)
        step = make_step(given, *corpora)
        step.setup(given.launch())
        found = []
        for iteration in range(6):
            step.step(iteration)
            found.append(step.optimizers["generator"].param_groups[0]["lr"] * 1e3)
        return found

    assert rates() == pytest.approx([1.0] * 6)
    assert rates(decay_from=2) == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.1, 0.1])
    assert rates(decay_from=1, decay_over=4) == pytest.approx(
        [1.0, 0.853553, 0.5, 0.146447, 0.0, 0.0], abs=1e-5
    )


def test_averaged_weights_are_those_that_are_kept(config: SuhmoTrainConfig) -> None:
    given = replace(config, system="mle", averaging=0.5)
    step = make_step(given, corpus_of(config, "train"), corpus_of(config, "validation"))
    step.setup(given.launch())
    seen = []
    for iteration in range(2):
        step.step(iteration)
        seen.append(step.model.head[0].bias.detach().clone())
    kept = step.weights()[1]["head.0.bias"]
    # The average begins with the first weights after a step.
    torch.testing.assert_close(kept, 0.5 * seen[0] + 0.5 * seen[1])
    assert not torch.equal(kept, seen[1])


def test_ours_is_chosen_by_its_own_score(config: SuhmoTrainConfig, tmp_path: Path) -> None:
    path = train(replace(config, system="noise_driven", out=tmp_path, by_duration=True), QUIET)
    result = json.loads((path / "result.json").read_text(encoding="utf-8"))
    with (path / "log.csv").open(newline="", encoding="utf-8") as file:
        energies = [float(row["energy"]) for row in csv.DictReader(file) if row["energy"]]
    assert result["best"]["energy"] == pytest.approx(min(energies), rel=1e-4)


def test_other_settings_need_force(config: SuhmoTrainConfig, tmp_path: Path) -> None:
    train(replace(config, out=tmp_path), QUIET)
    with pytest.raises(RunError, match="lambda_reco"):
        train(replace(config, out=tmp_path, lambda_reco=0.0), QUIET)


@pytest.mark.parametrize(
    ("wrong", "text"), [({"steps": 100}, "no piece of a track has 105 ticks"), ({"batch": 10_000}, "batch")]
)
def test_a_run_refused_for_its_data_leaves_nothing_behind(
    config: SuhmoTrainConfig, tmp_path: Path, wrong: dict[str, Any], text: str
) -> None:
    own = replace(config, system="mle", out=tmp_path)
    with pytest.raises(ValueError, match=text):
        train(replace(own, **wrong), QUIET)
    assert not own.folder.path.exists()
    train(own, QUIET)
    kept = own.folder.best.read_bytes()
    with pytest.raises(ValueError, match=text):
        train(replace(own, **wrong, force=True), QUIET)
    assert own.folder.best.read_bytes() == kept


def test_other_settings_are_refused_in_one_line(
    config: SuhmoTrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = replace(config, system="mle", out=tmp_path)
    train(own, QUIET)
    words = ["--out", str(tmp_path), "--data", str(config.data), "--lambda-reco", "5"]
    with pytest.raises(SystemExit) as ended:
        main([*command(own).split()[1:], *words])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "lambda_reco" in line
    assert "--force" in line


def test_shipping(config: SuhmoTrainConfig, tmp_path: Path) -> None:
    models = tmp_path / "models"
    train(replace(config, system="noise_driven", ship="a_head", models=models), QUIET)
    entry = weights.read_manifest(models / "manifest.yaml")["a_head"]
    assert entry["kind"] == "noise_driven"
    assert entry["sha256"] == weights.sha256(models / "a_head.safetensors")
    assert "grid_s1" in entry["trained_on"]
    assert "grid_v2s" not in entry["trained_on"]
    card = (models / "a_head.md").read_text(encoding="utf-8")
    assert "hmgen train suhmo" in card
    assert "fd_window" in card
    loaded = motion_models.from_weights(weights.load("a_head", models / "manifest.yaml"))
    assert isinstance(loaded, NoiseDriven)


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_thesis_sizes_build(system: Any) -> None:
    config = SuhmoTrainConfig(system=system, size="thesis")
    model = make_generator(config, SYSTEMS[system])
    if isinstance(model, Suhmo):
        assert model.config.hidden == 1024
        assert config.filled("batch") == 120
        assert config.settings().generator_rate == 2e-5
        assert config.settings().discriminator_rate == 1e-5


def test_a_system_s_own_rate_yields_to_what_is_given() -> None:
    assert SuhmoTrainConfig(system="hit_dvae").filled("generator_rate") == 1e-3
    assert SuhmoTrainConfig(system="hit_dvae", generator_rate=1e-4).filled("generator_rate") == 1e-4
    assert SuhmoTrainConfig(system="hit_dvae", size="thesis").filled("generator_rate") == (
        SIZES["thesis"].generator_rate
    )


def test_the_command_trains_the_same() -> None:
    config = SuhmoTrainConfig(system="delta", seed=3, betas=(0.0, 0.9), centred=True, ship="x")
    words = command(config).split()
    assert words[:3] == ["hmgen", "train", "suhmo"]
    assert tyro.cli(SuhmoTrainConfig, args=words[3:]) == config


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"system": "suhmo"}, "suhmo_rnn"),
        ({"size": "large"}, "thesis"),
        ({"batch": 3}, "even"),
        ({"batch": 0}, "batch"),
        ({"steps": 0}, "steps"),
        ({"generator_rate": 0.0}, "generator_rate"),
        ({"lambda_reco": -1.0}, "lambda_reco"),
        ({"betas": (0.5, 1.0)}, "betas"),
        ({"ship": "a/b"}, "ship"),
        ({"mirror": 2.0}, "mirror"),
        ({"decay_from": -3}, "decay_from"),
        ({"stretch": 1.0}, "stretch"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SuhmoTrainConfig(**wrong)


def test_no_tracks(config: SuhmoTrainConfig, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no tracks"):
        train(replace(config, data=tmp_path), QUIET)
