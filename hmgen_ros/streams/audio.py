"""Any PCM stream to contiguous mono 16 kHz: formats, rates, gaps, overlaps and drifting stamps.

Sound has two clocks: its sample count, which is smooth, and its stamps, which jitter. Within a few tens
of milliseconds the sample count is followed; a larger step is a loss (filled with zeros) or a repeat
(trimmed), and a slow drift of the two is taken up by slewing the stamps, never the samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from hmgen_ros.streams.clock import NS_PER_S, is_future
from hmgen_ros.types import AudioChunk, Counts

MIN_RATE, MAX_RATE = 8_000, 192_000

#: Full scale and zero level of the sample formats that are understood.
_SCALES: dict[str, tuple[float, float]] = {
    "uint8": (128.0, 128.0),
    "int16": (32_768.0, 0.0),
    "int32": (2_147_483_648.0, 0.0),
    "float32": (1.0, 0.0),
    "float64": (1.0, 0.0),
}


class BadAudio(ValueError):
    """A piece of sound that cannot be used.

    Attributes:
        cause: name to count it under: ``audio_empty``, ``audio_rate``, ``audio_channels``,
            ``audio_length`` (not divisible by the channels), ``audio_format``, ``audio_unstamped`` or
            ``audio_future``.
    """

    def __init__(self, cause: str, text: str) -> None:
        """Name the cause and say what was wrong."""
        super().__init__(text)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Normalised:
    """What one call gives back.

    Attributes:
        chunk: mono sound at the target rate, at least one sample.
        reset: the sound before this chunk is void (start, jump back in time, long gap); otherwise the
            chunk's samples follow those of the chunk before without a hole.
    """

    chunk: AudioChunk
    reset: bool


def to_mono(samples: NDArray[np.generic], channels: int = 1) -> NDArray[np.float32]:
    """Mono float samples of PCM in any supported format.

    Args:
        samples: ``[n * channels]`` interleaved or ``[n, channels]``; int16, int32, float32 or float64 in
            [-1, 1], or uint8 with silence at 128.
        channels: channels of interleaved samples; ignored for two dimensions.

    Returns:
        ``[n]`` float32, the mean of the channels; not clipped, NaN where the input was.

    Raises:
        BadAudio: no samples, no channels, a length that is no multiple of the channels, another format.
    """
    if samples.dtype.name not in _SCALES or samples.ndim not in (1, 2):
        raise BadAudio(
            "audio_format",
            f"samples are {samples.dtype.name}{list(samples.shape)}; send [n] or [n, channels] of "
            f"{', '.join(_SCALES)}",
        )
    if samples.ndim == 2:
        channels = samples.shape[1]
    if channels < 1:
        raise BadAudio("audio_channels", f"channels is {channels}; it must be at least 1")
    if samples.size == 0:
        raise BadAudio("audio_empty", "the audio frame holds no samples")
    if samples.size % channels:
        raise BadAudio("audio_length", f"{samples.size} samples cannot be split into {channels} channels")
    scale, zero = _SCALES[samples.dtype.name]
    with np.errstate(invalid="ignore", over="ignore"):
        mono = samples.reshape(-1, channels).mean(axis=1, dtype=np.float64)
        return np.asarray((mono - zero) / scale, np.float32)


class AudioNormaliser:
    """Turns PCM of any rate and channel count into contiguous mono chunks at one rate.

    Attributes:
        max_future_s: chunks this far ahead of now are refused; may be changed at any time.
        counts: in samples: ``audio_gap`` (zeros put in), ``audio_overlap`` (trimmed), ``audio_nonfinite``
            (set to zero), ``audio_clipped`` (beyond full scale). In chunks: ``audio_duplicate`` (nothing
            new in it), ``audio_format_change``, ``audio_reset_gap``, ``audio_reset_backward``.
    """

    def __init__(
        self,
        target_rate: int = 16_000,
        *,
        max_gap_s: float = 1.0,
        step_ms: float = 30.0,
        drift_ms: float = 20.0,
        slew: float = 0.005,
        max_future_s: float = 1.0,
        quality: str = "HQ",
    ) -> None:
        """Start without history.

        Args:
            target_rate: samples a second that come out.
            max_gap_s: longer holes, and stamps further back than this, reset.
            step_ms: a stamp this far off the sample count is a loss or a repeat, not jitter.
            drift_ms: smoothed deviation from which the stamps are slewed.
            slew: most that stamps move against the sample count, seconds a second.
            max_future_s: chunks this far ahead of now are refused.
            quality: soxr's preset; at 48 kHz ``HQ`` holds back 21 ms on average, ``LQ`` 11 ms. Sound that
                has the target rate already is not held back.
        """
        self.counts = Counts()
        self.target_rate = target_rate
        self._max_gap = int(max_gap_s * NS_PER_S)
        self._step = int(step_ms * 1e6)
        self._drift_limit = int(drift_ms * 1e6)
        self._slew = slew
        self.max_future_s = max_future_s
        self._quality = quality
        self.reset()

    def reset(self) -> None:
        """Forget all sound so far: the next chunk starts anew. Counts go on."""
        self._form = (0, 0)  # rate and channels, (0, 0) before the first chunk
        self._resampler: soxr.ResampleStream | None = None
        self._origin = 0  # time of sample 0 of the present segment, of input and output alike
        self._taken = 0  # input samples since the origin
        self._given = 0  # output samples since the origin
        self._drift = 0.0  # smoothed stamp minus sample count, ns
        self._slewing = False
        self._pending_reset = True

    def accept(
        self,
        stamp_ns: int,
        samples: NDArray[np.generic],
        sample_rate: int,
        channels: int = 1,
        now_ns: int | None = None,
    ) -> Normalised | None:
        """Offer the next piece of sound.

        Args:
            stamp_ns: time of the first sample, > 0.
            samples: ``[n * channels]`` interleaved or ``[n, channels]``, see :func:`to_mono`.
            sample_rate: samples a second of one channel, 8000 to 192000.
            channels: channels of interleaved samples.
            now_ns: present of the clock that made the stamp, or None (see :func:`is_future`).

        Returns:
            The sound that is ready, or None where all of it is held back by the resampler or was a repeat.

        Raises:
            BadAudio: the piece cannot be used; the stream goes on as if it had not come.
        """
        self._check(stamp_ns, sample_rate, now_ns)
        mono = self._repair(to_mono(samples, channels))
        form = (sample_rate, samples.shape[1] if samples.ndim == 2 else channels)
        step_ns = stamp_ns - self._expected_ns()
        cause = self._voiding_cause(step_ns)
        if cause is not None:
            self._restart(stamp_ns, form, cause)
            step_ns = 0
        start_ns = self._ready_ns()
        tail = self._reopen(form) if form != self._form else np.zeros(0, np.float32)
        fresh = self._resample(self._fit(step_ns, mono))
        self._given += len(fresh)
        return self._normalised(start_ns, np.concatenate([tail, fresh]))

    def flush(self) -> Normalised | None:
        """The sound still held back, at the end of a stream; the next chunk starts anew."""
        out = self._normalised(self._ready_ns(), self._drain())
        self.reset()
        return out

    def _check(self, stamp_ns: int, sample_rate: int, now_ns: int | None) -> None:
        if not MIN_RATE <= sample_rate <= MAX_RATE:
            raise BadAudio("audio_rate", f"sample_rate is {sample_rate}; use {MIN_RATE} to {MAX_RATE} Hz")
        if stamp_ns <= 0:
            raise BadAudio("audio_unstamped", "the audio frame has no stamp; set header.stamp")
        if is_future(stamp_ns, now_ns, self.max_future_s):
            raise BadAudio("audio_future", "the audio frame's stamp is in the future; compare the clocks")

    def _repair(self, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        """Finite samples in [-1, 1]."""
        bad = ~np.isfinite(mono)
        self.counts.add("audio_nonfinite", int(bad.sum()))
        mono[bad] = 0.0
        self.counts.add("audio_clipped", int((np.abs(mono) > 1.0).sum()))
        return np.clip(mono, -1.0, 1.0, out=mono)

    def _expected_ns(self) -> int:
        """Stamp that a chunk without gap or overlap would have."""
        rate = self._form[0]
        return self._origin + (self._taken * NS_PER_S // rate if rate else 0)

    def _ready_ns(self) -> int:
        """Time of the next sample to be given out; soxr's sample k lies at k / rate exactly."""
        return self._origin + self._given * NS_PER_S // self.target_rate

    def _voiding_cause(self, step_ns: int) -> str | None:
        """Counter of what voids the history before this chunk, "" at the start, None if nothing does."""
        if not self._form[0]:
            return ""
        if step_ns > self._max_gap:
            return "audio_reset_gap"
        return "audio_reset_backward" if step_ns < -self._max_gap else None

    def _restart(self, stamp_ns: int, form: tuple[int, int], cause: str) -> None:
        if cause:
            self.counts.add(cause)
        self.reset()
        self._origin = stamp_ns
        self._open(form)

    def _open(self, form: tuple[int, int]) -> None:
        self._form = form
        self._taken = self._given = 0
        self._resampler = None
        if form[0] != self.target_rate:
            self._resampler = soxr.ResampleStream(form[0], self.target_rate, 1, "float32", self._quality)

    def _reopen(self, form: tuple[int, int]) -> NDArray[np.float32]:
        """Go on in another format; returns what the old resampler still held."""
        self.counts.add("audio_format_change")
        tail = self._drain()
        self._origin = self._expected_ns()
        self._open(form)
        return tail

    def _fit(self, step_ns: int, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fill the hole before, or trim the repeat from, samples whose stamp is off by ``step_ns``."""
        rate = self._form[0]
        off = round(step_ns * rate / NS_PER_S)
        if step_ns > self._step:
            self.counts.add("audio_gap", off)
            mono = np.concatenate([np.zeros(off, np.float32), mono])
        elif step_ns < -self._step and -off >= len(mono):
            self.counts.add("audio_duplicate")
            mono = mono[:0]
        elif step_ns < -self._step:
            self.counts.add("audio_overlap", -off)
            mono = mono[-off:]
        else:
            self._follow(step_ns, len(mono) / rate)
        self._taken += len(mono)
        return mono

    def _follow(self, step_ns: int, seconds: float) -> None:
        """Smooth the deviation over about a second and slew the stamps while it is too large."""
        self._drift += min(1.0, seconds) * (step_ns - self._drift)
        self._slewing = abs(self._drift) > (1e6 if self._slewing else self._drift_limit)
        if self._slewing:
            most = self._slew * seconds * NS_PER_S
            move = round(min(max(self._drift, -most), most))
            self._origin += move
            self._drift -= move

    def _resample(self, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._resampler is None or not len(mono):
            return mono
        return np.asarray(self._resampler.resample_chunk(mono), np.float32)

    def _drain(self) -> NDArray[np.float32]:
        nothing = np.zeros(0, np.float32)
        return nothing if self._resampler is None else self._resampler.resample_chunk(nothing, last=True)

    def _normalised(self, start_ns: int, samples: NDArray[np.float32]) -> Normalised | None:
        if not len(samples):
            return None
        reset, self._pending_reset = self._pending_reset, False
        chunk = AudioChunk(start_ns, np.clip(samples, -1.0, 1.0), self.target_rate)
        return Normalised(chunk, reset)
