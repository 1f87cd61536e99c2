"""Sound and people: the house's types to messages, and beside it the way back.

Fixed-size arrays are filled from contiguous numpy arrays of the right type, which rclpy copies as one
block; sizes are those of :mod:`hmgen_ros.types`, because Kilted does not check them when serialising.
"""

from __future__ import annotations

import array

import numpy as np
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from hmgen_ros.message_reading import audio_samples, scene_from_people
from hmgen_ros.msg import AudioFrame, FaceLandmarks, People
from hmgen_ros.msg import Person as PersonMessage
from hmgen_ros.nodes.image_conversion import stamp_message
from hmgen_ros.types import Action, AudioChunk, Face, Presence, Scene, actions_of

__all__ = ["audio_message", "audio_samples", "header", "main_action", "people_message", "scene_from_people"]


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
    renamed = [event for event in scene.events if event.kind is Presence.RENAMED]
    message.alias_ids = [event.was for event in renamed]
    message.alias_of = [event.person_id for event in renamed]
    return message
