"""A bag played over topics in its own time, as with ros2 bag play, gives what its evaluation gives."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from bag_player import BagPlayer
from message_times import stamps
from perception_scene import frames
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from ros_processes import Listener, listener, node_process
from sensor_msgs.msg import CompressedImage

from hmgen_ros.evaluation.bag_inputs import Choice, choose
from hmgen_ros.evaluation.bag_reader import Bag
from hmgen_ros.evaluation.bag_replay import Replay, ReplaySettings, Tick
from hmgen_ros.message_definitions import typestore
from hmgen_ros.message_reading import stamp_ns
from hmgen_ros.msg import People, PredictedInteraction
from hmgen_ros.nodes.bag_writer import BagWriter, type_name
from hmgen_ros.nodes.conversions import people_message
from hmgen_ros.nodes.forecast_conversion import interaction_message
from hmgen_ros.nodes.image_conversion import compressed_from_frame
from hmgen_ros.types import TICK_NS, Frame

TICKS = 75
#: In a past that no clock of this machine shows, and where no time of a file begins.
START_NS = 1_600_000_000_000_000_000
CAMERA, PEOPLE = "/image_raw/compressed", "/people"
STORE = typestore()
SIMULATED = ("-p", "use_sim_time:=true")


def camera_bag(path: Path) -> Path:
    """The first seconds of the bundled recording, as rosbag2 records a camera that offers best effort."""
    offered = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    writer = BagWriter(path, offers=lambda _: [offered])
    for tick, picture in enumerate(frames(TICKS)):
        stamp = START_NS + tick * TICK_NS
        message = compressed_from_frame(Frame(stamp, picture), 90)
        writer.write(CAMERA, CompressedImage, message, stamp + 5_000_000)
    writer.close()
    return path


def recorded(path: Path, topic: str, stamps: Collection[int]) -> list[tuple[int, bytes]]:
    """Times of receipt and messages of a topic that have one of these stamps."""
    with Bag(path) as bag:
        return [(m.time_ns, bytes(m.data)) for m in bag.messages({topic}) if m.stamp_ns() in stamps]


def evaluated(topic: str, kind: type, messages: list[tuple[int, bytes]]) -> dict[int, Tick]:
    """What hmgen evaluate bag perceives and forecasts of a bag of these messages, by stamp."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bag"
        writer = BagWriter(path)
        for time_ns, message in messages:
            writer.write(topic, kind, message, time_ns)
        writer.close()
        with Bag(path) as bag:
            replay = Replay(bag, choose(bag, Choice()), ReplaySettings())
            return {tick.scene.stamp_ns: tick for tick in replay.ticks()}


def content(message: Any) -> bytes:
    """A message serialised anew: rmw leaves in the gaps whatever was there."""
    kind = type_name(type(message))
    return bytes(STORE.serialize_cdr(STORE.deserialize_cdr(serialize_message(message), kind), kind))


def heard(ear: Listener, topic: str) -> dict[int, bytes]:
    """What the messages of a topic hold, by stamp."""
    return {stamp_ns(message.header.stamp): content(message) for message in ear.received[topic]}


def forecasts_of(ticks: dict[int, Tick]) -> dict[int, bytes]:
    """What interaction_node tells of ticks, by stamp."""
    forecasts = {stamp: tick.groups[ReplaySettings.model].forecast for stamp, tick in ticks.items()}
    return {
        stamp: content(interaction_message(forecast, ticks[stamp].scene.frame_id))
        for stamp, forecast in forecasts.items()
    }


def play(ear: Listener, path: Path, topic: str) -> None:
    """Play one topic of a bag to its end, and until its last message has led to a forecast."""
    player = BagPlayer(ear.node, path, {topic})
    # Perception and the recorder, or interaction and this test.
    assert ear.spin_until(lambda: player.matched(2))
    for received in ear.received.values():
        received.clear()
    player.play()
    with Bag(path) as bag:
        last = [message.stamp_ns() for message in bag.messages({topic})][-1]

    def arrived() -> bool:
        return all(last in stamps(ear.received[name][-3:]) for name in ("people", "predicted_interaction"))

    # An image may be lost on its way to a busy process, and is dropped where it comes twice. People are not.
    if topic == CAMERA and not ear.spin_until(arrived, 10.0):
        player.repeat_last()
    assert ear.spin_until(arrived)
    player.close()


def check_what_rosbag2_reads(path: Path) -> None:
    """What ``ros2 bag play`` and ``ros2 bag info`` need to know of a recording in simulated time."""
    told = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (told["version"], told["storage_identifier"]) == (9, "mcap")
    assert told["relative_file_paths"] == [file["path"] for file in told["files"]] == ["bag.mcap"]
    assert told["message_count"] == sum(one["message_count"] for one in told["topics_with_message_count"])
    # Times are those of the clock that was played.
    since = told["starting_time"]["nanoseconds_since_epoch"] - START_NS
    assert 0 <= since <= since + told["duration"]["nanoseconds"] <= (TICKS + 2) * TICK_NS
    topics = {
        one["topic_metadata"]["name"]: one["topic_metadata"] for one in told["topics_with_message_count"]
    }
    for name, reliability in ((CAMERA, "best_effort"), (PEOPLE, "reliable")):
        (offered,) = topics[name]["offered_qos_profiles"]
        assert (offered["reliability"], offered["durability"]) == (reliability, "volatile")
        assert topics[name]["type_description_hash"] == STORE.hash_rihs01(topics[name]["type"])
        assert topics[name]["serialization_format"] == "cdr"


def test_a_bag_played_in_its_own_time_gives_what_its_evaluation_gives(tmp_path: Path) -> None:
    camera, out = camera_bag(tmp_path / "camera"), tmp_path / "out"
    compressed = ("-p", "image_transport:=compressed", "-p", "seed:=0")
    recording = ("-p", f"output:={out}", "-p", "video:=false")
    with (
        listener() as ear,
        node_process("interaction_node", *SIMULATED, "-p", "seed:=0"),
    ):
        ear.listen(People, "people")
        ear.listen(PredictedInteraction, "predicted_interaction")
        with (
            node_process("perception_node", *SIMULATED, *compressed),
            node_process("recorder_node", *SIMULATED, *recording),
        ):
            ear.meet("perception_node", "interaction_node", "recorder_node")
            play(ear, camera, CAMERA)
        # Whatever was lost on a busy machine, the rest is what the evaluation makes of the rest.
        people, forecasts = heard(ear, "people"), heard(ear, "predicted_interaction")
        seen = evaluated(CAMERA, CompressedImage, recorded(camera, CAMERA, people))
        assert people == {stamp: content(people_message(tick.scene)) for stamp, tick in seen.items()}
        assert max(len(message.people) for message in ear.received["people"]) == 3
        known = [(stamp, people[stamp]) for stamp in sorted(forecasts)]
        assert forecasts == forecasts_of(evaluated(PEOPLE, People, known))
        bag = out / "bag"
        check_what_rosbag2_reads(bag)
        play(ear, bag, PEOPLE)
        again = heard(ear, "predicted_interaction")
        assert again == forecasts_of(evaluated(PEOPLE, People, recorded(bag, PEOPLE, again)))
