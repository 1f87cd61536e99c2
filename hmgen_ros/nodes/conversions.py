"""Sound and people: messages to the house's types and back.

Fixed-size arrays are filled from contiguous numpy arrays of the right type, which rclpy copies as one
block; sizes are those of :mod:`hmgen_ros.types`, because Kilted does not check them when serialising.
"""

from __future__ import annotations

import array

import numpy as np
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from hmgen_ros.msg import AudioFrame, FaceLandmarks, People
from hmgen_ros.msg import Person as PersonMessage
from hmgen_ros.nodes.image_conversion import BadMessage, stamp_message, stamp_ns
from hmgen_ros.perception.normalisation import MIN_SCALE_PX
from hmgen_ros.types import (
    NUM_LANDMARKS,
    UNKNOWN_MASK,
    Action,
    AudioChunk,
    Face,
    HeadPose,
    Person,
    Scene,
    actions_of,
)


def main_action(mask: int) -> Action:
    """The one action that a flat message names for a set of concurrent ones: that of the lowest code."""
    return actions_of(mask)[0]


def header(nanoseconds: int, frame_id: str) -> Header:
    """Header of a stamp in nanoseconds."""
    return Header(stamp=stamp_message(nanoseconds), frame_id=frame_id)


def audio_message(chunk: AudioChunk, frame_id: str) -> AudioFrame:
    """16-bit PCM of a mono chunk; values beyond full scale are clipped."""
    message = AudioFrame(header=header(chunk.stamp_ns, frame_id), sample_rate=chunk.sample_rate, channels=1)
    pcm = np.clip(np.rint(chunk.samples * 32768.0), -32768, 32767).astype(np.int16)
    message.samples = array.array("h", pcm.tobytes())
    return message


def audio_samples(message: AudioFrame) -> np.ndarray:
    """Interleaved int16 samples of a message, sharing its memory."""
    return np.frombuffer(message.samples, np.int16)


def _face_message(face: Face, image_size: tuple[int, int]) -> FaceLandmarks:
    width, height = image_size
    x0, y0 = np.clip(np.floor(face.box[:2]), 0, [width, height]).astype(int)
    x1, y1 = np.clip(np.ceil(face.box[2:]), 0, [width, height]).astype(int)
    message = FaceLandmarks(
        roi=RegionOfInterest(
            x_offset=int(x0), y_offset=int(y0), width=int(x1 - x0), height=int(y1 - y0), do_rectify=False
        ),
        score=float(face.score),
        pixels=np.ascontiguousarray(face.landmarks_px, np.float32).reshape(-1),
        normalized=np.ascontiguousarray(face.landmarks, np.float32).reshape(-1),
        origin=np.asarray(face.origin_px, np.float32),
        scale=float(face.scale_px),
        visibility=np.ascontiguousarray(face.visibility, np.float32),
        pose_valid=face.pose is not None,
    )
    if face.pose is not None:
        message.yaw, message.pitch, message.roll = face.pose.yaw, face.pose.pitch, face.pose.roll
    return message


def people_message(scene: Scene) -> People:
    """Everyone in view."""
    message = People(
        header=header(scene.stamp_ns, scene.frame_id),
        tick=scene.tick,
        missed_ticks=scene.missed_ticks,
        reset=scene.reset,
        image_width=scene.image_size[0],
        image_height=scene.image_size[1],
        voice_activity=float(scene.voice_activity),
    )
    for person in scene.people:
        one = PersonMessage(
            id=person.person_id,
            age_ticks=person.age_ticks,
            face_visible=person.face is not None,
            voice_activity=float(person.voice_activity),
            voice_match=float(person.voice_match),
            action=int(main_action(person.actions)),
            active_actions=person.actions,
            action_probabilities=np.asarray(person.probabilities, np.float32),
        )
        if person.face is not None:
            one.face = _face_message(person.face, scene.image_size)
        message.people.append(one)
    return message


def _face(message: FaceLandmarks) -> Face:
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


def scene_from_people(message: People) -> tuple[Scene, list[BadMessage]]:
    """The scene, and what was wrong with single people.

    A person with a bad face stays, unseen and unknown; one without an id of their own is left out.
    """
    people: dict[str, Person] = {}
    bad: list[BadMessage] = []
    for one in message.people:
        if not one.id or one.id in people:
            bad.append(BadMessage("person_id", f"a person's id {one.id!r} is empty or not the only one"))
            continue
        face, mask = None, int(one.active_actions)
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
        ),
        bad,
    )
