"""The situations that the semi-Markov forecaster tells apart.

A situation is what one person does, for how long, whether the person spoke just before, and what the
voices of the others do. It is read off a stream of actions tick by tick (:meth:`Situations.advance`) or
off a whole sequence at once (:meth:`Situations.history`), with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.types import Action

#: What the others' voices do, seen from one person; the order of the context classes of a situation.
CONTEXTS = (
    "nobody speaks",
    "somebody went silent a while ago",
    "somebody just went silent",
    "one speaks",
    "one speaks, another just went silent",
    "one just began to speak",
    "two or more speak",
    "one laughs",
    "two or more laugh",
)

_SILENT, _SPEAKING, _LAUGHING, _NO_VOICE = range(4)
#: Ticks that stand for "this voice has been so for an unknown, long time": people who just came in.
_LONG = 1 << 20
# What a person adds to the context of the others. A sum of weights then orders group situations as
# CONTEXTS does, and one bucketize reads the class off it, for up to 1023 people.
_PAUSED, _ENDED, _BEGAN, _SPEAKS, _LAUGHS = (1 << shift for shift in (0, 10, 20, 30, 40))
_CONTEXT_EDGES = (
    _PAUSED,
    _ENDED,
    _SPEAKS,
    _SPEAKS + _ENDED,
    _SPEAKS + _BEGAN,
    2 * _SPEAKS,
    _LAUGHS,
    2 * _LAUGHS,
)


@dataclass(frozen=True)
class SemiMarkovConfig:
    """What tells situations apart.

    Attributes:
        dwell_edges: ticks at which a dwell falls into the next class, increasing, each at least 2.
        fresh_ticks: a voice that began or ended less than so many ticks ago did so *just now*.
        recent_ticks: a voice that ended less than so many ticks ago did so *a while ago*; more than
            ``fresh_ticks``.

    Raises:
        ValueError: edges do not increase, or ``recent_ticks`` is not above ``fresh_ticks``.
    """

    dwell_edges: tuple[int, ...] = (2, 3, 4, 6, 8, 12, 18, 27, 40, 60, 100, 180, 350, 800)
    fresh_ticks: int = 10
    recent_ticks: int = 50

    def __post_init__(self) -> None:
        edges = self.dwell_edges
        if not edges or edges[0] < 2 or any(a >= b for a, b in pairwise(edges)):
            raise ValueError(f"dwell_edges must increase from at least 2, got {edges}")
        if not 1 <= self.fresh_ticks < self.recent_ticks:
            raise ValueError(
                f"need 1 <= fresh_ticks < recent_ticks, got {self.fresh_ticks}, {self.recent_ticks}"
            )


@dataclass(frozen=True, slots=True)
class SemiMarkovState:
    """What is remembered of each person; all ``[..., N]`` int64.

    Attributes:
        own: ``2 * action + spoke_before``; the absent action is ``A``.
        dwell: ticks that the joint action has held, 0 before the first.
        voice: ticks since the person's voice (silent, speaking, laughing) last changed.
    """

    own: Tensor
    dwell: Tensor
    voice: Tensor


class Situations(nn.Module):
    """Turns a stream of actions into the situation of every person at every tick.

    Rows are numbered ``((action * 2 + spoke_before) * dwells + dwell) * contexts + context``.
    """

    next_own: Tensor
    voice_of: Tensor
    contribution: Tensor
    dwell_edges: Tensor
    voice_edges: Tensor
    context_edges: Tensor

    def __init__(self, space: ActionSpace, config: SemiMarkovConfig) -> None:
        super().__init__()
        self.absent = len(space)
        self.dwells = len(config.dwell_edges) + 1
        self.contexts = len(CONTEXTS)
        self.shape = (len(space), 2, self.dwells, self.contexts)
        speaks = np.append(space.with_action(Action.SPEAKING), False)
        tables = {
            "next_own": _next_own(speaks),
            "voice_of": np.repeat(voices_of(space), 2),
            "contribution": np.array(
                [[_ENDED, _PAUSED, 0], [_SPEAKS + _BEGAN, _SPEAKS, _SPEAKS], [_LAUGHS] * 3, [0] * 3]
            ),
            "dwell_edges": np.array(config.dwell_edges),
            "voice_edges": np.array((config.fresh_ticks, config.recent_ticks)),
            "context_edges": np.array(_CONTEXT_EDGES),
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.from_numpy(table.astype(np.int64)), persistent=False)

    def initial(self, slots: int) -> SemiMarkovState:
        """Nobody is there."""
        zeros = torch.zeros(slots, dtype=torch.int64, device=self.next_own.device)
        return SemiMarkovState(zeros + 2 * self.absent, zeros, zeros + _LONG)

    def advance(self, state: SemiMarkovState, actions: Tensor) -> SemiMarkovState:
        """The state after ``actions`` (``[..., N]``, ``ABSENT`` allowed) were seen."""
        seen = torch.where(actions == ABSENT, self.absent, actions)
        own = torch.take(self.next_own, state.own * (self.absent + 1) + seen)
        dwell = torch.where(own == state.own, state.dwell + 1, 1)
        before, now = torch.take(self.voice_of, state.own), torch.take(self.voice_of, own)
        voice = torch.where(before == now, state.voice + 1, 1)
        entered = (before == _NO_VOICE) & (now != _NO_VOICE)
        return SemiMarkovState(own, dwell, torch.where(entered | (now == _NO_VOICE), _LONG, voice))

    def history(self, actions: Tensor) -> SemiMarkovState:
        """States after each tick of ``[..., T, N]`` actions, all ticks at once."""
        seen = torch.where(actions == ABSENT, self.absent, actions)
        dwell, start = _runs(seen)
        previous = torch.where(start > 0, _at(seen, (start - 1).clamp(min=0)), self.absent)
        own = torch.take(self.next_own, 2 * previous * (self.absent + 1) + seen)
        # A first run of absence is the initial state going on, all others begin with a change.
        own = torch.where(previous == seen, 2 * seen, own)
        kind = torch.take(self.voice_of, own)
        voice, voice_start = _runs(kind)
        earlier = torch.where(voice_start > 0, _at(kind, (voice_start - 1).clamp(min=0)), _NO_VOICE)
        voice = torch.where(earlier == _NO_VOICE, voice + (_LONG - 1), voice)
        return SemiMarkovState(own, dwell, torch.where(kind == _NO_VOICE, _LONG, voice))

    def rows(self, state: SemiMarkovState) -> Tensor:
        """``[..., N]`` number of each person's situation; rows of the absent lie behind all others."""
        return self.rows_ahead(state, 1)[0]

    def rows_ahead(self, state: SemiMarkovState, steps: int) -> Tensor:
        """``[steps, ..., N]`` situations of the next ticks if nobody did anything else, from now on.

        The context of the others stays as it is now; only the own dwell goes on.
        """
        stage = torch.bucketize(state.voice, self.voice_edges, right=True)
        added = torch.take(self.contribution, torch.take(self.voice_of, state.own) * 3 + stage)
        tick = torch.arange(steps, device=added.device).reshape(-1, *[1] * added.dim())
        return self.row(state.own, torch.bucketize(state.dwell + tick, self.dwell_edges, right=True), added)

    def row(self, own: Tensor, dwell_class: Tensor, added: Tensor) -> Tensor:
        """``[..., N]`` number of the situation, given what each person adds to the others' context."""
        others = added.sum(-1, keepdim=True) - added
        context = torch.bucketize(others, self.context_edges, right=True)
        return torch.add(context, torch.add(dwell_class, own, alpha=self.dwells), alpha=self.contexts)


def voices_of(space: ActionSpace) -> np.ndarray[Any, np.dtype[np.int64]]:
    """``[A + 1]`` what the voice does in each symbol, silent, speaking or laughing; the last is absent."""
    speaks, laughs = (space.with_action(action) for action in (Action.SPEAKING, Action.LAUGHING))
    voice = np.where(laughs, _LAUGHING, np.where(speaks, _SPEAKING, _SILENT))
    return np.append(voice, _NO_VOICE).astype(np.int64)


def _next_own(speaks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """``[2 * (A + 1), A + 1]``: own code after a person with one own code is seen doing an action."""
    own = np.arange(2 * len(speaks))[:, None]
    action = np.arange(len(speaks))[None, :]
    changed = 2 * action + speaks.astype(np.int64)[own // 2]
    # Whoever comes in or goes out starts a new history.
    changed[-2:, :] = 2 * action
    changed[:, -1] = 2 * (len(speaks) - 1)
    return np.where(action == own // 2, own, changed)


def _runs(values: Tensor) -> tuple[Tensor, Tensor]:
    """Length so far, and first tick, of the run of equal values at each tick of ``[..., T, N]``."""
    tick = torch.arange(values.shape[-2], device=values.device).unsqueeze(-1).expand(values.shape)
    changed = torch.ones_like(values, dtype=torch.bool)
    changed[..., 1:, :] = values[..., 1:, :] != values[..., :-1, :]
    start = torch.cummax(torch.where(changed, tick, 0), dim=-2).values
    return tick - start + 1, start


def _at(values: Tensor, ticks: Tensor) -> Tensor:
    """``values`` (``[..., T, N]``) read at other ticks."""
    return torch.gather(values, -2, ticks)
