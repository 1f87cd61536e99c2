"""What the training loop needs to know: settings that every training has, and what a trainer gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from lightning_fabric.fabric import Fabric
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

#: Settings that may change when a run goes on, for they do not change its numbers (on one kind of machine).
OPTIONS = ("iterations", "checkpoint_every", "accelerator", "threads", "max_minutes", "force")


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Settings that every training has.

    Attributes:
        seed: of everything random in the run, at least 0.
        iterations: length of the run; a finished run goes on when this is raised.
        eval_every: iterations from one evaluation to the next; one more at the start and at the end.
        log_every: iterations that one line of the log averages over.
        checkpoint_every: iterations from one resumable state to the next.
        accelerator: "auto" takes a GPU where there is one.
        devices: processes on each machine, one a GPU.
        num_nodes: machines; start the same command on each, with Fabric's environment variables or under
            a scheduler such as SLURM.
        precision: of the arithmetic: single precision, or mixed with half precision on GPUs.
        threads: of one process on the CPU; 0 leaves the number to PyTorch. The networks are small, so more
            than one seldom help, and cost much where other programs run beside.
        max_minutes: stop after so much time, wherever the run is; the same command goes on.
        force: start over where a run with this name exists.
    """

    seed: int = 0
    iterations: int = 3000
    eval_every: int = 250
    log_every: int = 10
    checkpoint_every: int = 100
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = 1
    num_nodes: int = 1
    precision: Precision = "32-true"
    threads: int = 1
    max_minutes: float | None = None
    force: bool = False

    def __post_init__(self) -> None:
        for name in ("iterations", "eval_every", "log_every", "checkpoint_every", "devices", "num_nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "threads"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ValueError(f"max_minutes must be above 0, got {self.max_minutes}")
        if self.accelerator == "cuda" and not torch.cuda.is_available():
            raise ValueError("accelerator: there is no CUDA device here; use 'cpu' or 'auto'")

    def launch(self) -> Fabric:
        """The machinery, with the processes of this machine started; call it once, first of all.

        Raises:
            ValueError: the machine lacks what is asked for.
        """
        if self.threads:
            torch.set_num_threads(self.threads)
        try:
            fabric = Fabric(
                accelerator=self.accelerator,
                devices=self.devices,
                num_nodes=self.num_nodes,
                precision=self.precision,
            )
        except RuntimeError as error:
            raise ValueError(f"accelerator, devices or precision do not fit this machine: {error}") from error
        fabric.launch()
        return fabric


def console_of(fabric: Fabric, console: Console | None = None) -> Console:
    """Where a process prints; only the first one does."""
    return (console or Console()) if fabric.is_global_zero else Console(quiet=True)


def check_ship(name: str | None) -> None:
    """Raise ValueError where the setting ``ship`` cannot be the name of a model and its files."""
    if name is not None and (not name or set(name) & set("/\\")):
        raise ValueError(f"ship must be the name of a model, got {name!r}")


class Trainable(Protocol):
    """What a trainer gives the loop."""

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Everything with parameters or buffers that the run changes."""

    @property
    def optimizers(self) -> Mapping[str, Optimizer]:
        """Every optimiser."""

    @property
    def epoch(self) -> int:
        """Iterations that see each training sample once."""

    def setup(self, fabric: Fabric) -> None:
        """Move to the device and wrap for several processes."""

    def step(self, iteration: int) -> dict[str, float]:
        """One iteration (from 0 on); returns the losses that were computed in it, by name."""

    def validate(self) -> dict[str, float]:
        """Metrics of the present model; runs in the first process only, so it must not synchronise."""

    def reference(self) -> dict[str, float]:
        """The data's own value of each metric, where it has one."""

    def weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors of the model file, see :func:`hmgen_ros.generators.weights.save`."""


def seed_iteration(seed: int, iteration: int, process: int) -> None:
    """Seed PyTorch's generators, of all devices, for one iteration of one process."""
    state = np.random.SeedSequence([seed, iteration, process]).generate_state(2)
    torch.manual_seed(int(state[0]) << 31 ^ int(state[1]))


def check_batch(samples: int, batch: int) -> None:
    """Raise ValueError where a batch takes more samples than there are, before a run begins."""
    if not 1 <= batch <= samples:
        raise ValueError(f"batch must lie between 1 and the {samples} training samples, got {batch}")


def batch_indices(samples: int, batch: int, iteration: int, seed: int) -> NDArray[np.int64]:
    """Which samples an iteration takes: epochs are permutations, the rest of an epoch is left out.

    Args:
        samples: in the training set, at least ``batch``.
        batch: samples an iteration, at least 1.
        iteration: from 0 on.
        seed: of the permutations.

    Returns:
        ``[batch]`` different indices.

    Raises:
        ValueError: there are fewer samples than one batch takes.
    """
    check_batch(samples, batch)
    epoch, position = divmod(iteration, samples // batch)
    order = np.random.default_rng([seed, epoch]).permutation(samples)
    return order[position * batch : (position + 1) * batch]
