"""The listed topics and services are those of the running nodes, and the security policy allows just them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
import rclpy
import torch
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from hmgen_ros.msg import People, Person
from hmgen_ros.nodes.adapters import importable
from hmgen_ros.nodes.annotator_node import AnnotatorNode
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.head_motion_node import HeadMotionNode
from hmgen_ros.nodes.hri_node import HriNode
from hmgen_ros.nodes.image_conversion import stamp_message
from hmgen_ros.nodes.interaction_node import InteractionNode
from hmgen_ros.nodes.interfaces import (
    ANY_ID,
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
from hmgen_ros.nodes.security_policy import OTHERS_IDS, OWN_IDS, PolicyOptions, policy, write_policy
from hmgen_ros.perception.track import IdSource
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
    (RecorderNode, {"image_transport": "raw"}, RAW_ONLY),
    (RecorderNode, COMPRESSED, COMPRESSED_ONLY),
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
        settings = {**settings, "output": str(tmp_path / "recording")}
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


@pytest.mark.skipif(
    not importable("hri_msgs") or not importable("tf2_msgs"), reason="needs ROS4HRI's messages"
)
@pytest.mark.parametrize("direction", ["out", "in"])
def test_listed_topics_of_ros4hri_are_those_of_the_running_node(direction: str) -> None:
    """Of a person whom another one turned out to be."""
    import hri_msgs.msg as hri

    node, friend = HriNode([Parameter("direction", value=direction)]), rclpy.create_node("friend")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(friend)
    people = friend.create_publisher(People, "people", 1)
    lists = [
        friend.create_publisher(hri.IdsList, f"/humans/{kind}/tracked", 1)
        for kind in ("faces", "voices", "persons")
    ]
    seen = Person(id="annaa", face_visible=True)
    seen.face.pixels[:] = np.tile(np.linspace(10, 90, 68, dtype=np.float32), 2)
    message = People(
        people=[seen], image_width=100, image_height=100, alias_ids=["annab"], alias_of=["annaa"]
    )
    real: dict[str, dict[str, list[str]]] = {}
    try:
        assert node.bring_up()
        until = time.monotonic() + 20.0
        while real != _listed_for(direction) and time.monotonic() < until:
            message.header.stamp = stamp_message(friend.get_clock().now().nanoseconds)
            people.publish(message)
            for publisher in lists:
                publisher.publish(hri.IdsList(ids=["annaa"]))
            executor.spin_once(timeout_sec=0.05)
            real = {
                "publishes": dict(node.get_publisher_names_and_types_by_node("hri_node", "/")),
                "subscribes": dict(node.get_subscriber_names_and_types_by_node("hri_node", "/")),
            }
            for kind, common in (("publishes", COMMON_PUBLISHED), ("subscribes", COMMON_SUBSCRIBED)):
                beside = {absolute(one, "hri_node") for one in common}
                names = {re.sub("anna[ab]", ANY_ID, n): t for n, t in real[kind].items() if n not in beside}
                real[kind] = names
    finally:
        executor.shutdown()
        for one in (node, friend):
            one.destroy_node()
    assert real == _listed_for(direction)


def _listed_for(direction: str) -> dict[str, dict[str, list[str]]]:
    """What hri_node is listed to have that goes one way, absolute name to types."""
    node = INTERFACES["hri_node"]
    other = {"in": "direction: out", "out": "direction: in"}[direction]
    # Frames of faces come of our own people.
    absent = {"/tf"} if direction == "in" else set()
    return {
        kind: {
            absolute(i.name, "hri_node"): [i.type]
            for i in getattr(node, kind)
            if i.when != other and i.name not in absent
        }
        for kind in ("publishes", "subscribes")
    }


def test_the_policy_allows_what_is_listed_and_nothing_else() -> None:
    rights = allowed(policy("robot1"))
    for node in INTERFACES.values():
        acted = [i.name for i in node.actions]
        for key, entries, common in (
            (("topics", "publish"), node.publishes, (*COMMON_PUBLISHED, *acted)),
            (("topics", "subscribe"), node.subscribes, COMMON_SUBSCRIBED),
            (("services", "reply"), node.services, (*COMMON_SERVICES, *acted)),
        ):
            names = {*(i.name for i in entries), *common}
            if key[1] != "subscribe":
                names = {"~/*" if name.startswith("~/") else name for name in names}
            ids = OWN_IDS if key[1] == "publish" else OTHERS_IDS
            wanted = {absolute(name, node.node, "/robot1").replace(ANY_ID, ids) for name in names}
            assert rights.pop((node.node, *key)) == wanted
    assert not rights


def test_patterns_stand_for_a_node_s_own_names_or_ids_of_ros4hri() -> None:
    """DDS-Security matches names of topics by fnmatch, in which an asterisk also takes slashes."""
    rights = allowed(policy("robot1"))
    for (node, _, right), names in rights.items():
        for name in names - ({f"/robot1/{node}/*"} if right in ("publish", "reply") else set()):
            if not set("*?[") & set(name):
                continue
            assert (node, name.startswith("/humans/")) == ("hri_node", True)
            assert "*" not in name or right == "subscribe"
            before, after = name.split(OWN_IDS if right == "publish" else OTHERS_IDS)
            assert not set("*?[") & set(before + after)
            assert before.endswith("/")
            assert after.startswith("/")
    (ours,) = (name for name in rights["hri_node", "topics", "publish"] if name.endswith("/roi"))
    (theirs,) = (name for name in rights["hri_node", "topics", "subscribe"] if name.endswith("/landmarks"))
    new_id = IdSource(None)
    assert all(fnmatchcase(f"/humans/faces/{new_id()}/roi", ours) for _ in range(50))
    for other in ("abcd", "abcdef", "ABCDE", "a/b/c", "abcde/roi/x"):
        assert not fnmatchcase(f"/humans/faces/{other}/roi", ours)
    assert fnmatchcase("/humans/faces/f_17/landmarks", theirs)
    for topic in ("/humans/faces/f_17/roi", "/humans/persons/f_17/landmarks", "/humans/faces/landmarks"):
        assert not fnmatchcase(topic, theirs)


def test_permissions_fit_into_what_fast_dds_sends_when_processes_meet() -> None:
    """Signed permissions have some 2600 bytes, and a line for each right and name."""
    tree = Xml.fromstring(policy("robots/alpha_one", planners=["turn_taker"]))
    for enclave in tree.iter("enclave"):
        rights = {
            (right, str(one.text))
            for kind in ("topics", "services", "actions")
            for listed in enclave.iter(kind)
            for right in listed.attrib
            for one in listed
        }
        # A service is two topics, and an action eight.
        lines = {"publish": 1, "subscribe": 1, "reply": 2, "request": 2, "call": 8}
        size = 2_600 + sum(lines[right] * (35 + len(name)) for right, name in rights)
        assert size < 6_000, enclave.get("path")


def test_one_enclave_holds_all_nodes_of_a_single_process() -> None:
    enclaves = {e.get("path"): len(list(e.iter("profile"))) for e in Xml.fromstring(policy()).iter("enclave")}
    # hri_node has a process of its own in any case.
    assert enclaves["/hmgen_ros/single_process"] == len(INTERFACES) - 1
    assert len(enclaves) == len(INTERFACES) + 1


def test_the_shipped_policy_is_up_to_date() -> None:
    assert resource("config/sros2_policy.xml").read_text(encoding="utf-8") == policy()


def test_other_topic_names_are_allowed_instead(tmp_path: Path) -> None:
    out = tmp_path / "policy.xml"
    remap = ("image_raw=/camera/image_raw", "audio=mic", "~/joint_trajectory=/neck/joint_trajectory")
    write_policy(PolicyOptions("robot1", remap=remap, out=out))
    rights = allowed(out.read_text())
    names = rights["perception_node", "topics", "subscribe"]
    assert {"/camera/image_raw", "/robot1/mic"} <= names
    assert not {"/robot1/image_raw", "/robot1/audio"} & names
    assert "/neck/joint_trajectory" in rights["head_motion_node", "topics", "publish"]
    for wrong in ("image_raw", "image=/x", "audio="):
        with pytest.raises(ValueError, match="--remap"):
            write_policy(PolicyOptions(remap=(wrong,), out=out))


def test_a_planner_hears_forecasts_and_asks_but_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "policy.xml"
    write_policy(PolicyOptions("robot1", planner=("turn_taker",), out=out))
    rights = {key[1:]: names for key, names in allowed(out.read_text()).items() if key[0] == "turn_taker"}
    assert {"/robot1/people", "/robot1/next_speaker", "/robot1/recording"} <= rights["topics", "subscribe"]
    assert not {name for name in rights["topics", "subscribe"] if set("*?[") & set(name) or "image" in name}
    assert rights["topics", "publish"] == {"/robot1/turn_taker/*", "/rosout", "/parameter_events"}
    assert rights["services", "reply"] == {"/robot1/turn_taker/*"}
    assert rights["services", "request"] == {"/robot1/interaction_node/predict_interaction"}
    assert rights["actions", "call"] == {"/robot1/head_motion_node/generate_head_motion"}
    for wrong in ("perception_node", "single_process", "../other", "*", ""):
        with pytest.raises(ValueError, match="--planner"):
            write_policy(PolicyOptions(planner=(wrong,), out=out))
