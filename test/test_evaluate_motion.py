"""hmgen evaluate motion, report suhmo and render motion on tracks made here."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from motion_faces import turning_faces
from rich.console import Console

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.track_files import TrackFile, write_track_file
from hmgen_ros.evaluation.evaluate_motion import EvaluateMotionConfig, evaluate_motion
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_reference import spread_of
from hmgen_ros.evaluation.motion_report import MotionReportConfig, write_report
from hmgen_ros.evaluation.motion_runs import SCORES, ReportError
from hmgen_ros.evaluation.motion_scores import NotFinite, Reference, score_generator
from hmgen_ros.evaluation.motion_video import RenderMotionConfig, render
from hmgen_ros.generators import head_forecaster
from hmgen_ros.generators.constant_velocity import ConstantVelocity
from hmgen_ros.training.train_suhmo import SuhmoTrainConfig, train

QUIET = Console(quiet=True)
NAMES = {"real", "static", "mle", "delta", "actor", "hit_dvae", "noise_driven"}


def write(folder: Path, tracks: int, ticks: int, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, landmarks in enumerate(turning_faces(tracks, ticks, seed).numpy()):
        track = TrackFile(landmarks, np.ones(ticks, np.bool_), (640, 480))
        write_track_file(folder / f"head_{i}.npz", track)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks without a manifest, of speakers that nobody knows."""
    return write(tmp_path_factory.mktemp("tracks"), 6, 130)


def test_every_shipped_model_on_any_folder(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "motion.json"
    config = EvaluateMotionConfig(folder, out, windows=8, samples=2)
    report = evaluate_motion(config, QUIET)
    assert report == json.loads(out.read_text(encoding="utf-8"))
    assert report["default"] == head_forecaster.DEFAULT_MOTION_PREDICTOR
    assert report["models"].keys() >= NAMES
    assert head_forecaster.MOTION_PREDICTORS.keys() <= report["models"].keys()
    metrics = {"fd_motion_40", "fd_motion_80", "fd_static", "fd_map_40", "drift_1000", "diversity"}
    for name, scores in report["models"].items():
        if name in ("real", "static"):
            continue
        assert metrics <= scores.keys(), name
        assert all(scores[metric] is not None for metric in metrics), name
    models = report["models"]
    assert models["real"]["fd_motion_40"] < models["static"]["fd_motion_40"]
    assert models["constant_velocity"]["diversity"] == 0.0
    assert report["data"]["windows"] == {"40": 8, "80": 8}


def test_the_same_seed_gives_the_same_scores(folder: Path) -> None:
    config = EvaluateMotionConfig(folder, windows=8, samples=2, models=("noise_driven",))
    one, again = (evaluate_motion(config, QUIET)["models"]["noise_driven"] for _ in range(2))
    for scores in (one, again):
        scores.pop("seconds")
    assert one == again


def test_short_tracks_have_the_shorter_horizon_only(tmp_path: Path) -> None:
    write(tmp_path, 8, 60)
    config = EvaluateMotionConfig(tmp_path, windows=16, samples=2, models=("constant_velocity",))
    scores = evaluate_motion(config, QUIET)["models"]["noise_driven"]
    assert "fd_motion_40" in scores
    assert "fd_motion_80" not in scores
    assert "drift_1000" in scores


def test_tracks_that_are_too_short(tmp_path: Path) -> None:
    write(tmp_path, 3, 45)
    landmarks = turning_faces(1, 45, 1).numpy()[0]
    valid = np.arange(45) % 10 > 0
    write_track_file(tmp_path / "holes.npz", TrackFile(landmarks, valid, (640, 480)))
    (tmp_path / "few").mkdir()
    write(tmp_path / "few", 1, 43)
    with pytest.raises(ValueError, match="too few windows"):
        evaluate_motion(EvaluateMotionConfig(tmp_path / "few"), QUIET)


def test_no_tracks(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no tracks"):
        evaluate_motion(EvaluateMotionConfig(tmp_path), QUIET)
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(CorpusError, match=r"a\.npz"):
        evaluate_motion(EvaluateMotionConfig(tmp_path), QUIET)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"split": "dev"}, "validation"),
        ({"windows": 2}, "windows"),
        ({"samples": 1}, "samples"),
        ({"seed": -1}, "seed"),
        ({"models": ("suhmo",)}, "suhmo_rnn"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        EvaluateMotionConfig(Path(), **wrong)


def test_a_model_without_numbers_is_told(folder: Path) -> None:
    from hmgen_ros.data.tracks import segments, tracks_of

    class Broken(ConstantVelocity):
        def rollout(self, *arguments: Any) -> torch.Tensor:
            return super().rollout(*arguments) * torch.nan

    reference = Reference.of(segments(tracks_of(folder)).segments, 16, MotionInception.load())
    with pytest.raises(NotFinite, match="16 of 16"):
        score_generator(Broken(), reference, 2, 0)


def test_spread_is_that_of_two_poses_at_any_time() -> None:
    still = turning_faces(1, 50, 0, angles=(0.0, 0.0, 0.0))[0]
    assert spread_of(still) == pytest.approx(0.0, abs=1e-5)
    jumping = still.clone()
    jumping[::2] += 100.0
    size = (still[0] - still[0].mean(0)).square().sum(-1).mean().sqrt()
    # Half of the pairs are apart by 100 √2 pixels.
    assert spread_of(jumping) == pytest.approx(100.0 / float(size), rel=0.1)


def test_report_from_runs(folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    data = tmp_path / "data"
    from motion_corpus import write_tracks

    write_tracks(data)
    for seed in (0, 1):
        config = SuhmoTrainConfig(
            data=data,
            out=runs,
            seed=seed,
            iterations=1,
            steps=20,
            batch=4,
            hidden=8,
            judge_hidden=8,
            validation_windows=16,
            accelerator="cpu",
        )
        train(config, QUIET)
    out = tmp_path / "suhmo.md"
    report = MotionReportConfig(runs, folder, out, findings=tmp_path / "none.md", windows=16, samples=2)
    write_report(report, QUIET)
    text = out.read_text(encoding="utf-8")
    line = next(row for row in text.splitlines() if row.startswith("| SUHMo-RNN |"))
    assert line.count("±") == 6
    assert "| MLE | – |" in text
    for name in ("motion_maps.png", "dynamics.png", "futures.mp4"):
        assert (tmp_path / "suhmo" / name).stat().st_size > 1000
    # Scored once: the weights are not needed again.
    for path in runs.glob("*/best.safetensors"):
        assert (path.parent / SCORES).is_file()
        path.unlink()
    write_report(report, QUIET)
    assert line in out.read_text(encoding="utf-8")


def test_report_without_runs(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no run"):
        write_report(MotionReportConfig(tmp_path, folder, tmp_path / "x.md"), QUIET)


def test_a_film(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "film.mp4"
    render(RenderMotionConfig(folder, out, seconds=1.0, samples=2), QUIET)
    with av.open(str(out)) as film:
        frames = [frame.to_ndarray(format="bgr24") for frame in film.decode(video=0)]
    assert len(frames) == 25
    assert frames[0].shape == (256, 3 * 256, 3)
    panels = np.split(frames[-1], 3, axis=1)
    assert all(panel.max() > 100 for panel in panels)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"seconds": 0.0}, "seconds"), ({"samples": 9}, "samples"), ({"model": "nobody"}, "noise_driven")],
)
def test_films_that_cannot_be(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RenderMotionConfig(Path(), Path(), **wrong)
