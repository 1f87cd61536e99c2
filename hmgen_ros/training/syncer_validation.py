"""Measures a pyramid of syncers on held-out windows: retrieval and offsets, by level."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hmgen_ros.evaluation.sync_metrics import synchrony
from hmgen_ros.generators.syncer import Embedded
from hmgen_ros.training.speech_windows import SpeechWindows
from hmgen_ros.training.sync_losses import scores

#: Windows that each evaluation asks about.
_ASKED = 2000


def retrieval(level: Embedded, negatives: int, seed: int = 0) -> float:
    """How often the right window of a face lies nearer to a sound than all of some wrong ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        right, wrong = scores(level, _ASKED, negatives)
    return float((right > wrong.amax(1)).float().mean())


def in_time(level: Embedded) -> float:
    """How often the offset of a sequence is found to a sample."""
    return float((synchrony(level).offset.abs() <= 1).float().mean())


def some(windows: SpeechWindows) -> tuple[Tensor, Tensor]:
    """Poses and sound of windows, evenly from all."""
    rows = even(len(windows), 2 * _ASKED // windows.ticks)
    return windows.cut(rows), windows.heard(rows)


def even(count: int, most: int) -> Tensor:
    """At most so many rows of ``count``, evenly from all."""
    return torch.from_numpy(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
