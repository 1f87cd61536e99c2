"""Speech-driven generators scored: sequences and reels, real faces against themselves, the command."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from real_clips import link_clips, needs_data
from rich.console import Console
from test_ms_sync import made

from hmgen_ros.data.speech_tracks import speech_segments
from hmgen_ros.data.tracks import tracks_of
from hmgen_ros.evaluation.evaluate_sync import EvaluateSyncConfig, evaluate_sync, load_syncer
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_scores import NotFinite
from hmgen_ros.evaluation.speech_reference import HORIZONS, SpeechReference, _reels
from hmgen_ros.evaluation.speech_scores import (
    real_scores,
    score_speaker,
    speak_sequences,
    static_scores,
    sync_scores,
)
from hmgen_ros.perception.audio_features import features_of

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return link_clips(tmp_path_factory.mktemp("clips") / "here", {"grid_s26": 10, "grid_s1": 10})


@pytest.fixture(scope="module")
def reference(folder: Path) -> SpeechReference:
    speech, _ = speech_segments(tracks_of(folder))
    return SpeechReference.of(speech, 20, 16, MotionInception.load())


@settings(max_examples=60, deadline=None)
@given(
    horizon=st.sampled_from(HORIZONS),
    ticks=st.integers(42, 80),
    speakers=st.lists(st.integers(0, 3), min_size=8, max_size=20),
    seed=st.integers(0, 9),
)
def test_reels_last_as_long_as_they_say_and_stay_with_their_speaker(
    horizon: int, ticks: int, speakers: list[int], seed: int
) -> None:
    who = np.array(speakers)
    reels = _reels(horizon, ticks, who, 30, seed)
    assert len(reels.starts) == len(reels.sequences) == len(reels.ends) == 30
    for start, sequences, end in zip(reels.starts, reels.sequences, reels.ends, strict=True):
        assert 0 <= start < ticks
        assert 40 <= end < ticks
        assert (len(sequences) - 1) * ticks + end - start == horizon
        assert len(set(who[sequences])) == 1


@needs_data
def test_the_sound_of_a_reel_is_that_of_its_last_ticks(reference: SpeechReference) -> None:
    heard = reference.heard("logmel", 2)
    assert heard.shape == (20, reference.ticks + 2, 4, 26)
    whole = features_of(reference.sounds[3], "logmel")
    np.testing.assert_allclose(heard[3, : reference.ticks - 1], whole[:-1], atol=1e-4)
    for ticks, reels in reference.reels.items():
        sound = reference.reel_sound(heard, reels)
        assert sound.shape[:2] == (16, ticks + 2)
        last, end = int(reels.sequences[5][-1]), int(reels.ends[5])
        torch.testing.assert_close(sound[5, -3], heard[last, end])
        first, start = int(reels.sequences[5][0]), int(reels.starts[5])
        if start + 1 < reference.ticks:
            torch.testing.assert_close(sound[5, 0], heard[first, start + 1])
        torch.testing.assert_close(reference.reel_starts(reels)[5], reference.faces[first, start])


@needs_data
def test_real_faces_are_in_time_and_still_ones_are_not(reference: SpeechReference) -> None:
    syncer, _ = load_syncer("metric_syncer")
    real, static = real_scores(reference, syncer), static_scores(reference, syncer)
    assert real["lmd"] == pytest.approx(0.0, abs=1e-6)
    assert real["off"][0] < 2.0 < static["off"][0]
    assert all(one > 2.0 * other for one, other in zip(real["conf"], static["conf"], strict=True))
    assert static["lmd"] > 0.01
    assert static["fd_motion_40"] > 5.0 * real["fd_motion_40"]
    assert real.keys() == static.keys()
    # The sound of another sentence fits as little as a face that stands still.
    other = sync_scores(reference.faces[reference.shuffled()], reference, syncer)
    assert other["conf"][0] < 0.7 * real["conf"][0]


@needs_data
def test_a_generator_is_scored_with_its_own_sound_and_with_others(reference: SpeechReference) -> None:
    syncer, model = load_syncer("metric_syncer")[0], made()
    scores = score_speaker(model, reference, syncer, seed=1)
    assert scores == score_speaker(model, reference, syncer, seed=1)
    assert {
        "off",
        "conf",
        "lmd",
        "lmd_front",
        "fd_motion_40",
        "fd_motion_80",
        "fd_motion_200",
    } <= scores.keys()
    assert all(math.isfinite(value) for value in scores.values() if isinstance(value, float))
    faces = speak_sequences(model, reference, 1)
    torch.testing.assert_close(faces[:, 0], reference.faces[:, 0])
    assert not torch.equal(faces, speak_sequences(model, reference, 1, shuffled=True))
    with torch.no_grad():
        model.linear.weight[0, 0] = torch.nan
    with pytest.raises(NotFinite, match="not finite"):
        score_speaker(model, reference, syncer, seed=1)


@needs_data
def test_the_command_scores_a_folder(folder: Path, tmp_path: Path) -> None:
    config = EvaluateSyncConfig(
        data=folder, json=tmp_path / "sync.json", models=("likelihood",), sequences=8, reels=8, split="all"
    )
    report = evaluate_sync(config, QUIET)
    assert json.loads((tmp_path / "sync.json").read_text(encoding="utf-8")) == report
    assert report["default"] == "speech_driven"
    assert list(report["models"]) == ["real", "static", "speech_driven", "shuffled", "likelihood"]
    for scores in report["models"].values():
        assert len(scores["off"]) == len(scores["conf"]) == 4
        assert scores["fd_motion_80"] >= 0.0
        assert scores["lmd"] >= 0.0
    assert report["data"]["speakers"] == ["grid_s1", "grid_s26"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "--data"),
        ({"landmarks": Path("a.npz")}, "--audio"),
        ({"data": Path("d"), "landmarks": Path("a.npz"), "audio": Path("a.wav")}, "--data"),
        ({"data": Path("d"), "sequences": 3}, "sequences"),
        ({"data": Path("d"), "models": ("wav2lip",)}, "wav2lip"),
        ({"data": Path("d"), "split": "half"}, "half"),
    ],
)
def test_settings_that_make_no_sense_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        EvaluateSyncConfig(**changes)


@needs_data
def test_too_few_or_too_short_tracks_are_named(tmp_path: Path) -> None:
    speech, _ = speech_segments(tracks_of(link_clips(tmp_path / "few", {"grid_s26": 3})))
    assert len(SpeechReference.of(speech, 20, 16, MotionInception.load()).faces) == 3
    with pytest.raises(ValueError, match="at least 2 sequences"):
        SpeechReference.of(speech[:1], 20, 16, MotionInception.load())
    with pytest.raises(ValueError, match="tracks with sound"):
        SpeechReference.of([], 20, 16, MotionInception.load())
