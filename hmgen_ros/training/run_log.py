"""The folder of one training run: settings, curves, results, and the model at its best and at its last.

| file | holds |
|---|---|
| ``config.json`` | every setting, the machine, the date |
| ``log.csv`` | a line each few iterations; a cell is empty where nothing was measured at that iteration |
| ``result.json`` | the metrics at the best and the last evaluation, the data's own, iterations and seconds |
| ``best.safetensors`` | the model at its best evaluation, as ``models/`` holds it |
| ``last.safetensors`` | the state of the training, from which it goes on |
| ``tensorboard/`` | the curves of ``log.csv`` |
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from hmgen_ros.evaluation.machine import machine
from hmgen_ros.training.checkpoint import replacing

_FIRST_COLUMNS = ("iteration", "epoch", "seconds")


class RunError(RuntimeError):
    """A run folder cannot be used as asked; the text says what to do."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of one run.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """``config.json``."""
        return self.path / "config.json"

    @property
    def log(self) -> Path:
        """``log.csv``."""
        return self.path / "log.csv"

    @property
    def result(self) -> Path:
        """``result.json``."""
        return self.path / "result.json"

    @property
    def best(self) -> Path:
        """``best.safetensors``."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """``last.safetensors``."""
        return self.path / "last.safetensors"

    def finished(self, iterations: int) -> bool:
        """Whether a run of (at least) so many iterations has ended here."""
        return self.result.is_file() and int(_read_json(self.result).get("iterations", 0)) >= iterations

    def check(self, settings: Mapping[str, Any], force: bool) -> None:
        """Check what :meth:`prepare` would refuse, and leave everything as it is.

        A trainer asks this first and prepares the folder when the data have been read and laid out: a run
        that is refused for its data leaves nothing behind, and a forced one does not remove the old run.

        Raises:
            RunError: as :meth:`prepare`.
        """
        self._check_ours()
        if not force and self.config.is_file():
            self._compare(_read_json(self.config).get("settings"), settings)

    def prepare(self, settings: Mapping[str, Any], options: Mapping[str, Any], force: bool) -> None:
        """Make the folder, or check that the run in it had the same settings.

        Args:
            settings: what decides the numbers of the run; JSON-able. Written to ``config.json``.
            options: what may be another one when the run goes on; written beside the settings.
            force: remove what another run left here.

        Raises:
            RunError: another run with other settings lies here, or the folder holds something else.
        """
        self.check(settings, force)
        if force and self.path.exists():
            shutil.rmtree(self.path)
        if self.config.is_file():
            write_json(self.config, {**_read_json(self.config), "options": options})
            return
        self.path.mkdir(parents=True, exist_ok=True)
        content = {"settings": settings, "options": options, "machine": machine()}
        write_json(self.config, {**content, "date": datetime.now(UTC).isoformat(timespec="seconds")})

    def _check_ours(self) -> None:
        """A folder with other things in it is neither removed nor written to."""
        if self.path.exists() and any(self.path.iterdir()) and not self.config.is_file():
            raise RunError(f"{self.path} exists and holds no run (no config.json); choose another folder")

    def _compare(self, old: Any, settings: Mapping[str, Any]) -> None:
        # Through JSON, so that tuples and lists are the same.
        new = json.loads(json.dumps(settings))
        if not isinstance(old, dict):
            raise RunError(f"{self.config} has no settings; start over with --force")
        differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if differing:
            key = differing[0]
            raise RunError(
                f"{self.path} holds a run with other settings ({', '.join(differing)}: it has {key} = "
                f"{old.get(key)!r}, now {new.get(key)!r}); start over with --force or choose another folder"
            )


class RunLog:
    """Writes ``log.csv`` and TensorBoard."""

    def __init__(self, folder: RunFolder, iteration: int) -> None:
        """Open the logs, keeping what they hold up to an iteration.

        Args:
            folder: of the run.
            iteration: where the run goes on; later lines were written by a run that was cut off after
                its last checkpoint and are made again.
        """
        self._path = folder.log
        rows = [row for row in _read_rows(self._path) if int(row["iteration"]) <= iteration]
        self._columns = list(rows[0]) if rows else list(_FIRST_COLUMNS)
        self._write(rows)
        self._tensorboard = TensorBoardLogger(
            folder.path, name="tensorboard", version="", purge_step=iteration + 1
        )

    def add(self, row: Mapping[str, float]) -> None:
        """Append one line; must have ``iteration``. New names become new columns."""
        new = [name for name in row if name not in self._columns]
        if new:
            self._columns += new
            self._write(_read_rows(self._path))
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, restval="").writerow({k: _cell(v) for k, v in row.items()})
        values = {name: value for name, value in row.items() if name not in _FIRST_COLUMNS}
        self._tensorboard.log_metrics(values, step=int(row["iteration"]))

    def close(self) -> None:
        """Flush TensorBoard."""
        self._tensorboard.finalize("success")

    def _write(self, rows: list[dict[str, str]]) -> None:
        with replacing(self._path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)


def write_json(path: Path, content: Any) -> None:
    """Write JSON at once; NaN and infinities, which JSON lacks, become null."""
    with replacing(path) as part:
        part.write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        # The process may have died in the middle of the last line.
        return [row for row in csv.DictReader(file) if row["iteration"] and None not in row.values()]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is not readable ({error}); start over with --force") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} holds no JSON object; start over with --force")
    return content


def _cell(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
