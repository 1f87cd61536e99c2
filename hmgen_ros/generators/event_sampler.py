"""Samples futures of a group from one change to the next instead of from tick to tick.

As long as nobody changes what they do, a group's next ticks are known: counters go up by one a tick. So the
probabilities of a whole block of ticks are computed at once, the first tick at which somebody leaves their
action is found, and the next block begins there. This is exact, tick by tick, and needs a dozen network
evaluations for 40 ticks of 32 futures where the plain loop needs 40; the first block is even shared by
all futures.

The few futures of a robot's tick say little if chance alone decides who changes first, who is first to speak
above all. So the first change of each future is drawn by strata: of 32 futures, one has its first change in
each 32nd of the distribution over people, symbols and ticks. Each future by itself is distributed as before.

In numpy for the reason that :mod:`hmgen_ros.generators.situation_sampler` gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.hazard_tables import Floats, Group, HazardTables, Integers

#: About so many ticks of one person are looked ahead at once: more waste ticks after a change, fewer cost
#: rounds. A group of N changes N times as often as one person.
_LOOK_AHEAD = 48
#: Numbers in the largest array of a call; more groups are sampled in several portions.
_MOST_NUMBERS = 1 << 22
#: So many futures the typical next speaker counts for, see :func:`speaks_next`.
_TYPICAL = 64.0


@dataclass(frozen=True, slots=True)
class Sampled:
    """Futures of ``R`` groups.

    Attributes:
        symbols: ``[N, R, S, T]``, ``ABSENT`` for absent people.
        mean: ``[A, N, R, T]`` the mean over the futures of the probabilities that the symbols were drawn
            from.
        unmoved: ``[A, N, R, T]`` the same mean over those futures in which the person has not changed yet,
            whatever the others did; where there are none, the probabilities if nobody had changed.
        speaks_next: ``[N, R]`` probability that each person is the first to begin to speak.
    """

    symbols: Integers
    mean: Floats
    unmoved: Floats
    speaks_next: Floats


def outlook(unmoved: Floats, symbol: Integers, chains: Floats) -> Floats:
    """Smooth probabilities: when each person leaves the present symbol, and a Markov chain from then on.

    At each tick the chance to leave is the mean over all futures in which the person is still there, so it
    knows what the others may do, and hardly any noise of few futures is left; rare actions, which do not
    come up in any of them, keep their probability.

    Args:
        unmoved: ``[A, N, R, T]``, see :class:`Sampled`.
        symbol: ``[N, R]`` present symbols; any row for absent people.
        chains: ``[N, R, A, A]`` each person's probabilities, from row to column in one tick.

    Returns:
        ``[A, N, R, T]``, the first tick exact.
    """
    people, rows, ticks = unmoved.shape[1:]
    own = np.maximum(symbol, 0), *np.ogrid[:people, :rows]
    stay = unmoved[own]  # [N, R, T]
    staying = stay.cumprod(axis=-1)
    left = unmoved.copy()
    left[own] = 0.0
    left[..., 1:] *= staying[..., :-1]
    leaving = np.ascontiguousarray(left.transpose(3, 1, 2, 0))  # [T, N, R, A]
    for tick in range(1, ticks):
        leaving[tick] += (leaving[tick - 1, :, :, None] @ chains)[:, :, 0]
    result = np.ascontiguousarray(leaving.transpose(3, 1, 2, 0))
    result[own] += staying
    return result


def sample(
    tables: HazardTables, groups: Group, codes: Floats, tempo: Floats, uniform: Floats, strata: Floats
) -> Sampled:
    """Go on from the present of some groups.

    Args:
        tables: the network.
        groups: ``R`` groups.
        codes: ``[N, R, H]`` what the encoder made of each person's past.
        tempo: ``[N, R, B, 4]`` what each person's habits add to the log odds of events.
        uniform: ``[N, R, S, T]`` numbers from 0 to below 1.
        strata: ``[R, S]`` numbers from 0 to below 1 that decide the first change, see :func:`stratified`.
    """
    people, rows, samples, ticks = uniform.shape
    portion = max(1, _MOST_NUMBERS // max(1, samples * ticks * people * len(tables.pair_out)))
    fixed = tables.fixed(codes, groups.symbol, groups.previous)
    path = tables.probabilities(groups, fixed, tempo, np.zeros(rows, np.int64), ticks)
    seen = groups.symbol != ABSENT
    own = np.maximum(groups.symbol, 0), *np.ogrid[:people, :rows]
    uniform = stratified(np.where(seen[..., None], path[own], 1.0), uniform, strata)
    parts = [np.arange(start, min(start + portion, rows)) for start in range(0, rows, portion)]
    walks = [_Walk(tables, groups, codes, tempo, path, uniform, part) for part in parts]
    found = [walk.run() for walk in walks]
    if not found:
        return Sampled(np.zeros(uniform.shape, np.int64), path, path, np.zeros((people, rows), np.float32))
    parts_of = zip(*found, strict=True)
    symbols, mean, unmoved = (np.concatenate(p, axis) for p, axis in zip(parts_of, (1, 2, 2), strict=True))
    speaks = tables.situations.speaks > 0
    return Sampled(symbols, mean, unmoved, speaks_next(path, groups.symbol, symbols, speaks))


def speaks_next(path: Floats, symbol: Integers, drawn: Integers, speaks: NDArray[np.bool_]) -> Floats:
    """``[N, R]`` probability that each person is the first to begin to speak.

    Where the first thing that happens is that somebody begins to speak, the probability is known without
    sampling; futures in which something else happens first are counted. Those who begin at one tick share it.

    Args:
        path: ``[A, N, R, T]`` probabilities if nobody changes.
        symbol: ``[N, R]`` present symbols.
        drawn: ``[N, R, S, T]`` futures.
        speaks: ``[A + 1]`` whether a symbol contains speech, the last is absent.
    """
    people, rows, _, ticks = drawn.shape
    if not people:
        return np.zeros((people, rows), np.float32)
    seen, silent = symbol != ABSENT, ~speaks[symbol]
    begins = path[speaks[:-1]].sum(axis=0) * (silent & seen)[..., None]  # [N, R, T]
    stay = np.where(seen[..., None], path[np.maximum(symbol, 0), *np.ogrid[:people, :rows]], 1.0).prod(axis=0)
    before = np.cumprod(np.concatenate([np.ones((rows, 1)), stay[:, :-1]], axis=1), axis=1)
    # Of two who begin at once each has a half; three at once are too rare to count.
    alone = 1.0 - 0.5 * (begins.sum(axis=0) - begins)
    direct = (before * begins * alone).sum(axis=-1)
    earlier = np.concatenate([np.broadcast_to(symbol[..., None, None], drawn[..., :1].shape), drawn], axis=-1)
    starts = speaks[drawn] & ~speaks[earlier[..., :-1]]
    changed = (drawn != earlier[..., :-1]).any(axis=0)  # [R, S, T]
    first = np.take_along_axis(starts.any(axis=0), changed.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    others = ~first  # [R, S] something else comes first, or nothing at all
    tick = np.where(starts.any(axis=-1), starts.argmax(axis=-1), ticks)  # [N, R, S]
    earliest = (tick == tick.min(axis=0)) & (tick < ticks) & others
    count = others.sum(axis=-1)
    counted = (earliest / np.maximum(earliest.sum(axis=0), 1)).sum(axis=-1)  # [N, R]
    # Who speaks after something else has happened is like who speaks at once, as far as few futures tell.
    typical = direct / np.maximum(direct.sum(axis=0), 1e-9)
    anybody = counted.sum(axis=0) / np.maximum(count, 1)
    share = (counted + _TYPICAL * anybody * typical) / (count + _TYPICAL)
    rest = np.maximum(1.0 - direct.sum(axis=0), 0.0)
    return np.asarray(direct + rest * share, np.float32)


def stratified(stay: Floats, uniform: Floats, strata: Floats) -> Floats:
    """The uniform numbers with those up to the first change put in place by one number for each future.

    Args:
        stay: ``[N, R, T]`` probability that a person goes on, if nobody has changed before; 1 if absent.
        uniform: ``[N, R, S, T]`` numbers from 0 to below 1; a person changes where they reach ``stay``.
        strata: ``[R, S]`` numbers from 0 to below 1: which part of the distribution over the first change,
            by person and then by tick, each future takes.

    Returns:
        ``[N, R, S, T]``; with independent ``strata`` they give the same futures in distribution.
    """
    people, rows, ticks = stay.shape
    if not people or not rows:
        return uniform
    keep = stay.astype(np.float64)
    # Nobody before this tick and at this tick nobody of a lower number, but this person.
    before = np.cumprod(np.concatenate([np.ones((rows, 1)), keep.prod(axis=0)[:, :-1]], axis=1), axis=1)
    lower = np.cumprod(np.concatenate([np.ones((1, rows, ticks)), keep[:-1]]), axis=0)
    chance = (before * lower * (1.0 - keep)).transpose(1, 0, 2).reshape(rows, people * ticks)
    edges, row = chance.cumsum(axis=1), np.arange(rows)[:, None]
    # All rows in one search: those of row r lie between r and r + 1.
    place = (edges + row).ravel().searchsorted((strata + row).ravel(), "right").reshape(strata.shape)
    place = np.clip(place - row * people * ticks, 0, people * ticks)
    who, when = place // ticks, place % ticks  # [R, S]; nobody changes: one person behind the last
    when = np.where(who < people, when, ticks)
    tick, person = np.arange(ticks), np.arange(people)[:, None, None, None]
    waits = (tick < when[..., None]) | ((tick == when[..., None]) & (person < who[..., None]))
    placed = np.where(waits, np.float32(0.0), uniform)
    group, future = np.nonzero(who < people)
    who, when, place = who[group, future], when[group, future], place[group, future]
    within = 1.0 - (edges[group, place] - strata[group, future]) / np.maximum(chance[group, place], 1e-300)
    own = keep[who, group, when]
    number = (own + within.clip(0.0, 1.0) * (1.0 - own)).astype(np.float32)
    # Rounding must neither undo the change nor reach 1.
    placed[who, group, future, when] = number.clip(stay[who, group, when], np.float32(1.0 - 2.0**-24))
    return placed


class _Walk:
    """Futures of some groups on their way from change to change.

    Everything about a future is a column of arrays ``[N, F]``, of which a change writes one entry: who goes
    on as before needs nothing done.
    """

    def __init__(
        self,
        tables: HazardTables,
        groups: Group,
        codes: Floats,
        tempo: Floats,
        path: Floats,
        uniform: Floats,
        part: Integers,
    ) -> None:
        people, _, samples, self._ticks = uniform.shape
        self._tables, self._shape = tables, (people, len(part), samples, self._ticks)
        of = np.repeat(part, samples)
        self._block = min(max(_LOOK_AHEAD // max(people, 1), 2), self._ticks)
        self._present, self._code = groups.take(of), codes.take(of, axis=1)
        self._tempo = tempo.take(of, axis=1)
        self._fixed = tables.fixed(self._code, self._present.symbol, self._present.previous)
        self._drawn = np.repeat(self._present.symbol[..., None], self._ticks, axis=2)  # [N, F, T]
        # Ticks behind the end draw 0, which means that nobody changes.
        self._number = np.zeros((people, len(of), self._ticks + self._block), np.float32)
        self._number[..., : self._ticks] = uniform[:, part].reshape(people, len(of), self._ticks)
        self._given = np.empty((len(path), *self._number.shape), np.float32)
        self._given[..., : self._ticks] = path.take(of, axis=2)
        self._path = path.take(part, axis=2)
        self._seen = (self._present.symbol != ABSENT)[..., None]
        #: The tick at which each person leaves the present symbol; behind the end: not at all.
        self._left = np.full(self._present.symbol.shape, self._ticks)

    def run(self) -> tuple[Integers, Floats, Floats]:
        """The arrays of :class:`Sampled` for these groups."""
        everyone = np.arange(self._drawn.shape[1])
        position = np.zeros(len(everyone), np.int64)
        first = self._given[..., : self._ticks]
        position = self._go(everyone, position, first, self._number[..., : self._ticks])
        while len(active := np.flatnonzero(position < self._ticks)):
            tick = position[active]
            columns = active[:, None], tick[:, None] + np.arange(self._block)
            fixed = self._fixed.take(active, axis=1)
            present = self._present.take(active)
            tempo = self._tempo.take(active, axis=1)
            probabilities = self._tables.probabilities(present, fixed, tempo, tick, self._block)
            self._given[:, :, *columns] = probabilities
            position[active] = self._go(active, tick, probabilities, self._number[:, *columns])
        given = self._given[..., : self._ticks].reshape(len(self._given), *self._shape)
        there = (np.arange(self._ticks) <= self._left[..., None]).reshape(self._shape)
        count = there.sum(axis=2)  # [N, R, T]
        unmoved = (given * there).sum(axis=3)
        np.divide(unmoved, count, out=unmoved, where=count > 0)
        unmoved = np.where(count > 0, unmoved, self._path)
        return self._drawn.reshape(self._shape), given.mean(axis=3), unmoved

    def _go(self, futures: Integers, tick: Integers, given: Floats, number: Floats) -> Integers:
        """Take futures through one block, or up to the first change in it.

        Args:
            futures: which ones, ``[R]``.
            tick: ``[R]`` first tick of the block.
            given: ``[A, N, R, L]`` probabilities.
            number: ``[N, R, L]`` uniform numbers.

        Returns:
            ``[R]`` the ticks from which they go on.
        """
        symbol = self._present.symbol.take(futures, axis=1)
        people, length = len(symbol), given.shape[-1]
        line = np.arange(len(futures))
        stay = given[symbol, np.arange(people)[:, None], line]  # [N, R, L]; any row for absent people
        leaves = (number >= stay) & self._seen.take(futures, axis=1)
        anybody = leaves.any(axis=0)
        at = anybody.argmax(axis=1)
        happens = anybody[line, at]
        who, where = np.nonzero(leaves[:, line, at])
        when = at[where]
        going = _destinations(
            given[:, who, where, when], number[who, where, when], stay[who, where, when], symbol[who, where]
        )
        self._change(who, futures[where], tick[where] + when, symbol[who, where], going)
        passed: Integers = np.where(happens, at, length - 1) + 1
        return tick + passed

    def _change(self, who: Integers, future: Integers, tick: Integers, old: Integers, new: Integers) -> None:
        """People ``who`` in their futures do something else from a tick on; all arguments ``[C]``."""
        present, voice = self._present, self._tables.situations.voice
        # A tick is at its end one tick after the last observed one, hence no - 1 here.
        present.symbol[who, future], present.previous[who, future] = new, old
        present.began[who, future] = tick
        self._left[who, future] = np.minimum(self._left[who, future], tick)
        turned = voice[new] != voice[old]
        present.voiced[who[turned], future[turned]] = tick[turned]
        self._fixed[who, future] = self._tables.fixed(self._code[who, future], new, old)
        later = np.arange(self._ticks) >= tick[:, None]
        self._drawn[who, future] = np.where(later, new[:, None], self._drawn[who, future])


def _destinations(given: Floats, number: Floats, stay: Floats, symbol: Integers) -> Integers:
    """``[C]`` what those who leave go to.

    Args:
        given: ``[A, C]`` probabilities.
        number: ``[C]`` the uniform numbers that made them leave.
        stay: ``[C]`` their probabilities of staying, which the numbers have passed.
        symbol: ``[C]`` what they do now.
    """
    line = np.arange(len(symbol))
    given[symbol, line] = 0.0
    passed = (given.cumsum(axis=0) <= number - stay).sum(axis=0)
    # Rounding may leave the last bit of probability to nobody: it goes to the likeliest.
    fits = (passed < len(given)) & (passed != symbol)
    chosen: Integers = np.where(fits, passed, given.argmax(axis=0))
    return chosen
