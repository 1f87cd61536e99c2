"""What a forecaster remembers of each person: the present action, recent changes, and habits.

Three kinds of memory, each cheap to carry on at 25 Hz and never growing:

* counters: how long the present joint action has held, and how long ago each single action last began or
  ended;
* the last few changes, each with its age, so that a network can attend to them by relative time;
* exponential averages of every action and of the rate of changes over seconds to minutes: who talks much,
  who nods a lot, who takes notes.

It is read off a stream tick by tick (:meth:`History.advance`) or off a whole sequence at once
(:meth:`History.of_sequence`), with the same result. Ticks in which a person is not seen leave the averages
alone; whoever comes back keeps them, but starts new counters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import lfilter
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.situations import SemiMarkovState, Situations, voices_of
from hmgen_ros.types import CONCURRENT_ACTIONS, TICK_HZ, Action

#: Ticks that stand for "longer ago than we know".
LONG = 1 << 20

#: Knots of the piecewise-linear functions of the logarithm of ticks, which all counters enter a network as.
KNOTS = (1, 2, 3, 4, 6, 8, 12, 18, 27, 40, 60, 100, 180, 350, 800, 2000, 6000)
RAMPS = len(KNOTS) - 1

#: Added to the weight of an average, so that averages of people who just came in lean to zero.
_PRIOR_WEIGHT = 1e-3


@dataclass(frozen=True)
class HistoryConfig:
    """How much is remembered.

    Attributes:
        time_constants_s: of the exponential averages, s, increasing.
        events: so many last changes of each person are kept.

    Raises:
        ValueError: a time constant is not positive or they do not increase, or ``events`` is negative.
    """

    time_constants_s: tuple[float, ...] = (1.0, 4.0, 15.0, 60.0, 240.0)
    events: int = 4

    def __post_init__(self) -> None:
        times = self.time_constants_s
        if not times or times[0] <= 0 or list(times) != sorted(set(times)):
            raise ValueError(f"time_constants_s must be positive and increase, got {times}")
        if self.events < 0:
            raise ValueError(f"events must not be negative, got {self.events}")


@dataclass(frozen=True, slots=True)
class HistoryState:
    """What is remembered of each person; ``B`` single actions, ``K`` time constants, ``E`` events.

    Attributes:
        symbol: ``[..., N]`` int64 present symbol, ``ABSENT`` where not seen.
        previous: ``[..., N]`` int64 symbol before it, ``ABSENT`` where there was none.
        dwell: ``[..., N]`` int64 ticks that the present symbol has held.
        since: ``[..., N, B]`` int64 ticks since each single action began or ended; ``LONG``: not known.
        voice: ``[..., N]`` int64 ticks since the voice (silent, speaking, laughing) last changed.
        event_symbol: ``[..., N, E]`` int64 what the last changes led to, newest first; ``ABSENT``: none.
        event_age: ``[..., N, E]`` int64 ticks since each, 1 for a change at the present tick.
        memory: ``[..., N, B + 1, K]`` float32 averages of each action and, last, of changes a tick.
        weight: ``[..., N, K]`` float32 how full each average is, 0 to 1.
    """

    symbol: Tensor
    previous: Tensor
    dwell: Tensor
    since: Tensor
    voice: Tensor
    event_symbol: Tensor
    event_age: Tensor
    memory: Tensor
    weight: Tensor


class History(nn.Module):
    """Carries :class:`HistoryState` on and turns it into features of a network."""

    bits: Tensor
    speaks: Tensor
    voices: Tensor
    decay: Tensor
    knots: Tensor

    def __init__(self, space: ActionSpace, config: HistoryConfig) -> None:
        super().__init__()
        self.config, self.symbols = config, len(space)
        every = {action: space.with_action(action) for action in CONCURRENT_ACTIONS}
        #: The single actions that occur in the space, in the order of ``B``.
        self.actions = tuple(action for action, has in every.items() if has.any())
        table = np.stack([every[action] for action in self.actions], axis=-1).astype(np.float32)
        times = np.array(config.time_constants_s) * TICK_HZ
        # The row appended to the bits answers for ABSENT (-1).
        self.register_buffer("bits", functional.pad(torch.from_numpy(table), (0, 0, 0, 1)), persistent=False)
        speaks = np.append(space.with_action(Action.SPEAKING), False).astype(np.int64)
        self.register_buffer("speaks", torch.from_numpy(speaks), persistent=False)
        self.register_buffer("voices", torch.from_numpy(voices_of(space)), persistent=False)
        self.register_buffer("decay", torch.from_numpy(np.exp(-1.0 / times)).float(), persistent=False)
        self.register_buffer("knots", torch.tensor(KNOTS, dtype=torch.float32).log(), persistent=False)

    @property
    def person_width(self) -> int:
        """Length of :meth:`person_features`."""
        singles, times = len(self.actions), len(self.decay)
        return 2 * (self.symbols + 1) + RAMPS * (1 + singles) + (singles + 2) * times

    @property
    def event_width(self) -> int:
        """Length of :meth:`event_features`."""
        return 2 * (self.symbols + 1) + 2 * RAMPS

    def initial(self, slots: int) -> HistoryState:
        """Nobody is there."""
        device, singles, times = self.decay.device, len(self.actions), len(self.decay)

        def full(value: int, *shape: int) -> Tensor:
            return torch.full((slots, *shape), value, dtype=torch.int64, device=device)

        return HistoryState(
            symbol=full(ABSENT),
            previous=full(ABSENT),
            dwell=full(0),
            since=full(LONG, singles),
            voice=full(LONG),
            event_symbol=full(ABSENT, self.config.events),
            event_age=full(LONG, self.config.events),
            memory=torch.zeros(slots, singles + 1, times, device=device),
            weight=torch.zeros(slots, times, device=device),
        )

    def advance(self, state: HistoryState, actions: Tensor) -> HistoryState:
        """The state after ``actions`` (``[..., N]``, ``ABSENT`` allowed) were seen."""
        before, there = state.symbol, actions != ABSENT
        changed, both = actions != before, there & (before != ABSENT)
        now, seen = self.bits[actions], there.unsqueeze(-1)
        flipped = (now != self.bits[before]) & both.unsqueeze(-1)
        entered = (there & ~both).unsqueeze(-1)
        since = torch.where(flipped, 1, (state.since + 1).clamp(max=LONG))
        turned = (self.voices[actions] != self.voices[before]) & both
        voice = torch.where(turned, 1, (state.voice + 1).clamp(max=LONG))
        observed = torch.cat([now, (changed & both).unsqueeze(-1).float()], dim=-1)
        memory = self.decay * state.memory + (1.0 - self.decay) * observed.unsqueeze(-1)
        weight = self.decay * state.weight + (1.0 - self.decay)
        return HistoryState(
            symbol=actions,
            previous=torch.where(changed, torch.where(both, before, ABSENT), state.previous),
            dwell=torch.where(changed, 1, state.dwell + 1),
            since=torch.where(entered, LONG, since),
            voice=torch.where(entered.squeeze(-1), LONG, voice),
            event_symbol=_push(state.event_symbol, actions, changed),
            event_age=_push((state.event_age + 1).clamp(max=LONG), torch.ones_like(actions), changed),
            memory=torch.where(seen.unsqueeze(-1), memory, state.memory),
            weight=torch.where(seen, weight, state.weight),
        )

    def of_sequence(self, actions: Tensor) -> HistoryState:
        """The states after each tick of ``[T, N]`` actions, all ticks at once."""
        before = functional.pad(actions, (0, 0, 1, 0), value=ABSENT)[:-1]
        there, changed = actions != ABSENT, actions != before
        both = there & (before != ABSENT)
        tick = torch.arange(len(actions), device=actions.device)[:, None].expand(actions.shape)
        start = _latest(tick, changed)
        previous = torch.where(start >= 0, before.gather(0, start.clamp(min=0)), ABSENT)
        began_seen = both.gather(0, start.clamp(min=0)) & (start >= 0)
        flipped = (self.bits[actions] != self.bits[before]) & both.unsqueeze(-1)
        flip = _latest(tick.unsqueeze(-1).expand(flipped.shape), flipped)
        entry = _latest(tick, there & ~both)
        turn = _latest(tick, (self.voices[actions] != self.voices[before]) & both)
        since = tick.unsqueeze(-1) - flip + 1
        event_symbol, event_age = self._events(actions, changed, tick)
        memory, weight = self._averages(actions, changed & both, there)
        return HistoryState(
            symbol=actions,
            previous=torch.where(began_seen, previous, ABSENT),
            dwell=torch.where(start >= 0, tick - start + 1, tick + 1),
            since=torch.where((flip > entry.unsqueeze(-1)) & (flip >= 0), since, LONG),
            voice=torch.where((turn > entry) & (turn >= 0), tick - turn + 1, LONG),
            event_symbol=event_symbol,
            event_age=event_age,
            memory=memory,
            weight=weight,
        )

    def _events(self, actions: Tensor, changed: Tensor, tick: Tensor) -> tuple[Tensor, Tensor]:
        """``[T, N, E]`` what the last changes led to, and their ages."""
        ticks, people = actions.shape
        count = changed.long().cumsum(0)  # [T, N] changes so far
        when = torch.full((ticks + 1, people), -1, dtype=torch.int64, device=actions.device)
        when.scatter_(0, torch.where(changed, count, 0), torch.where(changed, tick, -1))
        when[0] = -1
        back = torch.arange(self.config.events, device=actions.device)
        index = (count.unsqueeze(-1) - back).clamp(min=0)  # [T, N, E]
        at = when.T.unsqueeze(0).expand(ticks, -1, -1).gather(2, index) if len(back) else index
        symbol = actions.T.unsqueeze(0).expand(ticks, -1, -1).gather(2, at.clamp(min=0)) if len(back) else at
        known = at >= 0
        return torch.where(known, symbol, ABSENT), torch.where(known, tick.unsqueeze(-1) - at + 1, LONG)

    def _averages(self, actions: Tensor, changed: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        observed = torch.cat([self.bits[actions], changed.unsqueeze(-1).float()], -1).cpu().double().numpy()
        ticks, people, width = observed.shape
        decay = self.decay.cpu().double().numpy()
        memory = np.zeros((ticks, people, width, len(decay)), np.float32)
        weight = np.zeros((ticks, people, len(decay)), np.float32)
        for person, seen in enumerate(there.T.cpu().numpy()):
            # Averages stand still while the person is not seen: filter what is seen, then hold.
            held = np.cumsum(seen)
            for k, d in enumerate(decay):
                filtered = lfilter([1.0 - d], [1.0, -d], observed[seen, person], axis=0)
                memory[:, person, :, k] = np.concatenate([np.zeros((1, width)), filtered])[held]
                weight[:, person, k] = 1.0 - d**held
        device = actions.device
        return torch.from_numpy(memory).to(device), torch.from_numpy(weight).to(device)

    def person_features(self, state: HistoryState) -> Tensor:
        """``[..., N, person_width]`` float32 features of each person."""
        average = state.memory / (state.weight.unsqueeze(-2) + _PRIOR_WEIGHT)
        # Changes are rare: counted a second they are of the size of the rest.
        average = torch.cat([average[..., :-1, :], TICK_HZ * average[..., -1:, :]], dim=-2)
        counters = torch.cat([state.dwell.unsqueeze(-1), state.since], dim=-1)
        return torch.cat(
            [
                self.one_hot(state.symbol),
                self.one_hot(state.previous),
                self.ramps(counters).flatten(-2),
                average.clamp(min=0.0).sqrt().flatten(-2),
                state.weight,
            ],
            dim=-1,
        )

    def event_features(self, state: HistoryState) -> Tensor:
        """``[..., N, E, event_width]`` float32 features of each remembered change."""
        symbol, age = state.event_symbol, state.event_age
        count = symbol.shape[-1]
        before = functional.pad(symbol[..., 1:], (0, 1), value=ABSENT)[..., :count]
        lasted = age - functional.pad(age[..., :-1], (1, 0), value=0)[..., :count]
        return torch.cat(
            [self.one_hot(symbol), self.one_hot(before), self.ramps(age), self.ramps(lasted)], dim=-1
        )

    def rows(self, state: HistoryState, situations: Situations) -> Tensor:
        """``[..., N]`` everybody's situation, as a counted table numbers them."""
        symbol = torch.where(state.symbol == ABSENT, self.symbols, state.symbol)
        own = 2 * symbol + self.speaks[state.previous] * (symbol != self.symbols)
        return situations.rows(SemiMarkovState(own, state.dwell, state.voice))

    def one_hot(self, symbols: Tensor) -> Tensor:
        """``[...]`` symbols to ``[..., A + 1]`` float32; the last place is ``ABSENT``."""
        return functional.one_hot(
            torch.where(symbols == ABSENT, self.symbols, symbols), self.symbols + 1
        ).float()

    def ramps(self, ticks: Tensor) -> Tensor:
        """``[...]`` ticks to ``[..., RAMPS]``: how far each interval between knots is passed, 0 to 1."""
        passed = ticks.clamp(min=1).float().log().unsqueeze(-1) - self.knots[:-1]
        return (passed / (self.knots[1:] - self.knots[:-1])).clamp(0.0, 1.0)


def _push(kept: Tensor, new: Tensor, where: Tensor) -> Tensor:
    """``[..., E]`` with ``new`` (``[...]``) put in front where it says so."""
    pushed = torch.cat([new.unsqueeze(-1), kept[..., :-1]], dim=-1)[..., : kept.shape[-1]]
    return torch.where(where.unsqueeze(-1), pushed, kept)


def _latest(tick: Tensor, where: Tensor) -> Tensor:
    """For each tick the latest one, itself included, at which ``where`` holds; -1: none yet."""
    return torch.cummax(torch.where(where, tick, -1), dim=0).values
