"""``hmgen evaluate landmarks``: a landmark backend against hand labels of any folder of pictures.

As in live perception, an image in which no face is found is searched once more for faces that fill it, and
landmarks are fitted twice: in the detected region, and in the one that the landmarks themselves give. What
cannot be read is named, counted and skipped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.landmark_points import (
    FIRST_PIXEL,
    IMAGE_ENDINGS,
    LabelledImage,
    are_upright,
    labelled_images,
    read_points,
    turned_points,
)
from hmgen_ros.evaluation.landmark_errors import INNER, ErrorSummary, match_faces, point_errors
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.result_file import check_writable, without_nan, write_result
from hmgen_ros.perception.backends import BACKEND_MODULES, LandmarkBackend, LandmarkSets, create_backend
from hmgen_ros.perception.faces import NEAR_MARGIN, distinct, usable_regions
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.picture_file import read_picture, stored_turns
from hmgen_ros.streams.source import MediaError


@dataclass(frozen=True)
class EvaluateLandmarksConfig:
    """Settings of the evaluation.

    Attributes:
        images: folder of images with iBUG ``.pts`` files (68 points) beside them; those below it count, too.
        json: file for the results; none is written without it.
        backend: of the landmarks.
        plots: folder for figures; none are drawn without it.
        first_pixel: what the labels call the middle of the image's first pixel: 1 in 300-W, 0 in files that
            count from 0.
        min_presence: in [0, 1]; faces that the landmark model itself doubts more are not found.
        threads: inside one run of a model.

    Raises:
        ValueError: a setting is out of its range; says which.
    """

    images: Path
    json: Path | None = None
    backend: str = "mesh"
    plots: Path | None = None
    first_pixel: float = FIRST_PIXEL
    min_presence: float = PerceptionConfig.min_presence
    threads: int = 1

    def __post_init__(self) -> None:
        if self.backend not in BACKEND_MODULES:
            raise ValueError(f"no landmark backend {self.backend!r}; one of: {', '.join(BACKEND_MODULES)}")
        if not 0 <= self.min_presence <= 1 or self.threads < 1 or self.first_pixel not in (0, 1):
            raise ValueError(
                "min_presence must be in [0, 1], threads at least 1 and first_pixel 0 or 1, got "
                f"{self.min_presence}, {self.threads} and {self.first_pixel}"
            )


@dataclass
class Tally:
    """What has been measured so far.

    Attributes:
        errors: ``[68]`` of each face that was found, as labels are placed.
        raw: the same of the backend's own points.
        faces: a line of the results for each labelled face.
        skipped: by cause, files with the reason.
        images: images looked at.
        unlabelled: images without labels, which are left alone.
        labels_turned: labels that were placed in a picture as it is stored and not as EXIF turns it.
        cpu_s: CPU seconds of ``detect`` and ``landmarks``.
        fitted: how often landmarks were fitted.
    """

    errors: list[NDArray[np.float64]] = field(default_factory=list)
    raw: list[NDArray[np.float64]] = field(default_factory=list)
    faces: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, list[dict[str, str]]] = field(
        default_factory=lambda: {"unreadable_images": [], "bad_labels": [], "labels_without_image": []}
    )
    images: int = 0
    unlabelled: int = 0
    labels_turned: int = 0
    cpu_s: dict[str, float] = field(default_factory=lambda: {"detect": 0.0, "landmarks": 0.0})
    fitted: int = 0

    def skip(self, cause: str, path: Path, reason: str) -> None:
        """Note a file that is left out."""
        self.skipped[cause].append({"file": str(path), "reason": reason})


def evaluate_landmarks(config: EvaluateLandmarksConfig, console: Console | None = None) -> dict[str, Any]:
    """Measure one backend; writes, shows and returns the results.

    Returns:
        ``nme``, ``nme_inner`` (percent, over faces that were found; None without any) and ``found`` (share of
        the labelled faces), further figures of :meth:`.landmark_errors.ErrorSummary.figures`; ``raw``, the
        same of points as the backend's own convention has them; ``counts``, ``skipped``, ``faces`` (each
        labelled face with its errors), ``cpu_ms``, ``settings``, ``machine`` and ``date``.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: the folder has no labels, or none that can be used.
        RuntimeError: the backend's package or weights are missing; says how to get them.
        ValueError: the results could not be written.
    """
    console = console or Console()
    check_writable(config.json)
    images, alone, unlabelled = labelled_images(config.images)
    backend = create_backend(config.backend, config.threads)
    tally = Tally(unlabelled=len(unlabelled))
    kinds = ", ".join(ending[1:] for ending in IMAGE_ENDINGS)
    for label in alone:
        tally.skip("labels_without_image", label, f"no image of that name beside it ({kinds})")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        for item in progress.track(images, description="images"):
            _measure(item, backend, config, tally)
    backend.close()
    if not tally.faces:
        raise CorpusError(f"no labelled face of {config.images} can be used: {_skipped_text(tally)}")
    report = _report(config, tally)
    _tell(report, tally, console)
    if config.plots is not None:
        from hmgen_ros.evaluation.landmark_figures import draw_figures

        draw_figures(np.array(tally.errors).reshape(-1, 68), len(tally.faces), config.plots)
    if config.json is not None:
        write_result(config.json, without_nan(report))
    return report


def _measure(
    item: LabelledImage, backend: LandmarkBackend, config: EvaluateLandmarksConfig, tally: Tally
) -> None:
    """Compare one image's faces with its labels."""
    labels, paths = [], []
    for path in item.labels:
        try:
            labels.append(read_points(path, config.first_pixel))
            paths.append(path)
        except CorpusError as error:
            tally.skip("bad_labels", path, str(error))
    try:
        image = read_picture(item.image)
    except MediaError as error:
        tally.skip("unreadable_images", item.image, str(error))
        return
    if not labels:
        return
    tally.images += 1
    labels = _as_shown(labels, item.image, image, tally)
    found = _find(image, backend, config.min_presence, tally)
    placed = backend.annotated(found)
    for path, label, face in zip(paths, labels, match_faces(np.array(labels), placed), strict=True):
        line: dict[str, Any] = {"image": str(item.image), "labels": path.name, "found": face is not None}
        line["eye_distance_px"] = round(float(np.linalg.norm(label[45] - label[36])), 1)
        if face is not None:
            errors = point_errors(label, placed[face])
            tally.errors.append(errors)
            tally.raw.append(point_errors(label, found.points[face]))
            line |= {
                "nme": round(float(errors.mean()), 3),
                "nme_inner": round(float(errors[INNER].mean()), 3),
            }
        tally.faces.append(line)


def _as_shown(
    labels: list[NDArray[np.float64]], path: Path, image: NDArray[np.uint8], tally: Tally
) -> list[NDArray[np.float64]]:
    """Labels in the picture as EXIF turns it, also of programs that do not turn it.

    Where faces would lie on their side or stand on their head, and would not in the picture as it is stored,
    that is what was labelled.
    """
    if all(are_upright(label) for label in labels) or not (turns := stored_turns(path, image)):
        return labels
    turned = [turned_points(label, turns, (image.shape[1], image.shape[0])) for label in labels]
    if not all(are_upright(label) for label in turned):
        return labels
    tally.labels_turned += len(labels)
    return turned


def _find(
    image: NDArray[np.uint8], backend: LandmarkBackend, min_presence: float, tally: Tally
) -> LandmarkSets:
    """All faces of an image."""
    start = time.process_time()
    detections = backend.detect(image)
    rois = (detections if len(detections) else backend.detect(image, NEAR_MARGIN)).rois
    middle = time.process_time()
    first = backend.landmarks(image, rois[usable_regions(rois, image.shape)])
    second = backend.landmarks(image, first.rois[usable_regions(first.rois, image.shape)])
    tally.cpu_s["detect"] += middle - start
    tally.cpu_s["landmarks"] += time.process_time() - middle
    tally.fitted += len(first) + len(second)
    order = [
        int(i) for i in np.argsort(-second.presence, kind="stable") if second.presence[i] >= min_presence
    ]
    return second.subset(distinct(second.boxes, order))


def _report(config: EvaluateLandmarksConfig, tally: Tally) -> dict[str, Any]:
    errors = np.array(tally.errors).reshape(-1, 68)
    raw = np.array(tally.raw).reshape(-1, 68)
    found = len(errors)
    figures = ErrorSummary(errors, len(tally.faces)).figures()
    return {
        "nme": figures.pop("nme"),
        "nme_inner": figures.pop("nme_inner"),
        "found": found / len(tally.faces),
        **figures,
        "raw": ErrorSummary(raw, len(tally.faces)).figures(),
        "counts": {
            "images": tally.images,
            "faces": len(tally.faces),
            "faces_found": found,
            "labels_turned": tally.labels_turned,
            "images_without_labels": tally.unlabelled,
            **{cause: len(files) for cause, files in tally.skipped.items()},
        },
        "cpu_ms": {
            "detect_per_image": 1e3 * tally.cpu_s["detect"] / tally.images,
            "landmarks_per_fit": 1e3 * tally.cpu_s["landmarks"] / max(1, tally.fitted),
        },
        "skipped": tally.skipped,
        "faces": tally.faces,
        "backend": config.backend,
        "settings": {
            "first_pixel": config.first_pixel,
            "min_presence": config.min_presence,
            "threads": config.threads,
        },
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _tell(report: dict[str, Any], tally: Tally, console: Console) -> None:
    """A table of the figures, and the files that were left out."""
    counts = report["counts"]
    title = f"{report['backend']}: {counts['faces_found']} of {counts['faces']} labelled faces found"
    parts = list(report["parts"] or ())
    table = Table("points", "all 68", "inner 51", *parts, "AUC 8 %", title=title, caption="% of eye distance")
    for name, row in (("as labelled", report), ("raw", report["raw"])):
        values = (row["nme"], row["nme_inner"], *(row["parts"] or {}).values())
        cells = ["-" if value is None else f"{value:.2f}" for value in values]
        table.add_row(name, *cells, "-" if row["auc_8"] is None else f"{row['auc_8']:.3f}")
    console.print(table)
    if counts["labels_turned"]:
        console.print(f"{counts['labels_turned']} labels are of pictures as stored: turned as EXIF data say")
    if counts["images_without_labels"]:
        console.print(f"left alone: {counts['images_without_labels']} images without labels")
    for files in tally.skipped.values():
        for entry in files:
            where = "" if entry["file"] in entry["reason"] else f"{entry['file']}: "
            console.print(f"skipped {where}{entry['reason']}", highlight=False, markup=False)


def _skipped_text(tally: Tally) -> str:
    entries = [entry for files in tally.skipped.values() for entry in files]
    more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
    return f"{entries[0]['reason']} ({entries[0]['file']}){more}"
