"""Plays a bag as ``ros2 bag play --clock 40 --topics ...`` does, whose program comes with no Python package.

As rosbag2's player: messages go out as they were recorded, in the order of their times of receipt; each topic
with the quality of service that all its recorded publishers offered, or the default where they differ or
offered none; and the time of the player on ``/clock``, with the quality of service of clocks.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rosbags.highlevel import AnyReader
from rosbags.interfaces import ConnectionExtRosbag2, Qos, QosTime
from rosgraph_msgs.msg import Clock

from hmgen_ros.message_definitions import typestore
from hmgen_ros.nodes.image_conversion import stamp_message

#: What ``--clock`` publishes where no rate is given, Hz.
CLOCK_HZ = 40.0
#: Messages that wait at a publisher of rosbag2's default.
_DEPTH = 10
_NS = 1_000_000_000


def playback_qos(offered: Collection[Qos]) -> QoSProfile:
    """What the player offers of a topic whose publishers offered this."""
    compatibility = {
        (o.reliability, o.durability, o.deadline, o.liveliness, o.liveliness_lease_duration) for o in offered
    }
    if len(compatibility) != 1:
        return QoSProfile(depth=_DEPTH)
    ((reliability, durability, deadline, liveliness, lease),) = compatibility
    return QoSProfile(
        depth=_DEPTH,
        reliability=ReliabilityPolicy[reliability.name],
        durability=DurabilityPolicy[durability.name],
        deadline=_duration(deadline),
        liveliness=LivelinessPolicy[liveliness.name],
        liveliness_lease_duration=_duration(lease),
    )


def _duration(recorded: QosTime) -> Duration:
    return Duration(nanoseconds=recorded.sec * _NS + recorded.nsec)


class BagPlayer:
    """One bag, from its beginning to its end.

    Attributes:
        publishers: by topic.
    """

    def __init__(self, node: Node, path: Path, topics: Collection[str], clock_hz: float = CLOCK_HZ) -> None:
        """Read the bag and announce its topics.

        Args:
            node: that publishes.
            path: of the bag.
            topics: which topics are played.
            clock_hz: ticks of ``/clock`` a second.
        """
        self._node = node
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._clock = node.create_publisher(Clock, "/clock", qos)
        self._clock_period_ns = round(_NS / clock_hz)
        self.publishers: dict[str, Publisher[Any]] = {}
        with AnyReader([path], default_typestore=typestore()) as reader:
            self._start_ns = reader.start_time
            chosen = [c for c in reader.connections if c.topic in topics]
            self._messages = [(c.topic, at, bytes(data)) for c, at, data in reader.messages(chosen)]
        for connection in chosen:
            package, _, name = connection.msgtype.split("/")
            assert isinstance(connection.ext, ConnectionExtRosbag2)
            self.publishers[connection.topic] = node.create_publisher(
                getattr(import_module(f"{package}.msg"), name),
                connection.topic,
                playback_qos(connection.ext.offered_qos_profiles),
            )

    def matched(self, subscribers: int) -> bool:
        """Whether so many subscribe to each topic, and somebody to the clock."""
        counts = [one.get_subscription_count() for one in self.publishers.values()]
        return min(counts) >= subscribers and self._clock.get_subscription_count() > 0

    def play(self) -> None:
        """Play it all in its own time."""
        began, next_tick = time.monotonic_ns(), self._start_ns
        for topic, at, data in self._messages:
            while next_tick <= at:
                self._sleep_until(began, next_tick)
                self._clock.publish(Clock(clock=stamp_message(next_tick)))
                next_tick += self._clock_period_ns
            self._sleep_until(began, at)
            self.publishers[topic].publish(data)

    def _sleep_until(self, began: int, at: int) -> None:
        time.sleep(max(0, at - self._start_ns - (time.monotonic_ns() - began)) / _NS)

    def repeat_last(self) -> None:
        """Publish the last message again, for who may have missed it."""
        topic, _, data = self._messages[-1]
        self.publishers[topic].publish(data)

    def close(self) -> None:
        """Publish nothing any more."""
        for publisher in (*self.publishers.values(), self._clock):
            self._node.destroy_publisher(publisher)
