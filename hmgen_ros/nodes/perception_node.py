"""Images and sound in, everyone in view out: one People message a tick.

Subscribes: ``image_raw`` (or ``image_raw/compressed``), ``audio`` and ``camera_info``. Publishes: ``people``.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hmgen_ros.msg import AudioFrame, People
from hmgen_ros.nodes.adapters.audio_common import subscribe_audio_common
from hmgen_ros.nodes.base import HmgenNode, SetupError
from hmgen_ros.nodes.conversions import audio_samples, people_message
from hmgen_ros.nodes.image_conversion import BadMessage, frame_from_compressed, frame_from_image, stamp_ns
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import IMAGES, PREDICTIONS, SOUND
from hmgen_ros.perceiving import PerceptionStream, load_perception
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.streams.audio import BadAudio
from hmgen_ros.types import AudioChunk, Frame, Scene

_TEXTS = {
    "future": "image stamps lie in the future: synchronise the camera's clock with this machine's",
    "unstamped": "images without a stamp are dropped: the camera driver must set header.stamp",
    "duplicate": "images that repeat the last stamp are dropped",
    "out_of_order": "images older than the last one are dropped",
    "late": "images arrive more than a second after their stamp",
    "missed": "the camera skipped ticks of the 25 Hz clock; the last values were held",
    "restamped": "an image was stamped ahead of its time; history was dropped",
    "reset_backward": "time jumped back; history was dropped",
    "reset_gap": "no image for a while; history was dropped",
    "reset_size": "images came in another size; history was dropped: is there one camera on the topic?",
    "camera_info_size": "camera_info is of images of another shape than those that come: it is not used",
    "audio_apart": "sound and images have stamps of different clocks: the sound is of no use",
    "audio_reset_gap": "no sound for a while; its history was dropped",
    "audio_reset_backward": "the sound's time jumped back; its history was dropped",
    "audio_gap": "samples are missing in the sound and were filled with silence",
}
# A camera faster than 25 Hz is normal, and a load that went down good news: counted, not warned about. That
# sound broke off is told once, where it comes in.
_QUIET = {"surplus", "load_raised", "audio_gaps"}


def config_of(values: Mapping[str, Any]) -> PerceptionConfig:
    """The settings that a node's parameters say; ``speaking.on`` is a field of a nested setting.

    Raises:
        ValueError: they do not go together; the text names the parameter.
    """
    defaults = PerceptionConfig()
    settings: dict[str, Any] = {}
    for setting in fields(PerceptionConfig):
        nested: Any = getattr(defaults, setting.name)
        if is_dataclass(nested) and not isinstance(nested, type):
            parts = {part.name: values[f"{setting.name}.{part.name}"] for part in fields(nested)}
            try:
                settings[setting.name] = replace(nested, **parts)
            except ValueError as error:
                raise ValueError(f"{setting.name}.*: {error}") from error
        elif setting.name != "camera_matrix":
            settings[setting.name] = values[setting.name]
    # ROS parameters cannot be empty: -1 stands for ids drawn anew in every run.
    return PerceptionConfig(**{**settings, "seed": None if settings["seed"] < 0 else settings["seed"]})


class PerceptionNode(HmgenNode):
    """Wraps :class:`hmgen_ros.perceiving.PerceptionStream`."""

    def __init__(self, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("perception_node", local, overrides)
        self.people: Output[Scene] = self.add_output(
            Output(self, People, "people", PREDICTIONS, people_message)
        )
        self._stream: PerceptionStream | None = None
        self._present = self._told = 0

    @property
    def stages_ms(self) -> dict[str, float]:
        """Mean milliseconds of each stage of the perception."""
        return self._stream.perception.times.mean_ms() if self._stream else {}

    def setup(self) -> None:
        """Load and warm the models."""
        try:
            config = config_of(self.values())
            perception = load_perception(config, self.warn)
        except (ValueError, RuntimeError, OSError) as error:
            raise SetupError(f"perception cannot start: {error}") from error
        self._stream = PerceptionStream(perception, self.param("max_future_s"))

    def adjustment(self, values: Mapping[str, Any]) -> Callable[[], None]:
        """Perceive by other settings; see HmgenNode."""
        config, stream = config_of(values), self._stream
        if stream is None:
            return super().adjustment(values)
        stream.perception.check(config)

        def adjust() -> None:
            stream.perception.adjust(config)
            stream.max_future_s = values["max_future_s"]

        return adjust

    def teardown(self) -> None:
        """Drop the models."""
        if self._stream is not None:
            self._stream.perception.close()
        self._stream = None

    def start(self) -> None:
        """Subscribe to the camera and the microphone."""
        super().start()
        if self.local:
            return
        if self.param("image_transport") == "compressed":
            self.subscribe(CompressedImage, "image_raw/compressed", IMAGES, self._on_compressed, awaited=True)
        else:
            self.subscribe(Image, "image_raw", IMAGES, self._on_image, awaited=True)
        if self.param("audio_type") == "audio_common":
            subscribe_audio_common(self, "audio", lambda sound: self._hear(*sound))
        else:
            self.subscribe(AudioFrame, "audio", SOUND, self._on_audio)
        if self.param("camera_info"):
            self.subscribe(CameraInfo, "camera_info", IMAGES, self._on_camera_info)

    def _on_camera_info(self, message: CameraInfo) -> None:
        """Head poses are those of a calibrated camera from now on."""
        if self._stream is None:
            return
        self._stream.calibrate(message)
        self._warn_of_new()

    def _on_image(self, message: Image) -> None:
        self._perceive_or_warn(frame_from_image, message)

    def _on_compressed(self, message: CompressedImage) -> None:
        self._perceive_or_warn(frame_from_compressed, message)

    def _perceive_or_warn(self, convert: Any, message: Image | CompressedImage) -> None:
        try:
            frame = convert(message)
        except BadMessage as error:
            self.warn(error.cause, f"dropped an image: {error}")
            return
        self.perceive(frame)

    def perceive(self, frame: Frame) -> None:
        """Perceive one image and publish who is there."""
        if self._stream is None:
            return
        start = time.perf_counter()
        scene = self._stream.perceive(frame, self.now_ns())
        if scene is not None and self.real_time:
            self._stream.perception.took((time.perf_counter() - start) * 1e3)
        self._warn_of_new()
        if scene is None:
            return
        self._present = len(scene.people)
        self.people.send(scene)
        self.observe_latency(frame.stamp_ns)

    def _on_audio(self, message: AudioFrame) -> None:
        stamp = stamp_ns(message.header.stamp)
        self._hear(stamp, audio_samples(message), message.sample_rate, message.channels)

    def hear(self, chunk: AudioChunk) -> None:
        """Take in sound from a node of this process."""
        self._hear(chunk.stamp_ns, chunk.samples, chunk.sample_rate, 1)

    def _hear(self, stamp: int, samples: NDArray[Any], rate: int, channels: int) -> None:
        if self._stream is None:
            return
        try:
            self._stream.hear(stamp, np.asarray(samples), rate, channels, self.now_ns())
        except BadAudio as error:
            self.warn(error.cause, f"dropped sound: {error}")
            return
        self._warn_of_new()

    def _warn_of_new(self) -> None:
        """Warn of what the stream has counted since the last time."""
        if self._stream is None:
            return
        told = sum(amount for counts in self._stream.counts for _, amount in counts.items())
        if told == self._told:
            # The usual case, twice a tick: nothing to make texts for.
            return
        self._told = told
        texts = self._texts()
        for counts in self._stream.counts:
            self.warn_of_new(counts, texts, _QUIET)

    @property
    def av_offset_ms(self) -> float:
        """By how much pictures come after their sound, ms; negative where sound is late, NaN: not known."""
        return self._stream.perception.av_offset_ms if self._stream else math.nan

    def _texts(self) -> dict[str, str]:
        """Texts of warnings, with the present offset of sound."""
        late = "before" if self.av_offset_ms > 0 else "after"
        apart = f"sound and pictures are {abs(self.av_offset_ms):.0f} ms apart, sound is stamped {late} them"
        wanted = self.param("audio_offset_ms") + self.av_offset_ms
        return {
            **_TEXTS,
            "av_offset": f"{apart}: check the stamps or set audio_offset_ms to {wanted:.0f}",
            "load_lowered": self.trouble(),
        }

    def trouble(self) -> str:
        """What is done less often than set, because the machine is too slow."""
        if self._stream is None or not self._stream.perception.load.level:
            return ""
        load = self._stream.perception.load
        less = {"bodies": load.slowdown.body, "new faces": load.slowdown.detector}
        rarer = " and ".join(
            f"{what} {f'{times} times less often' if times else 'not at all'}"
            for what, times in less.items()
            if times != 1
        )
        budget = self.param("load.budget_ms")
        return f"too slow: an image took {load.image_ms:.0f} ms of {budget:.0f}; looking for {rarer}"

    def details(self) -> dict[str, object]:
        """Offset of sound, people in view, load and stage times."""
        values: dict[str, object] = {
            "model": self.param("backend"),
            "device": "cpu",
            "people": self._present,
            "av_offset_ms": f"{self.av_offset_ms:.0f}",
            "calibrated": self._stream is not None and self._stream.calibrated,
        }
        if self._stream is not None:
            load = self._stream.perception.load
            values |= {"load/level": load.level, "load/image_ms": f"{load.image_ms:.1f}"}
        return values | {f"stage/{name}_ms": f"{ms:.2f}" for name, ms in self.stages_ms.items()}


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    # The small networks of one tick gain nothing from more threads, and other nodes need the cores.
    torch.set_num_threads(1)
    sys.exit(run_node(PerceptionNode, args))


if __name__ == "__main__":
    main()
