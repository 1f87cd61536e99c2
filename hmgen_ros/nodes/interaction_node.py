"""Everyone in view in, forecasts of what the group will do out.

Subscribes: ``people``. Publishes: ``predicted_action`` (one a person and tick), ``predicted_interaction``,
``next_speaker``.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from rclpy.parameter import Parameter

from hmgen_ros.generators.group_forecaster import GroupForecaster
from hmgen_ros.msg import NextSpeaker, People, PredictedAction, PredictedInteraction
from hmgen_ros.nodes.base import HmgenNode, SetupError
from hmgen_ros.nodes.conversions import scene_from_people
from hmgen_ros.nodes.forecast_conversion import action_message, interaction_message, speaker_message
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import PREDICTIONS
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import ActionForecast, ActionOutlook, Scene, SpeakerOutlook

_TEXTS = {"unknown_action_bits": "people come with action bits that stand for no action; they are ignored"}


class InteractionNode(HmgenNode):
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
        self.times = StageTimes()
        self._forecaster: GroupForecaster | None = None

    def setup(self) -> None:
        """Load and warm the predictor."""
        try:
            self._forecaster = GroupForecaster.load(
                self.param("model"),
                device=self.param("device"),
                horizon_s=self.param("horizon_s"),
                samples=self.param("samples"),
                seed=self.param("seed"),
            )
            self._forecaster.warm_up()
        except (ValueError, RuntimeError, OSError) as error:
            raise SetupError(f"the action predictor cannot start: {error}") from error

    def teardown(self) -> None:
        """Drop the predictor."""
        self._forecaster = None

    def start(self) -> None:
        """Subscribe to the people."""
        super().start()
        if not self.local:
            self.subscribe(People, "people", PREDICTIONS, self._on_people)

    def _on_people(self, message: People) -> None:
        scene, bad = scene_from_people(message)
        for error in bad:
            self.warn(error.cause, f"a person's face was ignored: {error}")
        self.predict(scene)

    def predict(self, scene: Scene) -> None:
        """Forecast from one more tick and publish."""
        if self._forecaster is None:
            return
        with self.times.stage("interaction"):
            result = self._forecaster.observe(scene)
        self.warn_of_new(self._forecaster.counts, _TEXTS)
        with self.times.stage("publish_interaction"):
            for action in result.actions:
                self.actions.send((action, scene.frame_id))
            self.interaction.send((result.forecast, scene.frame_id))
            self.speaker.send((result.speaker, scene.frame_id))
        self.observe_latency(scene.stamp_ns)

    def details(self) -> dict[str, object]:
        """Which model runs where, and its time."""
        named = {f"stage/{name}_ms": f"{ms:.2f}" for name, ms in self.times.mean_ms().items()}
        return {"model": self.param("model"), "device": self.param("device"), **named}


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    # The small networks of one tick gain nothing from more threads, and other nodes need the cores.
    torch.set_num_threads(1)
    sys.exit(run_node(InteractionNode, args))


if __name__ == "__main__":
    main()
