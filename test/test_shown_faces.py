"""What is published of faces: calmer or corrected landmarks, while everything else stays what it was."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from perception_scene import frames, play, sound

from hmgen_ros.evaluation.perception_metrics import jitter_px
from hmgen_ros.perception.normalisation import normalise
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.pipeline import Perception
from hmgen_ros.types import Scene

TICKS = 30


@pytest.fixture(scope="module")
def trembling() -> list[np.ndarray]:
    """A picture of three people at rest, as a cheap camera sees it."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(TICKS):
        noisy = np.clip(frames(1)[0] + rng.normal(0, 4, frames(1)[0].shape), 0, 255).astype(np.uint8)
        packed = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        images.append(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return images


@pytest.fixture(scope="module")
def scenes(trembling: list[np.ndarray]) -> dict[str, list[Scene]]:
    found = {}
    for name, smooth, correct in (
        ("raw", False, False),
        ("smooth", True, False),
        ("corrected", False, True),
        ("both", True, True),
    ):
        config = PerceptionConfig(seed=0, workers=1, smooth_landmarks=smooth, correct_landmarks=correct)
        perception = Perception(config)
        found[name] = play(perception, trembling, sound(2))
        perception.close()
    return found


def paths(scenes: Sequence[Scene]) -> dict[str, np.ndarray]:
    """``[T, 68, 2]`` landmarks of each person, once followed."""
    points: dict[str, list[np.ndarray]] = {}
    for scene in scenes[10:]:
        for person in scene.people:
            assert person.face is not None
            points.setdefault(person.person_id, []).append(person.face.landmarks_px)
    return {name: np.array(values) for name, values in points.items()}


def test_still_faces_tremble_by_less_than_0_4_pixels_and_half_of_what_they_did(scenes) -> None:
    raw, smooth = paths(scenes["raw"]), paths(scenes["smooth"])
    assert len(raw) == 3
    for name, points in raw.items():
        assert jitter_px(smooth[name]) < min(0.4, 0.6 * jitter_px(points))
        assert np.linalg.norm(smooth[name].mean(0) - points.mean(0), axis=1).max() < 0.5


@pytest.mark.parametrize("name", ["smooth", "corrected", "both"])
def test_nothing_but_landmarks_depends_on_it(scenes, name: str) -> None:
    for raw, shown in zip(scenes["raw"], scenes[name], strict=True):
        assert len(raw.people) == len(shown.people)
        for before, after in zip(raw.people, shown.people, strict=True):
            assert before.person_id == after.person_id
            assert before.actions == after.actions
            assert before.voice_activity == after.voice_activity
            np.testing.assert_array_equal(before.probabilities, after.probabilities)
            assert before.face is not None
            assert after.face is not None
            assert before.face.pose == after.face.pose
            np.testing.assert_array_equal(before.face.box, after.face.box)


def test_published_faces_agree_with_themselves(scenes) -> None:
    for scene in scenes["both"]:
        for person in scene.people:
            face = person.face
            frame = normalise(face.landmarks_px)
            assert frame is not None
            np.testing.assert_array_equal(face.landmarks, frame[0])
            np.testing.assert_array_equal(face.origin_px, frame[1])
            assert face.scale_px == frame[2]


def test_corrected_landmarks_divide_the_jaw_equally(scenes) -> None:
    for name in ("raw", "corrected"):
        ratios = []
        for points in paths(scenes[name]).values():
            sides = np.linalg.norm(np.diff(points[:, :9], axis=1), axis=2)
            ratios.append((sides.max(1) / sides.min(1)).mean())
        assert (max(ratios) < 1.3) == (name == "corrected")


def test_faces_after_a_reset_are_taken_as_they_are(trembling: list[np.ndarray]) -> None:
    perception = Perception(PerceptionConfig(seed=0, workers=1, min_hits=1))
    first = play(perception, trembling[:3])
    again = play(perception, trembling[:3])
    perception.close()
    for before, after in zip(first, again, strict=True):
        for one, two in zip(before.people, after.people, strict=True):
            assert one.person_id == two.person_id
            np.testing.assert_array_equal(one.face.landmarks_px, two.face.landmarks_px)
