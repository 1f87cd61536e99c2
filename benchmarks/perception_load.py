"""What perception costs: CPU time an image, and memory, for one person and for several.

    python benchmarks/perception_load.py [--people 1 3 4] [--seconds 20] [--workers 1] [--width 3840]
        [--json OUT]

Scenes are put together from the heads of the bundled recording, with its sound. Every number of people has
a process of its own, which does what a perception node does and nothing else, so that its peak memory is
that of such a node. CPU time is that of all threads of the process, without decoding: it does not
depend on what else the machine does, as wall-clock time would.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hmgen_ros.evaluation.machine import peak_memory_mb
from hmgen_ros.perceiving import PerceptionStream, load_perception
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.resources import resource
from hmgen_ros.types import TICK_HZ, TICK_NS, Frame

CHUNK = SAMPLE_RATE // TICK_HZ
#: The recording shows three people, each in a third of its width.
SEATS = 3
#: Images before counting begins: people become known, and caches warm.
SETTLE = 25
#: CPU-ms an image by number of people, and MB, that the project holds itself to on two cores.
TARGET_MS, TARGET_MB = {1: 12.0, 4: 30.0}, 700.0


@dataclass
class Cost:
    """What one number of people cost.

    Attributes:
        people: in view.
        found: mean number of people in a scene.
        cpu_ms: CPU milliseconds an image, all threads.
        wall_p50_ms, wall_p99_ms: wall-clock milliseconds an image.
        peak_mb: most memory of the process.
        stages_ms: mean wall-clock milliseconds a run of each stage.
        counts: what perception noticed.
    """

    people: int
    found: float
    cpu_ms: float
    wall_p50_ms: float
    wall_p99_ms: float
    peak_mb: float
    stages_ms: dict[str, float]
    counts: dict[str, int]


def images(people: int, seconds: float, width: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Scenes ``[H, W, 3]``: as many seats of the recording side by side, at least 640 pixels wide.

    The fourth person is the first one, two seconds later.

    Args:
        people: 1 to 4.
        seconds: of the recording.
        width: to scale the scenes to; 0 leaves them at 400 pixels in height.
    """
    late: list[NDArray[np.uint8]] = []
    with av.open(str(resource("recordings/three_people.mp4"))) as container:
        container.streams.video[0].thread_type = "NONE"
        for index, frame in enumerate(container.decode(video=0)):
            if index >= seconds * TICK_HZ:
                return
            image = frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
            seat = image.shape[1] // SEATS
            seats = [image[:, k * seat : (k + 1) * seat] for k in range(min(people, SEATS))]
            late.append(seats[0])
            seats += [late.pop(0) if len(late) > 2 * TICK_HZ else late[0]] * (people - len(seats))
            row = np.hstack(seats)
            scene = np.pad(row, ((0, 0), (0, max(0, 640 - row.shape[1])), (0, 0)), "edge")
            scale = width / scene.shape[1] if width else 1.0
            yield np.asarray(cv2.resize(scene, None, fx=scale, fy=scale), np.uint8)


def sound(seconds: float) -> NDArray[np.float32]:
    """16 kHz mono sound of the recording."""
    parts: list[NDArray[np.float32]] = []
    with av.open(str(resource("recordings/three_people.mp4"))) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        for packet in container.decode(audio=0):
            parts += [f.to_ndarray()[0] for f in resampler.resample(packet)]
            if sum(map(len, parts)) >= seconds * SAMPLE_RATE:
                break
    return np.concatenate(parts).astype(np.float32)


def measure(people: int, seconds: float, workers: int, width: int) -> Cost:
    """Perceive one scene and count."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with suppress(ModuleNotFoundError):  # a node's own libraries are part of its memory
        import hmgen_ros.nodes.perception_node as node  # noqa: F401
    config = PerceptionConfig(seed=0, workers=workers)
    stream = PerceptionStream(load_perception(config, lambda _, text: print(text, file=sys.stderr)))
    voice = sound(seconds)
    found: list[int] = []
    wall: list[float] = []
    here = elsewhere = 0.0
    for index, image in enumerate(images(people, seconds, width)):
        if index == SETTLE:
            here, elsewhere = 0.0, _other_threads()
            found.clear()
            wall.clear()
        stamp, start, begun = (index + 1) * TICK_NS, time.perf_counter(), time.thread_time()
        stream.hear(stamp, voice[index * CHUNK : (index + 1) * CHUNK], SAMPLE_RATE)
        scene = stream.perceive(Frame(stamp, image))
        here += time.thread_time() - begun
        wall.append((time.perf_counter() - start) * 1e3)
        found.append(0 if scene is None else len(scene.people))
    cpu_ms = (here + _other_threads() - elsewhere) * 1e3 / len(wall)
    p50, p99 = np.percentile(wall, [50, 99])
    peak_mb = peak_memory_mb()
    perception = stream.perception
    cost = Cost(
        people,
        float(np.mean(found)),
        cpu_ms,
        float(p50),
        float(p99),
        peak_mb,
        perception.times.mean_ms(),
        dict(perception.counts.items()),
    )
    perception.close()
    return cost


def _other_threads() -> float:
    """CPU seconds of all threads but this one, which also decodes."""
    return time.process_time() - time.thread_time()


def in_own_process(people: int, seconds: float, workers: int, width: int) -> Cost:
    """:func:`measure` in a process that has done nothing else."""
    command = [sys.executable, __file__, "--people", str(people), "--seconds", str(seconds)]
    command += ["--workers", str(workers), "--width", str(width), "--one"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def table(costs: list[Cost]) -> Table:
    """Costs beside what they may be."""
    made = Table(title="perception alone, an image")
    for column in ("people", "found", "CPU ms", "at most", "wall p50 ms", "p99 ms", "peak MB", "at most"):
        made.add_column(column, justify="right")
    for c in costs:
        limit = f"{TARGET_MS[c.people]:.0f}" if c.people in TARGET_MS else ""
        values = (f"{c.found:.2f}", f"{c.cpu_ms:.2f}", limit, f"{c.wall_p50_ms:.1f}", f"{c.wall_p99_ms:.1f}")
        made.add_row(str(c.people), *values, f"{c.peak_mb:.0f}", f"{TARGET_MB:.0f}")
    return made


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", choices=range(1, 5), default=[1, 3, 4])
    parser.add_argument("--seconds", type=float, default=20.0, help="of the recording, at least 2")
    parser.add_argument("--workers", type=int, default=PerceptionConfig().workers)
    parser.add_argument("--width", type=int, default=0, help="of the images; 0: as the recording has them")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(asdict(measure(args.people[0], args.seconds, args.workers, args.width))))
        return
    console = Console()
    runs = track(args.people, "perceiving", console=console, transient=True)
    costs = [in_own_process(n, args.seconds, args.workers, args.width) for n in runs]
    console.print(table(costs))
    for c in costs:
        stages = ", ".join(f"{name} {ms:.1f}" for name, ms in c.stages_ms.items())
        console.print(f"{c.people} people, wall-clock ms a run: {stages}")
    if args.json is not None:
        settings = {"workers": args.workers, "seconds": args.seconds, "width": args.width}
        # Processes that wanted a core: with more of them than cores, wall-clock times mean nothing.
        settings |= {"load_average": os.getloadavg()[1], "cores": os.cpu_count()}
        figures = {**settings, "costs": [asdict(c) for c in costs]}
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
