"""Pyramids of syncers trained for some iterations on real clips, and what they are trained on."""

import csv
import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from motion_corpus import write_tracks
from real_clips import link_clips, needs_data
from rich.console import Console

from hmgen_ros.data.speech_tracks import SpeechSegment, at_speed, speech_segments
from hmgen_ros.data.tracks import tracks_of
from hmgen_ros.generators import weights
from hmgen_ros.generators.syncer import SyncerPyramid
from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.training.motion_windows import WindowSettings
from hmgen_ros.training.speech_windows import SpeechWindows, livelier
from hmgen_ros.training.train_syncer import SyncerTrainConfig, train

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some of the real clips of two speakers."""
    return link_clips(tmp_path_factory.mktemp("clips") / "here", {"grid_s1": 30, "grid_s26": 6})


@pytest.fixture(scope="module")
def config(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> SyncerTrainConfig:
    return SyncerTrainConfig(
        data=clips,
        out=tmp_path_factory.mktemp("runs"),
        iterations=60,
        eval_every=30,
        batch=16,
        anchors=64,
        hidden=48,
        embedding=16,
        dropout=0.0,
        colour=0.0,
        speeds=(0.9,),
        accelerator="cpu",
    )


@needs_data
def test_pieces_come_with_their_sound(clips: Path) -> None:
    speech, corpus = speech_segments(tracks_of(clips))
    assert len(speech) == len(corpus.segments) > 30
    for piece in speech:
        assert len(piece.sound) == 640 * len(piece.segment.landmarks)
        assert 0.0 < float(np.abs(piece.sound).max()) <= 1.0


def test_tracks_without_sound_are_counted(tmp_path: Path) -> None:
    write_tracks(tmp_path)
    speech, corpus = speech_segments(tracks_of(tmp_path))
    assert not speech
    assert corpus.counts["without_sound"] == 18


@needs_data
def test_tracks_whose_sound_cannot_be_read_are_counted(clips: Path, tmp_path: Path) -> None:
    track = tracks_of(clips)[0]
    (tmp_path / "one.npz").write_bytes(track.path.read_bytes())
    (tmp_path / "one.flac").write_bytes(b"no sound")
    speech, corpus = speech_segments(tracks_of(tmp_path))
    assert not speech
    assert corpus.counts["sound_too_short"] == 75


@needs_data
def test_windows_hold_the_features_of_their_own_sound(clips: Path) -> None:
    speech, _ = speech_segments(tracks_of(clips)[:3])
    windows = SpeechWindows(speech, 70, "logmel", WindowSettings(by_duration=True))
    heard = windows.heard(torch.arange(len(windows)))
    assert heard.shape == (len(windows), 70, 4, 26)
    whole = features_of(speech[0].sound, "logmel")
    np.testing.assert_array_equal(heard[0], whole[:70])
    last = len(speech[0].segment.landmarks) - 1
    np.testing.assert_array_equal(heard[last], whole[-70:])


@needs_data
def test_sound_beyond_a_window_is_heard_and_beyond_a_piece_there_is_silence(clips: Path) -> None:
    speech, _ = speech_segments(tracks_of(clips)[:3])
    plain, ahead = (SpeechWindows(speech, 70, "logmel", ahead=ahead) for ahead in (0, 5))
    rows = torch.arange(len(plain))
    assert ahead.heard(rows).shape == (len(plain), 75, 4, 26)
    # Features of a tick look a little into the next one: the last of a piece hears that silence follows.
    torch.testing.assert_close(ahead.heard(rows)[:, :69], plain.heard(rows)[:, :69])
    first = len(speech[0].segment.landmarks) - 70  # the window that ends with the piece
    silence = torch.from_numpy(features_of(np.zeros(640, np.float32), "logmel"))[0]
    torch.testing.assert_close(ahead.heard(rows[first : first + 1])[0, -4:], silence.expand(4, -1, -1))


@needs_data
@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_a_piece_at_another_speed_is_as_long_and_as_high_as_it_says(clips: Path, speed: float) -> None:
    piece = speech_segments(tracks_of(clips)[:1])[0][0]
    told = at_speed(piece, speed)
    ticks = len(told.segment.landmarks)
    assert abs(ticks - len(piece.segment.landmarks) / speed) <= 1.0
    assert len(told.sound) == 640 * ticks
    np.testing.assert_array_equal(told.segment.landmarks[0], piece.segment.landmarks[0])
    tone = np.sin(2.0 * np.pi * 400.0 * np.arange(len(piece.sound)) / 16_000).astype(np.float32)
    heard = at_speed(SpeechSegment(piece.segment, tone), speed).sound
    peak = np.abs(np.fft.rfft(heard)).argmax() * 16_000 / len(heard)
    assert peak == pytest.approx(400.0 * speed, rel=0.02)
    assert at_speed(piece, 1.0) is piece
    with pytest.raises(ValueError, match="speed"):
        at_speed(piece, 3.0)


def test_livelier_faces_keep_their_mean_and_the_shape_of_their_movement() -> None:
    torch.manual_seed(0)
    poses = torch.randn(50, 12, 136)
    varied = livelier(poses, 2.0)
    torch.testing.assert_close(varied.mean(1), poses.mean(1))
    ratio = (varied - varied.mean(1, keepdim=True)).norm(dim=1) / (poses - poses.mean(1, keepdim=True)).norm(
        dim=1
    )
    torch.testing.assert_close(ratio[:, :96], ratio[:, :1].expand(-1, 96))  # all but the mouth, as one
    assert 0.5 <= float(ratio[:, 0].min()) < 0.7
    assert 1.4 < float(ratio[:, 0].max()) <= 2.0
    torch.testing.assert_close(livelier(poses, 1.0), poses)


@needs_data
@pytest.mark.parametrize("loss", ["infonce", "triplet"])
def test_a_pyramid_learns_to_tell(config: SyncerTrainConfig, loss: str) -> None:
    path = train(replace(config, loss=loss), QUIET)  # type: ignore[arg-type]
    assert path.name == f"{loss}-logmel-s0"
    with (path / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["missed"]]
    assert [int(row["iteration"]) for row in rows] == [0, 30, 60]
    # An unseen speaker; guessing finds one of 49.
    assert float(rows[-1]["retrieved_1"]) > 2.0 / 49.0
    assert float(rows[-1]["missed"]) < float(rows[0]["missed"])
    best = json.loads((path / "result.json").read_text(encoding="utf-8"))["best"]
    assert {f"in_time_{level}" for level in (1, 2, 3, 4)} <= best.keys()
    model = SyncerPyramid.from_weights(weights.read(path / "best.safetensors"))
    assert model.config.features == "logmel"


@needs_data
def test_a_stopped_run_goes_on_to_the_same_numbers(config: SyncerTrainConfig, tmp_path: Path) -> None:
    short = replace(config, iterations=4, eval_every=2, checkpoint_every=1)
    whole = train(replace(short, out=tmp_path / "whole"), QUIET)
    parts = replace(short, out=tmp_path / "parts")
    train(replace(parts, max_minutes=1e-9), QUIET)
    stopped = train(parts, QUIET)
    first, second = (weights.read(folder / "last.safetensors").tensors for folder in (whole, stopped))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@needs_data
@pytest.mark.parametrize("loss", ["infonce", "triplet"])
def test_shipping(config: SyncerTrainConfig, tmp_path: Path, loss: str) -> None:
    models = tmp_path / "models"
    plain = replace(config, loss=loss, iterations=2, eval_every=2, out=tmp_path)  # type: ignore[arg-type]
    train(plain, QUIET)
    assert not models.exists()
    # Names and folders do not make another run of it: a finished one is shipped as it is.
    shipping = replace(plain, ship="a_syncer", models=models)
    train(shipping, QUIET)
    entry = weights.read_manifest(models / "manifest.yaml")["a_syncer"]
    assert (entry["kind"], entry["loss"], entry["features"]) == ("syncer", loss, "logmel")
    assert entry["sha256"] == weights.sha256(models / "a_syncer.safetensors")
    assert "grid_s1" in entry["trained_on"]
    assert "grid_s26" not in entry["trained_on"]
    assert entry["metrics"]["validation"]["model"].keys() >= {"missed", "retrieved_1", "in_time_4"}
    card = (models / "a_syncer.md").read_text(encoding="utf-8")
    assert {"infonce": "to train generators with", "triplet": "hmgen evaluate sync"}[loss] in card
    assert "26 mel bands" in card
    assert "CC BY 4.0" in card
    # Levels look at 0.2 to 1.6 s; of 58 ticks the coarsest has four windows, which leaves five shifts.
    assert "| 1 | 200 ms | 40 ms |" in card
    assert card.rstrip().endswith("60.0% | −2 to 2 |")
    words = shlex.split(entry["command"])
    assert entry["command"] in card
    assert tyro.cli(SyncerTrainConfig, args=words[3:]) == replace(
        shipping, data=None, out=Path("out/syncer"), models=Path("models")
    )
    pyramid = SyncerPyramid.from_weights(weights.load("a_syncer", models / "manifest.yaml"))
    assert pyramid.config.hidden == 48


@pytest.mark.parametrize(
    "wrong",
    [
        {"ship": "a/b"},
        {"ship": ""},
        {"ticks": 39},
        {"batch": 1},
        {"anchors": 0},
        {"rate": 0.0},
        {"stretch": 1.5},
        {"hidden": 0},
    ],
)
def test_settings_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SyncerTrainConfig(**wrong)  # type: ignore[arg-type]


@needs_data
def test_a_run_refused_for_its_data_leaves_nothing_behind(config: SyncerTrainConfig, tmp_path: Path) -> None:
    for wrong in (replace(config, out=tmp_path, ticks=100), replace(config, out=tmp_path, batch=10_000)):
        with pytest.raises(ValueError, match=r"no piece of a track has|batch must lie between"):
            train(wrong, QUIET)
        assert not wrong.folder.path.exists()
