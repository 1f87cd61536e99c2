"""The sound of a bag: our ``AudioFrame`` and the two packages that share the name ``audio_common_msgs``.

=================================  ======================================================================
``hmgen_ros/AudioFrame``           stamped, says its own form
``audio_common_msgs/AudioStamped`` (mgonzs13) stamped, says its own form
``.../AudioDataStamped``           (ros-drivers) stamped bytes; their form is on a topic of ``AudioInfo``
``.../AudioData``                  (ros-drivers) the same without a stamp: it ends when it was received
=================================  ======================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hmgen_ros.audio_common import Sound, samples_of_bytes, sound_of_bytes, sound_of_samples
from hmgen_ros.bad_message import BadMessage
from hmgen_ros.message_reading import audio_samples, stamp_ns

AUDIO_TYPES = (
    "hmgen_ros/msg/AudioFrame",
    "audio_common_msgs/msg/AudioStamped",
    "audio_common_msgs/msg/AudioDataStamped",
    "audio_common_msgs/msg/AudioData",
)
#: What tells the form of sound of the last two.
INFO_TYPE = "audio_common_msgs/msg/AudioInfo"


@dataclass(frozen=True, slots=True)
class SoundForm:
    """What bytes of sound are; the fields of ros-drivers' ``AudioInfo`` that tell it.

    Attributes:
        sample_rate: samples a second of one channel.
        channels: interleaved.
        sample_format: GStreamer's name of the sample format.
        coding_format: ``wave`` where they are not compressed.
    """

    sample_rate: int
    channels: int = 1
    sample_format: str = "S16LE"
    coding_format: str = "wave"


def sound_of(message: Any, message_type: str, time_ns: int, form: Any | None) -> Sound:
    """A piece of sound from a message.

    Args:
        message: of one of :data:`AUDIO_TYPES`.
        message_type: which.
        time_ns: when it was received.
        form: of the bytes where the message itself does not tell: an ``AudioInfo`` or a SoundForm.

    Raises:
        BadMessage: ``audio_format``, its form is not known.
    """
    if message_type == AUDIO_TYPES[0]:
        stamp = stamp_ns(message.header.stamp)
        return Sound(stamp, audio_samples(message), int(message.sample_rate), int(message.channels))
    if message_type == AUDIO_TYPES[1]:
        return sound_of_samples(message)
    if form is None:
        raise BadMessage(
            "audio_format",
            "the sound does not tell its rate and there is no AudioInfo; say --audio-rate (and "
            "--audio-channels)",
        )
    if message_type == AUDIO_TYPES[2]:
        return sound_of_bytes(message, form)
    sound = Sound(time_ns, samples_of_bytes(message.data, form), int(form.sample_rate), int(form.channels))
    return sound._replace(stamp_ns=time_ns - length_ns(sound))


def length_ns(sound: Sound) -> int:
    """How long a piece of sound is."""
    return len(sound.samples) // max(sound.channels, 1) * 1_000_000_000 // max(sound.rate, 1)
