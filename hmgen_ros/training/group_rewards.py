"""Pasts whose futures are judged as a whole, and the likelihood of those futures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hmgen_ros.data.preparation import Prepared
from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.group_attention import GroupAttention, GroupAttentionState, map_state
from hmgen_ros.generators.person_history import HistoryState
from hmgen_ros.training.group_samples import GroupSamples, NextTickLoss

_HISTORY = tuple(HistoryState.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Moments:
    """The last observed tick of every training window, and what came before and after.

    Attributes:
        states: ``[W, N]`` people; their codes are made anew in each iteration.
        observed: ``[W, 60, N]`` int64.
        target: ``[W, T, N]`` int64.
    """

    states: GroupAttentionState
    observed: Tensor
    target: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, model: GroupAttention, prepared: Prepared, sequences: Sequence[NDArray[np.int64]]) -> Moments:
        """Those of prepared windows of some ``[T, N]`` sequences."""
        parts = []
        for number, sequence in enumerate(sequences):
            starts = prepared.origins[prepared.origins[:, 0] == number, 1]
            ticks = torch.from_numpy(starts + prepared.observed.shape[1] - 1)
            parts.append(model.history(torch.from_numpy(sequence), ticks))
        joined = {f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(parts[0])}
        return cls(
            GroupAttentionState(**joined),
            torch.from_numpy(prepared.observed),
            torch.from_numpy(prepared.target),
        )

    def take(self, rows: Tensor, device: torch.device) -> Moments:
        """Some of them, on a device."""
        states = map_state(self.states, lambda values: values[rows].to(device))
        assert isinstance(states, GroupAttentionState)
        return Moments(states, self.observed[rows].to(device), self.target[rows].to(device))


class RewardedLoss(nn.Module):
    """Likelihood of the next tick, and of sampled futures weighted by their rewards; wrapped by Fabric."""

    def __init__(self, model: GroupAttention) -> None:
        super().__init__()
        self.likelihood = NextTickLoss(model)

    def forward(
        self, samples: GroupSamples, states: GroupAttentionState, future: Tensor, advantage: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both losses, to be weighted.

        Args:
            samples: for the likelihood.
            states: ``[B, N]`` people.
            future: ``[S, T, B, N]`` int64 sampled from them.
            advantage: ``[S, B]`` how much better each is than the other futures of its past.
        """
        rewarded = -(advantage * log_likelihood(self.likelihood.model, states, future)).mean()
        return self.likelihood(samples), rewarded / future.shape[1]


def log_likelihood(model: GroupAttention, states: GroupAttentionState, future: Tensor) -> Tensor:
    """``[S, B]`` log likelihood of ``[S, T, B, N]`` futures, summed over ticks and people."""
    samples, ticks, batch, people = future.shape
    ratios = model.rates.log_ratios(states.counts)
    codes, tempo = model.codes(states, ratios), model.decoder.tempo(ratios)

    def repeat(values: Tensor, times: int) -> Tensor:
        return values.expand(times, *values.shape).flatten(0, 1)

    past = HistoryState(*(repeat(getattr(states, name), samples) for name in _HISTORY))
    steps = []
    for tick in range(ticks):
        steps.append(past)
        past = model.history_of.advance(past, future[:, tick].flatten(0, 1))
    every = HistoryState(*(torch.cat([getattr(s, name) for s in steps]) for name in _HISTORY))  # [T S B, N]
    age = torch.arange(ticks, device=future.device).repeat_interleave(samples * batch)
    logits = model.decoder(repeat(codes, ticks * samples), repeat(tempo, ticks * samples), every, age)
    drawn = future.transpose(0, 1).reshape(-1, people)
    chosen = logits.log_softmax(-1).gather(-1, drawn.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    chosen = chosen * ((every.symbol != ABSENT) & (drawn != ABSENT))
    likelihood: Tensor = chosen.reshape(ticks, samples, batch, people).sum((0, 3))
    return likelihood
