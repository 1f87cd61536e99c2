"""How soon a node gives its first output after activation, and what memory it takes and gives back.

    python benchmarks/first_output.py                    figures of every node with models
    python benchmarks/first_output.py --json out.json    the figures as JSON too

Each node has a process of its own. It is configured, activated, fed, deactivated and cleaned up, twice. Times
are those of the processor, which other programs on the machine do not change much; a tick is 40 ms. Memory is
the resident set.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rclpy
import torch
import tyro
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from rich.console import Console
from rich.table import Table
from rosbags.highlevel import AnyReader

from hmgen_ros.message_definitions import typestore
from hmgen_ros.msg import People
from hmgen_ros.nodes.bag_writer import BagWriter
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.conversions import people_message, scene_from_people
from hmgen_ros.nodes.head_motion_node import HeadMotionNode
from hmgen_ros.nodes.interaction_node import InteractionNode
from hmgen_ros.nodes.perception_node import PerceptionNode
from hmgen_ros.resources import resource
from hmgen_ros.streams.media import open_media
from hmgen_ros.types import AudioChunk, Frame, Scene

#: Inputs that each node gets; the first is compared with the median of the later ones.
INPUTS = 40
CASES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "perception": (PerceptionNode, {"workers": 1, "load.enabled": False}),
    "interaction": (InteractionNode, {}),
    "head_motion": (HeadMotionNode, {}),
    "head_motion, all models": (
        HeadMotionNode,
        {"model": "noise_driven", "speaker_model": "speech_driven", "own_head.enabled": True},
    ),
}


@dataclass(frozen=True)
class Options:
    """Options of the benchmark.

    Args:
        json: also write the figures to this file.
        case: measure only this one, in this process.
        scenes: bag of ``people`` through which perception hands its scenes to the other nodes.
    """

    json: Path | None = None
    case: str = ""
    scenes: Path | None = None


def main() -> None:
    """Measure every case in a process of its own."""
    options = tyro.cli(Options, description=__doc__)
    if options.case and options.scenes is not None:
        print(json.dumps(measure(options.case, options.scenes)))
        return
    with tempfile.TemporaryDirectory() as folder:
        scenes = Path(folder) / "scenes"
        figures = {case: measured_apart(case, scenes) for case in CASES}
    Console().print(table(figures))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def measured_apart(case: str, scenes: Path) -> dict[str, float]:
    """The figures of a case, of a fresh process."""
    command = [sys.executable, __file__, "--case", case, "--scenes", str(scenes)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return figures


def measure(case: str, scenes: Path) -> dict[str, float]:
    """Configure, feed and clean up a node twice."""
    torch.set_num_threads(1)
    rclpy.init()
    kind, values = CASES[case]
    node: HmgenNode = kind(overrides=[Parameter(name, value=value) for name, value in values.items()])
    feed, inputs = feeding(node, scenes)
    memory = [resident_mb()]
    costs: list[list[float]] = []
    configure_s = []
    for _ in range(2):
        begin = time.process_time()
        node.trigger_configure()
        configure_s.append(time.process_time() - begin)
        memory.append(resident_mb())
        node.trigger_activate()
        costs.append([cost_ms(feed, one) for one in inputs])
        memory.append(resident_mb())
        node.trigger_deactivate()
        node.trigger_cleanup()
        memory.append(resident_mb())
    if isinstance(node, PerceptionNode):
        write_scenes(scenes)
    node.destroy_node()
    rclpy.shutdown()
    names = ("before", "configured", "fed", "cleaned", "configured again", "fed again", "cleaned again")
    first, later = costs[0][0], costs[0][10:]
    return {
        "configure_cpu_s": round(configure_s[0], 2),
        "first_cpu_ms": round(first, 2),
        "second_cpu_ms": round(costs[0][1], 2),
        "later_cpu_ms_p50": round(float(np.median(later)), 2),
        "later_cpu_ms_max": round(max(later), 2),
        **{f"rss_mb {name}": round(mb, 1) for name, mb in zip(names, memory, strict=True)},
    }


#: What perception saw, for the other nodes.
SCENES: list[Scene] = []


def write_scenes(path: Path) -> None:
    """Keep what perception saw as the messages that it publishes."""
    bag = BagWriter(path)
    for scene in SCENES:
        bag.write("/people", People, people_message(scene), scene.stamp_ns)
    bag.close()


def read_scenes(path: Path) -> list[Scene]:
    """What a node takes from those messages."""
    with AnyReader([path], default_typestore=typestore()) as reader:
        messages = [deserialize_message(data, People) for _, _, data in reader.messages()]
    return [scene_from_people(message)[0] for message in messages]


def feeding(node: HmgenNode, scenes: Path) -> tuple[Callable[[Any], None], list[Any]]:
    """What takes an input of a node, and the inputs."""
    if isinstance(node, PerceptionNode):
        perception = node
        perception.people.listeners.append(SCENES.append)
        with open_media(str(resource("recordings/three_people.mp4")), base_ns=1_000_000_000) as source:
            items: list[Frame | AudioChunk] = []
            while sum(isinstance(item, Frame) for item in items) < INPUTS:
                items.append(next(iter(source)))
        for chunk in (item for item in items if isinstance(item, AudioChunk)):
            node.receive(perception.hear, chunk)
        return lambda frame: node.receive(perception.perceive, frame), [
            i for i in items if isinstance(i, Frame)
        ]
    seen = read_scenes(scenes)[:INPUTS]
    if isinstance(node, HeadMotionNode):
        head_node = node

        def predict_and_move(scene: Scene) -> None:
            head_node.receive(head_node.predict, scene)
            if head_node._own_head is not None:
                head_node.receive(head_node._tick_own_head, head_node._own_head)

        return predict_and_move, seen
    assert isinstance(node, InteractionNode)
    interaction = node
    return lambda scene: interaction.receive(interaction.predict, scene), seen


def cost_ms(feed: Callable[[Any], None], value: Any) -> float:
    """Processor time of one input, ms."""
    begin = time.process_time()
    feed(value)
    return 1e3 * (time.process_time() - begin)


def resident_mb() -> float:
    """Memory of this process."""
    return float(psutil.Process().memory_info().rss) / 1e6


def table(figures: dict[str, dict[str, float]]) -> Table:
    """The figures for the terminal."""
    found = Table("figure", *figures, title="first output and memory")
    for name in next(iter(figures.values())):
        found.add_row(name, *(str(values[name]) for values in figures.values()))
    return found


if __name__ == "__main__":
    main()
