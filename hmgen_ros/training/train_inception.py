"""Trains the network behind SFID on the AMI training meetings and writes it with its card."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from hmgen_ros.data.ami import complete_meetings, data_directory
from hmgen_ros.data.windows import action_windows
from hmgen_ros.evaluation.inception import InceptionConfig, InceptionNet, complete_sequences
from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.training.card import LICENCE, LICENCE_NOTE

_CARD = """# {title}

The network behind SFID (thesis 3.4): reads the joint actions of one person over {ticks} ticks (25 Hz) with a
bidirectional LSTM (layer norm, {hidden} a direction) and five dense layers, and regresses the share of each
action. The Fréchet distance of its last {hidden} activations compares generated with real sequences.

- Use: `hmgen evaluate social` and the training of the generators. Distances of different networks cannot be
  compared, nor those with the thesis', whose network saw another corpus.
- Trained on: {trained_on}
- Command: `{command}` ({created})
- R² of the shares on the validation series: {r2:.4f} over all actions together, {r2_mean:.4f} on average
  over the {counted} actions that occur there.
- Licence: {licence}. {licence_note}
- File: `{file}`, {bytes} bytes, SHA-256 `{sha256}`

Actions: {actions}
"""


@dataclass(frozen=True)
class InceptionTrainConfig:
    """Settings of the training.

    Attributes:
        data: folder that holds ``ami_25hz/``; HMGEN_DATA or ``../shared/data`` where none is given.
        out: folder of the model, its card and the manifest.
        target: length of the sequences in ticks; the model is called ``sfid_t40`` or ``sfid_t80`` after it.
        share: the action space takes the most common joint actions up to this part of all ticks.
        limit: at most so many joint actions.
        hidden: size of the LSTM's state in each direction and of the activations.
        iterations: steps of the optimiser, at least 1.
        batch: sequences an iteration, at least 1.
        rate: Adam's learning rate at the start; it falls to 0 on a cosine.
        seed: of the weights and of the order of the data.

    Raises:
        ValueError: a setting is out of its range; says which.
    """

    data: Path | None = None
    out: Path = Path("models")
    target: Literal[40, 80] = 40
    share: float = 0.9995
    limit: int = 24
    hidden: int = 64
    iterations: int = 1400
    batch: int = 64
    rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.iterations, self.batch) < 1 or self.rate <= 0:
            raise ValueError(
                f"iterations and batch must be at least 1 and rate above 0, got {self.iterations}, "
                f"{self.batch}, {self.rate}"
            )


def train(settings: InceptionTrainConfig, console: Console | None = None) -> Path:
    """Train, score on the validation series and write; returns the model file.

    Raises:
        hmgen_ros.data.ami.CorpusError: the data are missing or damaged.
        hmgen_ros.generators.weights.WeightsError: the manifest in ``out`` is damaged.
        ValueError: no sequence of the target length is left.
    """
    console = console or Console()
    folder = data_directory(settings.data) / "ami_25hz"
    with console.status("reading the meetings"):
        training, held_out = (complete_meetings(folder, part) for part in ("train", "validation"))
    masks = np.concatenate([m.masks.ravel() for m in training])
    space = ActionSpace.most_common(masks, settings.share, settings.limit)
    # Half a window apart: twice as many sequences, each tick still seen equally often.
    rows = _sequences([space.encode_array(m.masks) for m in training], settings.target, settings.target // 2)
    started = time.monotonic()
    net = fit(rows, space, settings, console)
    validation = _sequences([space.encode_array(m.masks) for m in held_out], settings.target, settings.target)
    metrics = r_squared(net, validation)
    console.print(
        f"sfid_t{settings.target}: R² {metrics['r2']:.4f} on the validation series, mean over "
        f"{metrics['counted']} actions {metrics['r2_mean']:.4f} ({time.monotonic() - started:.0f} s)"
    )
    series = ", ".join(sorted({m.info.series for m in training}))
    origin = f"AMI Meeting Corpus, manual annotations 1.7, {len(rows)} sequences of {series}"
    return _write(settings, net, origin, metrics)


def fit(
    rows: NDArray[np.int64], space: ActionSpace, settings: InceptionTrainConfig, console: Console
) -> InceptionNet:
    """The network trained on ``[R, T]`` sequences of symbols, none ``ABSENT``, in evaluation mode.

    In most sequences of meetings one action goes on throughout, and there is nothing to learn from the
    thousandth of those: a sequence is drawn in proportion to the root of how often it occurs. The error of
    each action's share is weighed by one over its spread, so that actions that are rare (in meetings most
    are) shape the activations too.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        net = InceptionNet(space, InceptionConfig(settings.hidden, settings.target))
    distinct, count = np.unique(rows, axis=0, return_counts=True)
    often = torch.from_numpy(np.sqrt(count))
    data = torch.from_numpy(distinct)
    shares = _shares(data, len(space))  # [R, A]
    weight = 1.0 / shares.std(dim=0).clamp(min=3e-3)  # [A]
    weight = weight / weight.mean()
    optimiser = torch.optim.Adam(net.parameters(), settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.iterations)
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[loss]}"), console=console) as progress:
        bar = progress.add_task("", total=settings.iterations, loss="")
        for iteration in range(settings.iterations):
            chosen = torch.multinomial(often, settings.batch, replacement=True, generator=generator)
            loss = ((net(data[chosen]) - shares[chosen]) ** 2 * weight).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if iteration % 10 == 0:
                progress.update(bar, loss=f"loss {float(loss.detach()):.5f}")
            progress.advance(bar)
    return net.eval()


def r_squared(net: InceptionNet, rows: NDArray[np.int64]) -> dict[str, Any]:
    """How well the network regresses the shares of ``[R, T]`` sequences.

    Returns:
        ``r2`` over all actions together, ``r2_mean`` over the ``counted`` actions that occur, and
        ``sequences``.

    Raises:
        ValueError: no sequence, or all sequences have the same shares.
    """
    data = torch.from_numpy(rows)
    with torch.inference_mode():
        estimated = torch.cat([net(part) for part in data.split(2048)]) if len(data) else torch.zeros(0, 1)
    truth = _shares(data, len(net.space))
    spread = ((truth - truth.mean(dim=0)) ** 2).sum(dim=0)  # [A]
    if not len(data) or not float(spread.sum()):
        raise ValueError("the validation sequences are too few or too alike to score the network")
    error = ((truth - estimated) ** 2).sum(dim=0)
    occurs = spread > 0
    return {
        "r2": round(1.0 - float(error.sum() / spread.sum()), 5),
        "r2_mean": round(1.0 - float((error / spread)[occurs].mean()), 5),
        "counted": int(occurs.sum()),
        "sequences": len(data),
    }


def _shares(symbols: Tensor, actions: int) -> Tensor:
    """``[R, A]`` share of each action in ``[R, T]`` sequences."""
    cell = torch.arange(len(symbols)).unsqueeze(1) * actions + symbols
    counts = torch.bincount(cell.flatten(), minlength=len(symbols) * actions)
    return counts.view(len(symbols), actions).float() / symbols.shape[1]


def _sequences(symbols: Sequence[NDArray[np.int64]], ticks: int, stride: int) -> NDArray[np.int64]:
    """``[R, ticks]`` every person's whole sequences of some ``[T, N]`` meetings."""
    # What action_windows calls observed and target makes up one sequence here.
    parts = [
        complete_sequences(np.concatenate(action_windows(one, 1, ticks - 1, stride, max_absent=1.0), axis=1))
        for one in symbols
    ]
    rows = np.concatenate([part[0] for part in parts])
    if not len(rows):
        raise ValueError(f"no sequence of {ticks} ticks in which a person is seen throughout")
    return rows


def _command(settings: InceptionTrainConfig) -> str:
    usual, words = InceptionTrainConfig(), ["hmgen", "train", "inception"]
    for name in ("target", "share", "limit", "hidden", "iterations", "batch", "rate", "seed"):
        if (value := getattr(settings, name)) != getattr(usual, name):
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def _write(settings: InceptionTrainConfig, net: InceptionNet, origin: str, metrics: dict[str, Any]) -> Path:
    name = f"sfid_t{settings.target}"
    path = settings.out / f"{name}.safetensors"
    digest = weights.save(path, *net.to_weights())
    entry: dict[str, Any] = {
        "file": path.name,
        "sha256": digest,
        "bytes": path.stat().st_size,
        "kind": "inception",
        "card": f"{name}.md",
        "licence": LICENCE,
        "licence_note": LICENCE_NOTE,
        "trained_on": origin,
        "command": _command(settings),
        "created": datetime.now(UTC).date().isoformat(),
        "metrics": metrics,
    }
    weights.register(settings.out / "manifest.yaml", name, entry)
    labels = ", ".join(net.space.labels)
    text = _CARD.format(
        title=name, ticks=settings.target, hidden=settings.hidden, actions=labels, **entry, **metrics
    )
    (settings.out / f"{name}.md").write_text(text, encoding="utf-8")
    return path
