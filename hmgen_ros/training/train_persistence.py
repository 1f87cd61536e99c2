"""Counts the reference "the last action persists" on the AMI training meetings and writes it with its card.

It becomes a file like every other model, so that it can be scored on folders without training meetings.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from hmgen_ros.data.ami import complete_meetings, data_directory
from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.generators.persistence import Persistence
from hmgen_ros.training.card import LICENCE, LICENCE_NOTE
from hmgen_ros.types import TICK_HZ

_CARD = """# {title}

The simplest forecast of joint actions: sampled futures repeat what a person does now. The probabilities give
the share `changed` of each tick ahead to the other actions, by how common they are. A reference for every
other forecaster, never a choice of its own.

- Trained on: {trained_on}
- Command: `{command}` ({created})
- Licence: {licence}. {licence_note}
- File: `{file}`, {bytes} bytes, SHA-256 `{sha256}`

Probability of doing something else: {changed}

Actions and shares: {shares}
"""
_SHOWN_S = (0.04, 0.2, 0.4, 0.8, 1.6, 3.2)


@dataclass(frozen=True)
class PersistenceTrainConfig:
    """Settings of the counting.

    Attributes:
        data: folder that holds ``ami_25hz/``; HMGEN_DATA or ``../shared/data`` where none is given.
        out: folder of the model, its card and the manifest.
        share: the action space takes the most common joint actions up to this part of all ticks.
        limit: at most so many joint actions.
        steps: ticks ahead that are counted, at least 1; further ahead the last one holds.

    Raises:
        ValueError: ``steps`` is below 1.
    """

    data: Path | None = None
    out: Path = Path("models")
    share: float = 0.9995
    limit: int = 24
    steps: int = 80

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


def train(settings: PersistenceTrainConfig, console: Console | None = None) -> Path:
    """Count and write; returns the model file.

    Raises:
        hmgen_ros.data.ami.CorpusError: the data are missing or damaged.
        hmgen_ros.generators.weights.WeightsError: the manifest in ``out`` is damaged.
    """
    console = console or Console()
    with console.status("reading and counting the training meetings"):
        meetings = complete_meetings(data_directory(settings.data) / "ami_25hz", "train")
        masks = np.concatenate([m.masks.ravel() for m in meetings])
        space = ActionSpace.most_common(masks, settings.share, settings.limit)
        model = Persistence.fit(space, [space.encode_array(m.masks) for m in meetings], settings.steps)
    hours = sum(len(m.masks) for m in meetings) / TICK_HZ / 3600
    series = ", ".join(sorted({m.info.series for m in meetings}))
    path = _write(settings, model, f"{len(meetings)} meetings ({hours:.1f} h) of {series}")
    console.print(f"wrote {path}; probability of doing something else: {_changed(model)}")
    return path


def _changed(model: Persistence) -> str:
    ticks = [round(seconds * TICK_HZ) for seconds in _SHOWN_S]
    shown = [(t / TICK_HZ, float(model.changed[t - 1])) for t in ticks if t <= len(model.changed)]
    return ", ".join(f"{value:.4f} after {seconds:g} s" for seconds, value in shown)


def _write(settings: PersistenceTrainConfig, model: Persistence, origin: str) -> Path:
    path = settings.out / "persistence.safetensors"
    digest = weights.save(path, *model.to_weights())
    usual, words = PersistenceTrainConfig(), ["hmgen", "train", "persistence"]
    for name in ("share", "limit", "steps"):
        if (value := getattr(settings, name)) != getattr(usual, name):
            words += [f"--{name}", str(value)]
    entry: dict[str, Any] = {
        "file": path.name,
        "sha256": digest,
        "bytes": path.stat().st_size,
        "kind": "persistence",
        "card": "persistence.md",
        "licence": LICENCE,
        "licence_note": LICENCE_NOTE,
        "trained_on": f"AMI Meeting Corpus, manual annotations 1.7, {origin}",
        "command": shlex.join(words),
        "created": datetime.now(UTC).date().isoformat(),
    }
    weights.register(settings.out / "manifest.yaml", "persistence", entry)
    named = zip(model.space.labels, model.shares.tolist(), strict=True)
    shares = ", ".join(f"{label} {share:.4%}" for label, share in named)
    text = _CARD.format(title="persistence", changed=_changed(model), shares=shares, **entry)
    (settings.out / "persistence.md").write_text(text, encoding="utf-8")
    return path
