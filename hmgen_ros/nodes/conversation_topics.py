"""What behaviours of a tree take from topics: the people, and the forecasts of what they will do.

A plain script gives this its own node and spins that as it likes; callbacks only store, so that the newest of
everything is there when the tree is ticked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from hmgen_ros.behaviours.signals import Snapshot
from hmgen_ros.msg import NextSpeaker, People, PredictedInteraction
from hmgen_ros.nodes.conversions import scene_from_people
from hmgen_ros.nodes.forecast_conversion import forecast_from_message, speaker_from_message
from hmgen_ros.nodes.image_conversion import BadMessage
from hmgen_ros.nodes.qos import PREDICTIONS
from hmgen_ros.types import ActionForecast, Counts, Scene, SpeakerOutlook


class ConversationTopics:
    """Subscribes to ``people``, ``predicted_interaction`` and ``next_speaker``.

    An instance is a source of :class:`hmgen_ros.behaviours.ReadConversation`.

    Attributes:
        counts: messages and parts of them that could not be used, by cause.
    """

    def __init__(self, node: Node, on_people: Callable[[], None] = lambda: None) -> None:
        """Subscribe.

        Args:
            node: whose namespace, remappings and clock hold; whoever owns it spins it.
            on_people: called after each message on ``people``, 25 times a second: the place to tick a tree
                from.
        """
        self.counts = Counts()
        self._node, self._on_people = node, on_people
        self._scene: Scene | None = None
        self._forecast: ActionForecast | None = None
        self._speaker: SpeakerOutlook | None = None
        node.create_subscription(People, "people", self._take_people, PREDICTIONS)
        node.create_subscription(
            PredictedInteraction, "predicted_interaction", self._take_forecast, PREDICTIONS
        )
        node.create_subscription(NextSpeaker, "next_speaker", self._take_speaker, PREDICTIONS)

    def __call__(self) -> Snapshot:
        """What is known now."""
        now_ns = self._node.get_clock().now().nanoseconds
        return Snapshot(now_ns, self._scene, self._forecast, self._speaker)

    def _take_people(self, message: Any) -> None:
        self._scene, bad = scene_from_people(message)
        for error in bad:
            self.counts.add(error.cause)
        self._on_people()

    def _take_forecast(self, message: Any) -> None:
        try:
            self._forecast = forecast_from_message(message)
        except BadMessage as error:
            self.counts.add(error.cause)

    def _take_speaker(self, message: Any) -> None:
        self._speaker = speaker_from_message(message)
