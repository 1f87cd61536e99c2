"""``hmgen evaluate motion``: the shipped generators of head motion on any folder of landmark tracks.

Every generator goes on from the same single poses (thesis 4.4.2), and its futures are compared with what
heads of the same tracks did; ``real`` is another half of the real windows, ``static`` a head that stands
still.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hmgen_ros.data.tracks import SPLITS, Corpus, Track, segments, tracks_of
from hmgen_ros.evaluation.image_distances import FeatureNetwork, ImageDistances
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_scores import (
    NotFinite,
    Reference,
    Scores,
    horizon_scores,
    real_scores,
    score_generator,
)
from hmgen_ros.generators import head_forecaster

#: Columns on the screen; the JSON has more.
_SHOWN = (
    "fd_motion_40",
    "fd_motion_80",
    "fd_map_40",
    "fd_static",
    "velocity_40",
    "jerk_40",
    "spectrum_40",
    "drift_1000",
    "diversity",
    "static_face_error",
)


@dataclass(frozen=True)
class EvaluateMotionConfig:
    """Settings of the evaluation.

    Attributes:
        data: folder of tracks: ``tracks_manifest.csv``, or any ``.npz`` in it or below.
        json: file for the results; none is written without it.
        split: the tracks: ``train``, ``validation``, ``test``, ``all``, or ``held_out``: the test part where
            there are tracks that the shipped models were trained on, else all.
        windows: at most so many windows to go on from, at least 8.
        samples: futures of each pose for the diversity, at least 2.
        seed: of the futures, at least 0.
        models: names of the models; all by default. The shipped default always takes part.
        inception: TorchScript file of InceptionV3, for FID and t-FID (see
            ``hmgen_ros/evaluation/image_distances.py``).
        i3d: TorchScript file of I3D, for FVD.
        inception_sha256: checksum that the former must have.
        i3d_sha256: checksum that the latter must have.
        device: torch device.
        threads: of the CPU; the networks are small, and more of them cost more than they help.

    Raises:
        ValueError: a setting is out of its range, or there is no model of a name; says which.
    """

    data: Path
    json: Path | None = None
    split: str = "held_out"
    windows: int = 400
    samples: int = 3
    seed: int = 0
    models: tuple[str, ...] = ()
    inception: Path | None = None
    i3d: Path | None = None
    inception_sha256: str | None = None
    i3d_sha256: str | None = None
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        choices = (*SPLITS, "all", "held_out")
        if self.split not in choices:
            raise ValueError(f"no split {self.split!r}; there are {', '.join(choices)}")
        if self.windows < 8 or self.samples < 2 or self.seed < 0 or self.threads < 1:
            raise ValueError(
                "windows must be at least 8, samples at least 2, seed at least 0 and threads at least 1, got "
                f"{self.windows}, {self.samples}, {self.seed} and {self.threads}"
            )
        known = head_forecaster.MOTION_PREDICTORS
        if unknown := [name for name in self.models if name not in known]:
            raise ValueError(f"no head-motion predictor {unknown[0]!r}; there are {', '.join(known)}")


def evaluate_motion(config: EvaluateMotionConfig, console: Console | None = None) -> dict[str, Any]:
    """Score every model; writes, shows and returns the results.

    Returns:
        ``default``, ``models`` (scores by name; None where a model's poses were no numbers, ``real`` and
        ``static`` among them), ``data``, ``image_networks`` (checksums),
        ``settings``, ``seed``, ``machine`` and ``date``.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged.
        ValueError: they are too short or too few.
        hmgen_ros.generators.weights.WeightsError: a model file is missing or damaged.
    """
    console = console or Console()
    torch.set_num_threads(config.threads)
    with console.status("reading and measuring the tracks"):
        corpus = chosen_tracks(config.data, config.split)
        net, images = MotionInception.load(device=config.device), _image_networks(config)
        reference = Reference.of(corpus.segments, config.windows, net, images)
    results: dict[str, Any] = {"real": real_scores(reference), "static": static_scores(reference)}
    default = head_forecaster.DEFAULT_MOTION_PREDICTOR
    names = dict.fromkeys((default, *(config.models or head_forecaster.MOTION_PREDICTORS)))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("generating", total=len(names))
        for name in names:
            progress.update(bar, description=name)
            started = time.monotonic()
            model = head_forecaster.MOTION_PREDICTORS[name](config.device).eval()
            try:
                scores: dict[str, Any] = {
                    **score_generator(model, reference, config.samples, config.seed, config.device)
                }
            except NotFinite as finding:
                console.print(f"{name}: {finding}")
                scores = dict.fromkeys(results["real"]) | {"finding": str(finding)}
            results[name] = scores | {"seconds": time.monotonic() - started}
            progress.advance(bar)
    report = {
        "default": default,
        "models": results,
        "data": describe(corpus, reference),
        "image_networks": reference.images.checksums(),
        "settings": {"split": config.split, "windows": config.windows, "samples": config.samples},
        "seed": config.seed,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return _publish(_plain(report), config, console)


def _image_networks(config: EvaluateMotionConfig) -> ImageDistances:
    given = ((config.inception, config.inception_sha256), (config.i3d, config.i3d_sha256))
    found = [path and FeatureNetwork.load(path, sha, config.device) for path, sha in given]
    return ImageDistances(*(net or None for net in found))


def chosen_tracks(folder: Path, split: str) -> Corpus:
    """The pieces of the tracks of a split; raises as :func:`chosen_split`."""
    return segments(chosen_split(folder, split))


def chosen_split(folder: Path, split: str) -> list[Track]:
    """The tracks of a split, see :class:`EvaluateMotionConfig`.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged.
        ValueError: there is none in the split.
    """
    tracks = tracks_of(folder)
    if split == "held_out":
        trained = any(track.split == "train" for track in tracks)
        tested = any(track.split == "test" for track in tracks)
        split = "test" if trained and tested else "all"
    found = [track for track in tracks if split in ("all", track.split)]
    if not found:
        raise ValueError(f"no track in {folder} belongs to the split {split!r}; try --split all")
    return found


def static_scores(reference: Reference) -> Scores:
    """Of heads that stand still."""
    scores: Scores = {}
    for ticks, horizon in reference.horizons.items():
        still = horizon.start.unsqueeze(1).expand(-1, ticks, -1, -1)
        scores |= horizon_scores(horizon, still, reference)
    return scores


def describe(corpus: Corpus, reference: Reference) -> dict[str, Any]:
    """What the scores rest on."""
    return {
        "minutes": corpus.ticks / 25 / 60,
        "pieces": len(corpus.segments),
        "speakers": corpus.speakers,
        "cleaned": dict(corpus.counts.items()),
        "windows": {str(ticks): len(horizon.start) for ticks, horizon in reference.horizons.items()},
        "long_heads": len(reference.long_start),
        "spread": float(reference.long_spread.square().mean().sqrt()),
    }


def _plain(value: Any) -> Any:
    """JSON knows no NaN: None stands for it."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _publish(report: dict[str, Any], config: EvaluateMotionConfig, console: Console) -> dict[str, Any]:
    table = Table("", *_SHOWN, title="Generated against real head motion; closer to `real` is better")
    for name, scores in report["models"].items():
        cells = ["–" if scores.get(column) is None else f"{scores[column]:.3f}" for column in _SHOWN]
        table.add_row(name, *cells, style="bold" if name == report["default"] else None)
    console.print(table)
    if config.json is not None:
        config.json.parent.mkdir(parents=True, exist_ok=True)
        config.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        console.print(f"results: {config.json}", highlight=False)
    return report
