"""A microphone as a source of stamped mono sound, which survives being unplugged.

PortAudio calls back from a thread of its own; the callback only stamps and queues. Whoever reads also
watches: a callback that stays silent means a lost device, which is reopened with growing pauses.
sounddevice loads PortAudio when it is imported, so it is imported only when a microphone is wanted.
"""

from __future__ import annotations

import importlib
import queue
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.streams.arrival import BlockTimeline
from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.types import AudioChunk, Counts

PREFERRED_RATE = 16_000
BLOCK_MS = 40
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 8.0
#: Sound servers were seen to take 1.5 s to the first block.
_START_GRACE_S = 3.0


class MicrophoneError(RuntimeError):
    """A microphone that cannot be used: one line that says what to install or to choose."""


class NoPortAudioError(MicrophoneError):
    """What talks to sound systems is missing: waiting for a device would not help."""


@dataclass(frozen=True, slots=True)
class MicrophoneInfo:
    """An input device: index and name to choose it by, its channels and its own sample rate."""

    index: int
    name: str
    channels: int
    sample_rate: int
    is_default: bool


def list_devices() -> list[MicrophoneInfo]:
    """The input devices of this machine.

    Raises:
        MicrophoneError: PortAudio is missing or finds no sound system.
    """
    sd = _portaudio()
    try:
        found = list(sd.query_devices())
    except sd.PortAudioError as error:
        raise MicrophoneError(f"no sound system answers ({error}); start PulseAudio or PipeWire") from error
    try:
        default = sd.query_devices(kind="input")["index"]
    except (sd.PortAudioError, ValueError):
        default = -1  # none is chosen
    return [
        MicrophoneInfo(
            device["index"],
            device["name"],
            device["max_input_channels"],
            round(device["default_samplerate"]),
            device["index"] == default,
        )
        for device in found
        if device["max_input_channels"] > 0
    ]


class Microphone:
    """Blocks of 40 ms, mono, at 16 kHz where the device agrees and at its own rate where not.

    Open from the start, or opened when it appears; :meth:`read` from one thread, :meth:`close` at the end,
    or use it as a context manager.

    Attributes:
        info: the device in use or used last, None before the first.
        sample_rate: rate of the chunks now; may change when the device is reopened.
        counts: ``mic_overflow`` (blocks dropped, the reader is too slow), ``mic_lost_input`` (PortAudio
            reports lost samples), ``mic_stall`` (the device fell silent), ``mic_retry`` (it could not be
            opened), ``mic_reopened`` (it could after that).
        trouble: why there is no sound now, one line; empty while the device is open.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        queue_blocks: int = 50,
        stall_s: float = 1.0,
        sample_rate: int | None = None,
        channels: int | None = None,
        wait: bool = False,
    ) -> None:
        """Open the device and start listening.

        Args:
            device: index or part of the name of an input device (see :func:`list_devices`); None for the
                system's default.
            clock_ns: clock for the stamps.
            queue_blocks: most blocks kept for the reader; then the oldest are dropped.
            stall_s: silence of the callback after which the device is taken for lost.
            sample_rate: ask for no other rate; None prefers 16 kHz, then takes the device's own.
            channels: ask for so many and mix them; None asks for one. Without a sound server one means the
                first, whatever the others hear.
            wait: keep trying where the device is not there yet, instead of raising.

        Raises:
            MicrophoneError: no such device, or it cannot be opened, and ``wait`` is not set.
            NoPortAudioError: no PortAudio, which no waiting mends.
        """
        self.counts = Counts()
        self.info: MicrophoneInfo | None = None
        self.sample_rate = sample_rate or PREFERRED_RATE
        self.trouble = ""
        self._wanted = device
        self._wanted_rate, self._wanted_channels = sample_rate, channels
        self._clock_ns = clock_ns
        self._stall_s = stall_s
        self._queue: queue.Queue[AudioChunk] = queue.Queue(queue_blocks)
        self._stream: Any = None
        self._wait_s = _FIRST_WAIT_S
        self._retry_at = 0.0
        try:
            self._open()
        except NoPortAudioError:
            raise
        except MicrophoneError as error:
            if not wait:
                raise
            self._try_later(error)

    def read(self, timeout_s: float = 0.1) -> AudioChunk | None:
        """The next block.

        Args:
            timeout_s: longest wait for it.

        Returns:
            The block, stamped with the time of its first sample, or None where none came in time (also
            while a lost device is being reopened, which can take a second of its own).
        """
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            self._watch()
            return None

    def close(self) -> None:
        """Stop listening and free the device."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    def __enter__(self) -> Self:
        """Nothing to do: a microphone is open from the start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the microphone."""
        self.close()

    def _open(self) -> None:
        info = _choose(list_devices(), self._wanted)
        sd = _portaudio()
        refusals = []
        for rate, channels in _formats(info, self._wanted_rate, self._wanted_channels):
            self.sample_rate = rate
            self._timeline = BlockTimeline()
            try:
                self._stream = sd.InputStream(
                    device=info.index,
                    samplerate=rate,
                    channels=channels,
                    blocksize=rate * BLOCK_MS // 1000,
                    dtype="float32",
                    latency="low",
                    callback=self._heard,
                )
                self._heard_at = time.monotonic() + _START_GRACE_S
                self._stream.start()
            except (sd.PortAudioError, ValueError) as error:
                refusals.append(f"{rate} Hz, {channels} channel(s): {error}")
                self.close()
            else:
                self.info, self.trouble = info, ""
                return
        raise MicrophoneError(
            f"microphone {info.name!r} cannot be opened ({'; '.join(refusals)}); close programs that "
            "use it, or choose another device"
        )

    def _heard(self, samples: NDArray[np.float32], count: int, times: Any, status: Any) -> None:
        """PortAudio's callback; must neither block nor raise."""
        now_ns = self._clock_ns()
        self._heard_at = time.monotonic()
        if status.input_overflow:
            self.counts.add("mic_lost_input")
        age_ns = round((times.currentTime - times.inputBufferAdcTime) * NS_PER_S)
        length_ns = count * NS_PER_S // self.sample_rate
        stamp_ns = self._timeline.stamp(now_ns, age_ns, length_ns, bool(status.input_overflow))
        chunk = AudioChunk(stamp_ns, samples.mean(axis=1), self.sample_rate)
        try:
            self._queue.put_nowait(chunk)
        except queue.Full:
            self.counts.add("mic_overflow")
            with suppress(queue.Empty):  # the reader may have made room just now
                self._queue.get_nowait()
            self._queue.put_nowait(chunk)

    def _watch(self) -> None:
        """Notice a lost device, and try to have it back when its pause is over."""
        now = time.monotonic()
        if self._stream is not None:
            if now - self._heard_at < self._stall_s:
                return
            self.counts.add("mic_stall")
            self.trouble = "the microphone fell silent"
            self.close()
        if now < self._retry_at:
            return
        try:
            _rescan()
            self._open()
        except MicrophoneError as error:
            self._try_later(error)
            return
        self.counts.add("mic_reopened")
        self._wait_s = _FIRST_WAIT_S

    def _try_later(self, error: MicrophoneError) -> None:
        self.trouble = str(error)
        self.counts.add("mic_retry")
        self._retry_at = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)


def _portaudio() -> ModuleType:
    try:
        return importlib.import_module("sounddevice")
    except (ImportError, OSError) as error:
        raise NoPortAudioError(
            f"PortAudio is missing ({error}); install it, e.g. apt-get install libportaudio2"
        ) from error
    except Exception as error:  # its own error class cannot be named while its module does not load
        raise MicrophoneError(f"PortAudio does not start ({error}); check the sound system") from error


def _rescan() -> None:
    """Make PortAudio look for devices again: it lists them only when it starts."""
    sd = _portaudio()
    try:
        sd._terminate()
        sd._initialize()
    except sd.PortAudioError as error:
        raise MicrophoneError(f"the sound system cannot be restarted ({error})") from error


def _choose(devices: list[MicrophoneInfo], wanted: int | str | None) -> MicrophoneInfo:
    if not devices:
        raise MicrophoneError(
            "no microphone found; plug one in, or start a sound server (PulseAudio or PipeWire; for ALSA "
            "programs also apt-get install libasound2-plugins)"
        )
    names = ", ".join(f"{d.index} {d.name!r}" for d in devices)
    if wanted is None:
        return next((d for d in devices if d.is_default), devices[0])
    if isinstance(wanted, int) or wanted.isdigit():
        found = [d for d in devices if d.index == int(wanted)]
    else:
        found = [d for d in devices if wanted.lower() in d.name.lower()]
        # One name may be part of others; the whole one wins.
        found = [d for d in found if d.name.lower() == wanted.lower()] or found
    if not found:
        raise MicrophoneError(f"no microphone {wanted!r}; choose one of: {names}")
    return found[0]


def _formats(
    info: MicrophoneInfo, rate: int | None = None, channels: int | None = None
) -> list[tuple[int, int]]:
    """Rates and channels to ask for, best first; what is given is asked for alone."""
    rates = [rate] if rate else [PREFERRED_RATE, info.sample_rate]
    few = [channels] if channels else [1]
    asked = [(r, c) for r in rates for c in few]
    if not channels:
        asked.append((rates[-1], min(info.channels, 2)))
    return list(dict.fromkeys(asked))
