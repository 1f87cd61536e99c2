"""The sound of a file, on its own clock: any format and rate comes out as 16 kHz, mono, without holes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.streams.decode import sound_chunks, sounds
from hmgen_ros.types import TICK_NS, AudioChunk, Counts
from hmgen_ros.types.sound import SOUND_RATE


def read_sound(path: Path, counts: Counts) -> tuple[int, NDArray[np.float32]]:
    """Time of the first sample in ns, and all of the sound, holes filled with silence.

    Args:
        path: any file that FFmpeg reads; one without sound gives no samples.
        counts: takes up what could not be decoded.

    Raises:
        hmgen_ros.streams.source.MediaError: the file cannot be opened.
    """
    shift = NS_PER_S  # stamps must be above 0
    chunks: Iterable[AudioChunk] = sound_chunks(sounds(path, counts), shift, counts)
    start, length = 0, 0
    parts: list[NDArray[np.float32]] = []
    for chunk in chunks:
        if not parts:
            start = chunk.stamp_ns - shift
        first = round((chunk.stamp_ns - shift - start) * SOUND_RATE / NS_PER_S)
        if first > length:
            parts.append(np.zeros(first - length, np.float32))
        parts.append(chunk.samples[max(0, length - first) :])
        length = max(length, first) + len(parts[-1])
    return start, np.concatenate(parts) if parts else np.zeros(0, np.float32)


def cut_sound(heard: tuple[int, NDArray[np.float32]], start_ns: int, ticks: int) -> NDArray[np.float32]:
    """The sound of some ticks.

    Args:
        heard: from :func:`read_sound`.
        start_ns: beginning of the first tick, on the same clock.
        ticks: how many.

    Returns:
        ``[ticks 640]``; silence where the file has none.
    """
    begin, samples = heard
    first = round((start_ns - begin) * SOUND_RATE / NS_PER_S)
    wanted = np.zeros(ticks * TICK_NS * SOUND_RATE // NS_PER_S, np.float32)
    low, high = max(0, first), min(len(samples), first + len(wanted))
    if high > low:
        wanted[low - first : high - first] = samples[low:high]
    return wanted
