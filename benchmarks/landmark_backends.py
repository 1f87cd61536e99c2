"""Accuracy, CPU time and trembling of the landmark backends; what filtered landmarks do to head motion.

    python benchmarks/landmark_backends.py [--images DIR] [--backends mesh dlib] [--clips DIR] [--json OUT]

Labelled pictures (``--images``, iBUG .pts beside them) give errors; without them only the rest is measured.
Trembling: a picture of the bundled recording at rest, 60 times with noise and as JPEG, as 960 x 400 video.
Head motion: a model forecasts heads of ``--clips`` (any videos with one face) from landmarks as they are,
filtered, or placed as labels are, and is compared with where landmarks of the same kind then were, not
filtered. Times are CPU milliseconds of one thread.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hmgen_ros.data.corpora import VIDEO_ENDINGS
from hmgen_ros.evaluation.evaluate_landmarks import EvaluateLandmarksConfig, evaluate_landmarks
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.perception_metrics import jitter_px
from hmgen_ros.generators.head_forecaster import HeadForecaster
from hmgen_ros.perception.backends import BACKEND_MODULES, LandmarkBackend, create_backend
from hmgen_ros.perception.faces import FaceFinder
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.perception.mesh_files import ModelFileError
from hmgen_ros.perception.normalisation import normalise
from hmgen_ros.perception.one_euro import OneEuroFilter
from hmgen_ros.resources import resource
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import NUM_ACTIONS, TICK_NS, Counts, Face, Person, Scene

Floats = NDArray[np.float32]
#: Standard deviation of the noise (of 255) and quality of the JPEG, of which trembling is measured.
DISTURBANCES = ((2, 90), (4, 80), (8, 70))
TREMBLING_TICKS = 60
#: Ticks of a clip that are seen before the first forecast counts, and steps of the forecasts that do.
SETTLED, STEPS = 15, (1, 5, 12, 25)
CLIP_TICKS = 75


def disturbed(image: NDArray[np.uint8], noise: float, quality: int) -> Iterator[NDArray[np.uint8]]:
    """The same picture again and again, each time with other noise."""
    rng = np.random.default_rng(0)
    for _ in range(TREMBLING_TICKS):
        noisy = np.clip(image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8)
        packed = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        yield np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def followed(images: Iterator[NDArray[np.uint8]], backend: LandmarkBackend, faces: int) -> Iterator[Any]:
    """The landmarks of each image, faces followed as in live perception."""
    finder = FaceFinder(backend, 5, 0.5, faces, False, StageTimes(), Counts())
    finder.reset()
    rois = np.zeros((0, 4), np.float32)
    for image in images:
        found = finder.find(image, rois, False)
        rois = found.rois
        yield image, found


def trembling(backend: LandmarkBackend) -> dict[str, dict[str, float]]:
    """RMS trembling in pixels over all faces, raw and filtered, by disturbance."""
    with av.open(str(resource("recordings/three_people.mp4"))) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="bgr24").astype(np.uint8, copy=False)
    table = {}
    for noise, quality in DISTURBANCES:
        paths: list[list[Floats]] = []
        for _, found in followed(disturbed(picture, noise, quality), backend, 3):
            if len(found) == 3:
                paths.append([found.points[i] for i in np.argsort(found.boxes[:, 0])])
        raw = [np.array(points)[SETTLED:] for points in zip(*paths, strict=True)]
        calm = [filtered(np.array(points))[SETTLED:] for points in zip(*paths, strict=True)]
        table[f"noise {noise}, JPEG {quality}"] = {"raw_px": rms(raw), "filtered_px": rms(calm)}
    return table


def rms(people: list[Floats]) -> float:
    """Root of the mean squared trembling of several faces, pixels; NaN without any."""
    return float(np.sqrt(np.mean([jitter_px(points) ** 2 for points in people]))) if people else math.nan


def filtered(points: Floats) -> Floats:
    """``[T, 68, 2]`` as live perception publishes them."""
    one = OneEuroFilter()
    return np.array([one.update(p, float(np.linalg.norm(p[45] - p[36]))) for p in points])


def clip_landmarks(path: Path, backend: LandmarkBackend) -> tuple[Floats, Floats, tuple[int, int]] | None:
    """``[T, 68, 2]`` landmarks as they are and as labels are placed, and the image's width and height."""
    with av.open(str(path)) as container:
        frames = (
            frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
            for frame in container.decode(video=0)
        )
        found = [pair for pair, _ in zip(followed(frames, backend, 1), range(CLIP_TICKS), strict=False)]
    if len(found) < CLIP_TICKS or any(not len(faces) for _, faces in found):
        return None
    size = (found[0][0].shape[1], found[0][0].shape[0])
    raw = np.array([faces.points[0] for _, faces in found])
    placed = np.array([backend.annotated(faces)[0] for _, faces in found])
    return raw, placed, size


def forecast_errors(
    seen: Floats, truth: Floats, size: tuple[int, int], forecaster: HeadForecaster
) -> dict[int, list[float]]:
    """Mean distance of forecast landmarks from the true ones in percent of the eye distance, by step."""
    errors: dict[int, list[float]] = defaultdict(list)
    forecaster.reset()
    for tick, points in enumerate(seen):
        frame = normalise(points)
        if frame is None:
            continue
        pose = solve_head_pose(points, size)
        face = Face(np.zeros(4, np.float32), 1.0, points, *frame, np.ones(68, np.float32), pose)
        unknown = np.full(NUM_ACTIONS, np.nan, np.float32)
        person = Person("one", face, 0.0, 0, unknown, tick)
        scene = Scene(tick * TICK_NS, tick, (person,), 0.0, size, reset=tick == 0)
        (motion,) = forecaster.observe(scene)
        for step in STEPS if tick >= SETTLED and motion.valid else ():
            if tick + step < len(truth):
                away = np.linalg.norm(motion.landmarks_px[step - 1] - truth[tick + step], axis=1).mean()
                errors[step].append(100 * float(away) / frame[2])
    return errors


def head_motion(folder: Path, most: int, model: str) -> dict[str, dict[str, float]]:
    """Mean forecast errors of a model by what it sees."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_ENDINGS]
    # Speakers that no model was trained on come first: s1 of GRID is the training part.
    paths.sort(key=lambda path: path.name.startswith("s1_"))
    totals: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    forecaster = HeadForecaster.load(model, solve_head_pose)
    with closing(create_backend("mesh")) as backend:
        clips = [clip_landmarks(path, backend) for path in track(paths[:most], "following clips")]
    for clip in track([clip for clip in clips if clip is not None], "forecasting"):
        raw, placed, size = clip
        for name, seen, truth in (
            ("as they are", raw, raw),
            ("filtered", filtered(raw), raw),
            ("as labelled", placed, placed),
        ):
            for step, values in forecast_errors(seen, truth, size, forecaster).items():
                totals[name][step] += values
    return {
        name: {f"{40 * step} ms": float(np.mean(values)) for step, values in steps.items()}
        for name, steps in totals.items()
    }


def measure(name: str, images: Path | None) -> dict[str, Any]:
    """Everything about one backend."""
    row: dict[str, Any] = {}
    if images is not None:
        report = evaluate_landmarks(EvaluateLandmarksConfig(images, backend=name), Console(quiet=True))
        row |= {key: report[key] for key in ("nme", "nme_inner", "found", "auc_8", "parts", "raw", "cpu_ms")}
    with closing(create_backend(name)) as backend:
        row["still_jitter_px"] = trembling(backend)
    return row


def backend_table(rows: dict[str, dict[str, Any]]) -> Table:
    """One line a backend."""
    columns = (
        "backend",
        "nme",
        "inner",
        "raw inner",
        "found",
        "detect ms",
        "fit ms",
        "jitter px",
        "filtered",
    )
    table = Table(*columns)
    for name, row in rows.items():
        cells = ["-"] * 6
        if "nme" in row:
            errors = (row["nme"], row["nme_inner"], row["raw"]["nme_inner"], row["found"])
            cells = [f"{value:.2f}" for value in (*errors, *row["cpu_ms"].values())]
        still = row["still_jitter_px"]["noise 4, JPEG 80"]
        table.add_row(name, *cells, *(f"{value:.2f}" for value in still.values()))
    return table


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=Path, help="labelled pictures")
    parser.add_argument("--backends", nargs="+", default=list(BACKEND_MODULES), choices=list(BACKEND_MODULES))
    parser.add_argument("--clips", type=Path, help="videos of one face each, for the effect on head motion")
    parser.add_argument(
        "--model", default="constant_velocity", help="forecasts the heads, default %(default)s"
    )
    parser.add_argument("--most-clips", type=int, default=8)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console = Console()
    results: dict[str, Any] = {"backends": {}, "machine": machine()}
    for name in args.backends:
        try:
            results["backends"][name] = measure(name, args.images)
        except ModelFileError as error:
            console.print(f"{name}: {error}", style="yellow", markup=False)
    console.print(backend_table(results["backends"]))
    if args.clips is not None:
        results["head_motion_error"] = head_motion(args.clips, args.most_clips, args.model)
        console.print(args.model, results["head_motion_error"])
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
