"""Measures a forecaster on held-out meetings while it is trained, as a user gets its forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.evaluation.action_metrics import score
from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.interface import ActionPredictor
from hmgen_ros.types import TICK_HZ

#: 0.2, 0.4, 0.8, 1.6 and 3.2 s.
HORIZONS = (5, 10, 20, 40, 80)
_OBSERVED = 60


@dataclass(frozen=True)
class ForecastValidation:
    """Forecasts at regular ticks of whole meetings, each from everything that was before.

    Attributes:
        sequences: ``[T, N]`` int64 symbols each.
        ticks: where forecasts start, of each sequence.
        samples: futures of each.
        seed: of the futures.
    """

    sequences: Sequence[NDArray[np.int64]]
    ticks: Sequence[NDArray[np.int64]]
    samples: int
    seed: int = 0

    @classmethod
    def of(cls, sequences: Sequence[NDArray[np.int64]], stride: int, samples: int) -> ForecastValidation:
        """Forecast every ``stride`` ticks.

        Raises:
            ValueError: a sequence is too short for one forecast.
        """
        ticks = [np.arange(_OBSERVED - 1, len(s) - HORIZONS[-1], stride) for s in sequences]
        if not all(len(t) for t in ticks):
            raise ValueError(f"a sequence is shorter than {_OBSERVED + HORIZONS[-1]} ticks")
        return cls(sequences, ticks, samples)

    @torch.no_grad()
    def __call__(self, model: ActionPredictor[Any]) -> dict[str, float]:
        """``nll`` (mean over the horizons), ``nll_0.4s`` and so on."""
        device = next(model.parameters()).device
        random = torch.Generator().manual_seed(self.seed)
        given, happened = [], []
        for sequence, ticks in zip(self.sequences, self.ticks, strict=True):
            state = model.history(torch.from_numpy(sequence).to(device), torch.from_numpy(ticks).to(device))
            found = model.futures(state, HORIZONS[-1], self.samples, random)
            truth = _future(sequence, ticks)
            given.append(found.marginals.transpose(0, 1).cpu().numpy()[:, np.array(HORIZONS) - 1])
            happened.append(truth[:, np.array(HORIZONS) - 1])
        probabilities, truth = np.concatenate(given), np.concatenate(happened)
        losses = [score(probabilities[:, i], truth[:, i]).nll for i in range(len(HORIZONS))]
        names = [f"nll_{horizon / TICK_HZ:g}s" for horizon in HORIZONS]
        return {"nll": float(np.mean(losses)), **dict(zip(names, losses, strict=True))}


def _future(sequence: NDArray[np.int64], ticks: NDArray[np.int64]) -> NDArray[np.int64]:
    """``[W, 80, N]`` what followed; ``ABSENT`` for people who were not seen at the start."""
    future = sequence[ticks[:, None] + 1 + np.arange(HORIZONS[-1])]
    return np.where(sequence[ticks][:, None] == ABSENT, ABSENT, future)
