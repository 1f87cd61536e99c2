"""Reads the run folders of ``hmgen train social`` back: results, curves, and their spread over seeds.

A folder is called ``<system>-t<T>-reco<λ>-s<seed>`` and holds ``config.json``, ``log.csv`` and
``result.json`` (:mod:`hmgen_ros.training.run_log`); the models in it are not needed here.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NAME = re.compile(r"(?P<system>\w+)-t(?P<target>\d+)-reco(?P<reco>[\d.e+-]+)-s(?P<seed>\d+)", re.ASCII)


class ReportError(ValueError):
    """A logged result cannot be read; the text names the file."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one system.

    Attributes:
        system: its name in :data:`hmgen_ros.training.social_systems.SYSTEMS`, or of another trainer.
        target: generated ticks T.
        lambda_reco: weight of the squared error (3.13).
        seed: of the run.
        config: ``config.json``.
        result: ``result.json``.
        curves: columns of ``log.csv``, each ``[rows]``; NaN where nothing was measured.
    """

    system: str
    target: int
    lambda_reco: float
    seed: int
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    curves: Mapping[str, NDArray[np.float64]]

    def value(self, part: str, metric: str) -> float:
        """A number of ``result.json``.

        Args:
            part: ``best`` (the evaluation with the lowest SFID), ``last``, or ``data``.
            metric: for instance ``H_M``.

        Returns:
            The number, NaN where it is missing.
        """
        return number((self.result.get(part) or {}).get(metric))

    @property
    def name(self) -> str:
        """Name of the folder, with λ in its shortest form."""
        return f"{self.system}-t{self.target}-reco{self.lambda_reco:g}-s{self.seed}"

    @property
    def iterations(self) -> int:
        """Iterations done."""
        return int(self.result.get("iterations", 0))

    @property
    def finished(self) -> bool:
        """Whether all iterations that the run was asked for are done."""
        return self.iterations >= int(self.option("iterations") or 0)

    def option(self, name: str) -> Any:
        """A setting by name, None where the run has none of that name."""
        for part in ("settings", "options"):
            values = self.config.get(part) or {}
            if name in values:
                return values[name]
        return None


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over seeds.

    Attributes:
        mean: over the seeds.
        std: of the sample (n − 1); NaN for one seed.
        count: seeds.
    """

    mean: float
    std: float
    count: int


def read_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """All runs in a folder, sorted by name.

    Args:
        folder: of run folders; it may be missing.

    Returns:
        The runs that have a result, and the names of folders that are passed over: they are called
        differently or have no ``result.json`` yet.

    Raises:
        ReportError: a file of a run is damaged.
    """
    runs, passed = [], []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not path.is_dir():
            continue
        name = _NAME.fullmatch(path.name)
        if name is None or not (path / "result.json").is_file():
            passed.append(path.name)
            continue
        try:
            reco = float(name["reco"])
        except ValueError:
            passed.append(path.name)
            continue
        config, result = read_json(path / "config.json"), read_json(path / "result.json")
        curves = _read_log(path / "log.csv")
        runs.append(Run(name["system"], int(name["target"]), reco, int(name["seed"]), config, result, curves))
    return runs, passed


def select(runs: Sequence[Run], system: str, target: int, lambda_reco: float | None = None) -> list[Run]:
    """The seeds of one setting.

    Args:
        runs: of all settings.
        system: its name.
        target: generated ticks.
        lambda_reco: weight of the squared error. None: 0, or the smallest there is for a system that was
            never run with 0 (No-GAN has no other loss).
    """
    found = [run for run in runs if run.system == system and run.target == target]
    if lambda_reco is None and found:
        lambda_reco = min(run.lambda_reco for run in found)
    return [run for run in found if lambda_reco is not None and math.isclose(run.lambda_reco, lambda_reco)]


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and standard deviation of the finite values; None where there is none."""
    finite = np.array([value for value in values if math.isfinite(value)])
    if not len(finite):
        return None
    std = float(finite.std(ddof=1)) if len(finite) > 1 else math.nan
    return Spread(float(finite.mean()), std, len(finite))


def mean_curve(
    runs: Sequence[Run], metric: str
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """A validation metric over the training, over seeds.

    Args:
        runs: seeds of one setting.
        metric: a column of ``log.csv``.

    Returns:
        Iterations ``[K]`` at which at least one seed was measured, mean ``[K]`` and standard deviation
        ``[K]`` over the seeds measured there; the deviation is 0 where only one was.
    """
    points: dict[int, list[float]] = {}
    for run in runs:
        if metric not in run.curves:
            continue
        for iteration, value in zip(run.curves["iteration"], run.curves[metric], strict=True):
            if math.isfinite(value):
                points.setdefault(int(iteration), []).append(value)
    iterations = sorted(points)
    means = [float(np.mean(points[i])) for i in iterations]
    stds = [float(np.std(points[i], ddof=1)) if len(points[i]) > 1 else 0.0 for i in iterations]
    return np.array(iterations, np.int64), np.array(means), np.array(stds)


def number(value: Any) -> float:
    """A JSON number as a float; null and missing become NaN."""
    return float(value) if isinstance(value, (int, float)) else math.nan


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ReportError: the file is missing, damaged or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} is not readable ({error}); make it again or remove the run") from error
    if not isinstance(content, dict):
        raise ReportError(f"{path} holds no JSON object; make it again or remove the run")
    return content


def _read_log(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            # The process may have died in the middle of the last line.
            rows = [row for row in csv.DictReader(file) if None not in row.values()]
        columns = list(rows[0]) if rows else []
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in columns}
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} is not readable ({error}); make it again or remove the run") from error
