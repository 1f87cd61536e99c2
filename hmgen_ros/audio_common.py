"""Sound as ``audio_common_msgs``: the name of two packages that have nothing else in common.

That of ros-drivers has ``AudioDataStamped``, bytes whose format ``AudioInfo`` tells on a topic of its own;
that of mgonzs13 has ``AudioStamped``, samples of one of five types with their format. What is read are a
message's fields, whoever made it, as in :mod:`hmgen_ros.message_reading`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.bad_message import BadMessage
from hmgen_ros.message_reading import stamp_ns

#: How PortAudio numbers sample types, and the field that holds them; what is unsigned is silent at 128.
_PORTAUDIO: dict[int, tuple[str, str]] = {
    1: ("float32_data", "float32"),
    2: ("int32_data", "int32"),
    8: ("int16_data", "int16"),
    16: ("int8_data", "int8"),
    32: ("uint8_data", "uint8"),
}
#: How GStreamer names them.
_GSTREAMER: dict[str, str] = {
    "S16LE": "<i2",
    "S16BE": ">i2",
    "S32LE": "<i4",
    "S32BE": ">i4",
    "F32LE": "<f4",
    "F32BE": ">f4",
    "U8": "u1",
    "S8": "i1",
}
#: Codings that are no coding.
_PLAIN = ("wave", "wav", "raw", "pcm", "")


class Sound(NamedTuple):
    """A run of sound.

    Attributes:
        stamp_ns: time of the first sample.
        samples: interleaved PCM.
        rate: samples a second of one channel.
        channels: of the samples.
    """

    stamp_ns: int
    samples: NDArray[Any]
    rate: int
    channels: int


def sound_of_bytes(message: Any, info: Any) -> Sound:
    """Sound of ros-drivers.

    Args:
        message: ``AudioDataStamped``.
        info: ``AudioInfo``.

    Raises:
        BadMessage: ``audio_format``, for compressed sound and unknown samples.
    """
    samples = samples_of_bytes(message.audio.data, info)
    return Sound(stamp_ns(message.header.stamp), samples, int(info.sample_rate), int(info.channels))


def samples_of_bytes(data: Any, info: Any) -> NDArray[Any]:
    """Interleaved samples of the bytes of ros-drivers' ``AudioData``; raises as :func:`sound_of_bytes`."""
    if info.coding_format.lower() not in _PLAIN:
        text = f"the sound is coded as {info.coding_format!r}; set the driver's format to wave"
        raise BadMessage("audio_format", text)
    kind = _GSTREAMER.get(info.sample_format.upper())
    if kind is None:
        raise BadMessage(
            "audio_format",
            f"samples are {info.sample_format!r}; set the driver to one of {', '.join(_GSTREAMER)}",
        )
    data = np.frombuffer(bytes(data), np.uint8)
    width = np.dtype(kind).itemsize
    if len(data) % width:
        raise BadMessage("audio_format", f"{len(data)} bytes are no whole samples of {width}")
    return _usual(data.view(kind))


def sound_of_samples(message: Any) -> Sound:
    """Sound of mgonzs13.

    Args:
        message: ``AudioStamped``.

    Raises:
        BadMessage: ``audio_format``, for unknown samples.
    """
    info = message.audio.info
    if info.format not in _PORTAUDIO:
        known = ", ".join(str(number) for number in _PORTAUDIO)
        raise BadMessage(
            "audio_format", f"samples have PortAudio's format {info.format}; send one of {known}"
        )
    field, kind = _PORTAUDIO[info.format]
    samples = np.asarray(getattr(message.audio.audio_data, field)).astype(kind)
    return Sound(stamp_ns(message.header.stamp), _usual(samples), int(info.rate), int(info.channels))


def _usual(samples: NDArray[Any]) -> NDArray[Any]:
    """The same in the byte order of this machine; signed bytes become the upper half of 16 bits."""
    if samples.dtype == np.int8:
        return samples.astype(np.int16) * np.int16(256)
    return samples.astype(samples.dtype.newbyteorder("="), copy=False)
