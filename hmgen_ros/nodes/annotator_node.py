"""Draws what is perceived and predicted onto the images.

Subscribes: ``image_raw``, ``people``, ``predicted_action``, ``next_speaker``, ``head_motion``.
Publishes: ``annotated_image``, only while somebody subscribes. Drawing has its own thread, so that it
never delays a prediction of the same process.
"""

from __future__ import annotations

import queue
import sys
import threading
from typing import Any

from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from hmgen_ros.msg import HeadMotion as HeadMotionMessage
from hmgen_ros.msg import NextSpeaker, People, PredictedAction
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.conversions import scene_from_people
from hmgen_ros.nodes.forecast_conversion import (
    motion_from_message,
    outlook_from_message,
    speaker_from_message,
)
from hmgen_ros.nodes.image_conversion import BadMessage, frame_from_image, image_from_frame, stamp_ns
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import IMAGES, PREDICTIONS, SENSOR_OUT
from hmgen_ros.types import ActionOutlook, Frame, HeadMotion, Scene, SpeakerOutlook
from hmgen_ros.viewing.collector import TickCollector, TickView
from hmgen_ros.viewing.overlay import draw

Part = Frame | Scene | ActionOutlook | SpeakerOutlook | HeadMotion


class AnnotatorNode(HmgenNode):
    """Collects the parts of each tick and draws them.

    Attributes:
        newest: the tick last collected, for a live view in this process.
        lossless: wait rather than drop pictures when drawing is slower than the source.
    """

    def __init__(self, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("annotator_node", local, overrides)
        self.annotated: Output[Frame] = self.add_output(
            Output(self, Image, "annotated_image", SENSOR_OUT, image_from_frame, lazy=True)
        )
        self.newest: TickView | None = None
        self.lossless = False
        self._collector = TickCollector()
        self._to_draw: queue.Queue[TickView | None] = queue.Queue(maxsize=4)
        self._drawer: threading.Thread | None = None

    def start(self) -> None:
        """Subscribe and start drawing."""
        super().start()
        buffer = self.param("buffer_frames")
        self._collector = TickCollector(patience=buffer // 2, capacity=buffer)
        self._drawer = threading.Thread(target=self._draw_all, name="annotator", daemon=True)
        self._drawer.start()
        if self.local:
            return
        self.subscribe(Image, "image_raw", IMAGES, self._on_image)
        self.subscribe(People, "people", PREDICTIONS, self._on_people)
        self.subscribe(
            PredictedAction,
            "predicted_action",
            PREDICTIONS,
            lambda m: self.take(stamp_ns(m.header.stamp), outlook_from_message(m)),
        )
        self.subscribe(
            NextSpeaker,
            "next_speaker",
            PREDICTIONS,
            lambda m: self.take(stamp_ns(m.header.stamp), speaker_from_message(m)),
        )
        self.subscribe(
            HeadMotionMessage,
            "head_motion",
            PREDICTIONS,
            lambda m: self.take(stamp_ns(m.header.stamp), motion_from_message(m)),
        )

    def stop(self) -> None:
        """Finish the pictures in hand."""
        super().stop()
        drawer, self._drawer = self._drawer, None
        if drawer is not None:
            self._to_draw.put(None)
            drawer.join(timeout=5.0)

    def _on_image(self, message: Image) -> None:
        try:
            frame = frame_from_image(message)
        except BadMessage as error:
            self.warn(error.cause, f"dropped an image: {error}")
            return
        self.take(frame.stamp_ns, frame)

    def _on_people(self, message: People) -> None:
        scene, _ = scene_from_people(message)
        self.take(scene.stamp_ns, scene)

    def take(self, stamp: int, part: Part) -> None:
        """Add one part of the tick of ``stamp``."""
        for view in self._collector.add(stamp, part):
            self.newest = view
            if not self.annotated.listeners and not self.annotated.wanted():
                continue
            try:
                self._to_draw.put(view, block=self.lossless)
            except queue.Full:
                self.counts.add("annotation_dropped")

    def _draw_all(self) -> None:
        while (view := self._to_draw.get()) is not None:
            if view.frame is not None:
                image = draw(view, forecast=self.param("draw_forecast"))
                self.annotated.send(Frame(view.frame.stamp_ns, image, view.frame.frame_id))

    def details(self) -> dict[str, object]:
        """Ticks that could not be drawn whole."""
        return dict(self._collector.counts.items())


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    sys.exit(run_node(AnnotatorNode, args))


if __name__ == "__main__":
    main()
