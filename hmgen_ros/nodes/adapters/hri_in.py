"""Subscribes to the faces, voices and persons of ROS4HRI (REP-155) as they come and go."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from std_msgs.msg import Bool, String

from hmgen_ros.nodes.adapters.hri_people import HriPeople, HriPerson, seen_face
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.image_conversion import stamp_ns
from hmgen_ros.types import Presence, PresenceEvent

#: Whatever others offer is taken, lost messages or not.
_NEWS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
#: What a person is called is kept for late joiners, as REP-155 has it.
_KEPT = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


class HriSubscriber:
    """Keeps :class:`HriPeople` up to date."""

    def __init__(self, node: HmgenNode, messages: ModuleType, prefix: str, people: HriPeople) -> None:
        """Subscribe to the lists of ids; the rest follows from them.

        Args:
            node: that subscribes.
            messages: ``hri_msgs.msg``.
            prefix: of the topics, ``/humans`` by REP-155.
            people: is kept up to date.
        """
        self._node, self._messages, self._prefix, self._people = node, messages, prefix, people
        self._topics: dict[tuple[str, str], list[Subscription[Any]]] = {}
        self._stores: dict[str, dict[str, Any]] = {
            "faces": people.faces,
            "voices": people.voices,
            "persons": people.persons,
        }
        self._renamed: list[PresenceEvent] = []
        follow = {"faces": self._face, "voices": self._voice, "persons": self._person}
        self._lists = [
            node.create_subscription(
                messages.IdsList,
                f"{prefix}/{kind}/tracked",
                self._guarded(partial(self._track, kind, of_one)),
                _NEWS,
            )
            for kind, of_one in follow.items()
        ]

    def take_renamed(self) -> tuple[PresenceEvent, ...]:
        """Persons who were found to be somebody known since the last call."""
        told, self._renamed = tuple(self._renamed), []
        return told

    def close(self) -> None:
        """Unsubscribe from everything."""
        for topics in (*self._topics.values(), self._lists):
            for subscription in topics:
                self._node.destroy_subscription(subscription)
        self._topics.clear()
        self._lists = []

    def _guarded(self, work: Callable[[Any], None]) -> Callable[[Any], None]:
        return lambda message: self._node.receive(work, message)

    def _track(self, kind: str, of_one: Callable[[str], list[Subscription[Any]]], message: Any) -> None:
        ids = set(message.ids) - {""}
        there = {one for known, one in self._topics if known == kind}
        for gone in there - ids:
            for subscription in self._topics.pop((kind, gone)):
                self._node.destroy_subscription(subscription)
            self._stores[kind].pop(gone, None)
        for new in sorted(ids - there):
            try:
                self._topics[kind, new] = of_one(new)
            except ValueError as error:
                self._node.warn("hri_id", f"{new!r} cannot be part of a topic's name: {error}")
                self._topics[kind, new] = []

    def _listen(
        self, kind: type[Any], topic: str, qos: QoSProfile, work: Callable[[Any], None]
    ) -> Subscription[Any]:
        return self._node.create_subscription(kind, f"{self._prefix}/{topic}", self._guarded(work), qos)

    def _face(self, face_id: str) -> list[Subscription[Any]]:
        def landmarks(message: Any) -> None:
            found = seen_face(message, stamp_ns(message.header.stamp))
            if found is None:
                self._node.warn("hri_landmarks", f"face {face_id} has not all of the 68 landmarks")
            else:
                self._people.faces[face_id] = found

        return [self._listen(self._messages.FacialLandmarks, f"faces/{face_id}/landmarks", _NEWS, landmarks)]

    def _voice(self, voice_id: str) -> list[Subscription[Any]]:
        def speaking(message: Any) -> None:
            self._people.voices[voice_id] = bool(message.data)

        return [self._listen(Bool, f"voices/{voice_id}/is_speaking", _NEWS, speaking)]

    def _person(self, person_id: str) -> list[Subscription[Any]]:
        person = self._people.persons.setdefault(person_id, HriPerson())

        def set_part(name: str, message: Any) -> None:
            setattr(person, name, message.data)

        def alias(message: Any) -> None:
            if message.data and message.data != person_id:
                self._renamed.append(PresenceEvent(Presence.RENAMED, message.data, person_id))
                self._people.persons.pop(person_id, None)

        topic = f"persons/{person_id}"
        return [
            self._listen(String, f"{topic}/face_id", _KEPT, partial(set_part, "face_id")),
            self._listen(String, f"{topic}/voice_id", _KEPT, partial(set_part, "voice_id")),
            self._listen(String, f"{topic}/alias", _KEPT, alias),
        ]
