"""How much more often than a counted table expects each person begins and ends single actions.

People and groups differ more from each other than any situation tells: one nods all the time, one group
hardly ever talks at once. A table counted over many meetings gives what is usual in each situation; here the
events that were observed are set against those that the table expected of the very same situations, so that
what is left is the person and the group. With a gamma prior on each rate the estimate of the ratio is

    (observed + weight * prior) / (expected + weight),

for a group with prior 1, and for a person with the group's estimate as the prior (empirical Bayes in two
stages). Old events fade, at several speeds, so the estimates follow people who change.

Four kinds of events of each single action are told apart: it begins or it ends, while nobody else does the
same or while somebody does. Speech that begins while another person speaks is thus a habit of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.person_history import History, HistoryState
from hmgen_ros.generators.situations import Situations
from hmgen_ros.types import TICK_HZ, Action

#: Kinds of events: begins alone, begins beside others who do the same, ends alone, ends beside others.
KINDS = 4


@dataclass(frozen=True)
class EventRatesConfig:
    """How fast the estimates follow, and how much it takes to move them.

    Attributes:
        time_constants_s: after which events have faded to 37 %, s, increasing.
        group_weight: expected events that the prior of a group's ratio counts for, above 0.
        person_weight: expected events that the group's ratio counts for in a person's, above 0.

    Raises:
        ValueError: a value is not positive, or the time constants do not increase.
    """

    time_constants_s: tuple[float, ...] = (60.0, 600.0)
    group_weight: float = 3.0
    person_weight: float = 3.0

    def __post_init__(self) -> None:
        times = self.time_constants_s
        if not times or times[0] <= 0 or list(times) != sorted(set(times)):
            raise ValueError(f"time_constants_s must be positive and increase, got {times}")
        if not min(self.group_weight, self.person_weight) > 0.0:
            raise ValueError(
                f"group_weight and person_weight must be above 0, got {self.group_weight} and "
                f"{self.person_weight}"
            )


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Faded counts of events; ``B`` single actions, ``K`` time constants.

    Attributes:
        observed: ``[..., N, B, 4, K]`` float32.
        expected: ``[..., N, B, 4, K]`` float32.
    """

    observed: Tensor
    expected: Tensor


class EventRates(nn.Module):
    """Counts events, tick by tick or of a whole sequence at once, and gives the ratios.

    Attributes:
        flips: ``[rows, B]`` float32, in each situation the table's probability that a person begins (or ends,
            where it goes on) each single action at the next tick; zero rows, of absent people, at the end.
    """

    flips: Tensor
    decay: Tensor

    def __init__(self, history: History, situations: Situations, config: EventRatesConfig) -> None:
        """Expect nothing until :meth:`set_table` says what is usual."""
        super().__init__()
        self.config, self.situations = config, situations
        self._history = (history,)  # a tuple: its buffers are the predictor's
        self._rows_a_symbol = int(np.prod(situations.shape[1:]))
        rows = (history.symbols + 1) * self._rows_a_symbol
        self.register_buffer("flips", torch.zeros(rows, len(history.actions)))
        times = np.array(config.time_constants_s) * TICK_HZ
        self.register_buffer("decay", torch.from_numpy(np.exp(-1.0 / times)).float(), persistent=False)

    @property
    def width(self) -> int:
        """Numbers in the log ratios of one person."""
        return int(self.flips.shape[1] * KINDS * len(self.decay))

    def set_table(self, probabilities: Tensor) -> None:
        """Take what is usual from ``[rows, A]`` probabilities of the next tick; rows may be zero."""
        (history,) = self._history
        symbol = torch.arange(len(probabilities), device=probabilities.device) // self._rows_a_symbol
        bits = history.bits.to(probabilities)
        present = bits[torch.where(symbol == history.symbols, ABSENT, symbol)]  # [rows, B]
        doing = probabilities @ bits[:-1]
        total = probabilities.sum(-1, keepdim=True)
        self.flips.copy_(torch.where(present > 0, total - doing, doing))

    def initial(self, slots: int) -> EventCounts:
        """Nothing counted."""
        shape = (slots, self.flips.shape[1], KINDS, len(self.decay))
        return EventCounts(*(torch.zeros(shape, device=self.flips.device) for _ in range(2)))

    def advance(self, counts: EventCounts, before: HistoryState, actions: Tensor) -> EventCounts:
        """The counts after ``actions`` (``[..., N]``) followed the state before."""
        both = ((before.symbol != ABSENT) & (actions != ABSENT))[..., None, None, None]
        observed, expected = (events.unsqueeze(-1) for events in self._events(before, actions))
        return EventCounts(
            torch.where(both, self.decay * counts.observed + observed, counts.observed),
            torch.where(both, self.decay * counts.expected + expected, counts.expected),
        )

    def of_sequence(self, states: HistoryState) -> EventCounts:
        """The counts after each tick of a sequence, given its ``[T, N]`` states."""
        length, people = states.symbol.shape
        shape = (length, people, self.flips.shape[1], KINDS, len(self.decay))
        found = [np.zeros(shape, np.float32), np.zeros(shape, np.float32)]
        if length > 1:
            before = HistoryState(*(getattr(states, f)[:-1] for f in HistoryState.__dataclass_fields__))
            both = ((states.symbol[:-1] != ABSENT) & (states.symbol[1:] != ABSENT)).T.cpu().numpy()
            for into, events in zip(found, self._events(before, states.symbol[1:]), strict=True):
                self._fade(into[1:], events.cpu().double().numpy(), both)
        device = self.flips.device
        return EventCounts(*(torch.from_numpy(counts).to(device) for counts in found))

    def log_ratios(self, counts: EventCounts) -> Tensor:
        """``[..., N, B, 4, K]`` logarithm of how much more often than usual; 0 where nothing is known."""
        group, person = self.config.group_weight, self.config.person_weight
        everybody = (counts.observed.sum(-4, keepdim=True) + group) / (
            counts.expected.sum(-4, keepdim=True) + group
        )
        return ((counts.observed + person * everybody) / (counts.expected + person)).log()

    def without(self, counts: EventCounts, action: Action) -> EventCounts:
        """The counts where nothing is known of a single action: it was not annotated."""
        (history,) = self._history
        keep = torch.tensor([a != action for a in history.actions], device=self.flips.device)
        return EventCounts(counts.observed * keep[:, None, None], counts.expected * keep[:, None, None])

    def kinds(self, symbol: Tensor) -> Tensor:
        """``[..., N, B]`` which kind of event the next change of each single action would be."""
        (history,) = self._history
        bits = history.bits[symbol]
        return (2 * bits + (bits.sum(-2, keepdim=True) > bits)).long()

    def _events(self, before: HistoryState, actions: Tensor) -> tuple[Tensor, Tensor]:
        """``[..., N, B, 4]`` observed and expected events of the tick after a state."""
        (history,) = self._history
        kind = functional.one_hot(self.kinds(before.symbol), KINDS).float()
        flipped = (history.bits[actions] != history.bits[before.symbol]).float()
        usual = functional.embedding(history.rows(before, self.situations), self.flips)
        return flipped.unsqueeze(-1) * kind, usual.unsqueeze(-1) * kind

    def _fade(self, into: NDArray[np.float32], events: NDArray[np.float64], both: NDArray[np.bool_]) -> None:
        """Faded sums of ``[T, N, B, 4]`` events; they stand still while a person is not seen."""
        for person, seen in enumerate(both):
            held, own = np.cumsum(seen), events[seen, person]
            for k, decay in enumerate(self.decay.cpu().double().numpy()):
                summed = lfilter([1.0], [1.0, -decay], own, axis=0)
                into[:, person, ..., k] = np.concatenate([np.zeros((1, *own.shape[1:])), summed])[held]
