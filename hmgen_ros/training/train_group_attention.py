"""Trains the group-attention forecaster by likelihood on the AMI meetings.

The loss is that of the next tick (:mod:`hmgen_ros.training.group_samples`); the model that is kept is the one
with the best forecasts of the validation series as a user gets them, 0.2 to 3.2 s ahead, from sampled
futures. The test part is not read.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.fabric import Fabric
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from hmgen_ros.data.ami import complete_meetings, data_directory, headless_meetings
from hmgen_ros.data.preparation import action_table
from hmgen_ros.evaluation.action_references import MarkovChain
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.generators.group_attention import GroupAttention
from hmgen_ros.generators.group_attention_networks import GroupAttentionConfig
from hmgen_ros.generators.person_history import HistoryConfig
from hmgen_ros.training.counts import Smoothing
from hmgen_ros.training.forecast_validation import ForecastValidation
from hmgen_ros.training.group_samples import (
    GroupSamples,
    NextTickLoss,
    SampleConfig,
    collect,
    join,
    leave_out,
)
from hmgen_ros.training.loop import Loop
from hmgen_ros.training.loop_config import OPTIONS, LoopConfig, batch_indices, seed_iteration
from hmgen_ros.training.run_log import RunFolder
from hmgen_ros.training.social_card import ship
from hmgen_ros.training.train_semi_markov import fit

TEXT = (
    "Attention over people and recent changes, by relative time, codes everybody's past; a decoder that "
    "shares what people show each other plays futures of the whole group forward"
)
_PLACES = ("data", "out", "models", "ship")


@dataclass(frozen=True, kw_only=True)
class GroupAttentionTrainConfig(LoopConfig):
    """Settings of one run.

    Attributes:
        data: folder that holds ``ami_25hz/``; HMGEN_DATA or ``../shared/data`` where none is given.
        out: folder of the run folders, each named ``attention-s<seed>``.
        name: first part of the run folder's name.
        batch: groups an iteration and process.
        rate: highest learning rate of AdamW; it rises for a tenth of the run and falls to zero.
        weight_decay: of AdamW.
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
        share: the action space takes the most common joint actions up to this part of all ticks.
        limit: at most so many joint actions.
        ship: write the best model to ``models`` under this name, with manifest entry and card.
        models: folder of the shipped models.
    """

    iterations: int = 4000
    eval_every: int = 1000
    data: Path | None = None
    out: Path = Path("out/social")
    name: str = "attention"
    batch: int = 512
    rate: float = 2e-3
    weight_decay: float = 1e-2
    width: int = 64
    hidden: int = 64
    shown: int = 32
    events: int = 4
    dropout: float = 0.1
    input_dropout: float = 0.2
    headless: bool = True
    smaller_groups: float = 0.25
    quiet: float = 0.08
    validation_stride: int = 100
    validation_samples: int = 32
    share: float = 0.9995
    limit: int = 24
    ship: str | None = None
    models: Path = Path("models")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch", "validation_stride", "validation_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.rate > 0.0 or self.weight_decay < 0.0:
            raise ValueError(
                f"rate must be above 0 and weight_decay at least 0, got {self.rate}, {self.weight_decay}"
            )
        if not 0.0 <= self.smaller_groups <= 1.0:
            raise ValueError(f"smaller_groups must lie in [0, 1], got {self.smaller_groups}")

    @property
    def folder(self) -> RunFolder:
        """Where this run lies."""
        return RunFolder(self.out / f"{self.name}-s{self.seed}")

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
        validation: ForecastValidation,
        config: GroupAttentionTrainConfig,
    ) -> None:
        self._model, self._samples, self._validation, self._config = model, samples, validation, config
        self._adam: Optimizer = AdamW(model.parameters(), config.rate, weight_decay=config.weight_decay)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run changes."""
        return {"model": self._model}

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
        return {"nll_tick": float(loss.detach())}

    def validate(self) -> dict[str, float]:
        """Forecasts of the validation series."""
        self._model.eval()
        return self._validation(self._model)

    def reference(self) -> dict[str, float]:
        """The data's own values."""
        return self._validation.reference

    def weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The model file."""
        return self._model.to_weights()


def train(config: GroupAttentionTrainConfig, console: Console | None = None) -> Path:
    """Train, or go on with the run; returns the run folder.

    Raises:
        hmgen_ros.data.ami.CorpusError: the data are missing or damaged.
        hmgen_ros.training.run_log.RunError: the run folder holds a run with other settings.
        hmgen_ros.training.loop.TrainingError: a loss became infinite.
        hmgen_ros.generators.weights.WeightsError: a file of the run is damaged.
    """
    fabric = config.launch()
    console = console or Console()
    if not fabric.is_global_zero:
        console = Console(quiet=True)
    if _run(config, fabric, console) and config.ship and fabric.is_global_zero:
        folder = data_directory(config.data) / "ami_25hz"
        meetings = complete_meetings(folder, "train") + _headless(config, folder)
        path = ship(config.folder, config.ship, config.models, command(config), TEXT, meetings)
        console.print(f"wrote {path}", highlight=False)
    return config.folder.path


def command(config: GroupAttentionTrainConfig) -> str:
    """The command line that trains with these settings, without the folders."""
    words = ["hmgen", "train", "attention"]
    for setting in fields(GroupAttentionTrainConfig):
        value = getattr(config, setting.name)
        if value == setting.default or setting.name in ("data", "out", "models", "force"):
            continue
        option = f"--{setting.name}".replace("_", "-")
        words += [f"--no-{option[2:]}"] if value is False else [option, str(value)]
    return shlex.join(words)


def _run(config: GroupAttentionTrainConfig, fabric: Fabric, console: Console) -> bool:
    """Whether the run has come to its end."""
    folder = config.folder
    if fabric.is_global_zero:
        given = asdict(config)
        settings = {name: value for name, value in given.items() if name not in (*OPTIONS, *_PLACES)}
        # The learning rate follows the length of the run, so another length is another run.
        settings |= {"system": "attention", "target": 80, "iterations": config.iterations}
        folder.prepare(settings, {name: given[name] for name in OPTIONS}, config.force)
    fabric.barrier()
    if folder.finished(config.iterations):
        console.print(f"{folder.path} is finished; --force starts over", highlight=False)
        return True
    corpus = data_directory(config.data) / "ami_25hz"
    training = [meeting.masks for meeting in complete_meetings(corpus, "train")]
    space = ActionSpace.most_common(np.concatenate([m.ravel() for m in training]), config.share, config.limit)
    seed_iteration(config.seed, 0, 0)
    model = GroupAttention(space, config.sizes)
    symbols = [space.encode_array(masks) for masks in training]
    headless = [space.encode_array(meeting.masks) for meeting in _headless(config, corpus)]
    counted, _ = fit(symbols, space, model.config.situations, Smoothing())
    # Rows of absent people are zero in the table; the logarithm has no opinion on them either.
    model.decoder.prior.copy_(torch.where(counted.probabilities > 0, counted.probabilities.log(), 0.0))
    model.chain.copy_(torch.from_numpy(MarkovChain(symbols, len(space)).step))
    console.print(action_table(space, symbols))
    samples = _samples(model, symbols, headless, config)
    console.print(f"{len(samples)} training samples", highlight=False)
    held_out = [space.encode_array(m.masks) for m in complete_meetings(corpus, "validation")]
    validation = ForecastValidation.of(held_out, space, config.validation_stride, config.validation_samples)
    step = GroupAttentionStep(model, samples, validation, config)
    return Loop(fabric, step, config, folder, console, metric="nll").run()


def _headless(config: GroupAttentionTrainConfig, corpus: Path) -> list[Any]:
    return headless_meetings(corpus, "train") if config.headless else []


def _samples(
    model: GroupAttention,
    complete: Sequence[NDArray[np.int64]],
    headless: Sequence[NDArray[np.int64]],
    config: GroupAttentionTrainConfig,
) -> GroupSamples:
    chosen = SampleConfig(config.quiet, model.config.max_age, config.seed)
    parts = [collect(complete, False, model.history_of, chosen)]
    if headless:
        parts.append(collect(headless, True, model.history_of, chosen))
    return join(parts)


def _schedule(done: float) -> float:
    """Factor of the learning rate after this part of the run: up for a tenth, then down on a cosine."""
    if done < 0.1:
        return 0.04 + 0.96 * done / 0.1
    return 0.5 * (1.0 + float(np.cos(np.pi * (done - 0.1) / 0.9)))
