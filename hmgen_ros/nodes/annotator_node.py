"""Draws what is perceived and predicted onto the images.

Subscribes: ``image_raw`` (or ``image_raw/compressed``), ``people``, ``predicted_action``, ``next_speaker``,
``head_motion``.
Publishes: ``annotated_image`` and, where visualization_msgs is installed, ``markers``, only while somebody
subscribes. Drawing has its own thread, so that it never delays a prediction of the same process.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image

from hmgen_ros.msg import HeadMotion as HeadMotionMessage
from hmgen_ros.msg import NextSpeaker, People, PredictedAction
from hmgen_ros.nodes.adapters import importable
from hmgen_ros.nodes.adapters.markers import markers_output
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.conversions import scene_from_people
from hmgen_ros.nodes.forecast_conversion import (
    motion_from_message,
    outlook_from_message,
    speaker_from_message,
)
from hmgen_ros.nodes.image_conversion import (
    BadMessage,
    frame_from_compressed,
    frame_from_image,
    image_from_frame,
)
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import IMAGES, PREDICTIONS, SENSOR_OUT
from hmgen_ros.types import ActionOutlook, Frame, HeadMotion, Scene, SpeakerOutlook
from hmgen_ros.viewing.collector import TickCollector, TickView
from hmgen_ros.viewing.overlay import draw

#: Ticks that may wait to be drawn.
_MAX_WAITING = 4
#: Seconds that the pictures in hand may take at the end.
_END_S = 5.0

Part = Frame | Scene | ActionOutlook | SpeakerOutlook | HeadMotion


class AnnotatorNode(HmgenNode):
    """Collects the parts of each tick and draws them.

    Attributes:
        markers: places, directions and texts in space; None where they are off.
        newest: the tick last collected, for a live view in this process.
        lossless: wait rather than drop pictures when drawing is slower than the source.
    """

    def __init__(self, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("annotator_node", local, overrides)
        self.annotated: Output[Frame] = self.add_output(
            Output(self, Image, "annotated_image", SENSOR_OUT, image_from_frame, lazy=True)
        )
        self.markers: Output[TickView] | None = None
        if self.param("markers") == "on" or (
            self.param("markers") == "auto" and importable("visualization_msgs")
        ):
            self.markers = self.add_output(markers_output(self, lambda: self.param("eye_corners_m")))
        self.newest: TickView | None = None
        self.lossless = False
        self._collector = TickCollector()
        self._to_draw: queue.Queue[TickView | None] = queue.Queue(maxsize=_MAX_WAITING)
        self._drawer: threading.Thread | None = None

    def start(self) -> None:
        """Subscribe and start drawing."""
        super().start()
        buffer = self.param("buffer_frames")
        self._collector = TickCollector(patience=buffer // 2, capacity=buffer)
        self._to_draw = queue.Queue(maxsize=_MAX_WAITING)
        self._drawer = threading.Thread(
            target=self._draw_all, args=(self._to_draw,), name="annotator", daemon=True
        )
        self._drawer.start()
        if self.local:
            return
        if self.param("image_transport") == "compressed":
            on_image = partial(self._take_message, frame_from_compressed)
            self.subscribe(CompressedImage, "image_raw/compressed", IMAGES, on_image)
        else:
            self.subscribe(Image, "image_raw", IMAGES, partial(self._take_message, frame_from_image))
        self.subscribe(People, "people", PREDICTIONS, self._on_people)
        for message_type, topic, convert in (
            (PredictedAction, "predicted_action", outlook_from_message),
            (NextSpeaker, "next_speaker", speaker_from_message),
            (HeadMotionMessage, "head_motion", motion_from_message),
        ):
            self.subscribe(message_type, topic, PREDICTIONS, partial(self._take_message, convert))

    def stop(self) -> None:
        """Finish the pictures in hand."""
        super().stop()
        drawer, self._drawer = self._drawer, None
        until = time.monotonic() + _END_S
        while drawer is not None and drawer.is_alive() and time.monotonic() < until:
            try:
                self._to_draw.put(None, timeout=0.2)
            except queue.Full:
                continue
            drawer.join(timeout=max(0.0, until - time.monotonic()))

    def _on_people(self, message: People) -> None:
        scene, _ = scene_from_people(message)
        self.take(scene.stamp_ns, scene)

    def _take_message(self, convert: Callable[[Any], Part], message: Any) -> None:
        try:
            part = convert(message)
        except BadMessage as error:
            self.warn(error.cause, f"left something out of the picture: {error}")
            return
        self.take(part.stamp_ns, part)

    def take(self, stamp: int, part: Part) -> None:
        """Add one part of the tick of ``stamp``."""
        for view in self._collector.add(stamp, part):
            self.newest = view
            if not self._wanted():
                continue
            try:
                self._to_draw.put(view, block=self.lossless)
            except queue.Full:
                self.counts.add("annotation_dropped")

    def _wanted(self) -> bool:
        shown = self.markers is not None and self.markers.wanted()
        return shown or bool(self.annotated.listeners) or self.annotated.wanted()

    def _draw_all(self, views: queue.Queue[TickView | None]) -> None:
        while (view := views.get()) is not None:
            try:
                self._draw(view)
            except Exception:
                # A picture that cannot be drawn must not be the last one.
                self.warn("annotation_failed", f"could not draw a picture:\n{traceback.format_exc()}")

    def _draw(self, view: TickView) -> None:
        if self.markers is not None:
            self.markers.send(view)
        if view.frame is not None and (self.annotated.listeners or self.annotated.wanted()):
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
