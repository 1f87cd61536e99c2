"""Training samples of :mod:`hmgen_ros.generators.group_attention`: a group, its past, and the next tick.

People rarely change what they do, so nearly all ticks say the same. Every tick before a change is taken
and of the quiet ones a part, weighted up to make up for the rest: the expected loss is that of all ticks at
a fraction of the cost.

The code of a person is made once when a forecast begins and grows old while it goes on. So the encoder sees
the group as it was some ticks ago, the decoder as it is.

Meetings without head annotation are three quarters of the corpus. They teach who speaks, laughs, writes and
walks when: where heads are not known, the model is asked for the probability of everything that looks the
same without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.event_rates import EventCounts
from hmgen_ros.generators.group_attention import GroupAttention, map_state
from hmgen_ros.generators.person_history import HistoryState
from hmgen_ros.types import Action, action_mask

#: Part of the samples whose code is fresh, as it is for the next tick's probabilities.
_FRESH = 0.15
#: Ticks at the beginning of a sequence that nothing is asked about, as the past is still empty.
_WARM_UP = 25


@dataclass(frozen=True)
class SampleConfig:
    """Which ticks are taken.

    Attributes:
        quiet: part of the ticks that no change follows that is taken, in (0, 1].
        max_age: the code is up to so many ticks old, exclusive.
        seed: of the choice.
    """

    quiet: float = 0.1
    max_age: int = 80
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.quiet <= 1.0 or self.max_age < 1:
            raise ValueError(
                f"quiet must lie in (0, 1] and max_age be at least 1, got {self.quiet}, {self.max_age}"
            )


@dataclass(frozen=True, slots=True)
class GroupSamples:
    """Samples of groups of ``N`` people.

    Attributes:
        past: ``[M, N]`` people, what the encoder sees.
        ratios: ``[M, N, singles, 4, K]`` log ratios of their rates of events, of the same time.
        present: ``[M, N]`` people, what the decoder sees.
        age: ``[M]`` ticks between the two.
        following: ``[M, N]`` int64 symbols of the next tick, ``ABSENT`` where not seen.
        weight: ``[M]`` float32, how many ticks a sample stands for.
        no_heads: ``[M]`` bool, head gestures are not annotated.
    """

    past: HistoryState
    ratios: Tensor
    present: HistoryState
    age: Tensor
    following: Tensor
    weight: Tensor
    no_heads: Tensor

    def __len__(self) -> int:
        return len(self.age)

    def take(self, index: Tensor, device: torch.device) -> GroupSamples:
        """Some of the samples, on a device and in the types that the networks take."""

        def ready(values: Tensor) -> Tensor:
            chosen = values[index].to(device)
            return chosen.float() if chosen.is_floating_point() else chosen.long()

        return GroupSamples(
            map_state(self.past, ready),
            ready(self.ratios),
            map_state(self.present, ready),
            ready(self.age),
            ready(self.following),
            ready(self.weight),
            self.no_heads[index].to(device),
        )


def collect(
    sequences: Sequence[NDArray[np.int64]], no_heads: bool, model: GroupAttention, config: SampleConfig
) -> GroupSamples:
    """Samples of some sequences.

    Args:
        sequences: ``[T, N]`` symbols each, of equally many people.
        no_heads: head gestures are not annotated in these.
        model: reads the past.
        config: which ticks are taken.

    Raises:
        ValueError: no sequence is long enough.
    """
    parts = []
    for number, sequence in enumerate(sequences):
        if len(sequence) > _WARM_UP + 1:
            random = np.random.default_rng([config.seed, number, int(no_heads)])
            parts.append(_of_sequence(torch.from_numpy(sequence), no_heads, model, config, random))
    if not parts:
        raise ValueError(f"no sequence is longer than {_WARM_UP + 1} ticks")
    return join(parts)


def join(parts: Sequence[GroupSamples]) -> GroupSamples:
    """All samples of several sets of equally large groups."""
    pasts, presents = [p.past for p in parts], [p.present for p in parts]
    return GroupSamples(
        _join_states(pasts),
        torch.cat([part.ratios for part in parts]),
        _join_states(presents),
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("age", "following", "weight", "no_heads")
        ),
    )


def without_heads(space: ActionSpace) -> Tensor:
    """``[A, A]`` float32: for each symbol, the symbols that look the same where heads are not known."""
    heads = action_mask(Action.HEAD_GESTURE)
    plain = np.array([mask & ~heads for mask in space.masks])
    return torch.from_numpy((plain[:, None] == plain[None, :]).astype(np.float32))


def loss_of(logits: Tensor, samples: GroupSamples, alike: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted negative log likelihood, and the weights it was summed with.

    Args:
        logits: ``[B, N, A]`` of the next tick.
        samples: ``B`` of them.
        alike: from :func:`without_heads`.

    Returns:
        Both ``[B, N]``; the weight is 0 where nothing is known.
    """
    known = (samples.present.symbol != ABSENT) & (samples.following != ABSENT)
    following = samples.following.clamp(min=0)
    exact = functional.one_hot(following, logits.shape[-1]).float()
    wanted = torch.where(samples.no_heads[:, None, None], alike[following], exact)
    likelihood = torch.logsumexp(logits + wanted.clamp(min=1e-30).log(), -1) - torch.logsumexp(logits, -1)
    return -likelihood, samples.weight.unsqueeze(-1) * known


class NextTickLoss(nn.Module):
    """Mean loss of the next tick over samples; a module, so that Fabric can wrap it."""

    alike: Tensor

    def __init__(self, model: GroupAttention) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("alike", without_heads(model.space), persistent=False)

    def forward(self, samples: GroupSamples) -> Tensor:
        """A scalar."""
        codes = self.model.codes(samples.past, samples.ratios, samples.no_heads)
        tempo = self.model.decoder.tempo(samples.ratios)
        logits = self.model.decoder(codes, tempo, samples.present, samples.age)
        loss, weight = loss_of(logits, samples, self.alike)
        return (loss * weight).sum() / weight.sum().clamp(min=1.0)


def leave_out(samples: GroupSamples, share: float) -> GroupSamples:
    """The samples as smaller groups: in this share of them one person or two are not there.

    Only for groups of three and more, so that somebody is left; drawn by PyTorch's own generator.
    """
    symbol = samples.present.symbol
    batch, people = symbol.shape
    if share <= 0.0 or people < 3:
        return samples
    device = symbol.device
    order = torch.rand(batch, people, device=device).argsort(dim=1)
    count = torch.randint(1, 3, (batch, 1), device=device) * (torch.rand(batch, 1, device=device) < share)
    gone = order < count

    def thinned(state: HistoryState) -> HistoryState:
        changed = {f: getattr(state, f) for f in HistoryState.__dataclass_fields__}
        changed["symbol"] = state.symbol.masked_fill(gone, ABSENT)
        return HistoryState(**changed)

    return GroupSamples(
        thinned(samples.past),
        samples.ratios,
        thinned(samples.present),
        samples.age,
        samples.following,
        samples.weight,
        samples.no_heads,
    )


def _of_sequence(
    actions: Tensor, no_heads: bool, model: GroupAttention, config: SampleConfig, random: np.random.Generator
) -> GroupSamples:
    changes = (actions[1:] != actions[:-1]).any(dim=1).numpy()
    taken = changes | (random.random(len(changes)) < config.quiet)
    taken[:_WARM_UP] = False
    ticks = np.flatnonzero(taken)
    age = random.integers(0, np.minimum(config.max_age, ticks + 1))
    age[random.random(len(age)) < _FRESH] = 0
    states = model.history_of.of_sequence(actions)
    counts = model.rates.of_sequence(states)
    counts = EventCounts(counts.observed[ticks - age], counts.expected[ticks - age])
    if no_heads:
        counts = model.rates.without(counts, Action.HEAD_GESTURE)
    weight = np.where(changes[ticks], 1.0, 1.0 / config.quiet).astype(np.float32)
    return GroupSamples(
        map_state(states, lambda values: _small(values[ticks - age])),
        _small(model.rates.log_ratios(counts)),
        map_state(states, lambda values: _small(values[ticks])),
        torch.from_numpy(age.astype(np.int32)),
        actions[ticks + 1].to(torch.int16),
        torch.from_numpy(weight),
        torch.full((len(ticks),), no_heads),
    )


def _small(values: Tensor) -> Tensor:
    """In half the memory or less; counters need 21 bits."""
    return values.to(torch.float16 if values.is_floating_point() else torch.int32)


def _join_states(states: Sequence[HistoryState]) -> HistoryState:
    names = HistoryState.__dataclass_fields__
    return HistoryState(**{name: torch.cat([getattr(s, name) for s in states]) for name in names})
