"""Mixes the clips' clean voices into one sound track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scene_clips import RATE, SAMPLES_PER_FRAME, Clip
from scene_schedule import Turn

#: Loudness of every sentence while it is spoken, and of the room, in dB relative to full scale (RMS).
VOICE_DB, ROOM_DB = -23.0, -62.0
EDGE_S = 0.02


def level_db(samples: NDArray[np.float32]) -> float:
    """RMS level in dB relative to full scale; -inf for silence."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return 10 * float(np.log10(power)) if power > 0 else float("-inf")


def voice_of(clip: Clip, first: int, last: int) -> NDArray[np.float32]:
    """The clip's sound of frames ``first`` to ``last`` at the common loudness, with soft edges."""
    start, end = (round(t * RATE) for t in clip.speech)
    gain = 10 ** ((VOICE_DB - level_db(clip.voice[start:end])) / 20)
    cut = clip.voice[first * SAMPLES_PER_FRAME : (last + 1) * SAMPLES_PER_FRAME] * np.float32(gain)
    edge = np.ones(len(cut), np.float32)
    ramp = np.linspace(0, 1, round(EDGE_S * RATE), dtype=np.float32)
    edge[: len(ramp)] = ramp
    edge[-len(ramp) :] = ramp[::-1]
    return np.asarray(cut * edge, np.float32)


def room_noise(length: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Faint noise of a room, falling 3 dB an octave above 60 Hz, ``length`` samples."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    hertz = np.fft.rfftfreq(length, 1 / RATE)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 60.0)), length).astype(np.float32)
    return np.asarray(noise * np.float32(10 ** ((ROOM_DB - level_db(noise)) / 20)), np.float32)


def mix(
    turns: Sequence[Turn], clips: Mapping[str, Clip], total_frames: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Mono sound of the scene, ``[total_frames * 640]`` float32 at 16 kHz, within -1 to 1."""
    out = room_noise(total_frames * SAMPLES_PER_FRAME, rng)
    for turn in turns:
        voice = voice_of(clips[turn.sentence.clip], turn.sentence.first, turn.sentence.last)
        at = turn.frame * SAMPLES_PER_FRAME
        out[at : at + len(voice)] += voice
    return out / max(1.0, float(np.abs(out).max()) / 0.98)
