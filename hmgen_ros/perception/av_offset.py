"""How far pictures and sound are stamped apart, told by lips and voices.

Of everyone whose lips move while a voice is heard, the cosines of face and sound are averaged at every shift
between them. Where they fit best is the offset, as in the thesis (5.15 to 5.17), but over all the people and
with more weight on those who fit at some shift clearly: a listener who chews should not count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import TICK_HZ, TICK_NS

#: Ticks to either side that faces are held against sound.
MAX_SHIFT = 8
#: Ticks of speech in view over which cosines are averaged, and for which the best shift must be the same, to
#: a tick, before it is told: of voices that belong to nobody in view, it wanders.
MEMORY, MIN_HELD = 6 * TICK_HZ, 3 * TICK_HZ
#: How far the best shift must stand out to be believed, and to be told still: stamps do not become right
#: while people mumble. benchmarks/active_speaker_calibration.py measures confidences.
MIN_CONFIDENCE, KEPT_CONFIDENCE = 0.2, 0.1
#: Offsets of more ticks disturb who listens and looks, and are reported.
TOLERATED = 3


class FadingMean:
    """A weighted mean of rows that forgets; what is not finite in a row does not count.

    Attributes:
        weight: ``[n]`` what there is of each element.
        total: ``[n]`` weighted sums.
    """

    def __init__(self, size: int) -> None:
        self.weight, self.total = np.zeros(size), np.zeros(size)

    def fade(self, share: float) -> None:
        """Keep this share of what was added."""
        self.weight *= share
        self.total *= share

    def add(self, row: NDArray[np.float32], weight: float) -> None:
        """Take one more row."""
        there = np.isfinite(row)
        self.weight += weight * there
        self.total += weight * np.where(there, row, 0.0)

    def prominence(self, least: float = 1e-6) -> float:
        """Largest mean less the median one; 0 where one of them rests on less weight than ``least``."""
        if (self.weight < least).any():
            return 0.0
        means = np.sort(self.total / self.weight)
        return float(means[-1] - means[len(means) // 2])


class Evidence(NamedTuple):
    """What one person adds in one tick.

    Attributes:
        cosines: ``[17]`` by ticks that the face comes after the sound, -8 to 8.
        lips: probability that the lips move as in speech.
        clarity: how far the best shift of this person stood out lately.
    """

    cosines: NDArray[np.float32]
    lips: float
    clarity: float


class AvOffset:
    """The running estimate.

    Attributes:
        confidence: how far the best shift stands out; 0 while nothing is known.
        ticks: by how many the pictures come after their sound; None while that is not known.
    """

    def __init__(self) -> None:
        self.confidence = 0.0
        self.ticks: int | None = None
        self._cosines = FadingMean(2 * MAX_SHIFT + 1)
        self._candidate, self._held = MAX_SHIFT, 0.0  # a shift, and ticks of speech for which it was best

    def add(self, people: Sequence[Evidence], voice: float) -> None:
        """Take a tick in which a voice is heard with this probability."""
        heard = voice * max((one.lips for one in people), default=0.0)
        self._cosines.fade(math.exp(-heard / MEMORY))
        for one in people:
            self._cosines.add(one.cosines, voice * one.lips * one.clarity)
        self.confidence = self._cosines.prominence()
        if self.confidence >= MIN_CONFIDENCE:
            self._believe(heard)
        elif self.confidence < KEPT_CONFIDENCE:
            self.ticks, self._held = None, 0.0

    def _believe(self, heard: float) -> None:
        """Take the best shift of a tick in which it stands out."""
        best = int((self._cosines.total / self._cosines.weight).argmax()) - MAX_SHIFT
        # At the very edge it is no best shift: the real one may lie beyond.
        if abs(best) == MAX_SHIFT or abs(best - self._candidate) > 1:
            self._candidate, self._held = best, 0.0
            return
        self._held += heard
        if self._held >= MIN_HELD:
            self.ticks = best

    @property
    def milliseconds(self) -> float:
        """By how much the pictures come after their sound; negative where sound is late, NaN: not known."""
        return math.nan if self.ticks is None else self.ticks * TICK_NS / 1e6

    @property
    def disturbing(self) -> bool:
        """Whether pictures and sound are known to be apart by more than is tolerated."""
        return abs(self.ticks or 0) > TOLERATED
