"""The node for ROS4HRI and frames of faces: its lifecycle, its first frame, its death and its return."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from message_times import STRETCH, hear_predictions, keep_up, misses_no_tick, perceived_without_a_gap
from ros_processes import (
    ACTIVATE,
    ACTIVE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    SHUTDOWN,
    UNCONFIGURED,
    Lifecycle,
    Listener,
    ends_well,
    kill,
    listener,
    node_process,
)
from sensor_msgs.msg import CameraInfo
from test_adapter_nodes import Stage, needs_hri, two_people
from test_adapters import CAMERA, SIZE
from test_device_nodes import newest, values
from tf2_package import tf2_messages

from hmgen_ros.message_reading import stamp_ns
from hmgen_ros.msg import People
from hmgen_ros.nodes.adapters import importable
from hmgen_ros.nodes.conversions import people_message
from hmgen_ros.types import TICK_HZ

CALIBRATION = CameraInfo(k=CAMERA.ravel(), width=SIZE[0], height=SIZE[1])


@pytest.fixture(scope="module", autouse=True)
def _tf2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with tf2_messages(tmp_path_factory.mktemp("tf2_msgs")):
        yield


def hear_frames(ear: Listener) -> list[Any]:
    """Collect the frames of faces."""
    from tf2_msgs.msg import TFMessage

    ear.listen(TFMessage, "/tf")
    return ear.received["/tf"]


def stamp_of(message: Any) -> int:
    """Of a message of frames, nanoseconds."""
    return stamp_ns(message.transforms[0].header.stamp)


def test_faces_have_frames_in_metres() -> None:
    with listener() as ear, node_process("hri_node"):
        frames = hear_frames(ear)
        stage = Stage(ear)
        assert stage.play(lambda: frames)
        found = frames[-1].transforms[0]
        # Whose eyes are further apart is further away.
        assert ear.set_parameters("hri_node", eye_corners_m=0.12) == ""
        assert stage.play(lambda: frames[-1].transforms[0].transform.translation.z > 1.9)
    assert (found.header.frame_id, found.child_frame_id) == ("eye", "face_ann")
    at = found.transform.translation
    np.testing.assert_allclose([at.x, at.y, at.z], [0.2, 0.0, 1.5], atol=0.02)


def test_every_transition_and_the_first_frame_is_of_the_first_people() -> None:
    arguments = ("-p", "autostart:=false", "-p", "diagnostics_period_s:=0.2")
    with listener() as ear, node_process("hri_node", *arguments) as process:
        frames = hear_frames(ear)
        ear.listen(DiagnosticArray, "/diagnostics")
        people = ear.node.create_publisher(People, "people", 10)
        camera = ear.node.create_publisher(CameraInfo, "camera_info", 1)
        node = Lifecycle(ear, "hri_node")
        ear.meet("hri_node", state=UNCONFIGURED)

        def calibrated() -> bool:
            camera.publish(CALIBRATION)
            return values(newest(ear, "hri_node")).get("calibrated") == "True"

        def is_connected(connected: bool) -> bool:
            """Whether the node hears of people and tells of frames, or neither."""
            there = {people.get_subscription_count(), ear.node.count_publishers("/tf")}
            return there == {int(connected)}

        assert not any(node.change(wrong) for wrong in (ACTIVATE, DEACTIVATE, CLEANUP))
        for _ in range(2):
            node.goes(CONFIGURE)
            for _ in range(2):
                assert ear.spin_until(lambda: is_connected(False))
                node.goes(ACTIVATE)
                assert ear.spin_until(lambda: is_connected(True))
                ear.received["/diagnostics"].clear()
                assert ear.spin_until(calibrated)
                ear.meet("hri_node")
                before, stamp = len(frames), ear.now_ns()
                people.publish(people_message(two_people(stamp, 0)))
                assert ear.spin_until(lambda n=before: len(frames) > n)
                assert stamp_of(frames[before]) == stamp
                node.goes(DEACTIVATE)
            assert ear.spin_until(lambda: is_connected(False))
            node.goes(CLEANUP)
        node.goes(CONFIGURE, ACTIVATE, SHUTDOWN[ACTIVE])
        assert ear.spin_until(lambda: is_connected(False))
        assert ends_well(process, signal.SIGTERM)


def test_it_is_killed_and_comes_back_while_the_others_go_on(recording: str) -> None:
    with listener() as ear, ExitStack() as nodes:

        def begin() -> subprocess.Popen[str]:
            return nodes.enter_context(node_process("hri_node"))

        hear_predictions(ear)
        told = [hear_frames(ear)]
        if importable("hri_msgs"):
            from hri_msgs.msg import IdsList

            ear.listen(IdsList, "/humans/persons/tracked")
            told.append(ear.received["/humans/persons/tracked"])
        camera = ear.node.create_publisher(CameraInfo, "camera_info", 1)
        # Of images as large as those of the recording.
        calibration = CameraInfo(k=CAMERA.ravel(), width=960, height=400)
        ear.node.create_timer(1.0 / TICK_HZ, lambda: camera.publish(calibration))
        process = begin()
        others = [nodes.enter_context(node_process(n)) for n in ("perception_node", "interaction_node")]
        film = ("-p", f"source:={recording}", "-p", "pace:=consumed", "-p", "loop:=true")
        others.append(nodes.enter_context(node_process("media_node", *film)))
        assert ear.spin_until(lambda: all(told) and bool(ear.received["predicted_interaction"]))
        assert keep_up(ear, "predicted_interaction")
        dies = len(ear.received["people"])
        kill(process)
        ear.spin_for(1.0)  # what was on its way
        before, seen = [len(messages) for messages in told], len(ear.received["people"])
        assert ear.spin_until(lambda: len(ear.received["people"]) >= seen + STRETCH)
        assert perceived_without_a_gap(ear.received["people"][seen : seen + STRETCH])
        assert misses_no_tick(ear, "predicted_interaction", ear.received["people"][dies : seen + STRETCH])
        assert [len(messages) for messages in told] == before
        begin()
        for messages, n in zip(told, before, strict=True):
            assert ear.spin_until(lambda messages=messages, n=n: len(messages) >= n + STRETCH)
        assert stamp_of(told[0][before[0]]) > stamp_of(told[0][before[0] - 1])
        assert all(other.poll() is None for other in others)


@needs_hri
def test_people_of_others_are_told_of_from_the_tick_after_activation() -> None:
    arguments = ("-p", "autostart:=false", "-p", "direction:=in")
    with listener() as ear, node_process("hri_node", *arguments) as process:
        ear.listen(People, "people")
        node = Lifecycle(ear, "hri_node")
        ear.meet("hri_node", state=UNCONFIGURED)
        node.goes(CONFIGURE)
        node.tells_at_once("people")
        ear.spin_for(0.5)  # what was on its way
        silent = len(ear.received["people"])
        ear.spin_for(0.5)
        assert len(ear.received["people"]) == silent
        node.goes(CLEANUP, CONFIGURE, ACTIVATE)
        assert ear.spin_until(lambda: len(ear.received["people"]) > silent)
        node.goes(SHUTDOWN[ACTIVE])
        assert ends_well(process, signal.SIGTERM)
