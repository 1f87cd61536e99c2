"""The face frame and its inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmgen_ros.perception.normalisation import denormalise, normalise


def a_face(seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(-1, 1, (68, 2)).astype(np.float32)
    points[36], points[45] = (-0.5, 0.1), (0.5, -0.1)
    return points


@given(seed=st.integers(0, 1000), x=st.floats(-500, 5000), y=st.floats(-500, 5000), size=st.floats(8, 2000))
def test_inverse_and_frame(seed, x, y, size):
    points = (a_face(seed) * size + [x, y]).astype(np.float32)
    landmarks, origin, scale = normalise(points)
    np.testing.assert_allclose(denormalise(landmarks, origin, scale), points, atol=1e-3 + 1e-6 * size)
    np.testing.assert_allclose((landmarks[36] + landmarks[45]) / 2, 0, atol=2e-3)
    assert np.linalg.norm(landmarks[45] - landmarks[36]) == pytest.approx(1, abs=1e-4)


def test_does_not_depend_on_place_and_size():
    a, _, _ = normalise(a_face() * 50 + 100)
    b, _, _ = normalise(a_face() * 130 + 700)
    np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rejects_unusable_numbers(bad):
    points = a_face() * 50
    points[3, 1] = bad
    assert normalise(points) is None


def test_rejects_collapsed_eyes():
    points = a_face() * 50
    points[45] = points[36] + 0.01
    assert normalise(points) is None


def test_names_a_wrong_shape():
    with pytest.raises(ValueError, match=r"\[68, 2\]"):
        normalise(np.zeros((5, 2), np.float32))
