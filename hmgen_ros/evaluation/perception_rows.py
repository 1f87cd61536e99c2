"""The rows of the perception report: which scenes, made worse by what; scored once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import hmgen_ros
from hmgen_ros.evaluation.evaluate_perception import EvaluatePerceptionConfig, score_scenes
from hmgen_ros.evaluation.perception_degradations import DEGRADATIONS
from hmgen_ros.evaluation.perception_metrics import precision_recall
from hmgen_ros.evaluation.perception_scores import Scores
from hmgen_ros.evaluation.perception_truth import read_scenes
from hmgen_ros.evaluation.result_file import without_nan
from hmgen_ros.resources import resource

#: Points kept of a curve.
_CURVE = 200
#: Seconds of the two scenes that every degradation is applied to.
WORSE_S = 60.0


class RunError(RuntimeError):
    """Scenes cannot be composed; says why."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: of the row.
        text: what is seen or heard in it.
        kinds: scenes of these kinds take part.
        degrade: what is done to them.
        first_only: only the first scene of each kind, and only :data:`WORSE_S` of it.
        lips_only: without the syncer.
        apart: in a process of its own, whose memory and times are measured.
    """

    name: str
    text: str
    kinds: tuple[str, ...]
    degrade: tuple[str, ...] = ()
    first_only: bool = False
    lips_only: bool = False
    apart: bool = False


CLEAN = "seated"
ROWS = (
    Row(CLEAN, "three people keep their seats", ("seated",)),
    Row("crossing", "two of them change places ten times a scene, one before the other", ("crossing",)),
    Row("leaving", "they leave and return within 10 s", ("leaving",)),
    Row("hidden", "hands and books before faces", ("hidden",)),
    Row("gestures", "nods, shakes, and slow glances that are neither", ("gestures",)),
    Row("two_voices", "two voices at once most of the time", ("two_voices",)),
    Row("still", "held pictures with noise of a camera, 640 × 480", ("still",), ("camera_noise",)),
    Row("undisturbed", "as below, but undisturbed", ("seated", "gestures"), first_only=True),
    *(
        Row(name, how.text, ("seated", "gestures"), (name,), first_only=True)
        for name, how in DEGRADATIONS.items()
        if name != "camera_noise"
    ),
    Row("lips_only", "without the syncer: lips alone tell who speaks", ("seated",), (), True, lips_only=True),
    Row("one", "one person", ("one",), apart=True),
    Row("four", "four people", ("four",), apart=True),
)


def compose(folder: Path, data: Path, seed: int) -> None:
    """Compose the scenes that are not there yet, by ``recordings/compose_set.py``.

    Raises:
        RunError: that failed; its own message was shown.
    """
    script = resource("recordings/compose_set.py")
    command = [sys.executable, str(script), "--data", str(data), "--out", str(folder), "--seed", str(seed)]
    if subprocess.run(command, check=False).returncode:
        raise RunError("the scenes cannot be composed; see the message above")


def measure(
    row: Row, folder: Path, cache: Path, seconds: float | None, console: Console
) -> dict[str, Any] | None:
    """A row's figures, from the cache where scenes and perception are as they were.

    Args:
        row: what to measure.
        folder: of the scenes.
        cache: folder for results.
        seconds: at most so much of every scene.
        console: shows progress.

    Returns:
        The summary of :class:`Scores`, with ``curve`` (recall and precision of who speaks), ``timeline``,
        ``scene_names``, ``load`` (processes at work or waiting, a core), ``date`` and ``key``; None where
        there is no scene of the row's kinds.
    """
    scenes = [s for s in read_scenes(folder) if s.kind in row.kinds]
    if row.first_only:
        scenes = [s for s in scenes if s.name.endswith("_1")]
        seconds = min(seconds or WORSE_S, WORSE_S)
    if not scenes:
        return None
    key = _key(row, [s.media for s in scenes], seconds)
    before = kept(row, cache)
    if before is not None and before["key"] == key:
        return before
    console.print(f"{row.name}: {row.text}", highlight=False)
    config = EvaluatePerceptionConfig(
        folder,
        degrade=row.degrade,
        seconds=seconds,
        active_speaker=not row.lips_only,
        jobs=2 if row.apart else 1,
    )
    by_scene = score_scenes(scenes, config, console)
    total = sum(by_scene.values(), Scores())
    result = {
        **total.summary(),
        "curve": _curve(total),
        "timeline": [list(run) for run in total.timeline],
        "scene_names": sorted(by_scene),
        "failed": total.failed,
        "load": os.getloadavg()[0] / (os.cpu_count() or 1),
        "date": datetime.now(UTC).date().isoformat(),
        "key": key,
    }
    cache.mkdir(parents=True, exist_ok=True)
    text = json.dumps(without_nan(result), indent=1, allow_nan=False)
    (cache / f"{row.name}.json").write_text(text + "\n", encoding="utf-8")
    return result


def kept(row: Row, cache: Path) -> dict[str, Any] | None:
    """A row's figures in the cache, whatever they were measured with; None where there are none."""
    path = cache / f"{row.name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def _curve(scores: Scores) -> dict[str, list[float]]:
    if not scores.score:
        return {"recall": [], "precision": []}
    recall, precision = precision_recall(np.concatenate(scores.spoken), np.concatenate(scores.score))
    at = np.unique(np.linspace(0, len(recall) - 1, _CURVE).round().astype(int))[: len(recall)]
    return {"recall": recall[at].tolist(), "precision": precision[at].tolist()}


def _key(row: Row, media: Iterable[Path], seconds: float | None) -> str:
    """Changes with the row, its scenes, and the code and models that perceive and score."""
    root = Path(hmgen_ros.__file__).parent
    code = [*root.glob("perception/**/*.py"), *root.glob("evaluation/perception_*.py")]
    digest = hashlib.sha256(f"{row} {seconds}".encode())
    for path in sorted(code):
        digest.update(path.read_bytes())
    for path in media:
        digest.update(path.with_suffix(".json").read_bytes())
    digest.update(resource("models/manifest.yaml").read_bytes())
    return digest.hexdigest()[:16]


def value(results: Mapping[str, Mapping[str, Any]], row: str, *path: str) -> float | None:
    """A figure of a row; None where there is none or it is no number."""
    found: Any = results.get(row)
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return None if found is None or found != found else float(found)
