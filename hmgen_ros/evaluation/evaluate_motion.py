"""``hmgen evaluate motion``: the shipped generators of head motion on any folder of landmark tracks.

Every generator goes on from the same single poses (thesis 4.4.2), and its futures are compared with what
heads of the same tracks did; ``real`` is another half of the real windows, ``static`` a head that stands
still.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hmgen_ros.data.tracks import Corpus
from hmgen_ros.evaluation.image_distances import FeatureNetwork, ImageDistances
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_reference import HORIZONS
from hmgen_ros.evaluation.motion_scores import (
    NotFinite,
    Reference,
    TooFewWindows,
    real_scores,
    score_generator,
    score_names,
    static_scores,
    too_few,
)
from hmgen_ros.evaluation.result_file import check_writable, without_nan, write_result
from hmgen_ros.evaluation.track_choice import (
    Choice,
    check_split,
    choose_tracks,
    cleaned_text,
    what_is_left,
)
from hmgen_ros.generators import head_forecaster
from hmgen_ros.generators.interface import SEED_LIMIT

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
            there are speakers that the shipped models were trained on, else all; give ``test`` where you
            trained on these tracks yourself.
        windows: at most so many windows to go on from, at least 8.
        samples: futures of each pose for the diversity, at least 2.
        seed: of the futures, at least 0 and below 2⁶³.
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
        check_split(self.split)
        if self.windows < 8 or self.samples < 2 or not 0 <= self.seed < SEED_LIMIT or self.threads < 1:
            raise ValueError(
                "windows must be at least 8, samples at least 2, seed at least 0 and below 2^63, and threads "
                f"at least 1, got {self.windows}, {self.samples}, {self.seed} and {self.threads}"
            )
        known = head_forecaster.MOTION_PREDICTORS
        if unknown := [name for name in self.models if name not in known]:
            raise ValueError(f"no head-motion predictor {unknown[0]!r}; there are {', '.join(known)}")


def evaluate_motion(config: EvaluateMotionConfig, console: Console | None = None) -> dict[str, Any]:
    """Score every model; writes, shows and returns the results.

    Returns:
        ``default``, ``models``, ``data``, ``image_networks`` (checksums), ``settings``, ``seed``, ``machine``
        and ``date``. Every model, ``real`` and ``static`` among them, has every score of
        :func:`hmgen_ros.evaluation.motion_scores.score_names`, None where it cannot be had; ``finding``, why
        a model has none at all; and ``seconds``, None of the two.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged.
        ValueError: they are too short or too few, or the results could not be written.
        hmgen_ros.generators.weights.WeightsError: a model file is missing or damaged.
    """
    console = console or Console()
    check_writable(config.json)
    torch.set_num_threads(config.threads)
    with console.status("reading and measuring the tracks"):
        choice = choose_tracks(config.data, config.split)
        corpus = choice.corpus()
        reference = reference_of(corpus, config.data, config.windows, config.device, _image_networks(config))
    _tell(choice, corpus, reference, console)
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
            scores: dict[str, Any] = {}
            try:
                scores |= score_generator(model, reference, config.samples, config.seed, config.device)
            except NotFinite as finding:
                console.print(f"{name}: {finding}")
                scores["finding"] = str(finding)
            results[name] = scores | {"seconds": time.monotonic() - started}
            progress.advance(bar)
    every = dict.fromkeys((*score_names(), *results["real"], "finding", "seconds"))
    report = {
        "default": default,
        "models": {name: every | scores for name, scores in results.items()},
        "data": choice.described() | describe(corpus, reference),
        "image_networks": reference.images.checksums(),
        "settings": {"split": config.split, "windows": config.windows, "samples": config.samples},
        "seed": config.seed,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return _publish(without_nan(report, 6), config, console)


def _image_networks(config: EvaluateMotionConfig) -> ImageDistances:
    given = ((config.inception, config.inception_sha256), (config.i3d, config.i3d_sha256))
    found = [path and FeatureNetwork.load(path, sha, config.device) for path, sha in given]
    return ImageDistances(*(net or None for net in found))


def reference_of(
    corpus: Corpus, folder: Path, windows: int, device: str, images: ImageDistances | None = None
) -> Reference:
    """What generators are compared with, of the pieces of tracks of a folder.

    Raises:
        TooFewWindows: they are too short or too few; says what was cleaned away.
    """
    net = MotionInception.load(device=device)
    try:
        return Reference.of(corpus.segments, windows, net, images)
    except TooFewWindows as error:
        raise TooFewWindows(f"{folder}: {error}; {what_is_left(corpus)}") from error


def _tell(choice: Choice, corpus: Corpus, reference: Reference, console: Console) -> None:
    """What the scores rest on, before they are there."""
    lines = [str(choice)]
    if cleaned := cleaned_text(corpus):
        lines.append(f"cleaned: {cleaned}")
    for ticks in HORIZONS:
        if ticks not in reference.horizons:
            lines.append(f"no *_{ticks}: {too_few(corpus.segments, ticks)}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


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


def _publish(report: dict[str, Any], config: EvaluateMotionConfig, console: Console) -> dict[str, Any]:
    table = Table("", *_SHOWN, title="Generated against real head motion; closer to `real` is better")
    for name, scores in report["models"].items():
        cells = ["–" if scores.get(column) is None else f"{scores[column]:.3f}" for column in _SHOWN]
        table.add_row(name, *cells, style="bold" if name == report["default"] else None)
    console.print(table)
    if config.json is not None:
        write_result(config.json, report)
        console.print(f"results: {config.json}", highlight=False)
    return report
