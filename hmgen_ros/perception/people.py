"""One tracked person's memory, and what it makes of a face, a pose and a voice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.gestures import HeadGesture
from hmgen_ros.perception.hysteresis import Latch, LatchConfig
from hmgen_ros.perception.speaking import LipMotion, lip_log_odds
from hmgen_ros.types import NUM_ACTIONS, UNKNOWN_MASK, Action, Face, Person, action_mask


class PersonMemory:
    """What is remembered of one person from tick to tick.

    Args:
        speaking: when speech begins and ends.
        gesture: when a nod or shake begins and ends.
    """

    def __init__(self, speaking: LatchConfig, gesture: LatchConfig) -> None:
        self.roi: NDArray[np.float32] | None = None
        self._lips = LipMotion()
        self._head = HeadGesture()
        self._speaking, self._gesture = Latch(speaking), Latch(gesture)
        self._gesture_probability = 0.0

    def observe(self, face: Face | None, elapsed: int) -> float:
        """Take this tick's face; returns the log odds that the lips speak, 0 while they are hidden."""
        pose = None if face is None else face.pose
        landmarks = None if face is None else face.landmarks
        motion = self._lips.update(landmarks, pose.yaw if pose else 0.0, elapsed)
        self._gesture_probability = self._head.update(pose, elapsed)
        return lip_log_odds(motion) if face is not None else 0.0

    def person(
        self, person_id: str, age: int, face: Face | None, speaks: float, owns_voice: float, elapsed: int
    ) -> Person:
        """The person at this tick, given the probabilities of speech and of being who is heard."""
        if face is None:
            unknown = np.full(NUM_ACTIONS, np.nan, np.float32)
            return Person(person_id, None, speaks, UNKNOWN_MASK, unknown, age, owns_voice)
        gestures = self._gesture_probability
        held = [Action.SPEAKING] if self._speaking.update(speaks, elapsed) else []
        held += [Action.HEAD_GESTURE] if self._gesture.update(gestures, elapsed) else []
        probabilities = action_probabilities(speaks, gestures)
        return Person(person_id, face, speaks, action_mask(*held), probabilities, age, owns_voice)


def action_probabilities(speaks: float, gestures: float) -> NDArray[np.float32]:
    """``[NUM_ACTIONS]``; NaN for the actions that are not observed here."""
    values = np.full(NUM_ACTIONS, np.nan, np.float32)
    values[Action.SPEAKING] = speaks
    values[Action.HEAD_GESTURE] = gestures
    values[Action.NONE] = (1 - speaks) * (1 - gestures)
    return values
