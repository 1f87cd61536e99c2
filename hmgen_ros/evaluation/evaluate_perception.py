"""``hmgen evaluate perception``: the node's perception on any folder of scenes with known truth.

Recordings and truth files are as ``recordings/README.md`` describes them; the bundled recording is one, and
``recordings/compose_set.py`` makes more.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from hmgen_ros.evaluation.machine import machine, peak_memory_mb
from hmgen_ros.evaluation.perception_degradations import DEGRADATIONS, Voices, degrade, places
from hmgen_ros.evaluation.perception_run import Report, perceive
from hmgen_ros.evaluation.perception_scores import Scores
from hmgen_ros.evaluation.perception_scoring import score_scene
from hmgen_ros.evaluation.perception_truth import SceneTruth, read_scenes
from hmgen_ros.evaluation.result_file import check_writable, without_nan, write_result
from hmgen_ros.perception.backends import BACKEND_MODULES
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.streams.decode import SOUND_RATE
from hmgen_ros.streams.source import MediaError
from hmgen_ros.streams.video_file import FileSource
from hmgen_ros.types import AudioChunk

#: Columns on the screen and what they are called there; the JSON has more.
_SHOWN = {
    "id_switches": "switches",
    "mota": "MOTA",
    "active_speaker_ap": "speaker AP",
    "vad_f1": "VAD F1",
    "still_jitter_px": "jitter px",
}


@dataclass(frozen=True)
class EvaluatePerceptionConfig:
    """Settings of the evaluation.

    Attributes:
        scenes: folder with ``NAME.mp4`` (or avi, mkv, mov, …) and ``NAME.json`` or ``NAME.rttm`` each.
        json: file for the results; none is written without it.
        degrade: make the recordings worse, in this order: camera_noise, low_light, motion_blur, jpeg, grey,
            portrait, fps15, variable_rate, noise_20db, noise_10db, noise_0db.
        only: names of scenes; all by default.
        seconds: perceive only so much of each scene.
        backend: landmark backend.
        active_speaker: compare faces with the voice by the shipped syncer; lips alone without.
        workers: as in the node's settings; with 1 the CPU time of stages is exact. Results are the same.
        jobs: scenes at once, each in a process of its own.
        seed: of ids and noise.

    Raises:
        ValueError: a setting is out of its range; says which.
    """

    scenes: Path
    json: Path | None = None
    degrade: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    seconds: float | None = None
    backend: str = "mesh"
    active_speaker: bool = True
    workers: int = 1
    jobs: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if unknown := [name for name in self.degrade if name not in DEGRADATIONS]:
            raise ValueError(f"no degradation {unknown[0]!r}; there are {', '.join(DEGRADATIONS)}")
        if "portrait" in self.degrade[:-1]:
            raise ValueError("portrait changes the size of pictures and has to be the last degradation")
        if self.backend not in BACKEND_MODULES:
            raise ValueError(f"no backend {self.backend!r}; there are {', '.join(BACKEND_MODULES)}")
        if self.jobs < 1 or self.seed < 0 or (self.seconds is not None and self.seconds <= 0):
            raise ValueError(
                f"jobs must be at least 1, seed at least 0 and seconds above 0, got {self.jobs}, {self.seed} "
                f"and {self.seconds}"
            )


def evaluate_perception(
    config: EvaluatePerceptionConfig,
    console: Console | None = None,
    settings: PerceptionConfig | None = None,
) -> dict[str, Any]:
    """Perceive every scene and score it; shows, writes and returns the results.

    Args:
        config: settings of the evaluation.
        console: where to show progress and results.
        settings: of perception, instead of the node's defaults.

    Returns:
        The figures of :meth:`~hmgen_ros.evaluation.perception_scores.Scores.summary` over all scenes,
        ``scenes`` with the same for each, ``not_scored``, ``failed``, ``settings``, ``machine``, ``date``.

    Raises:
        hmgen_ros.evaluation.perception_truth.SceneError: there are no scenes that could be scored.
        ValueError: none of the recordings can be read, or the results could not be written.
    """
    console = console or Console()
    check_writable(config.json)
    left_out: dict[str, str] = {}
    scenes = _chosen(read_scenes(config.scenes, left_out), left_out, config)
    found = score_scenes(scenes, config, console, settings)
    if len(found) == sum(bool(s.failed) for s in found.values()):
        raise ValueError("; ".join(reason for s in found.values() for reason in s.failed.values()))
    total = sum(found.values(), Scores())
    report: dict[str, Any] = {
        **total.summary(),
        "scenes": {name: found[name].summary() for name in sorted(found) if not found[name].failed},
        "not_scored": total.not_scored,
        "failed": total.failed | left_out,
        "settings": {"degrade": list(config.degrade), "seed": config.seed, "backend": config.backend},
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    report = without_nan(report)
    _show(report, console)
    if config.json:
        write_result(config.json, report)
    return report


def score_scenes(
    scenes: list[SceneTruth],
    config: EvaluatePerceptionConfig,
    console: Console,
    settings: PerceptionConfig | None = None,
) -> dict[str, Scores]:
    """The scores of each scene by its name, with a progress bar over the seconds of all recordings."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    lengths = {s.name: min(_length_s(s.media), config.seconds or math.inf) for s in scenes}
    found: dict[str, Scores] = {}
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("perceiving", total=sum(lengths.values()))

        def report(seconds: float) -> None:
            progress.update(bar, completed=sum(lengths[name] for name in found) + seconds)

        for name, scores in _results(scenes, config, settings, report):
            found[name] = scores
            report(0.0)
    return found


def _results(
    scenes: list[SceneTruth],
    config: EvaluatePerceptionConfig,
    settings: PerceptionConfig | None,
    report: Report,
) -> Iterator[tuple[str, Scores]]:
    if config.jobs == 1:
        for scene in scenes:
            yield scene.name, score_recording(scene, config, settings, report)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(config.jobs, context) as pool:
        work = {pool.submit(score_recording, scene, config, settings): scene.name for scene in scenes}
        for future in as_completed(work):
            yield work[future], future.result()


def score_recording(
    scene: SceneTruth,
    config: EvaluatePerceptionConfig,
    settings: PerceptionConfig | None = None,
    report: Report = lambda seconds: None,
) -> Scores:
    """Perceive and score one scene; one that cannot be read has its reason in ``failed``."""
    torch.set_num_threads(1)
    chosen = settings or PerceptionConfig(
        backend=config.backend, workers=config.workers, active_speaker=config.active_speaker
    )
    chosen = replace(chosen, seed=config.seed)
    try:
        size, voices = _picture_size(scene.media), Voices(seed=config.seed)
        if any(name.startswith("noise") for name in config.degrade):
            voices = replace(voices, level_db=_voice_level_db(scene))
        found = perceive(
            scene.media,
            chosen,
            lambda items: degrade(items, config.degrade, voices),
            report,
            config.seconds,
        )
    except MediaError as error:
        return Scores(failed={scene.name: str(error)})
    scores = score_scene(scene, found, places(config.degrade, size), whole=config.seconds is None)
    scores.peak_mb = peak_memory_mb()
    return scores


def _chosen(
    scenes: list[SceneTruth], left_out: dict[str, str], config: EvaluatePerceptionConfig
) -> list[SceneTruth]:
    """The scenes that are asked for; what else is left out is nothing to be told then."""
    if not config.only:
        return scenes
    names = [scene.name for scene in scenes]
    if unknown := [name for name in config.only if name not in names]:
        why = left_out.get(unknown[0], f"there are {', '.join(names)}")
        raise ValueError(f"{config.scenes}: no scene {unknown[0]!r}; {why}")
    left_out.clear()
    return [scene for scene in scenes if scene.name in config.only]


def _length_s(media: Path) -> float:
    try:
        with FileSource(media, ahead=0) as source:
            return source.duration_s or 0.0
    except MediaError:
        return 0.0


def _picture_size(media: Path) -> tuple[int, int]:
    with FileSource(media, ahead=0) as source:
        if source.size is None:
            raise MediaError(f"{media}: has no pictures")
        return source.size


def _voice_level_db(scene: SceneTruth) -> float:
    """RMS of the sound while somebody speaks, or of all of it where that is not known."""
    with FileSource(scene.media, base_ns=1, ahead=0) as source:
        parts = [item.samples for item in source if isinstance(item, AudioChunk)]
    sound = np.concatenate([*parts, np.zeros(1, np.float32)]).astype(np.float64)
    spoken = scene.spoken(np.arange(len(sound)) / SOUND_RATE)
    power = np.square(sound if spoken is None or not spoken.any() else sound[spoken]).mean()
    return 10 * math.log10(power) if power > 0 else -math.inf


def _show(report: dict[str, Any], console: Console) -> None:
    table = Table("", *_SHOWN.values(), "speaking F1", "CPU ms", title="Perception")
    for name, values in (*report["scenes"].items(), ("all", report)):
        speaking = values["labels"].get("speaking", {}).get("f1")
        cells = [*(values[key] for key in _SHOWN), speaking, values["cpu_ms"]["frame"]]
        table.add_row(name, *map(_cell, cells), style="bold" if name == "all" else None)
    console.print(table)
    for name, label in report["labels"].items():
        told = label["events"]
        console.print(
            f"{name}: precision {_cell(label['precision'])}, recall {_cell(label['recall'])}; of "
            f"{told['true']} events F1 {_cell(told['f1'])}",
            highlight=False,
        )
    for name, fields in report["not_scored"].items():
        console.print(f"{name}: not known, so not scored: {'; '.join(fields)}", highlight=False)
    for name, reason in report["failed"].items():
        console.print(f"{name}: left out: {reason}", highlight=False, style="red")


def _cell(value: float | int | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
