"""The service and the action, asked of real processes; their topics go on meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from perception_scene import RATE
from rclpy.action import ActionClient
from robot_heads import utterance
from ros_processes import Listener, listener, node_process
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from hmgen_ros.action import GenerateHeadMotion
from hmgen_ros.msg import HeadMotion, People, Person, PredictedAction
from hmgen_ros.nodes.image_conversion import stamp_message
from hmgen_ros.srv import PredictInteraction
from hmgen_ros.types import Action, action_mask

SPEAKING = action_mask(Action.SPEAKING)
OWN_HEAD = "head_motion_node/own_head_motion"


def ask(ear: Listener, client: Any, **question: Any) -> Any:
    return ear.ask(client, PredictInteraction.Request(**question))


def tell_people(ear: Listener, publisher: Any, ticks: int) -> None:
    """Two people, one of whom speaks."""
    for tick in range(ticks):
        message = People(image_width=640, image_height=480, tick=tick, reset=tick == 0)
        message.header.frame_id = "camera"
        message.header.stamp = stamp_message(1_000_000_000 + 40_000_000 * tick)
        message.people = [Person(id="a", active_actions=SPEAKING), Person(id="b")]
        publisher.publish(message)
    assert ear.spin_until(lambda: len(ear.received["predicted_action"]) >= 2 * ticks)


def test_futures_of_the_people_in_view_and_of_a_history() -> None:
    with listener() as ear, node_process("interaction_node", "-p", "model:=semi_markov") as process:
        ear.listen(PredictedAction, "predicted_action")
        people = ear.node.create_publisher(People, "people", 100)
        client = ear.node.create_client(PredictInteraction, "interaction_node/predict_interaction")
        assert ear.spin_until(lambda: people.get_subscription_count() == 1)
        early = ask(ear, client)
        assert not early.success
        assert "nothing has been observed yet" in early.message
        tell_people(ear, people, 20)

        now = ask(ear, client, horizon=2.0, samples=100, seed=5)
        assert now.success, now.message
        assert now.interaction.person_ids == ["a", "b"]
        assert (now.interaction.samples, now.interaction.steps) == (100, 50)
        assert len(now.interaction.futures) == 100 * 50 * 2
        assert now.interaction.header.frame_id == "camera"
        assert now.interaction.header.stamp == stamp_message(1_000_000_000 + 40_000_000 * 19)
        assert now.next_speaker.current_speaker_id == "a"

        told = np.tile(np.array([SPEAKING, 0], np.uint16), 20)
        same = ask(ear, client, horizon=2.0, samples=100, seed=5, person_ids=["a", "b"], history=told)
        assert same.success, same.message
        assert same.interaction.futures == now.interaction.futures
        assert same.interaction.header.frame_id == ""
        other = ask(ear, client, horizon=2.0, samples=100, seed=6)
        assert other.interaction.futures != now.interaction.futures

        usual = ask(ear, client, person_ids=["b"])
        assert (usual.interaction.samples, usual.interaction.steps) == (32, 40)
        assert [action.person_id for action in usual.actions] == ["b"]
        for question, text in (
            ({"person_ids": ["x"]}, "x cannot be seen; in view: a, b"),
            ({"person_ids": ["a", "b"], "history": [0, 2, 0]}, "no whole number of ticks"),
            ({"history": [0, 2]}, "0 people"),
            ({"horizon": 100.0}, "horizon"),
        ):
            refused = ask(ear, client, **question)
            assert not refused.success
            assert text in refused.message
        assert process.poll() is None


def test_nobody_is_answered_by_a_node_that_is_not_active() -> None:
    with listener() as ear, node_process("interaction_node", "-p", "autostart:=false"):
        client = ear.node.create_client(PredictInteraction, "interaction_node/predict_interaction")
        answer = ask(ear, client, person_ids=["a"], history=[0])
        assert not answer.success
        assert "not active" in answer.message


def tell_joint(ear: Listener, position: float) -> None:
    """Tell where the head is until it moves, which it does from there."""
    commands = "head_motion_node/joint_trajectory"
    ear.listen(JointTrajectory, commands)
    states = ear.node.create_publisher(JointState, "joint_states", 10)

    def moves() -> bool:
        states.publish(JointState(name=["pan"], position=[position]))
        return bool(ear.received[commands])

    assert ear.spin_until(moves)


class Speaker:
    """Sends sounds to a head and waits for their motion."""

    def __init__(self, ear: Listener) -> None:
        self.ear = ear
        self.progress: list[float] = []
        self.client = ActionClient(ear.node, GenerateHeadMotion, "head_motion_node/generate_head_motion")
        assert ear.spin_until(self.client.server_is_ready)
        # Whoever answers now knows this client, too.
        ear.meet("head_motion_node")

    def goal(self, sound: np.ndarray, **options: Any) -> Any:
        goal = GenerateHeadMotion.Goal(**{"sample_rate": RATE, "channels": 1, **options})
        goal.samples.frombytes((32767 * sound).astype(np.int16).tobytes())
        return goal

    def send(self, goal: Any) -> Any:
        future = self.client.send_goal_async(goal, lambda m: self.progress.append(m.feedback.progress))
        assert self.ear.spin_until(future.done)
        assert future.result().accepted
        return future.result()

    def result(self, handle: Any) -> Any:
        future = handle.get_result_async()
        assert self.ear.spin_until(future.done)
        return future.result()


def test_the_motion_of_an_utterance() -> None:
    settings = ("own_head.enabled:=true", "robot_head.yaw.joint:=pan", "robot_head.yaw.upper:=0.3")
    arguments = [part for setting in settings for part in ("-p", setting)]
    with listener() as ear, node_process("head_motion_node", *arguments) as process:
        ear.listen(HeadMotion, OWN_HEAD)
        speaker = Speaker(ear)
        assert ear.spin_until(lambda: len(ear.received[OWN_HEAD]) > 5)
        sound = utterance()
        lost = speaker.result(speaker.send(speaker.goal(sound[:RATE])))
        assert "joint_states has not told of pan" in lost.result.message
        assert not lost.result.trajectory.points
        tell_joint(ear, 0.2)
        speaker.progress.clear()
        before = len(ear.received[OWN_HEAD])
        start = stamp_message(5_000_000_000)
        spoken = speaker.result(speaker.send(speaker.goal(sound, landmarks=True, seed=3, start=start)))
        # Its own head was told of on and on.
        assert len(ear.received[OWN_HEAD]) > before + 3
        assert spoken.status == GoalStatus.STATUS_SUCCEEDED, spoken.result.message
        assert speaker.progress == pytest.approx([0.3125, 0.625, 0.9375])
        motion, trajectory = spoken.result.motion, spoken.result.trajectory
        assert motion.steps == 80
        assert len(motion.landmarks) == 80 * 136
        assert np.isfinite(motion.landmarks).all()
        assert motion.header.stamp == trajectory.header.stamp == start
        assert 1.0 < spoken.result.voiced <= 3.2
        assert trajectory.joint_names == ["pan"]
        pan = np.array([point.positions[0] for point in trajectory.points])
        assert np.ptp(pan) > 0
        assert np.abs(pan).max() <= 0.5
        assert trajectory.points[-1].velocities[0] == 0.0
        assert trajectory.points[-1].time_from_start.sec >= 3

        again = speaker.result(speaker.send(speaker.goal(sound, seed=3)))
        assert again.result.motion.yaw == motion.yaw
        assert len(again.result.motion.landmarks) == 0

        running, waiting = (speaker.send(speaker.goal(np.tile(sound, 30))) for _ in range(2))
        for handle in (waiting, running):
            cancelled = handle.cancel_goal_async()
            assert ear.spin_until(cancelled.done)
            assert len(cancelled.result().goals_canceling) == 1
        for handle in (waiting, running):
            assert speaker.result(handle).status == GoalStatus.STATUS_CANCELED

        for goal, text in (
            (speaker.goal(sound, sample_rate=100), "sample_rate is 100"),
            (speaker.goal(sound[:3], channels=2), "3 samples cannot be split into 2 channels"),
            (speaker.goal(sound[:0]), "no samples"),
            (speaker.goal(np.zeros(121 * RATE)), "121.0 s long"),
            (speaker.goal(sound, model="crystal_ball"), "crystal_ball"),
        ):
            refused = speaker.result(speaker.send(goal))
            assert refused.status == GoalStatus.STATUS_ABORTED
            assert text in refused.result.message
        silent = speaker.result(speaker.send(speaker.goal(np.zeros(RATE // 2))))
        assert silent.status == GoalStatus.STATUS_SUCCEEDED
        assert "no voice" in silent.result.message
        speaker.client.destroy()
        assert process.poll() is None
