"""Every node as a real process, over loopback."""

from collections import Counter
from contextlib import ExitStack
from itertools import count, cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from message_times import comes_in_time, own_up, stamps
from ros_processes import Lifecycle, Listener, Refusal, listener, node_process, refusals
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from hmgen_ros.message_definitions import typestore
from hmgen_ros.msg import (
    AudioFrame,
    HeadMotion,
    NextSpeaker,
    People,
    Person,
    PredictedAction,
    PredictedInteraction,
)
from hmgen_ros.nodes.image_conversion import image_from_frame, stamp_message, stamp_ns
from hmgen_ros.streams.media import open_media
from hmgen_ros.types import TICK_NS, Frame

OUTPUTS = {
    "people": People,
    "predicted_action": PredictedAction,
    "predicted_interaction": PredictedInteraction,
    "next_speaker": NextSpeaker,
    "head_motion": HeadMotion,
}


def frames_of(path: str, count: int) -> list[Frame]:
    with open_media(path) as source:
        frames = (item for item in source if isinstance(item, Frame))
        return [next(frames) for _ in range(count)]


def test_four_processes_predict_at_25_hz(recording: str) -> None:
    with (
        listener() as ear,
        node_process("perception_node"),
        node_process("interaction_node"),
        node_process("head_motion_node"),
    ):
        for topic, kind in OUTPUTS.items():
            ear.listen(kind, topic)
        # Models are loaded before the film starts.
        ear.meet("perception_node", "interaction_node", "head_motion_node")
        with node_process("media_node", "-p", f"source:={recording}", "-p", "loop:=true"):
            assert ear.spin_until(lambda: len(ear.received["head_motion"]) >= 3 * 75)
            assert comes_in_time(ear, "people", 50)
        # What was predicted may be taken before what it was predicted from.
        people = ear.received["people"]
        predicted = [*ear.received["predicted_action"], *ear.received["head_motion"]]
        assert ear.spin_until(lambda: set(stamps(predicted).tolist()) <= set(stamps(people).tolist()))
        assert own_up(people)
        assert max(len(message.people) for message in people) == 3
        by_stamp = dict(zip(stamps(people).tolist(), people, strict=True))
        for message in predicted:
            scene = by_stamp[stamp_ns(message.header.stamp)]
            assert message.person_id in {person.id for person in scene.people}
            assert message.header.frame_id == "camera"
        forecast = next(message for message in ear.received["predicted_interaction"] if message.valid)
        shape = (forecast.steps, len(forecast.person_ids), len(forecast.action_labels))
        np.testing.assert_allclose(np.reshape(forecast.probabilities, shape).sum(-1), 1, atol=1e-4)


def _bad_images() -> list[Image]:
    good = image_from_frame(Frame(1, np.zeros((48, 64, 3), np.uint8)))

    def but(**changes: object) -> Image:
        message = Image(height=good.height, width=good.width, step=good.step, encoding=good.encoding)
        message.data.frombytes(good.data.tobytes())
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    truncated = but()
    del truncated.data[100:]
    return [but(encoding="telepathy8"), but(width=0), but(height=0), but(step=7), truncated, but()]


def _counts(ear: Listener, node: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for array in ear.received["/diagnostics"]:
        for status in array.status:
            if status.name.endswith(node):
                found |= {v.key[6:]: int(v.value) for v in status.values if v.key.startswith("count/")}
    return found


def _blank(stamp: int) -> Image:
    return image_from_frame(Frame(stamp, np.zeros((48, 64, 3), np.uint8)))


def _images_arrive(ear: Listener, images: Any, first_stamp: int) -> None:
    """Send images until one has become a message: before, best effort may lose them."""
    stamp = count(first_stamp, TICK_NS)

    def arrived() -> bool:
        images.publish(_blank(next(stamp)))
        return ear.spin_until(lambda: bool(ear.received["people"]), 2)

    assert ear.spin_until(arrived)


def test_bad_input_is_counted_and_perception_goes_on(recording: str) -> None:
    with listener() as ear, node_process("perception_node", "-p", "diagnostics_period_s:=0.2") as process:
        ear.listen(People, "people")
        ear.listen(DiagnosticArray, "/diagnostics")
        images = ear.node.create_publisher(Image, "image_raw", 10)
        sound = ear.node.create_publisher(AudioFrame, "audio", 10)
        ear.meet("perception_node")

        def now() -> int:
            return ear.node.get_clock().now().nanoseconds

        def counted(**wanted: int) -> bool:
            return ear.spin_until(lambda: wanted.items() <= _counts(ear, "perception_node").items())

        _images_arrive(ear, images, now())
        # One after the other: perception takes the newest image and leaves out what it did not get to.
        causes = ("image_encoding", "image_size", "image_size", "image_step", "image_truncated", "unstamped")
        total: Counter[str] = Counter()
        for cause, image in zip(causes, _bad_images(), strict=True):
            # The last one is well-formed but has no stamp.
            image.header.stamp = stamp_message(0 if cause == "unstamped" else now())
            images.publish(image)
            total[cause] += 1
            assert counted(**total), (cause, _counts(ear, "perception_node"))
        images.publish(_blank(now() + 60_000_000_000))
        assert counted(future=1)
        for cause, rate, channels, samples in (
            ("audio_rate", 0, 1, 640),
            ("audio_channels", 16_000, 0, 640),
            ("audio_length", 16_000, 3, 640),
            ("audio_empty", 16_000, 1, 0),
        ):
            message = AudioFrame(sample_rate=rate, channels=channels)
            message.header.stamp = stamp_message(now())
            message.samples.frombytes(bytes(2 * samples))
            sound.publish(message)
            assert counted(**{cause: 1}), (cause, _counts(ear, "perception_node"))
        film = cycle(frames_of(recording, 12))

        def sees_three() -> bool:
            images.publish(image_from_frame(Frame(now(), next(film).image)))
            ear.spin_for(0.04)
            return any(len(message.people) == 3 for message in ear.received["people"])

        assert ear.spin_until(sees_three)
        assert counted(**total, future=1, audio_rate=1, audio_channels=1, audio_length=1, audio_empty=1)
        assert process.poll() is None


def test_interaction_goes_on_after_bad_people() -> None:
    with listener() as ear, node_process("interaction_node"), node_process("head_motion_node"):
        for topic in ("predicted_action", "head_motion", "next_speaker"):
            ear.listen(OUTPUTS[topic], topic)
        people = ear.node.create_publisher(People, "people", 10)
        ear.meet("interaction_node", "head_motion_node")
        assert ear.spin_until(lambda: people.get_subscription_count() == 2)
        message = People(image_width=640, image_height=480, reset=True)
        bad = Person(id="a", face_visible=True, active_actions=0xFFFF)
        bad.face.pixels[:] = np.nan
        odd = Person(id="b", active_actions=1 << 12)
        message.people = [bad, odd]
        for tick in range(5):
            message.tick, message.header.stamp = tick, stamp_message(1_000_000_000 + 40_000_000 * tick)
            people.publish(message)
            message.reset = False
        assert ear.spin_until(lambda: len(ear.received["head_motion"]) == 10)
        assert ear.spin_until(lambda: len(ear.received["predicted_action"]) == 10)
        valid = {m.person_id: m.valid for m in ear.received["predicted_action"]}
        assert valid == {"a": False, "b": True}
        assert not any(m.valid for m in ear.received["head_motion"])


def test_lifecycle_by_hand_and_namespace() -> None:
    arguments = ("-p", "autostart:=false", "-r", "__ns:=/robot1")
    with listener() as ear, node_process("interaction_node", *arguments):
        node = Lifecycle(ear, "/robot1/interaction_node")
        assert node.state() == State.PRIMARY_STATE_UNCONFIGURED
        for transition, then in (
            (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
            (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
            (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
            (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
            (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
            (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED),
        ):
            assert node.change(transition)
            assert node.state() == then


def test_a_jump_back_in_time_starts_anew(recording: str) -> None:
    with listener() as ear, node_process("perception_node"):
        ear.listen(People, "people")
        images = ear.node.create_publisher(Image, "image_raw", 10)
        ear.meet("perception_node")
        start = ear.node.get_clock().now().nanoseconds - 60_000_000_000
        _images_arrive(ear, images, start - 60_000_000_000)

        def people() -> list[People]:
            since = start - 20_000_000_000
            return [m for m in ear.received["people"] if stamp_ns(m.header.stamp) >= since]

        # Five images, then, as when a bag begins again, five from ten seconds before.
        for index, frame in enumerate(frames_of(recording, 10)):
            stamp = start + index * 40_000_000 - (10_000_000_000 if index >= 5 else 0)
            images.publish(image_from_frame(Frame(stamp, frame.image)))
            assert ear.spin_until(lambda sent=index + 1: len(people()) == sent)
        assert [message.reset for message in people()] == [True, *[False] * 4] * 2
        assert [message.tick for message in people()] == [0, 1, 2, 3, 4] * 2
        assert len(people()[4].people) == len(people()[9].people) == 3


def test_single_process_executable_in_a_namespace(recording: str) -> None:
    arguments = ("-r", "__ns:=/robot2", "-p", "loop:=true")
    with (
        listener() as ear,
        node_process("single_process", *arguments, own=("--source", recording)) as process,
    ):
        for topic, kind in OUTPUTS.items():
            ear.listen(kind, f"/robot2/{topic}")
        assert ear.spin_until(lambda: len(ear.received["/robot2/head_motion"]) >= 3 * 50)
        assert comes_in_time(ear, "/robot2/people")
        assert process.poll() is None
        assert own_up(ear.received["/robot2/people"])


def test_recorder_process_writes_a_bag(recording: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with listener() as ear, node_process("perception_node"):
        ear.listen(DiagnosticArray, "/diagnostics")

        def written() -> int:
            """Messages in the bag by now, as the recorder says."""
            said = [one for array in ear.received["/diagnostics"] for one in array.status]
            values = [pair.value for one in said for pair in one.values if pair.key == "written"]
            return int(values[-1]) if values else 0

        recorder = ("-p", f"output:={out}", "-p", "video:=false", "-p", "diagnostics_period_s:=0.2")
        with node_process("recorder_node", *recorder):
            ear.meet("perception_node", "recorder_node")
            with node_process("media_node", "-p", f"source:={recording}", "-p", "loop:=true"):
                # The recorder finds the film and the people some ticks after each other.
                assert ear.spin_until(lambda: written() >= 300)
    with AnyReader([out / "bag"], default_typestore=typestore()) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
    assert counts["/people"] >= 45
    assert counts["/image_raw/compressed"] >= 45
    assert counts["/audio"] >= 45


CANNOT_START = {
    ("media_node", "source:=/nowhere/at_all.mp4"): "/nowhere/at_all.mp4",
    ("media_node", "source:=/dev/video99", "wait_for_device:=false"): "/dev/video99",
    ("interaction_node", "model:=crystal_ball"): "crystal_ball",
    ("interaction_node", "horizon_s:=-1.0"): "horizon_s",
    ("head_motion_node", "device:=cuda:99"): "device 'cuda:99' cannot be used",
    ("perception_node", "max_people:=many"): "max_people",
    ("recorder_node", "video:=true"): "output",
}


@pytest.fixture(scope="module")
def refused() -> dict[tuple[str, ...], Refusal]:
    return refusals(CANNOT_START)


@pytest.mark.parametrize("attempt", CANNOT_START, ids=" ".join)
def test_a_node_that_cannot_start_says_why_and_exits_with_2(
    attempt: tuple[str, ...], refused: dict[tuple[str, ...], Refusal]
) -> None:
    assert refused[attempt].code == 2, refused[attempt].said
    assert CANNOT_START[attempt] in refused[attempt].said
    assert "Traceback" not in refused[attempt].said


HEAD_JOINT = ("-p", "robot_head.yaw.joint:=neck", "-p", "robot_head.yaw.max_velocity:=0.8")
OWN_HEAD, JOINTS = "head_motion_node/own_head_motion", "head_motion_node/joint_trajectory"


def test_the_robot_s_own_head_moves_within_its_limits() -> None:
    """At 25 Hz, without camera or people; trajectories once the joint's position is known."""
    with listener() as ear, node_process("head_motion_node", *HEAD_JOINT) as process:
        ear.listen(HeadMotion, OWN_HEAD)
        ear.listen(JointTrajectory, JOINTS)
        ear.listen(DiagnosticArray, "/diagnostics")
        states = ear.node.create_publisher(JointState, "joint_states", 10)
        ear.meet("head_motion_node")
        assert ear.spin_until(lambda: states.get_subscription_count() == 1)
        assert ear.spin_until(lambda: len(ear.received[OWN_HEAD]) >= 25)
        assert not ear.received[JOINTS]
        wanted = {"no_joint_states"}
        assert ear.spin_until(lambda: wanted <= _counts(ear, "head_motion_node").keys())
        states.publish(JointState(name=["wheel"], position=[1.0]))
        ear.spin_for(0.3)

        def refused() -> bool:
            """Best effort, and only the newest: what is sent may be left out."""
            states.publish(JointState(name=["neck", "wheel"], position=[0.1]))
            return ear.spin_until(lambda: "bad_joint_state" in _counts(ear, "head_motion_node"), 3)

        assert ear.spin_until(refused)
        assert not ear.received[JOINTS]

        def moves() -> bool:
            states.publish(JointState(name=["wheel", "neck"], position=[1.0, 0.1]))
            return ear.spin_until(lambda: bool(ear.received[JOINTS]), 3)

        assert ear.spin_until(moves)
        assert ear.spin_until(lambda: len(ear.received[JOINTS]) >= 100)
        assert comes_in_time(ear, OWN_HEAD)
        assert process.poll() is None
    motions, trajectories = ear.received[OWN_HEAD], ear.received[JOINTS]
    assert all(m.valid and m.person_id == "robot" and m.steps == 25 for m in motions)
    yaw = np.array([m.yaw for m in motions])
    np.testing.assert_array_equal(yaw[:-1, 1:], yaw[1:, :-1])
    assert np.ptp(yaw[:, 0]) > 0.0
    assert all(list(t.joint_names) == ["neck"] for t in trajectories)
    assert trajectories[0].points[0].positions[0] == pytest.approx(0.1, abs=1e-6)
    speeds = [abs(p.velocities[0]) for t in trajectories for p in t.points]
    places = [p.positions[0] for t in trajectories for p in t.points]
    assert max(speeds) <= 0.8 + 1e-9
    assert min(places) >= -0.5
    assert max(places) <= 0.5
    assert all(t.points[-1].velocities[0] == 0.0 for t in trajectories)


def test_own_head_is_seeded() -> None:
    """The same seed, the same motion from activation on."""
    seeds = {"/one": 3, "/two": 3, "/other": 4}
    with listener() as ear, ExitStack() as nodes:
        for robot, seed in seeds.items():
            arguments = ("-p", "own_head.enabled:=true", "-p", f"seed:={seed}", "-p", "autostart:=false")
            nodes.enter_context(node_process("head_motion_node", *arguments, "-r", f"__ns:={robot}"))
            ear.listen(HeadMotion, f"{robot}/{OWN_HEAD}")
        for robot in seeds:
            node = Lifecycle(ear, f"{robot}/head_motion_node")
            assert node.change(Transition.TRANSITION_CONFIGURE)
            assert node.change(Transition.TRANSITION_ACTIVATE)
        assert ear.spin_until(lambda: all(len(ear.received[f"{r}/{OWN_HEAD}"]) >= 20 for r in seeds))
        seen = [{tuple(m.yaw) for m in ear.received[f"{robot}/{OWN_HEAD}"]} for robot in seeds]
    assert seen[0] & seen[1]
    assert not seen[0] & seen[2]
