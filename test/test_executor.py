"""What spins a node of its own process: messages, services, timers, in ROS' time, too; defects come out."""

import sys
import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from lifecycle_msgs.srv import GetState
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from hmgen_ros.nodes.process import new_executor

ENOUGH_S = 30.0


@pytest.fixture(autouse=True)
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


def spin_until(executor: Executor, done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + ENOUGH_S
    while not done() and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)
    return done()


def test_messages_services_and_defects() -> None:
    node, other, heard = Node("node"), Node("other"), []
    node.create_subscription(String, "talk", lambda message: heard.append(message.data), 10)
    publisher = other.create_publisher(String, "talk", 10)
    service = node.create_service(GetState, "ask", lambda _, answer: answer)
    client = other.create_client(GetState, "ask")
    executor = new_executor()
    executor.add_node(node)
    executor.add_node(other)
    assert spin_until(executor, lambda: publisher.get_subscription_count() > 0 and client.service_is_ready())
    for word in ("one", "two"):
        publisher.publish(String(data=word))
    assert spin_until(executor, lambda: heard == ["one", "two"])
    answer = client.call_async(GetState.Request())
    assert spin_until(executor, answer.done)
    node.destroy_service(service)

    def defect() -> None:
        raise KeyError("defect")

    node.create_timer(0.01, defect)
    with pytest.raises(KeyError, match="defect"):
        spin_until(executor, lambda: False)


def test_timers_follow_simulated_time() -> None:
    node = Node("node", parameter_overrides=[Parameter("use_sim_time", value=True)])
    player, called = Node("player"), []
    clock = player.create_publisher(Clock, "/clock", 10)
    node.create_timer(0.04, lambda: called.append(node.get_clock().now().nanoseconds))
    executor = new_executor()
    executor.add_node(node)
    assert spin_until(executor, lambda: clock.get_subscription_count() > 0)
    for start in (100, 50):  # time that jumps back is gone on with
        called.clear()
        for tick in range(100):
            message = Clock()
            message.clock.sec, message.clock.nanosec = start + tick // 50, tick % 50 * 20_000_000
            clock.publish(message)
            now = message.clock.sec * 1_000_000_000 + message.clock.nanosec
            assert spin_until(executor, lambda now=now: node.get_clock().now().nanoseconds == now)
        # Each call once more where the clock was ahead of it.
        assert 40 <= len(called) <= 55
    count = len(called)
    for _ in range(3):
        executor.spin_once(timeout_sec=0.05)
    assert len(called) - count <= 1


def test_without_events_there_is_the_executor_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rclpy.experimental.events_executor", None)
    assert isinstance(new_executor(), SingleThreadedExecutor)
