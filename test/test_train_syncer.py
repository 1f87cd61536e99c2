"""Pyramids of syncers trained for some iterations on real clips, and what they are trained on."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from motion_corpus import write_tracks
from rich.console import Console

from hmgen_ros.data.speech_tracks import speech_segments
from hmgen_ros.data.tracks import tracks_of
from hmgen_ros.generators import weights
from hmgen_ros.generators.syncer import SyncerPyramid
from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.training.motion_windows import WindowSettings
from hmgen_ros.training.speech_windows import SpeechWindows
from hmgen_ros.training.train_syncer import SyncerTrainConfig, train

QUIET = Console(quiet=True)
DATA = Path(os.environ.get("HMGEN_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "grid_tracks").is_dir(), reason="needs HMGEN_DATA")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some of the real clips of two speakers."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "grid_tracks").mkdir()
    lines = ["group,stem,speaker"]
    for stem in sorted(p.stem for p in (DATA / "grid_tracks").glob("s1_*.flac"))[:30]:
        lines.append(f"grid,{stem},grid_s1")
    for stem in sorted(p.stem for p in (DATA / "grid_tracks").glob("s26_*.flac"))[:6]:
        lines.append(f"grid,{stem},grid_s26")
    for line in lines[1:]:
        stem = line.split(",")[1]
        for ending in (".npz", ".flac"):
            (folder / "grid_tracks" / (stem + ending)).symlink_to(
                (DATA / "grid_tracks" / (stem + ending)).resolve()
            )
    (folder / "tracks_manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


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
@pytest.mark.parametrize("loss", ["infonce", "triplet"])
def test_a_pyramid_learns_to_tell(config: SyncerTrainConfig, loss: str) -> None:
    path = train(replace(config, loss=loss), QUIET)  # type: ignore[arg-type]
    assert path.name == f"{loss}-mfcc-s0"
    with (path / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["missed"]]
    assert [int(row["iteration"]) for row in rows] == [0, 30, 60]
    # An unseen speaker; guessing finds one of 49.
    assert float(rows[-1]["retrieved_1"]) > 2.0 / 49.0
    assert float(rows[-1]["missed"]) < float(rows[0]["missed"])
    best = json.loads((path / "result.json").read_text(encoding="utf-8"))["best"]
    assert {f"in_time_{level}" for level in (1, 2, 3, 4)} <= best.keys()
    model = SyncerPyramid.from_weights(weights.read(path / "best.safetensors"))
    assert model.config.features == "mfcc"


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


@pytest.mark.parametrize(
    "wrong", [{"ticks": 39}, {"batch": 1}, {"anchors": 0}, {"rate": 0.0}, {"stretch": 1.5}, {"hidden": 0}]
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SyncerTrainConfig(**wrong)  # type: ignore[arg-type]
