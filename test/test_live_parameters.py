"""Parameters that are set over the parameter services while nodes run, seen in what the nodes publish."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from perception_scene import frames
from ros_processes import Listener, listener, node_process
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from hmgen_ros.msg import AudioFrame, HeadMotion, People, PredictedInteraction
from hmgen_ros.nodes.image_conversion import image_from_frame, stamp_ns
from hmgen_ros.types import TICK_NS, Frame

OWN_HEAD, JOINTS = "head_motion_node/own_head_motion", "head_motion_node/joint_trajectory"
TOPICS = {
    "people": People,
    "predicted_interaction": PredictedInteraction,
    "markers": MarkerArray,
    "/diagnostics": DiagnosticArray,
    OWN_HEAD: HeadMotion,
    JOINTS: JointTrajectory,
}


class Stage:
    """All nodes but the source in one process, what they publish, and a camera that sees three people."""

    def __init__(self, ear: Listener) -> None:
        self.ear, self.tick, self._sent = ear, 0, 0.0
        self._start_ns = self.now_ns()
        for topic, kind in TOPICS.items():
            ear.listen(kind, topic)
        self.images = ear.node.create_publisher(Image, "camera", 10)
        self.joints = ear.node.create_publisher(JointState, "joint_states", 10)

    def set(self, node: str, **values: Any) -> str:
        return self.ear.set_parameters(node, **values)

    def newest(self, topic: str) -> Any:
        """What came last; None before the first."""
        return (self.ear.received[topic] or [None])[-1]

    def until(self, done: Callable[[], bool], step: Callable[[], None] = lambda: None) -> bool:
        """Take steps until ``done()``; whether that came in time."""

        def stepped() -> bool:
            step()
            return done()

        return self.ear.spin_until(stepped)

    def film(self) -> None:
        """The camera sees the people once more."""
        answered = self.newest("people") is not None and (
            stamp_ns(self.newest("people").header.stamp) == self._stamp_ns(self.tick - 1)
        )
        # One after the other, however slow this machine is; images can get lost.
        if answered or time.monotonic() - self._sent > 2.0:
            frame = Frame(self._stamp_ns(self.tick), frames(8)[self.tick % 8])
            self.images.publish(image_from_frame(frame))
            self.tick, self._sent = self.tick + 1, time.monotonic()

    def _stamp_ns(self, tick: int) -> int:
        return self._start_ns + tick * TICK_NS

    def now_ns(self) -> int:
        return int(self.ear.node.get_clock().now().nanoseconds)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    arguments = (
        "-r",
        "image_raw:=camera",
        "-p",
        "robot_head.yaw.joint:=neck",
        "-p",
        "robot_head.blend_s:=0.2",
    )
    with listener() as ear, node_process("single_process", *arguments):
        stage = Stage(ear)
        # Perception and annotator.
        assert stage.until(lambda: stage.images.get_subscription_count() == 2)
        yield stage


def test_futures_become_more_and_longer(stage: Stage) -> None:
    def futures(samples: int, steps: int) -> bool:
        found = stage.newest("predicted_interaction")
        return found is not None and (found.samples, found.steps) == (samples, steps)

    assert stage.until(lambda: futures(32, 40), stage.film)
    assert stage.set("interaction_node", samples=8, horizon_s=0.8) == ""
    assert stage.until(lambda: futures(8, 20), stage.film)
    changes = {(m.samples, m.steps) for m in stage.ear.received["predicted_interaction"]}
    assert changes == {(32, 40), (8, 20)}, "both at the same tick"


def test_thresholds_and_limits_of_perception_hold_from_the_next_image_on(stage: Stage) -> None:
    def seen(count: int) -> bool:
        message = stage.newest("people")
        return message is not None and sum(one.face_visible for one in message.people) == count

    assert stage.until(lambda: seen(3), stage.film)
    assert stage.set("perception_node", max_people=2) == ""
    assert stage.until(lambda: seen(2), stage.film)
    assert stage.set("perception_node", max_people=6) == ""
    assert stage.until(lambda: seen(3), stage.film)
    # No face is just where it is expected, and whoever is not is gone at once.
    assert stage.set("perception_node", min_overlap=1.0, max_missed=0, recognise=False) == ""
    assert stage.until(lambda: seen(0), stage.film)
    assert stage.set("perception_node", min_overlap=0.2) == ""
    assert stage.until(lambda: seen(3), stage.film)


def test_what_does_not_go_together_is_refused_with_the_reason(stage: Stage) -> None:
    for values, reason in (
        ({"speaking__off": 0.9}, r"speaking.*: need 0 <= off <= on <= 1, got off=0.9, on=0.5"),
        ({"speaking__on": 1.5}, "speaking.on out of range"),
        ({"max_people": 1, "backend": "dlib"}, "backend can be set while the node is unconfigured"),
        ({"image_transport": "compressed"}, "deactivate it first"),
        ({"autostart": False}, "read-only"),
        ({"detect_every": "often"}, "Wrong parameter type"),
        ({"no_such_parameter": 1}, "undeclared"),
    ):
        assert reason in stage.set("perception_node", **values)
    assert stage.set("perception_node", speaking__off=0.8, speaking__on=0.9) == ""
    assert "robot_head" not in stage.set("head_motion_node", robot_head__yaw__lower=-0.4)
    assert "offset of joint 'neck'" in stage.set("head_motion_node", robot_head__yaw__lower=0.1)
    assert "stale_s" in stage.set("head_motion_node", robot_head__stale_s=0.1)
    assert "clean it up" in stage.set("head_motion_node", robot_head__yaw__joint="waist")


def test_the_robot_s_head_goes_by_other_limits_after_a_stop(stage: Stage) -> None:
    def command() -> None:
        stage.joints.publish(JointState(name=["neck"], position=[0.0]))

    told = stage.ear.received[JOINTS]
    assert stage.until(lambda: len(told) > 20, command)
    slow, rear = 0.05, len(told)
    wanted = {
        "robot_head__yaw__max_velocity": slow,
        "robot_head__yaw__max_acceleration": 0.5,
        "robot_head__yaw__upper": 0.02,
        "own_head__person_id": "pepper",
    }
    assert stage.set("head_motion_node", **wanted) == ""
    assert stage.until(lambda: stage.newest(OWN_HEAD).person_id == "pepper")

    def fastest(message: JointTrajectory) -> float:
        return max(abs(point.velocities[0]) for point in message.points)

    # It comes to rest within the limits that held before, and goes on within those that hold now.
    assert stage.until(lambda: fastest(told[-1]) == 0.0)
    rest = len(told) - 1
    assert stage.until(lambda: len(told) > rest + 40 and any(fastest(m) > 0.0 for m in told[rest:]))
    assert max(map(fastest, told[rest:])) <= slow + 1e-9
    assert max(abs(p.accelerations[0]) for m in told[rest:] for p in m.points) <= 0.5 + 1e-9
    assert max(map(fastest, told[rear:])) <= 1.0 + 1e-9
    places = np.array([m.points[0].positions[0] for m in told])
    assert np.abs(np.diff(places)).max() <= 0.045, "nothing jumps"


def test_markers_are_as_far_away_as_eyes_are_apart(stage: Stage) -> None:
    def distance() -> float:
        found = stage.newest("markers")
        heads = [one for one in found.markers if one.ns == "faces"] if found is not None else []
        return heads[0].points[0].z if heads else 0.0

    assert stage.until(lambda: distance() > 0.0, stage.film)
    before = distance()
    assert stage.set("annotator_node", eye_corners_m=0.06) == ""
    assert stage.until(lambda: distance() < 0.9 * before, stage.film)
    assert distance() == pytest.approx(before * 0.06 / 0.09, rel=0.05)


def test_pictures_and_sound_of_a_source_follow(stage: Stage, recording: str) -> None:
    ear, source = stage.ear, ("-p", f"source:={recording}", "-p", "loop:=true")
    with node_process("media_node", *source):
        ear.listen(CompressedImage, "image_raw/compressed")
        ear.listen(AudioFrame, "audio")
        pictures, sound = ear.received["image_raw/compressed"], ear.received["audio"]
        assert stage.until(lambda: len(pictures) > 5 and len(sound) > 5)
        before = len(pictures[-1].data)
        assert stage.set("media_node", jpeg_quality=10, sound=False) == ""
        silent = stage.now_ns() + 1_000_000_000
        assert stage.until(lambda: stamp_ns(pictures[-1].header.stamp) > silent)
        assert len(pictures[-1].data) < before / 2
        assert stage.set("media_node", sound=True) == ""
        assert stage.until(lambda: stamp_ns(sound[-1].header.stamp) > silent)
    gap = np.diff([stamp_ns(one.header.stamp) for one in sound]).max()
    assert gap > 500_000_000, "it was silent meanwhile"


def test_diagnostics_come_more_often_at_once(stage: Stage) -> None:
    def told() -> int:
        return sum(
            status.name.endswith("interaction_node")
            for array in stage.ear.received["/diagnostics"]
            for status in array.status
        )

    assert stage.set("interaction_node", diagnostics_period_s=60.0) == ""
    assert stage.set("interaction_node", diagnostics_period_s=0.1) == ""
    before, since = told(), time.monotonic()
    assert stage.until(lambda: told() >= before + 5)
    assert time.monotonic() - since < 30.0
