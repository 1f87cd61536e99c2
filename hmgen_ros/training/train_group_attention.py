"""Trains the group-attention forecaster by likelihood on the AMI meetings.

The loss is that of the next tick (:mod:`hmgen_ros.training.group_samples`); the model that is kept is the one
with the best forecasts of the validation series as a user gets them, 0.2 to 3.2 s ahead, from sampled
futures. The test part is not read.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric.fabric import Fabric
from rich.console import Console
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hmgen_ros.data.ami import complete_meetings, data_directory, headless_meetings
from hmgen_ros.evaluation.action_references import MarkovChain
from hmgen_ros.generators.group_attention import GroupAttention
from hmgen_ros.generators.group_attention_networks import GroupAttentionConfig
from hmgen_ros.generators.person_history import HistoryConfig
from hmgen_ros.training.command_line import command_line
from hmgen_ros.training.counts import Smoothing
from hmgen_ros.training.group_data import TARGET, GroupData
from hmgen_ros.training.group_samples import GroupSamples, NextTickLoss, leave_out
from hmgen_ros.training.group_validation import GroupValidation
from hmgen_ros.training.loop import Loop
from hmgen_ros.training.loop_config import (
    OPTIONS,
    LoopConfig,
    batch_indices,
    check_batch,
    console_of,
    seed_iteration,
)
from hmgen_ros.training.run_log import RunFolder
from hmgen_ros.training.shipment import Shipment
from hmgen_ros.training.social_card import ship
from hmgen_ros.training.train_semi_markov import fit

TEXT = (
    "A forecaster of our own, system `attention`: attention over people and recent changes, by relative "
    "time, codes\neverybody's past; a decoder that shares what people show each other corrects a counted "
    "table, and what these people\ndo more or less often than the table expects leans its odds their way"
)
#: What the forecaster knows of people.
SEEN = "all that was seen so far"
_PLACES = ("data", "out", "models", "ship")


@dataclass(frozen=True, kw_only=True)
class GroupAttentionTrainConfig(LoopConfig):
    """Settings of one run.

    Attributes:
        data: folder that holds ``ami_25hz/``; HMGEN_DATA or ``../shared/data`` where none is given.
        out: folder of the run folders, each named ``attention-t40-reco0-s<seed>``.
        name: first part of the run folder's name.
        batch: groups an iteration and process.
        rate: highest learning rate of AdamW; it rises for a tenth of the run and falls to zero.
        weight_decay: of AdamW.
        averaging: the model that is measured and kept is the exponential average of the weights over the
            iterations, with this decay, 0 to below 1; 0 takes the last weights.
        width: of the encoder's tokens.
        hidden: of the decoder.
        shown: what the decoder lets others see of a person.
        events: so many last changes of each person can be attended to.
        dropout: of hidden units.
        input_dropout: of the encoder's view of people.
        headless: learn from meetings without head annotation, too.
        smaller_groups: part of the samples in which a person or two are left out.
        quiet: part of the ticks without a change that is taken.
        validation_stride: ticks between two forecasts of the validation meetings.
        validation_samples: futures of each.
        validation_windows: held-out samples whose futures H_M, SFID and the like are measured on.
        sfid_iterations: of the training of the network behind SFID, where none is shipped for the action
            space of the data.
        share: the action space takes the most common joint actions up to this part of all ticks.
        limit: at most so many joint actions.
        ship: write the best model to ``models`` under this name, with manifest entry and card.
        models: folder of the shipped models.
    """

    iterations: int = 2000
    eval_every: int = 500
    data: Path | None = None
    out: Path = Path("out/social")
    name: str = "attention"
    batch: int = 512
    rate: float = 2e-3
    weight_decay: float = 1e-2
    averaging: float = 0.998
    width: int = 48
    hidden: int = 48
    shown: int = 24
    events: int = 4
    dropout: float = 0.1
    input_dropout: float = 0.2
    headless: bool = True
    smaller_groups: float = 0.25
    quiet: float = 0.08
    validation_stride: int = 100
    validation_samples: int = 32
    validation_windows: int = 500
    sfid_iterations: int = 1000
    share: float = 0.9995
    limit: int = 24
    ship: str | None = None
    models: Path = Path("models")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "batch",
            "validation_stride",
            "validation_samples",
            "validation_windows",
            "sfid_iterations",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.rate > 0.0 or self.weight_decay < 0.0:
            raise ValueError(
                f"rate must be above 0 and weight_decay at least 0, got {self.rate}, {self.weight_decay}"
            )
        if not 0.0 <= self.averaging < 1.0:
            raise ValueError(f"averaging must lie in [0, 1), got {self.averaging}")
        if not 0.0 <= self.smaller_groups <= 1.0:
            raise ValueError(f"smaller_groups must lie in [0, 1], got {self.smaller_groups}")

    @property
    def folder(self) -> RunFolder:
        """Where this run lies."""
        return RunFolder(self.out / f"{self.name}-t{TARGET}-reco0-s{self.seed}")

    @property
    def sizes(self) -> GroupAttentionConfig:
        """Of the model."""
        history = HistoryConfig(events=self.events)
        return GroupAttentionConfig(
            history,
            width=self.width,
            hidden=self.hidden,
            shown=self.shown,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
        )


class GroupAttentionStep:
    """What the loop asks for; see :class:`hmgen_ros.training.loop_config.Trainable`."""

    def __init__(
        self,
        model: GroupAttention,
        samples: GroupSamples,
        validation: GroupValidation,
        config: GroupAttentionTrainConfig,
    ) -> None:
        self._model, self._samples, self._validation, self._config = model, samples, validation, config
        self._adam: Optimizer = AdamW(model.parameters(), config.rate, weight_decay=config.weight_decay)
        averaged = get_ema_multi_avg_fn(config.averaging)
        self._average = AveragedModel(model, multi_avg_fn=averaged)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run changes."""
        return {"model": self._model, "average": self._average}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """Of the model."""
        return {"model": self._adam}

    @property
    def epoch(self) -> int:
        """Iterations that see each sample once."""
        return max(1, len(self._samples) // (self._config.batch * self._processes))

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""
        self._fabric, self._processes = fabric, fabric.world_size
        self._wrapped, self._adam = fabric.setup(NextTickLoss(self._model), self._adam)
        self._average.to(fabric.device)

    def step(self, iteration: int) -> dict[str, float]:
        """One iteration."""
        config = self._config
        self._model.train()
        for group in self._adam.param_groups:
            group["lr"] = config.rate * _schedule(iteration / config.iterations)
        batch = config.batch * self._processes
        index = batch_indices(len(self._samples), batch, iteration, config.seed)
        mine = torch.from_numpy(index[self._fabric.global_rank :: self._processes])
        samples = leave_out(self._samples.take(mine, self._fabric.device), config.smaller_groups)
        loss = self._wrapped(samples)
        self._adam.zero_grad()
        self._fabric.backward(loss)
        self._fabric.clip_gradients(self._wrapped, self._adam, max_norm=1.0)
        self._adam.step()
        self._average.update_parameters(self._model)
        return {"nll_tick": float(loss.detach())}

    def validate(self) -> dict[str, float]:
        """Forecasts of the validation series."""
        # Switching makes the sampler's arrays of the present weights anew.
        return self._validation(self._kept.eval())

    def reference(self) -> dict[str, float]:
        """The data's own values."""
        return self._validation.reference

    def weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The model file."""
        return self._kept.to_weights()

    @property
    def _kept(self) -> GroupAttention:
        """The averaged model."""
        return cast(GroupAttention, self._average.module)


def train(config: GroupAttentionTrainConfig, console: Console | None = None) -> Path:
    """Train, or go on with the run; returns the run folder.

    Raises:
        hmgen_ros.data.ami.CorpusError: the data are missing or damaged.
        hmgen_ros.training.run_log.RunError: the run folder holds a run with other settings.
        hmgen_ros.training.loop.TrainingError: a loss became infinite.
        hmgen_ros.generators.weights.WeightsError: a file of the run is damaged.
    """
    fabric = config.launch()
    console = console_of(fabric, console)
    shipment = Shipment.asked(config, fabric, command(config))
    if _run(config, fabric, console) and shipment:
        folder = data_directory(config.data) / "ami_25hz"
        meetings = complete_meetings(folder, "train")
        if config.headless:
            meetings += headless_meetings(folder, "train")
        console.print(f"wrote {ship(shipment, TEXT, meetings, 'NLL', SEEN)}", highlight=False)
    return config.folder.path


def command(config: GroupAttentionTrainConfig) -> str:
    """The command line that trains with these settings, without the folders."""
    return command_line("attention", config)


def _run(config: GroupAttentionTrainConfig, fabric: Fabric, console: Console) -> bool:
    """Whether the run has come to its end."""
    folder, given = config.folder, asdict(config)
    settings = {name: value for name, value in given.items() if name not in (*OPTIONS, *_PLACES)}
    # The learning rate follows the length of the run, so another length is another run.
    settings |= {"system": "attention", "target": TARGET, "iterations": config.iterations}
    if fabric.is_global_zero:
        folder.check(settings, config.force)
    fabric.barrier()
    if not config.force and folder.finished(config.iterations):
        console.print(f"{folder.path} is finished; --force starts over", highlight=False)
        return True
    corpus = data_directory(config.data) / "ami_25hz"
    data = GroupData.read(corpus, config.headless, config.share, config.limit)
    console.print(data.prepared.table)
    space = data.prepared.space
    seed_iteration(config.seed, 0, 0)
    model = GroupAttention(space, config.sizes)
    counted, _ = fit(data.complete, space, model.config.situations, Smoothing())
    model.set_table(counted.probabilities)
    model.chain.copy_(torch.from_numpy(MarkovChain(data.complete, len(space)).step))
    samples = data.samples(model, config.quiet, config.seed)
    console.print(f"{len(samples)} training samples", highlight=False)
    check_batch(len(samples), config.batch * fabric.world_size)
    validation = data.validation(
        config.out,
        fabric,
        console,
        config.validation_windows,
        config.validation_stride,
        config.validation_samples,
        config.sfid_iterations,
    )
    step = GroupAttentionStep(model, samples, validation, config)
    if fabric.is_global_zero:
        folder.prepare(settings, {name: given[name] for name in OPTIONS}, config.force)
    fabric.barrier()
    return Loop(fabric, step, config, folder, console, metric="nll").run()


def _schedule(done: float) -> float:
    """Factor of the learning rate after this part of the run: up for a tenth, then down on a cosine."""
    if done < 0.1:
        return 0.04 + 0.96 * done / 0.1
    return 0.5 * (1.0 + float(np.cos(np.pi * (done - 0.1) / 0.9)))
