"""Records inputs and outputs: an mcap bag that plays again, and an annotated video.

Subscribes: ``image_raw/compressed`` (or ``image_raw``), ``camera_info``, ``audio``, ``people``,
``predicted_action``, ``predicted_interaction``, ``next_speaker``, ``head_motion`` and, for the video,
``annotated_image``.
Nothing is recorded unless this node runs; it says so in the log and on the latched topic ``recording``.

Unlike the nodes that predict, this one wants every message and not the newest: see
:mod:`hmgen_ros.nodes.recorder_inputs`.
"""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import WriterError
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from hmgen_ros.msg import AudioFrame, HeadMotion, NextSpeaker, People, PredictedAction, PredictedInteraction
from hmgen_ros.nodes.bag_writer import BagWriter
from hmgen_ros.nodes.base import HmgenNode, SetupError
from hmgen_ros.nodes.conversions import audio_samples
from hmgen_ros.nodes.image_conversion import BadMessage, frame_from_image, stamp_ns
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import PREDICTIONS
from hmgen_ros.nodes.recorder_inputs import RecorderInputs
from hmgen_ros.streams.audio import AudioNormaliser, BadAudio
from hmgen_ros.types import AudioChunk, Frame
from hmgen_ros.viewing.video_writer import VideoWriter

#: Images and sound that may wait for this process: two seconds of them.
_SENSOR_DEPTH = 50
#: The camera's topics by image_transport.
_CAMERA: dict[str, tuple[str, type[Any]]] = {
    "raw": ("image_raw", Image),
    "compressed": ("image_raw/compressed", CompressedImage),
}
#: What else goes into the bag: topic to message type and how many messages may wait for this process.
BAG_TOPICS: dict[str, tuple[type[Any], int]] = {
    "camera_info": (CameraInfo, _SENSOR_DEPTH),
    "audio": (AudioFrame, _SENSOR_DEPTH),
    "people": (People, PREDICTIONS.depth),
    "predicted_action": (PredictedAction, PREDICTIONS.depth),
    "predicted_interaction": (PredictedInteraction, PREDICTIONS.depth),
    "next_speaker": (NextSpeaker, PREDICTIONS.depth),
    "head_motion": (HeadMotion, PREDICTIONS.depth),
}
#: Seconds without any progress after which the writing thread is given up.
_STUCK_S = 10.0
_TEXTS = {
    "video_jump_back": "time jumped back; the video goes on with the next picture",
    "video_jump_ahead": "time jumped ahead; the video goes on with the next picture",
    "video_stale_picture": "pictures that are not newer than the last one were left out of the video",
    "video_sound_jump": "sound and pictures have different clocks; the sound goes on where the video is",
    "audio_reset_gap": "no sound for a while",
    "audio_reset_backward": "the sound's time jumped back",
    "audio_gap": "samples are missing in the sound; in the video they are silence",
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
        self._sound = AudioNormaliser()
        self._done = 0
        self._recorded: RecorderInputs | None = None

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
            self._bag = BagWriter(self.folder / "bag", offers=self._offers)
            video = self.folder / "annotated.mp4"
            if video.exists():
                raise SetupError(f"recorder: {video} exists already; choose another folder")
            self._video = VideoWriter(video) if self.param("video") else None
        except (WriterError, OSError) as error:
            raise SetupError(
                f"recorder cannot write to {self.folder}: {error}; choose another folder"
            ) from error

    def _offers(self, topic: str) -> list[QoSProfile]:
        """What those who publish a topic at present offer."""
        return [publisher.qos_profile for publisher in self.get_publishers_info_by_topic(topic)]

    def start(self) -> None:
        """Subscribe and begin to write."""
        super().start()
        self._queue = queue.Queue(maxsize=self.param("queue_messages"))
        self._sound.reset()
        self._writer_thread = threading.Thread(
            target=self._write_all, args=(self._queue,), name="recorder", daemon=True
        )
        self._writer_thread.start()
        self.get_logger().warning(f"recording images, sound and predictions to {self.folder}")
        self._announcement.publish(String(data=str(self.folder)))
        if self.local:
            return
        self._recorded = RecorderInputs(self)
        camera, image_type = _CAMERA[self.param("image_transport")]
        for topic, (message_type, depth) in {camera: (image_type, _SENSOR_DEPTH), **BAG_TOPICS}.items():
            self._recorded.add(
                message_type, topic, depth, partial(self._on_raw, topic, message_type), raw=True
            )
        if self._video is not None:
            self._recorded.add(Image, "annotated_image", _SENSOR_DEPTH, self._on_picture)

    def stop(self) -> None:
        """Write what is queued and announce the end."""
        super().stop()
        if self._recorded is not None:
            self._recorded.close()
            self._recorded = None
        thread, self._writer_thread = self._writer_thread, None
        if thread is not None:
            self._finish(thread)
            self._announcement.publish(String(data=""))

    def _finish(self, thread: threading.Thread) -> None:
        """End the writing thread; wait for it as long as it gets on with what is queued."""
        marked, done = False, -1
        while thread.is_alive() and done != self._done:
            done = self._done
            try:
                if not marked:
                    self._queue.put(None, timeout=_STUCK_S)
                    marked = True
            except queue.Full:
                continue
            thread.join(timeout=_STUCK_S)
        if thread.is_alive():
            # It still holds the files: closing them now could hang, too.
            self._bag = self._video = None
            self.warn("recording_failed", f"writing to {self.folder} hangs; the recording is not complete")

    def teardown(self) -> None:
        """Close the files."""
        bag, video = self._bag, self._video
        self._bag = self._video = None
        if bag is not None:
            self._close(bag)
            self.get_logger().info(f"recorded {sum(bag.written.values())} messages to {self.folder}")
        if video is not None:
            self._close(video)

    def _close(self, file: BagWriter | VideoWriter) -> None:
        try:
            file.close()
        except Exception:
            # Whatever the encoder or the disk has to complain about must not keep the process alive.
            self._warn_of_failure()

    def _warn_of_failure(self) -> None:
        """Count the exception being handled; only the first one's traceback is told."""
        first = self.counts["recording_failed"] == 0
        what = traceback.format_exc() if first else repr(sys.exception())
        self.warn("recording_failed", f"could not write to {self.folder}: {what}")

    def attach(self, output: Output[Any]) -> None:
        """Record what an output of this process publishes."""
        output.taps.append(lambda topic, message: self._enqueue_message(topic, output.message_type, message))

    def _on_raw(self, topic: str, message_type: type[Any], data: bytes) -> None:
        self._enqueue_message(self.resolve_topic_name(topic), message_type, data)
        if message_type is AudioFrame and self._video is not None:
            message = deserialize_message(data, AudioFrame)
            stamp = stamp_ns(message.header.stamp)
            self._hear(stamp, audio_samples(message), message.sample_rate, message.channels)

    def _on_picture(self, message: Image) -> None:
        try:
            self.add(frame_from_image(message))
        except BadMessage as error:
            self.warn(error.cause, f"left a picture out of the video: {error}")

    def _enqueue_message(self, topic: str, message_type: type[Any], message: Any) -> None:
        now = self.now_ns()
        if now == 0 and self.param("use_sim_time"):
            # The bag would begin in 1970 and last for decades.
            self.warn("recording_without_time", "left messages out that came before the first time on /clock")
            return
        self._enqueue(_BagEntry(topic, message_type, message, now))

    def add(self, item: Frame | AudioChunk) -> None:
        """Append an annotated picture or sound to the video."""
        if isinstance(item, Frame):
            self._enqueue(item)
        else:
            self._hear(item.stamp_ns, item.samples, item.sample_rate, 1)

    def _hear(self, stamp: int, samples: NDArray[Any], rate: int, channels: int) -> None:
        try:
            normalised = self._sound.accept(stamp, np.asarray(samples), rate, channels)
        except BadAudio as error:
            self.warn(error.cause, f"left sound out of the video: {error}")
            return
        self.warn_of_new(self._sound.counts, _TEXTS)
        if normalised is not None:
            self._enqueue(normalised.chunk)

    def _enqueue(self, item: _BagEntry | Frame | AudioChunk) -> None:
        while self.active:
            try:
                # Not for ever: the end must find a free lock even if the disk hangs.
                self._queue.put(item, block=self.lossless, timeout=0.5)
                return
            except queue.Full:
                if not self.lossless:
                    text = "the disk is too slow for the recording; messages were left out"
                    self.warn("recording_dropped", text)
                    return

    def _write_all(self, items: queue.Queue[_BagEntry | Frame | AudioChunk | None]) -> None:
        while (item := items.get()) is not None:
            try:
                self._write(item)
                if self._video is not None:
                    self.warn_of_new(self._video.counts, _TEXTS)
            except Exception:
                # One bad item, or a full disk, ends neither the recording nor the orderly shutdown.
                self._warn_of_failure()
            self._done += 1

    def _write(self, item: _BagEntry | Frame | AudioChunk) -> None:
        if isinstance(item, _BagEntry):
            if self._bag is not None:
                self._bag.write(item.topic, item.message_type, item.message, item.time_ns)
        elif self._video is not None:
            if isinstance(item, Frame):
                self._video.add_image(item.image, item.stamp_ns)
            else:
                self._video.add_sound(item)

    def watch(self) -> None:
        """Warn where there is a camera, but none of the kind that is recorded."""
        if self._recorded is None:
            return
        transport = self.param("image_transport")
        offered = {
            name for name, (topic, _) in _CAMERA.items() if self._offers(self.resolve_topic_name(topic))
        }
        if offered and transport not in offered:
            other = offered.pop()
            text = f"the bag gets no pictures: nobody publishes {_CAMERA[transport][0]}, but"
            self.warn("no_pictures", f"{text} {_CAMERA[other][0]}; set image_transport to {other}")

    def details(self) -> dict[str, object]:
        """How much was written."""
        written = self._bag.written if self._bag is not None else {}
        return {"queued": self._queue.qsize(), "written": sum(written.values()), "folder": self.folder}


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    sys.exit(run_node(RecorderNode, args))


if __name__ == "__main__":
    main()
