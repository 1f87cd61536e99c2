"""Backends besides the mesh, with their real packages; contours of the mesh; the list of all models."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from perception_scene import frames
from rich.console import Console

from hmgen_ros import cli
from hmgen_ros.generators import weights
from hmgen_ros.model_check import DEFAULTS, ModelsCheckConfig, check_models, models_check
from hmgen_ros.perception import dlib_shapes, fan, mesh_files
from hmgen_ros.perception.backends import create_backend
from hmgen_ros.perception.mesh import MeshBackend
from hmgen_ros.perception.mesh_contours import contours_68, divided
from hmgen_ros.resources import resource

needs_dlib = pytest.mark.skipif(importlib.util.find_spec("dlib") is None, reason="needs dlib")
needs_fan = pytest.mark.skipif(
    importlib.util.find_spec("face_alignment") is None, reason="needs face-alignment"
)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return frames(1)[0]


@pytest.fixture(scope="module", autouse=True)
def uncompiled() -> Iterator[None]:
    """The package compiles two small functions for ten seconds; here they run as they are written."""
    import numba

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba.config, "DISABLE_JIT", 1)
        if importlib.util.find_spec("face_alignment") is not None:
            import face_alignment  # noqa: F401
        yield


@pytest.fixture(scope="module")
def mesh() -> MeshBackend:
    return MeshBackend()


def dlib_weights() -> Path | None:
    try:
        return dlib_shapes.weights_file()
    except mesh_files.ModelFileError:
        return None


@needs_dlib
@pytest.mark.skipif(dlib_weights() is None, reason=f"needs {dlib_shapes.WEIGHTS}")
def test_dlib_agrees_with_the_mesh_upright_and_turned(
    scene: np.ndarray, mesh: MeshBackend, caplog: pytest.LogCaptureFixture
) -> None:
    dlib_shapes._warn_of_licence.cache_clear()
    backend = create_backend("dlib")
    assert "excludes commercial use" in caplog.text
    for image in (scene, cv2.rotate(scene, cv2.ROTATE_90_CLOCKWISE)):
        rois = mesh.landmarks(image, mesh.landmarks(image, mesh.detect(image).rois).rois).rois
        ours, theirs = mesh.landmarks(image, rois), backend.landmarks(image, rois)
        np.testing.assert_array_equal(theirs.rois, ours.rois)
        eyes = np.linalg.norm(ours.points[:, 45] - ours.points[:, 36], axis=1)[:, None]
        apart = np.linalg.norm(backend.annotated(theirs) - mesh.annotated(ours), axis=2) / eyes
        assert len(theirs) == len(ours) > 0
        assert apart[:, 17:].mean() < 0.06


@needs_dlib
def test_dlib_names_a_missing_or_damaged_predictor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "predictor.dat"
    monkeypatch.setenv(dlib_shapes.PATH_VARIABLE, str(path))
    with pytest.raises(
        RuntimeError, match=rf"missing dlib predictor .*predictor\.dat.*{dlib_shapes.PATH_VARIABLE}"
    ):
        create_backend("dlib")
    path.write_bytes(b"no predictor")
    with pytest.raises(RuntimeError, match=r"predictor\.dat cannot be read"):
        create_backend("dlib")


@needs_fan
def test_face_alignment_names_the_file_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "2DFAN4-11f355bf06.pth.tar"
    (tmp_path / "a.pts").touch()
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "landmarks", "--images", str(tmp_path), "--backend", "face_alignment"])
    error = capsys.readouterr().err
    assert str(path) in error
    assert len(error.strip().splitlines()) == 1
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no weights")
    with pytest.raises(RuntimeError, match="damaged or others"):
        create_backend("face_alignment")


@needs_fan
def test_face_alignment_runs_with_weights_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: np.ndarray
) -> None:
    """The real network, though untrained: its answers lie somewhere on each face."""
    from face_alignment.models import FAN

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / fan.WEIGHTS
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), path)
    backend = create_backend("face_alignment")
    found = backend.landmarks(scene, backend.detect(scene).rois[:1])
    assert found.points.shape == (1, 68, 2)
    low, high = found.boxes[0, :2], found.boxes[0, 2:]
    margin = high - low
    assert ((found.points[0] > low - margin) & (found.points[0] < high + margin)).all()
    assert len(backend.landmarks(scene, np.zeros((0, 4), np.float32))) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 12))
def test_lines_are_divided_into_equal_parts(seed: int, points: int, parts: int) -> None:
    """On a straight line with points anywhere; ends stay, also where points coincide."""
    rng = np.random.default_rng(seed)
    places = np.sort(np.concatenate([[0, 1], rng.uniform(0, 1, points - 2)]))
    start, step = rng.uniform(-9, 9, 2), rng.uniform(-9, 9, 2)
    found = divided((start + places[:, None] * step)[None], parts)[0]
    np.testing.assert_allclose(found, start + np.linspace(0, 1, parts + 1)[:, None] * step, atol=1e-9)
    np.testing.assert_array_equal(divided(np.ones((1, 3, 2)), parts), np.ones((1, parts + 1, 2)))


def test_contours_turn_and_scale_with_the_mesh_and_keep_the_order(
    scene: np.ndarray, mesh: MeshBackend
) -> None:
    detail = mesh.landmarks(scene, mesh.detect(scene).rois).detail
    assert detail is not None
    turn = 1.7 * np.array([[0.6, -0.8], [0.8, 0.6]])
    for face in detail[:, :, :2]:
        points = contours_68(face)
        np.testing.assert_allclose(contours_68(face @ turn + 5), points @ turn + 5, atol=0.01)
        jaw = np.linalg.norm(np.diff(points[:17], axis=0), axis=1)
        assert jaw[:8].max() / jaw[:8].min() < 1.3  # nearly equal: chords of equal arcs
        assert points[36, 0] < points[37, 0] < points[38, 0] < points[39, 0] < points[42, 0] < points[45, 0]
        assert points[37, 1] < points[41, 1]
        assert points[19, 1] < points[37, 1] < points[30, 1] < points[51, 1] < points[8, 1]


def test_every_shipped_model_is_intact_and_exit_code_tells(tmp_path: Path) -> None:
    out = tmp_path / "models.json"
    states = models_check(ModelsCheckConfig(json=out), Console(quiet=True))
    assert not [state for state in states if state.bad]
    assert {state.use for state in states} == {"default", "shipped", "optional"}
    assert set(DEFAULTS) <= {state.name for state in states if state.use == "default"}
    listed = json.loads(out.read_text())
    assert {"silero_vad", mesh_files.DETECTOR, "syncer"} <= {row["name"] for row in listed}
    assert all(row["licence"] for row in listed)


def test_where_states_cannot_be_written_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hmgen_ros.model_check.check_models", lambda: pytest.fail("models were read"))
    with pytest.raises(ValueError, match="it is a folder; name a file"):
        models_check(ModelsCheckConfig(json=tmp_path), Console(quiet=True))


def test_missing_and_damaged_models_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = weights.read_manifest(resource(weights.MANIFEST))
    source = resource(weights.MANIFEST).parent / entries["syncer"]["file"]
    weights.register(tmp_path / "manifest.yaml", "syncer", entries["syncer"])
    weights.register(tmp_path / "manifest.yaml", "noise_driven", entries["noise_driven"])
    (tmp_path / source.name).write_bytes(source.read_bytes()[:-1] + b"?")
    states = {state.name: state for state in check_models(tmp_path / "manifest.yaml")}
    assert states["syncer"].state == "damaged"
    assert states["noise_driven"].state == "missing"
    assert states["syncer"].bad
    assert "reinstall" in states["syncer"].remedy
    monkeypatch.setattr("hmgen_ros.model_check.resource", lambda _: tmp_path / "manifest.yaml")
    with pytest.raises(SystemExit) as end:
        models_check(ModelsCheckConfig(), Console(quiet=True))
    assert end.value.code == 1


def test_face_models_that_are_not_installed_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_files, "find_spec", lambda name: None)
    missing = [state for state in check_models() if state.bad]
    assert {state.name for state in missing} == {mesh_files.DETECTOR, mesh_files.LANDMARKS}
    assert all("pip install" in state.remedy for state in missing)
