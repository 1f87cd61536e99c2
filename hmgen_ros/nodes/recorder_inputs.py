"""Subscriptions of a node that wants every message, not the newest.

They ask for reliable delivery, deep enough for a busy second, unless somebody publishes the topic with
best effort only: such a publisher never matches a reliable subscription.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from hmgen_ros.nodes.base import HmgenNode

#: Seconds between two looks at who publishes.
_LOOK_PERIOD_S = 0.1


@dataclass(slots=True)
class _Input:
    message_type: type[Any]
    topic: str
    depth: int
    work: Callable[[Any], None]
    raw: bool
    subscription: Subscription[Any] | None = None


class RecorderInputs:
    """Subscribes on :meth:`add`, and anew where a publisher turns up that only offers best effort.

    BEST_AVAILABLE does not serve: it is settled once, by the publishers of that moment, and a recorder
    that came first would never hear a best-effort camera.
    """

    def __init__(self, node: HmgenNode) -> None:
        """Watch the publishers for ``node``, whose ``receive`` gets the messages."""
        self._node = node
        self._inputs: list[_Input] = []
        # Steady time: publishers come and go when simulated time stands still, too.
        self._timer = node.create_timer(
            _LOOK_PERIOD_S,
            partial(node.receive, lambda _: self._look(), None),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def add(
        self, message_type: type[Any], topic: str, depth: int, work: Callable[[Any], None], raw: bool = False
    ) -> None:
        """Call ``work`` with every message (``raw``: its bytes).

        Args:
            message_type: the ROS message class.
            topic: relative topic name.
            depth: messages that may wait for this process.
            work: called under the node's lock while it is active.
            raw: leave the message serialised.
        """
        self._inputs.append(_Input(message_type, topic, depth, work, raw))
        self._settle(self._inputs[-1])

    def _look(self) -> None:
        for one in self._inputs:
            self._settle(one)

    def _settle(self, one: _Input) -> None:
        """Subscribe, or subscribe again with less than before."""
        offers = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(one.topic))
        weak = any(offer.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for offer in offers)
        wanted = ReliabilityPolicy.BEST_EFFORT if weak else ReliabilityPolicy.RELIABLE
        if one.subscription is not None:
            # Never back to reliable: subscribing anew loses what comes meanwhile.
            if wanted in (one.subscription.qos_profile.reliability, ReliabilityPolicy.RELIABLE):
                return
            self._node.destroy_subscription(one.subscription)
        # Without the default callbacks, which warn of a mismatch that is mended within a moment.
        events = SubscriptionEventCallbacks(message_lost=self._on_lost, use_default_callbacks=False)
        one.subscription = self._node.create_subscription(
            one.message_type,
            one.topic,
            partial(self._node.receive, one.work),
            QoSProfile(depth=one.depth, reliability=wanted),
            event_callbacks=events,
            raw=one.raw,
        )

    def _on_lost(self, event: Any) -> None:
        text = "messages were lost on their way to the recorder: this machine is too slow"
        self._node.warn("recording_lost", text, event.total_count_change)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_timer(self._timer)
        for one in self._inputs:
            if one.subscription is not None:
                self._node.destroy_subscription(one.subscription)
        self._inputs.clear()
