"""Every transition of every node over the lifecycle services, what can go wrong, and the first output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import State, Transition
from perception_scene import frames
from rcl_interfaces.msg import Log
from ros_processes import Lifecycle, Listener, listener, node_process
from sensor_msgs.msg import Image

from hmgen_ros.msg import HeadMotion, NextSpeaker, People, PredictedInteraction
from hmgen_ros.nodes.adapters import importable
from hmgen_ros.nodes.image_conversion import image_from_frame, stamp_ns
from hmgen_ros.types import TICK_NS, Frame

UNCONFIGURED, INACTIVE = State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE
ACTIVE, FINALIZED = State.PRIMARY_STATE_ACTIVE, State.PRIMARY_STATE_FINALIZED
CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
#: By the state from which.
SHUTDOWN = {
    UNCONFIGURED: Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    INACTIVE: Transition.TRANSITION_INACTIVE_SHUTDOWN,
    ACTIVE: Transition.TRANSITION_ACTIVE_SHUTDOWN,
}
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
        self.nodes = {name: Lifecycle(ear, name) for name in (*TOGETHER, *APART)}

    def goes(self, name: str, *steps: tuple[int, int]) -> None:
        """Put a node through transitions, each with the state that follows."""
        for transition, then in steps:
            assert self.nodes[name].change(transition), f"{name}: {transition}; {self.log(name)}"
            assert self.nodes[name].state() == then, name

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
            stack.enter_context(node_process(name, "-p", "autostart:=false", *arguments))
        stage.ear.meet(*stage.nodes, state=UNCONFIGURED)
        yield stage


def test_the_first_output_belongs_to_the_first_input(stage: Stage) -> None:
    """Models are loaded and warm when a node is active, and nothing is waited for."""
    ear = stage.ear
    for name in TOGETHER:
        stage.goes(name, (CONFIGURE, INACTIVE))
    for name in reversed(TOGETHER):
        stage.goes(name, (ACTIVATE, ACTIVE))
    # Perception and annotator.
    assert ear.spin_until(lambda: stage.images.get_subscription_count() == 2)
    ear.meet(*TOGETHER)
    first = int(ear.node.get_clock().now().nanoseconds)
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
        stage.goes(name, (DEACTIVATE, INACTIVE), (CLEANUP, UNCONFIGURED))


@pytest.mark.parametrize("name", [*TOGETHER, "media_node", "recorder_node"])
def test_every_transition_leads_where_it_should(stage: Stage, name: str, tmp_path: Path) -> None:
    node = stage.nodes[name]
    for wrong in (ACTIVATE, DEACTIVATE, CLEANUP):
        assert not node.change(wrong)
        assert node.state() == UNCONFIGURED
    stage.goes(name, (CONFIGURE, INACTIVE), (CLEANUP, UNCONFIGURED))
    if name == "recorder_node":
        # A recording is not written over.
        assert stage.ear.set_parameters(name, output=str(tmp_path / "second")) == ""
    stage.goes(name, (CONFIGURE, INACTIVE), (ACTIVATE, ACTIVE), (DEACTIVATE, INACTIVE))
    stage.goes(name, (ACTIVATE, ACTIVE), (DEACTIVATE, INACTIVE), (CLEANUP, UNCONFIGURED))


def test_what_a_machine_lacks_leaves_a_node_inactive(stage: Stage) -> None:
    """No microphone, no ROS4HRI: each says so, and can be asked again."""
    stage.goes("microphone_node", (CONFIGURE, INACTIVE))
    assert stage.ear.set_parameters("microphone_node", device="no such device", wait_for_device=False) == ""
    assert not stage.nodes["microphone_node"].change(ACTIVATE)
    assert stage.nodes["microphone_node"].state() == INACTIVE
    assert stage.complains("microphone_node", "no microphone")
    stage.goes("hri_node", (CONFIGURE, INACTIVE))
    if not importable("hri_msgs") and not importable("tf2_msgs"):
        assert not stage.nodes["hri_node"].change(ACTIVATE)
        assert stage.complains("hri_node", "needs hri_msgs")
    for name in ("microphone_node", "hri_node"):
        stage.goes(name, (CLEANUP, UNCONFIGURED))


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
    stage.goes(name, (CONFIGURE, INACTIVE), (CLEANUP, UNCONFIGURED))


def test_a_source_that_cannot_be_played_is_named_and_can_be_put_right(stage: Stage) -> None:
    assert stage.ear.set_parameters("media_node", source="/nowhere/talk.mp4") == ""
    stage.goes("media_node", (CONFIGURE, INACTIVE))
    assert not stage.nodes["media_node"].change(ACTIVATE)
    assert stage.nodes["media_node"].state() == INACTIVE
    assert stage.complains("media_node", "/nowhere/talk.mp4")
    assert stage.ear.set_parameters("media_node", source="bundled") == ""
    stage.goes("media_node", (ACTIVATE, ACTIVE), (DEACTIVATE, INACTIVE), (CLEANUP, UNCONFIGURED))


def test_nodes_shut_down_from_whichever_state(stage: Stage) -> None:
    """The last test: there is no way back."""
    to_active = ((CONFIGURE, INACTIVE), (ACTIVATE, ACTIVE))
    ways: dict[str, tuple[int, tuple[tuple[int, int], ...]]] = {
        "annotator_node": (UNCONFIGURED, ()),
        "hri_node": (UNCONFIGURED, ()),
        "microphone_node": (INACTIVE, to_active[:1]),
        "interaction_node": (INACTIVE, to_active[:1]),
        "head_motion_node": (ACTIVE, to_active),
        "perception_node": (ACTIVE, to_active),
        "media_node": (ACTIVE, to_active),
    }
    for name, (state, steps) in ways.items():
        stage.goes(name, *steps, (SHUTDOWN[state], FINALIZED))
    assert not stage.nodes["media_node"].change(CONFIGURE)
