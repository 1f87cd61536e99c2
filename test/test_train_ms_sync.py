"""MS-Sync's systems trained for a few iterations on real clips, shipped, and what they are made of."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from real_clips import link_clips, needs_data
from rich.console import Console

from hmgen_ros.generators import weights
from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.generators.syncer import SyncerConfig, SyncerPyramid
from hmgen_ros.training.motion_steps import Batch
from hmgen_ros.training.run_log import RunError
from hmgen_ros.training.speech_steps import SyncLoss
from hmgen_ros.training.speech_systems import SPEECH_SYSTEMS
from hmgen_ros.training.train_ms_sync import MsSyncTrainConfig, make_step, speech_of, train

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> MsSyncTrainConfig:
    """Short and small, on some clips of two speakers."""
    return MsSyncTrainConfig(
        data=link_clips(tmp_path_factory.mktemp("clips") / "here", {"grid_s1": 30, "grid_s26": 3}),
        out=tmp_path_factory.mktemp("runs"),
        iterations=4,
        eval_every=4,
        batch=4,
        steps=20,
        hidden=16,
        validation_windows=12,
        speeds=(),
        accelerator="cpu",
    )


@needs_data
@pytest.mark.parametrize("system", SPEECH_SYSTEMS)
def test_every_system_trains_and_can_be_read(config: MsSyncTrainConfig, system: str) -> None:
    path = train(replace(config, system=system), QUIET)  # type: ignore[arg-type]
    assert path.name == f"{system}-small-s0"
    result = json.loads((path / "result.json").read_text(encoding="utf-8"))
    assert {"fd_window", "conf_1", "conf_4"} <= result["best"].keys()
    assert {"fd_window", "conf_1", "conf_4"} <= result["data"].keys()
    model = MsSync.from_weights(weights.read(path / "best.safetensors"))
    what = SPEECH_SYSTEMS[system]
    assert model.config.look_ahead == what.look_ahead
    assert model.config.noise == what.generator.get("noise", True)
    assert model.config.multi_scale == what.generator.get("multi_scale", True)
    with (path / "log.csv").open(newline="", encoding="utf-8") as file:
        columns = next(csv.reader(file))
    assert ("sync" in columns) == (what.sync_weight > 0.0)
    assert ("adversarial" in columns) == (what.objective == "adversarial")


@needs_data
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(config: MsSyncTrainConfig, tmp_path: Path) -> None:
    whole = train(replace(config, out=tmp_path / "whole", averaging=0.9), QUIET)
    parts = replace(config, out=tmp_path / "parts", averaging=0.9, checkpoint_every=1)
    train(replace(parts, iterations=2), QUIET)
    train(parts, QUIET)
    one, other = (weights.read(path / "best.safetensors").tensors for path in (whole, parts.folder.path))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-5, atol=1e-6)
    with pytest.raises(RunError, match="sync_weight"):
        train(replace(parts, sync_weight=3.0), QUIET)


@needs_data
def test_shipping_writes_file_entry_and_card(config: MsSyncTrainConfig, tmp_path: Path) -> None:
    train(replace(config, ship="a_speaker", models=tmp_path), QUIET)
    entry = weights.read_manifest(tmp_path / "manifest.yaml")["a_speaker"]
    assert (entry["kind"], entry["system"]) == ("ms_sync", "speech_driven")
    card = (tmp_path / "a_speaker.md").read_text(encoding="utf-8")
    assert "hmgen train ms-sync" in card
    assert "US government" not in card  # the tracks of public addresses have no sound
    MsSync.from_weights(weights.load("a_speaker", tmp_path / "manifest.yaml"))


@needs_data
def test_each_kind_of_step_lowers_its_synchrony_loss(config: MsSyncTrainConfig) -> None:
    # Of the generator that follows the sound alone; the others' noise hides a few iterations.
    longer = replace(config, system="ms_sync_short", iterations=40, generator_rate=2e-3)
    step = make_step(longer, *(speech_of(longer, split)[0] for split in ("train", "validation")))
    step.setup(longer.launch())
    found = [step.step(i)["sync"] for i in range(40)]
    assert sum(found[-5:]) < sum(found[:5]) - 0.2


def test_the_synchrony_loss_is_the_mean_over_the_levels_that_count() -> None:
    torch.manual_seed(0)
    syncer = SyncerPyramid(SyncerConfig(hidden=8, embedding=4))
    poses, heard = torch.randn(3, 41, 136), torch.randn(3, 41, 4, 26)
    with torch.no_grad():
        levels = [-(e.face * e.sound).sum(-1).mean() for e in syncer.eval()(poses, heard)]
    assert len(levels) == 4
    for count in (1, 4):
        loss = SyncLoss(syncer, 1.0, count)(poses, heard)
        torch.testing.assert_close(loss, torch.stack(levels[:count]).mean())
    assert not any(parameter.requires_grad for parameter in syncer.parameters())


def test_a_batch_without_sound_says_so() -> None:
    assert Batch(torch.zeros(1, 2, 136), torch.zeros(1, 136), None).heard is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"system": "wav2lip"}, "wav2lip"),
        ({"features": "chroma"}, "features"),
        ({"batch": 3}, "even"),
        ({"sync_weight": -1.0}, "sync_weight"),
        ({"look_ahead": 99}, "look_ahead"),
        ({"speeds": (3.0,)}, "speeds"),
        ({"averaging": 1.0}, "averaging"),
        ({"decay_from": -3}, "decay_from"),
        ({"ship": "a/b"}, "ship"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        MsSyncTrainConfig(**changes)  # type: ignore[arg-type]


@needs_data
def test_a_syncer_that_hears_other_features_is_refused(config: MsSyncTrainConfig) -> None:
    with pytest.raises(weights.WeightsError, match="hears logmel, not mfcc"):
        train(replace(config, features="mfcc", out=config.out / "mfcc"), QUIET)


@needs_data
def test_a_run_refused_for_its_data_leaves_nothing_behind(config: MsSyncTrainConfig, tmp_path: Path) -> None:
    wrong = replace(config, out=tmp_path, steps=100)
    with pytest.raises(ValueError, match="no piece of a track has"):
        train(wrong, QUIET)
    assert not wrong.folder.path.exists()
