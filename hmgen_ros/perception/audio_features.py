"""What generators and syncers hear: 26 numbers every 10 ms, on the 25 Hz clock of landmark tracks.

Either mel-frequency cepstral coefficients, as the thesis says (5.4), or the logarithms of as many mel bands,
as its public code has. Nothing looks at the whole sound, not even to find its loudest moment, so that a
stream gives the numbers of a recording: :class:`FeatureStream` is fed sound as it comes and knows the last
ticks but :data:`LOOK_AHEAD_S`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from hmgen_ros.types.sound import (
    AFTER,
    BEFORE,
    FEATURES,
    HOP,
    KINDS,
    SOUND_RATE,
    STEPS,
    TICK_SAMPLES,
    WINDOW,
    Kind,
)

#: Mel bands that cepstral coefficients are made of.
_BANDS = 40
#: What counts as no power at all: -100 dB of a tone at full scale is some 1e-6 here.
_SILENT = 1e-8

Floats = NDArray[np.float32]


def features_of(samples: Floats, kind: Kind) -> Floats:
    """Features of the sound of whole ticks.

    The four windows of a tick are centred 5, 15, 25 and 35 ms after its beginning; beyond the ends there is
    silence.

    Args:
        samples: ``[T 640]`` mono sound of 16 kHz, full scale at 1.
        kind: which features.

    Returns:
        ``[T, 4, 26]`` float32.

    Raises:
        ValueError: the sound is empty, no whole number of ticks, or not finite.
    """
    if samples.ndim != 1 or not len(samples) or len(samples) % TICK_SAMPLES:
        raise ValueError(f"sound must be whole ticks of {TICK_SAMPLES} samples, got {samples.shape}")
    return _features(np.pad(samples, (BEFORE, AFTER)), kind)


class FeatureStream:
    """Features of one running sound.

    Attributes:
        kind: which features.
    """

    def __init__(self, kind: Kind) -> None:
        """Begin in silence; raises ValueError where there is no such kind."""
        if kind not in KINDS:
            raise ValueError(f"no features {kind!r}; there are {', '.join(KINDS)}")
        self.kind = kind
        self._rest = np.zeros(BEFORE, np.float32)

    def feed(self, samples: Floats) -> Floats:
        """Take in ``[n]`` more samples, as many as there are.

        Returns:
            ``[t, 4, 26]`` of the ticks that are known now and were not before; often none.

        Raises:
            ValueError: the samples are not one-dimensional or not finite; nothing was taken in.
        """
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise ValueError(f"sound must be finite and of one channel, got shape {samples.shape}")
        sound = np.concatenate([self._rest, samples.astype(np.float32, copy=False)])
        ticks = max(0, len(sound) - BEFORE - AFTER) // TICK_SAMPLES
        self._rest = sound[ticks * TICK_SAMPLES :]
        if not ticks:
            return np.zeros((0, STEPS, FEATURES), np.float32)
        return _features(sound[: ticks * TICK_SAMPLES + BEFORE + AFTER], self.kind)

    def finish(self) -> Floats:
        """``[t, 4, 26]`` of the whole ticks that wait for more sound, as if silence followed; starts anew."""
        whole = (len(self._rest) - BEFORE) // TICK_SAMPLES * TICK_SAMPLES
        sound = self._rest[: BEFORE + whole]
        self._rest = np.zeros(BEFORE, np.float32)
        if not whole:
            return np.zeros((0, STEPS, FEATURES), np.float32)
        return _features(np.pad(sound, (0, AFTER)), self.kind)


def _features(padded: Floats, kind: Kind) -> Floats:
    """``[T, 4, 26]`` of ``[T 640 + 240]`` samples."""
    if kind not in KINDS:
        raise ValueError(f"no features {kind!r}; there are {', '.join(KINDS)}")
    if not np.isfinite(padded).all():
        raise ValueError("sound must be finite")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * _taper(), axis=-1)).astype(np.float32) ** 2
    # A product for each tick: BLAS rounds otherwise with the number of rows, a stream unlike a recording.
    bands = power.reshape(-1, STEPS, power.shape[-1]) @ _filters(FEATURES if kind == "logmel" else _BANDS).T
    found = 10.0 * np.log10(np.maximum(bands, _SILENT))
    if kind == "mfcc":
        found = dct(found, axis=-1, norm="ortho")[..., :FEATURES]
    return np.ascontiguousarray(found, np.float32)


@cache
def _taper() -> Floats:
    """``[400]`` Hann."""
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW), np.float32)


@cache
def _filters(bands: int) -> Floats:
    """``[bands, 201]`` triangles on Slaney's mel scale up to half the rate, each of area 1.

    The scale is linear up to 1 kHz (15 mel) and logarithmic above, 27 mel for a factor of 6.4. These are the
    filters of librosa, which is too large a package to be needed on a robot.
    """
    top = 15.0 + 27.0 * np.log(SOUND_RATE / 2 / 1000.0) / np.log(6.4)
    mels = np.linspace(0.0, top, bands + 2)
    edges = np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * 6.4 ** ((mels - 15.0) / 27.0))
    hertz = np.linspace(0.0, SOUND_RATE / 2, WINDOW // 2 + 1)
    low, middle, high = (edges[i : bands + i, None] for i in range(3))
    triangles = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
    return np.asarray(np.maximum(triangles, 0.0) * 2.0 / (high - low), np.float32)
