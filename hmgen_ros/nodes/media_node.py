"""Plays a file, or a webcam, as if it were the robot's camera and microphone.

Publishes: ``image_raw``, ``image_raw/compressed`` (while subscribed), ``audio`` and, if asked, ``/clock``.
Subscribes: ``people``, only with pace ``consumed``, to know when a frame has been dealt with.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from hmgen_ros.msg import AudioFrame, People
from hmgen_ros.nodes.base import HmgenNode, SetupError
from hmgen_ros.nodes.conversions import audio_message
from hmgen_ros.nodes.image_conversion import compressed_from_frame, image_from_frame, stamp_message, stamp_ns
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import PREDICTIONS, SENSOR_OUT, SOUND_OUT
from hmgen_ros.resources import resource
from hmgen_ros.streams.media import MediaError, MediaItem, MediaSource, open_media, ready_ns
from hmgen_ros.streams.pacing import Pacer
from hmgen_ros.types import TICK_NS, AudioChunk, Frame

#: The recording that ships with the package.
BUNDLED = "recordings/three_people.mp4"
#: Opening a file takes a moment; its first stamp lies this far ahead, so that no frame starts late.
_LEAD_NS = 500_000_000
#: A frame is given up when it is overtaken twice: one hiccup of the machine costs latency, not a frame.
_LATE_NS = 2 * TICK_NS
_CAMERA_TEXTS = {
    "camera_dropped": "this machine is too slow for the camera: images were left out",
    "camera_lost": "the camera gives no more images: is it unplugged? Trying to open it again",
    "camera_retry": "the camera cannot be opened yet; trying again",
    "camera_reopened": "the camera is back",
    "frame_empty": "the camera gave an empty image",
}


def source_path(source: str) -> str:
    """The source as :func:`open_media` takes it; ``bundled`` is the recording of the package."""
    return str(resource(BUNDLED)) if source == "bundled" else source


class MediaNode(HmgenNode):
    """Plays in a thread of its own from activation to the end of the file.

    Attributes:
        frames: every image, whether published or not.
        compressed: the same as JPEG, encoded only while somebody subscribes.
        sound: every audio chunk.
        source: what is played, None before the start.
        position_ns: stamp of what was played last, 0 before the first.
    """

    def __init__(self, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("media_node", local, overrides)
        self.frames: Output[Frame] = self.add_output(
            Output(self, Image, "image_raw", SENSOR_OUT, image_from_frame, lazy=True)
        )
        self.compressed: Output[Frame] = self.add_output(
            Output(self, CompressedImage, "image_raw/compressed", SENSOR_OUT, self._compress, lazy=True)
        )
        self.sound: Output[AudioChunk] = self.add_output(
            Output(self, AudioFrame, "audio", SOUND_OUT, self._audio_message)
        )
        self._sim_time = self.create_publisher(Clock, "/clock", 10) if self.param("publish_clock") else None
        self.source: MediaSource | None = None
        self.position_ns = 0
        self._player: threading.Thread | None = None
        self._pacer = Pacer()
        self._stopping = threading.Event()
        self._answered = threading.Condition()
        self._answered_ns = 0

    def _compress(self, frame: Frame) -> CompressedImage:
        return compressed_from_frame(frame, self.param("jpeg_quality"))

    def _audio_message(self, chunk: AudioChunk) -> AudioFrame:
        return audio_message(chunk, self.param("audio_frame_id"))

    def start(self) -> None:
        """Open the source and play."""
        super().start()
        if self.param("pace") == "consumed" and not self.local:
            self.subscribe(People, "people", PREDICTIONS, self._on_people)
        try:
            # Fails now, not in the thread, when there is nothing to play.
            self.source = self._open()
        except (MediaError, FileNotFoundError) as error:
            raise SetupError(f"cannot play: {error}") from error
        # One for each player: a slow one must not take a new start for its own.
        self._stopping = threading.Event()
        self._player = threading.Thread(target=self._play, args=(self._stopping,), name="player", daemon=True)
        self._player.start()

    def _open(self) -> MediaSource:
        start = self.param("start_time_s")
        now = self.get_clock().now().nanoseconds
        base = now + _LEAD_NS if start < 0 else max(1, int(start * 1e9))
        return open_media(
            source_path(self.param("source")),
            base_ns=base,
            loop=self.param("loop"),
            frame_id=self.param("camera_frame_id"),
            clock_ns=lambda: self.get_clock().now().nanoseconds,
            wait=self.param("wait_for_device"),
        )

    def stop(self) -> None:
        """Stop playing and close the source."""
        super().stop()
        self._stopping.set()
        self._pacer.stop()
        with self._answered:
            self._answered.notify_all()
        if self.source is not None:
            self.source.close()
        player, self._player = self._player, None
        if player is not None and player is not threading.current_thread():
            player.join(timeout=5.0)

    def _play(self, stopping: threading.Event) -> None:
        try:
            waits = not self.local and self.source is not None and not self.source.live
            if waits and self._wait_for_subscriber(stopping) and not stopping.is_set():
                # Time passed: stamps begin now.
                if self.source is not None:
                    self.source.close()
                self.source = self._open()
            if self.source is not None:
                self._play_through(self.source, stopping)
        except MediaError as error:
            self.warn("media_error", str(error))
        except Exception:
            self.warn("internal_error", f"a defect while playing:\n{traceback.format_exc()}")
        finally:
            if self.source is not None:
                self.source.close()
            if self.param("exit_at_end") and not stopping.is_set():
                self.on_end()

    def _wait_for_subscriber(self, stopping: threading.Event) -> bool:
        """Wait until somebody wants the images; whether that took any time."""
        until = time.monotonic() + self.param("wait_for_subscriber_s")
        waited = False
        while not self.frames.wanted() and not self.compressed.wanted() and time.monotonic() < until:
            waited = True
            if stopping.wait(0.02):
                break
        return waited

    def _play_through(self, source: MediaSource, stopping: threading.Event) -> None:
        """Send everything, a frame before the sound that became ready since the frame before.

        An image is matched with sound a little older than itself (``audio_lag_ms``), so that what comes
        with it need not be heard first, and would only delay it.
        """
        sound: list[AudioChunk] = []
        for item in self._paced(source):
            if stopping.is_set():
                return
            self.position_ns = ready_ns(item)
            if isinstance(item, Frame):
                self._send_frame(item)
                if not source.live:
                    self.warn_of_new(source.counts, {})
            elif self.param("sound"):
                sound.append(item)
            if isinstance(item, Frame) or not source.has_video:
                for chunk in sound:
                    self.sound.send(chunk)
                sound.clear()
        for chunk in sound:
            self.sound.send(chunk)

    def _send_frame(self, frame: Frame) -> None:
        if self._sim_time is not None:
            self._sim_time.publish(Clock(clock=stamp_message(frame.stamp_ns)))
        self.compressed.send(frame)
        self.frames.send(frame)
        if self.param("pace") == "consumed" and not self.local:
            self._wait_until_consumed(frame.stamp_ns)

    def _paced(self, source: MediaSource) -> Iterable[MediaItem]:
        if source.live or self.param("pace") == "consumed":
            return source
        return self._in_real_time(source)

    def _in_real_time(self, source: MediaSource) -> Iterator[MediaItem]:
        items = iter(source)
        first = next(items, None)
        if first is None:
            return
        # The steady clock paces, anchored once to the node's clock, so that a step of the system time
        # does not stall the playback.
        now = self.get_clock().now().nanoseconds
        wait = ready_ns(first) - now if self.param("start_time_s") < 0 else 0
        self._pacer = Pacer(ready_ns(first), _LATE_NS, start_ns=time.monotonic_ns() + wait)
        for item in self._pacer.play(chain([first], items)):
            self.warn_of_new(
                self._pacer.counts, {"late_dropped": "this machine is too slow: frames were left out"}
            )
            yield item

    def _on_people(self, message: People) -> None:
        with self._answered:
            self._answered_ns = stamp_ns(message.header.stamp)
            self._answered.notify()

    def _wait_until_consumed(self, stamp: int) -> None:
        with self._answered:
            timeout = self.param("consumed_timeout_s")
            if not self._answered.wait_for(
                lambda: self._answered_ns == stamp or self._stopping.is_set(), timeout
            ):
                self.warn(
                    "not_consumed", "no people message came for an image; is the perception node running?"
                )

    def watch(self) -> None:
        """What happens to a camera; while it is away, nothing else would tell."""
        with self.lock:
            if self.source is not None and self.source.live:
                self.warn_of_new(self.source.counts, _CAMERA_TEXTS)

    def trouble(self) -> str:
        """Why there are no images."""
        return self.source.trouble if self.active and self.source is not None else ""

    def details(self) -> dict[str, object]:
        """What is played."""
        return {"source": self.source.name if self.source else "", "pace": self.param("pace")}


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    sys.exit(run_node(MediaNode, args))


if __name__ == "__main__":
    main()
