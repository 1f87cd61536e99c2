"""Messages to types and back, and every defect of an image named."""

import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from hmgen_ros.msg import AudioFrame, HeadMotion, NextSpeaker, People, PredictedAction, PredictedInteraction
from hmgen_ros.nodes.conversions import audio_message, audio_samples, people_message, scene_from_people
from hmgen_ros.nodes.forecast_conversion import (
    action_message,
    forecast_from_message,
    interaction_message,
    motion_from_message,
    motion_message,
    outlook_from_message,
    speaker_from_message,
    speaker_message,
)
from hmgen_ros.nodes.image_conversion import (
    BadMessage,
    compressed_from_frame,
    frame_from_compressed,
    frame_from_image,
    image_from_frame,
    stamp_message,
    stamp_ns,
)
from hmgen_ros.streams.audio import to_mono
from hmgen_ros.types import (
    NUM_ACTIONS,
    UNKNOWN_MASK,
    Action,
    ActionForecast,
    ActionOutlook,
    AudioChunk,
    Face,
    Frame,
    HeadPose,
    Person,
    Presence,
    PresenceEvent,
    Scene,
    SpeakerOutlook,
    action_mask,
)
from hmgen_ros.types import HeadMotion as HeadMotionValue

STAMPS = st.integers(1, 2**31 * 1_000_000_000 - 1)


def over_the_wire(message):
    """What a subscriber gets."""
    return deserialize_message(serialize_message(message), type(message))


def face(shift: float = 0.0) -> Face:
    pose = HeadPose(0.1, -0.2, 0.05)
    points = np.random.default_rng(3).uniform(50, 150, (68, 2)).astype(np.float32) + np.float32(shift)
    origin, scale = np.array([100, 90], np.float32), 60.0
    visibility = np.full(68, 0.5, np.float32)
    box = np.array([40, 45, 160, 170], np.float32)
    return Face(box, 0.75, points, (points - origin) / np.float32(scale), origin, scale, visibility, pose)


@given(STAMPS)
def test_stamps_survive(nanoseconds: int) -> None:
    assert stamp_ns(stamp_message(nanoseconds)) == nanoseconds


@given(
    stamp=STAMPS,
    masks=st.lists(st.sampled_from([0, 2, 6, 512, UNKNOWN_MASK]), max_size=6),
    seen=st.booleans(),
    voice=st.floats(0, 1, width=32),
    missed=st.integers(0, 100),
)
def test_scene_survives_the_wire(stamp: int, masks: list[int], seen: bool, voice: float, missed: int) -> None:
    probabilities = np.linspace(0, 1, NUM_ACTIONS, dtype=np.float32)
    probabilities[3] = np.nan
    people = tuple(
        Person(f"p{i}", face(i) if seen else None, voice, mask, probabilities, i, voice / 2)
        for i, mask in enumerate(masks)
    )
    scene = Scene(stamp, 7, people, voice, (640, 480), "left_camera", missed, True)
    back, bad = scene_from_people(over_the_wire(people_message(scene)))
    assert not bad
    assert (back.stamp_ns, back.tick, back.missed_ticks, back.reset) == (stamp, 7, missed, True)
    assert (back.image_size, back.frame_id, back.voice_activity) == ((640, 480), "left_camera", voice)
    assert [p.actions for p in back.people] == masks
    assert [p.voice_match for p in back.people] == pytest.approx([voice / 2] * len(masks))
    for one, other in zip(scene.people, back.people, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert (one.face is None) == (other.face is None)
        if one.face and other.face:
            np.testing.assert_array_equal(one.face.landmarks_px, other.face.landmarks_px)
            np.testing.assert_array_equal(one.face.landmarks, other.face.landmarks)
            np.testing.assert_array_equal(one.face.box, other.face.box)
            assert other.face.pose is not None
            assert other.face.pose.yaw == pytest.approx(0.1)


def test_nan_landmarks_make_a_person_unknown() -> None:
    scene = Scene(1, 0, (Person("a", face(), 0.5, 2, np.zeros(NUM_ACTIONS, np.float32)),), 0.0, (640, 480))
    message = people_message(scene)
    message.people[0].face.pixels[5] = np.nan
    back, bad = scene_from_people(message)
    assert [error.cause for error in bad] == ["nan_landmarks"]
    assert back.people[0].face is None
    assert back.people[0].actions == UNKNOWN_MASK


@pytest.mark.parametrize(
    ("field", "value", "cause"),
    [
        ("origin", np.array([np.nan, 1], np.float32), "nan_landmarks"),
        ("normalized", np.full(136, np.inf, np.float32), "nan_landmarks"),
        ("visibility", np.full(68, np.nan, np.float32), "nan_landmarks"),
        ("scale", 1e-30, "face_scale"),
        ("scale", float("nan"), "face_scale"),
    ],
)
def test_every_defect_of_a_face_is_named(field: str, value: object, cause: str) -> None:
    scene = Scene(1, 0, (Person("a", face(), 0.5, 2, np.zeros(NUM_ACTIONS, np.float32)),), 0.0, (640, 480))
    message = people_message(scene)
    setattr(message.people[0].face, field, value)
    back, bad = scene_from_people(message)
    assert [error.cause for error in bad] == [cause]
    assert (back.people[0].face, back.people[0].actions) == (None, UNKNOWN_MASK)


def test_a_pose_that_is_not_finite_is_no_pose() -> None:
    scene = Scene(1, 0, (Person("a", face(), 0.5, 2, np.zeros(NUM_ACTIONS, np.float32)),), 0.0, (640, 480))
    message = people_message(scene)
    message.people[0].face.yaw = float("nan")
    back, bad = scene_from_people(message)
    assert not bad
    assert back.people[0].face is not None
    assert back.people[0].face.pose is None


def test_people_without_an_id_of_their_own_are_left_out() -> None:
    nobody = np.zeros(NUM_ACTIONS, np.float32)
    everyone = tuple(Person(name, None, 0.0, 0, nobody) for name in ("a", "", "b", "a"))
    back, bad = scene_from_people(people_message(Scene(1, 0, everyone, 0.0, (640, 480))))
    assert [person.person_id for person in back.people] == ["a", "b"]
    assert [error.cause for error in bad] == ["person_id", "person_id"]


def test_predictions_that_are_not_ours_are_named() -> None:
    for message in (
        PredictedAction(current_action=77),
        PredictedAction(label="levitating", seconds_until_start=1.0),
    ):
        with pytest.raises(BadMessage, match="unknown"):
            outlook_from_message(message)
    with pytest.raises(BadMessage, match="25 steps"):
        motion_from_message(HeadMotion(steps=25))


@pytest.mark.parametrize(
    "changes",
    [
        {"period": 0.0},
        {"period": float("nan")},
        {"current": [0, 9]},
        {"futures": [0, 0, 0]},
        {"probabilities": [1.0]},
        {"steps": 60_000},
        {"action_masks": []},
    ],
)
def test_forecasts_that_do_not_fit_are_named(changes: dict) -> None:
    table = np.full((2, 2, 2), 0.5, np.float32)
    known = ActionForecast(5, ("a", "b"), (0, 2), np.array([0, 1]), table, np.zeros((1, 2, 2), np.uint8))
    message = interaction_message(known, "camera")
    back = forecast_from_message(message)
    assert (back.person_ids, back.samples.shape) == (("a", "b"), (1, 2, 2))
    for field, value in changes.items():
        setattr(message, field, value)
    with pytest.raises(BadMessage) as error:
        forecast_from_message(message)
    assert error.value.cause == "bad_prediction"


def test_a_picture_larger_than_any_is_named() -> None:
    _, data = cv2.imencode(".png", SCENE)
    header = bytearray(data.tobytes())
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    message = CompressedImage(format="png")
    message.data.frombytes(bytes(header))
    with pytest.raises(BadMessage) as caught:
        frame_from_compressed(message)
    assert caught.value.cause == "image_truncated"


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=700))
def test_sound_survives_within_one_bit(samples: list[float]) -> None:
    chunk = AudioChunk(5, np.array(samples, np.float32), 16_000)
    message = over_the_wire(audio_message(chunk, "mic"))
    assert isinstance(message, AudioFrame)
    assert (message.sample_rate, message.channels, message.header.frame_id) == (16_000, 1, "mic")
    heard = to_mono(audio_samples(message), message.channels)
    np.testing.assert_allclose(heard, np.clip(chunk.samples, -1, 32767 / 32768), atol=1.01 / 32768)


def test_forecasts_survive_the_wire() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), (40, 2)).astype(np.float32)
    samples = rng.integers(0, 3, (8, 40, 2)).astype(np.uint8)
    forecast = ActionForecast(9, ("a", "b"), (0, 2, 6), np.array([0, 2]), probabilities, samples)
    message = over_the_wire(interaction_message(forecast, "cam"))
    assert isinstance(message, PredictedInteraction)
    assert message.action_labels == ["none", "speaking", "speaking+laughing"]
    assert (message.steps, message.samples, message.valid) == (40, 8, True)
    np.testing.assert_array_equal(np.reshape(message.probabilities, (40, 2, 3)), probabilities)
    np.testing.assert_array_equal(np.reshape(message.futures, (8, 40, 2)), samples)


def test_empty_forecast_is_not_valid() -> None:
    empty = ActionForecast(
        9, (), (0, 2), np.zeros(0, np.int64), np.zeros((40, 0, 2), np.float32), np.zeros((8, 40, 0), np.uint8)
    )
    message = over_the_wire(interaction_message(empty, "cam"))
    assert not message.valid
    assert len(message.probabilities) == len(message.futures) == 0


def test_outlooks_survive_the_wire() -> None:
    now, then = action_mask(Action.SPEAKING), action_mask(Action.LAUGHING, Action.HEAD_GESTURE)
    outlook = ActionOutlook(11, "a", 1.6, True, now, then, 0.5, 0.25, 0.75, 1.0)
    message = over_the_wire(action_message(outlook, "cam"))
    assert isinstance(message, PredictedAction)
    assert (message.action, message.current_action) == (PredictedAction.LAUGHING, PredictedAction.SPEAKING)
    assert message.label == "laughing+head_gesture"
    back = outlook_from_message(message)
    assert (back.next_mask, back.current_mask, back.confidence) == (then, now, 0.5)
    speaker = SpeakerOutlook(11, 1.5, True, "a", "b", 0.5, 0.25, 0.75)
    answer = over_the_wire(speaker_message(speaker, "cam"))
    assert isinstance(answer, NextSpeaker)
    assert speaker_from_message(answer) == speaker


def test_unknown_person_has_a_flat_message() -> None:
    message = over_the_wire(action_message(ActionOutlook(11, "a", 1.6), "cam"))
    assert not message.valid
    assert message.action == PredictedAction.UNKNOWN
    assert message.label == "unknown"
    assert not outlook_from_message(message).valid


def test_motion_survives_the_wire() -> None:
    rng = np.random.default_rng(0)
    points, pose = (
        rng.normal(size=(25, 68, 2)).astype(np.float32),
        rng.normal(size=(25, 3)).astype(np.float32),
    )
    motion = HeadMotionValue(3, "a", points, np.array([1, 2], np.float32), 60.0, pose)
    message = over_the_wire(motion_message(motion, "cam"))
    assert isinstance(message, HeadMotion)
    back = motion_from_message(message)
    np.testing.assert_array_equal(back.landmarks_px, points)
    np.testing.assert_array_equal(back.pose, pose)
    assert (back.person_id, back.scale_px, back.stamp_ns, back.valid) == ("a", 60.0, 3, True)


def _image(encoding: str, rows: np.ndarray, step_padding: int = 0) -> Image:
    height, width = rows.shape[:2]
    flat = rows.reshape(height, -1).view(np.uint8)
    padded = np.pad(flat, ((0, 0), (0, step_padding)))
    message = Image(height=height, width=width, encoding=encoding, step=padded.shape[1])
    message.data.frombytes(padded.tobytes())
    message.header.stamp = stamp_message(12)
    message.header.frame_id = "cam"
    return message


SCENE = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (24, 32, 3), dtype=np.uint8), (9, 9), 3)
GREY = cv2.cvtColor(SCENE, cv2.COLOR_BGR2GRAY)


@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("bgr8", SCENE),
        ("rgb8", SCENE[..., ::-1].copy()),
        ("bgra8", cv2.cvtColor(SCENE, cv2.COLOR_BGR2BGRA)),
        ("rgba8", cv2.cvtColor(SCENE, cv2.COLOR_BGR2RGBA)),
        ("yuv422_yuy2", cv2.cvtColor(SCENE, cv2.COLOR_BGR2YUV_YUY2)),
        ("yuv422", cv2.cvtColor(SCENE, cv2.COLOR_BGR2YUV_UYVY)),
    ],
)
@pytest.mark.parametrize("padding", [0, 8])
def test_colour_encodings(encoding: str, pixels: np.ndarray, padding: int) -> None:
    frame = frame_from_image(_image(encoding, pixels, padding))
    assert (frame.stamp_ns, frame.frame_id) == (12, "cam")
    # Subsampled colour is not exact.
    assert np.abs(frame.image.astype(int) - SCENE).mean() < (4 if encoding.startswith("yuv") else 0.01)


def test_grey_encodings() -> None:
    for encoding, pixels in (("mono8", GREY), ("mono16", GREY.astype(np.uint16) * 257)):
        frame = frame_from_image(_image(encoding, pixels))
        np.testing.assert_array_equal(frame.image, np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns(pattern: str) -> None:
    colour = np.full((16, 16, 3), (200, 100, 50), np.uint8)  # blue, green, red
    planes = {"b": 0, "g": 1, "r": 2}
    mosaic = np.zeros((16, 16), np.uint8)
    for index, letter in enumerate(pattern):
        mosaic[index // 2 :: 2, index % 2 :: 2] = colour[index // 2 :: 2, index % 2 :: 2, planes[letter]]
    frame = frame_from_image(_image(f"bayer_{pattern}8", mosaic))
    np.testing.assert_allclose(frame.image[4:-4, 4:-4], colour[4:-4, 4:-4], atol=2)


def test_raw_and_compressed_images_survive_the_wire() -> None:
    frame = Frame(99, SCENE, "cam")
    back = frame_from_image(over_the_wire(image_from_frame(frame)))
    np.testing.assert_array_equal(back.image, SCENE)
    message = over_the_wire(compressed_from_frame(frame, 95))
    assert isinstance(message, CompressedImage)
    assert np.abs(frame_from_compressed(message).image.astype(int) - SCENE).mean() < 3


def _defect(cause: str) -> Image:
    message = _image("bgr8", SCENE)
    if cause == "image_encoding":
        message.encoding = "32FC1"
    elif cause == "image_size":
        message.width = 0
    elif cause == "image_step":
        message.step = 10
    else:
        del message.data[100:]
    return message


@pytest.mark.parametrize("cause", ["image_encoding", "image_size", "image_step", "image_truncated"])
def test_bad_images_are_named(cause: str) -> None:
    with pytest.raises(BadMessage) as caught:
        frame_from_image(_defect(cause))
    assert caught.value.cause == cause


@given(st.binary(max_size=200))
def test_garbage_is_no_jpeg(data: bytes) -> None:
    message = CompressedImage(format="jpeg")
    message.data.frombytes(data)
    with pytest.raises(BadMessage):
        frame_from_compressed(message)


@given(st.builds(People))
def test_default_people_are_an_empty_scene(message: People) -> None:
    scene, bad = scene_from_people(message)
    assert scene.people == ()
    assert not bad


def test_ids_that_were_given_up_survive_the_wire_and_old_bags_have_none() -> None:
    events = (PresenceEvent(Presence.ENTERED, "c"), PresenceEvent(Presence.RENAMED, "a", "b"))
    message = people_message(Scene(1, 0, (), 0.0, (1, 1), events=events))
    scene, bad = scene_from_people(over_the_wire(message))
    assert (scene.events, bad) == (events[1:], [])
    message.alias_of = []
    scene, bad = scene_from_people(message)
    assert scene.events == ()
    assert [error.cause for error in bad] == ["alias"]
    fields = {name: getattr(message, name) for name in message.get_fields_and_field_types()}
    del fields["alias_ids"], fields["alias_of"]
    assert scene_from_people(SimpleNamespace(**fields))[1] == []
