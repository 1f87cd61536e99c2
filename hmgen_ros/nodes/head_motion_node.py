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
from hmgen_ros.nodes.forecast_conversion import motion_message
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.predictor_node import PredictorNode
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import PREDICTIONS
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.types import HeadMotion, Scene


class HeadMotionNode(PredictorNode[HeadForecaster]):
    """Wraps :class:`hmgen_ros.generators.head_forecaster.HeadForecaster`."""

    def __init__(self, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("head_motion_node", local, overrides)
        self.motion: Output[tuple[HeadMotion, str]] = self.add_output(
            Output(self, HeadMotionMessage, "head_motion", PREDICTIONS, lambda v: motion_message(*v))
        )

    def load(self) -> HeadForecaster:
        """The forecaster of the parameters."""
        return HeadForecaster.load(
            self.param("model"),
            solve_head_pose,
            device=self.param("device"),
            horizon_s=self.param("horizon_s"),
            seed=self.param("seed"),
        )

    def forecast(self, forecaster: HeadForecaster, scene: Scene) -> None:
        """Forecast every head and publish it."""
        with self.times.stage("head_motion"):
            motions = forecaster.observe(scene)
        with self.times.stage("publish_head_motion"):
            for motion in motions:
                self.motion.send((motion, scene.frame_id))


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    # The small networks of one tick gain nothing from more threads, and other nodes need the cores.
    torch.set_num_threads(1)
    sys.exit(run_node(HeadMotionNode, args))


if __name__ == "__main__":
    main()
