"""Real node processes over loopback, and a plain rclpy listener, for the node tests.

Nothing in them may depend on how busy the machine is: a test waits for what it needs, as long as that takes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy

from hmgen_ros.message_reading import stamp_ns
from hmgen_ros.types import TICK_NS

#: Seconds for what takes a few of them on an idle machine.
PATIENCE_S = 150.0
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
#: The state that a transition ends in where it succeeds.
LEADS_TO = {
    CONFIGURE: INACTIVE,
    ACTIVATE: ACTIVE,
    DEACTIVATE: INACTIVE,
    CLEANUP: UNCONFIGURED,
    **dict.fromkeys(SHUTDOWN.values(), FINALIZED),
}


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
        _interrupt(process)
        if process.stderr is not None and not process.stderr.closed:
            # Shown by pytest where the test fails.
            print(f"--- {name}:", process.stderr.read(), sep="\n", file=sys.stderr)


def kill(process: subprocess.Popen[str]) -> None:
    """As the kernel does when memory runs out: no handler of the process runs."""
    process.kill()
    process.wait(timeout=PATIENCE_S)


def ends_well(process: subprocess.Popen[str], by: signal.Signals) -> bool:
    """Whether a process that has been up ends in good order when it is told to."""
    process.send_signal(by)
    return process.wait(timeout=PATIENCE_S) == 0


def open_files(process: int) -> set[Path]:
    """What a process has open, by what Linux tells of it."""
    found = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        # It may have been closed since it was listed.
        with suppress(FileNotFoundError):
            found.add(descriptor.readlink())
    return found


def _interrupt(process: subprocess.Popen[str]) -> None:
    """End a process as Ctrl-C does; one that had not begun to listen for that may need it again."""
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            if time.monotonic() > until:
                process.kill()
                raise


@dataclass(frozen=True)
class Refusal:
    """How a node ended that could not start: its exit code and what it wrote."""

    code: int
    said: str


def refusals(attempts: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], Refusal]:
    """Start nodes that cannot start, all at once, for each takes seconds to load.

    Args:
        attempts: of each the module and parameters, such as ``model:=nothing``.
    """
    with ExitStack() as stack:
        started = {}
        for name, *settings in attempts:
            arguments = [part for setting in settings for part in ("-p", setting)]
            started[name, *settings] = stack.enter_context(node_process(name, *arguments))
        said = {key: process.communicate(timeout=PATIENCE_S)[1] for key, process in started.items()}
        return {key: Refusal(process.returncode, said[key]) for key, process in started.items()}


class Listener:
    """A node of the test's own: what a user's plain script would see."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = Node("test_listener")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.received: dict[str, list[Any]] = {}
        self._answered: set[Client] = set()
        self._setters: dict[str, Client] = {}

    def listen(self, message_type: type[Any], topic: str) -> None:
        """Collect a topic, asking for reliable delivery as planners do."""
        self.received[topic] = []
        qos = QoSProfile(depth=500, reliability=ReliabilityPolicy.RELIABLE)
        self.node.create_subscription(message_type, topic, self.received[topic].append, qos)

    def spin_until(self, done: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
        """Spin until ``done()``; whether that came in time."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            self._executor.spin_once(timeout_sec=0.05)
            if done():
                return True
        return False

    def first_from(self, topic: str, time_ns: int) -> Any:
        """The first message of a topic that is stamped with this time or a later one, as soon as it comes."""

        def found() -> Iterator[Any]:
            return (one for one in self.received[topic] if stamp_ns(one.header.stamp) >= time_ns)

        assert self.spin_until(lambda: any(True for _ in found())), f"nothing new on {topic}"
        return next(found())

    def now_ns(self) -> int:
        """Present time of the clock that stamps follow, nanoseconds."""
        return int(self.node.get_clock().now().nanoseconds)

    def spin_for(self, seconds: float) -> None:
        """Spin for so long."""
        self.spin_until(lambda: False, seconds)

    def ask(self, client: Client, question: Any) -> Any:
        """The answer of a service.

        A server finds a new client later than the client it, and what it answers to whom it has not found is
        lost. So the question is repeated until there is a first answer: it must be one that changes nothing.
        """
        assert self.spin_until(client.service_is_ready), f"there is no {client.srv_name}"
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            future = client.call_async(question)
            if self.spin_until(future.done, PATIENCE_S if client in self._answered else 5.0):
                self._answered.add(client)
                return future.result()
            client.remove_pending_request(future)
        raise AssertionError(f"no answer of {client.srv_name}")

    def meet(self, *nodes: str, state: int = ACTIVE) -> None:
        """Wait until nodes are in a state, and know every topic and service that this one has by now.

        Discovery keeps its order: whoever's answer arrives has found what was there before the question.
        """
        for name in nodes:
            lifecycle = Lifecycle(self, name)
            assert self.spin_until(lambda one=lifecycle: one.state() == state), f"{name} is in another state"

    def set_parameters(self, node: str, **values: Any) -> str:
        """Set parameters of a node together; why that is refused, empty where it is not.

        Args:
            node: name of the node.
            values: by name, with ``__`` for a dot.
        """
        if node not in self._setters:
            topic = f"{node}/set_parameters_atomically"
            self._setters[node] = self.node.create_client(SetParametersAtomically, topic)
        wanted = [Parameter(key.replace("__", "."), value=value) for key, value in values.items()]
        request = SetParametersAtomically.Request(parameters=[one.to_parameter_msg() for one in wanted])
        # Setting the same again is the same, so that this may be asked again.
        result = self.ask(self._setters[node], request).result
        assert result.successful == (not result.reason)
        return str(result.reason)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown()


class Lifecycle:
    """The state of a node, asked and changed by its services."""

    def __init__(self, ear: Listener, node: str) -> None:
        self._ear, self._name = ear, node
        self._get = ear.node.create_client(GetState, f"{node}/get_state")
        self._change = ear.node.create_client(ChangeState, f"{node}/change_state")

    def state(self) -> int:
        """Its present state."""
        return int(self._ear.ask(self._get, GetState.Request()).current_state.id)

    def change(self, transition: int) -> bool:
        """Put it through a transition; whether that succeeded."""
        # Nothing comes of the first question but that the two have found each other.
        self._ear.ask(self._change, ChangeState.Request(transition=Transition(label="none of this name")))
        answer = self._ear.ask(self._change, ChangeState.Request(transition=Transition(id=transition)))
        return bool(answer.success)

    def goes(self, *transitions: int) -> None:
        """Put it through transitions, each of which succeeds."""
        for transition in transitions:
            assert self.change(transition), f"{self._name}: transition {transition} fails"
            assert self.state() == LEADS_TO[transition], self._name

    def tells_at_once(self, topic: str) -> None:
        """Activate the inactive node again and again until the first message is of the tick after activation.

        A busy machine may hold up what it waits for, so that one activation of several is to be as fast.
        """

        def is_soon() -> bool:
            asked = self._ear.now_ns()
            self.goes(ACTIVATE)
            active = self._ear.now_ns()
            first = self._ear.first_from(topic, asked)
            self.goes(DEACTIVATE)
            return stamp_ns(first.header.stamp) <= active + TICK_NS

        assert any(is_soon() for _ in range(20)), f"{self._name} is late with {topic}"


@contextmanager
def listener() -> Iterator[Listener]:
    """A listener that is closed at the end."""
    one = Listener()
    try:
        yield one
    finally:
        one.close()
