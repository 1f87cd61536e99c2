"""The sound of a bag: our ``AudioFrame`` and the two packages that share the name ``audio_common_msgs``.

=================================  ======================================================================
``hmgen_ros/AudioFrame``           stamped, says its own form
``audio_common_msgs/AudioStamped`` (mgonzs13) stamped, with samples in one of six arrays and an ``info``
``.../AudioDataStamped``           (ros-drivers) stamped bytes; their form is on a topic of ``AudioInfo``
``.../AudioData``                  (ros-drivers) the same without a stamp: it ends when it was received
=================================  ======================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.message_reading import audio_samples, stamp_ns
from hmgen_ros.streams.audio import BadAudio

AUDIO_TYPES = (
    "hmgen_ros/msg/AudioFrame",
    "audio_common_msgs/msg/AudioStamped",
    "audio_common_msgs/msg/AudioDataStamped",
    "audio_common_msgs/msg/AudioData",
)
#: What tells the form of sound of the last two.
INFO_TYPE = "audio_common_msgs/msg/AudioInfo"
#: Their sample formats, as GStreamer names them.
_FORMATS = {"S16LE": "<i2", "S16BE": ">i2", "S32LE": "<i4", "F32LE": "<f4", "U8": "u1"}
#: Arrays of AudioStamped, with what full scale is in them where that is not what the type says.
_ARRAYS = {
    "float32_data": np.float32,
    "int16_data": np.int16,
    "int32_data": np.int32,
    "uint8_data": np.uint8,
}


@dataclass(frozen=True, slots=True)
class SoundForm:
    """What bytes of sound are.

    Attributes:
        rate: samples a second of one channel.
        channels: interleaved.
        format: GStreamer's name of the sample format.
    """

    rate: int
    channels: int = 1
    format: str = "S16LE"


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of sound of any form.

    Attributes:
        stamp_ns: time of the first sample.
        samples: ``[n * channels]`` interleaved, as :func:`hmgen_ros.streams.audio.to_mono` takes them.
        rate: samples a second of one channel.
        channels: how many.
    """

    stamp_ns: int
    samples: NDArray[Any]
    rate: int
    channels: int


def form_of(info: Any) -> SoundForm:
    """What an ``AudioInfo`` says.

    Raises:
        BadAudio: ``audio_format``, for compressed sound.
    """
    coding = str(info.coding_format).lower()
    if coding not in ("", "wave", "raw", "pcm"):
        raise BadAudio(
            "audio_format", f"the sound is coded as {coding}; record it with the coding format wave"
        )
    return SoundForm(int(info.sample_rate), int(info.channels), str(info.sample_format) or "S16LE")


def sound_of(message: Any, message_type: str, time_ns: int, form: SoundForm | None) -> Sound:
    """A piece of sound from a message.

    Args:
        message: of one of :data:`AUDIO_TYPES`.
        message_type: which.
        time_ns: when it was received.
        form: of the bytes where the message itself does not tell.

    Raises:
        BadAudio: its form is not known.
    """
    if message_type == AUDIO_TYPES[0]:
        stamp = stamp_ns(message.header.stamp)
        return Sound(stamp, audio_samples(message), int(message.sample_rate), int(message.channels))
    if message_type == AUDIO_TYPES[1]:
        info, stamp = message.audio.info, stamp_ns(message.header.stamp)
        return Sound(stamp, _filled_array(message.audio.audio_data), int(info.rate), int(info.channels))
    if form is None:
        raise BadAudio(
            "audio_format",
            "the sound does not tell its rate and there is no AudioInfo; say --audio-rate (and "
            "--audio-channels)",
        )
    stamped = message_type == AUDIO_TYPES[2]
    samples = _samples(message.audio.data if stamped else message.data, form)
    if stamped:
        return Sound(stamp_ns(message.header.stamp), samples, form.rate, form.channels)
    length_ns = len(samples) // max(form.channels, 1) * 1_000_000_000 // max(form.rate, 1)
    return Sound(time_ns - length_ns, samples, form.rate, form.channels)


def _samples(data: Any, form: SoundForm) -> NDArray[Any]:
    kind = _FORMATS.get(form.format)
    if kind is None:
        raise BadAudio(
            "audio_format", f"sample format {form.format!r} is none of: {', '.join(sorted(_FORMATS))}"
        )
    raw = np.asarray(data, np.uint8).tobytes()
    whole = len(raw) - len(raw) % np.dtype(kind).itemsize
    return np.frombuffer(raw[:whole], kind).astype(np.dtype(kind).newbyteorder("="))


def _filled_array(data: Any) -> NDArray[Any]:
    """The samples of the one array that is not empty."""
    for name, kind in _ARRAYS.items():
        if len(getattr(data, name, ())):
            return np.asarray(getattr(data, name), kind)
    if len(getattr(data, "int24_data", ())):
        return np.asarray(np.asarray(data.int24_data, np.int32) << 8, np.int32)
    if len(getattr(data, "int8_data", ())):
        return np.asarray(np.asarray(data.int8_data, np.int16) << 8, np.int16)
    return np.zeros(0, np.int16)
