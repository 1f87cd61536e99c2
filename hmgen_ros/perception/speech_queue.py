"""Sound that is to be spoken, in the order in which it comes, each sample with the time it is heard at.

A robot's text-to-speech sends sound as it is played, or ahead of that, up to a whole sentence at once, and
stamps it with the time at which it is played or with the one at which it was sent. What follows sooner than
the sound before it ends is therefore no repeat, but goes on where that ends.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.streams.audio import AudioNormaliser, to_mono
from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.types import Counts
from hmgen_ros.types.sound import SOUND_RATE

#: Sound may be sent so long before it is heard.
MAX_AHEAD_S = 60.0
#: Sound that begins, and should have been heard longer ago, is heard from its arrival on.
_LATE_NS = 500_000_000
#: Stamps that are off by less jitter or drift and are followed by so much a second; later ones tell of a gap.
_JITTER_NS, _SLEW = 30_000_000, 0.005


class SpeechQueue:
    """Mono sound of 16 kHz, taken out at the front.

    Attributes:
        counts: those of :class:`~hmgen_ros.streams.audio.AudioNormaliser` (``audio_gap``: samples of silence
            between sounds), and ``speech_late`` (sounds that began too late and were moved to their arrival),
            ``speech_stamp_backwards`` (pieces stamped before the last one; they follow it) and
            ``speech_dropped`` (samples more than :data:`MAX_AHEAD_S` ahead).
        end_ns: when the sound that is known so far ends.
        arrived_ns: when sound came last.
        pending: samples to be taken.
    """

    def __init__(self) -> None:
        self.counts = Counts()
        self._normaliser = AudioNormaliser(SOUND_RATE, max_gap_s=MAX_AHEAD_S, max_future_s=MAX_AHEAD_S)
        self._normaliser.counts = self.counts
        self.reset()

    def reset(self) -> None:
        """Forget all sound; what comes next begins anew."""
        self._normaliser.reset()
        self._parts: deque[NDArray[np.float32]] = deque()
        # Time by counting samples, which the normaliser is told, and how much later it is by the stamps.
        self._count_ns = self._drift_ns = self._stamp_ns = 0
        self.end_ns = self.arrived_ns = self.pending = 0

    @property
    def empty(self) -> bool:
        """Whether nothing has come since the reset."""
        return self.end_ns == 0

    def accept(
        self, stamp_ns: int, samples: NDArray[np.generic], rate: int, channels: int, now_ns: int
    ) -> None:
        """Take the next piece of sound.

        Args:
            stamp_ns: when its first sample is heard, > 0.
            samples: interleaved, see :func:`hmgen_ros.streams.audio.to_mono`.
            rate: samples a second of one channel, 8000 to 192000.
            channels: of interleaved samples.
            now_ns: present of the clock that stamps follow; 0 (simulated time before the first ``/clock``) is
                taken for the stamp.

        Raises:
            hmgen_ros.streams.audio.BadAudio: the piece cannot be used and is as if it had not come.
        """
        mono, now_ns = to_mono(samples, channels), now_ns or stamp_ns
        begins_ns = self._begin(stamp_ns, now_ns)
        room = round((now_ns + MAX_AHEAD_S * NS_PER_S - begins_ns) * rate / NS_PER_S)
        if room <= 0 and begins_ns > stamp_ns:
            self.counts.add("speech_dropped", len(mono))
            return
        # A rate or stamp that is none is refused by the normaliser, with its cause.
        kept = mono[: max(room, 1)]
        normalised = self._normaliser.accept(begins_ns, kept, rate, 1, now_ns)
        self.counts.add("speech_dropped", len(mono) - len(kept))
        length_ns = len(kept) * NS_PER_S // rate
        self._follow(stamp_ns, now_ns, length_ns)
        self._count_ns = begins_ns + length_ns
        self._stamp_ns, self.arrived_ns = stamp_ns, now_ns
        self.end_ns = self.end_ns or begins_ns
        if normalised is not None:
            self.put(normalised.chunk.samples)
            self.end_ns = normalised.chunk.end_ns + self._drift_ns

    def put(self, samples: NDArray[np.float32]) -> None:
        """Append ``[n]`` samples that have no time of their own."""
        self._parts.append(samples)
        self.pending += len(samples)

    def take(self, most: int) -> NDArray[np.float32]:
        """``[n]`` samples from the front, at most ``most``, none where nothing is pending."""
        taken: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
        while most and self._parts:
            part = self._parts.popleft()
            if len(part) > most:
                self._parts.appendleft(part[most:])
            taken.append(part[:most])
            most -= len(taken[-1])
        found = np.concatenate(taken)
        self.pending -= len(found)
        return found

    def _off(self, stamp_ns: int) -> int:
        """By how much a stamp is later than the end of the sound."""
        return stamp_ns - self._count_ns - self._drift_ns

    def _begin(self, stamp_ns: int, now_ns: int) -> int:
        """When a piece begins, counting samples."""
        if stamp_ns <= 0:
            return stamp_ns
        if self.empty:
            return now_ns if now_ns - stamp_ns > _LATE_NS else stamp_ns
        off_ns = self._off(stamp_ns)
        return self._count_ns + (off_ns if off_ns > _JITTER_NS else 0)

    def _follow(self, stamp_ns: int, now_ns: int, length_ns: int) -> None:
        """Count what is odd about a stamp, and let time drift with it."""
        if self.empty:
            self.counts.add("speech_late", int(now_ns - stamp_ns > _LATE_NS))
            return
        self.counts.add("speech_stamp_backwards", int(stamp_ns < self._stamp_ns))
        off_ns = self._off(stamp_ns)
        if abs(off_ns) <= _JITTER_NS:
            most = round(_SLEW * length_ns)
            self._drift_ns += min(max(off_ns, -most), most)
