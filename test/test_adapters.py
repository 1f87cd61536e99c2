"""Other people's messages: their fields to ours and back, without the packages that define them.

hri_msgs, tf2_msgs and audio_common_msgs cannot be had as wheels. Plain objects with the same fields stand in
for their messages here; test_adapter_nodes.py uses the packages themselves where they are installed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from test_behaviours import AHEAD, ASIDE, person, scene

from hmgen_ros.audio_common import Sound, sound_of_bytes, sound_of_samples
from hmgen_ros.calibration import camera_matrix
from hmgen_ros.nodes.adapters import importable, package_messages
from hmgen_ros.nodes.adapters.face_frames import face_transforms
from hmgen_ros.nodes.adapters.hri_out import Engagement, landmarks_message, roi_message
from hmgen_ros.nodes.adapters.hri_people import HriPeople, HriPerson, SeenFace, seen_face
from hmgen_ros.nodes.base import SetupError
from hmgen_ros.nodes.image_conversion import BadMessage
from hmgen_ros.perception.head_pose import FACING_CAMERA, HEAD_MODEL, RIGID_POINTS, solve_head_pose
from hmgen_ros.streams.audio import to_mono
from hmgen_ros.types import TICK_NS, UNKNOWN_MASK, Action, Face

SIZE = (640, 480)
CAMERA = np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])


class Fields(SimpleNamespace):
    """Stands in for a generated message: fields by keyword, 0 where not given."""

    def __getattr__(self, name: str) -> Any:
        return 0


#: Levels of hri_msgs/EngagementLevel.
LEVELS = type(
    "EngagementLevel", (), {"UNKNOWN": 0, "DISENGAGED": 1, "ENGAGING": 2, "ENGAGED": 3, "DISENGAGING": 4}
)
HRI: Any = SimpleNamespace(
    IdsList=Fields,
    FacialLandmarks=Fields,
    NormalizedPointOfInterest2D=Fields,
    NormalizedRegionOfInterest2D=Fields,
    EngagementLevel=LEVELS,
)


def head_at(position: tuple[float, float, float], yaw: float = 0.0) -> np.ndarray:
    """``[68, 2]`` pixels of a head whose nose root is there (m, eyes' corners 0.09 m apart), turned left."""
    turn = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
    rotation = FACING_CAMERA @ turn @ FACING_CAMERA.T
    points = np.zeros((68, 3))
    points[:] = HEAD_MODEL.mean(0)
    points[list(RIGID_POINTS)] = HEAD_MODEL
    placed = 0.09 * (points - HEAD_MODEL[0]) @ rotation.T + np.array(position)
    seen = placed @ CAMERA.T
    return (seen[:, :2] / seen[:, 2:]).astype(np.float32)


def face(points: np.ndarray) -> Face:
    one = person("a").face
    assert one is not None
    box = np.array([*points.min(0), *points.max(0)], np.float32)
    return replace(one, landmarks_px=points, box=box, visibility=np.full(68, 0.75, np.float32))


# Packages ---------------------------------------------------------------------------------------


def test_a_missing_package_is_named_with_the_way_to_get_it() -> None:
    assert importable("std_msgs")
    assert not importable("no_such_msgs")
    with pytest.raises(SetupError, match=r"direction needs no_such_msgs.*ros-\$ROS_DISTRO-no-such-msgs"):
        package_messages("no_such_msgs", "direction")


# Sound ------------------------------------------------------------------------------------------


def stamped(**fields: Any) -> Fields:
    return Fields(header=Fields(stamp=Fields(sec=3, nanosec=5)), **fields)


@pytest.mark.parametrize("form", ["S16LE", "S16BE", "S32LE", "S32BE", "F32LE", "F32BE", "U8", "S8"])
def test_bytes_of_every_format_are_the_same_sound(form: str) -> None:
    wave = np.array([0.0, 0.5, -0.5, -1.0])
    kinds = {
        "S16": ("i2", 2**15),
        "S32": ("i4", 2**31),
        "F32": ("f4", 1),
        "S8": ("i1", 2**7),
        "U8": ("u1", 2**7),
    }
    kind, scale = kinds[form.removesuffix("LE").removesuffix("BE")]
    order = ">" if form.endswith("BE") else "<"
    values = (wave * scale + (128 if form == "U8" else 0)).astype(order + kind)
    info = Fields(channels=2, sample_rate=48_000, sample_format=form, coding_format="WAVE")
    sound = sound_of_bytes(stamped(audio=Fields(data=list(values.tobytes()))), info)
    assert sound[0::2] == (3_000_000_005, 48_000)
    assert sound.channels == 2
    np.testing.assert_allclose(to_mono(sound.samples, 1), wave, atol=1e-6)


@pytest.mark.parametrize(
    ("number", "kind"), [(1, "float32"), (2, "int32"), (8, "int16"), (16, "int8"), (32, "uint8")]
)
def test_samples_of_every_type_are_the_same_sound(number: int, kind: str) -> None:
    wave = np.array([0.0, 0.5, -0.5, -1.0])
    scale = {"float32": 1, "int32": 2**31, "int16": 2**15, "int8": 2**7, "uint8": 2**7}[kind]
    values = (wave * scale + (128 if kind == "uint8" else 0)).astype(kind)
    data = {f"{kind}_data": values.tolist()}
    audio = Fields(info=Fields(format=number, channels=1, rate=16_000, chunk=4), audio_data=Fields(**data))
    sound = sound_of_samples(stamped(audio=audio))
    assert sound.rate == 16_000
    np.testing.assert_allclose(to_mono(sound.samples, 1), wave, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: bytes_of(coding_format="mp3"), "coded as 'mp3'"),
        (lambda: bytes_of(sample_format="S24LE"), "'S24LE'"),
        (lambda: bytes_of(data=[1, 2, 3]), "3 bytes"),
        (lambda: sound_of_samples(stamped(audio=Fields(info=Fields(format=4)))), "format 4"),
    ],
)
def test_sound_that_cannot_be_used_says_why(make: Any, text: str) -> None:
    with pytest.raises(BadMessage, match=text):
        make()


def bytes_of(data: list[int] | None = None, **changes: Any) -> Sound:
    info = {
        "channels": 1,
        "sample_rate": 16_000,
        "sample_format": "S16LE",
        "coding_format": "wave",
        **changes,
    }
    return sound_of_bytes(stamped(audio=Fields(data=data or [1, 2])), Fields(**info))


# Camera and frames ------------------------------------------------------------------------------


def test_the_matrix_is_that_of_the_image_as_it_comes() -> None:
    info = CameraInfo(k=CAMERA.ravel(), width=1280, height=960)
    np.testing.assert_array_equal(camera_matrix(info), CAMERA)
    info.binning_x = info.binning_y = 2
    info.roi.x_offset, info.roi.y_offset = 100, 40
    found = camera_matrix(info)
    assert found is not None
    np.testing.assert_allclose(found, [[300, 0, 110], [0, 300, 100], [0, 0, 1]])


def test_images_made_smaller_on_their_way_have_a_smaller_matrix() -> None:
    """Of another shape they have none: nobody knows what was cut off."""
    info = CameraInfo(k=CAMERA.ravel(), width=1280, height=960)
    np.testing.assert_array_equal(camera_matrix(info, (1280, 960)), CAMERA)
    half = camera_matrix(info, (640, 480))
    assert half is not None
    np.testing.assert_allclose(half[:2], CAMERA[:2] / 2)
    assert camera_matrix(info, (640, 360)) is None
    # A message that does not tell its size is believed, and a part or binned pixels are as they are told.
    np.testing.assert_array_equal(camera_matrix(CameraInfo(k=CAMERA.ravel()), (640, 360)), CAMERA)
    info.binning_x = info.binning_y = 2
    info.roi.width, info.roi.height = 800, 600
    assert camera_matrix(info, (400, 300)) is not None
    assert camera_matrix(info, (640, 360)) is None


def test_a_camera_without_calibration_has_no_matrix() -> None:
    assert camera_matrix(CameraInfo()) is None
    broken = CAMERA.copy()
    broken[0, 2] = np.nan
    assert camera_matrix(CameraInfo(k=broken.ravel())) is None


@settings(max_examples=25, deadline=None)
@given(x=st.floats(-0.4, 0.4), y=st.floats(-0.3, 0.3), z=st.floats(0.5, 3.0), yaw=st.floats(-0.6, 0.6))
def test_faces_stand_where_they_are_in_metres(x: float, y: float, z: float, yaw: float) -> None:
    seen = replace(person("a"), face=face(head_at((x, y, z), yaw)))
    (transform,) = face_transforms(scene(3, seen, person("b", pose=None)), CAMERA, 0.09)
    serialize_message(transform)
    assert (transform.child_frame_id, transform.header.frame_id) == ("face_a", "camera")
    at, turned = transform.transform.translation, transform.transform.rotation
    np.testing.assert_allclose([at.x, at.y, at.z], [x, y, z], atol=0.01)
    # x of the frame leaves the face towards the camera, z points up; the camera's y points down, z away.
    axes = Rotation.from_quat([turned.x, turned.y, turned.z, turned.w]).as_matrix()
    np.testing.assert_allclose(axes[:, 0], [math.sin(yaw), 0.0, -math.cos(yaw)], atol=0.02)
    np.testing.assert_allclose(axes[:, 2], [0.0, -1.0, 0.0], atol=0.02)


# ROS4HRI out ------------------------------------------------------------------------------------


def test_landmarks_and_region_are_normalised_and_what_is_outside_has_no_confidence() -> None:
    points = head_at((0.0, 0.0, 1.0))
    points[5] = (-3.0, 100.0)
    message = landmarks_message(HRI, face(points), SIZE, Header())
    assert len(message.landmarks) == 70
    assert (message.width, message.height) == SIZE
    assert [one.c for one in message.landmarks[66:]] == [0.75, 0.75, 0.0, 0.0]
    assert (message.landmarks[5].x, message.landmarks[5].c) == (0.0, 0.0)
    np.testing.assert_allclose(message.landmarks[30].x * 640, points[30, 0], rtol=1e-5)
    region = roi_message(HRI, face(points), SIZE, Header())
    assert region.xmin == 0.0
    assert 0.0 < region.ymin < region.ymax < 1.0


def test_engagement_begins_and_ends_by_where_the_head_points() -> None:
    engagement = Engagement(math.radians(20.0))
    poses = [AHEAD] * 26 + [ASIDE] * 52 + [None]
    levels = [engagement.update(person("a", pose=pose), HRI) for pose in poses]
    assert levels == [2] * 24 + [3] * 2 + [4] * 49 + [1] * 3 + [0]


# ROS4HRI in -------------------------------------------------------------------------------------


def test_what_is_told_comes_back() -> None:
    points = head_at((0.1, 0.0, 1.0), 0.2)
    message = landmarks_message(HRI, face(points), SIZE, Header(frame_id="eye"))
    seen = seen_face(message, 40)
    assert seen is not None
    np.testing.assert_allclose(seen.landmarks_px, points, atol=1e-3)
    assert (seen.frame_id, seen.image_size) == ("eye", SIZE)
    message.landmarks[3].c = 0.0
    assert seen_face(message, 40) is None
    message.landmarks = message.landmarks[:60]
    assert seen_face(message, 40) is None


def seen_at(stamp_ns: int) -> SeenFace:
    return SeenFace(stamp_ns, head_at((0.0, 0.0, 1.0), 0.3), np.ones(68, np.float32), SIZE, "eye")


def test_people_are_made_of_faces_and_voices() -> None:
    people = HriPeople(3 * TICK_NS, camera=CAMERA)
    people.faces = {"f1": seen_at(0), "f2": seen_at(0)}
    people.persons = {"ann": HriPerson("f1", "v1")}
    people.voices = {"v1": True}
    for tick in range(6):
        people.faces["f1"] = seen_at(tick * TICK_NS)
        found = people.scene(tick * TICK_NS, tick, 0, tick == 0)
        names = [one.person_id for one in found.people]
        # The other face has not been seen any more and was nobody's.
        assert names == (["ann", "f2"] if tick <= 3 else ["ann"])
    ann = found.people[0]
    assert ann.actions == 1 << Action.SPEAKING
    assert ann.probabilities[Action.SPEAKING] == 1.0
    assert (ann.age_ticks, found.voice_activity, found.frame_id, found.image_size) == (5, 1.0, "eye", SIZE)
    assert ann.face is not None
    assert ann.face.pose == solve_head_pose(seen_at(0).landmarks_px, SIZE, CAMERA)
    assert ann.face.pose is not None
    assert ann.face.pose.yaw == pytest.approx(0.3, abs=0.02)


def test_who_cannot_be_seen_or_heard_is_unknown() -> None:
    people = HriPeople(TICK_NS)
    people.persons = {"ann": HriPerson("f1", "v1"), "bob": HriPerson()}
    people.voices = {"v1": False}
    found = people.scene(TICK_NS, 0, 0, True)
    assert [one.actions for one in found.people] == [0, UNKNOWN_MASK]
    assert all(one.face is None for one in found.people)
    assert HriPeople(TICK_NS).scene(TICK_NS, 0, 0, True).people == ()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(["f1", "f2", "ann"]), st.integers(0, 5), max_size=3),
            st.dictionaries(st.sampled_from(["v1", "v2"]), st.booleans(), max_size=2),
            st.dictionaries(
                st.sampled_from(["ann", "bob"]),
                st.tuples(st.sampled_from(["", "f1", "f2"]), st.sampled_from(["", "v1", "v2"])),
                max_size=2,
            ),
        ),
        max_size=6,
    )
)
def test_whatever_is_told_ids_are_different_and_probabilities_are_some(told: list[Any]) -> None:
    people = HriPeople(2 * TICK_NS)
    for tick, (faces, voices, persons) in enumerate(told):
        now = (tick + 10) * TICK_NS
        people.faces = {who: seen_at(now - age * TICK_NS) for who, age in faces.items()}
        people.voices = voices
        people.persons = {who: HriPerson(*parts) for who, parts in persons.items()}
        found = people.scene(now, tick, 0, tick == 0)
        names = [one.person_id for one in found.people]
        assert len(set(names)) == len(names)
        assert set(persons) <= set(names)
        for one in found.people:
            known = one.probabilities[np.isfinite(one.probabilities)]
            assert ((known >= 0) & (known <= 1)).all()
