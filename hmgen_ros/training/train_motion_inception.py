"""Trains the network behind ``fd_motion`` on the training tracks and writes it with its card."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hmgen_ros.data.ami import data_directory
from hmgen_ros.data.track_parts import part_of
from hmgen_ros.data.tracks import Corpus
from hmgen_ros.evaluation.motion_inception import NAME, MotionInception, MotionInceptionConfig
from hmgen_ros.generators import weights
from hmgen_ros.training.motion_card import LICENCE_NOTE, origin
from hmgen_ros.training.motion_windows import MotionWindows
from hmgen_ros.training.shipment import LICENCE
from hmgen_ros.types import NUM_LANDMARKS

#: Ticks of the windows it is trained on, in turn.
LENGTHS = (10, 20, 40)
#: Windows that units and scores are measured on.
_MEASURED = 2000

_CARD = """# {title}

The network behind `fd_motion`: reads windows of 68 landmarks (25 Hz) with a bidirectional LSTM ({hidden} a
direction) and dense layers, and regresses logarithms of how much each of ten channels of head and face
varies, moves and accelerates. The Fréchet distance of its last {hidden} activations compares generated with
real motion.

- Use: `hmgen evaluate motion`. Its distances are no FID and no FVD, and those of different networks cannot be
  compared.
- Trained on: {trained_on}
- Command: `{command}` ({created})
- R² of the targets on the validation tracks: {scores}.
- Licence: {licence}. {licence_note}
- File: `{file}`, {bytes} bytes, SHA-256 `{sha256}`
"""


@dataclass(frozen=True)
class MotionInceptionTrainConfig:
    """Settings of the training.

    Attributes:
        data: folder of tracks; HMGEN_DATA or ``../shared/data`` where none is given.
        out: folder of the model, its card and the manifest.
        hidden: size of the LSTM's state in each direction and of the activations.
        iterations: steps of the optimiser, at least 1.
        batch: windows an iteration, at least 1.
        rate: Adam's learning rate at the start; it falls to 0 on a cosine.
        seed: of the weights and of the order of the data, at least 0.

    Raises:
        ValueError: a setting is out of its range; says which.
    """

    data: Path | None = None
    out: Path = Path("models")
    hidden: int = 64
    iterations: int = 2000
    batch: int = 64
    rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.iterations, self.batch) < 1 or not self.rate > 0.0 or self.seed < 0:
            raise ValueError(
                "iterations and batch must be at least 1, rate above 0 and seed at least 0, got "
                f"{self.iterations}, {self.batch}, {self.rate}, {self.seed}"
            )


def train(config: MotionInceptionTrainConfig, console: Console | None = None) -> Path:
    """Train, score on the validation tracks and write; returns the model file.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged.
        hmgen_ros.generators.weights.WeightsError: the manifest in ``out`` is damaged.
        ValueError: no track is long enough.
    """
    console = console or Console()
    with console.status("reading the tracks"):
        folder = data_directory(config.data)
        training, held_out = (part_of(folder, split) for split in ("train", "validation"))
    net = fit(training, config, console)
    scores = {f"{ticks} ticks": r_squared(net, held_out, ticks) for ticks in LENGTHS}
    for name, score in scores.items():
        console.print(f"R² at {name}: {score:.4f}", highlight=False)
    return _write(config, net, training, scores)


def fit(training: Corpus, config: MotionInceptionTrainConfig, console: Console) -> MotionInception:
    """The trained network, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        net = MotionInception(MotionInceptionConfig(config.hidden))
        windows = [MotionWindows(training, ticks) for ticks in LENGTHS]
        net.fit_units(_drawn(windows[-1], _MEASURED))
        optimiser = torch.optim.Adam(net.parameters(), config.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.iterations)
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[loss]}"), console=console) as progress:
            bar = progress.add_task("", total=config.iterations, loss="")
            for iteration in range(config.iterations):
                batch = _drawn(windows[iteration % len(windows)], config.batch)
                # Windows at other speeds, still ones and trembling ones: what generators may come up with.
                batch = _disturbed(batch)
                loss = (net(batch) - net.standardised(batch)).square().mean()
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                if iteration % 10 == 0:
                    progress.update(bar, loss=f"loss {float(loss.detach()):.4f}")
                progress.advance(bar)
    return net.eval()


@torch.inference_mode()
def r_squared(net: MotionInception, corpus: Corpus, ticks: int) -> float:
    """How well the network regresses the targets of a corpus' windows, over all targets together."""
    windows = MotionWindows(corpus, ticks)
    rows = torch.linspace(0, len(windows) - 1, min(_MEASURED, len(windows))).long()
    cut = windows.cut(rows).unflatten(-1, (NUM_LANDMARKS, 2))
    wanted = net.standardised(cut)
    error = (net(cut) - wanted).square().sum()
    return 1.0 - float(error / (wanted - wanted.mean(0)).square().sum())


def _drawn(windows: MotionWindows, count: int) -> torch.Tensor:
    rows = torch.randint(0, len(windows), (count,))
    drawn: torch.Tensor = windows.draw(rows)[0].unflatten(-1, (NUM_LANDMARKS, 2))
    return drawn


def _disturbed(batch: torch.Tensor) -> torch.Tensor:
    """Half of the windows with their motion made smaller or larger, every fourth of these trembling."""
    which = torch.rand(len(batch))[:, None, None, None]
    factor = torch.empty(len(batch), 1, 1, 1).uniform_(-3.0, 1.0).exp()
    first = batch[:, :1]
    scaled = first + factor * (batch - first)
    trembling = scaled + 0.003 * factor * torch.randn_like(batch)
    return torch.where(which < 0.125, trembling, torch.where(which < 0.5, scaled, batch))


def _write(
    config: MotionInceptionTrainConfig, net: MotionInception, training: Corpus, scores: dict[str, float]
) -> Path:
    path = config.out / f"{NAME}.safetensors"
    digest = weights.save(path, *net.to_weights())
    words = ["hmgen", "train", "motion-inception"]
    usual = MotionInceptionTrainConfig()
    for name in ("hidden", "iterations", "batch", "rate", "seed"):
        if (value := getattr(config, name)) != getattr(usual, name):
            words += [f"--{name}", str(value)]
    entry: dict[str, Any] = {
        "file": path.name,
        "sha256": digest,
        "bytes": path.stat().st_size,
        "kind": net.to_weights()[0]["kind"],
        "card": f"{NAME}.md",
        "licence": LICENCE,
        "licence_note": LICENCE_NOTE,
        "trained_on": origin(training),
        "command": shlex.join(words),
        "created": datetime.now(UTC).date().isoformat(),
        "metrics": {"r2": {name: round(score, 4) for name, score in scores.items()}},
    }
    weights.register(config.out / "manifest.yaml", NAME, entry)
    listed = ", ".join(f"{score:.4f} at {name}" for name, score in scores.items())
    text = _CARD.format(title=NAME, hidden=config.hidden, scores=listed, **entry)
    (config.out / f"{NAME}.md").write_text(text, encoding="utf-8")
    return path
