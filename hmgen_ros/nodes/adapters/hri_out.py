"""People as ROS4HRI (REP-155) tells of them, from ours.

A person's id serves as the id of the face and of the voice, too: what we track is people, who have one of
each. Lists of ids are told at every tick; what belongs to a person is kept for late joiners.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool, Header, String

from hmgen_ros.nodes.conversions import header
from hmgen_ros.perception.head_pose import angle_between
from hmgen_ros.perception.hysteresis import Latch, LatchConfig
from hmgen_ros.types import NUM_LANDMARKS, UNKNOWN_MASK, Action, Face, Person, Presence, Scene

_NEWS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_KEPT = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
#: Somebody is engaged who looks for a second, and no longer who looks away for two.
_LOOKS = LatchConfig(on=0.5, off=0.5, on_ticks=25, off_ticks=50, min_ticks=1)
#: Points of ``FacialLandmarks``: ours and two pupils, which we do not see.
_POINTS = NUM_LANDMARKS + 2


def roi_message(messages: ModuleType, face: Face, size: tuple[int, int], stamp: Header) -> Any:
    """``NormalizedRegionOfInterest2D`` of a face, cut to the image."""
    x0, y0, x1, y1 = np.clip(face.box / np.array([*size, *size], np.float32), 0.0, 1.0).tolist()
    return messages.NormalizedRegionOfInterest2D(
        header=stamp, xmin=x0, ymin=y0, xmax=x1, ymax=y1, c=float(face.score)
    )


def landmarks_message(messages: ModuleType, face: Face, size: tuple[int, int], stamp: Header) -> Any:
    """``FacialLandmarks``: normalised coordinates; points outside the image and pupils have confidence 0."""
    points = face.landmarks_px / np.array(size, np.float32)
    inside = np.logical_and(points >= 0.0, points <= 1.0).all(axis=1, keepdims=True)
    rows = np.zeros((_POINTS, 3), np.float64)
    rows[:NUM_LANDMARKS, :2] = np.where(inside, points, 0.0)
    rows[:NUM_LANDMARKS, 2:] = np.where(inside, face.visibility[:, None], 0.0)
    kind = messages.NormalizedPointOfInterest2D
    return messages.FacialLandmarks(
        header=stamp,
        landmarks=[kind(x=x, y=y, c=c) for x, y, c in rows.tolist()],
        width=size[0],
        height=size[1],
    )


class Engagement:
    """Whether one person is engaged with the robot, by where the head points.

    Attributes:
        within_rad: who looks within this angle of the camera looks at the robot; may be changed at any time.
    """

    def __init__(self, within_rad: float) -> None:
        """Not engaged."""
        self.within_rad, self._latch = within_rad, Latch(_LOOKS)

    def update(self, person: Person, messages: ModuleType) -> int:
        """``EngagementLevel.level`` after one more tick."""
        levels = messages.EngagementLevel
        if person.face is None or person.face.pose is None:
            self._latch.update(math.nan)
            return int(levels.UNKNOWN)
        looks = angle_between(person.face.pose) <= self.within_rad
        engaged = self._latch.update(float(looks))
        if engaged:
            return int(levels.ENGAGED if looks else levels.DISENGAGING)
        return int(levels.ENGAGING if looks else levels.DISENGAGED)


@dataclass
class _Told:
    """What is published of one person."""

    engagement: Engagement
    roi: Publisher[Any]
    landmarks: Publisher[Any]
    speaking: Publisher[Any]
    level: Publisher[Any]
    kept: tuple[Publisher[Any], ...]

    def every(self) -> tuple[Publisher[Any], ...]:
        return (self.roi, self.landmarks, self.speaking, self.level, *self.kept)


class HriPublisher:
    """Publishes the people of each tick below one prefix."""

    def __init__(self, node: Node, messages: ModuleType, prefix: str, within_rad: float) -> None:
        """Nobody is there.

        Args:
            node: that publishes.
            messages: ``hri_msgs.msg``.
            prefix: of the topics, ``/humans`` by REP-155.
            within_rad: largest angle at which a head points to the robot.
        """
        self._node, self._messages, self._prefix, self._within = node, messages, prefix, within_rad
        self._people: dict[str, _Told] = {}
        self._known: list[str] = []
        self._aliases: dict[str, Publisher[Any]] = {}
        kind = messages.IdsList
        self._faces = node.create_publisher(kind, f"{prefix}/faces/tracked", _NEWS)
        self._voices = node.create_publisher(kind, f"{prefix}/voices/tracked", _NEWS)
        self._tracked = node.create_publisher(kind, f"{prefix}/persons/tracked", _NEWS)
        self._everyone = node.create_publisher(kind, f"{prefix}/persons/known", _KEPT)

    def look_within(self, radians: float) -> None:
        """Heads that point to the robot do so within this angle from now on."""
        self._within = radians
        for told in self._people.values():
            told.engagement.within_rad = radians

    def publish(self, scene: Scene) -> None:
        """Tell of one tick."""
        renamed = [event for event in scene.events if event.kind is Presence.RENAMED]
        ids = [person.person_id for person in scene.people]
        for gone in self._people.keys() - set(ids):
            self._withdraw(gone)
        stamp = header(scene.stamp_ns, scene.frame_id)
        for person in scene.people:
            if person.person_id not in self._people:
                self._people[person.person_id] = self._introduce(person.person_id)
            self._tell(person, scene.image_size, stamp)
        for event in renamed:
            self._rename(event.was, event.person_id)
        seen = [person.person_id for person in scene.people if person.face is not None]
        lists = ((self._faces, seen), (self._voices, ids), (self._tracked, ids))
        for publisher, listed in lists:
            publisher.publish(self._messages.IdsList(header=stamp, ids=listed))
        new_ids = [one for one in ids if one not in self._known]
        if new_ids or renamed:
            given_up = {event.was for event in renamed}
            self._known = [one for one in [*self._known, *new_ids] if one not in given_up]
            self._everyone.publish(self._messages.IdsList(header=stamp, ids=self._known))

    def close(self) -> None:
        """Withdraw all topics."""
        for person_id in list(self._people):
            self._withdraw(person_id)
        own = (self._faces, self._voices, self._tracked, self._everyone)
        for publisher in (*own, *self._aliases.values()):
            self._node.destroy_publisher(publisher)
        self._aliases.clear()

    def _introduce(self, person_id: str) -> _Told:
        create, m, p = self._node.create_publisher, self._messages, self._prefix
        person = f"{p}/persons/{person_id}"
        kept = tuple(create(String, f"{person}/{part}", _KEPT) for part in ("face_id", "voice_id"))
        anonymous = create(Bool, f"{person}/anonymous", _KEPT)
        for publisher in kept:
            publisher.publish(String(data=person_id))
        anonymous.publish(Bool(data=True))
        return _Told(
            engagement=Engagement(self._within),
            roi=create(m.NormalizedRegionOfInterest2D, f"{p}/faces/{person_id}/roi", _NEWS),
            landmarks=create(m.FacialLandmarks, f"{p}/faces/{person_id}/landmarks", _NEWS),
            speaking=create(Bool, f"{p}/voices/{person_id}/is_speaking", _NEWS),
            level=create(m.EngagementLevel, f"{person}/engagement_status", _KEPT),
            kept=(*kept, anonymous),
        )

    def _tell(self, person: Person, size: tuple[int, int], stamp: Header) -> None:
        told = self._people[person.person_id]
        if person.face is not None and min(size) > 0:
            told.roi.publish(roi_message(self._messages, person.face, size, stamp))
            told.landmarks.publish(landmarks_message(self._messages, person.face, size, stamp))
        if not person.actions & UNKNOWN_MASK:
            told.speaking.publish(Bool(data=bool(person.actions >> Action.SPEAKING & 1)))
        level = told.engagement.update(person, self._messages)
        told.level.publish(self._messages.EngagementLevel(header=stamp, level=level))

    def _rename(self, old: str, new: str) -> None:
        if old not in self._aliases:
            topic = f"{self._prefix}/persons/{old}/alias"
            self._aliases[old] = self._node.create_publisher(String, topic, _KEPT)
        self._aliases[old].publish(String(data=new))

    def _withdraw(self, person_id: str) -> None:
        for publisher in self._people.pop(person_id).every():
            self._node.destroy_publisher(publisher)
