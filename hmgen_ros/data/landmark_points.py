"""Pictures with hand-labelled faces: iBUG ``.pts`` files beside images.

A ``.pts`` file has the number of points and then, between braces, one ``x y`` a line. Files of 300-W count
pixels from 1: the middle of the image's first pixel is ``1 1``. Here, as everywhere in this project, it is
``0 0``, so 1 is taken off on reading.

``NAME.pts`` belongs to ``NAME.jpg`` (or any other image of that name) of the same folder. An image of
several faces has ``NAME_1.pts``, ``NAME_2.pts`` …; ``NAME_face2.pts``, ``NAME-2.pts`` and ``NAME.2.pts`` will
do, too.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.perception.normalisation import OUTER_EYE_CORNERS
from hmgen_ros.types import NUM_LANDMARKS

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".jp2")
LABEL_ENDING = ".pts"
#: What 300-W's labels call the image's first pixel.
FIRST_PIXEL = 1.0
#: Ends of the names of labels that say which face of the image they are of.
_FACE = re.compile(r"[_.\- ](?:face|person)?[_\-]?\d+$", re.IGNORECASE)
_COUNT = re.compile(r"n_points\s*[:=]?\s*(\d+)", re.IGNORECASE)
#: Eyes nearer than this are no measure for errors, pixels.
_MIN_EYE_DISTANCE = 1.0


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image, and the files with the labels of its faces."""

    image: Path
    labels: tuple[Path, ...]


def labelled_images(folder: Path) -> tuple[list[LabelledImage], list[Path], list[Path]]:
    """Images of a folder and those below it that have labels, by path; labels without image; images without.

    Raises:
        CorpusError: no such folder, or no labels in it.
    """
    if not folder.is_dir():
        raise CorpusError(
            f"{folder} is no folder; give the one that holds images with .pts files beside them"
        )
    images: dict[Path, Path] = {}
    labels = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        ending = path.suffix.lower()
        if ending in IMAGE_ENDINGS:
            images.setdefault(path.with_suffix(""), path)
        elif ending == LABEL_ENDING:
            labels.append(path)
    if not labels:
        raise CorpusError(f"no {LABEL_ENDING} file in {folder} or below; labels lie beside their images")
    found: dict[Path, list[Path]] = {}
    alone = []
    for label in labels:
        name = label.with_suffix("")
        image = images.get(name) or images.get(name.with_name(_FACE.sub("", name.name) or name.name))
        if image is None:
            alone.append(label)
        else:
            found.setdefault(image, []).append(label)
    unlabelled = [image for image in images.values() if image not in found]
    return [LabelledImage(image, tuple(found[image])) for image in sorted(found)], alone, unlabelled


def are_upright(points: NDArray[np.float64]) -> bool:
    """Whether the mouth of ``[68, 2]`` points is below their eyes, by 45 degrees at most to either side."""
    across, down = points[48:].mean(0) - points[36:48].mean(0)
    return bool(abs(math.atan2(across, down)) <= math.pi / 4)


def turned_points(points: NDArray[np.float64], turns: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """Points that go with a picture that is turned.

    Args:
        points: ``[n, 2]`` pixels of the picture before.
        turns: quarters, counterclockwise.
        size: width and height of the picture afterwards.
    """
    width, height = size[::-1] if turns % 2 else size
    for _ in range(turns):
        # What was the right border is the upper one now.
        points = np.stack([points[:, 1], width - 1 - points[:, 0]], axis=1)
        width, height = height, width
    return points


def read_points(path: Path, first_pixel: float = FIRST_PIXEL) -> NDArray[np.float64]:
    """Landmarks of one ``.pts`` file.

    Args:
        path: the file.
        first_pixel: what the file calls the middle of the first pixel, 1 in 300-W.

    Returns:
        ``[68, 2]`` pixels, iBUG-68 order; the middle of the first pixel is 0.

    Raises:
        CorpusError: it cannot be read, is no such file, or holds no face of 68 points; names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read as text ({error})") from error
    head, opened, rest = text.partition("{")
    body, closed, _ = rest.partition("}")
    if not opened or not closed:
        raise CorpusError(f"{path} has no points between braces, as .pts files have")
    rows = [line.replace(",", " ").split() for line in body.splitlines() if line.strip()]
    declared = _COUNT.search(head)
    if declared is not None and int(declared[1]) != len(rows):
        raise CorpusError(f"{path} declares {declared[1]} points and has {len(rows)}")
    if len(rows) != NUM_LANDMARKS or any(len(row) != 2 for row in rows):
        raise CorpusError(f"{path} has {len(rows)} lines, expected {NUM_LANDMARKS} of two numbers each")
    try:
        points = np.array(rows, np.float64) - first_pixel
    except ValueError as error:
        raise CorpusError(f"{path} holds something that is no number ({error})") from error
    right, left = points[list(OUTER_EYE_CORNERS)]
    distance = float(np.hypot(*(left - right)))
    if not np.isfinite(points).all() or not distance >= _MIN_EYE_DISTANCE:
        raise CorpusError(f"{path} holds numbers that are not finite, or outer eye corners in one place")
    return points
