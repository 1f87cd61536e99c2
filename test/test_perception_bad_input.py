"""Images that are hard on perception: crowds, tiny, cut off and turned faces, huge and grey images."""

import cv2
import numpy as np
import pytest
from perception_scene import frames, truth
from test_image_encodings import message, mosaic

from hmgen_ros.message_reading import frame_from_image
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.pipeline import Perception
from hmgen_ros.types import TICK_NS, Frame, Scene


def perceive(images, **settings) -> tuple[Perception, list[Scene]]:
    """Scenes of images, one a tick."""
    perception = Perception(PerceptionConfig(**{"seed": 1, "workers": 1, **settings}))
    scenes = [perception.process(Frame(i * TICK_NS, im), i, reset=i == 0) for i, im in enumerate(images)]
    return perception, scenes


def head(index: int = 0, tick: int = 0) -> np.ndarray:
    """One head of the recording, ``[300, 240, 3]``."""
    x, y = np.mean(truth()["people"][index]["outer_eye_corners_px"], axis=0).astype(int)
    return frames(12)[tick][max(0, y - 130) : y + 170, x - 120 : x + 120]


def crowd(tick: int, columns: int = 5, rows: int = 4, size: tuple[int, int] = (120, 150)) -> np.ndarray:
    """Many heads side by side."""
    cells = [cv2.resize(head(i % 3, tick), size) for i in range(rows * columns)]
    return np.vstack([np.hstack(cells[r * columns : (r + 1) * columns]) for r in range(rows)])


def sane(scene: Scene, most: int = 6) -> None:
    """What must hold whatever there is to see."""
    assert len(scene.people) <= most
    assert len({p.person_id for p in scene.people}) == len(scene.people)
    for person in scene.people:
        if person.face is not None:
            assert np.isfinite(person.face.landmarks_px).all()
            assert 0 < person.face.scale_px < 2 * max(scene.image_size)
            x, y = person.face.landmarks_px.mean(0)
            assert -50 < x < scene.image_size[0] + 50
            assert -50 < y < scene.image_size[1] + 50


def test_of_twenty_faces_six_are_followed_and_the_others_counted():
    perception, scenes = perceive([crowd(i) for i in range(11)])
    for scene in scenes:
        sane(scene)
    assert len(scenes[-1].people) == 6
    assert len({p.person_id for s in scenes for p in s.people}) == 6
    assert perception.counts["faces_over_limit"] >= 8
    # No face beyond the limit is paid for: landmarks are fitted for six, and once for those that come.
    assert perception.times.window("detect").count <= 4


def test_faces_of_eight_pixels_are_seen_or_not_but_do_no_harm():
    small = cv2.resize(head(), (24, 30), interpolation=cv2.INTER_AREA)
    images = [np.full((480, 640, 3), 96, np.uint8) for _ in range(8)]
    for image in images:
        for x in range(0, 600, 60):
            image[200:230, x : x + 24] = small
    _, scenes = perceive(images)
    for scene in scenes:
        sane(scene)
    for person in scenes[-1].people:
        assert person.face is None or person.face.scale_px < 24


def test_faces_that_leave_by_the_border_are_followed_as_far_as_they_can_be_seen():
    picture, (height, width) = cv2.resize(head(), (240, 300)), (400, 500)
    images = []
    for i in range(24):
        wide = np.full((height, width + 480, 3), 96, np.uint8)
        wide[50:350, 480 + 130 - 16 * i : 480 + 370 - 16 * i] = picture
        images.append(wide[:, 480 : 480 + width])
    _, scenes = perceive(images)
    for scene in scenes:
        sane(scene)
    assert scenes[4].people[0].face is not None
    assert len({p.person_id for s in scenes for p in s.people}) == 1
    assert scenes[-1].people[0].face is None
    cut = next(s.people[0].face for s in reversed(scenes) if s.people[0].face is not None)
    # What lies outside is not claimed to be seen.
    outside = (cut.landmarks_px[:, 0] < 0) | (cut.landmarks_px[:, 0] > width)
    assert (cut.visibility[outside] == 0).all()


def test_a_squeezed_and_a_turned_head_do_no_harm():
    """A head squeezed to a third is as narrow as a profile; one on its side and one upside down are rare."""
    picture = head()
    narrow = cv2.resize(picture, (80, 300))
    for odd in (narrow, cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE), cv2.rotate(picture, cv2.ROTATE_180)):
        canvas = np.full((400, 400, 3), 96, np.uint8)
        canvas[50 : 50 + odd.shape[0], 50 : 50 + odd.shape[1]] = odd
        _, scenes = perceive([canvas] * 5)
        for scene in scenes:
            sane(scene)


@pytest.mark.parametrize("size", [(3840, 1600), (1920, 800)])
def test_large_images_have_the_landmarks_of_small_ones(size: tuple[int, int]):
    """Found at the size of the detector, measured at that of the image."""
    pictures = frames(12)[:6]
    scale = size[0] / pictures[0].shape[1]
    _, small = perceive(pictures)
    _, large = perceive([cv2.resize(p, size, interpolation=cv2.INTER_CUBIC) for p in pictures])
    for one, other in zip(small[3:], large[3:], strict=True):
        assert len(one.people) == len(other.people) == 3
        for p in one.people:
            q = min(other.people, key=lambda q: np.hypot(*(q.face.origin_px / scale - p.face.origin_px)))
            apart = np.hypot(*(q.face.landmarks_px / scale - p.face.landmarks_px).T)
            assert apart.mean() < 0.02 * p.face.scale_px


def test_a_portrait_image_and_a_grey_one_show_the_same_face():
    portrait = cv2.resize(head(), (480, 600))
    tall = cv2.copyMakeBorder(portrait, 200, 480, 120, 120, cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(cv2.cvtColor(tall, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    faces = [perceive([image] * 4)[1][-1].people[0].face for image in (tall, grey)]
    apart = np.hypot(*(faces[0].landmarks_px - faces[1].landmarks_px).T)
    assert apart.mean() < 0.04 * faces[0].scale_px


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_the_people_behind_a_bayer_filter_are_found(pattern: str):
    """Through the message, as a raw camera sends it."""
    images = []
    for picture in frames(12)[:4]:
        raw = mosaic(picture, pattern)
        images.append(frame_from_image(message(raw, raw.shape, f"bayer_{pattern}8")).image)
    _, scenes = perceive(images)
    assert len(scenes[-1].people) == 3
