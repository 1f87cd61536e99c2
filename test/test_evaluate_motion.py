"""hmgen evaluate motion, report suhmo and render motion on tracks made here."""

import json
import math
from io import StringIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from motion_faces import turning_faces
from rich.console import Console

from hmgen_ros import cli
from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.track_files import TrackFile, write_track_file
from hmgen_ros.evaluation.evaluate_motion import EvaluateMotionConfig, evaluate_motion
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_reference import spread_of
from hmgen_ros.evaluation.motion_report import MotionReportConfig, write_report
from hmgen_ros.evaluation.motion_runs import SCORES, ReportError
from hmgen_ros.evaluation.motion_scores import NotFinite, Reference, score_generator, score_names
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


class Broken(ConstantVelocity):
    """Gives poses that are no numbers."""

    def rollout(self, *arguments: Any) -> torch.Tensor:
        return super().rollout(*arguments) * torch.nan


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
    console = Console(file=StringIO())
    report = evaluate_motion(config, console)
    scores = report["models"]["noise_driven"]
    assert scores["fd_motion_40"] is not None
    assert scores["fd_motion_80"] is None
    assert scores["drift_1000"] is not None
    assert report["data"]["windows"] == {"40": 16}
    shown = console.file.getvalue()
    assert "8 of 8 tracks (split all)\n" in shown
    assert "no *_80: no track has 81 ticks in a row\n" in shown


def test_every_row_has_every_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {**head_forecaster.MOTION_PREDICTORS, "constant_velocity": lambda _device: Broken()}
    monkeypatch.setattr(head_forecaster, "MOTION_PREDICTORS", models)
    out = tmp_path / "x.json"
    config = EvaluateMotionConfig(
        write(tmp_path, 8, 60), out, windows=16, samples=2, models=("constant_velocity",)
    )
    evaluate_motion(config, QUIET)
    rows = json.loads(out.read_text(encoding="utf-8"), parse_constant=pytest.fail)["models"]
    for name, row in rows.items():
        assert row.keys() == {*score_names(), "finding", "seconds"}, name
    assert {name for name, value in rows["constant_velocity"].items() if value is not None} == {
        "finding",
        "seconds",
    }
    for name in ("drift_1000", "diversity", "seconds"):
        assert rows["real"][name] is None
    assert rows["static"]["drift_1000"] == 0.0


def test_how_far_real_heads_go_for_very_long(tmp_path: Path) -> None:
    write(tmp_path, 1, 1100)
    config = EvaluateMotionConfig(tmp_path, windows=16, samples=2, models=("constant_velocity",))
    real = evaluate_motion(config, QUIET)["models"]["real"]
    for name in ("drift_40", "drift_80", "drift_200", "drift_1000", "spread_1000"):
        assert 0.2 < real[name] < 3.0, name
    assert real.keys() == {*score_names(), "finding", "seconds"}


def test_heads_that_stand_still(tmp_path: Path) -> None:
    face = turning_faces(1, 1, 0).numpy()[0]
    track = TrackFile(face.repeat(1100, axis=0), np.ones(1100, np.bool_), (640, 480))
    write_track_file(tmp_path / "still.npz", track)
    out = tmp_path / "x.json"
    config = EvaluateMotionConfig(tmp_path, out, windows=16, samples=2, models=("noise_driven",))
    evaluate_motion(config, QUIET)
    rows = json.loads(out.read_text(encoding="utf-8"), parse_constant=pytest.fail)["models"]
    # All in units of how far the real head goes, which goes nowhere.
    for name in ("drift_40", "drift_1000", "spread_1000", "diversity", "diversity_80"):
        assert {row[name] for row in rows.values()} == {None}, name
    assert rows["real"]["fd_motion_40"] == pytest.approx(0.0, abs=1e-6)
    assert rows["noise_driven"]["fd_motion_40"] > 0.0


def test_tracks_that_are_too_short(tmp_path: Path) -> None:
    write(tmp_path, 3, 45)
    landmarks = turning_faces(1, 45, 1).numpy()[0]
    valid = np.arange(45) % 10 > 0
    write_track_file(tmp_path / "holes.npz", TrackFile(landmarks, valid, (640, 480)))
    (tmp_path / "few").mkdir()
    write(tmp_path / "few", 1, 43)
    with pytest.raises(ValueError, match="16 windows of 41 ticks in a row are needed, the tracks have 3"):
        evaluate_motion(EvaluateMotionConfig(tmp_path / "few"), QUIET)


def test_where_nothing_is_left_the_error_says_why(tmp_path: Path) -> None:
    write(tmp_path, 1, 41)
    point = TrackFile(np.full((50, 68, 2), 7.0, np.float32), np.ones(50, np.bool_), (640, 480))
    write_track_file(tmp_path / "point.npz", point)
    with pytest.raises(ValueError, match="too few windows") as error:
        evaluate_motion(EvaluateMotionConfig(tmp_path), QUIET)
    told = str(error.value)
    assert "no track has 42 ticks in a row; the longest piece without gap or cut has 41 ticks" in told
    assert f"50 ticks of tracks whose faces are collapsed to a point (first in {tmp_path}/point.npz)" in told
    with pytest.raises(ValueError, match=r"long enough to be shown: the longest piece .* has 41 ticks"):
        render(RenderMotionConfig(tmp_path, tmp_path / "x.mp4"), QUIET)


def test_what_was_cleaned_away_is_shown(tmp_path: Path) -> None:
    write(tmp_path, 8, 60)
    landmarks = turning_faces(1, 60, 1).numpy()[0]
    landmarks[10] = np.nan
    np.savez(tmp_path / "holes.npz", lm=landmarks, wh=[640, 480], fps=25)
    console = Console(file=StringIO())
    config = EvaluateMotionConfig(tmp_path, windows=16, samples=2, models=("constant_velocity",))
    evaluate_motion(config, console)
    shown = console.file.getvalue()
    assert f"cleaned: 1 ticks without a face, or not finite (first in {tmp_path / 'holes.npz'})" in shown
    assert "10 ticks in pieces that are too short" in shown


@pytest.mark.parametrize("out", ["/proc/nope/x.json", "."])
def test_results_that_cannot_be_written_are_refused_before_the_work(
    out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hmgen_ros.evaluation.evaluate_motion.choose_tracks", pytest.fail)
    with pytest.raises(ValueError, match="cannot write"):
        evaluate_motion(EvaluateMotionConfig(Path(), Path(out)), QUIET)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("evaluate", "motion", "--seed", "99999999999999999999"), "seed"),
        (("render", "motion", "--out", "x.mp4", "--seed", "99999999999999999999"), "seed"),
        (("render", "motion", "--out", "x.mp4", "--seconds", "inf"), "seconds"),
        (("render", "motion", "--out", "noext"), "noext must end in .mp4"),
        (("render", "motion", "--out", "x.mp4", "--split", "dev"), "validation"),
    ],
)
def test_options_that_cannot_be_exit_with_2(
    arguments: tuple[str, ...], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--data", str(tmp_path)])
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_files_that_cannot_be_used_are_one_line_and_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros((60, 68, 2), np.float32))
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", "motion", "--data", str(tmp_path)])
    assert ended.value.code == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert "array.npz is not an .npz file" in told


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
        ({"seed": 2**63}, "seed"),
        ({"models": ("suhmo",)}, "suhmo_rnn"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        EvaluateMotionConfig(Path(), **wrong)


def test_a_model_without_numbers_is_told(folder: Path) -> None:
    from hmgen_ros.data.tracks import segments, tracks_of

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
    console = Console(file=StringIO())
    # Longer than what is drawn at once, and than the track, whose head is not shown to the end.
    render(RenderMotionConfig(folder, out, seconds=12.0, samples=2), console)
    assert console.file.getvalue().startswith("6 of 6 tracks (split all)\n")
    with av.open(str(out)) as film:
        frames = [frame.to_ndarray(format="bgr24") for frame in film.decode(video=0)]
    assert len(frames) == 300
    assert frames[0].shape == (256, 3 * 256, 3)
    panels = np.split(frames[24], 3, axis=1)
    assert all(panel.max() > 100 for panel in panels)
    panels = np.split(frames[-1], 3, axis=1)
    assert [panel.max() > 100 for panel in panels] == [False, True, True]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"seconds": 0.0}, "seconds"),
        ({"seconds": math.nan}, "seconds"),
        ({"seconds": 1e9}, "seconds"),
        ({"samples": 9}, "samples"),
        ({"model": "nobody"}, "noise_driven"),
    ],
)
def test_films_that_cannot_be(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RenderMotionConfig(Path(), Path(), **wrong)
