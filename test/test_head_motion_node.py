"""The head-motion node hears: what the robot says over a topic, and the people in view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from message_times import comes_in_time
from perception_scene import RATE
from rclpy.parameter import Parameter
from robot_heads import cut, free_model, speech_model, utterance
from ros_processes import Listener, Refusal, listener, node_process, refusals
from test_speaker_forecaster import SPEAKING, scene

from hmgen_ros.generators import weights
from hmgen_ros.msg import AudioFrame, HeadMotion
from hmgen_ros.nodes.base import OK
from hmgen_ros.nodes.conversions import audio_message
from hmgen_ros.nodes.forecast_conversion import motion_from_message
from hmgen_ros.nodes.head_motion_node import HeadMotionNode
from hmgen_ros.nodes.image_conversion import stamp_ns
from hmgen_ros.types import AudioChunk, Scene

OWN_HEAD, SPEECH = "head_motion_node/own_head_motion", "head_motion_node/speech"


@pytest.fixture(scope="module")
def speech_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained model that hears."""
    path = tmp_path_factory.mktemp("models") / "speech.safetensors"
    weights.save(path, *speech_model().to_weights())
    return path


def in_view(tick: int) -> Scene:
    """One person who speaks and one who does not, both with a face whose pose can be told."""
    seen = scene(tick, {"a": SPEAKING, "b": 0})
    points = 60.0 * free_model().mean.reshape(68, 2).numpy() + np.array([320.0, 240.0 + tick], np.float32)
    people = [
        replace(person, face=replace(person.face, landmarks_px=points, origin_px=points[27]))
        for person in seen.people
        if person.face is not None
    ]
    return replace(seen, people=tuple(people))


def _all_told(ear: Listener) -> list[tuple[int, dict[str, str]]]:
    """Stamps and values of the node's diagnostics."""
    return [
        (stamp_ns(array.header.stamp), {value.key: value.value for value in status.values})
        for array in ear.received["/diagnostics"]
        for status in array.status
        if status.name.endswith("head_motion_node")
    ]


def _told(ear: Listener) -> dict[str, str]:
    """The newest values."""
    return _all_told(ear)[-1][1] if _all_told(ear) else {}


def test_the_robot_s_own_head_moves_by_what_it_says(speech_file: Path) -> None:
    own = ("own_head.enabled:=true", f"own_head.speech_model:={speech_file}", "diagnostics_period_s:=0.2")
    arguments = [part for setting in own for part in ("-p", setting)]
    with listener() as ear, node_process("head_motion_node", *arguments) as process:
        ear.listen(HeadMotion, OWN_HEAD)
        ear.listen(DiagnosticArray, "/diagnostics")
        says = ear.node.create_publisher(AudioFrame, SPEECH, 100)
        ear.meet("head_motion_node")
        assert ear.spin_until(lambda: says.get_subscription_count() > 0 and "speech_latency_ms" in _told(ear))
        assert _told(ear)["own_head_moves_by"] == "itself"
        assert _told(ear)["speech_latency_ms"] == "167.5"
        bad = audio_message(AudioChunk(1, np.zeros(400, np.float32), 4000), "robot")
        says.publish(bad)
        assert ear.spin_until(lambda: _told(ear).get("count/audio_rate") == "1"), _told(ear)
        now = ear.node.get_clock().now().nanoseconds
        for at, part in cut(utterance(), [RATE // 10]):
            says.publish(audio_message(AudioChunk(now + at * 62_500, part, RATE), "robot"))
        for mover in ("speech", "itself"):
            assert ear.spin_until(lambda by=mover: _told(ear).get("own_head_moves_by") == by), _told(ear)
        assert ear.spin_until(lambda: float(_told(ear)["speech_queued_s"]) == 0.0)
        assert comes_in_time(ear, OWN_HEAD)
        assert process.poll() is None
        told = _told(ear)
    assert told["own_head_speech_model"] == str(speech_file)
    assert told["count/audio_rate"] == "1"
    spoken = [at for at, values in _all_told(ear) if values.get("own_head_moves_by") == "speech"]
    assert 1.6 <= (spoken[-1] - spoken[0]) / 1e9 <= 4.4
    motions = [motion_from_message(message) for message in ear.received[OWN_HEAD]]
    assert all(m.valid and np.isfinite(m.landmarks_px).all() and np.isfinite(m.pose).all() for m in motions)


_OWN_HEAD_ON = ("head_motion_node", "own_head.enabled:=true")
CANNOT_START = {
    (*_OWN_HEAD_ON, "own_head.speech_model:=/nowhere/speech.safetensors"): "/nowhere/speech.safetensors",
    (*_OWN_HEAD_ON, "own_head.speech_model:=noise_driven"): "noise_driven",
    (*_OWN_HEAD_ON, "own_head.voice.off:=0.9"): "off",
    (*_OWN_HEAD_ON, "speaker_model:=crystal_ball"): "crystal_ball",
}


@pytest.fixture(scope="module")
def refused() -> dict[tuple[str, ...], Refusal]:
    return refusals(CANNOT_START)


@pytest.mark.parametrize("attempt", CANNOT_START, ids=" ".join)
def test_what_cannot_be_loaded_is_told_in_a_line(
    attempt: tuple[str, ...], refused: dict[tuple[str, ...], Refusal]
) -> None:
    assert refused[attempt].code == 2, refused[attempt].said
    assert CANNOT_START[attempt] in refused[attempt].said
    assert "Traceback" not in refused[attempt].said


@pytest.fixture
def _ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.mark.usefixtures("_ros")
def test_without_a_speech_model_the_head_moves_by_itself_and_hears_nothing() -> None:
    settings = {"own_head.enabled": True, "own_head.speech_model": ""}
    node = HeadMotionNode(overrides=[Parameter(name, value=value) for name, value in settings.items()])
    assert node.bring_up()
    assert node.count_subscribers(f"/{SPEECH}") == 0
    assert "own_head_moves_by" not in node.details()
    node.shut_down()
    node.destroy_node()


@pytest.mark.usefixtures("_ros")
def test_people_who_speak_are_forecast_by_what_is_heard(speech_file: Path) -> None:
    node = HeadMotionNode(local=True, overrides=[Parameter("speaker_model", value=str(speech_file))])
    assert node.trigger_configure() is OK
    assert node.trigger_activate() is OK
    forecasts = []
    node.motion.listeners.append(lambda value: forecasts.append(value[0]))
    for tick in range(10):
        chunk = AudioChunk(in_view(tick).stamp_ns, utterance()[tick * 640 : (tick + 1) * 640], RATE)
        node.receive(node._on_audio, audio_message(chunk, "microphone"))
        node.receive(node.predict, in_view(tick))
    node.receive(node._on_audio, audio_message(AudioChunk(0, np.zeros(400, np.float32), RATE), "microphone"))
    assert len(forecasts) == 20
    assert all(motion.valid and np.isfinite(motion.landmarks_px).all() for motion in forecasts)
    assert node._forecaster._speakers._made == 9  # the last tick's features look beyond it
    assert node.counts.values == {"audio_unstamped": 1}
    node.shut_down()
    node.destroy_node()
