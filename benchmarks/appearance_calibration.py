"""Measures how well faces are told apart, and the distances that perception/appearance.py decides by.

    PYTHONPATH=. python benchmarks/appearance_calibration.py [--data FOLDER] [--out FILE]

Pictures of each person from several clips, half of them as they are, half in another light, smaller, blurred
or noisy, are held against each other: pairs of one person (from two clips), and pairs of two people. The rate
of equal errors lies at the distance at which as many of the ones are taken for two people as of the others
for one. It says how far SAME and OTHER are from where they begin to fail.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hmgen_ros.perception.appearance import OTHER, SAME, FaceEmbedder

Image = NDArray[np.uint8]
Array = NDArray[np.float64]
#: Frames taken of each clip.
FRAMES = (8, 30, 55)
#: Clips taken of each person.
CLIPS = 10
#: Clips whose name does not begin with their speaker's.
ALSO = {"ln_lwbsza": "v2s", "ln_swiz3n": "s26"}
SPEAKERS = ("s1", "s26", "v2s")


def _unchanged(image: Image, _: np.random.Generator) -> Image:
    return image


def _dim(image: Image, _: np.random.Generator) -> Image:
    return np.asarray(image * 0.3, np.uint8)


def _bright(image: Image, _: np.random.Generator) -> Image:
    return np.asarray(np.clip(image * 1.8 + 20.0, 0, 255), np.uint8)


def _warm(image: Image, _: np.random.Generator) -> Image:
    return np.asarray(np.clip(image * np.array([0.6, 0.9, 1.25]), 0, 255), np.uint8)


def _aside(image: Image, _: np.random.Generator) -> Image:
    """Light from one side: 0.35 to 1.3 times as bright across the middle half of the picture."""
    across = np.clip((np.arange(image.shape[1]) / image.shape[1] - 0.25) * 2, 0, 1)
    return np.asarray(np.clip(image * (0.35 + 0.95 * across)[None, :, None], 0, 255), np.uint8)


def _small(image: Image, _: np.random.Generator) -> Image:
    tiny = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(tiny, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _blurred(image: Image, _: np.random.Generator) -> Image:
    return np.asarray(cv2.blur(image, (13, 1)), np.uint8)


def _noisy(image: Image, rng: np.random.Generator) -> Image:
    return np.asarray(np.clip(image + rng.normal(0, 20, image.shape), 0, 255), np.uint8)


def _squeezed(image: Image, _: np.random.Generator) -> Image:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 12])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


CHANGES: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "as it is": _unchanged,
    "dim (0.3)": _dim,
    "bright (1.8)": _bright,
    "warm light": _warm,
    "light from one side": _aside,
    "a quarter of the size": _small,
    "motion blur, 13 px": _blurred,
    "noise, 20 levels": _noisy,
    "JPEG, quality 12": _squeezed,
}


def read_faces(data: Path) -> list[tuple[str, str, Image, NDArray[np.float32]]]:
    """Person, clip, picture and ``[68, 2]`` landmarks of some frames of some clips of each speaker."""
    names = sorted(path.stem for path in (data / "grid_video").glob("*.mpg"))
    chosen = [(ALSO.get(name) or name.split("_")[0], name) for name in names]
    clips = [pair for who in SPEAKERS for pair in [p for p in chosen if p[0] == who][:CLIPS]]
    if not clips:
        raise FileNotFoundError(f"no GRID clips in {data / 'grid_video'}; pass --data or set HMGEN_DATA")
    faces = []
    for who, name in track(clips, "reading clips"):
        with np.load(data / "grid_tracks" / f"{name}.npz") as one:
            points, valid = one["lm"].astype(np.float32) / float(one["scale"]), one["valid"]
        with av.open(str(data / "grid_video" / f"{name}.mpg")) as file:
            for i, frame in enumerate(file.decode(video=0)):
                if i in FRAMES and i < len(points) and valid[i]:
                    faces.append((who, name, frame.to_ndarray(format="bgr24").astype(np.uint8), points[i]))
    return faces


def equal_error(same: Array, other: Array) -> tuple[float, float]:
    """The rate of equal errors, and its distance: the middle of the gap where there is one."""
    at = np.unique(np.concatenate([same, other]))
    missed = 1 - np.searchsorted(np.sort(same), at, side="right") / len(same)
    taken = np.searchsorted(np.sort(other), at, side="right") / len(other)
    best = int(np.argmin(np.maximum(missed, taken)))
    rate = float(max(missed[best], taken[best]))
    following = at[min(best + 1, len(at) - 1)]
    return rate, float((at[best] + following) / 2)


def compare(
    plain: Array, changed: Array, who: NDArray[np.str_], clip: NDArray[np.str_]
) -> dict[str, float | int]:
    """Distances of unchanged pictures from changed ones."""
    distance = np.linalg.norm(plain[:, None] - changed[None], axis=-1)
    same = distance[(who[:, None] == who) & (clip[:, None] != clip)]
    other = distance[who[:, None] != who]
    rate, at = equal_error(same, other)
    return {
        "pairs_same": len(same),
        "pairs_other": len(other),
        "same_median": float(np.median(same)),
        "same_p99": float(np.percentile(same, 99)),
        "other_p1": float(np.percentile(other, 1)),
        "other_median": float(np.median(other)),
        "equal_error_rate": rate,
        "equal_error_distance": at,
        "same_beyond_SAME": float((same > SAME).mean()),
        "same_beyond_OTHER": float((same > OTHER).mean()),
        "other_within_SAME": float((other < SAME).mean()),
        "other_within_OTHER": float((other < OTHER).mean()),
    }


def measure(data: Path) -> dict[str, object]:
    """All figures."""
    faces = read_faces(data)
    embedder, rng = FaceEmbedder(), np.random.default_rng(0)
    who, clip = np.array([f[0] for f in faces]), np.array([f[1] for f in faces])
    vectors, spent = {}, 0.0
    for name, change in CHANGES.items():
        pictures = [change(image, rng) for _, _, image, _ in faces]
        begun = time.process_time()
        vectors[name] = np.array(
            [embedder.vector(p, f[3]) for p, f in zip(pictures, track(faces, name), strict=True)], np.float64
        )
        spent += time.process_time() - begun
    return {
        "people": {str(p): int((who == p).sum()) for p in np.unique(who)},
        "clips": len(set(clip.tolist())),
        "cpu_ms_per_look": 1e3 * spent / (len(CHANGES) * len(faces)),
        "SAME": SAME,
        "OTHER": OTHER,
        "changes": {n: compare(vectors["as it is"], v, who, clip) for n, v in vectors.items()},
    }


def show(figures: dict[str, object]) -> None:
    """Print a table."""
    columns = (
        "same_median",
        "same_p99",
        "other_p1",
        "other_median",
        "equal_error_rate",
        "equal_error_distance",
    )
    table = Table("the second picture", *columns, title=f"{figures['people']}, {figures['clips']} clips")
    changes = figures["changes"]
    assert isinstance(changes, dict)
    for name, row in changes.items():
        table.add_row(name, *(f"{row[c]:.3f}" for c in columns))
    Console(width=130).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = Path(os.environ.get("HMGEN_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with grid_video/ and grid_tracks/")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args(arguments)
    try:
        figures = measure(args.data)
    except OSError as error:
        print(f"appearance_calibration.py: {error}", file=sys.stderr)
        return 2
    show(figures)
    if args.out is not None:
        args.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
