"""What ``/diagnostics`` says of a node: rates by topic, how many people there are, and what does not come."""

import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from hmgen_ros.msg import People, Person
from hmgen_ros.nodes import diagnosis
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.head_motion_node import HeadMotionNode
from hmgen_ros.nodes.image_conversion import stamp_message
from hmgen_ros.nodes.interaction_node import InteractionNode
from hmgen_ros.nodes.perception_node import PerceptionNode


@pytest.fixture(scope="module", autouse=True)
def _ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


class Watched:
    """A node, what it says of itself, and people to send."""

    def __init__(self, make: Callable[..., HmgenNode], **settings: object) -> None:
        values = {"diagnostics_period_s": 0.2, **settings}
        self.node = make(False, [Parameter(name, value=value) for name, value in values.items()])
        self.watcher, self.executor = Node("watcher"), SingleThreadedExecutor()
        self.said: list[DiagnosticStatus] = []
        self.watcher.create_subscription(
            DiagnosticArray, "/diagnostics", lambda array: self.said.extend(array.status), 10
        )
        self.people = self.watcher.create_publisher(People, "people", 10)
        for one in (self.node, self.watcher):
            self.executor.add_node(one)
        self.tick = 0
        assert self.node.bring_up()

    def send(self) -> None:
        self.tick += 1
        message = People(image_width=640, image_height=480, tick=self.tick, reset=self.tick == 1)
        message.header.stamp = stamp_message(1_000_000_000 + 40_000_000 * self.tick)
        message.people = [Person(id="a"), Person(id="b")]
        self.people.publish(message)

    def until(
        self, wanted: Callable[[DiagnosticStatus], bool], act: Callable[[], None] = lambda: None
    ) -> bool:
        """Spin until the last diagnosis is as wanted; calls ``act`` meanwhile."""
        end = time.monotonic() + 100.0
        while time.monotonic() < end:
            act()
            self.executor.spin_once(timeout_sec=0.02)
            if self.said and wanted(self.said[-1]):
                return True
        return False

    def values(self) -> dict[str, str]:
        return {one.key: one.value for one in self.said[-1].values}

    def close(self) -> None:
        self.node.shut_down()
        for one in (self.node, self.watcher):
            self.executor.remove_node(one)
            one.destroy_node()


def test_silence_is_told_and_people_and_rates_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "SILENCE_S", 0.5)
    watched = Watched(InteractionNode, model="persistence")

    def silent(status: DiagnosticStatus) -> bool:
        return status.message.startswith("nothing comes on /people") and status.level == DiagnosticStatus.WARN

    assert watched.until(silent)

    def flows(status: DiagnosticStatus) -> bool:
        values = {one.key: one.value for one in status.values}
        return status.message == "running" and float(values["rate/predicted_action"]) > 0

    assert watched.until(flows, watched.send)
    values = watched.values()
    assert (values["people"], values["model"], values["device"]) == ("2", "persistence", "cpu")
    assert float(values["rate/next_speaker"]) > 0
    assert float(values["latency_p50_ms"]) != 0
    # It is told again when the publisher falls silent again, and no more once the node is told to rest.
    assert watched.until(silent)
    watched.node.trigger_deactivate()
    assert watched.until(lambda status: status.message == "running")
    watched.close()


def test_two_who_tell_of_people_are_told_of_until_one_stops() -> None:
    watched = Watched(InteractionNode, model="persistence")
    assert watched.until(lambda status: status.message == "running", watched.send)
    rival = watched.watcher.create_publisher(People, "people", 10)
    mixed = "2 publishers mix on /people"
    assert watched.until(lambda status: status.message.startswith(mixed), watched.send)
    assert watched.said[-1].level == DiagnosticStatus.WARN
    watched.watcher.destroy_publisher(rival)
    assert watched.until(lambda status: status.message == "running", watched.send)
    watched.close()


def test_only_what_is_needed_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "SILENCE_S", 0.3)
    perception = Watched(PerceptionNode, active_speaker=False, **{"body.enabled": False})
    assert perception.until(lambda status: status.message.startswith("nothing comes on /image_raw"))
    assert perception.values()["people"] == "0"
    perception.close()
    head = Watched(HeadMotionNode, **{"own_head.enabled": True, "own_head.speech_model": ""})
    assert head.until(lambda _: len(head.said) > 8)
    assert all("nothing comes" not in status.message for status in head.said)
    head.close()
