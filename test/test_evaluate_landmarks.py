"""Landmarks against labels: known errors come out, faces find their labels, bad files are skipped by name."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perception_scene import frames
from rich.console import Console

from hmgen_ros import cli
from hmgen_ros.data.landmark_points import turned_points
from hmgen_ros.evaluation.evaluate_landmarks import EvaluateLandmarksConfig, evaluate_landmarks
from hmgen_ros.evaluation.landmark_errors import ErrorSummary, match_faces, point_errors
from hmgen_ros.perception.mesh import MeshBackend

QUIET = Console(quiet=True)


def write_pts(path: Path, points: np.ndarray) -> None:
    """As 300-W writes them: pixels counted from 1."""
    rows = "".join(f"{x + 1:.4f} {y + 1:.4f}\n" for x, y in points)
    path.write_text("version: 1\nn_points:  68\n{\n" + rows + "}")


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return frames(1)[0]


@pytest.fixture(scope="module")
def faces(scene: np.ndarray) -> np.ndarray:
    """``[3, 68, 2]`` where the mesh puts labels in the scene."""
    backend = MeshBackend()
    first = backend.landmarks(scene, backend.detect(scene).rois)
    return backend.annotated(backend.landmarks(scene, first.rois))


@pytest.fixture
def folder(tmp_path: Path, scene: np.ndarray, faces: np.ndarray) -> Path:
    """One image of three people, two of them labelled where the backend sees them, one 3 % to the right."""
    cv2.imwrite(str(tmp_path / "group.png"), scene)
    for i, face in enumerate(faces):
        eyes = np.linalg.norm(face[45] - face[36])
        write_pts(tmp_path / f"group_{i + 1}.pts", face + (0.03 * eyes * np.array([1, 0]) if i == 2 else 0))
    return tmp_path


def test_known_errors_come_out(folder: Path) -> None:
    report = evaluate_landmarks(EvaluateLandmarksConfig(folder, folder / "out.json"), QUIET)
    assert report["found"] == 1
    assert [face["labels"] for face in report["faces"]] == ["group_1.pts", "group_2.pts", "group_3.pts"]
    np.testing.assert_allclose([face["nme"] for face in report["faces"]], [0, 0, 3], atol=0.01)
    np.testing.assert_allclose([report["nme"], report["nme_inner"]], 1, atol=0.01)
    assert report["raw"]["nme"] > 1
    assert json.loads((folder / "out.json").read_text()) == report


def test_grey_and_odd_images_and_a_face_that_is_nowhere(folder: Path, scene: np.ndarray) -> None:
    grey = cv2.cvtColor(scene, cv2.COLOR_BGR2GRAY)
    cv2.imwrite(str(folder / "group.png"), grey)
    empty = np.full((31, 500), 128, np.uint8)
    cv2.imwrite(str(folder / "empty.bmp"), empty)
    write_pts(folder / "empty.pts", np.random.default_rng(0).uniform(0, 30, (68, 2)))
    report = evaluate_landmarks(EvaluateLandmarksConfig(folder), QUIET)
    assert report["found"] == 0.75
    assert [face["found"] for face in report["faces"]] == [False, True, True, True]
    assert report["nme"] < 3  # the same faces without colour
    assert report["failures_8"] == 0.25


def test_bad_files_are_named_counted_and_skipped(folder: Path) -> None:
    (folder / "group_2.pts").write_text("version: 1\n{\n1 2\n}")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    write_pts(folder / "broken.pts", np.random.default_rng(0).uniform(0, 30, (68, 2)))
    write_pts(folder / "lonely.pts", np.random.default_rng(0).uniform(0, 30, (68, 2)))
    report = evaluate_landmarks(EvaluateLandmarksConfig(folder), QUIET)
    skipped = report["skipped"]
    assert {cause: Path(files[0]["file"]).name for cause, files in skipped.items()} == {
        "unreadable_images": "broken.jpg",
        "bad_labels": "group_2.pts",
        "labels_without_image": "lonely.pts",
    }
    assert "1 lines" in skipped["bad_labels"][0]["reason"]
    assert report["counts"]["faces"] == report["counts"]["faces_found"] == 2


def test_a_picture_that_ends_early_a_folder_and_one_without_labels_are_not_measured(
    folder: Path, scene: np.ndarray, faces: np.ndarray
) -> None:
    cv2.imwrite(str(folder / "half.jpg"), scene)
    whole = (folder / "half.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "unlabelled.png").write_bytes((folder / "group.png").read_bytes())
    (folder / "folder.png").mkdir()
    for name in ("half", "folder"):
        write_pts(folder / f"{name}.pts", faces[0])
    report = evaluate_landmarks(EvaluateLandmarksConfig(folder), QUIET)
    named = {cause: [Path(one["file"]).name for one in files] for cause, files in report["skipped"].items()}
    assert named["unreadable_images"] == ["half.jpg"]
    assert named["labels_without_image"] == ["folder.pts"]
    assert report["counts"]["images_without_labels"] == 1
    assert report["counts"]["faces"] == 3


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG file with an EXIF block that says how it is to be turned."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    block = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 1) + entry + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (8, 1), (3, 2), (6, 3)])
@pytest.mark.parametrize("labelled_as_stored", [False, True])
def test_labels_of_turned_pictures_may_be_as_stored_or_as_shown(
    tmp_path: Path,
    scene: np.ndarray,
    faces: np.ndarray,
    orientation: int,
    turns: int,
    labelled_as_stored: bool,
) -> None:
    """An uneven part of the scene, so that sides cannot be mixed up."""
    part = np.ascontiguousarray(scene[:, :301])
    face = next(face for face in faces if face[:, 0].max() < 301)
    stored = np.ascontiguousarray(np.rot90(part, -turns))
    _, jpeg = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 98])
    (tmp_path / "a.jpg").write_bytes(with_orientation(jpeg.tobytes(), orientation))
    size = (stored.shape[1], stored.shape[0])
    write_pts(tmp_path / "a.pts", turned_points(face, -turns % 4, size) if labelled_as_stored else face)
    report = evaluate_landmarks(EvaluateLandmarksConfig(tmp_path), QUIET)
    assert report["nme"] < 3.0  # the same face in a smaller picture
    assert report["counts"]["labels_turned"] == int(labelled_as_stored and turns > 0)


@given(st.integers(0, 3), st.integers(1, 30), st.integers(1, 30), st.data())
def test_points_go_with_the_picture(turns: int, width: int, height: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    picture = np.zeros((height, width), bool)
    picture[y, x] = True
    after = np.rot90(picture, turns)
    ((to_x, to_y),) = turned_points(np.array([[x, y]], float), turns, (after.shape[1], after.shape[0]))
    assert after[int(to_y), int(to_x)]


def test_figures_are_drawn(folder: Path) -> None:
    evaluate_landmarks(EvaluateLandmarksConfig(folder, plots=folder / "plots"), QUIET)
    assert {path.name for path in (folder / "plots").iterdir()} == {
        "landmark_errors.png",
        "landmark_points.png",
    }


def test_a_missing_folder_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["evaluate", "landmarks", "--images", "/nowhere"])
    assert end.value.code == 2
    error = capsys.readouterr().err.strip()
    assert "/nowhere" in error
    assert "\n" not in error


def test_a_folder_in_which_nothing_can_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    write_pts(tmp_path / "a.pts", np.random.default_rng(0).uniform(0, 30, (68, 2)))
    with pytest.raises(ValueError, match=r"no labelled face.*a\.jpg"):
        evaluate_landmarks(EvaluateLandmarksConfig(tmp_path), QUIET)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(4)), st.floats(0, 6.28), st.floats(0.5, 5))
def test_faces_find_their_labels_in_any_order_at_any_scale(
    order: list[int], angle: float, scale: float
) -> None:
    shape = np.random.default_rng(0).uniform(0, 10, (68, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    labels = np.stack([(shape + np.array([25 * i, 0])) @ turn for i in range(4)])
    found = (labels[list(order)] + 0.3 * scale).astype(np.float32)
    matched = match_faces(labels, found)
    assert [order[j] for j in matched if j is not None] == [0, 1, 2, 3]
    assert match_faces(labels, found[:0]) == [None] * 4
    shift = 0.3 * np.sqrt(2) * scale / np.linalg.norm(labels[0, 36] - labels[0, 45])
    np.testing.assert_allclose(point_errors(labels[0], found[order.index(0)]), 100 * shift, rtol=1e-4)


def test_area_and_failures_count_faces_not_found() -> None:
    errors = np.full((3, 68), 4.0)
    errors[2] = 16
    figures = ErrorSummary(errors, 4).figures()
    assert figures["nme"] == 8
    assert figures["nme_median"] == 4
    assert figures["auc_8"] == 0.25  # two of four faces, each half the way
    assert figures["failures_8"] == 0.5
    assert ErrorSummary(np.zeros((0, 68)), 4).figures()["nme"] is None
