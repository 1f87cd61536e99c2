"""Measures a forecaster of whole meetings while it is trained: its forecasts, and the chapter's metrics.

The futures that H_M, H_C, SFID and coupling are measured on start where those of the chapter's other systems
do (:mod:`hmgen_ros.training.social_validation`), so that all stand in one table; other than there the
forecaster knows everything that was before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hmgen_ros.generators.interface import ActionPredictor
from hmgen_ros.training.forecast_validation import ForecastValidation
from hmgen_ros.training.social_validation import SocialValidation


@dataclass(frozen=True)
class GroupValidation:
    """Everything that is measured of a forecaster.

    Attributes:
        forecasts: how good its probabilities are.
        windows: what its futures look like; prepared of the same meetings in the same order.
    """

    forecasts: ForecastValidation
    windows: SocialValidation

    @property
    def reference(self) -> dict[str, float]:
        """The data's own values."""
        return self.windows.reference

    @torch.no_grad()
    def __call__(self, model: ActionPredictor[Any]) -> dict[str, float]:
        """``nll`` and so on of the forecasts; of one future of each window H_M, H_C, SFID and coupling."""
        windows, device = self.windows, next(model.parameters()).device
        random, futures = torch.Generator().manual_seed(windows.seed), []
        for number, sequence in enumerate(self.forecasts.sequences):
            starts = windows.origins[windows.origins[:, 0] == number, 1]
            ticks = torch.from_numpy(starts + windows.observed.shape[1] - 1).to(device)
            state = model.history(torch.from_numpy(sequence).to(device), ticks)
            future = model.rollout(state, windows.target.shape[1], 1, random)[0]  # [T, W, N]
            futures.append(future.transpose(0, 1).cpu().numpy())
        windows.net.to(device)
        return {**self.forecasts(model), **windows.measure(np.concatenate(futures))}
