"""A whole utterance at once: how the robot's head moves if it says this from rest, faster than it is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.robot_head.speaking_head import SpeakingHead
from hmgen_ros.streams.audio import MAX_RATE, MIN_RATE, BadAudio, to_mono
from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.types import TICK_HZ, TICK_NS

#: Longest sound that is taken, s.
MAX_SECONDS = 120.0
#: When the first sample is played in the time of the head: any time will do.
_BEGIN_NS = NS_PER_S
#: Sound is handed over in pieces of so many seconds, so long before it is played.
_PIECE_S, _AHEAD_S = 1.0, 5.0


class Utterance(NamedTuple):
    """A sound to say.

    Attributes:
        samples: ``[n]`` float32, mono.
        rate: samples a second.
    """

    samples: NDArray[np.float32]
    rate: int

    @property
    def ticks(self) -> int:
        """Ticks of 40 ms until its end."""
        return -(-len(self.samples) * TICK_HZ // self.rate)

    @classmethod
    def of(cls, samples: NDArray[np.generic], rate: int, channels: int) -> Utterance:
        """What a message holds.

        Args:
            samples: ``[n * channels]`` interleaved PCM, see :func:`hmgen_ros.streams.audio.to_mono`.
            rate: samples a second of one channel.
            channels: of the samples.

        Raises:
            BadAudio: the sound cannot be used; the text says why.
        """
        if not MIN_RATE <= rate <= MAX_RATE:
            raise BadAudio("audio_rate", f"sample_rate is {rate} Hz; send {MIN_RATE} to {MAX_RATE}")
        mono = to_mono(samples, channels)
        if len(mono) > MAX_SECONDS * rate:
            raise BadAudio(
                "audio_too_long",
                f"the sound is {len(mono) / rate:.1f} s long; send up to {MAX_SECONDS:.0f} s, say a sentence",
            )
        return cls(mono, rate)


class UtteranceTick(NamedTuple):
    """One tick of the head.

    Attributes:
        landmarks_px: ``[68, 2]`` float32.
        pose: ``[3]`` float32 yaw, pitch, roll, rad.
        speaking: whether the voice moves the head.
    """

    landmarks_px: NDArray[np.float32]
    pose: NDArray[np.float32]
    speaking: bool


def say(head: SpeakingHead, utterance: Utterance) -> Iterator[UtteranceTick]:
    """Let a head say something from rest; it is as if the sound was known in time.

    Args:
        head: is reset; it generates the same motion as one that is told the sound as it goes along.
        utterance: what it says.

    Yields:
        Each tick, the first 40 ms after the first sample.
    """
    head.reset()
    samples, rate, queue, sent = utterance.samples, utterance.rate, head.sound.queue, 0
    for tick in range(utterance.ticks):
        now_ns = _BEGIN_NS + tick * TICK_NS
        while sent < len(samples) and sent < (tick / TICK_HZ + _AHEAD_S) * rate:
            piece = samples[sent : sent + round(_PIECE_S * rate)]
            queue.accept(_BEGIN_NS + sent * NS_PER_S // rate, piece, rate, 1, now_ns)
            sent += len(piece)
        motion = head.tick(now_ns, "")
        yield UtteranceTick(motion.landmarks_px[0], motion.pose[0], head.speaking)
