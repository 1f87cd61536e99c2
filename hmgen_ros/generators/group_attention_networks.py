"""The two networks of :mod:`hmgen_ros.generators.group_attention`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.event_rates import KINDS, EventRates, EventRatesConfig
from hmgen_ros.generators.hazard_tables import HazardTables, SituationTables
from hmgen_ros.generators.person_history import KNOTS, RAMPS, History, HistoryConfig, HistoryState
from hmgen_ros.generators.situations import SemiMarkovConfig, Situations


@dataclass(frozen=True)
class GroupAttentionConfig:
    """Sizes.

    Attributes:
        history: what is remembered of each person.
        situations: of the counted table that the decoder corrects.
        rates: how what people do more often than the table expects is estimated.
        width: of the encoder's tokens, a multiple of ``heads``.
        hidden: of the decoder.
        shown: what the decoder lets others see of a person.
        heads: of the attention.
        dropout: of hidden units while training, 0 to below 1.
        input_dropout: of the encoder's view of people while training, 0 to below 1.
        outlook_weight: so many futures the outlook without sampling counts for in the probabilities.
        max_age: ticks ahead for which the code is trained; later ticks count as this one.

    Raises:
        ValueError: a size is not positive, or ``width`` is no multiple of ``heads``.
    """

    history: HistoryConfig = field(default_factory=HistoryConfig)
    situations: SemiMarkovConfig = field(default_factory=SemiMarkovConfig)
    rates: EventRatesConfig = field(default_factory=EventRatesConfig)
    width: int = 48
    hidden: int = 48
    shown: int = 24
    heads: int = 4
    dropout: float = 0.1
    input_dropout: float = 0.2
    max_age: int = 80
    outlook_weight: float = 512.0

    def __post_init__(self) -> None:
        if min(self.width, self.hidden, self.shown, self.heads, self.max_age) < 1 or self.width % self.heads:
            raise ValueError(
                "width, hidden, shown, heads and max_age must be positive and width a multiple of heads, got "
                f"{self.width}, {self.hidden}, {self.shown}, {self.heads}, {self.max_age}"
            )
        if self.outlook_weight < 0.0:
            raise ValueError(f"outlook_weight must not be negative, got {self.outlook_weight}")
        if not 0.0 <= self.dropout < 1.0 or not 0.0 <= self.input_dropout < 1.0:
            raise ValueError(
                f"dropout and input_dropout must lie in [0, 1), got {self.dropout}, {self.input_dropout}"
            )


class Encoder(nn.Module):
    """Everybody's past to everybody's code."""

    def __init__(self, history: History, rates: EventRates, config: GroupAttentionConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        # One more feature says that head gestures were not annotated in this sequence.
        self.person = nn.Sequential(
            # Few people are in the corpus: no single habit may be relied on.
            nn.Dropout(config.input_dropout),
            nn.Linear(history.person_width + rates.width + 1, width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(width, width),
            nn.ReLU(),
        )
        self.event = nn.Linear(history.event_width, width)
        self.owner = nn.Linear(width, width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        #: Added to the keys of one's own and of the others' tokens.
        self.relation = nn.Parameter(torch.zeros(2, width))
        self.code = nn.Linear(2 * width, config.hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, people: Tensor, events: Tensor, present: Tensor, no_heads: Tensor) -> Tensor:
        """Codes.

        Args:
            people: ``[B, N, F]`` features of each person.
            events: ``[B, N, E, G]`` features of each person's last changes.
            present: ``[B, N]`` bool; nobody attends to absent people.
            no_heads: ``[B]`` bool, head gestures are not annotated.

        Returns:
            ``[B, N, H]``.
        """
        number = people.shape[1]
        flag = no_heads.float()[:, None, None].expand(-1, number, 1)
        own = self.person(torch.cat([people, flag], dim=-1))  # [B, N, W]
        changes = torch.relu(self.event(events) + self.owner(own).unsqueeze(2))  # [B, N, E, W]
        tokens = torch.cat([own.unsqueeze(2), changes], dim=2)  # [B, N, 1 + E, W]
        each = tokens.shape[2]
        tokens = tokens.flatten(1, 2)  # [B, M, W]
        same = torch.eye(number, dtype=torch.bool, device=people.device).repeat_interleave(each, dim=1)
        query, value = self._split(self.query(own)), self._split(self.value(tokens))
        key = self._split(self.key(tokens))
        relation = self._split(self.relation.unsqueeze(0))  # [1, heads, 2, W / heads]
        scores = query @ key.transpose(-1, -2)  # [B, heads, N, M]
        related = query @ relation.transpose(-1, -2)  # [B, heads, N, 2]
        scores = scores + torch.where(same, related[..., :1], related[..., 1:])
        visible = present.repeat_interleave(each, dim=1)[:, None, None, :]
        scores = (scores / query.shape[-1] ** 0.5).masked_fill(~visible, -1e9)
        attended = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        code: Tensor = self.code(self.dropout(torch.cat([own, attended], dim=-1)))
        return code

    def _split(self, values: Tensor) -> Tensor:
        """``[B, M, W]`` to ``[B, heads, M, W / heads]``."""
        split: Tensor = values.unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)


class Decoder(nn.Module):
    """The group's present and codes to logits of everybody's next symbol.

    It corrects a counted table: what :class:`hmgen_ros.generators.semi_markov.SemiMarkov` knows of the next
    tick is where it starts from, so rare actions, of which a network learns too little, are in good hands.

    Attributes:
        prior: ``[rows, A]`` log probabilities of the next tick in each situation, zero (no opinion) until the
            training sets them; rows of absent people lie behind all others.
    """

    prior: Tensor

    def __init__(
        self, history: History, situations: Situations, rates: EventRates, config: GroupAttentionConfig
    ) -> None:
        super().__init__()
        hidden, symbols = config.hidden, history.symbols
        self.history, self.max_age = (history,), config.max_age  # a tuple: its buffers are the predictor's
        self.situations, self.rates = (situations,), (rates,)
        rows = (symbols + 1) * math.prod(situations.shape[1:])
        self.register_buffer("prior", torch.zeros(rows, symbols))
        self.first = nn.Linear(2 * (symbols + 1) + 3 * RAMPS, hidden)
        self.own = nn.Linear(hidden, hidden)
        self.shared = nn.Linear(hidden, config.shown)
        self.joint = nn.Linear(hidden + config.shown, hidden)
        self.out = nn.Linear(hidden, symbols, bias=False)
        self.pair_out = nn.Linear(2 * (symbols + 1), symbols)
        self.dropout = nn.Dropout(config.dropout)
        #: How far each log ratio of rates is believed.
        self.gain = nn.Parameter(
            torch.full((len(history.actions), KINDS, len(rates.decay)), 1.0 / len(rates.decay))
        )
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.pair_out.weight)
        nn.init.zeros_(self.pair_out.bias)

    def tempo(self, ratios: Tensor) -> Tensor:
        """``[..., N, B, 4]`` what log ratios of rates add to the log odds of each kind of event."""
        return (self.gain * ratios).sum(dim=-1)

    def forward(self, code: Tensor, tempo: Tensor, state: HistoryState, age: Tensor) -> Tensor:
        """Logits of the next tick.

        Args:
            code: ``[B, N, H]``.
            tempo: ``[B, N, singles, 4]`` from :meth:`tempo`.
            state: of the present, ``[B, N]`` people.
            age: ``[B]`` ticks since the code was made.

        Returns:
            ``[B, N, A]``; meaningless for absent people.
        """
        (history,) = self.history
        symbols = torch.cat([history.one_hot(state.symbol), history.one_hot(state.previous)], dim=-1)
        counters = torch.stack([state.dwell, state.voice], dim=-1)
        old = history.ramps(age.clamp(max=self.max_age - 1) + 1).unsqueeze(1).expand(-1, code.shape[1], -1)
        seen = torch.cat([symbols, history.ramps(counters).flatten(-2), old], dim=-1)
        own = self.dropout(torch.relu(self.first(seen) + code))  # [B, N, H]
        own = torch.relu(self.own(own))
        present = symbols[..., history.symbols : history.symbols + 1] == 0
        shown = torch.relu(self.shared(own)) * present
        joint = torch.relu(self.joint(torch.cat([own, _most_of_others(shown)], dim=-1)))
        logits: Tensor = self.out(self.dropout(joint)) + self.pair_out(symbols)
        (situations,) = self.situations
        logits = logits + self._lean(tempo, state.symbol)
        return logits + functional.embedding(history.rows(state, situations), self.prior)

    def _lean(self, tempo: Tensor, symbol: Tensor) -> Tensor:
        """``[B, N, A]`` logits of the events that lead from the present symbols to each symbol.

        Every event of the way counts; a term that all symbols share is left out.
        """
        (history,), (rates,) = self.history, self.rates
        kind = rates.kinds(symbol).unsqueeze(-1)
        towards = tempo.gather(-1, kind).squeeze(-1) * (1.0 - 2.0 * history.bits[symbol])
        return towards @ history.bits[:-1].T

    def tables(self, chain: Tensor) -> HazardTables:
        """The same function as arrays for sampling, with the chain (``[A, A]``) of the outlook."""
        (history,) = self.history
        symbols, hidden = history.symbols + 1, self.out.in_features
        device = self.prior.device

        def array(values: Tensor) -> NDArray[np.float32]:
            return np.ascontiguousarray(values.detach().float().cpu().numpy())

        first = self.first.weight.T  # [F, H]
        pairs, ramps = first[: 2 * symbols], first[2 * symbols :].reshape(3, RAMPS, hidden)
        ticks = history.ramps(torch.arange(KNOTS[-1] + 1, device=device))  # [ticks, RAMPS]
        direct = self.pair_out.weight.T  # [2 (A + 1), A]
        direct_pairs = direct[:symbols, None] + direct[None, symbols:] + self.pair_out.bias
        joint = self.joint.weight.T
        return HazardTables(
            pair=array(pairs[:symbols, None] + pairs[None, symbols:] + self.first.bias),
            dwell=array(ticks @ ramps[0]),
            voice=array(ticks @ ramps[1]),
            age=array(ticks[1 : self.max_age + 1] @ ramps[2]),
            own=array(self.own.weight.T),
            own_bias=array(self.own.bias),
            shared=array(self.shared.weight.T),
            shared_bias=array(self.shared.bias),
            joint=array(joint[:hidden]),
            pooled=array(joint[hidden:]),
            joint_bias=array(self.joint.bias),
            out=array(self.out.weight.T),
            pair_out=array(direct_pairs.permute(2, 0, 1)),
            prior=array(self.prior.T),
            chain=array(chain),
            bits=array(history.bits),
            situations=SituationTables.of(self.situations[0], history.speaks.cpu().numpy()),
        )


def _most_of_others(shown: Tensor) -> Tensor:
    """``[B, N, H]`` maximum over the *other* people of what each shows, all at least 0."""
    nobody = torch.zeros_like(shown[:, :1])
    before = torch.cummax(torch.cat([nobody, shown[:, :-1]], dim=1), dim=1).values
    behind = torch.cummax(torch.cat([nobody, shown[:, 1:].flip(1)], dim=1), dim=1).values.flip(1)
    return torch.maximum(before, behind)
