"""Decoding one stream of a file at a time: what can be decoded, with its true time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from hmgen_ros.streams.audio import AudioNormaliser, BadAudio
from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.streams.source import MediaError
from hmgen_ros.types import AudioChunk, Counts

FrameT = TypeVar("FrameT", av.VideoFrame, av.AudioFrame)

SOUND_RATE = 16_000
#: 40 ms: one chunk for each tick.
SOUND_BLOCK = 640
#: Formats in which text files would pass as drawings.
_NOT_MEDIA = {"tty", "bin", "xbin", "adf", "idf"}

#: Longer leaps in time are doubted. Played in real time, a wrong one would mean to wait for it.
_LONGEST_LEAP_NS = 10 * NS_PER_S
#: From this many on, PyAV 18 reads beyond the list of a planar frame's channels and crashes.
_UNSAFE_PLANES = 8


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame: time in the file in ns, and ``[H, W, 3]`` uint8 BGR, upright."""

    time_ns: int
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sound:
    """Decoded sound: time in the file in ns, samples as :func:`to_mono` takes them, rate, channels."""

    time_ns: int
    samples: NDArray[np.generic]
    sample_rate: int
    channels: int


def open_container(path: Path) -> InputContainer:
    """Open a media file.

    Raises:
        MediaError: it is missing, no file, unreadable or not a known format.
    """
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    if not path.is_file():
        raise MediaError(f"{path}: not a file; name a video or sound file")
    try:
        # Titles in an old encoding are no reason to refuse a file.
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(f"{path}: cannot be opened as video or sound ({reason})") from error
    if set(container.format.name.split(",")) & _NOT_MEDIA:
        container.close()
        raise MediaError(f"{path}: is text, not video or sound")
    return container


def video_stream(container: InputContainer) -> av.VideoStream | None:
    """The first stream of moving pictures; cover art of sound files does not count."""
    attached = av.stream.Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & attached), None)


def pictures(path: Path, counts: Counts) -> Iterator[Picture]:
    """The frames of a file's first video stream, in order of their times.

    Args:
        path: the file; nothing comes where it has no video.
        counts: ``decode_error`` (packets), ``frame_without_time`` (its time was guessed from the frame
            rate), ``frame_out_of_order`` (dropped), ``frame_empty`` (dropped).

    Raises:
        MediaError: the file cannot be opened.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        if stream is None:
            return
        period_ns = round(NS_PER_S / (stream.average_rate or stream.guessed_rate or 25))
        converter = VideoReformatter()  # kept, for to set it up costs as much as to convert a picture
        last_ns: int | None = None
        for frame in _decoded(container, stream, av.VideoFrame, counts):
            time_ns = _time_ns(frame.pts, frame.time_base)
            if time_ns is None:
                counts.add("frame_without_time")
                time_ns = 0 if last_ns is None else last_ns + period_ns
            if last_ns is not None and (time_ns <= last_ns or _astray(time_ns, last_ns, container)):
                counts.add("frame_out_of_order")
                continue
            if not frame.width or not frame.height:
                counts.add("frame_empty")
                continue
            last_ns = time_ns
            yield Picture(time_ns, _upright(frame, converter))


def sounds(path: Path, counts: Counts) -> Iterator[Sound]:
    """The sound of a file's first audio stream as decoded.

    Args:
        path: the file; nothing comes where it has no sound.
        counts: ``decode_error`` (packets), ``audio_out_of_order`` (dropped).

    Raises:
        MediaError: the file cannot be opened.
    """
    with open_container(path) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            return
        end_ns: int | None = None
        for frame in _decoded(container, stream, av.AudioFrame, counts):
            time_ns = _time_ns(frame.pts, frame.time_base)
            time_ns = (end_ns or 0) if time_ns is None else time_ns
            if end_ns is not None and _astray(time_ns, end_ns, container):
                counts.add("audio_out_of_order")
                continue
            end_ns = time_ns + frame.samples * NS_PER_S // max(frame.sample_rate, 1)
            yield Sound(time_ns, _samples(frame), frame.sample_rate, frame.layout.nb_channels)


def sound_chunks(found: Iterator[Sound], shift_ns: int, counts: Counts) -> Iterator[AudioChunk]:
    """Mono 16 kHz chunks of 40 ms; shorter only before a hole of over a second and at the end.

    Args:
        found: decoded sound.
        shift_ns: added to the times; stamps must come out > 0.
        counts: the causes of :class:`AudioNormaliser` and :class:`BadAudio`.
    """
    normaliser = AudioNormaliser(SOUND_RATE)
    normaliser.counts = counts
    held = np.zeros(0, np.float32)
    held_ns = 0
    for sound in found:
        try:
            ready = normaliser.accept(
                sound.time_ns + shift_ns, sound.samples, sound.sample_rate, sound.channels
            )
        except BadAudio as error:
            counts.add(error.cause)
            continue
        if ready is None:
            continue
        if ready.reset and len(held):
            yield AudioChunk(held_ns, held, SOUND_RATE)
            held = held[:0]
        held_ns = ready.chunk.stamp_ns - len(held) * NS_PER_S // SOUND_RATE
        blocks, held = _cut(held_ns, np.concatenate([held, ready.chunk.samples]))
        yield from blocks
        held_ns += len(blocks) * SOUND_BLOCK * NS_PER_S // SOUND_RATE
    rest = normaliser.flush()
    if rest is not None:
        held_ns = held_ns if len(held) else rest.chunk.stamp_ns
        held = np.concatenate([held, rest.chunk.samples])
    blocks, held = _cut(held_ns, held)
    yield from blocks
    if len(held):
        yield AudioChunk(held_ns + len(blocks) * SOUND_BLOCK * NS_PER_S // SOUND_RATE, held, SOUND_RATE)


def _cut(start_ns: int, samples: NDArray[np.float32]) -> tuple[list[AudioChunk], NDArray[np.float32]]:
    """Whole blocks from the front of ``samples``, and what is left."""
    whole = len(samples) - len(samples) % SOUND_BLOCK
    blocks = [
        AudioChunk(start_ns + i * NS_PER_S // SOUND_RATE, samples[i : i + SOUND_BLOCK], SOUND_RATE)
        for i in range(0, whole, SOUND_BLOCK)
    ]
    return blocks, samples[whole:]


def _decoded(
    container: InputContainer,
    stream: av.VideoStream | av.AudioStream,
    kind: type[FrameT],
    counts: Counts,
) -> Iterator[FrameT]:
    """Every frame that can be decoded; damage is counted and passed over."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError, IndexError):  # PyAV stumbles over streams that damage makes appear
            counts.add("decode_error")
            return
        counts.add("decode_error", int(packet.is_corrupt))
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError, ValueError):
            counts.add("decode_error", int(not packet.is_corrupt))
            continue
        yield from (frame for frame in frames if isinstance(frame, kind))


def _time_ns(pts: int | None, time_base: Fraction | None) -> int | None:
    if pts is None or not time_base:
        return None
    return pts * time_base.numerator * NS_PER_S // time_base.denominator


def _astray(time_ns: int, last_ns: int, container: InputContainer) -> bool:
    """Whether a time is the fruit of damage: a leap to beyond the end of the file."""
    if time_ns - last_ns <= _LONGEST_LEAP_NS or container.duration is None:
        return False
    return time_ns > (container.duration + (container.start_time or 0)) * 1_000 + _LONGEST_LEAP_NS


def _samples(frame: av.AudioFrame) -> NDArray[np.generic]:
    """``[n, channels]`` or interleaved samples of a frame."""
    if frame.format.is_planar and frame.layout.nb_channels >= _UNSAFE_PLANES:
        frame = av.AudioResampler(format=frame.format.packed.name).resample(frame)[0]
    # Planar formats come as [channels, n], packed ones as [1, n * channels].
    samples = frame.to_ndarray()
    return samples.T if frame.format.is_planar else samples[0]


def _upright(frame: av.VideoFrame, converter: VideoReformatter) -> NDArray[np.uint8]:
    image = np.asarray(converter.reformat(frame, format="bgr24", threads=1).to_ndarray(), np.uint8)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
