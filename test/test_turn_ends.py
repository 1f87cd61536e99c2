"""The Smart-Turn benchmark: features, points, AUC; the network itself where its wheel is installed."""

import importlib.util
import json
import math
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmgen_ros.perception.voice import VoiceModel
from hmgen_ros.resources import resource

ROOT = Path(__file__).resolve().parents[1]
RATE = 16_000
needs_wheel = pytest.mark.skipif(find_spec("pipecat") is None, reason="pipecat-ai is not installed")


def load(name, path):
    """A module from a file outside the package."""
    spec = spec_from_file_location(name, path)
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


turn_ends = load("turn_ends", ROOT / "benchmarks" / "turn_ends.py")


@pytest.fixture(scope="module")
def scene():
    """Sound of the bundled recording, and who speaks when."""
    truth = json.loads(resource("recordings/three_people.json").read_text(encoding="utf-8"))
    spans = [[(a, b) for a, b in person["speaking"]] for person in truth["people"]]
    return turn_ends.read_sound(resource("recordings/three_people.mp4")), spans


@pytest.fixture(scope="module")
def points(scene):
    return turn_ends.scene_points(*scene)


def test_features_of_the_bundled_recording(scene):
    sound, _ = scene
    features = turn_ends.log_mel(sound[: 20 * RATE])
    assert features.shape == (80, 800)
    assert features.dtype == np.float32
    assert features.max() - features.min() <= 2.0 + 1e-6
    # Only the last 8 s count, and less sound stands at the end.
    np.testing.assert_array_equal(features, turn_ends.log_mel(sound[12 * RATE : 20 * RATE]))
    short = turn_ends.log_mel(sound[3 * RATE : 5 * RATE])
    assert np.ptp(short[:, 2:590], axis=1).max() < 1e-3 < np.ptp(short[:, 610:], axis=1).min()


def test_loudness_changes_no_features(scene):
    sound = scene[0][2 * RATE : 12 * RATE]
    np.testing.assert_allclose(turn_ends.log_mel(0.25 * sound), turn_ends.log_mel(sound), atol=2e-3)


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 5000.0])
def test_a_tone_is_heard_in_its_band(hertz):
    features = turn_ends.log_mel(np.sin(2 * np.pi * hertz * np.arange(8 * RATE) / RATE).astype(np.float32))
    band = int(features.mean(axis=1).argmax())
    assert abs(turn_ends.mel_filters()[band].argmax() * RATE / 400 - hertz) <= max(40.0, 0.04 * hertz)


def test_mel_triangles_cover_the_spectrum():
    filters = turn_ends.mel_filters()
    assert filters.shape == (80, 201)
    assert (filters >= 0.0).all()
    assert (filters[:, 1:-1].sum(axis=0) > 0.0).all()
    # Slaney's area of 1, as far as 40 Hz steps can tell for the wide ones.
    np.testing.assert_allclose(filters[60:].sum(axis=1) * RATE / 400, 1.0, rtol=0.02)


def test_points_follow_the_truth(scene, points):
    _, people = scene
    spans = [span for person in people for span in person]
    ends = [p for p in points if p.ended]
    inside = [p for p in points if not p.ended]
    # Each sentence gives a cut and an end, save where somebody else speaks just there.
    assert 15 <= len(ends) <= len(spans) == 25
    assert len(inside) <= len(spans) + len(spans) - len(ends)
    assert all(p.silence_s > 0.0 for p in ends)
    # Pauses after which the same person goes on are not ends of turns.
    pauses = sorted(p.silence_s for p in inside if p.silence_s > 0.0)
    assert pauses == pytest.approx([1.032, 1.104, 1.176])
    assert all(np.abs(p.sound[-round(0.2 * RATE) :]).max() == 0.0 for p in points)


def test_overlapped_ends_are_left_out():
    sound = np.ones(10 * RATE, np.float32)
    people = [[(1.0, 3.0), (7.0, 8.0)], [(2.8, 4.0)]]
    points = turn_ends.scene_points(sound, people)
    silences = [p.silence_s for p in points if p.ended]
    np.testing.assert_allclose(silences, [3.0, 2.0])
    assert [p.spoken_s for p in points if p.ended] == pytest.approx([1.2, 1.0])


def test_a_cut_lies_where_it_is_quietest():
    sound = np.ones(4 * RATE, np.float32)
    sound[round(2.1 * RATE) : round(2.15 * RATE)] = 0.0
    sound[round(0.5 * RATE) : round(0.9 * RATE)] = 0.0  # outside the part where a cut may lie
    assert turn_ends.quietest(sound, 0.0, 4.0) == pytest.approx(2.11, abs=0.02)


def test_speech_is_found_in_the_recording(scene):
    sound, people = scene
    start, end = turn_ends.speech_span(sound[: 6 * RATE], VoiceModel())
    assert start == pytest.approx(min(person[0][0] for person in people), abs=0.3)
    assert end == pytest.approx(5.41, abs=0.3)
    assert turn_ends.speech_span(np.zeros(RATE, np.float32), VoiceModel()) is None


def test_grid_clips_give_an_end_and_a_cut(scene, tmp_path):
    path = tmp_path / "clip.flac"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono", format="s16")
        samples = (scene[0][None, 2 * RATE : 5 * RATE] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    end, cut = turn_ends.grid_points([path])
    assert end.ended
    assert not cut.ended
    assert math.isnan(end.silence_s)
    assert 0.3 * end.spoken_s - 0.01 <= cut.spoken_s <= 0.7 * end.spoken_s + 0.01
    assert len(cut.sound) < len(end.sound)


def test_auc_of_known_cases():
    ended = np.array([True, True, False, False])
    assert turn_ends.auc(ended, np.array([0.9, 0.8, 0.2, 0.1])) == 1.0
    assert turn_ends.auc(ended, np.array([0.9, 0.1, 0.5, 0.5])) == 0.5
    assert turn_ends.auc(ended, np.zeros(4)) == 0.5
    assert math.isnan(turn_ends.auc(ended[:2], np.zeros(2)))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(cases):
    ended, score = np.array([c[0] for c in cases]), np.array([float(c[1]) for c in cases])
    pairs = [np.sign(a - b) / 2 + 0.5 for a in score[ended] for b in score[~ended]]
    found = turn_ends.auc(ended, score)
    assert math.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


def test_points_of_one_kind_cannot_be_measured(points):
    with pytest.raises(ValueError, match="nothing to tell apart"):
        turn_ends.measure([p for p in points if p.ended], None)


def test_a_missing_wheel_is_told_with_the_command(monkeypatch, capsys):
    monkeypatch.setattr(
        turn_ends, "find_spec", lambda name: None if name == "pipecat" else importlib.util.find_spec(name)
    )
    monkeypatch.setattr(sys, "argv", ["turn_ends.py"])
    with pytest.raises(SystemExit) as left:
        turn_ends.main()
    assert left.value.code == 2
    assert "pip install --no-deps pipecat-ai==" in capsys.readouterr().err


@needs_wheel
def test_features_equal_those_of_the_wheel(scene):
    folder = Path(next(iter(find_spec("pipecat").submodule_search_locations)))
    theirs = load("whisper_features", folder / "audio/turn/smart_turn/_whisper_features.py")
    for seconds in (1.3, 8.0, 30.0):
        sound = scene[0][: round(seconds * RATE)][-8 * RATE :]
        padded = np.pad(sound, (8 * RATE - len(sound), 0))
        expected = theirs.compute_whisper_log_mel_features(padded)
        np.testing.assert_allclose(turn_ends.log_mel(sound), expected, atol=1e-5)


@needs_wheel
def test_the_command_on_the_bundled_recording(points, tmp_path):
    out = tmp_path / "turns.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "turn_ends.py"), "--data", str(tmp_path)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--json", str(out)], env=environment, capture_output=True, text=True, check=True
    )
    assert "no grid_tracks" in done.stdout
    assert "no measurement on conversation" in done.stdout
    results = json.loads(out.read_text())
    assert list(results) == ["bundled scene"]
    result = results["bundled scene"]
    # Real sound through the real network: poor on this material, but not chance.
    assert 0.5 < result["AUC"] <= 1.0
    assert result["ends"] + result["inside"] == len(points)
    assert result["accuracy of 0.2 s silence"] > result["accuracy of 1.2 s silence"]
    assert result["model, ms"] > 0.0
