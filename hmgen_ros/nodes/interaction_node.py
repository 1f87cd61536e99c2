"""Everyone in view in, forecasts of what the group will do out.

Subscribes: ``people``. Publishes: ``predicted_action`` (one a person and tick), ``predicted_interaction``,
``next_speaker``. Serves: ``~/predict_interaction``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from rclpy.parameter import Parameter

from hmgen_ros.generators.group_forecaster import GroupForecaster
from hmgen_ros.msg import NextSpeaker, PredictedAction, PredictedInteraction
from hmgen_ros.nodes.forecast_conversion import action_message, interaction_message, speaker_message
from hmgen_ros.nodes.interaction_questions import InteractionQuestions
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.predictor_node import PredictorNode
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import PREDICTIONS
from hmgen_ros.types import ActionForecast, ActionOutlook, Scene, SpeakerOutlook

_TEXTS = {"unknown_action_bits": "people come with action bits that stand for no action; they are ignored"}


class InteractionNode(PredictorNode[GroupForecaster]):
    """Wraps :class:`hmgen_ros.generators.group_forecaster.GroupForecaster`."""

    def __init__(self, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("interaction_node", local, overrides)
        self.actions: Output[tuple[ActionOutlook, str]] = self.add_output(
            Output(self, PredictedAction, "predicted_action", PREDICTIONS, lambda v: action_message(*v))
        )
        self.interaction: Output[tuple[ActionForecast, str]] = self.add_output(
            Output(
                self,
                PredictedInteraction,
                "predicted_interaction",
                PREDICTIONS,
                lambda v: interaction_message(*v),
            )
        )
        self.speaker: Output[tuple[SpeakerOutlook, str]] = self.add_output(
            Output(self, NextSpeaker, "next_speaker", PREDICTIONS, lambda v: speaker_message(*v))
        )
        self._questions = InteractionQuestions(self, lambda: self._forecaster)

    def load(self) -> GroupForecaster:
        """The forecaster of the parameters."""
        return GroupForecaster.load(
            self.param("model"),
            device=self.param("device"),
            horizon_s=self.param("horizon_s"),
            samples=self.param("samples"),
            seed=self.param("seed"),
        )

    def adjustment(self, values: Mapping[str, Any]) -> Callable[[], None]:
        """Draw as many futures as far; see HmgenNode."""
        forecaster = self._forecaster
        if forecaster is None:
            return super().adjustment(values)
        return lambda: forecaster.adjust(values["horizon_s"], values["samples"])

    def forecast(self, forecaster: GroupForecaster, scene: Scene) -> None:
        """Forecast what the group will do and publish it."""
        with self.times.stage("interaction"):
            result = forecaster.observe(scene)
        self.warn_of_new(forecaster.counts, _TEXTS)
        with self.times.stage("publish_interaction"):
            for action in result.actions:
                self.actions.send((action, scene.frame_id))
            self.interaction.send((result.forecast, scene.frame_id))
            self.speaker.send((result.speaker, scene.frame_id))


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    # The small networks of one tick gain nothing from more threads, and other nodes need the cores.
    torch.set_num_threads(1)
    sys.exit(run_node(InteractionNode, args))


if __name__ == "__main__":
    main()
