"""Any landmarks against any sound: offsets of real clips, rates and channels, lengths, and bad files."""

import json
import math
import os
import wave
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from hmgen_ros import cli
from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.sound_files import read_sound
from hmgen_ros.data.track_files import read_track_file
from hmgen_ros.evaluation.evaluate_sync import METRIC_SYNCER, EvaluateSyncConfig, evaluate_sync, load_syncer
from hmgen_ros.evaluation.sync_files import score_file
from hmgen_ros.evaluation.sync_metrics import mean_scores, pyramid_synchrony
from hmgen_ros.generators import weights
from hmgen_ros.generators.syncer import FACE_WINDOW, LEVELS, Embedded, SyncerConfig, SyncerPyramid, blurred
from hmgen_ros.generators.weights import WeightsError
from hmgen_ros.types import Counts

QUIET = Console(quiet=True)
DATA = Path(os.environ.get("HMGEN_DATA", "../shared/data"))
CLIP = DATA / "grid_tracks" / "s26_bgbsza.npz"
pytestmark = pytest.mark.skipif(not CLIP.is_file(), reason="needs HMGEN_DATA")

Floats = NDArray[np.float32]


class LoudnessSyncer(SyncerPyramid):
    """Without networks: a window of lips' opening fits a window of loudness of the same course."""

    def forward(self, poses: Tensor, heard: Tensor) -> list[Embedded]:
        opening = poses[..., 2 * 66 + 1] - poses[..., 2 * 62 + 1]
        face, sound = opening.unsqueeze(-1), heard[..., 0].mean(-1, keepdim=True)
        found = []
        while face.shape[1] >= FACE_WINDOW and len(found) < LEVELS:
            found.append(Embedded(self._course(face), self._course(sound)))
            face, sound = blurred(face), blurred(sound)
        return found

    @staticmethod
    def _course(rows: Tensor) -> Tensor:
        windows = rows[..., 0].unfold(1, FACE_WINDOW, 1)
        return torch.nn.functional.normalize(windows - windows.mean(-1, keepdim=True), dim=-1)


@pytest.fixture
def untrained() -> SyncerPyramid:
    torch.manual_seed(0)
    return SyncerPyramid(SyncerConfig(hidden=16, embedding=8)).eval()


@pytest.fixture(scope="module")
def voice() -> Floats:
    """Three seconds of a real voice."""
    return read_sound(CLIP.with_suffix(".flac"), Counts())[1]


@pytest.fixture(scope="module")
def talking(voice: Floats) -> Floats:
    """``[75, 68, 2]`` the clip's first face, with lips that open as the voice is loud."""
    face = read_track_file(CLIP).landmarks[:1].repeat(75, axis=0)
    power = np.pad(voice, (0, 75 * 640 - len(voice))).reshape(75, 640).std(axis=1)
    opening = 5.0 * np.log10(power + 1e-4)
    face[:, 65:68, 1] += (opening - opening.min())[:, None]
    return face


def written(path: Path, sound: Floats, rate: int = 16_000, channels: int = 1) -> Path:
    """A WAV file of 16 bits, from sound of 16 kHz."""
    samples = soxr.resample(sound, 16_000, rate) if rate != 16_000 else sound
    whole = np.round(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(whole[:, None].repeat(channels, axis=1).tobytes())
    return path


def test_a_real_clip(untrained: SyncerPyramid) -> None:
    found = score_file(CLIP, CLIP.with_suffix(".flac"), untrained)
    assert (found["sequences"], found["ticks"], found["seconds"]) == (1, 75, 3.0)
    assert found["windows"] == [71, 34, 15, 6]
    assert found["shifts"] == [15, 15, 7, 3]
    assert found["missing"] == [None] * 4
    assert found["warnings"] == []
    assert found["off_abs"] == [abs(offset) for offset in found["off"]]
    assert all(confidence >= 0.0 for confidence in found["conf"])
    assert all(-1.0 <= cosine <= 1.0 for cosine in found["cosine"])
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("shift", [-7, 0, 5])
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2), (48_000, 6)])
def test_offsets_are_found_at_any_rate(
    talking: Floats, voice: Floats, tmp_path: Path, shift: int, rate: int, channels: int
) -> None:
    np.save(tmp_path / "face.npy", talking)
    late = np.concatenate([np.zeros(640 * max(0, -shift), np.float32), voice[640 * max(0, shift) :]])
    sound = written(tmp_path / "voice.wav", late[: len(voice)], rate, channels)
    found = score_file(tmp_path / "face.npy", sound, LoudnessSyncer().eval())
    assert found["off"][0] == shift
    assert found["off_abs"][0] == abs(shift)
    apart = [text for text in found["warnings"] if "ticks" in text]
    assert len(apart) == (abs(shift) >= 3)
    if apart:
        late_one = "face" if shift > 0 else "sound"
        assert apart[0].startswith(
            f"the {late_one} seems to come {abs(shift)} ticks ({abs(shift) * 0.04:.2f} s) after"
        )


@pytest.mark.skipif(
    METRIC_SYNCER not in weights.read_manifest(Path(__file__).parents[1] / "models/manifest.yaml"),
    reason="no metric syncer is shipped",
)
@pytest.mark.parametrize("stem", ["s26_bgbsza", "s26_bwaq8s"])
def test_the_shipped_syncer_finds_the_offset_of_an_unseen_speaker(stem: str, tmp_path: Path) -> None:
    track = DATA / "grid_tracks" / f"{stem}.npz"
    syncer, _ = load_syncer(METRIC_SYNCER)
    in_time = score_file(track, track.with_suffix(".flac"), syncer)
    assert abs(in_time["off"][0]) <= 1
    voice = read_sound(track.with_suffix(".flac"), Counts())[1]
    late = written(tmp_path / "late.wav", np.concatenate([np.zeros(5 * 640, np.float32), voice]))
    found = score_file(track, late, syncer)
    assert abs(found["off"][0] + 5) <= 1
    assert any("the sound seems to come" in text for text in found["warnings"])


def test_long_files_are_cut_into_sequences(
    talking: Floats, voice: Floats, untrained: SyncerPyramid, tmp_path: Path
) -> None:
    # There and back again, so that the face does not leap.
    np.save(tmp_path / "face.npy", np.concatenate([talking, talking[::-1]] * 2))
    sound = written(tmp_path / "voice.wav", np.resize(voice, 300 * 640))
    found = score_file(tmp_path / "face.npy", sound, untrained)
    assert (found["sequences"], found["ticks"], found["seconds"]) == (4, 80, 12.0)
    assert found["windows"] == [4 * 76, 4 * 36, 4 * 16, 4 * 6]
    assert found["warnings"] == []


def test_means_are_over_sequences(untrained: SyncerPyramid) -> None:
    poses, heard = torch.randn(70, 80, 136), torch.randn(70, 80, 4, 26)
    levels = pyramid_synchrony(untrained, poses, heard)
    assert [level.distances.shape for level in levels] == [(70, 31), (70, 31), (70, 17), (70, 7)]
    found = mean_scores(levels, 80)
    each = [
        mean_scores(pyramid_synchrony(untrained, poses[i : i + 1], heard[i : i + 1]), 80) for i in range(70)
    ]
    for name in ("off", "off_abs", "conf", "cosine"):
        assert found[name] == pytest.approx(np.mean([one[name] for one in each], axis=0), abs=1e-4), name
    assert found["off_abs"][0] > abs(found["off"][0])


@pytest.mark.parametrize(("ticks", "levels"), [(5, 0), (6, 1), (20, 2), (21, 3), (41, 4)])
def test_short_files_have_the_levels_that_they_are_long_enough_for(
    talking: Floats, voice: Floats, untrained: SyncerPyramid, tmp_path: Path, ticks: int, levels: int
) -> None:
    start = 20  # where there is speech
    np.save(tmp_path / "face.npy", talking[start : start + ticks])
    sound = written(tmp_path / "voice.wav", voice[640 * start : 640 * (start + ticks)])
    found = score_file(tmp_path / "face.npy", sound, untrained)
    assert (found["sequences"], found["ticks"]) == (1, ticks)
    for name in ("off", "off_abs", "conf", "shifts"):
        assert [value is not None for value in found[name]] == [i < levels for i in range(4)], name
    assert found["cosine"][0] is not None
    assert [reason is None for reason in found["missing"]] == [i < levels for i in range(4)]
    if levels < 4:
        assert f"there are {ticks}" in found["missing"][3]


def test_gaps_are_not_scored_across(talking: Floats, untrained: SyncerPyramid, tmp_path: Path) -> None:
    face = talking.copy()
    face[30] = math.nan
    np.save(tmp_path / "face.npy", face)
    found = score_file(tmp_path / "face.npy", CLIP.with_suffix(".flac"), untrained)
    assert found["ticks"] == 44
    assert found["counts"] == {"not_finite": 1, "invalid": 1, "too_short": 30}


def test_speech_is_what_is_compared(
    talking: Floats, voice: Floats, untrained: SyncerPyramid, tmp_path: Path
) -> None:
    np.save(tmp_path / "face.npy", np.concatenate([talking, talking[::-1]] * 2))
    sound = np.resize(voice, 300 * 640)
    sound[150 * 640 :] = 0.003 * np.random.default_rng(0).standard_normal(150 * 640)
    found = score_file(tmp_path / "face.npy", written(tmp_path / "half.wav", sound), untrained)
    assert found["sequences"] == 2
    assert found["counts"]["sequences_without_speech"] == 2
    assert any("hardly any speech in 2 sequences" in text for text in found["warnings"])


def test_warnings_of_clipping_and_of_other_lengths(
    talking: Floats, voice: Floats, untrained: SyncerPyramid, tmp_path: Path
) -> None:
    np.save(tmp_path / "face.npy", talking)
    loud = written(tmp_path / "loud.wav", np.resize(np.clip(20.0 * voice, -1.0, 1.0), 100 * 640))
    found = score_file(tmp_path / "face.npy", loud, untrained)
    assert found["clipped"] > 0.05
    assert any("clipped" in text for text in found["warnings"])
    assert any("landmarks last 3.00 s" in text and "to 4.00 s" in text for text in found["warnings"])
    short = written(tmp_path / "short.wav", voice[: 50 * 640])
    found = score_file(tmp_path / "face.npy", short, untrained)
    assert (found["ticks"], found["counts"]) == (50, {"without_sound": 25})


def sounds_that_cannot_be_used(folder: Path, voice: Floats) -> list[tuple[Path, str]]:
    (folder / "text.wav").write_text("no sound", encoding="utf-8")
    np.save(folder / "array.npy", voice)
    noise = 0.003 * np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    return [
        (folder / "nowhere.wav", "no such file"),
        (folder, "not a file"),
        (folder / "text.wav", "cannot"),
        (folder / "array.npy", "cannot"),
        (written(folder / "empty.wav", voice[:0]), "no sound"),
        (written(folder / "silence.wav", 0.0 * voice), "no speech"),
        (written(folder / "noise.wav", noise), "no speech"),
        (written(folder / "blink.wav", voice[: 4 * 640]), "ticks in common"),
    ]


def test_sounds_that_cannot_be_used(voice: Floats, untrained: SyncerPyramid, tmp_path: Path) -> None:
    for path, text in sounds_that_cannot_be_used(tmp_path, voice):
        with pytest.raises(CorpusError, match=text) as error:
            score_file(CLIP, path, untrained)
        assert str(path) in str(error.value), path


def test_landmarks_that_cannot_be_used(talking: Floats, untrained: SyncerPyramid, tmp_path: Path) -> None:
    holes = talking.copy()
    holes[::5] = math.nan
    leaping = talking + 1000.0 * (np.arange(75) % 2)[:, None, None].astype(np.float32)
    for name, face, text in (
        ("nan", np.full_like(talking, math.nan), "75 not finite"),
        ("holes", holes, "no piece without gap or cut has 5 ticks, the longest has 4"),
        ("leaps", leaping, "no piece without gap or cut"),
        ("few", talking[:4], "ticks in common"),
    ):
        path = tmp_path / f"{name}.npy"
        np.save(path, face)
        with pytest.raises(CorpusError, match=text) as error:
            score_file(path, CLIP.with_suffix(".flac"), untrained)
        assert str(path) in str(error.value), path


@pytest.fixture
def shipped(untrained: SyncerPyramid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models with a metric syncer in the place of the package's own."""
    path = tmp_path / "models" / "metric_syncer.safetensors"
    digest = weights.save(path, *untrained.to_weights())
    weights.register(path.parent / "manifest.yaml", METRIC_SYNCER, {"file": path.name, "sha256": digest})
    monkeypatch.setattr(weights, "resource", lambda relative: tmp_path / relative)
    return path


def test_the_command_writes_what_it_shows(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "sync.json"
    files = ["--landmarks", str(CLIP), "--audio", str(CLIP.with_suffix(".flac"))]
    cli.main(["evaluate", "sync", *files, "--json", str(out)])
    shown = capsys.readouterr().out
    assert "1600 ms" in shown
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["syncer"] == {"name": METRIC_SYNCER, "sha256": weights.sha256(shipped)}
    assert report["scores"]["windows"] == [71, 34, 15, 6]
    assert report["landmarks"] == str(CLIP)
    # By its file as by its name.
    config = EvaluateSyncConfig(landmarks=CLIP, audio=CLIP.with_suffix(".flac"), syncer=str(shipped))
    assert evaluate_sync(config, QUIET)["scores"] == report["scores"]


@pytest.mark.parametrize(
    "wrong", [("--landmarks", "nowhere.npy"), ("--audio", "nowhere.wav"), ("--syncer", "nobody")]
)
def test_errors_are_one_line_and_exit_with_2(
    shipped: Path, wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--landmarks", str(CLIP), "--audio", str(CLIP.with_suffix(".flac"))]
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", "sync", *files, *wrong])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert wrong[1] in told
    assert len(told.strip().splitlines()) == 1


def test_other_models_are_no_syncers(tmp_path: Path) -> None:
    weights.save(tmp_path / "other.safetensors", {"kind": "suhmo"}, {"a": torch.zeros(1)})
    with pytest.raises(WeightsError, match="kind"):
        load_syncer(str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="threads"):
        EvaluateSyncConfig(landmarks=CLIP, audio=CLIP, threads=0)
