"""Head pose recovered from projections of a turned head."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.perception.head_pose import HEAD_MODEL, RIGID_POINTS, default_camera_matrix, solve_head_pose

SIZE = (960, 540)
# Axes written out here and not taken from the module: head (x forward, y left, z up), camera (x right,
# y down, z forward), the head facing the camera.
LEFT_OF_PERSON_IN_IMAGE = np.array([1.0, 0.0, 0.0])
UP_IN_IMAGE = np.array([0.0, -1.0, 0.0])
TOWARDS_CAMERA = np.array([0.0, 0.0, -1.0])


def about(axis: np.ndarray, angle: float) -> np.ndarray:
    return cv2.Rodrigues(axis * angle)[0]


def project(yaw, pitch, roll, pixels=(480, 270), eyes_px=80.0, camera=None, size=SIZE) -> np.ndarray:
    """Landmarks of the model head, turned, at a place in the image; points not used are zero."""
    camera = default_camera_matrix(size) if camera is None else camera
    turned = about(UP_IN_IMAGE, yaw) @ about(LEFT_OF_PERSON_IN_IMAGE, pitch) @ about(TOWARDS_CAMERA, roll)
    ray = np.linalg.inv(camera) @ [*pixels, 1.0]
    unit = ray / np.linalg.norm(ray)
    # A head that looks into the camera is turned with the ray on which it stands.
    axis = np.cross([0, 0, 1.0], unit)
    length = np.linalg.norm(axis)
    view = about(axis / length, np.arcsin(length)) if length > 1e-9 else np.eye(3)
    position = ray * camera[0, 0] / eyes_px
    seen = cv2.projectPoints(HEAD_MODEL, cv2.Rodrigues(view @ turned)[0], position, camera, None)[0][:, 0]
    points = np.zeros((68, 2), np.float32)
    points[list(RIGID_POINTS)] = seen
    return points


def degrees(pose) -> np.ndarray:
    return np.degrees([pose.yaw, pose.pitch, pose.roll])


@settings(max_examples=150, deadline=None)
@given(
    yaw=st.floats(-60, 60),
    pitch=st.floats(-40, 40),
    roll=st.floats(-45, 45),
    x=st.floats(50, 910),
    y=st.floats(50, 490),
    eyes=st.floats(15, 300),
)
def test_recovers_any_turn_at_any_place(yaw, pitch, roll, x, y, eyes):
    pose = solve_head_pose(project(*np.radians([yaw, pitch, roll]), (x, y), eyes), SIZE)
    assert pose is not None
    np.testing.assert_allclose(degrees(pose), [yaw, pitch, roll], atol=1.0)


def test_signs_are_those_of_the_picture():
    straight = project(0, 0, 0)
    nose, right_eye, left_eye = 30, 36, 45
    turned_left = project(0.4, 0, 0)
    assert turned_left[nose, 0] > straight[nose, 0] + 5  # the person's left is the picture's right
    assert project(0, 0.3, 0)[nose, 1] > straight[nose, 1] + 5
    tilted = project(0, 0, 0.3)
    assert tilted[right_eye, 1] > tilted[left_eye, 1] + 5  # towards the right shoulder
    assert solve_head_pose(turned_left, SIZE).yaw > 0.35
    assert solve_head_pose(project(0, 0.3, 0), SIZE).pitch > 0.25
    assert solve_head_pose(tilted, SIZE).roll > 0.25


def test_noise_of_a_landmark_model_costs_a_few_degrees_at_most():
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(200):
        angles = np.radians(rng.uniform(-25, 25, 3))
        points = project(*angles) + rng.normal(0, 0.4, (68, 2)).astype(np.float32)  # 0.5 % of the eyes
        errors.append(np.abs(degrees(solve_head_pose(points, SIZE)) - np.degrees(angles)))
    assert np.mean(errors, axis=0).max() < 2.0


def test_a_slow_turn_has_no_jumps():
    angles = np.radians(np.linspace(-50, 50, 201))
    yaw = [solve_head_pose(project(a, 0.1, -0.05), SIZE).yaw for a in angles]
    assert np.degrees(np.abs(np.diff(yaw))).max() < 0.7


def test_camera_matrix_is_used():
    camera = np.array([[400.0, 0, 300], [0, 420.0, 200], [0, 0, 1]])
    points = project(0.3, -0.2, 0.1, (200, 300), 60, camera)
    known = solve_head_pose(points, SIZE, camera)
    np.testing.assert_allclose(degrees(known), np.degrees([0.3, -0.2, 0.1]), atol=0.5)


@pytest.mark.parametrize("spoil", ["nan", "one point", "scattered", "line"])
def test_what_is_no_head_gives_none(spoil):
    points = project(0.1, 0.1, 0)
    rng = np.random.default_rng(1)
    if spoil == "nan":
        points[36] = np.nan
    elif spoil == "one point":
        points[:] = 100
    elif spoil == "scattered":
        points = rng.uniform(0, 500, (68, 2)).astype(np.float32)
    else:
        points[:] = np.linspace(0, 300, 68, dtype=np.float32)[:, None]
    assert solve_head_pose(points, SIZE) is None
