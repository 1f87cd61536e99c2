"""Ships the best model of a head-motion run: the file in ``models/``, its manifest entry and its card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hmgen_ros.data.tracks import Corpus
from hmgen_ros.generators import weights
from hmgen_ros.training.motion_systems import MotionSystem
from hmgen_ros.training.run_log import RunFolder
from hmgen_ros.types import TICK_HZ

LICENCE = "CC-BY-4.0"
_GRID = "the GRID audio-visual sentence corpus (M. Cooke, J. Barker, S. Cunningham, X. Shao, 2006; CC BY 4.0)"
#: Of everything trained on the tracks in ``../shared/data``.
LICENCE_NOTE = (
    f"Trained on landmarks of {_GRID} and on landmark files of public addresses (files under MIT licence, "
    "footage of the US government, public domain)."
)
#: Of what is trained on those tracks there that have sound.
SPEECH_LICENCE_NOTE = f"Trained on landmarks and sound of {_GRID}."

_TEXT = """# {title}

{text}.

- Use: a head that moves by itself, from one pose on and without sound, for as long as one likes; and what
  heads in view will probably do. Trained on few people who speak to a camera, one of them far livelier
  than the others; listeners, profile views and people who walk about are a guess.
- Trained on: {trained_on}. Speakers of the validation and test parts are others, but for recordings of two
  speakers (see `hmgen_ros/data/tracks.py`).
- Command: `{command}` ({created}), {iterations} iterations in {minutes:.1f} minutes; the best of them by
  validation {metric} is iteration {best_iteration}.
- Licence: {licence}. {licence_note}
- File: `{file}`, {bytes} bytes, SHA-256 `{sha256}`

## Scores on the validation tracks

One generated future of {steps} ticks from each of some held-out poses. `fd_window` is the Fréchet distance
of plain features of displacements and velocities (lower is closer; `data` is that of training windows), speed
and jerk are in units of the data's; `energy`, where it stands, is the score that the model was trained by.
`hmgen evaluate motion` gives the scores that models are compared by.

| metric | model | data |
| --- | --- | --- |
{scores}
"""


def ship(
    folder: RunFolder, name: str, models: Path, command: str, system: MotionSystem, corpus: Corpus
) -> Path:
    """Write model, manifest entry and card.

    Args:
        folder: of a run that has a best model.
        name: of the model in the manifest.
        models: folder of manifest, models and cards.
        command: that trains this model.
        system: what was trained.
        corpus: the training part.

    Returns:
        The model file.

    Raises:
        hmgen_ros.generators.weights.WeightsError: the run's model or the manifest is damaged.
    """
    settings = settings_of(folder)
    path, entry, result = write_best(folder, name, models, command, corpus, LICENCE_NOTE, ("system", "seed"))
    card = _TEXT.format(
        title=name,
        text=system.text,
        metric=system.metric,
        steps=settings["steps"],
        scores=score_rows(result["best"], result["data"]),
        **run_facts(result),
        **entry,
    )
    (models / f"{name}.md").write_text(card, encoding="utf-8")
    return path


def write_best(
    folder: RunFolder,
    name: str,
    models: Path,
    command: str,
    corpus: Corpus,
    licence_note: str,
    told: Sequence[str],
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Write a run's best model and its manifest entry.

    Args:
        folder: of a run on landmark tracks that has a best model.
        name: of the model in the manifest.
        models: folder of manifest, models and cards.
        command: that trains this model.
        corpus: the training part.
        licence_note: whose data it was trained on, and on what terms.
        told: settings of the run that the entry names.

    Returns:
        The model file, the entry and the run's ``result.json``.

    Raises:
        hmgen_ros.generators.weights.WeightsError: the run's model or the manifest is damaged.
    """
    best = weights.read(folder.best)
    result = json.loads(folder.result.read_text(encoding="utf-8"))
    settings = settings_of(folder)
    path = models / f"{name}.safetensors"
    digest = weights.save(path, best.config, best.tensors)
    entry = {
        "file": path.name,
        "sha256": digest,
        "bytes": path.stat().st_size,
        "kind": best.config["kind"],
        "card": f"{name}.md",
        "licence": LICENCE,
        "licence_note": licence_note,
        "trained_on": origin(corpus),
        "command": command,
        "created": datetime.now(UTC).date().isoformat(),
        **{setting: settings[setting] for setting in told},
        "metrics": {"validation": {"model": result["best"], "data": result["data"]}},
    }
    weights.register(models / "manifest.yaml", name, entry)
    return path, entry, result


def settings_of(folder: RunFolder) -> dict[str, Any]:
    """What decided the numbers of a run."""
    settings: dict[str, Any] = json.loads(folder.config.read_text(encoding="utf-8"))["settings"]
    return settings


def run_facts(result: Mapping[str, Any]) -> dict[str, Any]:
    """What cards say of a run: its length, and which iteration was the best."""
    return {
        "iterations": result["iterations"],
        "minutes": result["seconds"] / 60.0,
        "best_iteration": result["best"]["iteration"],
    }


def origin(corpus: Corpus) -> str:
    """How much of whom a model was trained on."""
    minutes = corpus.ticks / TICK_HZ / 60.0
    amount = f"{minutes:.0f} minutes of landmark tracks ({len(corpus.segments)} pieces)"
    return f"{amount} of {', '.join(corpus.speakers)}"


def score_rows(model: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Lines of a Markdown table: metric, model, data."""
    names = [name for name in model if name != "iteration"]
    return "\n".join(f"| {name} | {_number(model[name])} | {_number(data.get(name))} |" for name in names)


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4f}"
