"""A robot's own speech, tick by tick: features of its sound, whether it is a voice, and when it is due.

Sound that is known in time is due at its stamp. Sound that is sent as it is played is known too late for
that, as a generator looks ahead: it is due as soon as it is known, and what drives the head is behind what is
heard by as long as a tick, the look-ahead and the pieces in which sound comes take. How far behind it has
to be is found at the beginning of each voice, and more only where sound fails to come in time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.audio_features import FeatureStream
from hmgen_ros.perception.hysteresis import Latch, LatchConfig
from hmgen_ros.perception.sound_joiner import SAMPLE_NS
from hmgen_ros.perception.speech_queue import SpeechQueue
from hmgen_ros.perception.voice import VoiceActivity
from hmgen_ros.types import TICK_NS, AudioChunk
from hmgen_ros.types.sound import LOOK_AHEAD_S, SOUND_RATE, TICK_SAMPLES, Kind

#: A voice begins with its second tick, and has ended after 0.6 s without one.
VOICE = LatchConfig(on=0.5, off=0.35, on_ticks=2, off_ticks=15, min_ticks=5)

#: Samples after a tick that its features look at.
_AFTER = round(LOOK_AHEAD_S * SOUND_RATE)
#: Sound that is sent as it is played may jitter by so much: 10 ms.
_SLACK = SOUND_RATE // 100
#: Where no sound has come for so long, there is none.
_PATIENCE_NS = 200_000_000
#: Ticks that what drives the head may be further behind than it has to be, and those read at once.
_MOST_BEHIND, _MOST_READ = 5, 25


class SpeechTick(NamedTuple):
    """One tick of sound.

    Attributes:
        features: ``[4, 26]`` float32.
        voice: probability in [0, 1] of a voice at its end.
        speaking: whether a voice has begun and not ended.
    """

    features: NDArray[np.float32]
    voice: float
    speaking: bool


class OwnSpeech:
    """What a robot says.

    What is due does not depend on how sound is cut into pieces, if only it is there in time.

    Attributes:
        queue: sound that waits, and what was counted.
        speaking: whether a voice has begun in the ticks given out, and not ended.
        behind_s: by how much the head is behind what it says, seconds, at the last tick of a voice.
    """

    def __init__(self, kind: Kind, look_ahead: int, voice: LatchConfig = VOICE) -> None:
        """Silent.

        Args:
            kind: which features.
            look_ahead: ticks by which they are given out before the motion that belongs to them.
            voice: when a voice begins and ends.
        """
        self._kind, self._look_ahead, self._latch_config = kind, look_ahead, voice
        self.queue = SpeechQueue()
        self._voice = VoiceActivity()
        self.reset()

    def adjust(self, voice: LatchConfig) -> None:
        """A voice begins and ends by other settings from now on."""
        self._latch_config = self._latch.config = voice

    def reset(self) -> None:
        """Forget all sound."""
        self.queue.reset()
        self._voice.reset()
        self._latch = Latch(self._latch_config)
        self._stream = FeatureStream(self._kind)
        self._fed = self._read_ticks = 0
        # Ticks of a voice that are kept waiting, so that there is one where sound comes late.
        self._spare, self.behind_s = 0, 0.0

    @property
    def speaking(self) -> bool:
        """See the class."""
        return self._latch.active

    def due(self, time_ns: int) -> list[SpeechTick]:
        """What is to be heard before the head moves to where it is at a time, one tick from now.

        Args:
            time_ns: of the motion.

        Returns:
            Ticks not given out before, the oldest first. While a voice is heard the last one drives the
            motion, and there is none where it has not come in time; those before come too late for that. The
            first tick of a voice is the last that is given out.
        """
        if self.queue.empty:
            return []
        self._align(time_ns)
        waiting = self._waiting(time_ns)
        if not self._known() and time_ns - TICK_NS - self.queue.arrived_ns > _PATIENCE_NS:
            if not self.speaking:
                self.reset()
                return []
            self.queue.put(np.zeros(TICK_SAMPLES, np.float32))
            waiting = self._waiting(time_ns)
        if self.speaking:
            # It waits as long as it had to wait before.
            self._spare = min(self._spare + (not self._known()), _MOST_BEHIND)
            waiting -= min(self._spare, max(waiting - 1, 0))
        return self._read_some(min(waiting, _MOST_READ), time_ns)

    def ready(self, time_ns: int) -> bool:
        """Whether :meth:`due` has something to give."""
        return self._waiting(time_ns) > 0

    @property
    def queued_s(self) -> float:
        """Seconds of sound that wait."""
        return self.queue.pending / SOUND_RATE

    def _read_some(self, ticks: int, time_ns: int) -> list[SpeechTick]:
        found, spoke = [], self.speaking
        for _ in range(ticks):
            found.append(self._read())
            if self.speaking != spoke:
                break
        if found and self.speaking:
            begins_ns = self._next_ns() - (self._look_ahead + 1) * TICK_NS
            self.behind_s = max(0.0, (time_ns - begins_ns) / 1e9)
        return found

    def _read(self) -> SpeechTick:
        found = self._feed(self.queue.take(TICK_SAMPLES))
        while not len(found):
            found = self._feed(self.queue.take(TICK_SAMPLES))
        self._read_ticks += 1
        # The voice's own clock counts samples from the end of its first tick on.
        voice = self._voice.probability_at((self._read_ticks + 1) * TICK_NS)
        speaking = self._latch.update(voice)
        self._spare = self._spare if speaking else 0
        return SpeechTick(found[0], voice, speaking)

    def _feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        self._voice.push(AudioChunk(TICK_NS + self._fed * SAMPLE_NS, samples, SOUND_RATE))
        self._fed += len(samples)
        return self._stream.feed(samples)

    def _align(self, time_ns: int) -> None:
        """Let sound that is sent as it is played begin such that its ticks end just before they are read."""
        wanted_ns = time_ns + (self._look_ahead + 1) * TICK_NS + _AFTER * SAMPLE_NS
        if not self._fed and self.queue.pending and self.queue.end_ns < wanted_ns:
            self._feed(np.zeros((_AFTER + _SLACK - self.queue.pending) % TICK_SAMPLES, np.float32))

    def _known(self) -> int:
        """Ticks that can be read."""
        return max(0, (self._fed + self.queue.pending - _AFTER) // TICK_SAMPLES - self._read_ticks)

    def _next_ns(self) -> int:
        """When the next tick to be read begins."""
        unread = self._fed + self.queue.pending - self._read_ticks * TICK_SAMPLES
        return self.queue.end_ns - unread * SAMPLE_NS

    def _waiting(self, time_ns: int) -> int:
        """Ticks that can be read and are due."""
        until = time_ns + self._look_ahead * TICK_NS
        if self.speaking:
            until += TICK_NS // 2  # what goes on is not to stumble over stamps that jitter
        return min(self._known(), max(0, (until - self._next_ns()) // TICK_NS + 1))
