"""Records inputs and outputs: an mcap bag that plays again, and an annotated video.

Subscribes: ``image_raw/compressed``, ``audio``, ``people``, ``predicted_action``,
``predicted_interaction``, ``next_speaker``, ``head_motion`` and, for the video, ``annotated_image``.
Nothing is recorded unless this node runs; it says so in the log and on the latched topic ``recording``.
"""

from __future__ import annotations

import queue
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import WriterError
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from hmgen_ros.msg import AudioFrame, HeadMotion, NextSpeaker, People, PredictedAction, PredictedInteraction
from hmgen_ros.nodes.bag_writer import BagWriter
from hmgen_ros.nodes.base import HmgenNode, SetupError
from hmgen_ros.nodes.conversions import audio_samples
from hmgen_ros.nodes.image_conversion import BadMessage, frame_from_image, stamp_ns
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import IMAGES, PREDICTIONS, SOUND
from hmgen_ros.streams.audio import to_mono
from hmgen_ros.types import AudioChunk, Frame
from hmgen_ros.viewing.video_writer import VideoWriter

#: What goes into the bag: topic to message type and quality of service.
BAG_TOPICS: dict[str, tuple[type[Any], QoSProfile]] = {
    "image_raw/compressed": (CompressedImage, IMAGES),
    "audio": (AudioFrame, SOUND),
    "people": (People, PREDICTIONS),
    "predicted_action": (PredictedAction, PREDICTIONS),
    "predicted_interaction": (PredictedInteraction, PREDICTIONS),
    "next_speaker": (NextSpeaker, PREDICTIONS),
    "head_motion": (HeadMotion, PREDICTIONS),
}


@dataclass(frozen=True, slots=True)
class _BagEntry:
    topic: str
    message_type: type[Any]
    message: Any
    time_ns: int


class RecorderNode(HmgenNode):
    """Queues what arrives and writes it in a thread of its own, so that a slow disk delays nobody.

    Attributes:
        lossless: wait rather than leave messages out when the disk is slower than the source.
    """

    def __init__(self, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("recorder_node", local, overrides)
        self.lossless = False
        self._announcement = self.create_publisher(
            String, "recording", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        )
        self._queue: queue.Queue[_BagEntry | Frame | AudioChunk | None] = queue.Queue()
        self._writer_thread: threading.Thread | None = None
        self._bag: BagWriter | None = None
        self._video: VideoWriter | None = None

    @property
    def folder(self) -> Path:
        """Where the recording goes."""
        return Path(self.param("output")).expanduser()

    def setup(self) -> None:
        """Create the folder and open the files."""
        if not self.param("output"):
            raise SetupError("recorder: set the parameter output to a folder")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._bag = BagWriter(self.folder / "bag")
            video = self.folder / "annotated.mp4"
            if video.exists():
                raise SetupError(f"recorder: {video} exists already; choose another folder")
            self._video = VideoWriter(video) if self.param("video") else None
        except (WriterError, OSError) as error:
            raise SetupError(
                f"recorder cannot write to {self.folder}: {error}; choose another folder"
            ) from error

    def start(self) -> None:
        """Subscribe and begin to write."""
        super().start()
        self._queue = queue.Queue(maxsize=self.param("queue_messages"))
        self._writer_thread = threading.Thread(target=self._write_all, name="recorder", daemon=True)
        self._writer_thread.start()
        self.get_logger().warning(f"recording images, sound and predictions to {self.folder}")
        self._announcement.publish(String(data=str(self.folder)))
        if self.local:
            return
        for topic, (message_type, qos) in BAG_TOPICS.items():
            callback = partial(self._on_raw, topic, message_type)
            self.subscribe(message_type, topic, qos, callback, raw=True)
        if self._video is not None:
            self.subscribe(Image, "annotated_image", IMAGES, self._on_picture)

    def stop(self) -> None:
        """Write what is queued and announce the end."""
        super().stop()
        thread, self._writer_thread = self._writer_thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()
            self._announcement.publish(String(data=""))

    def teardown(self) -> None:
        """Close the files."""
        if self._bag is not None:
            self._bag.close()
            total = sum(self._bag.written.values())
            self.get_logger().info(f"recorded {total} messages to {self.folder}")
        if self._video is not None:
            self._video.close()
        self._bag = self._video = None

    def attach(self, output: Output[Any]) -> None:
        """Record what an output of this process publishes."""
        output.taps.append(lambda topic, message: self._enqueue_message(topic, output.message_type, message))

    def _on_raw(self, topic: str, message_type: type[Any], data: bytes) -> None:
        self._enqueue_message(self.resolve_topic_name(topic), message_type, data)
        if message_type is AudioFrame and self._video is not None:
            message = deserialize_message(data, AudioFrame)
            mono = to_mono(audio_samples(message), message.channels)
            self.add(AudioChunk(stamp_ns(message.header.stamp), mono, message.sample_rate))

    def _on_picture(self, message: Image) -> None:
        try:
            self.add(frame_from_image(message))
        except BadMessage as error:
            self.warn(error.cause, f"left a picture out of the video: {error}")

    def _enqueue_message(self, topic: str, message_type: type[Any], message: Any) -> None:
        self._enqueue(_BagEntry(topic, message_type, message, self.now_ns()))

    def add(self, item: Frame | AudioChunk) -> None:
        """Append an annotated picture or sound to the video."""
        self._enqueue(item)

    def _enqueue(self, item: _BagEntry | Frame | AudioChunk) -> None:
        if not self.active:
            return
        try:
            self._queue.put(item, block=self.lossless)
        except queue.Full:
            self.warn("recording_dropped", "the disk is too slow for the recording; messages were left out")

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._write(item)
            except (OSError, WriterError, ValueError) as error:
                self.warn("recording_failed", f"could not write to {self.folder}: {error}")

    def _write(self, item: _BagEntry | Frame | AudioChunk) -> None:
        if isinstance(item, _BagEntry):
            if self._bag is not None:
                self._bag.write(item.topic, item.message_type, item.message, item.time_ns)
        elif self._video is not None:
            if isinstance(item, Frame):
                self._video.add_image(item.image, item.stamp_ns)
            else:
                self._video.add_sound(item)

    def details(self) -> dict[str, object]:
        """How much was written."""
        written = self._bag.written if self._bag is not None else {}
        return {"queued": self._queue.qsize(), "written": sum(written.values()), "folder": self.folder}


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    sys.exit(run_node(RecorderNode, args))


if __name__ == "__main__":
    main()
