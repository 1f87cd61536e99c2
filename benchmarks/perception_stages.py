"""How long each stage of perception takes, and how well it tells who speaks.

    python benchmarks/perception_stages.py [--video FILE] [--workers 1 2] [--seconds 60]

Perception is the node's: with bodies, and faces held against the voice. Images are decoded beforehand and not
timed. Wall-clock figures mean little on a busy machine, so the CPU time of the whole process per image stands
beside them.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hmgen_ros.evaluation.perception_metrics import average_precision, f1
from hmgen_ros.evaluation.perception_run import BASE_NS, Pass
from hmgen_ros.evaluation.perception_scoring import speaking_arrays
from hmgen_ros.evaluation.perception_truth import read_scene
from hmgen_ros.perceiving import load_perception
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.pipeline import Perception
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.resources import resource
from hmgen_ros.types import TICK_HZ, TICK_NS, AudioChunk, Frame, Scene

CHUNK = SAMPLE_RATE // TICK_HZ
#: Ticks by which hearing and seeing a change may lag, for the second F1 figure.
FORGIVEN_TICKS = 4


@dataclass
class Run:
    """One pass over a recording: scenes, and per image wall and CPU milliseconds."""

    perception: Perception
    scenes: list[Scene]
    wall_ms: list[float]
    cpu_ms: float


def load(path: Path, seconds: float) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """Images (BGR) and 16 kHz mono sound of the first ``seconds``; sound may be empty."""
    with av.open(str(path)) as container:
        images: list[NDArray[np.uint8]] = []
        for frame in container.decode(video=0):
            if len(images) >= seconds * TICK_HZ:
                break
            images.append(frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False))
    parts = [np.zeros(0, np.float32)]
    with av.open(str(path)) as container:
        if container.streams.audio:
            resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
            for sound in container.decode(audio=0):
                parts += [f.to_ndarray()[0] for f in resampler.resample(sound)]
    return images, np.concatenate(parts).astype(np.float32)


def run(images: list[NDArray[np.uint8]], sound: NDArray[np.float32], workers: int) -> Run:
    """Perceive everything as fast as possible, sound 40 ms ahead of each image."""
    config = PerceptionConfig(seed=0, workers=workers)
    perception = load_perception(config, lambda _, text: print(text, file=sys.stderr))
    result = Run(perception, [], [], 0.0)
    cpu = time.process_time()
    for tick, image in enumerate(images):
        start = time.perf_counter()
        samples = sound[tick * CHUNK : (tick + 1) * CHUNK]
        if len(samples):
            perception.push_audio(AudioChunk(tick * TICK_NS, samples, SAMPLE_RATE))
        result.scenes.append(perception.process(Frame(tick * TICK_NS, image), tick, reset=tick == 0))
        result.wall_ms.append((time.perf_counter() - start) * 1e3)
    result.cpu_ms = (time.process_time() - cpu) * 1e3 / len(images)
    perception.close()
    return result


def speaking(
    scenes: list[Scene], media: Path
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """``[people, ticks]`` truth, decision, and probability, by the truth file beside a recording."""
    truth, found = read_scene(media), Pass()
    if truth is None:
        raise SystemExit(f"{media}: no truth file beside it")
    for scene in scenes:
        found.add(replace(scene, stamp_ns=scene.stamp_ns + BASE_NS))
    return speaking_arrays(truth, found)


def stage_table(result: Run, workers: int) -> Table:
    """Wall-clock figures of every stage and of the whole."""
    table = Table(title=f"{workers} worker(s): wall-clock ms")
    for column in ("stage", "runs", "mean", "p50", "p99"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name in result.perception.times.mean_ms():
        w = result.perception.times.window(name)
        values = (w.mean(), w.percentile(50), w.percentile(99))
        table.add_row(name, str(w.count), *(f"{v:.2f}" for v in values))
    wall = np.array(result.wall_ms)
    total = (wall.mean(), *np.percentile(wall, [50, 99]))
    table.add_row("image, all stages", str(len(wall)), *(f"{v:.2f}" for v in total), style="bold")
    return table


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--video", type=Path, help="default: the bundled one; with its truth file")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    video = args.video or resource("recordings/three_people.mp4")
    console = Console()
    images, sound = load(video, args.seconds)
    for workers in args.workers:
        result = run(images, sound, workers)
        console.print(stage_table(result, workers))
        people = {p.person_id for s in result.scenes for p in s.people}
        console.print(
            f"CPU {result.cpu_ms:.2f} ms an image; ids {len(people)}; {result.perception.counts.values}"
        )
    if video.with_suffix(".json").is_file():
        said, found, chance = speaking(result.scenes, video)
        late = f1(said[:, :-FORGIVEN_TICKS], found[:, FORGIVEN_TICKS:])
        console.print(
            f"speaking: F1 {f1(said, found):.3f} ({late:.3f} when {FORGIVEN_TICKS} ticks late is on time), "
            f"AP {average_precision(said, chance):.3f}, spoken {said.mean():.3f} of person-frames"
        )


if __name__ == "__main__":
    main()
