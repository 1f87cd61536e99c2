"""When to look who a face is: looks are dear, and faces that cannot be mixed up need few."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.appearance import Gallery

Floats = NDArray[np.float32]

#: Urgent looks in one image at most; of others there is one.
MOST = 3
#: Ticks between two looks at one track: as a rule, while little is known of it or it is close to another
#: one, and after a face that did not show who it is.
SELDOM, OFTEN, AGAIN = 50, 5, 3
#: Looks that make a track known.
KNOWN = 3
#: Two tracks whose costs for a face differ by less could both be meant.
ALIKE = 3.0


class Looked(Protocol):
    """What is to be known of a track."""

    gallery: Gallery
    next_look: int
    missed: int
    mixed: bool
    doubts: int


class Looks:
    """Chooses the faces that are looked at, and asks for their vectors."""

    def __init__(self) -> None:
        self._tick = 0

    def take(
        self,
        tracks: Sequence[Looked],
        costs: NDArray[np.float64],
        elapsed: int,
        look: Callable[[int], Floats | None],
        newcomers: set[int],
    ) -> dict[int, Floats]:
        """The vectors of the faces that it is time to look at, by box.

        Args:
            tracks: those of the rows; marked where they could be mixed up, and when to look again.
            costs: ``[tracks, boxes]`` of each box's place, infinite where it was not to be expected.
            elapsed: ticks since the last call.
            look: gives a box's vector, None where it does not show who it is.
            newcomers: the boxes that are of interest even if no track expected them.
        """
        self._tick += elapsed
        wanted = []
        first = costs.argmin(1) if costs.size else []
        for column in range(costs.shape[1]):
            order = np.argsort(costs[:, column], kind="stable")
            rows = [int(r) for r in order if costs[r, column] < math.inf]
            if column in newcomers and all(first[r] != column for r in rows):
                rows = []  # Each of them expected another face, too, and rather that one.
            urgency = self._urgency([tracks[r] for r in rows], costs[rows, column], column in newcomers)
            if urgency:
                wanted.append((-urgency, rows[0] if rows else len(tracks), column))
        wanted.sort()
        urgent = [one for one in wanted if one[0] < -1]
        vectors = {}
        # What is only due can wait for the next image: several looks would make this one late.
        for _, row, column in urgent[:MOST] or wanted[:1]:
            vector = look(column)
            if vector is not None:
                vectors[column] = vector
            if row < len(tracks):
                self._plan(tracks[row], vector)
        return vectors

    def hurry(self, tracks: Sequence[Looked]) -> None:
        """Look at everyone who could be mixed up as soon as possible: somebody was."""
        for track in tracks:
            if track.mixed:
                track.next_look = self._tick

    def _urgency(self, near: Sequence[Looked], costs: NDArray[np.float64], newcomer: bool) -> int:
        """How much a face is to be looked at that these tracks expected, the best one first; 0: not."""
        if not near:
            return 2 if newcomer else 0
        if len(near) > 1:
            for track in near:
                track.mixed = True
                track.next_look = min(track.next_look, self._tick + OFTEN)
            if costs[1] - costs[0] < ALIKE:
                return 3
        if near[0].missed or near[0].doubts:
            return 3
        if self._tick < near[0].next_look:
            return 0
        return 2 if near[0].mixed else 1

    def _plan(self, track: Looked, vector: Floats | None) -> None:
        """Say when to look at a track again."""
        if vector is None:
            wait = AGAIN
        elif track.mixed or len(track.gallery) < KNOWN:
            wait = OFTEN
        else:
            wait = SELDOM
        track.next_look = self._tick + wait
