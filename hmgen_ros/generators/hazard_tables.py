"""The decoder of :mod:`hmgen_ros.generators.group_attention` as plain arrays, for sampling.

In numpy for the reason that :mod:`hmgen_ros.generators.situation_sampler` gives: a block of ticks is some
dozens of small operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.situations import Situations

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class SituationTables:
    """:class:`hmgen_ros.generators.situations.Situations` as plain arrays.

    Attributes:
        speaks: ``[A + 1]`` 1 where a symbol contains speech, the last is absent.
        voice: ``[A + 1]`` what the voice does in each symbol.
        contribution: ``[4, 3]`` what a person adds to the others' context, by voice and its age.
        dwell_edges, voice_edges, context_edges: ticks, ticks and sums at which classes begin.
        dwells, contexts: number of classes.
    """

    speaks: Integers
    voice: Integers
    contribution: Integers
    dwell_edges: Integers
    voice_edges: Integers
    context_edges: Integers
    dwells: int
    contexts: int

    @classmethod
    def of(cls, situations: Situations, speaks: Integers) -> SituationTables:
        """Those of a module, given which symbols contain speech."""

        def table(name: str) -> Integers:
            return np.asarray(getattr(situations, name).cpu().numpy(), np.int64)

        return cls(
            speaks=speaks,
            voice=table("voice_of")[::2],
            contribution=table("contribution"),
            dwell_edges=table("dwell_edges"),
            voice_edges=table("voice_edges"),
            context_edges=table("context_edges"),
            dwells=situations.dwells,
            contexts=situations.contexts,
        )

    def rows(self, group: Group, ahead: Integers) -> Integers:
        """``[N, R, L]`` everybody's situation at some ticks.

        Args:
            group: the present, which holds on.
            ahead: ``[R, L]`` ticks.
        """
        stage = self.voice_edges.searchsorted(ahead - group.voiced[..., None], "right")
        added = self.contribution[self.voice[group.symbol][..., None], stage]
        context = self.context_edges.searchsorted(added.sum(axis=0) - added, "right")
        dwell = self.dwell_edges.searchsorted(ahead - group.began[..., None], "right")
        seen = group.symbol != ABSENT
        own = 2 * np.where(seen, group.symbol, len(self.voice) - 1) + self.speaks[group.previous] * seen
        rows: Integers = (own[..., None] * self.dwells + dwell) * self.contexts + context
        return rows


@dataclass(frozen=True)
class HazardTables:
    """The network that turns a group's present into probabilities of its next tick, as plain arrays.

    Attributes:
        pair: ``[A + 1, A + 1, H]`` first layer's part of the present and the previous symbol.
        dwell: ``[ticks, H]`` the part of how long the present symbol has held.
        voice: ``[ticks, H]`` the part of how long ago the voice began or ended.
        age: ``[ticks, H]`` the part of the age of the code.
        own, own_bias: ``[H, H]``, ``[H]`` second layer, of the person alone.
        shared, shared_bias: ``[H, C]``, ``[C]`` what a person shows the others, who see the maximum.
        joint, pooled, joint_bias: ``[H, H]``, ``[C, H]``, ``[H]`` third layer, of the person and what the
            others show.
        out: ``[H, A]`` last layer.
        pair_out: ``[A, A + 1, A + 1]`` logits that the present and previous symbols give directly.
        prior: ``[A, rows]`` log probabilities of the table that the network corrects.
        chain: ``[A, A]`` the Markov chain of single people, from row to column.
        bits: ``[A + 1, B]`` the single actions in each symbol, the last is absent.
        situations: which row of the table holds.
    """

    pair: Floats
    dwell: Floats
    voice: Floats
    age: Floats
    own: Floats
    own_bias: Floats
    shared: Floats
    shared_bias: Floats
    joint: Floats
    pooled: Floats
    joint_bias: Floats
    out: Floats
    pair_out: Floats
    prior: Floats
    chain: Floats
    bits: Floats
    situations: SituationTables

    def fixed(self, code: Floats, symbol: Integers, previous: Integers) -> Floats:
        """``[..., H]`` the first layer's part of what stays as it is until somebody changes."""
        return np.asarray(code + self.pair[symbol, previous], np.float32)

    def lean(self, tempo: Floats, symbol: Integers) -> Floats:
        """``[A, N, R]`` logits of the events that lead to each symbol.

        Args:
            tempo: ``[N, R, B, 4]`` what is added to the log odds of each kind of event.
            symbol: ``[N, R]`` present symbols.
        """
        bits = self.bits.take(symbol, axis=0, mode="wrap")  # [N, R, B]
        # Places in the flat tempo: NumPy's functions along an axis cost several times as much.
        place = np.arange(0, tempo.size, tempo.shape[-1]).reshape(bits.shape)
        place += (2 * bits + (bits.sum(axis=0) > bits)).astype(np.int64)
        towards = tempo.ravel().take(place) * (1 - 2 * bits)
        leaning = self.bits[:-1] @ towards.reshape(symbol.size, bits.shape[-1]).T
        return np.asarray(leaning.reshape(len(leaning), *symbol.shape), np.float32)

    def chains(self, tempo: Floats) -> Floats:
        """``[N, R, A, A]`` everybody's own Markov chain: events as if nobody else did the same."""
        bits = self.bits[:-1]
        kind = (2 * bits).astype(np.int64)
        towards = tempo[:, :, np.arange(bits.shape[1]), kind] * (1 - 2 * bits)  # [N, R, A, B]
        chains = self.chain * np.exp(towards @ bits.T)
        chains /= chains.sum(axis=-1, keepdims=True)
        return np.asarray(chains, np.float32)

    def probabilities(self, group: Group, fixed: Floats, tempo: Floats, tick: Integers, ticks: int) -> Floats:
        """Probabilities of the next ticks if nobody changes in between.

        Args:
            group: the present.
            fixed: ``[N, R, H]`` from :meth:`fixed`.
            tempo: ``[N, R, B, 4]`` of :meth:`lean`.
            tick: ``[R]`` the present tick.
            ticks: how many.

        Returns:
            ``[A, N, R, ticks]``.
        """
        shape = (*group.symbol.shape, ticks)
        ahead = tick[:, None] + np.arange(ticks)  # [R, ticks]
        own = self.dwell.take((ahead - group.began[..., None]).ravel(), axis=0, mode="clip")  # [N R L, H]
        own += self.voice.take((ahead - group.voiced[..., None]).ravel(), axis=0, mode="clip")
        lines = own.reshape(*shape, own.shape[1])
        lines += fixed[:, :, None]
        lines += self.age.take(ahead, axis=0, mode="clip")
        np.maximum(own, 0.0, out=own)
        own = own @ self.own
        own += self.own_bias
        np.maximum(own, 0.0, out=own)
        shown = own @ self.shared
        shown += self.shared_bias
        np.maximum(shown, 0.0, out=shown)
        joint = own @ self.joint
        shown = shown.reshape(*shape, shown.shape[1])
        joint += _most_of_others(shown, group.symbol).reshape(len(own), shown.shape[-1]) @ self.pooled
        joint += self.joint_bias
        np.maximum(joint, 0.0, out=joint)
        # Actions first: sums over the first axis of an array are many times faster than over the last.
        odds = (self.out.T @ joint.T).reshape(self.out.shape[1], *shape)
        odds += (self.pair_out[:, group.symbol, group.previous] + self.lean(tempo, group.symbol))[..., None]
        odds += self.prior.take(self.situations.rows(group, ahead), axis=1)
        odds -= odds.max(axis=0)
        np.exp(odds, out=odds)
        odds /= odds.sum(axis=0)
        return odds


@dataclass(frozen=True, slots=True)
class Group:
    """The present of ``R`` futures of ``N`` people; ticks count from the last observed one, which is 0.

    Attributes:
        symbol: ``[N, R]`` present symbols, ``ABSENT`` where not seen.
        previous: ``[N, R]`` symbols before.
        began: ``[N, R]`` the tick before the one at which the present symbol began: so many ticks it has
            held as have passed since.
        voiced: ``[N, R]`` likewise, of the voice's last beginning or end.
    """

    symbol: Integers
    previous: Integers
    began: Integers
    voiced: Integers

    def take(self, futures: Integers) -> Group:
        """Some of the futures."""
        arrays = (self.symbol, self.previous, self.began, self.voiced)
        return Group(*(values.take(futures, axis=1) for values in arrays))


def _most_of_others(shown: Floats, symbol: Integers) -> Floats:
    """``[N, R, L, C]`` maximum over the *other* people of what each shows, all at least 0."""
    absent = symbol == ABSENT
    if absent.any():
        shown[absent] = 0.0
    people = len(shown)
    most = np.zeros_like(shown)
    # Each person gets the maximum of those before, then of those behind.
    for person in range(1, people):
        np.maximum(most[person - 1], shown[person - 1], out=most[person])
    behind = np.zeros_like(shown[0]) if people else shown
    for person in range(people - 2, -1, -1):
        np.maximum(behind, shown[person + 1], out=behind)
        np.maximum(most[person], behind, out=most[person])
    return most
