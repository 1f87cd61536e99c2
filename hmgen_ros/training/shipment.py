"""Ships the best model of a run: the file in ``models/``, its entry in the manifest and its card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from lightning_fabric.fabric import Fabric

from hmgen_ros.generators import weights
from hmgen_ros.training.run_log import RunFolder

LICENCE = "CC-BY-4.0"


class Shippable(Protocol):
    """Settings of a run whose model may be shipped."""

    @property
    def ship(self) -> str | None:
        """Name of the model in the manifest; None does not ship it."""

    @property
    def models(self) -> Path:
        """Folder of manifest, models and cards."""

    @property
    def folder(self) -> RunFolder:
        """Of the run."""


@dataclass(frozen=True)
class Shipment:
    """What is shipped.

    Attributes:
        folder: of a run that has a best model.
        name: of the model in the manifest.
        models: folder of manifest, models and cards.
        command: that trains this model.
    """

    folder: RunFolder
    name: str
    models: Path
    command: str

    @classmethod
    def asked(cls, config: Shippable, fabric: Fabric, command: str) -> Shipment | None:
        """What settings ask for, in the process that is to write it; None where nothing is."""
        if not config.ship or not fabric.is_global_zero:
            return None
        return cls(config.folder, config.ship, config.models, command)

    @cached_property
    def best(self) -> weights.Weights:
        """The run's best model; raises WeightsError where it is damaged."""
        return weights.read(self.folder.best)

    @cached_property
    def result(self) -> dict[str, Any]:
        """The run's ``result.json``."""
        found: dict[str, Any] = json.loads(self.folder.result.read_text(encoding="utf-8"))
        return found

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What decided the numbers of the run."""
        found: dict[str, Any] = json.loads(self.folder.config.read_text(encoding="utf-8"))["settings"]
        return found

    @property
    def scores(self) -> str:
        """Lines of a Markdown table: metric, model, data."""
        model, data = self.result["best"], self.result["data"]
        names = [name for name in model if name != "iteration"]
        return "\n".join(f"| {name} | {_number(model[name])} | {_number(data.get(name))} |" for name in names)

    def write(
        self, card: str, facts: Mapping[str, Any], trained_on: str, licence_note: str, told: Sequence[str]
    ) -> Path:
        """Write model, manifest entry and card.

        Args:
            card: Markdown with ``{names}`` of facts, of the entry and of what every run has.
            facts: what only this card says.
            trained_on: on how much of what.
            licence_note: whose data these are, and on what terms.
            told: settings of the run that the entry names.

        Returns:
            The model file.

        Raises:
            hmgen_ros.generators.weights.WeightsError: the run's model or the manifest is damaged.
        """
        path, result = self.models / f"{self.name}.safetensors", self.result
        entry = {
            "file": path.name,
            "sha256": weights.save(path, self.best.config, self.best.tensors),
            "bytes": path.stat().st_size,
            "kind": self.best.config["kind"],
            "card": f"{self.name}.md",
            "licence": LICENCE,
            "licence_note": licence_note,
            "trained_on": trained_on,
            "command": self.command,
            "created": datetime.now(UTC).date().isoformat(),
            **{setting: self.settings[setting] for setting in told},
            "metrics": {"validation": {"model": result["best"], "data": result["data"]}},
        }
        weights.register(self.models / "manifest.yaml", self.name, entry)
        run = {
            "title": self.name,
            "iterations": result["iterations"],
            "minutes": result["seconds"] / 60.0,
            "best_iteration": result["best"]["iteration"],
        }
        (self.models / f"{self.name}.md").write_text(card.format(**run, **entry, **facts), encoding="utf-8")
        return path


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4f}"
