"""Chunks of sound joined into running sound: gaps, overlaps, bad samples, clocks that drift or jump back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import AudioChunk, Counts

SAMPLE_RATE = 16_000
SAMPLE_NS = 1_000_000_000 // SAMPLE_RATE
#: Chunks whose stamp is off by less are taken as contiguous (clocks drift, drivers jitter).
TOLERANCE_NS = 20_000_000
#: Stamps off by less are merely rounded: what is made of the sound must not depend on that.
_ROUNDED_NS = 1_000_000
#: A chunk that ends earlier than this before the sound's end shows that time jumped back.
MAX_OVERLAP_NS = 500_000_000


class Joined(NamedTuple):
    """What a chunk adds to the sound.

    Attributes:
        samples: ``[n]`` float32, finite; without what was there already.
        start_ns: time of the first of them.
        begins: they do not follow what came before (the first ones, a gap, a jump back).
        jumped_back: time did so: all that was heard is void.
        moved_ns: by how much everything from the end of the sound so far lies later than was thought.
    """

    samples: NDArray[np.float32]
    start_ns: int
    begins: bool = False
    jumped_back: bool = False
    moved_ns: int = 0


class SoundJoiner:
    """Joins chunk after chunk.

    Args:
        counts: receives ``audio_gaps``, ``audio_overlaps``, ``audio_jumps_back`` and
            ``audio_bad_samples``.
    """

    def __init__(self, counts: Counts | None = None) -> None:
        self._counts = counts if counts is not None else Counts()
        self.reset()

    def reset(self) -> None:
        """Begin anew with the next chunk."""
        self._end_ns: int | None = None

    def join(self, chunk: AudioChunk) -> Joined:
        """Take the next chunk.

        Raises:
            ValueError: not 16 kHz mono; nothing was taken in.
        """
        if chunk.sample_rate != SAMPLE_RATE or chunk.samples.ndim != 1:
            raise ValueError(
                f"perception needs mono sound of {SAMPLE_RATE} Hz, got {chunk.samples.ndim} dimensions "
                f"of {chunk.sample_rate} Hz; resample it first"
            )
        joined = self._joined(chunk, self._finite(chunk.samples))
        self._end_ns = joined.start_ns + len(joined.samples) * SAMPLE_NS
        return joined

    def _joined(self, chunk: AudioChunk, samples: NDArray[np.float32]) -> Joined:
        end = self._end_ns
        if end is None:
            return Joined(samples, chunk.stamp_ns, begins=True)
        error = chunk.stamp_ns - end
        if abs(error) <= TOLERANCE_NS:
            moved = error if abs(error) > _ROUNDED_NS else 0
            return Joined(samples, end + moved, moved_ns=moved)
        if error < 0 and chunk.end_ns > end - MAX_OVERLAP_NS:
            self._counts.add("audio_overlaps")
            return Joined(samples[min(len(samples), -error // SAMPLE_NS) :], end)
        self._counts.add("audio_jumps_back" if error < 0 else "audio_gaps")
        return Joined(samples, chunk.stamp_ns, begins=True, jumped_back=error < 0)

    def _finite(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        samples = np.asarray(samples, np.float32)
        bad = ~np.isfinite(samples)
        self._counts.add("audio_bad_samples", int(bad.sum()))
        return np.where(bad, np.float32(0), samples)
