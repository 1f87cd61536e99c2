"""The recorder and the annotator in this process: what must not end a recording, and what is not lost."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosTime
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hmgen_ros.message_definitions import typestore
from hmgen_ros.msg import AudioFrame, PredictedAction
from hmgen_ros.nodes.annotator_node import AnnotatorNode
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.conversions import audio_message
from hmgen_ros.nodes.image_conversion import compressed_from_frame, image_from_frame, stamp_message, stamp_ns
from hmgen_ros.nodes.recorder_node import RecorderNode
from hmgen_ros.types import TICK_NS, AudioChunk, Frame

SECOND = 1_000_000_000


@pytest.fixture
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


@contextmanager
def recorder(out: Path, local: bool = True, **parameters: Any) -> Iterator[RecorderNode]:
    """An active recorder; its files are complete after the block."""
    values = {"output": str(out), **parameters}
    node = RecorderNode(local, [Parameter(name, value=value) for name, value in values.items()])
    try:
        assert node.bring_up()
        yield node
    finally:
        shut_down(node)


def shut_down(node: HmgenNode) -> None:
    """Fails where the node does not end within reasonable time."""
    end = threading.Thread(target=node.trigger_shutdown, daemon=True)
    end.start()
    end.join(timeout=100)
    assert not end.is_alive()
    node.destroy_node()


def picture(stamp: int, value: int = 100) -> Frame:
    return Frame(stamp, np.full((48, 64, 3), value, np.uint8))


def tone(stamp: int, rate: int = 16_000, seconds: float = 0.04) -> AudioChunk:
    samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return AudioChunk(stamp, samples.astype(np.float32), rate)


def duration(path: Path) -> tuple[float, float]:
    """Seconds of picture and of sound in a video."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    return max(times), samples / 16_000


@pytest.mark.usefixtures("ros")
def test_sound_with_another_clock_ends_neither_recording_nor_shutdown(tmp_path: Path) -> None:
    with recorder(tmp_path, queue_messages=10) as node:
        node.lossless = True
        for index in range(50):
            node.add(picture(SECOND + index * TICK_NS))
            node.add(tone(1_700_000_000 * SECOND + index * TICK_NS))
    assert node.counts["video_sound_jump"] == 1
    assert node.counts["recording_failed"] == 0
    assert duration(tmp_path / "annotated.mp4") == pytest.approx((1.96, 2.0), abs=0.15)


@pytest.mark.usefixtures("ros")
def test_the_writing_thread_survives_whatever_cannot_be_written(tmp_path: Path) -> None:
    with recorder(tmp_path, queue_messages=10) as node:
        node.lossless = True
        for index in range(30):
            # An image of two dimensions is none: the encoder refuses it.
            bad = index % 10 == 5
            frame = picture(SECOND + index * TICK_NS)
            node.add(Frame(frame.stamp_ns, frame.image[:, :, 0]) if bad else frame)
            node.add(tone(frame.stamp_ns))
    assert node.counts["recording_failed"] == 3
    assert duration(tmp_path / "annotated.mp4")[0] == pytest.approx(29 * 0.04, abs=0.01)


@pytest.mark.usefixtures("ros")
def test_shutdown_does_not_wait_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hmgen_ros.nodes.recorder_node._STUCK_S", 0.5)
    disk = threading.Event()
    with recorder(tmp_path, queue_messages=10) as node:
        node._video.add_image = lambda *_: disk.wait(60)
        for index in range(20):
            node.add(picture(SECOND + index * TICK_NS))
        assert node.counts["recording_dropped"] >= 9
        began = time.monotonic()
    assert time.monotonic() - began < 30
    assert node.counts["recording_failed"] == 1
    disk.set()


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (44_100, 1), (8_000, 1)])
@pytest.mark.usefixtures("ros")
def test_sound_of_any_format_is_in_the_video(tmp_path: Path, rate: int, channels: int) -> None:
    with recorder(tmp_path) as node:
        node.lossless = True
        for index in range(50):
            stamp = SECOND + index * TICK_NS
            node.add(picture(stamp))
            message = audio_message(tone(stamp, rate), "microphone")
            message.samples = np.repeat(np.asarray(message.samples), channels).tolist()
            message.channels = channels
            node._on_raw("audio", AudioFrame, serialize_message(message))
    assert duration(tmp_path / "annotated.mp4")[1] == pytest.approx(2.0, abs=0.2)
    with AnyReader([tmp_path / "bag"], default_typestore=typestore()) as reader:
        assert {c.topic: c.msgcount for c in reader.connections} == {"/audio": 50}


@pytest.mark.usefixtures("ros")
def test_bad_sound_is_counted_under_its_own_cause(tmp_path: Path) -> None:
    with recorder(tmp_path) as node:
        for change in ({"channels": 0}, {"sample_rate": 1}, {"samples": []}):
            message = audio_message(tone(SECOND), "microphone")
            for name, value in change.items():
                setattr(message, name, value)
            node._on_raw("audio", AudioFrame, serialize_message(message))
    causes = {"audio_channels": 1, "audio_rate": 1, "audio_empty": 1}
    assert dict(node.counts.items()) == causes


@pytest.mark.usefixtures("ros")
def test_nothing_is_recorded_before_simulated_time_begins(tmp_path: Path) -> None:
    data = serialize_message(audio_message(tone(SECOND), "microphone"))
    with recorder(tmp_path, video=False, use_sim_time=True) as node:
        node._on_raw("audio", AudioFrame, data)
        node.now_ns = lambda: SECOND
        node._on_raw("audio", AudioFrame, data)
    assert dict(node.counts.items()) == {"recording_without_time": 1}
    with AnyReader([tmp_path / "bag"], default_typestore=typestore()) as reader:
        assert [at for _, at, _ in reader.messages()] == [SECOND]


def _spin(executor: SingleThreadedExecutor, done: Any, timeout_s: float = 100.0) -> bool:
    until = time.monotonic() + timeout_s
    while not done() and time.monotonic() < until:
        executor.spin_once(timeout_sec=0.02)
    return bool(done())


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
@pytest.mark.parametrize("camera_first", [True, False])
@pytest.mark.usefixtures("ros")
def test_every_image_is_recorded_although_the_process_is_busy(
    tmp_path: Path, reliability: ReliabilityPolicy, camera_first: bool
) -> None:
    camera, executor = Node("camera"), SingleThreadedExecutor()
    qos = QoSProfile(depth=50, reliability=reliability)

    def publish() -> Any:
        return camera.create_publisher(CompressedImage, "image_raw/compressed", qos)

    publisher = publish() if camera_first else None
    with recorder(tmp_path, local=False, video=False) as node:
        executor.add_node(node)
        publisher = publisher or publish()
        assert _spin(executor, lambda: publisher.get_subscription_count() == 1)
        _spin(executor, lambda: False, 0.5)
        for index in range(40):
            publisher.publish(compressed_from_frame(picture(SECOND + index * TICK_NS), 80))
        # All the while nobody took anything from the middleware.
        assert _spin(executor, lambda: node.details()["written"] >= 40)
        executor.remove_node(node)
    camera.destroy_node()
    with AnyReader([tmp_path / "bag"], default_typestore=typestore()) as reader:
        messages = [reader.deserialize(data, c.msgtype) for c, _, data in reader.messages()]
        (camera_in_bag,) = reader.connections
    stamps = [message.header.stamp.sec * SECOND + message.header.stamp.nanosec for message in messages]
    assert stamps == [SECOND + index * TICK_NS for index in range(40)]
    # So that ros2 bag play offers what the camera did.
    (offered,) = camera_in_bag.ext.offered_qos_profiles
    assert offered.reliability.name == reliability.name
    assert offered.durability.name == "VOLATILE"
    assert offered.deadline == offered.lifespan == QosTime(9_223_372_036, 854_775_807), "without end"


@pytest.mark.parametrize("transport", ["compressed", "raw"])
@pytest.mark.usefixtures("ros")
def test_a_camera_that_does_not_compress_is_recorded_raw_or_told_of(tmp_path: Path, transport: str) -> None:
    camera, executor = Node("camera"), SingleThreadedExecutor()
    publisher = camera.create_publisher(Image, "image_raw", 5)
    calibration = camera.create_publisher(CameraInfo, "camera_info", 5)
    wanted = {"/camera_info", "/image_raw"} if transport == "raw" else {"/camera_info"}
    stamps = iter(range(SECOND, 1000 * SECOND, TICK_NS))
    with recorder(tmp_path, local=False, video=False, image_transport=transport) as node:
        executor.add_node(node)

        def done() -> bool:
            publisher.publish(image_from_frame(picture(next(stamps))))
            calibration.publish(CameraInfo(width=64, height=48))
            told = transport == "raw" or node.counts["no_pictures"] > 0
            return told and set(node._bag.written) == wanted

        assert _spin(executor, done)
        executor.remove_node(node)
    camera.destroy_node()
    assert (node.counts["no_pictures"] > 0) == (transport == "compressed")
    with AnyReader([tmp_path / "bag"], default_typestore=typestore()) as reader:
        assert {c.topic for c in reader.connections} == wanted


@pytest.mark.usefixtures("ros")
def test_annotator_draws_compressed_images_and_names_bad_predictions() -> None:
    node = AnnotatorNode(False, [Parameter("image_transport", value="compressed")])
    other, executor = Node("other"), SingleThreadedExecutor()
    seen: list[Image] = []
    other.create_subscription(Image, "annotated_image", seen.append, 10)
    images = other.create_publisher(CompressedImage, "image_raw/compressed", 10)
    actions = other.create_publisher(PredictedAction, "predicted_action", 10)
    executor.add_node(node)
    executor.add_node(other)
    assert node.bring_up()
    matched = (
        lambda: images.get_subscription_count() and actions.get_subscription_count(),
        node.annotated.wanted,
    )
    assert _spin(executor, lambda: all(one() for one in matched))
    _spin(executor, lambda: False, 0.3)
    message = PredictedAction(current_action=200, label="juggling")
    message.header.stamp = stamp_message(SECOND)
    actions.publish(message)
    assert _spin(executor, lambda: node.counts["bad_prediction"] == 1)
    stamps = iter(range(SECOND, 100 * SECOND, TICK_NS))

    def drawn() -> bool:
        images.publish(compressed_from_frame(picture(next(stamps)), 80))
        return len(seen) >= 3

    assert _spin(executor, drawn)
    assert (seen[0].width, seen[0].height) == (64, 48)
    assert stamp_ns(seen[0].header.stamp) >= SECOND
    assert node.counts["internal_error"] == 0
    executor.remove_node(node)
    executor.remove_node(other)
    shut_down(node)
    other.destroy_node()


@pytest.mark.usefixtures("ros")
def test_a_picture_that_cannot_be_drawn_is_not_the_last_one() -> None:
    node = AnnotatorNode(True, [Parameter("buffer_frames", value=4)])
    node.lossless = True
    drawn: list[int] = []

    def receive(frame: Frame) -> None:
        drawn.append(frame.stamp_ns)
        if len(drawn) == 3:
            raise ValueError("whoever receives the pictures does so in the drawing thread")

    node.annotated.listeners.append(receive)
    assert node.bring_up()
    for index in range(1, 20):
        node.take(index * TICK_NS, picture(index * TICK_NS))
    shut_down(node)
    assert node.counts["annotation_failed"] == 1
    assert len(drawn) >= 15
