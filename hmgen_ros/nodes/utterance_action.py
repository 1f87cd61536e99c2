"""The action ``~/generate_head_motion``: the sound of an utterance in, the motion of the robot's head out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup

from hmgen_ros.action import GenerateHeadMotion
from hmgen_ros.generators.head_ahead import FACE_PX, IMAGE_SIZE
from hmgen_ros.nodes.background import Background
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.forecast_conversion import motion_message
from hmgen_ros.nodes.image_conversion import stamp_ns
from hmgen_ros.nodes.joint_trajectory import joint_trajectory_message
from hmgen_ros.robot_head import RobotHeadConfig, whole_trajectory
from hmgen_ros.robot_head.speaking_head import SpeakingHead
from hmgen_ros.robot_head.utterance import Utterance, UtteranceTick, say
from hmgen_ros.streams.audio import BadAudio
from hmgen_ros.types import TICK_HZ, HeadMotion

Goal, Result, Feedback = GenerateHeadMotion.Goal, GenerateHeadMotion.Result, GenerateHeadMotion.Feedback
# rclpy asks for another type of feedback than it takes.
Handle: TypeAlias = Any

#: Goals that may wait for the one before.
_MOST_WAITING = 8
#: Ticks from one feedback to the next: a second of motion.
_FEEDBACK_TICKS = TICK_HZ


class _Cancelled(Exception):
    """Nobody wants the motion any more."""


class _Refused(ValueError):
    """There is no motion; the text says why, and what to do."""


@dataclass(frozen=True)
class RobotJoints:
    """The joints that a trajectory is for.

    Attributes:
        config: the head.
        positions: where its joints are, rad by name, as far as that is known.
    """

    config: RobotHeadConfig
    positions: Mapping[str, float]

    @property
    def lost(self) -> tuple[str, ...]:
        """Joints of which nobody has told where they are."""
        return tuple(joint.name for joint in self.config.joints if joint.name not in self.positions)


class UtteranceAction:
    """Generates whole utterances in a thread; topics at 25 Hz go on meanwhile."""

    def __init__(
        self,
        node: HmgenNode,
        load: Callable[[str, int], SpeakingHead],
        joints: Callable[[], RobotJoints | None],
    ) -> None:
        """Offer the action.

        Args:
            node: with the parameter ``own_head.speech_model``.
            load: a head that speaks by a model of this name and with this seed; raises ValueError,
                RuntimeError or OSError where it cannot be had.
            joints: of the robot; None where none is named.
        """
        self._node, self._load, self._joints = node, load, joints
        self._background = Background(node, "utterances")
        self._server = ActionServer(
            node,
            GenerateHeadMotion,
            "~/generate_head_motion",
            self._execute,
            goal_callback=self._receive,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    def destroy(self) -> None:
        """Offer it no longer."""
        self._server.destroy()

    def _receive(self, goal: Any) -> GoalResponse:
        if self._background.waiting <= _MOST_WAITING:
            return GoalResponse.ACCEPT
        self._node.warn("utterance_refused", f"{_MOST_WAITING} utterances wait already; another was refused")
        return GoalResponse.REJECT

    async def _execute(self, handle: Handle) -> Any:
        result = Result()
        try:
            result = await self._background.run(partial(self._generate, handle))
        except _Cancelled:
            result.message = "cancelled"
            handle.canceled()
        except (BadAudio, _Refused) as error:
            self._node.warn("bad_utterance", f"an utterance has no motion: {error}")
            result.message = str(error)
            handle.abort()
        except Exception:
            self._node.warn("internal_error", f"a defect in an utterance:\n{traceback.format_exc()}")
            result.message = f"a defect in {self._node.get_name()}; its log tells more"
            handle.abort()
        else:
            handle.succeed()
        return result

    def _generate(self, handle: Handle) -> Any:
        """The result of a goal; in the thread."""
        goal = handle.request
        utterance = Utterance.of(np.frombuffer(goal.samples, np.int16), goal.sample_rate, goal.channels)
        self._check(handle)
        head = self._head(goal.model or self._node.param("own_head.speech_model"), goal.seed)
        ticks: list[UtteranceTick] = []
        for tick in say(head, utterance):
            ticks.append(tick)
            self._check(handle)
            if len(ticks) % _FEEDBACK_TICKS == 0:
                handle.publish_feedback(Feedback(progress=len(ticks) / utterance.ticks))
        poses = np.stack([tick.pose for tick in ticks])
        if not np.isfinite(poses).all():
            raise _Refused("the model gave no numbers: use another one")
        voiced, joints = sum(tick.speaking for tick in ticks) / TICK_HZ, self._joints()
        return Result(
            message=_to_know(voiced, joints),
            motion=self._motion(goal, ticks, poses),
            trajectory=_trajectory(joints, goal.start, poses - head.rest),
            voiced=voiced,
        )

    def _check(self, handle: Handle) -> None:
        """Raise where there is no need to go on."""
        if handle.is_cancel_requested:
            raise _Cancelled
        if not self._node.active:
            raise _Refused(f"{self._node.get_name()} is not active: activate it first")

    def _head(self, model: str, seed: int) -> SpeakingHead:
        if not model:
            raise _Refused("own_head.speech_model is empty: name a model in the goal")
        try:
            return self._load(model, seed)
        except (ValueError, RuntimeError, OSError) as error:
            raise _Refused(f"the model cannot be had: {error}") from error

    def _motion(self, goal: Any, ticks: list[UtteranceTick], poses: NDArray[np.float32]) -> Any:
        middle = np.asarray(IMAGE_SIZE, np.float32) / 2.0
        points = np.stack([tick.landmarks_px for tick in ticks])
        person_id = self._node.param("own_head.person_id")
        message = motion_message(
            HeadMotion(stamp_ns(goal.start), person_id, points, middle, FACE_PX, poses), ""
        )
        if not goal.landmarks:
            del message.landmarks[:]
        return message


def _to_know(voiced: float, joints: RobotJoints | None) -> str:
    """What is to know of a motion, empty where nothing is."""
    known = [] if voiced else ["no voice was heard in the sound: the head moves as if it was silent"]
    if joints is not None and joints.lost:
        known.append(f"no trajectory: joint_states has not told of {', '.join(joints.lost)}")
    return "; ".join(known)


def _trajectory(joints: RobotJoints | None, start: Time, targets: NDArray[np.float64]) -> Any:
    """Of the joints from where they are; from anywhere else the robot would jump there first."""
    if joints is None or joints.lost:
        return Result().trajectory
    motion = whole_trajectory(joints.config, targets, joints.positions)
    message = joint_trajectory_message(motion, on_arrival=True)
    message.header.stamp = start
    return message
