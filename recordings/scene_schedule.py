"""Who says what when, and which frames of which clip each person shows: pure functions of a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scene_clips import FPS


@dataclass(frozen=True)
class Sentence:
    """A clip's speech ``start`` to ``end`` in seconds and the frames ``first`` to ``last`` that show it."""

    clip: str
    start: float
    end: float
    first: int
    last: int


@dataclass(frozen=True)
class Turn:
    """A sentence placed in the scene: person index, and the scene frame at which it is first shown."""

    person: int
    sentence: Sentence
    frame: int

    @property
    def stop(self) -> int:
        """Scene frame after the last shown one."""
        return self.frame + self.sentence.last - self.sentence.first + 1

    @property
    def clip_origin(self) -> int:
        """Scene frame at which the clip's own frame 0 would be; may be negative."""
        return self.frame - self.sentence.first

    @property
    def speech(self) -> tuple[float, float]:
        """Start and end of the speech in scene seconds."""
        origin = self.clip_origin / FPS
        return origin + self.sentence.start, origin + self.sentence.end


@dataclass(frozen=True)
class Manners:
    """How a conversation flows; seconds and probabilities.

    Attributes:
        gap_s: shortest and longest silence between sentences.
        overlap_s: shortest and longest time two people speak at once.
        overlap_p: probability that the next speaker begins before the last has ended.
        again_weight: weight of the last speaker going on, relative to another with as much left to say.
        rest_frames: frames a person listens at least between two own sentences.
    """

    gap_s: tuple[float, float] = (0.2, 1.2)
    overlap_s: tuple[float, float] = (0.25, 0.8)
    overlap_p: float = 0.2
    again_weight: float = 0.5
    rest_frames: int = 10


def speaker_order(counts: Sequence[int], manners: Manners, rng: np.random.Generator) -> list[int]:
    """Person index of each sentence, ``counts[i]`` each; nobody three times in a row if avoidable."""
    left = np.array(counts, dtype=float)
    order: list[int] = []
    while left.sum() > 0:
        weight = left**2
        if order:
            last = order[-1]
            again = 0.0 if order[-2:] == [last, last] else manners.again_weight
            others = weight.sum() - weight[last]
            weight[last] *= again if others > 0 else 1.0
        person = int(rng.choice(len(left), p=weight / weight.sum()))
        left[person] -= 1
        order.append(person)
    return order


def make_turns(
    sentences: Sequence[Sequence[Sentence]],
    lead_in_s: float,
    rng: np.random.Generator,
    manners: Manners | None = None,
) -> list[Turn]:
    """Place every sentence of every person, in order of speech.

    Args:
        sentences: per person, the sentences to say, each said once in a drawn order.
        lead_in_s: silence before the first sentence, at least the longest lead of a clip.
        rng: source of all chance.
        manners: the flow; default :class:`Manners`.
    """
    manners = manners or Manners()
    pools = [_shuffled(s, rng) for s in sentences]
    turns: list[Turn] = []
    floor_s = lead_in_s
    for person in speaker_order([len(p) for p in pools], manners, rng):
        sentence = pools[person].pop(0)
        onset = lead_in_s
        if turns:
            onset = floor_s + _pause(turns[-1], person, manners, rng)
        own = [t.stop for t in turns if t.person == person]
        earliest = own[-1] + manners.rest_frames if own else 0
        frame = max(round((onset - sentence.start) * FPS) + sentence.first, earliest)
        turns.append(Turn(person, sentence, frame))
        floor_s = max(floor_s, turns[-1].speech[1])
    return turns


def _shuffled(sentences: Sequence[Sentence], rng: np.random.Generator) -> list[Sentence]:
    """Drawn order in which a clip listed twice is said again only after the others."""
    fresh = list(dict.fromkeys(sentences))
    again = list(sentences)
    for sentence in fresh:
        again.remove(sentence)
    return [fresh[i] for i in rng.permutation(len(fresh))] + [again[i] for i in rng.permutation(len(again))]


def _pause(before: Turn, person: int, manners: Manners, rng: np.random.Generator) -> float:
    """Seconds between the last end of speech and the next start; negative where voices overlap."""
    overlaps = rng.random() < manners.overlap_p
    shared, gap = rng.uniform(*manners.overlap_s), rng.uniform(*manners.gap_s)
    if overlaps and person != before.person:
        return -float(min(shared, 0.6 * (before.sentence.end - before.sentence.start)))
    return float(gap)


@dataclass(frozen=True)
class Piece:
    """Frames of one clip shown in a row from scene frame ``start`` on."""

    start: int
    clip: str
    indices: tuple[int, ...]
    speaking: bool

    @property
    def stop(self) -> int:
        """Scene frame after the last."""
        return self.start + len(self.indices)


def ping_pong(first: int, last: int, length: int, begin: int, slow: int = 2) -> tuple[int, ...]:
    """``length`` frame numbers to and fro in ``[first, last]`` from ``begin``, each ``slow`` times."""
    span = last - first
    if span == 0:
        return (first,) * length
    phase = begin - first + np.arange(length) // slow
    return tuple(int(i) for i in first + span - np.abs(span - phase % (2 * span)))


def plan_person(
    turns: Sequence[Turn],
    rest: Mapping[str, Sequence[tuple[int, int]]],
    total: int,
    rng: np.random.Generator,
    stretch_frames: tuple[int, int] = (40, 90),
) -> list[Piece]:
    """Fill ``total`` scene frames of one person: sentences where the turns say, listening between.

    Args:
        turns: this person's turns, in order, not overlapping.
        rest: clip name to frame ranges with a closed, silent mouth.
        total: length of the scene in frames.
        rng: source of all chance.
        stretch_frames: shortest and longest time at one piece of listening.

    Returns:
        Pieces that cover 0 to ``total`` without gap or overlap.
    """
    pieces: list[Piece] = []
    at = 0
    for turn in turns:
        pieces += _listen(pieces, at, turn.frame, rest, rng, stretch_frames)
        shown = range(turn.sentence.first, turn.sentence.last + 1)
        pieces.append(Piece(turn.frame, turn.sentence.clip, tuple(shown), speaking=True))
        at = turn.stop
    return pieces + _listen(pieces, at, total, rest, rng, stretch_frames)


def _listen(
    so_far: Sequence[Piece],
    start: int,
    stop: int,
    rest: Mapping[str, Sequence[tuple[int, int]]],
    rng: np.random.Generator,
    stretch_frames: tuple[int, int],
) -> list[Piece]:
    choices = [(clip, first, last) for clip, ranges in rest.items() for first, last in ranges]
    out: list[Piece] = []
    while start < stop:
        before = out[-1] if out else so_far[-1] if so_far else None
        clip, first, last = choices[int(rng.integers(len(choices)))]
        begin = int(rng.integers(first, last + 1))
        # After a sentence its own quiet ending goes on, so that no join is needed where there is one.
        if before and before.speaking:
            for a, b in rest.get(before.clip, ()):
                if a <= before.indices[-1] <= b:
                    clip, first, last, begin = before.clip, a, b, before.indices[-1]
        length = min(int(rng.integers(*stretch_frames)), stop - start)
        if stop - start - length < stretch_frames[0] // 2:
            length = stop - start
        out.append(Piece(start, clip, ping_pong(first, last, length, begin), speaking=False))
        start += length
    return out
