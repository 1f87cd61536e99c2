"""What is remembered of the people in view, and what that makes of faces, poses and a voice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.action_labels import ActionLabels
from hmgen_ros.perception.body_actions import BodyActionConfig, BodyActions
from hmgen_ros.perception.body_finder import BodyLook
from hmgen_ros.perception.gesture_network import GestureNetwork
from hmgen_ros.perception.gestures import HeadGesture
from hmgen_ros.perception.hysteresis import LatchConfig
from hmgen_ros.perception.laughing import SmileMeter, laughing_probability
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.speaking import LipMotion, lip_log_odds, speaking_probabilities, voice_owners
from hmgen_ros.perception.track import Track
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


class Memories:
    """What is remembered of everyone who is tracked, by person id."""

    def __init__(self, config: PerceptionConfig) -> None:
        """Of nobody; loads the network of head gestures.

        Args:
            config: settings.
        """
        self._config, self._gestures = config, GestureNetwork()
        self._of: dict[str, PersonMemory] = {}

    def adjust(self, config: PerceptionConfig) -> None:
        """Go by other settings from now on."""
        self._config = config
        for memory in self._of.values():
            memory.adjust(config.latches, config.body.min_joint_score)

    def clear(self) -> None:
        """Forget everyone."""
        self._of.clear()

    def rois(self, tracks: Sequence[Track]) -> NDArray[np.float32]:
        """``[N, 4]`` regions in which the faces of tracks are expected, of those whose faces were seen."""
        found = [roi for track in tracks if (roi := self._of[track.person_id].roi) is not None]
        return np.array(found, np.float32).reshape(-1, 4)

    def follow(
        self, tracks: Sequence[Track], rois: NDArray[np.float32], renamed: Sequence[tuple[str, str]]
    ) -> None:
        """Give every track a memory and its next region, and forget those who left.

        Args:
            tracks: of everyone in this image.
            rois: ``[F, 4]`` regions of its faces.
            renamed: (id from now on, id until now) of those who were recognised late.
        """
        for name, was in renamed:
            self._of[name] = self._of.pop(was)
        alive = {track.person_id for track in tracks}
        self._of = {name: memory for name, memory in self._of.items() if name in alive}
        for track in tracks:
            if track.person_id not in self._of:
                self._of[track.person_id] = PersonMemory(
                    self._config.latches, self._config.body.min_joint_score, self._gestures
                )
            self._of[track.person_id].roi = None if track.face is None else rois[track.face]

    def observe(
        self, tracks: Sequence[Track], seen: Sequence[Face | None], bursts: float, elapsed: int
    ) -> list[float]:
        """Take this tick's faces; see :meth:`PersonMemory.observe`. Log odds that the lips of each speak."""
        return [
            self._of[track.person_id].observe(face, bursts, elapsed)
            for track, face in zip(tracks, seen, strict=True)
        ]

    def observe_bodies(self, look: BodyLook) -> None:
        """Take the bodies that were seen in an image."""
        for name in look.bodies.keys() & self._of.keys():
            self._of[name].observe_body(look.stamp_ns, look.bodies[name])

    def people(
        self,
        tracks: Sequence[Track],
        seen: Sequence[Face | None],
        odds: Sequence[float],
        voice: float,
        elapsed: int,
    ) -> tuple[Person, ...]:
        """The confirmed tracks as people, with the voice shared out among them.

        Args:
            tracks: of everyone in this image.
            seen: the face of each.
            odds: log odds that each speaks, if somebody does.
            voice: probability that a voice is heard, NaN without sound.
            elapsed: ticks since the last image.
        """
        known = [i for i, track in enumerate(tracks) if track.confirmed]
        some = [odds[i] for i in known]
        speaks = speaking_probabilities(some, voice, self._config.unseen_voice)
        owns = voice_owners(some, self._config.unseen_voice)
        if math.isnan(voice):
            speaks, owns = speaks * self._config.lips_only_trust, np.full_like(owns, math.nan)
        return tuple(
            self._of[tracks[i].person_id].person(
                tracks[i].person_id, tracks[i].age, seen[i], float(p), float(q), elapsed
            )
            for i, p, q in zip(known, speaks, owns, strict=True)
        )


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
