"""Every node is shut down from every state, as a process; what a recorder has by then is whole.

microphone_node and hri_node cannot be active everywhere: that they shut down from there, too, is tested in
test_microphone_node.py and test_hri_node.py.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Log
from rclpy.qos import QoSProfile
from ros_processes import (
    ACTIVATE,
    ACTIVE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    INACTIVE,
    SHUTDOWN,
    UNCONFIGURED,
    Lifecycle,
    ends_well,
    listener,
    node_process,
)
from rosbags.highlevel import AnyReader
from test_device_nodes import newest, values

from hmgen_ros.message_definitions import typestore
from hmgen_ros.msg import NextSpeaker, People
from hmgen_ros.nodes.image_conversion import stamp_message
from hmgen_ros.types import TICK_HZ, TICK_NS

WAYS = {UNCONFIGURED: (), INACTIVE: (CONFIGURE,), ACTIVE: (CONFIGURE, ACTIVATE)}
#: Messages that a recording holds at least.
FEW = 50
TOGETHER = ("perception_node", "interaction_node", "head_motion_node", "annotator_node")


@pytest.mark.parametrize("state", [UNCONFIGURED, INACTIVE, ACTIVE])
def test_every_node_is_shut_down_from_every_state(state: int, tmp_path: Path) -> None:
    """A node that was shut down is there to be asked, and for nothing else; then its process ends well."""
    own: dict[str, tuple[str, ...]] = {
        "single_process": (),
        "media_node": ("-p", "exit_at_end:=false"),
        "recorder_node": ("-p", f"output:={tmp_path}"),
    }
    if state != ACTIVE:
        own |= {"hri_node": (), "microphone_node": ()}
    with listener() as ear, ExitStack() as stack:
        running = [
            stack.enter_context(node_process(name, "-p", "autostart:=false", *arguments))
            for name, arguments in own.items()
        ]
        names = (*TOGETHER, *(name for name in own if name != "single_process"))
        nodes = {name: Lifecycle(ear, name) for name in names}
        ear.meet(*nodes, state=UNCONFIGURED)
        for name, node in nodes.items():
            node.goes(*WAYS[state], SHUTDOWN[state])
            assert not any(node.change(way) for way in (CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP)), name
        assert all(process.poll() is None for process in running)
        assert [ends_well(process, signal.SIGTERM) for process in running] == [True] * len(running)


def test_a_recording_is_whole_when_its_node_is_shut_down(tmp_path: Path) -> None:
    """From the first message after activation to the shutdown, while messages go on coming."""
    arguments = ("-p", f"output:={tmp_path}", "-p", "video:=false", "-p", "diagnostics_period_s:=0.2")
    with (
        listener() as ear,
        node_process("recorder_node", *arguments, "-p", "autostart:=false") as process,
    ):
        ear.listen(Log, "/rosout")
        ear.listen(DiagnosticArray, "/diagnostics")
        qos = QoSProfile(depth=1000)
        topics: dict[str, type[Any]] = {"people": People, "next_speaker": NextSpeaker}
        senders = {kind: ear.node.create_publisher(kind, topic, qos) for topic, kind in topics.items()}
        recorder = Lifecycle(ear, "recorder_node")
        ear.meet("recorder_node", state=UNCONFIGURED)
        recorder.goes(CONFIGURE, ACTIVATE)
        assert ear.spin_until(lambda: all(one.get_subscription_count() == 1 for one in senders.values()))
        sent = 0

        def send() -> None:
            nonlocal sent
            sent += 1
            for kind, sender in senders.items():
                message = kind()
                message.header.stamp = stamp_message(sent * TICK_NS)
                sender.publish(message)

        timer = ear.node.create_timer(1.0 / TICK_HZ, send)
        assert ear.spin_until(lambda: int(values(newest(ear, "recorder_node")).get("written", 0)) >= FEW)
        recorder.goes(SHUTDOWN[ACTIVE])
        timer.cancel()
        told = f"messages to {tmp_path}"
        assert ear.spin_until(lambda: any(told in one.msg for one in ear.received["/rosout"]))
        count = next(int(one.msg.split()[1]) for one in ear.received["/rosout"] if told in one.msg)
        assert ends_well(process, signal.SIGTERM)
    ticks: dict[str, list[float]] = {f"/{topic}": [] for topic in topics}
    with AnyReader([tmp_path / "bag"], default_typestore=typestore()) as reader:
        for connection, _, data in reader.messages():
            stamp = reader.deserialize(data, connection.msgtype).header.stamp
            ticks[connection.topic].append((stamp.sec * 10**9 + stamp.nanosec) / TICK_NS)
    assert sum(map(len, ticks.values())) == count >= FEW
    for topic, recorded in ticks.items():
        assert recorded == list(range(1, len(recorded) + 1)), topic
