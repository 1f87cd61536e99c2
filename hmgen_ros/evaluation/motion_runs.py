"""Run folders of ``hmgen train suhmo`` with their scores on held-out tracks.

A folder is called ``<system>-<size>-s<seed>`` and holds ``config.json``, ``log.csv`` and ``result.json``
(:mod:`hmgen_ros.training.run_log`). The first report that sees its ``best.safetensors`` scores it and leaves
``scores.json``; from then on the weights are not needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hmgen_ros.evaluation.motion_scores import NotFinite, Reference, score_generator
from hmgen_ros.generators import motion_models

_NAME = re.compile(r"(?P<system>\w+)-(?P<size>\w+)-s(?P<seed>\d+)", re.ASCII)
SCORES = "scores.json"


class ReportError(ValueError):
    """A logged result cannot be read; the text names the file."""


@dataclass(frozen=True, slots=True)
class MotionRun:
    """One run of one system.

    Attributes:
        path: its folder.
        system: its name in :data:`hmgen_ros.training.motion_systems.SYSTEMS`.
        size: "small" or "thesis".
        seed: of the run.
        settings: of ``config.json``.
        machine: of ``config.json``.
        result: ``result.json``.
        scores: on the held-out tracks; empty where the run has not been scored.
    """

    path: Path
    system: str
    size: str
    seed: int
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    result: Mapping[str, Any]
    scores: Mapping[str, Any]


def read_runs(folder: Path) -> list[MotionRun]:
    """Every run in a folder, by name.

    Raises:
        ReportError: there is none, or a file is damaged.
    """
    runs = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        named = _NAME.fullmatch(path.name)
        if named is None or not (path / "result.json").is_file():
            continue
        config, result = _json(path / "config.json"), _json(path / "result.json")
        scores = _json(path / SCORES) if (path / SCORES).is_file() else {}
        system, size, seed = named["system"], named["size"], int(named["seed"])
        runs.append(
            MotionRun(path, system, size, seed, config["settings"], config.get("machine", {}), result, scores)
        )
    if not runs:
        raise ReportError(f"no run in {folder}; give the folder that hmgen train suhmo wrote to (--out)")
    return runs


def score_run(run: MotionRun, reference: Reference, samples: int, device: str) -> Mapping[str, Any]:
    """Score a run's best model and leave the scores beside it; with the run's seed.

    Raises:
        hmgen_ros.generators.weights.WeightsError: the model file is missing or damaged.
    """
    model = motion_models.read(run.path / "best.safetensors", device)
    found: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    try:
        found |= score_generator(model, reference, samples, run.seed, device)
    except NotFinite as finding:
        found["finding"] = str(finding)
    (run.path / SCORES).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def spread(runs: Sequence[MotionRun], metric: str, digits: int = 2) -> str:
    """``mean ± std`` over runs, the mean alone of one run, a dash of none."""
    values = [run.scores[metric] for run in runs if run.scores.get(metric) is not None]
    if not values:
        return "–"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ReportError(f"{path} cannot be read ({error}); run the training again") from error
    if not isinstance(found, dict):
        raise ReportError(f"{path} holds no JSON object; run the training again")
    return found
