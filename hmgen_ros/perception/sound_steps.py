"""The audio features of the last seconds of running sound, found by time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.audio_features import FeatureStream
from hmgen_ros.perception.sound_joiner import SoundJoiner
from hmgen_ros.types import TICK_NS, AudioChunk
from hmgen_ros.types.sound import FEATURES, LOOK_AHEAD_S, STEPS, Kind

STEP_NS = TICK_NS // STEPS
_LOOK_AHEAD_NS = round(LOOK_AHEAD_S * 1e9)
#: Steps of a window may lie off their places by so much; stamps jitter.
_SLACK_NS = 2 * STEP_NS

Floats = NDArray[np.float32]
#: Makes features of a tick, ``[4, 26]``, what a network hears, in the order of time.
Normaliser = Callable[[Floats], Floats]


class SoundSteps:
    """Features every 10 ms, normalised as they come.

    What is known at a time depends on stamps alone, not on when chunks arrive or how they are cut.

    Args:
        kind: which features.
        normaliser: makes a normaliser for a sound that begins; a gap is no new beginning, for the voices
            and the microphone stay.
        remembered_s: so much is kept.
    """

    def __init__(self, kind: Kind, normaliser: Callable[[], Normaliser], remembered_s: float) -> None:
        self._kind, self._normaliser = kind, normaliser
        self.remember(remembered_s)
        self._joiner = SoundJoiner()  # the voice's own counts the same breaks
        self.reset()

    def remember(self, seconds: float) -> None:
        """Keep so much from now on."""
        self._remembered = round(seconds * 1e9) // STEP_NS

    def reset(self) -> None:
        """Forget all sound."""
        self._joiner.reset()
        self._forget()

    def _forget(self) -> None:
        self._normal = self._normaliser()
        self._stream, self._next_ns = FeatureStream(self._kind), 0
        self._steps = np.zeros((0, FEATURES), np.float32)
        self._starts = np.zeros(0, np.int64)
        self._known = np.zeros(0, np.int64)

    def push(self, chunk: AudioChunk) -> None:
        """Take the next run of sound; raises ValueError where it is not 16 kHz mono."""
        joined = self._joiner.join(chunk)
        if joined.jumped_back:
            self._forget()
        if joined.begins:
            self._stream, self._next_ns = FeatureStream(self._kind), joined.start_ns
        self._next_ns += joined.moved_ns
        for tick in self._stream.feed(joined.samples):
            self._add(self._normal(tick))

    def _add(self, tick: Floats) -> None:
        starts = self._next_ns + STEP_NS * np.arange(STEPS)
        self._next_ns += TICK_NS
        known = np.full(STEPS, self._next_ns + _LOOK_AHEAD_NS)
        self._steps = np.concatenate([self._steps, tick])[-self._remembered :]
        self._starts = np.concatenate([self._starts, starts])[-self._remembered :]
        self._known = np.concatenate([self._known, known])[-self._remembered :]

    def known(self, begin_ns: int, steps: int, until_ns: int) -> bool:
        """Whether by ``until_ns`` all is known of the ``steps`` from ``begin_ns``: it will not change."""
        last = self._first(begin_ns) + steps - 1
        return bool(last < len(self._known) and self._known[last] <= until_ns)

    def window(self, begin_ns: int, steps: int) -> Floats | None:
        """``[steps, 26]`` from the step nearest to ``begin_ns``; None where sound is missing."""
        first = self._first(begin_ns)
        starts = self._starts[first : first + steps]
        if len(starts) < steps or starts[0] - begin_ns > STEP_NS:
            return None
        if abs(starts[-1] - starts[0] - (steps - 1) * STEP_NS) > _SLACK_NS:
            return None
        return self._steps[first : first + steps]

    def _first(self, begin_ns: int) -> int:
        return int(np.searchsorted(self._starts, begin_ns - STEP_NS // 2))
