"""Trains the semi-Markov reference forecaster on the AMI meetings and writes it with its card.

Only meetings in which head gestures and movement are annotated are counted: in the others a nod that
nobody annotated would count as sitting still, and the shares of the joint actions, on which the action
space rests, would be wrong. Held-out series never reach the counts.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hmgen_ros.data.ami import Meeting, complete_meetings, data_directory
from hmgen_ros.evaluation.action_forecasts import EvaluationConfig, Report, evaluate
from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.semi_markov import SemiMarkov
from hmgen_ros.generators.situations import SemiMarkovConfig, Situations
from hmgen_ros.training.card import LICENCE, LICENCE_NOTE, write_card
from hmgen_ros.training.counts import Smoothing, chain, count_transitions, ignore_others, probabilities

Sequences = list[NDArray[np.int64]]


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the training.

    Attributes:
        data: folder that holds ``ami_25hz/``; HMGEN_DATA or ``../shared/data`` where none is given.
        out: folder of the model, its card and the manifest.
        name: the model's name in the manifest.
        share: the action space takes the most common joint actions up to this part of all ticks.
        limit: at most so many joint actions.
        situations: what tells situations apart.
        smoothing: how much rare situations lean on coarser ones.
        evaluation: how the forecasts are scored.
        final: score the test series too; for the model that is shipped, not while settings are chosen.
    """

    data: Path | None = None
    out: Path = Path("models")
    name: str = "semi_markov"
    share: float = 0.9995
    limit: int = 24
    situations: SemiMarkovConfig = field(default_factory=SemiMarkovConfig)
    smoothing: Smoothing = field(default_factory=Smoothing)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    final: bool = False


def train(settings: TrainConfig, console: Console | None = None) -> Path:
    """Count, smooth, score and write; returns the model file.

    Raises:
        hmgen_ros.data.ami.CorpusError: the data are missing or damaged.
        hmgen_ros.generators.weights.WeightsError: the manifest in ``out`` is damaged.
    """
    console = console or Console()
    folder = data_directory(settings.data) / "ami_25hz"
    with console.status("reading the training meetings"):
        meetings = complete_meetings(folder, "train")
    space = ActionSpace.most_common(
        np.concatenate([m.masks.ravel() for m in meetings]), settings.share, settings.limit
    )
    training = _symbols(meetings, space)
    console.print(_action_table(space, training))
    with console.status("counting"):
        model, alone = fit(training, space, settings.situations, settings.smoothing)
    reports = {}
    for part in ("validation", "test") if settings.final else ("validation",):
        with console.status(f"scoring the {part} series"):
            held_out = complete_meetings(folder, part)
            methods = {"semi_markov": model, "semi_markov_alone": alone}
            report = evaluate(methods, training, _symbols(held_out, space), settings.evaluation)
        reports[f"{part} ({', '.join(m.info.name for m in held_out)})"] = report
        console.print(_score_table(part, report))
    return _write(settings, model, _origin(meetings), _shares(space, training), reports)


def fit(
    sequences: Sequence[NDArray[np.int64]],
    space: ActionSpace,
    situations: SemiMarkovConfig,
    smoothing: Smoothing,
) -> tuple[SemiMarkov, SemiMarkov]:
    """The forecaster counted from ``[T, N]`` symbols each, and the same one blind to the others.

    Raises:
        ValueError: nobody is ever seen in two ticks running.
    """
    counts = count_transitions(sequences, Situations(space, situations))
    after = torch.from_numpy(chain(counts))
    tables = [torch.from_numpy(probabilities(c, smoothing)) for c in (counts, ignore_others(counts))]
    model, alone = (SemiMarkov(space, table, after, situations) for table in tables)
    return model, alone


def command(settings: TrainConfig) -> str:
    """The command line that trains with these settings, without the folders."""
    words = ["hmgen", "train", "semi-markov"]
    words += _options(settings, TrainConfig(), ("name", "share", "limit", "final"), "")
    for group in ("situations", "smoothing", "evaluation"):
        chosen = getattr(settings, group)
        words += _options(chosen, type(chosen)(), [f.name for f in fields(chosen)], f"{group}.")
    return shlex.join(words)


def _options(chosen: Any, usual: Any, names: Sequence[str], prefix: str) -> list[str]:
    """The options in which ``chosen`` differs from ``usual``."""
    words = []
    for name in names:
        value = getattr(chosen, name)
        if value != getattr(usual, name):
            words.append(f"--{prefix}{name}".replace("_", "-"))
            values = value if isinstance(value, tuple) else [value]
            words += [str(v) for v in values if v is not True]
    return words


def _symbols(meetings: list[Meeting], space: ActionSpace) -> Sequences:
    return [space.encode_array(m.masks) for m in meetings]


def _shares(space: ActionSpace, sequences: Sequences) -> NDArray[np.float64]:
    seen = np.concatenate([s[s != ABSENT] for s in sequences])
    counts = np.bincount(seen, minlength=len(space))
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def _origin(meetings: list[Meeting]) -> str:
    hours = sum(len(m.masks) for m in meetings) / 25 / 3600
    series = sorted({m.info.series for m in meetings})
    amount = f"{len(meetings)} meetings ({hours:.1f} h) of {', '.join(series)}"
    return f"AMI Meeting Corpus, manual annotations 1.7, {amount}"


def _write(
    settings: TrainConfig,
    model: SemiMarkov,
    origin: str,
    shares: NDArray[np.float64],
    reports: dict[str, Report],
) -> Path:
    path = settings.out / f"{settings.name}.safetensors"
    digest = weights.save(path, *model.to_weights())
    entry = {
        "file": path.name,
        "sha256": digest,
        "bytes": path.stat().st_size,
        "kind": "semi_markov",
        "card": f"{settings.name}.md",
        "licence": LICENCE,
        "licence_note": LICENCE_NOTE,
        "trained_on": origin,
        "command": command(settings),
        "created": datetime.now(UTC).date().isoformat(),
        "metrics": reports,
    }
    weights.register(settings.out / "manifest.yaml", settings.name, entry)
    write_card(settings.out / f"{settings.name}.md", entry, model.space, shares)
    return path


def _action_table(space: ActionSpace, sequences: Sequences) -> Table:
    table = Table("index", "joint action", "share %", title="Action space")
    for index, (label, share) in enumerate(zip(space.labels, _shares(space, sequences), strict=True)):
        table.add_row(str(index), label, f"{share * 100:.3f}")
    return table


def _score_table(part: str, report: Report) -> Table:
    columns = list(dict.fromkeys(key for row in report.values() for key in row))
    table = Table("", *report, title=f"Scores on the {part} series (nll and Brier: lower is better)")
    for key in columns:
        table.add_row(key, *(f"{row[key]:.4f}" if key in row else "" for row in report.values()))
    return table
