"""What is seen and heard: images, sound, faces, people, and all of them at one tick."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera image.

    Attributes:
        stamp_ns: acquisition time in nanoseconds of the source's clock.
        image: ``[H, W, 3]`` uint8, BGR.
        frame_id: the camera's optical frame (REP-105), carried through to every output.
    """

    stamp_ns: int
    image: NDArray[np.uint8]
    frame_id: str = "camera"


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A run of mono sound.

    Attributes:
        stamp_ns: time of the first sample.
        samples: ``[n]`` float32 in [-1, 1].
        sample_rate: samples a second.
    """

    stamp_ns: int
    samples: NDArray[np.float32]
    sample_rate: int

    @property
    def end_ns(self) -> int:
        """Time just after the last sample."""
        return self.stamp_ns + len(self.samples) * 1_000_000_000 // self.sample_rate


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Orientation of a head towards the camera, radians, REP-103 axes (x forward, y left, z up).

    All zero when the face looks straight into the camera with the eyes level. Positive yaw turns to
    the person's left, positive pitch looks down, positive roll tilts towards the right shoulder.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one image.

    Attributes:
        box: ``[4]`` x0, y0, x1, y1 in pixels, may reach over the border.
        score: detector or presence confidence in [0, 1].
        landmarks_px: ``[68, 2]`` float32, iBUG-68 order, pixels (x right, y down).
        landmarks: ``[68, 2]`` float32: ``(landmarks_px - origin_px) / scale_px``.
        origin_px: ``[2]`` middle of the outer eye corners, pixels.
        scale_px: distance of the outer eye corners, pixels, > 0.
        visibility: ``[68]`` float32 in [0, 1]; 0 outside the image.
        pose: head pose, or None where it could not be solved.
    """

    box: NDArray[np.float32]
    score: float
    landmarks_px: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    origin_px: NDArray[np.float32]
    scale_px: float
    visibility: NDArray[np.float32]
    pose: HeadPose | None


@dataclass(frozen=True, slots=True)
class Person:
    """One tracked person at one tick.

    Attributes:
        person_id: stable while the person is tracked.
        face: the face seen at this tick, None while it is hidden or its detection was missed.
        voice_activity: probability in [0, 1] that this person's voice is heard.
        actions: bit mask of the actions that hold (:func:`action_mask`), or ``UNKNOWN_MASK``.
        probabilities: ``[NUM_ACTIONS]`` float32, probability of each action code; entry 0 is the
            probability that none holds; NaN for an action that this set-up cannot observe.
        age_ticks: ticks since the person entered, 0 for the first.
        voice_match: probability in [0, 1] that a voice, if one is heard, is this person's; what all people
            lack to 1 is that of nobody in view; NaN without sound.
    """

    person_id: str
    face: Face | None
    voice_activity: float
    actions: int
    probabilities: NDArray[np.float32]
    age_ticks: int = 0
    voice_match: float = float("nan")


class Presence(IntEnum):
    """What can happen to a person's id."""

    ENTERED = 0
    LEFT = 1
    RETURNED = 2
    RENAMED = 3


@dataclass(frozen=True, slots=True)
class PresenceEvent:
    """Something that happened to a person's id.

    Attributes:
        kind: a new person entered; one left, that is, has not been seen for too long; one came back who had
            left; or it turned out that what had been called ``was`` is a person known already, and is called
            ``person_id`` from now on.
        person_id: whom it happened to.
        was: the id that is not used any more, "" but for RENAMED.
    """

    kind: Presence
    person_id: str
    was: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everyone in view at one tick.

    Attributes:
        stamp_ns: stamp of the image this tick was made from.
        tick: index on the 25 Hz clock since the last reset.
        people: the tracked people, oldest track first.
        voice_activity: probability in [0, 1] that any voice is heard; NaN without sound.
        image_size: (width, height) in pixels.
        frame_id: the camera's frame.
        missed_ticks: ticks without an image just before this one, to be held by whoever keeps state.
        reset: history before this tick is void (start, jump back in time, long gap).
        events: who entered, left, returned or was given another id at this tick.
    """

    stamp_ns: int
    tick: int
    people: tuple[Person, ...]
    voice_activity: float
    image_size: tuple[int, int]
    frame_id: str = "camera"
    missed_ticks: int = 0
    reset: bool = False
    events: tuple[PresenceEvent, ...] = ()
