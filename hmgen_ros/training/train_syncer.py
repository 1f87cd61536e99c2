"""Trains a pyramid of syncers (thesis, 5.3.1).

By InfoNCE it is one to train generators with, by the triplet loss one to measure them with. The two must be
different networks, or a generator would be judged by what it was taught.

The training part of the tracks gives the windows, the validation part the curves: how often the right window
of a face is found among wrong ones, and how often the offset is right to a sample, at every level.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric.fabric import Fabric
from rich.console import Console
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from hmgen_ros.data.speech_tracks import SpeechSegment, at_speed, speech_part
from hmgen_ros.data.tracks import Corpus
from hmgen_ros.generators.syncer import LEVELS, SyncerConfig, SyncerPyramid
from hmgen_ros.training.command_line import command_line
from hmgen_ros.training.loop import Loop
from hmgen_ros.training.loop_config import (
    OPTIONS,
    LoopConfig,
    batch_indices,
    check_batch,
    check_ship,
    console_of,
    seed_iteration,
)
from hmgen_ros.training.motion_windows import WindowSettings
from hmgen_ros.training.run_log import RunFolder
from hmgen_ros.training.shipment import Shipment
from hmgen_ros.training.speech_windows import SpeechWindows, livelier
from hmgen_ros.training.sync_losses import CosineScale, info_nce, triplet
from hmgen_ros.training.syncer_card import ship
from hmgen_ros.training.syncer_validation import even, in_time, retrieval, some
from hmgen_ros.training.train_suhmo import describe
from hmgen_ros.types.sound import Kind

#: Where things lie does not change a run's numbers.
_PLACES = ("data", "out", "models", "ship")
#: Windows that units are measured on.
_MEASURED = 2000


@dataclass(frozen=True, kw_only=True)
class SyncerTrainConfig(LoopConfig):
    """Settings of one run.

    Attributes:
        data: folder of tracks with sound; HMGEN_DATA or ``../shared/data`` where none is given.
        out: folder of the run folders, each named ``<loss>-<features>-s<seed>``.
        loss: "infonce" for a pyramid to train generators with, "triplet" for one to measure with.
        features: which audio features.
        ticks: length of the sequences; the coarsest level needs 40.
        hidden: size of the networks.
        embedding: size of what they give.
        dropout: while training.
        batch: sequences an iteration and process.
        anchors: windows of sound that each level is asked about in an iteration.
        negatives: wrong windows for each; the thesis has 48.
        rate: AdamW's learning rate at first; it falls to nothing along a cosine over the run.
        weight_decay: AdamW's.
        stretch: faces are wider or narrower by a factor of up to ``1 + stretch``.
        speeds: each piece is also learned from spoken at these speeds, which makes other voices of it.
        colour: each sequence is heard through another microphone: features are shifted by up to some of these
            standard deviations, all along it.
        liveliness: faces move more or less, and mouths once more or less, by a factor of up to this.
        ship: write the best pyramid to ``models`` under this name, with manifest entry and card.
        models: folder of the shipped models.
    """

    iterations: int = 3000
    data: Path | None = None
    out: Path = Path("out/syncer")
    loss: Literal["infonce", "triplet"] = "infonce"
    features: Kind = "logmel"
    ticks: int = 58
    hidden: int = 128
    embedding: int = 64
    dropout: float = 0.25
    batch: int = 32
    anchors: int = 256
    negatives: int = 48
    rate: float = 1e-3
    weight_decay: float = 1e-2
    stretch: float = 0.15
    speeds: tuple[float, ...] = (0.8, 0.9, 1.1, 1.25)
    colour: float = 0.5
    liveliness: float = 1.5
    ship: str | None = None
    models: Path = Path("models")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("anchors", "negatives"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch < 2:
            raise ValueError(f"batch must be at least 2, or nothing is wrong; got {self.batch}")
        if self.ticks < 40:
            raise ValueError(
                f"ticks must be at least 40 for a window of the coarsest level, got {self.ticks}"
            )
        if not self.rate > 0.0 or self.weight_decay < 0.0:
            raise ValueError(
                f"rate must be above 0 and weight_decay at least 0, got {self.rate}, {self.weight_decay}"
            )
        if self.colour < 0.0:
            raise ValueError(f"colour must be at least 0, got {self.colour}")
        if not self.liveliness >= 1.0 or not all(0.5 <= speed <= 2.0 for speed in self.speeds):
            raise ValueError(
                f"liveliness must be at least 1 and speeds in [0.5, 2], got {self.liveliness}, {self.speeds}"
            )
        check_ship(self.ship)
        self.syncer()
        self.windows()

    @property
    def folder(self) -> RunFolder:
        """Where this run lies."""
        return RunFolder(self.out / f"{self.loss}-{self.features}-s{self.seed}")

    def syncer(self) -> SyncerConfig:
        """The sizes of the pyramid."""
        return SyncerConfig(
            features=self.features, hidden=self.hidden, embedding=self.embedding, dropout=self.dropout
        )

    def windows(self) -> WindowSettings:
        """How sequences are varied."""
        return WindowSettings(stretch=self.stretch, by_duration=True)


def train(config: SyncerTrainConfig, console: Console | None = None) -> Path:
    """Train one pyramid, or go on with its run; returns the run folder.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged.
        hmgen_ros.training.run_log.RunError: the run folder holds a run with other settings.
        hmgen_ros.training.loop.TrainingError: a loss became infinite.
        hmgen_ros.generators.weights.WeightsError: a file of the run is damaged.
        ValueError: no track with sound is long enough.
    """
    fabric = config.launch()
    console = console_of(fabric, console)
    finished, corpus = _run(config, fabric, console)
    shipment = Shipment.asked(config, fabric, command_line("syncer", config))
    if finished and shipment:
        console.print(f"wrote {ship(shipment, corpus)}", highlight=False)
    return config.folder.path


def _run(config: SyncerTrainConfig, fabric: Fabric, console: Console) -> tuple[bool, Corpus]:
    """Whether the run has come to its end, and what it was trained on."""
    folder = config.folder
    settings = {name: value for name, value in asdict(config).items() if name not in (*OPTIONS, *_PLACES)}
    # The rate falls over the whole run: its length decides the numbers, too.
    settings["iterations"] = config.iterations
    if fabric.is_global_zero:
        folder.check(settings, config.force)
    training, corpus = speech_part(config.data, "train")
    fabric.barrier()
    if not config.force and folder.finished(config.iterations):
        console.print(f"{folder.path} is finished; --force starts over", highlight=False)
        return True, corpus
    held_out, unseen = speech_part(config.data, "validation")
    for name, part in (("training", corpus), ("validation", unseen)):
        console.print(describe(name, part), highlight=False)
    step = SyncerStep(config, training, held_out)
    if fabric.is_global_zero:
        folder.prepare(
            settings, {name: getattr(config, name) for name in OPTIONS if name != "iterations"}, config.force
        )
    fabric.barrier()
    return Loop(fabric, step, config, folder, console, metric="missed").run(), corpus


class SyncerStep:
    """One iteration: every level asked about windows of a batch of sequences."""

    def __init__(
        self, config: SyncerTrainConfig, training: list[SpeechSegment], held_out: list[SpeechSegment]
    ) -> None:
        """Lay out the windows and measure units.

        Raises:
            ValueError: no piece is long enough, or there are fewer windows than a batch takes.
        """
        self._config = config
        told = [at_speed(piece, speed) for speed in (1.0, *config.speeds) for piece in training]
        self._windows = SpeechWindows(told, config.ticks, config.features, config.windows())
        check_batch(len(self._windows), config.batch)
        known = {piece.segment.track.speaker for piece in training}
        self._unseen = [
            some(SpeechWindows(part, config.ticks, config.features))
            for new in (False, True)
            if (part := [piece for piece in held_out if (piece.segment.track.speaker not in known) is new])
        ]
        seed_iteration(config.seed, 0, 0)
        self.syncer = SyncerPyramid(config.syncer())
        rows = even(len(self._windows), _MEASURED)
        self.syncer.fit_units(self._windows.cut(rows), self._windows.heard(rows))
        self._scale = CosineScale()
        parameters = [*self.syncer.parameters(), *self._scale.parameters()]
        self._adam: Optimizer = AdamW(parameters, config.rate, weight_decay=config.weight_decay)
        self._processes = 1

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run changes."""
        return {"syncer": self.syncer, "scale": self._scale}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """Of both."""
        return {"syncer": self._adam}

    @property
    def epoch(self) -> int:
        """Iterations that see every window once; neighbouring windows overlap."""
        return max(1, len(self._windows) // (self._config.batch * self._processes))

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        self._fabric, self._processes = fabric, fabric.world_size
        self._wrapped, self._adam = fabric.setup(_Losses(self.syncer, self._scale, self._config), self._adam)
        self._windows.to(fabric.device)
        self._unseen = [(poses.to(fabric.device), heard.to(fabric.device)) for poses, heard in self._unseen]

    def step(self, iteration: int) -> dict[str, float]:
        """One iteration."""
        config = self._config
        self._wrapped.train()
        for group in self._adam.param_groups:
            group["lr"] = config.rate * 0.5 * (1.0 + np.cos(np.pi * iteration / config.iterations))
        batch = config.batch * self._processes
        chosen = batch_indices(len(self._windows), batch, iteration, config.seed)
        rows = torch.from_numpy(chosen[self._fabric.global_rank :: self._processes]).to(self._fabric.device)
        poses = livelier(self._windows.draw(rows)[0], config.liveliness)
        heard = self._windows.heard(rows)
        shift = torch.randn(len(rows), 1, 1, heard.shape[-1], device=heard.device)
        losses: list[Tensor] = self._wrapped(poses, heard + config.colour * self.syncer.norm.unit * shift)
        self._adam.zero_grad()
        self._fabric.backward(torch.stack(losses).sum())
        self._adam.step()
        return {f"level_{i + 1}": float(loss.detach()) for i, loss in enumerate(losses)}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Held-out retrieval and offsets, by level; ``missed`` is the mean part that is not retrieved.

        Of speakers that were trained on and of others, the mean of both: there are many more windows of the
        former, and what is wanted are syncers for anybody.
        """
        self.syncer.eval()
        parts = [self._measured(*part) for part in self._unseen]
        found = {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}
        missed = 1.0 - sum(found[f"retrieved_{i + 1}"] for i in range(LEVELS)) / LEVELS
        new = {f"new_{name}": value for name, value in parts[-1].items()}
        return {"missed": missed, **found, **new}

    def _measured(self, poses: Tensor, heard: Tensor) -> dict[str, float]:
        found: dict[str, float] = {}
        for i, level in enumerate(self.syncer(poses, heard), start=1):
            found[f"retrieved_{i}"] = retrieval(level, self._config.negatives)
            found[f"in_time_{i}"] = in_time(level)
        return found

    def reference(self) -> dict[str, float]:
        """What guessing gives."""
        return {"missed": 1.0 - 1.0 / (1.0 + self._config.negatives)}

    def weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The pyramid as a model file."""
        return self.syncer.to_weights()


class _Losses(nn.Module):
    """The losses of every level in one call, so that processes add their gradients once."""

    def __init__(self, syncer: SyncerPyramid, scale: CosineScale, config: SyncerTrainConfig) -> None:
        super().__init__()
        self.syncer, self.scale, self._config = syncer, scale, config

    def forward(self, poses: Tensor, heard: Tensor) -> list[Tensor]:
        config, scales, losses = self._config, self.scale(), []
        for i, level in enumerate(self.syncer(poses, heard)):
            if config.loss == "infonce":
                losses.append(info_nce(level, config.anchors, config.negatives, scales[i]))
            else:
                losses.append(triplet(level, config.anchors) + 0.0 * scales[i])
        return losses
