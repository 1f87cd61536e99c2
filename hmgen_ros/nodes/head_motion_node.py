"""Everyone in view in, a trajectory of every head out.

Subscribes: ``people``. Publishes: ``head_motion`` (one a person and tick).
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from rclpy.parameter import Parameter

from hmgen_ros.generators.head_forecaster import HeadForecaster
from hmgen_ros.msg import HeadMotion as HeadMotionMessage
from hmgen_ros.msg import People
from hmgen_ros.nodes.base import HmgenNode, SetupError
from hmgen_ros.nodes.conversions import scene_from_people
from hmgen_ros.nodes.forecast_conversion import motion_message
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import PREDICTIONS
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import HeadMotion, Scene


class HeadMotionNode(HmgenNode):
    """Wraps :class:`hmgen_ros.generators.head_forecaster.HeadForecaster`."""

    def __init__(self, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("head_motion_node", local, overrides)
        self.motion: Output[tuple[HeadMotion, str]] = self.add_output(
            Output(self, HeadMotionMessage, "head_motion", PREDICTIONS, lambda v: motion_message(*v))
        )
        self.times = StageTimes()
        self._forecaster: HeadForecaster | None = None

    def setup(self) -> None:
        """Load and warm the predictor."""
        try:
            self._forecaster = HeadForecaster.load(
                self.param("model"),
                solve_head_pose,
                device=self.param("device"),
                horizon_s=self.param("horizon_s"),
                seed=self.param("seed"),
            )
            self._forecaster.warm_up()
        except (ValueError, RuntimeError, OSError) as error:
            raise SetupError(f"the head-motion predictor cannot start: {error}") from error

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
        """Forecast every head from one more tick and publish."""
        if self._forecaster is None:
            return
        with self.times.stage("head_motion"):
            motions = self._forecaster.observe(scene)
        with self.times.stage("publish_head_motion"):
            for motion in motions:
                self.motion.send((motion, scene.frame_id))
        self.observe_latency(scene.stamp_ns)

    def details(self) -> dict[str, object]:
        """Which model runs where, and its time."""
        named = {f"stage/{name}_ms": f"{ms:.2f}" for name, ms in self.times.mean_ms().items()}
        return {"model": self.param("model"), "device": self.param("device"), **named}


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    # The small networks of one tick gain nothing from more threads, and other nodes need the cores.
    torch.set_num_threads(1)
    sys.exit(run_node(HeadMotionNode, args))


if __name__ == "__main__":
    main()
