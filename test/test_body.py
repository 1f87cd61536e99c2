"""Bodies in real pictures: found, matched with faces, the same with and without a second thread."""

import numpy as np
import pytest
from perception_scene import chunk, frames, sound

from hmgen_ros import perceiving
from hmgen_ros.generators.weights import WeightsError, verified_file
from hmgen_ros.perceiving import BODY_MODEL, load_perception
from hmgen_ros.perception.body import BodyConfig, BodyModel, Joint, letterbox
from hmgen_ros.perception.body_finder import BodyFinder, match_bodies, picture_share
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.pipeline import Perception
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import NUM_LANDMARKS, TICK_NS, Action, Counts, Face, Frame


@pytest.fixture(scope="module")
def model():
    return BodyModel(verified_file(BODY_MODEL))


@pytest.fixture(scope="module")
def images():
    return list(frames(40))


def face_at(x, y, size=40.0):
    """A face whose eyes are ``size`` apart and whose nose is below them."""
    points = np.zeros((NUM_LANDMARKS, 2), np.float32)
    points[:] = (x, y)
    points[36:42], points[42:48] = (x - size / 2, y), (x + size / 2, y)
    points[30] = (x, y + size / 2)
    zeros = np.zeros(2, np.float32)
    return Face(np.zeros(4, np.float32), 1.0, points, points, zeros, size, np.ones(68, np.float32), None)


def body_at(x, y, size=40.0, head=True):
    """The body of :func:`face_at`."""
    joints = np.zeros((17, 3), np.float32)
    joints[:, 2] = 0.6
    joints[:, :2] = (x, y + 4 * size)
    joints[Joint.LEFT_EYE, :2], joints[Joint.RIGHT_EYE, :2] = (x + size / 2, y), (x - size / 2, y)
    joints[Joint.NOSE, :2] = (x, y + size / 2)
    joints[Joint.LEFT_SHOULDER, :2] = (x + 2 * size, y + 3 * size)
    joints[Joint.RIGHT_SHOULDER, :2] = (x - 2 * size, y + 3 * size)
    if not head:
        joints[: Joint.LEFT_SHOULDER, 2] = 0
    return joints


@pytest.mark.parametrize(
    ("size", "shape"),
    [((640, 480), (192, 256)), ((960, 400), (128, 256)), ((480, 640), (256, 192)), ((300, 300), (192, 192))],
)
def test_images_are_shrunk_to_few_pixels(size, shape):
    image = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    picture = letterbox(image)
    assert picture.tensor.shape == (1, *shape, 3)
    used = round(size[1] * picture.scale), round(size[0] * picture.scale)
    assert used[0] == shape[0] or used[1] == shape[1]
    assert not picture.tensor[0, used[0] :].any()


def test_three_people_have_three_bodies_where_their_faces_are(model, images):
    joints, scores = model.find(letterbox(images[0]))
    assert (scores >= BodyConfig().min_score).sum() == 3
    noses = np.sort(joints[:3, Joint.NOSE, 0])
    assert np.abs(noses - (160, 480, 800)).max() < 60
    inside = (joints[..., :2] >= 0).all(-1) & (joints[..., :2] <= (960, 400)).all(-1)
    assert not joints[~inside, 2].any()
    assert ((joints[..., 2] >= 0) & (joints[..., 2] <= 1)).all()


def test_pictures_are_as_large_as_the_smallest_face_needs():
    assert picture_share([40.0, 20.0], 1.0) == 0.625
    assert picture_share([20.0, 5.0], 0.5) == 1.0
    assert picture_share([18.0], 0.75) == 0.75
    assert picture_share([20.0], 0.75) == 0.75
    assert picture_share([], 0.5) == 0.5


def test_points_stay_in_place_in_a_smaller_picture(model, images):
    large, small = (model.find(letterbox(images[0], share))[0][:3] for share in (1.0, 0.625))
    large, small = (joints[np.argsort(joints[:, 0, 0])] for joints in (large, small))
    seen = (large[..., 2] > 0.3) & (small[..., 2] > 0.3)
    assert seen[:, : Joint.LEFT_EAR].all()
    apart = np.hypot(*(large - small)[seen][:, :2].T)
    assert apart.max() < 15


@pytest.mark.parametrize("shape", [(400, 960), (960, 400), (8, 8), (1, 900)])
def test_nobody_is_found_where_nobody_is(model, shape):
    _, scores = model.find(letterbox(np.full((*shape, 3), 90, np.uint8)))
    assert scores.max() < BodyConfig().min_score


def test_a_file_that_is_no_model_is_named(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match=r"broken\.onnx"):
        BodyModel(path)


def test_bodies_go_to_the_nearest_faces():
    faces = [face_at(100, 100), face_at(400, 100), None]
    bodies = np.stack([body_at(405, 102), body_at(700, 90), body_at(96, 101)])
    assert match_bodies(faces, [None] * 3, bodies, 0.3) == {0: 2, 1: 0}


def test_who_turned_away_keeps_the_body_that_stays_in_place():
    known = [body_at(100, 100), body_at(400, 100)]
    bodies = np.stack([body_at(395, 100, head=False), body_at(104, 100, head=False)])
    assert match_bodies([None, None], known, bodies, 0.3) == {0: 1, 1: 0}
    assert match_bodies([None, None], [None, None], bodies, 0.3) == {}
    assert match_bodies([None], [body_at(100, 100)], bodies[:1], 0.3) == {}


def test_a_look_is_told_one_call_later_and_only_when_it_is_time(model, images):
    faces = {"a": face_at(150, 180), "b": None}
    told = {}
    for concurrent in (False, True):
        finder = BodyFinder(model, BodyConfig(every=3), concurrent, StageTimes(), Counts())
        looks = [finder.update(image, i, faces) for i, image in enumerate(images[:10])]
        finder.every = 1
        looks += [finder.update(image, 10 + i, faces) for i, image in enumerate(images[10:14])]
        finder.every = 0
        rest = [finder.update(image, 14 + i, faces) for i, image in enumerate(images[10:14])]
        assert [look is None for look in rest] == [False, True, True, True]
        finder.close()
        told[concurrent] = looks
    stamps = [None if look is None else look.stamp_ns for look in told[False]]
    assert stamps == [None, 0, None, None, 3, None, None, 6, None, None, 9, 10, 11, 12]
    for one, other in zip(told[False], told[True], strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.stamp_ns == other.stamp_ns
            assert one.bodies["b"] is other.bodies["b"] is None
            np.testing.assert_array_equal(one.bodies["a"], other.bodies["a"])


def perceived(images, workers, model):
    config = PerceptionConfig(seed=1, workers=workers, active_speaker=False)
    perception = Perception(config, None, model)
    samples, scenes = sound(2), []
    for i, image in enumerate(images):
        perception.push_audio(chunk(i * 640, samples[i * 640 : (i + 1) * 640]))
        scenes.append(perception.process(Frame(i * TICK_NS, image), i, reset=i == 0))
    perception.close()
    return scenes


def test_what_bodies_do_is_part_of_the_scene_and_repeats_itself(model, images):
    first, second = perceived(images, 1, model), perceived(images, 3, model)
    for one, other in zip(first, second, strict=True):
        assert [p.actions for p in one.people] == [p.actions for p in other.people]
        for p, q in zip(one.people, other.people, strict=True):
            assert p.probabilities.tobytes() == q.probabilities.tobytes()
    last = first[-1].people
    assert len(last) == 3
    for person in last:
        assert person.probabilities[Action.WALKING] < 0.5
        assert np.isnan(person.probabilities[Action.TAKING_NOTES])


def test_without_the_model_perception_says_so_once_and_goes_on(monkeypatch, images):
    def missing(name):
        raise WeightsError(f"missing model file {name}.onnx; reinstall the package")

    monkeypatch.setattr(perceiving, "verified_file", missing)
    said = []
    perception = load_perception(
        PerceptionConfig(seed=1, workers=1, active_speaker=False), lambda *text: said.append(text)
    )
    scene = perception.process(Frame(0, images[0]), 0, reset=True)
    perception.close()
    assert perception.body_every == 0
    assert [cause for cause, _ in said] == ["no_body_model"]
    assert "movenet_multipose.onnx" in said[0][1]
    assert scene.image_size == (960, 400)


def test_bodies_can_be_switched_off_and_slowed_down(model):
    off = Perception(PerceptionConfig(workers=1, body=BodyConfig(enabled=False)), None, model)
    assert off.body_every == 0
    on = Perception(PerceptionConfig(workers=1), None, model)
    rates = []
    for _ in range(50):
        on.took(1000.0)
        rates.append(on.body_every)
    every = PerceptionConfig().body.every
    assert list(dict.fromkeys(rates)) == [every, 2 * every, 0]
    on.body_every = 12
    assert on.body_every == 12
    off.close()
    on.close()


@pytest.mark.parametrize(
    "field", [{"every": 0}, {"every": 13}, {"min_score": 1.5}, {"min_joint_score": -0.1}]
)
def test_bad_settings_are_named(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        BodyConfig(**field)
