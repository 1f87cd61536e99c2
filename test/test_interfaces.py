"""The listed topics and services are those of the running nodes, and the security policy allows just them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import rclpy
import torch
from rclpy.node import Node
from rclpy.parameter import Parameter

from hmgen_ros.nodes.annotator_node import AnnotatorNode
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.head_motion_node import HeadMotionNode
from hmgen_ros.nodes.interaction_node import InteractionNode
from hmgen_ros.nodes.interfaces import (
    COMMON_PUBLISHED,
    COMMON_SERVICES,
    COMMON_SUBSCRIBED,
    absolute,
    load_interfaces,
)
from hmgen_ros.nodes.media_node import MediaNode
from hmgen_ros.nodes.microphone_node import MicrophoneNode
from hmgen_ros.nodes.perception_node import PerceptionNode
from hmgen_ros.nodes.recorder_node import RecorderNode
from hmgen_ros.nodes.security_policy import PolicyOptions, policy, write_policy
from hmgen_ros.resources import resource

INTERFACES = {node.node: node for node in load_interfaces()}
#: Settings under which a node has what it can have, and what it then has not.
COMPRESSED = {"image_transport": "compressed"}
RAW_ONLY, COMPRESSED_ONLY = {"image_raw/compressed"}, {"image_raw"}
NODES: list[tuple[type[HmgenNode], dict[str, Any], set[str]]] = [
    (MediaNode, {"publish_clock": True}, set()),
    (MicrophoneNode, {}, set()),
    (PerceptionNode, {}, RAW_ONLY),
    (PerceptionNode, COMPRESSED, COMPRESSED_ONLY),
    (InteractionNode, {}, set()),
    (
        HeadMotionNode,
        {"own_head.enabled": True, "robot_head.yaw.joint": "neck", "speaker_model": "speech_driven"},
        set(),
    ),
    (AnnotatorNode, {}, RAW_ONLY),
    (AnnotatorNode, COMPRESSED, COMPRESSED_ONLY),
    (RecorderNode, {}, set()),
]


@pytest.fixture(scope="module", autouse=True)
def ros() -> Iterator[None]:
    torch.set_num_threads(1)
    rclpy.init()
    yield
    rclpy.shutdown()


def allowed(text: str) -> dict[tuple[str, str, str], set[str]]:
    """Names by node, kind and right, of the profiles of the nodes' own enclaves."""
    found = {}
    for enclave in Xml.fromstring(text).iter("enclave"):
        for profile in enclave.iter("profile"):
            if not enclave.get("path", "").endswith("/" + profile.get("node", "")):
                continue
            for listed in profile:
                ((right, rule),) = listed.items()
                assert rule == "ALLOW"
                found[profile.get("node", ""), listed.tag, right] = {str(one.text) for one in listed}
    return found


@pytest.mark.parametrize(("kind", "settings", "absent"), NODES)
def test_listed_interfaces_are_those_of_the_running_node(
    kind: type[HmgenNode], settings: dict[str, Any], absent: set[str], tmp_path: Path
) -> None:
    if kind is RecorderNode:
        settings = {"output": str(tmp_path / "recording")}
    node = kind(False, [Parameter(name, value=value) for name, value in settings.items()])
    watcher = Node("watcher")
    try:
        # Everybody but the microphone must start here; its publisher is there in any case.
        assert node.bring_up() or kind is MicrophoneNode
        name, listed = node.get_name(), INTERFACES[node.get_name()]
        wanted = {absolute(i.name, name) for i in listed.publishes if i.name not in absent}
        # The graph learns of a topic a moment after it is there.
        until = time.monotonic() + 60.0
        while not wanted <= set(dict(node.get_publisher_names_and_types_by_node(name, "/"))):
            assert time.monotonic() < until, f"{name} does not publish all of {wanted}"
            time.sleep(0.05)
        published = dict(node.get_publisher_names_and_types_by_node(name, "/"))
        subscribed = dict(node.get_subscriber_names_and_types_by_node(name, "/"))
        served = dict(node.get_service_names_and_types_by_node(name, "/"))
    finally:
        node.shut_down()
        node.destroy_node()
        left = watcher.get_node_names()
        watcher.destroy_node()
    assert left == ["watcher"], "a node that is destroyed leaves the graph, before it is collected as garbage"
    actions = {topic for topic in (*published, *served) if "/_action/" in topic}
    assert {action.split("/_action/")[0] for action in actions} == {
        absolute(i.name, name) for i in listed.actions
    }
    for real, entries, common in (
        (published, listed.publishes, COMMON_PUBLISHED),
        (subscribed, listed.subscribes, COMMON_SUBSCRIBED),
        (served, listed.services, COMMON_SERVICES),
    ):
        beside = {absolute(one, name) for one in common}
        own = {topic: types for topic, types in real.items() if topic not in beside | actions}
        assert own == {absolute(i.name, name): [i.type] for i in entries if i.name not in absent}


def test_the_policy_allows_what_is_listed_and_nothing_else() -> None:
    rights = allowed(policy("robot1"))
    for node in INTERFACES.values():
        for key, entries, common in (
            (("topic", "publish"), node.publishes, COMMON_PUBLISHED),
            (("topic", "subscribe"), node.subscribes, COMMON_SUBSCRIBED),
            (("service", "reply"), node.services, COMMON_SERVICES),
            (("action", "execute"), node.actions, ()),
        ):
            wanted = {absolute(n, node.node, "/robot1") for n in (*(i.name for i in entries), *common)}
            assert rights.get((node.node, f"{key[0]}s", key[1]), set()) == wanted
    assert not any("*" in name for names in rights.values() for name in names)


def test_one_enclave_holds_all_nodes_of_a_single_process() -> None:
    enclaves = {e.get("path"): len(list(e.iter("profile"))) for e in Xml.fromstring(policy()).iter("enclave")}
    assert enclaves["/hmgen_ros/single_process"] == len(INTERFACES)
    assert len(enclaves) == len(INTERFACES) + 1


def test_the_shipped_policy_is_up_to_date() -> None:
    assert resource("config/sros2_policy.xml").read_text(encoding="utf-8") == policy()


def test_other_topic_names_are_allowed_instead(tmp_path: Path) -> None:
    out = tmp_path / "policy.xml"
    write_policy(PolicyOptions("robot1", remap=("image_raw=/camera/image_raw", "audio=mic"), out=out))
    names = allowed(out.read_text())["perception_node", "topics", "subscribe"]
    assert {"/camera/image_raw", "/robot1/mic"} <= names
    assert not {"/robot1/image_raw", "/robot1/audio"} & names
    for wrong in ("image_raw", "image=/x", "audio="):
        with pytest.raises(ValueError, match="--remap"):
            write_policy(PolicyOptions(remap=(wrong,), out=out))
