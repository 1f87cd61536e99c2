"""Incoming messages to the house's types, with every defect named instead of a crash.

What is read are a message's fields, whoever made it: rclpy, or a reader of bags where there is no ROS. So
nothing here imports a message package, and live and replayed messages go through the same code.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from hmgen_ros.bad_message import BadMessage as BadMessage
from hmgen_ros.image_encodings import bgr_pixels
from hmgen_ros.perception.normalisation import MIN_SCALE_PX
from hmgen_ros.types import (
    NUM_LANDMARKS,
    UNKNOWN_MASK,
    Face,
    Frame,
    HeadPose,
    Person,
    Presence,
    PresenceEvent,
    Scene,
)


def stamp_ns(stamp: Any) -> int:
    """Nanoseconds of a message stamp."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def frame_from_image(message: Any) -> Frame:
    """Frame of a raw image; shares its memory with the message where no conversion is needed.

    Raises:
        BadMessage: ``image_encoding``, ``image_size``, ``image_step`` or ``image_truncated``.
    """
    return Frame(_header_ns(message), bgr_pixels(message), message.header.frame_id)


def _header_ns(message: Any) -> int:
    return stamp_ns(message.header.stamp)


def frame_from_compressed(message: Any) -> Frame:
    """Frame of a JPEG or PNG image.

    Raises:
        BadMessage: ``image_truncated``, when it cannot be decoded.
    """
    data = np.frombuffer(message.data, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:
        # A header that promises more pixels than OpenCV accepts.
        image = None
    if image is None:
        raise BadMessage(
            "image_truncated", f"compressed image ({message.format!r}, {data.size} bytes) cannot be decoded"
        )
    return Frame(_header_ns(message), image.astype(np.uint8, copy=False), message.header.frame_id)


def audio_samples(message: Any) -> np.ndarray:
    """Interleaved int16 samples of a message, sharing its memory."""
    return np.frombuffer(message.samples, np.int16)


def _face(message: Any) -> Face:
    arrays = [
        np.asarray(values, np.float32)
        for values in (message.pixels, message.normalized, message.origin, message.visibility)
    ]
    if not all(np.isfinite(values).all() for values in arrays):
        raise BadMessage("nan_landmarks", "face landmarks are not finite")
    if not MIN_SCALE_PX <= message.scale < np.inf:
        raise BadMessage(
            "face_scale", f"the face scale is {message.scale}, not at least {MIN_SCALE_PX} pixels"
        )
    pixels, normalized, origin, visibility = arrays
    pose = HeadPose(message.yaw, message.pitch, message.roll)
    roi = message.roi
    corners = [roi.x_offset, roi.y_offset, roi.x_offset + roi.width, roi.y_offset + roi.height]
    return Face(
        box=np.array(corners, np.float32),
        score=message.score,
        landmarks_px=pixels.reshape(NUM_LANDMARKS, 2),
        landmarks=normalized.reshape(NUM_LANDMARKS, 2),
        origin_px=origin,
        scale_px=message.scale,
        visibility=visibility,
        pose=pose if message.pose_valid and np.isfinite([pose.yaw, pose.pitch, pose.roll]).all() else None,
    )


def scene_from_people(message: Any) -> tuple[Scene, list[BadMessage]]:
    """The scene, and what was wrong with single people.

    A person with a bad face stays, unseen and unknown; one without an id of their own is left out. Of events,
    messages tell only those of ids that were given up.
    """
    people: dict[str, Person] = {}
    bad: list[BadMessage] = []
    for one in message.people:
        if not one.id or one.id in people:
            bad.append(BadMessage("person_id", f"a person's id {one.id!r} is empty or not the only one"))
            continue
        face, mask = None, int(one.active_actions)
        if mask & UNKNOWN_MASK:
            # Whatever else is said of who is not known.
            mask = UNKNOWN_MASK
        if one.face_visible:
            try:
                face = _face(one.face)
            except BadMessage as error:
                bad.append(error)
                mask = UNKNOWN_MASK
        probabilities = np.asarray(one.action_probabilities, np.float32)
        people[one.id] = Person(
            one.id, face, one.voice_activity, mask, probabilities, one.age_ticks, one.voice_match
        )
    return (
        Scene(
            stamp_ns=stamp_ns(message.header.stamp),
            tick=message.tick,
            people=tuple(people.values()),
            voice_activity=message.voice_activity,
            image_size=(message.image_width, message.image_height),
            frame_id=message.header.frame_id,
            missed_ticks=message.missed_ticks,
            reset=message.reset,
            events=_renamed(message, bad),
        ),
        bad,
    )


def _renamed(message: Any, bad: list[BadMessage]) -> tuple[PresenceEvent, ...]:
    # Bags of before have no aliases.
    given_up, instead = list(getattr(message, "alias_ids", ())), list(getattr(message, "alias_of", ()))
    if len(given_up) != len(instead):
        bad.append(BadMessage("alias", f"{len(given_up)} alias_ids and {len(instead)} alias_of do not fit"))
        return ()
    pairs = zip(instead, given_up, strict=True)
    return tuple(PresenceEvent(Presence.RENAMED, now, was) for now, was in pairs)
