"""The training loop of every trainer, on Lightning Fabric: one processor, one GPU, many, many machines.

A trainer says what one iteration is (:class:`hmgen_ros.training.loop_config.Trainable`); this module repeats
it, shows progress, logs, evaluates, keeps the best model and writes states from which the run goes on.

A resumed run gives the numbers of one that was never stopped. For that nothing may depend on what ran
before: random numbers are seeded anew at each iteration from (seed, iteration, process), and trainers
derive the order of the data from the iteration. So no generator's state needs saving, evaluations cannot
disturb the training, and every process of a run on many machines resumes from the one state that the
first process wrote.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, cast

import torch
from lightning_fabric.fabric import Fabric
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from hmgen_ros.generators import weights
from hmgen_ros.training.checkpoint import load_state, replacing, save_state
from hmgen_ros.training.loop_config import LoopConfig, Trainable, seed_iteration
from hmgen_ros.training.run_log import RunFolder, RunLog, write_json


class TrainingError(RuntimeError):
    """The training cannot go on; the text says what to do."""


@dataclass
class _Progress:
    """What the loop itself must remember; saved with every state."""

    iteration: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    best: dict[str, float] | None = None
    last: dict[str, float] | None = None


class Loop:
    """One run of a trainer in one folder."""

    def __init__(
        self,
        fabric: Fabric,
        trainable: Trainable,
        config: LoopConfig,
        folder: RunFolder,
        console: Console,
        metric: str = "SFID",
    ) -> None:
        """Set up, going on from the folder's state where there is one.

        Args:
            fabric: from :meth:`LoopConfig.launch`.
            trainable: what to train.
            config: how long, how often.
            folder: prepared for this run.
            console: for the progress; only the first process writes to it.
            metric: the validation metric that tells the best model, lower is better.

        Raises:
            hmgen_ros.generators.weights.WeightsError: the folder's state is damaged.
        """
        self._fabric, self._trainable, self._config = fabric, trainable, config
        self._folder, self._console, self._metric = folder, console, metric
        self._progress = _Progress()
        self._stop = ""
        trainable.setup(fabric)
        if folder.last.is_file():
            self._restore()
        self._log = RunLog(folder, self._progress.iteration) if fabric.is_global_zero else None
        self._reference = trainable.reference() if fabric.is_global_zero else {}

    def run(self) -> bool:
        """Train to the end; returns False where it was stopped before.

        Raises:
            TrainingError: a loss is no number any more.
        """
        started = time.monotonic() - self._progress.seconds
        limit = self._config.max_minutes
        until = math.inf if limit is None else time.monotonic() + 60.0 * limit
        with self._signals(), self._bar() as show:
            if self._progress.last is None:
                self._evaluate()
            while self._progress.iteration < self._config.iterations:
                if time.monotonic() >= until:
                    self._stop = f"after {limit:g} minutes"
                if self._agreed_to_stop():
                    break
                losses = self._iterate()
                self._progress.seconds = time.monotonic() - started
                self._record()
                show(losses)
        return self._finish()

    def _iterate(self) -> dict[str, float]:
        progress = self._progress
        seed_iteration(self._config.seed, progress.iteration, self._fabric.global_rank)
        losses = self._trainable.step(progress.iteration)
        for name, value in losses.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"loss {name!r} is {value} at iteration {progress.iteration}; the last sound state is in "
                    f"{self._folder.path}; start over with a lower learning rate and --force"
                )
            progress.sums[name] = progress.sums.get(name, 0.0) + value
            progress.counts[name] = progress.counts.get(name, 0) + 1
        progress.iteration += 1
        return losses

    def _record(self) -> None:
        """Whatever is due after an iteration: a line of the log, an evaluation, a state."""
        now, config = self._progress.iteration, self._config
        ends = now == config.iterations
        evaluates = ends or now % config.eval_every == 0
        if evaluates:
            self._evaluate()
        elif now % config.log_every == 0:
            self._add_row({})
        if evaluates or now % config.checkpoint_every == 0:
            self._save()

    def _evaluate(self) -> None:
        if self._fabric.is_global_zero:
            metrics = self._trainable.validate()
            if self._metric not in metrics:
                raise TrainingError(f"validation gives no {self._metric!r}, only {', '.join(metrics)}")
            self._keep(metrics)
        self._add_row(self._progress.last or {})
        self._fabric.barrier()

    def _keep(self, metrics: dict[str, float]) -> None:
        """Remember metrics, and the model where it is the best so far."""
        progress = self._progress
        progress.last = {"iteration": progress.iteration, **metrics}
        best = math.inf if progress.best is None else progress.best[self._metric]
        # The first model is kept whatever it is worth, so that there is one.
        if progress.best is None or metrics[self._metric] < best or math.isnan(best):
            progress.best = dict(progress.last)
            with replacing(self._folder.best) as part:
                weights.save(part, *self._trainable.weights())
        texts = [f"{name} {value:.4g}" for name, value in metrics.items()]
        self._console.print(f"iteration {progress.iteration}: {', '.join(texts)}", highlight=False)
        self._write_result()

    def _add_row(self, metrics: Mapping[str, float]) -> None:
        """One line: the mean losses since the last one, over all processes, and what was just measured."""
        progress = self._progress
        losses = {name: total / progress.counts[name] for name, total in progress.sums.items()}
        progress.sums, progress.counts = {}, {}
        if losses and self._fabric.world_size > 1:
            here = torch.tensor(list(losses.values()), device=self._fabric.device)
            means = cast(Tensor, self._fabric.all_reduce(here, reduce_op="mean"))
            losses = dict(zip(losses, means.tolist(), strict=True))
        if self._log is None:
            return
        epoch = progress.iteration // self._trainable.epoch
        row = {"iteration": progress.iteration, "epoch": epoch, "seconds": progress.seconds}
        self._log.add({**row, **losses, **metrics})

    def _agreed_to_stop(self) -> bool:
        """Whether to stop here; several processes must all stop at the same iteration."""
        if self._fabric.world_size == 1:
            return bool(self._stop)
        if self._progress.iteration % self._config.log_every:
            return False
        self._stop = self._fabric.broadcast(self._stop)
        return bool(self._stop)

    def _finish(self) -> bool:
        progress, config = self._progress, self._config
        if progress.iteration < config.iterations:
            self._save()
        if self._log is not None:
            self._write_result()
            self._log.close()
        self._fabric.barrier()
        if progress.iteration >= config.iterations:
            return True
        self._console.print(
            f"stopped {self._stop} at iteration {progress.iteration} of {config.iterations}; "
            f"the same command goes on from {self._folder.last}",
            highlight=False,
        )
        return False

    def _write_result(self) -> None:
        progress = self._progress
        measured = {"best": progress.best, "last": progress.last, "data": self._reference}
        done = {"iterations": progress.iteration, "seconds": round(progress.seconds, 3)}
        write_json(self._folder.result, {**measured, **done})

    def _save(self) -> None:
        if not self._fabric.is_global_zero:
            return
        owner = self._trainable
        state: dict[str, Any] = {
            "modules": {name: module.state_dict() for name, module in owner.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in owner.optimizers.items()},
            "progress": {f.name: getattr(self._progress, f.name) for f in fields(_Progress)},
        }
        save_state(self._folder.last, state)

    def _restore(self) -> None:
        state = load_state(self._folder.last)
        for name, module in self._trainable.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self._trainable.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self._progress = _Progress(**state["progress"])
        self._console.print(f"going on from iteration {self._progress.iteration}", highlight=False)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and a scheduler's SIGTERM end the run after the present iteration; a second one at once."""

        def ask(number: int, frame: object) -> None:
            if self._stop:
                raise KeyboardInterrupt
            self._stop = f"by {signal.Signals(number).name}"

        # Python takes handlers in the main thread only; elsewhere the caller's own stay.
        numbers = (signal.SIGINT, signal.SIGTERM)
        here = threading.current_thread() is threading.main_thread()
        old = {number: signal.signal(number, ask) for number in numbers} if here else {}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler or signal.SIG_DFL)

    @contextmanager
    def _bar(self) -> Iterator[Any]:
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), "ETA", TimeRemainingColumn())
        text = TextColumn("{task.description}")
        with Progress(*columns, text, console=self._console) as bar:
            task = bar.add_task("", total=self._config.iterations, completed=self._progress.iteration)
            yield partial(self._show, bar, task)

    def _show(self, bar: Progress, task: TaskID, losses: Mapping[str, float]) -> None:
        text = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        bar.update(task, completed=self._progress.iteration, description=text)
