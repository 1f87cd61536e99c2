"""What every process of ours does before, around and after its nodes."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.resources import resource
from hmgen_ros.threads import one_thread_each


def prepare_process() -> None:
    """Settings of our processes: threads and, where the user has not chosen, the environment.

    The environment is local discovery, and shared memory with room for images.
    """
    one_thread_each()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    # Fast DDS 2, of ROS 2 Jazzy and before, reads another name and Fast DDS 3 warns about that one.
    old = os.environ.get("ROS_DISTRO", "") in ("humble", "iron", "jazzy")
    variable = "FASTRTPS_DEFAULT_PROFILES_FILE" if old else "FASTDDS_DEFAULT_PROFILES_FILE"
    os.environ.setdefault(variable, str(resource("config/fastdds_profile.xml")))


def leave() -> None:
    """Shut ROS down so that others see it at once.

    What :func:`hmgen_ros.nodes.memory.settle` keeps is not freed, and a participant that is not freed stays
    in the graph of others for the 20 s of its lease.
    """
    rclpy.try_shutdown()
    gc.unfreeze()


#: What rclpy raises for wrong arguments, names, parameter files and parameters; RCLError is a RuntimeError.
ROS_SETUP_ERRORS = (ParameterException, NameValidationException, RuntimeError)


def one_line(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())


@contextmanager
def ended_by_signals(ended: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set ``ended``, so that nodes end in good order and recordings are complete."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        signal.signal(number, lambda *_: ended.set())
    try:
        yield
    finally:
        # What is left to do takes no time: a second signal must not cut it short.
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


def run_process(serve: Callable[[threading.Event], int], args: list[str] | None = None) -> int:
    """Main of every executable: set up ROS, serve until the event is set, tear down.

    Args:
        serve: makes nodes and spins them; returns the exit code.
        args: command line, None for that of the process.

    Returns:
        What ``serve`` returned; 2 when a parameter has a wrong type or value.
    """
    prepare_process()
    ended = threading.Event()
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        with ended_by_signals(ended):
            return serve(ended)
    except ROS_SETUP_ERRORS as error:
        print(f"hmgen: {one_line(error)}", file=sys.stderr)
        return 2
    finally:
        leave()


def new_executor() -> Executor:
    """What spins the one node of a process; call it with a finite timeout, without one it may never sleep.

    rclpy's executor of events, where there is one (Kilted and later), takes a third off the cost of ROS: the
    other one asks each of some thirty services, timers and handlers of a node again for every message.
    """
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def run_node(make: Callable[[], HmgenNode], args: list[str] | None = None) -> int:
    """Main of a single node: make it, bring it up, spin until a signal comes or its source ends.

    Returns:
        0 after an orderly end, 2 when it could not be made or brought up.
    """

    def serve(ended: threading.Event) -> int:
        node = make()
        node.on_end = ended.set
        if node.param("autostart") and not node.bring_up():
            return 2
        executor = new_executor()
        executor.add_node(node)
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.2)
        node.shut_down()
        return 0

    return run_process(serve, args)
