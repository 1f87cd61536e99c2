"""Every transition of every node over the lifecycle services, what can go wrong, and the first output."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from perception_scene import frames
from rcl_interfaces.msg import Log
from ros_processes import (
    ACTIVATE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    INACTIVE,
    UNCONFIGURED,
    Lifecycle,
    Listener,
    listener,
    node_process,
    open_files,
)
from sensor_msgs.msg import Image

from hmgen_ros.msg import HeadMotion, NextSpeaker, People, PredictedInteraction
from hmgen_ros.nodes.adapters import importable
from hmgen_ros.nodes.image_conversion import frame_from_image, image_from_frame, stamp_message, stamp_ns
from hmgen_ros.types import TICK_NS, Frame

TOGETHER = ("perception_node", "interaction_node", "head_motion_node", "annotator_node")
APART = ("media_node", "recorder_node", "hri_node", "microphone_node")
OUTPUTS = {
    "people": People,
    "predicted_interaction": PredictedInteraction,
    "next_speaker": NextSpeaker,
    "head_motion": HeadMotion,
}


class Stage:
    """Every node, unconfigured, and what it logs."""

    def __init__(self, ear: Listener) -> None:
        self.ear = ear
        ear.listen(Log, "/rosout")
        for topic, kind in OUTPUTS.items():
            ear.listen(kind, topic)
        self.images = ear.node.create_publisher(Image, "camera", 10)
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.nodes = {name: Lifecycle(ear, name) for name in (*TOGETHER, *APART)}

    def log(self, name: str) -> list[str]:
        """What a node has complained about."""
        return [one.msg for one in self.ear.received["/rosout"] if one.name == name and one.level >= 30]

    def complains(self, name: str, text: str) -> bool:
        """Whether a node says a text in the end, and in a line."""
        return self.ear.spin_until(lambda: any(text in one and "\n" not in one for one in self.log(name)))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    out = tmp_path_factory.mktemp("recordings") / "first"
    own: dict[str, tuple[str, ...]] = {
        "single_process": ("-r", "image_raw:=camera"),
        "media_node": ("-p", "exit_at_end:=false", "-p", "wait_for_subscriber_s:=0.0"),
        "recorder_node": ("-p", f"output:={out}", "-p", "video:=false"),
        "hri_node": (),
        "microphone_node": (),
    }
    with ExitStack() as stack:
        stage = Stage(stack.enter_context(listener()))
        for name, arguments in own.items():
            arguments = ("-p", "autostart:=false", *arguments)
            stage.processes[name] = stack.enter_context(node_process(name, *arguments))
        stage.ear.meet(*stage.nodes, state=UNCONFIGURED)
        yield stage


def test_the_first_output_belongs_to_the_first_input(stage: Stage) -> None:
    """Models are loaded and warm when a node is active, and nothing is waited for."""
    ear = stage.ear
    for name in TOGETHER:
        stage.nodes[name].goes(CONFIGURE)
    for name in reversed(TOGETHER):
        stage.nodes[name].goes(ACTIVATE)
    # Perception and annotator.
    assert ear.spin_until(lambda: stage.images.get_subscription_count() == 2)
    ear.meet(*TOGETHER)
    first = ear.now_ns()
    for tick in range(5):
        stamp = first + tick * TICK_NS
        stage.images.publish(image_from_frame(Frame(stamp, frames(5)[tick])))
        # A single image may be lost on its way, as best effort is.
        ear.spin_until(
            lambda stamp=stamp: any(stamp_ns(m.header.stamp) == stamp for m in ear.received["people"]), 15.0
        )
    for topic in ("people", "predicted_interaction", "next_speaker"):
        assert ear.spin_until(lambda topic=topic: bool(ear.received[topic])), topic
        assert stamp_ns(ear.received[topic][0].header.stamp) <= first + TICK_NS, topic
    # The heads of people: they count as such from the third image on.
    assert ear.spin_until(lambda: bool(ear.received["head_motion"]))
    there = next(stamp_ns(one.header.stamp) for one in ear.received["people"] if one.people)
    assert stamp_ns(ear.received["head_motion"][0].header.stamp) == there
    for name in TOGETHER:
        stage.nodes[name].goes(DEACTIVATE, CLEANUP)


def test_the_first_picture_is_of_the_first_image(stage: Stage) -> None:
    ear, annotator = stage.ear, stage.nodes["annotator_node"]
    ear.listen(Image, "annotated_image")
    people = ear.node.create_publisher(People, "people", 10)
    speaker = ear.node.create_publisher(NextSpeaker, "next_speaker", 10)
    annotator.goes(CONFIGURE, ACTIVATE)
    # The listener hears people and the next speaker, too.
    there = {stage.images: 1, people: 2, speaker: 2}
    assert ear.spin_until(lambda: all(one.get_subscription_count() == n for one, n in there.items()))
    ear.meet("annotator_node")
    first = ear.now_ns()
    for kind, sender in ((People, people), (NextSpeaker, speaker)):
        message = kind()
        message.header.stamp = stamp_message(first)
        sender.publish(message)

    def drawn() -> bool:
        """Whether there is a picture; the image is sent until then, for it may be lost on its way."""
        stage.images.publish(image_from_frame(Frame(first, frames(1)[0])))
        return bool(ear.received["annotated_image"])

    assert ear.spin_until(drawn)
    assert stamp_ns(ear.received["annotated_image"][0].header.stamp) == first
    annotator.goes(DEACTIVATE, CLEANUP)


def test_a_film_is_open_only_while_it_plays_and_begins_with_its_first_image(
    stage: Stage, recording: str
) -> None:
    ear, media = stage.ear, stage.nodes["media_node"]
    ear.listen(Image, "image_raw")
    settings = {"source": recording, "loop": True, "pace": "consumed", "consumed_timeout_s": 0.1}
    assert ear.set_parameters("media_node", **settings) == ""
    media.goes(CONFIGURE)

    def is_open() -> bool:
        return Path(recording).resolve() in open_files(stage.processes["media_node"].pid)

    for start_s in (1000.0, 2000.0):
        assert ear.set_parameters("media_node", start_time_s=start_s) == ""
        assert not is_open()
        ear.meet("media_node", state=INACTIVE)
        media.goes(ACTIVATE)
        assert ear.spin_until(is_open)
        image = ear.first_from("image_raw", round(start_s * 1e9))
        assert stamp_ns(image.header.stamp) == start_s * 1e9
        np.testing.assert_array_equal(frame_from_image(image).image, frames(1)[0])
        media.goes(DEACTIVATE)
        assert ear.spin_until(lambda: not is_open())
    media.goes(CLEANUP)
    defaults = {"source": "bundled", "loop": False, "pace": "realtime", "start_time_s": -1.0}
    assert ear.set_parameters("media_node", **defaults) == ""


@pytest.mark.parametrize("name", [*TOGETHER, "media_node", "recorder_node"])
def test_every_transition_leads_where_it_should(stage: Stage, name: str, tmp_path: Path) -> None:
    node = stage.nodes[name]
    for wrong in (ACTIVATE, DEACTIVATE, CLEANUP):
        assert not node.change(wrong)
        assert node.state() == UNCONFIGURED
    stage.nodes[name].goes(CONFIGURE, CLEANUP)
    if name == "recorder_node":
        # A recording is not written over.
        assert stage.ear.set_parameters(name, output=str(tmp_path / "second")) == ""
    stage.nodes[name].goes(CONFIGURE, ACTIVATE, DEACTIVATE)
    stage.nodes[name].goes(ACTIVATE, DEACTIVATE, CLEANUP)


def test_what_a_machine_lacks_leaves_a_node_inactive(stage: Stage) -> None:
    """No microphone, no ROS4HRI: each says so, and can be asked again."""
    stage.nodes["microphone_node"].goes(CONFIGURE)
    assert stage.ear.set_parameters("microphone_node", device="no such device", wait_for_device=False) == ""
    assert not stage.nodes["microphone_node"].change(ACTIVATE)
    assert stage.nodes["microphone_node"].state() == INACTIVE
    assert stage.complains("microphone_node", "no microphone")
    stage.nodes["hri_node"].goes(CONFIGURE)
    if not importable("hri_msgs") and not importable("tf2_msgs"):
        assert not stage.nodes["hri_node"].change(ACTIVATE)
        assert stage.complains("hri_node", "needs hri_msgs")
    for name in ("microphone_node", "hri_node"):
        stage.nodes[name].goes(CLEANUP)


@pytest.mark.parametrize(
    ("name", "wrong", "text", "right"),
    [
        ("interaction_node", {"model": "crystal_ball"}, "crystal_ball", {"model": "persistence"}),
        (
            "head_motion_node",
            {"speaker_model": "/nowhere/voice.safetensors"},
            "/nowhere/voice.safetensors",
            {"speaker_model": ""},
        ),
        (
            "perception_node",
            {"speaking__off": 0.9, "speaking__on": 0.1},
            "speaking.*: need",
            {"speaking__off": 0.1},
        ),
        ("recorder_node", {"output": "/proc/recording"}, "/proc/recording", {}),
    ],
)
def test_what_cannot_be_configured_is_named_and_can_be_put_right(
    stage: Stage, name: str, wrong: dict[str, Any], text: str, right: dict[str, Any], tmp_path: Path
) -> None:
    node = stage.nodes[name]
    assert stage.ear.set_parameters(name, **wrong) == ""
    assert not node.change(CONFIGURE)
    assert node.state() == UNCONFIGURED
    assert stage.complains(name, text)
    assert stage.ear.set_parameters(name, **(right or {"output": str(tmp_path / "recording")})) == ""
    stage.nodes[name].goes(CONFIGURE, CLEANUP)


def test_a_source_that_cannot_be_played_is_named_and_can_be_put_right(stage: Stage) -> None:
    assert stage.ear.set_parameters("media_node", source="/nowhere/talk.mp4") == ""
    stage.nodes["media_node"].goes(CONFIGURE)
    assert not stage.nodes["media_node"].change(ACTIVATE)
    assert stage.nodes["media_node"].state() == INACTIVE
    assert stage.complains("media_node", "/nowhere/talk.mp4")
    assert stage.ear.set_parameters("media_node", source="bundled") == ""
    stage.nodes["media_node"].goes(ACTIVATE, DEACTIVATE, CLEANUP)
