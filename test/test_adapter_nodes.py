"""Other people's messages between real processes, where their packages are installed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from ros_processes import PATIENCE_S, Listener, listener, node_process
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Bool, String
from test_adapters import CAMERA, SIZE, face, head_at
from test_behaviours import person
from test_nodes import _counts

from hmgen_ros.msg import People
from hmgen_ros.nodes.adapters import importable
from hmgen_ros.nodes.conversions import people_message, scene_from_people
from hmgen_ros.nodes.image_conversion import stamp_message, stamp_ns
from hmgen_ros.types import Action, HeadPose, Person, Scene, action_mask

SPEAKING = action_mask(Action.SPEAKING)
needs_hri = pytest.mark.skipif(not importable("hri_msgs"), reason="needs hri_msgs")
needs_audio = pytest.mark.skipif(not importable("audio_common_msgs"), reason="needs audio_common_msgs")


@pytest.mark.parametrize(
    ("node", "settings", "package"),
    [
        ("hri_node", ("direction:=out",), "hri_msgs"),
        ("hri_node", ("direction:=in",), "hri_msgs"),
        (
            "head_motion_node",
            ("audio_type:=audio_common", "speaker_model:=speech_driven"),
            "audio_common_msgs",
        ),
    ],
)
def test_what_is_not_installed_is_named_in_a_line(node: str, settings: tuple[str, ...], package: str) -> None:
    if importable(package) or (settings == ("direction:=out",) and importable("tf2_msgs")):
        pytest.skip(f"{package} is installed")
    arguments = [part for setting in settings for part in ("-p", setting)]
    with node_process(node, *arguments) as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, errors
    assert f"needs {package}" in errors
    assert "Traceback" not in errors


def two_people(stamp_ns: int, tick: int) -> Scene:
    seen = replace(face(head_at((0.2, 0.0, 1.5), 0.1)), pose=HeadPose(yaw=0.1, pitch=0.0, roll=0.0))
    people: list[Person] = [
        replace(person("ann", SPEAKING), face=seen),
        person("bob", 0, None),
    ]
    return Scene(stamp_ns, tick, tuple(people), 1.0, SIZE, "eye")


class Stage:
    """Tells a node of two people, again and again."""

    def __init__(self, ear: Listener) -> None:
        self.ear, self.tick = ear, 0
        self.people = ear.node.create_publisher(People, "people", 10)
        self.camera = ear.node.create_publisher(CameraInfo, "camera_info", 1)
        assert ear.spin_until(
            lambda: self.people.get_subscription_count() and self.camera.get_subscription_count()
        )

    def play(self, done: Any, aliases: dict[str, str] | None = None) -> bool:
        def step() -> bool:
            now = self.ear.node.get_clock().now().nanoseconds
            message = people_message(two_people(now, self.tick))
            message.alias_ids = list(aliases or {})
            message.alias_of = list((aliases or {}).values())
            self.camera.publish(CameraInfo(k=CAMERA.ravel(), width=SIZE[0], height=SIZE[1]))
            self.people.publish(message)
            self.tick += 1
            return bool(done())

        return self.ear.spin_until(step)


@needs_hri
def test_people_are_told_of_as_ros4hri_does() -> None:
    import hri_msgs.msg as hri

    kinds = {
        "persons/tracked": hri.IdsList,
        "faces/tracked": hri.IdsList,
        "persons/ann/face_id": String,
        "persons/ann/engagement_status": hri.EngagementLevel,
        "persons/old/alias": String,
        "faces/ann/landmarks": hri.FacialLandmarks,
        "faces/ann/roi": hri.NormalizedRegionOfInterest2D,
        "voices/ann/is_speaking": Bool,
        "voices/bob/is_speaking": Bool,
    }
    with listener() as ear, node_process("hri_node") as process:
        for topic, kind in kinds.items():
            ear.listen(kind, f"/humans/{topic}")
        stage = Stage(ear)
        told = {topic: ear.received[f"/humans/{topic}"] for topic in kinds}
        assert stage.play(lambda: all(told.values()), {"old": "ann"}), {t: len(m) for t, m in told.items()}
        levels = told["persons/ann/engagement_status"]
        assert stage.play(lambda: levels[-1].level == hri.EngagementLevel.ENGAGED)
        # The head points past the camera by more than this.
        assert ear.set_parameters("hri_node", looks_within_deg=3.0) == ""
        assert stage.play(lambda: levels[-1].level == hri.EngagementLevel.DISENGAGED)
        assert process.poll() is None
    assert list(told["persons/tracked"][-1].ids) == ["ann", "bob"]
    assert list(told["faces/tracked"][-1].ids) == ["ann"]
    assert (told["persons/ann/face_id"][0].data, told["persons/old/alias"][0].data) == ("ann", "ann")
    assert told["voices/ann/is_speaking"][-1].data
    assert not told["voices/bob/is_speaking"][-1].data
    message = told["faces/ann/landmarks"][-1]
    points = np.array([(one.x * SIZE[0], one.y * SIZE[1]) for one in message.landmarks[:68]])
    np.testing.assert_allclose(points, head_at((0.2, 0.0, 1.5), 0.1), atol=1e-2)
    assert message.header.frame_id == "eye"


@needs_hri
def test_people_of_other_perception_take_the_place_of_ours() -> None:
    """Out of one node and into another: the same people."""
    inwards = ("-p", "direction:=in", "-r", "__node:=hri_in", "-r", "people:=people_again")
    with listener() as ear, node_process("hri_node"), node_process("hri_node", *inwards) as process:
        ear.listen(People, "people_again")
        again = ear.received["people_again"]
        stage = Stage(ear)

        def complete() -> bool:
            return any(one.id == "ann" and one.face_visible and one.action == 1 for one in again[-1].people)

        assert stage.play(lambda: again and complete())
        scene, bad = scene_from_people(again[-1])
        assert stage.play(
            lambda: any(list(message.alias_ids) == ["bob"] for message in again), {"bob": "ann"}
        )

        def visible() -> bool:
            return any(one.face_visible for one in again[-1].people)

        # Faces that nobody tells of any more are seen for as long as is set, by the clock of the messages.
        assert stage.play(visible)
        assert ear.set_parameters("hri_in", max_age_s=5.0) == ""
        assert stage.play(visible)
        last = stamp_ns(again[-1].header.stamp)
        assert ear.spin_until(lambda: stamp_ns(again[-1].header.stamp) > last + 1_000_000_000)
        assert visible()
        assert ear.set_parameters("hri_in", max_age_s=0.3) == ""
        assert ear.spin_until(lambda: not visible())
        assert process.poll() is None
    assert not bad
    assert [one.person_id for one in scene.people][:1] == ["ann"]
    seen = scene.people[0].face
    assert seen is not None
    np.testing.assert_allclose(seen.landmarks_px, head_at((0.2, 0.0, 1.5), 0.1), atol=1e-2)
    assert (scene.image_size, scene.frame_id) == (SIZE, "eye")


@needs_audio
def test_sound_of_whichever_audio_common_is_installed_is_heard() -> None:
    import audio_common_msgs.msg as audio

    stamped = hasattr(audio, "AudioStamped")
    arguments = ("-p", "audio_type:=audio_common", "-p", "diagnostics_period_s:=0.2")
    with listener() as ear, node_process("perception_node", *arguments):
        ear.listen(DiagnosticArray, "/diagnostics")
        kind = audio.AudioStamped if stamped else audio.AudioDataStamped
        sound = ear.node.create_publisher(kind, "audio", 10)
        info = None if stamped else ear.node.create_publisher(audio.AudioInfo, "audio_info", 1)
        assert ear.spin_until(lambda: sound.get_subscription_count() == 1)

        def say(rate: int) -> None:
            message = kind()
            message.header.stamp = stamp_message(ear.node.get_clock().now().nanoseconds)
            if stamped:
                message.audio.info = audio.AudioInfo(format=8, channels=1, rate=rate, chunk=640)
                message.audio.audio_data.int16_data = [0] * 640
            else:
                message.audio.data = [0] * 1280
            sound.publish(message)
            ear.spin_for(0.2)

        def counted(cause: str) -> bool:
            """Say something, at a rate that perception refuses, until it is counted."""
            say(4000)
            return cause in _counts(ear, "perception_node")

        if info is not None:
            assert ear.spin_until(lambda: info.get_subscription_count() == 1)
            assert ear.spin_until(lambda: counted("audio_format"))
            told = audio.AudioInfo(channels=1, sample_rate=4000, sample_format="S16LE", coding_format="WAVE")
            info.publish(told)
        # What reaches the ears of perception is refused there for its rate, and for nothing else.
        assert ear.spin_until(lambda: counted("audio_rate"))
        assert "audio_channels" not in _counts(ear, "perception_node")
