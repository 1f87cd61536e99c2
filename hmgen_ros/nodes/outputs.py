"""One outgoing topic that also serves listeners in the same process without serialising.

Python nodes cannot be composed in a component container, so when several nodes share a process they
are wired by :attr:`Output.listeners`: the value itself is handed over, and ROS subscribers in other
processes get the message as always.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile

Value = TypeVar("Value")


class Output(Generic[Value]):
    """Publishes values of the house as messages on one topic.

    Attributes:
        topic: the fully resolved topic name.
        listeners: called with each value, in this process, after it was published.
        taps: called with (topic, message) for each message, e.g. by a recorder in this process.
        sent: messages published so far.
    """

    def __init__(
        self,
        node: LifecycleNode,
        message_type: type[Any],
        topic: str,
        qos: QoSProfile,
        convert: Callable[[Value], Any],
        lazy: bool = False,
    ) -> None:
        """Create the publisher.

        Args:
            node: the node that publishes.
            message_type: the ROS message class.
            topic: relative topic name.
            qos: quality of service.
            convert: makes the message from a value.
            lazy: convert and publish only while somebody subscribes or taps; for costly messages.
        """
        self._publisher = node.create_lifecycle_publisher(message_type, topic, qos)
        self._convert = convert
        self._lazy = lazy
        self.topic: str = self._publisher.topic_name
        self.message_type = message_type
        self.listeners: list[Callable[[Value], None]] = []
        self.taps: list[Callable[[str, Any], None]] = []
        self.sent = 0

    def wanted(self) -> bool:
        """Whether anybody receives what is published here, in this process or in another."""
        return bool(self.taps) or self._publisher.get_subscription_count() > 0

    def send(self, value: Value) -> None:
        """Publish ``value``, then hand it to the listeners."""
        if not self._lazy or self.wanted():
            message = self._convert(value)
            self._publisher.publish(message)
            self.sent += 1
            for tap in self.taps:
                tap(self.topic, message)
        for listener in self.listeners:
            listener(value)
