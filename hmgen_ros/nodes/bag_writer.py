"""Writes serialised messages into a bag that ``ros2 bag`` plays.

The rosbags library writes the file; the definitions of our own messages come from the ``.msg`` files
that travel with the package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer

from hmgen_ros.message_definitions import typestore

# 9 is the metadata version of ROS 2 Jazzy and Kilted.
_METADATA_VERSION: Literal[9] = 9


def type_name(message_type: type[Any]) -> str:
    """ROS name of a message class, e.g. ``sensor_msgs/msg/Image``."""
    return f"{message_type.__module__.split('.')[0]}/msg/{message_type.__name__}"


def recorded_offer(profile: QoSProfile) -> Qos:
    """What a publisher offers, in the form of a bag."""
    return Qos(
        QosHistory[profile.history.name],
        profile.depth,
        QosReliability[profile.reliability.name],
        QosDurability[profile.durability.name],
        _time(profile.deadline),
        _time(profile.lifespan),
        QosLiveliness[profile.liveliness.name],
        _time(profile.liveliness_lease_duration),
        profile.avoid_ros_namespace_conventions,
    )


def _time(duration: Duration) -> QosTime:
    return QosTime(*divmod(duration.nanoseconds, 1_000_000_000))


class BagWriter:
    """One bag under construction.

    Attributes:
        written: messages written so far, by topic.
    """

    def __init__(
        self,
        path: Path,
        storage: StoragePlugin = StoragePlugin.MCAP,
        offers: Callable[[str], Sequence[QoSProfile]] = lambda _: (),
    ) -> None:
        """Create the bag folder ``path``, which must not exist.

        Args:
            path: of the folder.
            storage: mcap or sqlite3.
            offers: what the publishers of a topic offer, asked at its first message: ``ros2 bag play`` offers
                the same, and its default (reliable, volatile) where there is nothing.

        Raises:
            rosbags.rosbag2.WriterError: it exists already.
        """
        self._store = typestore()
        self._offers = offers
        self._writer = Writer(path, version=_METADATA_VERSION, storage_plugin=storage)
        self._writer.open()
        self._connections: dict[str, Any] = {}
        self.written: dict[str, int] = {}

    def write(self, topic: str, message_type: type[Any], message: Any, time_ns: int) -> None:
        """Append one message, serialised bytes or a message object, at ``time_ns``."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic,
                type_name(message_type),
                typestore=self._store,
                offered_qos_profiles=[recorded_offer(profile) for profile in self._offers(topic)],
            )
        data = message if isinstance(message, bytes) else serialize_message(message)
        self._writer.write(self._connections[topic], time_ns, data)
        self.written[topic] = self.written.get(topic, 0) + 1

    def close(self) -> None:
        """Write the index and the metadata."""
        self._writer.close()
