"""How a face moves: place and size do not count, gaps are bridged or not, smoothing is that of the tracks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from talking_faces import effort, face

from hmgen_ros.perception.face_trail import MAX_STEP_TICKS, MEAN_TICKS, WINDOW, FaceTrail, framed


def windows(trail: FaceTrail, poses, ticks=None) -> dict[int, np.ndarray]:
    """Of all poses; None stands for a hidden face."""
    found = {}
    for tick, pose in zip(ticks if ticks is not None else range(len(poses)), poses, strict=True):
        found.update(trail.add(int(tick), pose))
    return found


def by_hand(poses: np.ndarray) -> dict[int, np.ndarray]:
    """All windows at once."""
    flat = np.stack([framed(pose) for pose in poses]).astype(np.float64)
    padded = np.concatenate([flat[:1], flat])
    smooth = (padded[:-2] + 2.0 * padded[1:-1] + padded[2:]) / 4.0
    mean, found = np.zeros(136), {}
    for tick, pose in enumerate(flat):
        mean += (pose - mean) / min(tick + 1, MEAN_TICKS)
        if tick >= WINDOW:
            found[tick - 1] = smooth[tick - WINDOW : tick] - mean
    return found


def test_windows_are_smoothed_differences_from_the_running_mean() -> None:
    poses = face(effort(200, 1))
    found, expected = windows(FaceTrail(), poses), by_hand(poses)
    assert list(found) == list(expected) == list(range(WINDOW - 1, 199))
    for tick in found:
        np.testing.assert_allclose(found[tick], expected[tick], atol=1e-5)


@given(st.floats(-500, 500), st.floats(-500, 500), st.floats(0.2, 5.0))
def test_place_and_size_in_the_picture_do_not_count(x: float, y: float, size: float) -> None:
    pose = face(effort(1, 1))[0]
    moved = (size * pose + np.array([x, y])).astype(np.float32)
    np.testing.assert_allclose(framed(moved), framed(pose), atol=2e-4)


def test_what_is_no_face_is_not_there() -> None:
    pose = face(effort(1, 1))[0]
    for bad in (np.nan, np.inf):
        broken = pose.copy()
        broken[5, 1] = bad
        assert framed(broken) is None
    assert framed(np.full((68, 2), 7.0, np.float32)) is None
    poses = list(face(effort(30, 1)))
    hidden, broken = [*poses[:20], None, *poses[21:]], [*poses[:20], np.full((68, 2), np.nan), *poses[21:]]
    one, two = windows(FaceTrail(), hidden), windows(FaceTrail(), broken)
    assert list(one) == list(two)
    assert all(np.isfinite(window).all() for window in two.values())


@pytest.mark.parametrize("step", [2, MAX_STEP_TICKS])
def test_missing_poses_are_interpolated(step: int) -> None:
    straight = face(np.linspace(0, 1, 60))
    ticks = np.arange(0, 60, step)
    every, some = windows(FaceTrail(), straight), windows(FaceTrail(), straight[ticks], ticks)
    assert set(some) == set(range(WINDOW - 1, int(ticks[-1])))
    for tick in some:
        # Means rest on other poses as long as not all of a step are there.
        np.testing.assert_allclose(
            some[tick] - some[tick].mean(0), every[tick] - every[tick].mean(0), atol=1e-3
        )


def test_after_a_longer_gap_windows_begin_anew() -> None:
    poses = face(effort(60, 1))
    ticks = np.r_[0:20, 20 + MAX_STEP_TICKS : 60]
    found = windows(FaceTrail(), poses[ticks], ticks)
    first = 20 + MAX_STEP_TICKS
    assert set(found) == set(range(WINDOW - 1, 19)) | set(range(first + WINDOW - 1, 59))
