"""Real node processes over loopback, and a plain rclpy listener, for the node tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy


@contextmanager
def node_process(
    name: str, *ros_arguments: str, own: tuple[str, ...] = (), env: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[str]]:
    """Run ``hmgen_ros.nodes.<name>`` as its own process; it is interrupted at the end.

    Args:
        name: of the module.
        ros_arguments: what follows ``--ros-args``.
        own: further arguments, before those.
        env: its environment.
    """
    command = [sys.executable, "-m", f"hmgen_ros.nodes.{name}", *own]
    if ros_arguments:
        command += ["--ros-args", *ros_arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(env))
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


class Listener:
    """A node of the test's own: what a user's plain script would see."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = Node("test_listener")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.received: dict[str, list[Any]] = {}

    def listen(self, message_type: type[Any], topic: str) -> None:
        """Collect a topic, asking for reliable delivery as planners do."""
        self.received[topic] = []
        qos = QoSProfile(depth=500, reliability=ReliabilityPolicy.RELIABLE)
        self.node.create_subscription(message_type, topic, self.received[topic].append, qos)

    def spin_until(self, done: Callable[[], bool], timeout_s: float = 30.0) -> bool:
        """Spin until ``done()``; whether that came in time."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            self._executor.spin_once(timeout_sec=0.05)
            if done():
                return True
        return False

    def finds(self, client: Client) -> bool:
        """Spin until a service can be called, and its answers can come back: it finds us later than we it."""
        found = self.spin_until(client.service_is_ready)
        self.spin_for(1.0)
        return found

    def reaches(self, state: Client, change: Client, transitions: Iterable[int], goal: int) -> bool:
        """Put a lifecycle node through transitions; whether it is in state ``goal`` then.

        An answer may be lost, as the server finds the client later than the client it, so that the node is
        asked for its state rather than for what became of a transition.
        """
        for transition in transitions:
            future = change.call_async(ChangeState.Request(transition=Transition(id=transition)))
            self.spin_until(future.done, 30)
        for _ in range(10):
            answer = state.call_async(GetState.Request())
            if self.spin_until(answer.done, 3) and answer.result().current_state.id == goal:
                return True
        return False

    def spin_for(self, seconds: float) -> None:
        """Spin for so long."""
        self.spin_until(lambda: False, seconds)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown()


@contextmanager
def listener() -> Iterator[Listener]:
    """A listener that is closed at the end."""
    one = Listener()
    try:
        yield one
    finally:
        one.close()
