"""One tracked person's memory, and what it makes of a face, a pose and a voice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.action_labels import ActionLabels
from hmgen_ros.perception.body_actions import BodyActionConfig, BodyActions
from hmgen_ros.perception.gesture_network import GestureNetwork
from hmgen_ros.perception.gestures import HeadGesture
from hmgen_ros.perception.hysteresis import LatchConfig
from hmgen_ros.perception.laughing import SmileMeter, laughing_probability
from hmgen_ros.perception.speaking import LipMotion, lip_log_odds
from hmgen_ros.types import Action, Face, HeadPose, Person, Presence, PresenceEvent

#: What a body was seen to do counts for so many ticks after that look.
BODY_MEMORY_TICKS = 15


class PersonMemory:
    """What is remembered of one person from tick to tick.

    Args:
        latches: when each action begins and ends.
        min_joint_score: points of the body below are not visible.
        gestures: the network that tells head gestures.
    """

    def __init__(
        self, latches: Mapping[Action, LatchConfig], min_joint_score: float, gestures: GestureNetwork
    ) -> None:
        self.roi: NDArray[np.float32] | None = None
        self._lips = LipMotion()
        self._pose: HeadPose | None = None
        self._head = HeadGesture(gestures)
        self._smile = SmileMeter()
        self._labels = ActionLabels(latches)
        self._evidence: dict[Action, float] = {}
        self._body = BodyActions(BodyActionConfig(min_score=min_joint_score))
        self._body_evidence: dict[Action, float] = {}
        self._body_ticks = 0

    def adjust(self, latches: Mapping[Action, LatchConfig], min_joint_score: float) -> None:
        """Go by other settings from now on; arguments as of the constructor."""
        self._labels.adjust(latches)
        self._body.config = BodyActionConfig(min_score=min_joint_score)

    def observe(self, face: Face | None, bursts: float, elapsed: int) -> float:
        """Take this tick's face, and the probability that sound comes in bursts; NaN without sound.

        Returns:
            The log odds that the lips speak, 0 while they are hidden.
        """
        pose = None if face is None else face.pose
        landmarks = None if face is None else face.landmarks
        turned = 0.0
        if pose is not None and self._pose is not None:
            turned = math.hypot(pose.yaw - self._pose.yaw, pose.pitch - self._pose.pitch)
        self._pose = pose
        motion = self._lips.update(landmarks, pose.yaw if pose else 0.0, elapsed, turned)
        self._evidence = {
            Action.LAUGHING: laughing_probability(self._smile.update(landmarks, elapsed), bursts),
            Action.HEAD_GESTURE: self._head.update(pose, elapsed).any,
        }
        return lip_log_odds(motion) if face is not None else 0.0

    def observe_body(self, stamp_ns: int, joints: NDArray[np.float32] | None) -> None:
        """Take a look at the body, ``[17, 3]``, or None where none was seen in the image of this stamp."""
        found = self._body.update(stamp_ns / 1e9, joints)
        if joints is not None:
            self._body_evidence, self._body_ticks = found, 0

    def person(
        self, person_id: str, age: int, face: Face | None, speaks: float, owns_voice: float, elapsed: int
    ) -> Person:
        """The person at this tick, given the probabilities of speech and of being who is heard."""
        self._body_ticks += elapsed
        body = self._body_evidence if self._body_ticks <= BODY_MEMORY_TICKS else {}
        seen_speaking = math.nan if face is None else speaks
        mask, probabilities = self._labels.update(
            {Action.SPEAKING: seen_speaking, **self._evidence, **body}, elapsed
        )
        return Person(person_id, face, speaks, mask, probabilities, age, owns_voice)


class Attendance:
    """Who was there at the last tick, and so what happened since."""

    def __init__(self) -> None:
        self._present: tuple[str, ...] = ()

    def update(
        self, present: Sequence[str], returned: Sequence[str], renamed: Sequence[tuple[str, str]]
    ) -> tuple[PresenceEvent, ...]:
        """What happened at this tick.

        Args:
            present: ids of everyone who is there.
            returned: those of them who had left.
            renamed: (id from now on, id until now) of those who were recognised late.
        """
        before, self._present = self._present, tuple(present)
        ended = {was for _, was in renamed}
        events = [PresenceEvent(Presence.RENAMED, new, was) for new, was in renamed]
        events += [PresenceEvent(Presence.LEFT, p) for p in before if p not in present and p not in ended]
        known = {*before, *(new for new, _ in renamed)}
        for person_id in present:
            if person_id not in known:
                kind = Presence.RETURNED if person_id in returned else Presence.ENTERED
                events.append(PresenceEvent(kind, person_id))
        return tuple(events)
