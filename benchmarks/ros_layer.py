"""What ROS costs our nodes beside their own work: conversion, publication, executor, middleware.

    python benchmarks/ros_layer.py [--people 4] [--seconds 20] [--json OUT]

Perception, interaction and head-motion node run as processes of their own, as they are installed. Images of
so many people and sound come over topics, and a process that stands for a planner subscribes to every
forecast. Processor time is counted in each node:

- own work: the thread that runs the executor while it is inside ``PerceptionStream``, ``GroupForecaster`` or
  ``HeadForecaster``, and the threads that these have started;
- ROS layer: the rest of the executor's thread (messages to types and back, checks, publication, waiting,
  timers, diagnostics), and all threads that Python has not started: those of the middleware.

What a node takes while nothing comes (``idle``, ms a second) is measured first, and is what a second costs
whatever the rate; the rest is a tick's, times 25. So the share of a core at 25 Hz is known also where other
programs leave too little of the machine for 25 Hz; images then come as fast as they are perceived.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import rclpy
import torch
from perception_load import CHUNK, images, sound
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rich.console import Console
from rich.table import Table
from sensor_msgs.msg import Image

from hmgen_ros.evaluation.machine import machine
from hmgen_ros.generators.group_forecaster import GroupForecaster
from hmgen_ros.generators.head_forecaster import HeadForecaster
from hmgen_ros.msg import AudioFrame, HeadMotion, NextSpeaker, People, PredictedAction, PredictedInteraction
from hmgen_ros.nodes import head_motion_node, interaction_node, perception_node
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.conversions import audio_message
from hmgen_ros.nodes.image_conversion import image_from_frame
from hmgen_ros.nodes.process import prepare_process, run_node
from hmgen_ros.nodes.qos import PREDICTIONS, SENSOR_OUT, SOUND_OUT
from hmgen_ros.perceiving import PerceptionStream
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.types import TICK_HZ, TICK_NS, AudioChunk, Frame

#: Per cent of one core, all nodes together.
TARGET = 15.0
#: Ticks before counting begins: people become known, and caches warm.
SETTLE = 75
#: Seconds without any input.
IDLE_S = 10.0
#: Nodes by the methods that are their own work, the first of which is a tick.
NODES: dict[str, tuple[Callable[[], HmgenNode], type[Any], tuple[str, ...]]] = {
    "perception_node": (perception_node.PerceptionNode, PerceptionStream, ("perceive", "hear")),
    "interaction_node": (interaction_node.InteractionNode, GroupForecaster, ("observe",)),
    "head_motion_node": (head_motion_node.HeadMotionNode, HeadForecaster, ("observe",)),
}


class Meter:
    """Counts the processor time of a node's process by what it was for.

    Attributes:
        node: that is measured, once it is made.
    """

    def __init__(self, ticks: int) -> None:
        """Of so many ticks, after :data:`SETTLE`."""
        self.node: HmgenNode | None = None
        self._own_s, self._ticks, self._wanted = 0.0, 0, ticks
        self._executor = threading.get_native_id()
        self._began: dict[str, float] = {}

    def watch(self, owner: type[Any], names: tuple[str, ...]) -> None:
        """Count what these methods cost; the first one is called once a tick."""
        for name in names:
            setattr(owner, name, self._counted(getattr(owner, name), name == names[0]))

    def idle(self) -> None:
        """Tell what is spent while nothing comes, once the node is active."""
        while self.node is None or not self.node.active:
            time.sleep(0.1)
        time.sleep(2.0)
        began = self._spent()
        time.sleep(IDLE_S)
        _tell("idle", began, self._spent(), 1.0)

    def _counted(self, method: Callable[..., Any], is_tick: bool) -> Callable[..., Any]:
        @functools.wraps(method)
        def counted(*arguments: Any, **named: Any) -> Any:
            begun = time.thread_time()
            result = method(*arguments, **named)
            self._own_s += time.thread_time() - begun
            if is_tick and result is not None:
                self._tick()
            return result

        return counted

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks == SETTLE:
            self._began = self._spent()
        elif self._ticks == SETTLE + self._wanted:
            _tell("busy", self._began, self._spent(), float(self._wanted))
            if self.node is not None:
                self.node.on_end()

    def _spent(self) -> dict[str, float]:
        """Seconds so far: of the clock, and of the process by what they were for."""
        ours = {thread.native_id for thread in threading.enumerate()} - {self._executor}
        threads = {t.id: t.user_time + t.system_time for t in psutil.Process().threads()}
        executor = threads.pop(self._executor)
        return {
            "clock": time.monotonic(),
            "own": self._own_s + sum(s for i, s in threads.items() if i in ours),
            "executor": executor - self._own_s,
            "middleware": sum(s for i, s in threads.items() if i not in ours),
        }


def _tell(what: str, began: dict[str, float], ended: dict[str, float], ticks: float) -> None:
    """One line of JSON: seconds of the clock, and ms of each part, a tick or for ``idle`` a second."""
    clock = ended.pop("clock") - began["clock"]
    per = ticks if what == "busy" else clock
    spent = {name: 1e3 * (value - began[name]) / per for name, value in ended.items()}
    print(json.dumps({"what": what, "hz": ticks / clock, **spent}), flush=True)


def serve(name: str, ticks: int) -> int:
    """Run one node until it has been measured."""
    torch.set_num_threads(1)  # as the node's own main does
    make, owner, methods = NODES[name]
    meter = Meter(ticks)

    def measured() -> HmgenNode:
        meter.node = make()
        # What warming up costs is not counted, so methods are watched once the node is made.
        meter.watch(owner, methods)
        return meter.node

    threading.Thread(target=meter.idle, daemon=True).start()
    return run_node(measured, [])


class Surroundings(Node):
    """Camera, microphone and planner around the nodes."""

    def __init__(self) -> None:
        super().__init__("surroundings")
        self._images = self.create_publisher(Image, "image_raw", SENSOR_OUT)
        self._sound = self.create_publisher(AudioFrame, "audio", SOUND_OUT)
        self.people = self.ticks = self.received = 0
        self._stamp = self.get_clock().now().nanoseconds
        self.create_subscription(People, "people", self._on_people, PREDICTIONS)
        for kind, topic in (
            (PredictedAction, "predicted_action"),
            (PredictedInteraction, "predicted_interaction"),
            (NextSpeaker, "next_speaker"),
            (HeadMotion, "head_motion"),
        ):
            self.create_subscription(kind, topic, self._on_forecast, PREDICTIONS)

    def _on_people(self, message: People) -> None:
        self.ticks, self.people = self.ticks + 1, len(message.people)

    def _on_forecast(self, _: Any) -> None:
        self.received += 1

    def show(self, picture: Any, samples: Any) -> None:
        """Publish one tick: stamped 40 ms after the last one, however long that has been."""
        self._stamp += TICK_NS
        self._sound.publish(audio_message(AudioChunk(self._stamp, samples, SAMPLE_RATE), "microphone"))
        self._images.publish(image_from_frame(Frame(self._stamp, picture)))


def play(people: int, nodes: list[subprocess.Popen[str]]) -> int:
    """Show people until every node has ended; returns how many were perceived."""
    pictures, voice, most = list(images(people, 20.0)), sound(20.0), 0
    rclpy.init()
    world = Surroundings()
    executor = SingleThreadedExecutor()
    executor.add_node(world)
    tick, due, answered = 0, time.monotonic(), -1
    while any(node.poll() is None for node in nodes):
        executor.spin_once(timeout_sec=max(min(due - time.monotonic(), 0.02), 0.0))
        now = time.monotonic()
        # The next image where the last one has been perceived; a lost one is not waited for.
        if now >= due and (world.ticks != answered or now >= due + 1.0):
            place = tick % len(pictures)
            world.show(pictures[place], voice[place * CHUNK : (place + 1) * CHUNK])
            tick, due, answered = tick + 1, max(due + 1 / TICK_HZ, now), world.ticks
        most = max(most, world.people)
    rclpy.shutdown()
    return most


def measure(people: int, seconds: float) -> dict[str, Any]:
    """Start the nodes, play, and collect what they have counted."""
    # A domain of our own; nodes on this machine that are not ours stay out of it.
    os.environ |= {"ROS_DOMAIN_ID": str(1 + os.getpid() % 101)}
    prepare_process()
    command = [sys.executable, __file__, "--seconds", str(seconds), "--node"]
    nodes = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in NODES]
    try:
        idle = [json.loads(_line(node)) for node in nodes]
        seen = play(people, nodes)
        busy = [json.loads(_line(node)) for node in nodes]
    finally:
        for node in nodes:
            node.terminate()
            node.wait()
    counted = {name: {"idle": i, "busy": b} for name, i, b in zip(NODES, idle, busy, strict=True)}
    return {"people": seen, "seconds": seconds, "nodes": counted}


def _line(node: subprocess.Popen[str]) -> str:
    assert node.stdout is not None
    line = node.stdout.readline()
    if not line:
        raise SystemExit("a node ended before it had been measured; see above")
    return line


def share(counted: dict[str, dict[str, float]]) -> float:
    """Per cent of one core that the ROS layer of a node takes at 25 Hz."""
    idle, busy = ({part: one[part] for part in ("executor", "middleware")} for one in counted.values())
    at_rest, hz = sum(idle.values()), counted["busy"]["hz"]
    a_tick = sum(busy.values()) - at_rest / hz
    return (at_rest + a_tick * TICK_HZ) / 10.0


def table(found: dict[str, Any]) -> Table:
    """All nodes, and their sum beside the target."""
    made = Table(title=f"processor time, ms a tick (idle: ms a second), {found['people']} people")
    for column in ("node", "Hz", "own work", "executor", "middleware", "idle", "ROS layer at 25 Hz"):
        made.add_column(column, justify="left" if column == "node" else "right", overflow="fold")
    for name, counted in found["nodes"].items():
        idle, busy = counted["idle"], counted["busy"]
        cells = [f"{busy[part]:.2f}" for part in ("hz", "own", "executor", "middleware")]
        cells.append(f"{idle['executor'] + idle['middleware']:.2f}")
        made.add_row(name, *cells, f"{share(counted):.1f} % of a core")
    total = sum(map(share, found["nodes"].values()))
    made.add_row("together", *[""] * 5, f"{total:.1f} %, target <= {TARGET:g} %")
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, choices=range(1, 5), default=4)
    parser.add_argument("--seconds", type=float, default=20.0, help="of ticks that are counted")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--node", choices=list(NODES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.node is not None:
        sys.exit(serve(args.node, round(args.seconds * TICK_HZ)))
    found = measure(args.people, args.seconds)
    Console().print(table(found))
    if args.json is not None:
        figures = {"machine": machine(), "date": datetime.now(UTC).date().isoformat(), **found}
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
