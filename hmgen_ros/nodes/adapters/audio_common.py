"""Subscribes to sound of whichever package called ``audio_common_msgs`` is installed.

Which one that is shows in what it holds; see :mod:`hmgen_ros.audio_common`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from hmgen_ros.audio_common import Sound, sound_of_bytes, sound_of_samples
from hmgen_ros.bad_message import BadMessage
from hmgen_ros.nodes.adapters import package_messages
from hmgen_ros.nodes.base import HmgenNode, SetupError
from hmgen_ros.nodes.qos import SOUND


def subscribe_audio_common(
    node: HmgenNode, topic: str, work: Callable[[Sound], None], wanted_for: str = "audio_type"
) -> None:
    """Call ``work`` with the sound of a topic until the node is deactivated.

    Args:
        node: that subscribes; what cannot be used is counted and warned about there.
        topic: of the sound; ``<topic>_info`` is that of the format, where it has one of its own.
        work: takes the sound.
        wanted_for: the setting that asks for it.

    Raises:
        SetupError: the package is missing, or is neither of the two.
    """
    package = package_messages("audio_common_msgs", wanted_for)
    if hasattr(package, "AudioStamped"):
        node.subscribe(package.AudioStamped, topic, SOUND, lambda message: _use(node, work, message))
        return
    if not hasattr(package, "AudioDataStamped"):
        raise SetupError("audio_common_msgs has neither AudioStamped nor AudioDataStamped: update it")
    formats: list[Any] = []

    def learn(message: Any) -> None:
        formats[:] = [message]

    node.subscribe(package.AudioInfo, f"{topic}_info", _INFO, learn)
    node.subscribe(package.AudioDataStamped, topic, SOUND, lambda message: _use(node, work, message, formats))


#: Said once by most drivers; a driver that keeps it for late joiners offers more than is asked for.
_INFO = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)


def _use(
    node: HmgenNode, work: Callable[[Sound], None], message: Any, formats: list[Any] | None = None
) -> None:
    try:
        if formats is None:
            sound = sound_of_samples(message)
        elif formats:
            sound = sound_of_bytes(message, formats[0])
        else:
            raise BadMessage("audio_format", "no AudioInfo has told the format of the sound yet")
    except BadMessage as error:
        node.warn(error.cause, f"dropped sound: {error}")
        return
    work(sound)
