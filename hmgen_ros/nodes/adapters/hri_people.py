"""Faces, voices and persons of ROS4HRI (REP-155) to our people, tick by tick; without ROS.

Somebody else's perception says where faces are and who speaks. What a forecaster needs besides is made here
as our own perception makes it: the pose of the head, gestures of it, and actions that hold. Who is not
matched with a person yet goes by the id of the face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.action_labels import ActionLabels
from hmgen_ros.perception.gesture_network import GestureNetwork
from hmgen_ros.perception.gestures import HeadGesture
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.perception.normalisation import normalise
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.speaking import LipMotion, lip_log_odds, speaking_probabilities
from hmgen_ros.types import NUM_LANDMARKS, Action, Face, Person, Scene


@dataclass(frozen=True, slots=True)
class SeenFace:
    """The last landmarks of one face.

    Attributes:
        stamp_ns: of the image.
        landmarks_px: ``[68, 2]`` float32 pixels.
        visibility: ``[68]`` float32.
        image_size: width and height, pixels.
        frame_id: of the camera.
    """

    stamp_ns: int
    landmarks_px: NDArray[np.float32]
    visibility: NDArray[np.float32]
    image_size: tuple[int, int]
    frame_id: str


@dataclass
class HriPerson:
    """What is told of one person."""

    face_id: str = ""
    voice_id: str = ""


class _Memory:
    def __init__(self, config: PerceptionConfig, gestures: GestureNetwork) -> None:
        self.lips, self.head = LipMotion(), HeadGesture(gestures)
        self.labels = ActionLabels(config.latches)
        self.age = -1


@dataclass
class HriPeople:
    """Everything that was told, and what is remembered of each person.

    Attributes:
        max_age_ns: a face is seen for so long after its image.
        faces: the last landmarks, by the id of the face.
        voices: who speaks, by the id of the voice.
        persons: by their id.
        camera: ``[3, 3]`` matrix; None for the usual one.
        config: when actions begin and end, and how far lips alone are trusted.
        gestures: the network that tells head gestures.
    """

    max_age_ns: int
    faces: dict[str, SeenFace] = field(default_factory=dict)
    voices: dict[str, bool] = field(default_factory=dict)
    persons: dict[str, HriPerson] = field(default_factory=dict)
    camera: NDArray[np.float64] | None = None
    config: PerceptionConfig = field(default_factory=PerceptionConfig)
    gestures: GestureNetwork = field(default_factory=GestureNetwork)
    _memories: dict[str, _Memory] = field(default_factory=dict)

    def scene(self, stamp_ns: int, tick: int, missed: int, reset: bool) -> Scene:
        """The people at a tick.

        Args:
            stamp_ns: of the tick.
            tick: its index.
            missed: ticks just before it that were left out.
            reset: forget everybody first.
        """
        if reset:
            self._memories.clear()
        seen = {who: one for who, one in self.faces.items() if stamp_ns - one.stamp_ns <= self.max_age_ns}
        listed = self._listed(seen)
        kept = self._memories
        self._memories = {who: kept.get(who) or _Memory(self.config, self.gestures) for who in listed}
        people = tuple(
            self._person(who, seen.get(one.face_id), one.voice_id, 1 + missed) for who, one in listed.items()
        )
        newest = max(seen.values(), key=lambda one: one.stamp_ns, default=None)
        size, frame_id = (newest.image_size, newest.frame_id) if newest else ((0, 0), "")
        heard = [self.voices.get(one.voice_id) for one in listed.values()]
        known = [one for one in (*heard, *self.voices.values()) if one is not None]
        voice = float(any(known)) if known else math.nan
        return Scene(stamp_ns, tick, people, voice, size, frame_id, missed, reset)

    def _listed(self, seen: dict[str, SeenFace]) -> dict[str, HriPerson]:
        """Persons, and faces that are nobody's yet."""
        taken = {one.face_id for one in self.persons.values()}
        nameless = {who: HriPerson(face_id=who) for who in seen if who not in taken}
        # A face that goes by a person's id is told apart by its kind.
        return {
            **self.persons,
            **{f"face_{w}" if w in self.persons else w: one for w, one in nameless.items()},
        }

    def _person(self, who: str, seen: SeenFace | None, voice_id: str, elapsed: int) -> Person:
        memory = self._memories[who]
        memory.age += elapsed if memory.age >= 0 else 1
        face = None if seen is None else self._face(seen)
        pose = None if face is None else face.pose
        motion = memory.lips.update(
            None if face is None else face.landmarks, pose.yaw if pose else 0.0, elapsed
        )
        gesture = memory.head.update(pose, elapsed).any
        told = self.voices.get(voice_id)
        if told is not None:
            speaks = float(told)
        elif face is None:
            speaks = math.nan
        else:
            alone = speaking_probabilities([lip_log_odds(motion)], math.nan)
            speaks = float(alone[0]) * self.config.lips_only_trust
        evidence = {Action.SPEAKING: speaks, Action.HEAD_GESTURE: gesture}
        mask, probabilities = memory.labels.update(evidence, elapsed)
        activity = 0.0 if math.isnan(speaks) else speaks
        return Person(who, face, activity, mask, probabilities, memory.age)

    def _face(self, seen: SeenFace) -> Face | None:
        points = seen.landmarks_px
        frame = normalise(points)
        if frame is None:
            return None
        landmarks, origin, scale = frame
        box = np.concatenate([points.min(0), points.max(0)])
        pose = solve_head_pose(points, seen.image_size, self.camera)
        score = float(seen.visibility.mean())
        return Face(box, score, points, landmarks, origin, scale, seen.visibility, pose)


def seen_face(message: Any, stamp_ns: int) -> SeenFace | None:
    """The face of a ``FacialLandmarks``; None where it has not all of our 68 points.

    Args:
        message: whose points are normalised by the size of the image.
        stamp_ns: of its header.
    """
    width, height = int(message.width), int(message.height)
    rows = np.array([(one.x, one.y, one.c) for one in message.landmarks[:NUM_LANDMARKS]], np.float32)
    if rows.shape != (NUM_LANDMARKS, 3) or min(width, height) < 1 or not np.isfinite(rows).all():
        return None
    # A confidence of 0 says that a point is missing, whatever its coordinates say.
    if (rows[:, 2] <= 0).any():
        return None
    points = rows[:, :2] * np.array([width, height], np.float32)
    return SeenFace(stamp_ns, points, rows[:, 2], (width, height), message.header.frame_id)
