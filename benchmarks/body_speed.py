"""What looking for bodies costs, alone and within perception, in milliseconds of CPU.

    python benchmarks/body_speed.py [--runs 20] [--ticks 150] [--json OUT]

CPU time of the whole process, so that a busy machine does not matter much. Perception hears, compares
faces with the voice and looks for bodies at the default rate; one, three and four people are the bundled
recording, cut and repeated side by side. Decoding is not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from perception_stages import CHUNK, load
from rich.console import Console
from rich.table import Table

from hmgen_ros.generators.weights import verified_file
from hmgen_ros.perceiving import BODY_MODEL, load_perception
from hmgen_ros.perception.body import BodyConfig, BodyModel, letterbox
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.resources import resource
from hmgen_ros.types import TICK_NS, AudioChunk, Frame

Images = list[NDArray[np.uint8]]
#: Width and height of the images that the model is timed on.
SIZES = ((640, 480), (1280, 720), (960, 400), (480, 640))
PLACES = 3


def model_ms(runs: int) -> dict[str, float]:
    """CPU milliseconds of one look, shrinking the image included, for each of SIZES."""
    model, result = BodyModel(verified_file(BODY_MODEL)), {}
    for width, height in SIZES:
        image = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
        model.find(letterbox(image))
        start = time.process_time()
        for _ in range(runs):
            model.find(letterbox(image))
        result[f"{width}x{height}"] = (time.process_time() - start) * 1e3 / runs
    return result


def crowd(images: Images, people: int) -> Images:
    """The recording with so many people side by side."""
    width = images[0].shape[1] // PLACES
    parts = [slice(i % PLACES * width, (i % PLACES + 1) * width) for i in range(people)]
    return [np.ascontiguousarray(np.concatenate([image[:, p] for p in parts], axis=1)) for image in images]


def perception_ms(images: Images, sound: NDArray[np.float32], body: bool) -> tuple[float, float]:
    """CPU milliseconds a frame, and the mean number of people."""
    config = PerceptionConfig(seed=0, workers=1, body=BodyConfig(enabled=body))
    perception = load_perception(config, lambda cause, text: print(cause, text, file=sys.stderr))
    people = 0
    start = time.process_time()
    for tick, image in enumerate(images):
        samples = sound[tick * CHUNK : (tick + 1) * CHUNK]
        perception.push_audio(AudioChunk(tick * TICK_NS, samples, SAMPLE_RATE))
        scene = perception.process(Frame(tick * TICK_NS, image), tick, reset=tick == 0)
        people += len(scene.people)
    spent = (time.process_time() - start) * 1e3 / len(images)
    perception.close()
    return spent, people / len(images)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--ticks", type=int, default=150)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console = Console()
    alone = model_ms(args.runs)
    table = Table("image", "CPU ms a look")
    for name, ms in alone.items():
        table.add_row(name, f"{ms:.1f}")
    console.print(table)
    images, sound = load(resource("recordings/three_people.mp4"), args.ticks / 25)
    table = Table("people", "in view", "CPU ms a frame", "of these for bodies")
    report: dict[str, dict[str, float]] = {"look_ms": alone, "frame_ms": {}, "frame_ms_without_body": {}}
    for people in (1, 3, 4):
        shown = crowd(images, people)
        without, _ = perception_ms(shown, sound, body=False)
        spent, seen = perception_ms(shown, sound, body=True)
        report["frame_ms"][str(people)], report["frame_ms_without_body"][str(people)] = spent, without
        table.add_row(str(people), f"{seen:.2f}", f"{spent:.1f}", f"{spent - without:.1f}")
    console.print(table)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
