"""Nodes that die, come back or come late, and two robots on one machine: real processes over loopback."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from message_times import (
    STRETCH,
    hear_predictions,
    keep_up,
    misses_no_tick,
    occupied_since,
    own_up,
    perceived_without_a_gap,
    stamps,
)
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_processes import kill, listener, node_process
from sensor_msgs.msg import Image
from std_msgs.msg import String

from hmgen_ros.evaluation.bag_reader import Bag
from hmgen_ros.message_reading import stamp_ns
from hmgen_ros.msg import People
from hmgen_ros.nodes.image_conversion import image_from_frame
from hmgen_ros.types import TICK_NS, Frame

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def time_0(message: People) -> int:
    """Stamp of the tick that the sender counts from, nanoseconds."""
    return stamp_ns(message.header.stamp) - message.tick * TICK_NS


def test_a_predictor_is_killed_and_comes_back_while_the_others_go_on(recording: str) -> None:
    with listener() as ear, ExitStack() as nodes:
        hear_predictions(ear)
        interaction = nodes.enter_context(node_process("interaction_node"))
        for name in ("perception_node", "head_motion_node"):
            nodes.enter_context(node_process(name))
        # It waits for perception at every image, so that a busy machine makes it slower and not different.
        nodes.enter_context(
            node_process(
                "media_node", "-p", f"source:={recording}", "-p", "pace:=consumed", "-p", "loop:=true"
            )
        )
        assert ear.spin_until(lambda: len(ear.received["predicted_interaction"]) >= STRETCH)
        assert keep_up(ear, "head_motion")
        dies = len(ear.received["people"])
        kill(interaction)
        ear.spin_for(1.0)  # what was on its way
        seen, forecast = len(ear.received["people"]), len(ear.received["predicted_interaction"])
        assert ear.spin_until(lambda: len(ear.received["people"]) >= seen + STRETCH)
        alone = ear.received["people"][seen : seen + STRETCH]
        assert perceived_without_a_gap(alone)
        assert misses_no_tick(ear, "head_motion", ear.received["people"][dies : seen + STRETCH])
        assert len(ear.received["predicted_interaction"]) == forecast
        # A late joiner: it knows nobody, and predicts from the first message on.
        nodes.enter_context(node_process("interaction_node"))
        assert ear.spin_until(lambda: len(ear.received["predicted_interaction"]) >= forecast + STRETCH)
        again = ear.received["predicted_interaction"][forecast:]
        assert min(stamps(again)) > stamp_ns(alone[-1].header.stamp)


def test_perception_is_killed_and_predictors_begin_anew_with_the_next(recording: str) -> None:
    with listener() as ear, ExitStack() as nodes:
        hear_predictions(ear)
        perception = nodes.enter_context(node_process("perception_node"))
        predictors = [
            nodes.enter_context(node_process(name)) for name in ("interaction_node", "head_motion_node")
        ]
        media = ("-p", f"source:={recording}", "-p", "pace:=consumed", "-p", "consumed_timeout_s:=0.2")
        nodes.enter_context(node_process("media_node", *media, "-p", "loop:=true"))
        assert ear.spin_until(lambda: len(ear.received["people"]) >= STRETCH)
        kill(perception)
        ear.spin_for(2.0)  # what was on its way
        seen, moved = len(ear.received["people"]), len(ear.received["head_motion"])
        former = {person.id for message in ear.received["people"] for person in message.people}
        nodes.enter_context(node_process("perception_node"))
        # The predictors may find it before we do.
        assert ear.spin_until(lambda: len(ear.received["people"]) >= seen + STRETCH)
        assert ear.spin_until(lambda: len(ear.received["head_motion"]) >= moved + STRETCH)
        assert all(process.poll() is None for process in predictors)
        anew = ear.received["people"][seen:]
        # Its clock starts again.
        assert time_0(anew[0]) > stamp_ns(ear.received["people"][seen - 1].header.stamp)
        # Ids are random: nobody is taken for somebody of before.
        assert not former & {person.id for message in anew for person in message.people}
        first = stamp_ns(anew[0].header.stamp)
        assert ear.spin_until(
            lambda: any(
                message.valid and stamp_ns(message.header.stamp) >= first
                for message in reversed(ear.received["predicted_interaction"])
            )
        )
        for topic in ("predicted_interaction", "head_motion"):
            # The first ticks are lost to a predictor that has not found the new perception yet.
            found = min(stamp for stamp in stamps(ear.received[topic]) if stamp >= first)
            # On a busy machine that is later than all that we waited for.
            assert ear.spin_until(lambda since=found: len(occupied_since(ear, since)) >= STRETCH)
            assert misses_no_tick(ear, topic, occupied_since(ear, found))


@dataclass(frozen=True)
class Victim:
    """A node that is killed, the topic that tells that it works, and how it is started again."""

    name: str
    topic: str
    arguments: tuple[str, ...] = ()
    again: tuple[str, ...] = ()


def test_what_perception_does_not_need_is_killed_and_comes_back_while_the_others_go_on(
    recording: str, tmp_path: Path
) -> None:
    """The film waits for perception at every image; who dies must not hold up the others."""
    victims = (
        Victim("head_motion_node", "head_motion"),
        Victim("annotator_node", "annotated_image"),
        # A recording is never added to.
        Victim("recorder_node", "recording", *(("-p", f"output:={tmp_path / n}") for n in ("one", "two"))),
    )
    with listener() as ear, ExitStack() as nodes:
        hear_predictions(ear)
        ear.listen(Image, "annotated_image")
        # Latched: told once, often before anybody listens.
        ear.received["recording"] = []
        ear.node.create_subscription(String, "recording", ear.received["recording"].append, LATCHED)
        running = {
            victim: nodes.enter_context(node_process(victim.name, *victim.arguments)) for victim in victims
        }
        others = [nodes.enter_context(node_process(n)) for n in ("perception_node", "interaction_node")]
        film = ("-p", f"source:={recording}", "-p", "pace:=consumed", "-p", "loop:=true")
        others.append(nodes.enter_context(node_process("media_node", *film)))
        for victim in victims:
            assert ear.spin_until(lambda topic=victim.topic: len(ear.received[topic]) > 0), victim
        for victim in victims:
            assert keep_up(ear, "predicted_interaction", "head_motion")
            dies = len(ear.received["people"])
            kill(running[victim])
            ear.spin_for(1.0)  # what was on its way
            seen, before = len(ear.received["people"]), len(ear.received[victim.topic])
            assert ear.spin_until(lambda n=seen: len(ear.received["people"]) >= n + STRETCH)
            alone = ear.received["people"][seen : seen + STRETCH]
            assert perceived_without_a_gap(alone)
            for topic in {"predicted_interaction", "head_motion"} - {victim.topic}:
                assert misses_no_tick(ear, topic, ear.received["people"][dies : seen + STRETCH]), topic
            assert len(ear.received[victim.topic]) == before, f"{victim.name} still sends"
            nodes.enter_context(node_process(victim.name, *victim.again))
            assert ear.spin_until(lambda v=victim, n=before: len(ear.received[v.topic]) > n), victim
        assert all(process.poll() is None for process in others)
    with Bag(tmp_path / "one" / "bag") as cut_off:
        assert cut_off.counts["bag_truncated"] == 1
        assert cut_off.topics["/people"].count > 0


def test_the_source_is_killed_and_perception_goes_on_with_the_next(recording: str) -> None:
    with listener() as ear, ExitStack() as nodes:
        hear_predictions(ear)
        others = [nodes.enter_context(node_process(n)) for n in ("perception_node", "interaction_node")]
        film = ("-p", f"source:={recording}", "-p", "pace:=consumed", "-p", "loop:=true")
        media = nodes.enter_context(node_process("media_node", *film))
        assert keep_up(ear, "predicted_interaction")
        kill(media)
        ear.spin_for(2.0)  # what was on its way
        seen, last = len(ear.received["people"]), ear.received["people"][-1]
        nodes.enter_context(node_process("media_node", *film))
        assert ear.spin_until(lambda: len(ear.received["people"]) >= seen + STRETCH)
        again = ear.received["people"][seen : seen + STRETCH]
        assert min(stamps(again)) > stamp_ns(last.header.stamp)
        assert perceived_without_a_gap(again[1:])
        assert misses_no_tick(ear, "predicted_interaction", again)
        assert all(process.poll() is None for process in others)


def test_two_robots_on_one_machine_do_not_hear_each_other(recording: str) -> None:
    with listener() as ear, ExitStack() as nodes:
        for robot in ("robot1", "robot2"):
            ear.listen(People, f"/{robot}/people")
            nodes.enter_context(node_process("perception_node", "-r", f"__ns:=/{robot}"))
        film = ("-p", f"source:={recording}", "-p", "pace:=consumed")
        nodes.enter_context(node_process("media_node", *film, "-r", "__ns:=/robot1"))
        assert ear.spin_until(lambda: len(ear.received["/robot1/people"]) >= STRETCH)
        assert not ear.received["/robot2/people"]
        nodes.enter_context(node_process("media_node", *film, "-r", "__ns:=/robot2"))
        assert ear.spin_until(lambda: len(ear.received["/robot2/people"]) >= STRETCH)
        one, other = (ear.received[f"/{robot}/people"] for robot in ("robot1", "robot2"))
        assert perceived_without_a_gap(one[1:])
        assert perceived_without_a_gap(other[1:])
        ids = [{person.id for message in people for person in message.people} for people in (one, other)]
        assert len(ids[0]) == len(ids[1]) == 3
        assert not ids[0] & ids[1]
        ticks = np.diff(stamps(other)) / TICK_NS
        np.testing.assert_allclose(ticks, np.rint(ticks), atol=0.01)


def test_perception_that_was_held_up_goes_on_with_the_newest_image() -> None:
    """Nothing queues up: most images that came meanwhile are never looked at, and are told as missed."""
    pixels, burst = np.zeros((48, 64, 3), np.uint8), 45
    with listener() as ear, node_process("perception_node", "-p", "max_future_s:=3600.0") as perception:
        ear.listen(People, "people")
        images = ear.node.create_publisher(Image, "image_raw", 10)
        assert ear.spin_until(lambda: images.get_subscription_count() > 0)
        tick = ear.node.get_clock().now().nanoseconds // TICK_NS

        def send() -> None:
            nonlocal tick
            tick += 1
            images.publish(image_from_frame(Frame(tick * TICK_NS, pixels)))

        def reaches(wanted: int) -> bool:
            """Whether an image of that tick or a later one is perceived; another one is sent until then."""
            if (stamps(ear.received["people"]) >= wanted * TICK_NS).any():
                return True
            send()
            return False

        assert ear.spin_until(lambda: reaches(0))
        perception.send_signal(signal.SIGSTOP)
        first = tick
        for _ in range(burst):
            send()
        last = tick
        perception.send_signal(signal.SIGCONT)
        assert ear.spin_until(lambda: reaches(last))
        seen = stamps(ear.received["people"]) / TICK_NS
        assert ((seen > first) & (seen <= last)).sum() < burst / 2
        assert own_up(ear.received["people"])
