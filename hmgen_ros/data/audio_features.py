"""Mel-frequency cepstral coefficients on the 25 Hz clock of landmark tracks (thesis 5.4: 26 MFCC)."""

from __future__ import annotations

import librosa
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.track_files import MFCC_COEFFICIENTS, MFCC_STEPS
from hmgen_ros.types import TICK_HZ

SOUND_RATE = 16_000
#: Samples of a window, and from one to the next: 25 and 10 ms.
WINDOW, HOP = 400, 160
_TICK = SOUND_RATE // TICK_HZ


def mfcc(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coefficients of the sound of whole ticks.

    The four windows of a tick are centred 5, 15, 25 and 35 ms after its beginning; beyond the ends there is
    silence.

    Args:
        samples: ``[T 640]`` mono sound of 16 kHz.

    Returns:
        ``[T, 4, 26]`` float32.

    Raises:
        ValueError: the sound is empty or no whole number of ticks.
    """
    if samples.ndim != 1 or not len(samples) or len(samples) % _TICK:
        raise ValueError(f"sound must be whole ticks of {_TICK} samples, got {samples.shape}")
    before = (WINDOW - HOP) // 2
    padded = np.pad(samples, (before, WINDOW - HOP - before))
    found = librosa.feature.mfcc(
        y=padded,
        sr=SOUND_RATE,
        n_mfcc=MFCC_COEFFICIENTS,
        n_fft=WINDOW,
        hop_length=HOP,
        center=False,
        n_mels=40,
    )
    return np.ascontiguousarray(found.T, np.float32).reshape(-1, MFCC_STEPS, MFCC_COEFFICIENTS)
