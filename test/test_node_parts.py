"""Parts of the nodes without ROS traffic: the worker, counters, the media node's comings and goings."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
import rclpy
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo

from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.media_node import MediaNode
from hmgen_ros.nodes.perception_node import PerceptionNode
from hmgen_ros.nodes.worker import Worker
from hmgen_ros.types import Counts, Frame


@pytest.fixture(scope="module", autouse=True)
def _ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


def test_a_worker_keeps_the_order_and_survives_defects() -> None:
    done: list[int] = []
    failed: list[str] = []

    def work(item: int) -> None:
        if item % 10 == 3:
            raise KeyError(item)
        done.append(item)

    worker = Worker("test", work, failed.append)
    for item in range(100):
        worker.put(item)
    worker.close()
    assert done == [item for item in range(100) if item % 10 != 3]
    assert len(failed) == 10
    assert "KeyError: 3" in failed[0]


def test_counts_of_replaced_parts_add_up() -> None:
    node = HmgenNode("recorder_node")
    for _ in range(50):
        part = Counts()
        part.add("lost", 10)
        node.warn_of_new(part, {}, quiet={"lost"})
        part.add("lost", 1)
        node.warn_of_new(part, {}, quiet={"lost"})
    assert node.counts["lost"] == 550
    node.destroy_node()


def media(**values: object) -> MediaNode:
    overrides = {"exit_at_end": True, **values}
    return MediaNode(overrides=[Parameter(name, value=value) for name, value in overrides.items()])


def test_media_activated_again_and_again_leaks_nothing() -> None:
    node = media(wait_for_subscriber_s=600.0)
    process = psutil.Process()

    def held() -> int:
        return threading.active_count() + process.num_fds()

    node.trigger_configure()
    before = 0
    for cycle in range(6):
        node.trigger_activate()
        time.sleep(0.15)
        node.trigger_deactivate()
        if cycle == 1:
            before = held()
    # What a thread of the decoder has not let go of yet is no leak.
    deadline = time.monotonic() + 60
    while held() > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert held() <= before
    node.destroy_node()


def test_media_stops_at_once_while_it_waits_for_an_answer() -> None:
    node = media(wait_for_subscriber_s=0.0, pace="consumed", consumed_timeout_s=60.0)
    node.trigger_configure()
    node.trigger_activate()
    time.sleep(0.5)
    start = time.monotonic()
    node.trigger_deactivate()
    assert time.monotonic() - start < 20
    node.destroy_node()


def test_a_failed_activation_leaves_the_node_inactive() -> None:
    node = media(source="/nowhere/at_all.mp4")
    node.trigger_configure()
    for _ in range(3):
        node.trigger_activate()
        assert not node.active
    node.destroy_node()


def test_a_defect_while_playing_ends_the_playback_in_good_order(monkeypatch: pytest.MonkeyPatch) -> None:
    node = media(wait_for_subscriber_s=0.0)
    ended = threading.Event()
    node.on_end = ended.set

    def broken(frame: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(node, "_send_frame", broken)
    node.trigger_configure()
    node.trigger_activate()
    assert ended.wait(100)
    assert node.counts["internal_error"] == 1
    node.trigger_deactivate()
    node.destroy_node()


def perception(**values: object) -> PerceptionNode:
    overrides = {"workers": 1, **values}
    return PerceptionNode(True, [Parameter(name, value=value) for name, value in overrides.items()])


def test_perception_without_a_syncer_says_so_once_and_works() -> None:
    node = perception(syncer="lipreader")
    assert node.bring_up()
    for _ in range(3):
        node.perceive(Frame(node.now_ns(), np.zeros((48, 64, 3), np.uint8)))
    assert node.counts["no_syncer"] == 1
    assert node.details()["av_offset_ms"] == "nan"
    node.shut_down()
    node.destroy_node()
    switched_off = perception(active_speaker=False, syncer="lipreader")
    switched_off.trigger_configure()
    assert switched_off.counts["no_syncer"] == 0
    switched_off.destroy_node()


@pytest.mark.parametrize(
    ("ms", "already", "wanted"), [(-200.0, 0.0, ("after", "to -200")), (160.0, 40.0, ("before", "to 200"))]
)
def test_stamps_that_are_apart_are_said_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch, ms: float, already: float, wanted: tuple[str, str]
) -> None:
    node = perception(audio_offset_ms=already)
    monkeypatch.setattr(PerceptionNode, "av_offset_ms", ms)
    assert node.details()["av_offset_ms"] == f"{ms:.0f}"
    text = node._texts()["av_offset"]
    for part in (f"{abs(ms):.0f} ms apart", *wanted):
        assert part in text
    node.destroy_node()


def test_a_calibration_of_other_images_is_said_and_not_used() -> None:
    settings = {"active_speaker": False, "body.enabled": False}
    node = PerceptionNode(True, [Parameter(name, value=value) for name, value in settings.items()])
    assert node.bring_up()
    node.perceive(Frame(1_000_000_000, np.zeros((360, 640, 3), np.uint8)))
    k = [1000.0, 0.0, 640.0, 0.0, 1000.0, 360.0, 0.0, 0.0, 1.0]
    node._on_camera_info(CameraInfo(k=k, width=640, height=480))
    assert node.counts["camera_info_size"] == 1
    assert not node.details()["calibrated"]
    node._on_camera_info(CameraInfo(k=k, width=1280, height=720))
    assert node.counts["camera_info_size"] == 1
    assert node.details()["calibrated"]
    node.shut_down()
    node.destroy_node()
