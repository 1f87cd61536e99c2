"""People in the form of ROS4HRI (REP-155), out or in, and frames of their faces.

``direction: out`` subscribes to ``people`` and ``camera_info`` and publishes ``/humans/...`` where hri_msgs
can be had, and frames ``face_<id>`` on ``/tf`` where tf2_msgs can and the camera is calibrated.
``direction: in`` subscribes to ``/humans/...`` of other perception and publishes ``people`` in place of
perception_node.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.parameter import Parameter
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo

from hmgen_ros.calibration import camera_matrix
from hmgen_ros.msg import People
from hmgen_ros.nodes.adapters import importable, package_messages
from hmgen_ros.nodes.adapters.face_frames import FaceFrames
from hmgen_ros.nodes.adapters.hri_in import HriSubscriber
from hmgen_ros.nodes.adapters.hri_out import HriPublisher
from hmgen_ros.nodes.adapters.hri_people import HriPeople
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.conversions import people_message, scene_from_people
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import IMAGES, PREDICTIONS
from hmgen_ros.streams.clock import TickClock
from hmgen_ros.types import TICK_HZ, Scene


class HriNode(HmgenNode):
    """Wraps the adapters for hri_msgs and tf2_msgs."""

    def __init__(self, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("hri_node", overrides=overrides)
        self._out: HriPublisher | None = None
        self._frames: FaceFrames | None = None
        self._in: HriSubscriber | None = None
        self._camera: NDArray[np.float64] | None = None
        self._image_size: tuple[int, int] | None = None
        self._timer: Timer | None = None
        self._ticks, self._people = TickClock(), HriPeople(0)
        self.people: Output[Scene] | None = None
        if self.param("direction") == "in":
            self.people = self.add_output(Output(self, People, "people", PREDICTIONS, people_message))

    def adjustment(self, values: Mapping[str, Any]) -> Callable[[], None]:
        """Measure by other lengths, angles and ages; see HmgenNode."""

        def adjust() -> None:
            self._people.max_age_ns = round(1e9 * values["max_age_s"])
            if self._out is not None:
                self._out.look_within(math.radians(values["looks_within_deg"]))
            if self._frames is not None:
                self._frames.eye_corners_m = values["eye_corners_m"]

        return adjust

    def start(self) -> None:
        """Subscribe and advertise what the installed packages allow."""
        super().start()
        self._camera = self._image_size = None
        self.subscribe(CameraInfo, "camera_info", IMAGES, self._on_camera_info)
        if self.people is not None:
            self._start_in()
        else:
            self._start_out()

    def _start_out(self) -> None:
        if not importable("hri_msgs") and not importable("tf2_msgs"):
            package_messages("hri_msgs", "hri_node")
        if importable("hri_msgs"):
            within = math.radians(self.param("looks_within_deg"))
            messages = package_messages("hri_msgs", "hri_node")
            self._out = HriPublisher(self, messages, self.param("prefix"), within)
        if self.param("face_frames"):
            if importable("tf2_msgs"):
                self._frames = FaceFrames(self, self.param("eye_corners_m"))
            else:
                self.warn("no_tf2_msgs", "no frames of faces: tf2_msgs cannot be imported")
        self.subscribe(People, "people", PREDICTIONS, self._on_people)

    def _start_in(self) -> None:
        messages = package_messages("hri_msgs", "direction: in")
        self._people = HriPeople(round(1e9 * self.param("max_age_s")))
        self._ticks = TickClock()
        self._in = HriSubscriber(self, messages, self.param("prefix"), self._people)
        self._timer = self.create_timer(1.0 / TICK_HZ, lambda: self.receive(self._tick, None))

    def stop(self) -> None:
        """Unsubscribe, and withdraw what was advertised."""
        super().stop()
        if self._timer is not None:
            self.destroy_timer(self._timer)
        for part in (self._out, self._frames, self._in):
            if part is not None:
                part.close()
        self._timer = self._out = self._frames = self._in = None

    def details(self) -> dict[str, object]:
        """What is told, and whether the camera is calibrated."""
        return {
            "direction": self.param("direction"),
            "hri_msgs": self._out is not None or self._in is not None,
            "face_frames": self._frames is not None,
            "calibrated": self._camera is not None,
        }

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera = self._people.camera = camera_matrix(message, self._image_size)
        if self._camera is None:
            text = "camera_info tells no calibration of these images: faces have no frames"
            self.warn("uncalibrated", text)

    def _on_people(self, message: Any) -> None:
        scene, bad = scene_from_people(message)
        self._image_size = scene.image_size if all(scene.image_size) else None
        for error in bad:
            self.warn(error.cause, f"ignored a part of people: {error}")
        if self._out is not None:
            self._out.publish(scene)
        if self._frames is not None and self._camera is not None:
            self._frames.publish(scene, self._camera)
        self.observe_latency(scene.stamp_ns)

    def _tick(self, _: None) -> None:
        now_ns = self.now_ns()
        tick = self._ticks.accept(now_ns, now_ns) if now_ns > 0 else None
        if tick is None or self._in is None or self.people is None:
            return
        scene = self._people.scene(now_ns, tick.index, tick.missed, tick.reset)
        self.people.send(replace(scene, events=self._in.take_renamed()))


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    sys.exit(run_node(HriNode, args))


if __name__ == "__main__":
    main()
