"""The values that flow through the house: frames in, people in the middle, forecasts out.

Every type here is a frozen dataclass without behaviour beyond validation, so that a bag replay, a
camera and a test can all feed the same code. Stamps are integer nanoseconds of the source's clock and
are carried through unchanged; arrays are numpy, images are BGR.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

#: The house's clock: every generator and every published forecast steps at this rate.
TICK_HZ = 25
TICK_NS = 1_000_000_000 // TICK_HZ
NUM_LANDMARKS = 68


class Action(IntEnum):
    """What a person can be seen or heard doing; the same codes as the message constants.

    Codes 1 to 8 are the thesis' eight actions (section 3.4); taking notes comes from the AMI corpus.
    Several may hold at once, so a person's state is a bit mask over codes (see :func:`action_mask`).
    """

    NONE = 0
    SPEAKING = 1
    LAUGHING = 2
    HEAD_GESTURE = 3
    HAND_GESTURE = 4
    STEPPING = 5
    WALKING = 6
    DRINKING = 7
    HAIR_TOUCHING = 8
    TAKING_NOTES = 9
    UNKNOWN = 255

    @property
    def label(self) -> str:
        """Lower-case name as it is published and printed, e.g. ``"hand_gesture"``."""
        return self.name.lower()


#: Actions that can hold at the same time as others: every code but NONE and UNKNOWN.
CONCURRENT_ACTIONS = tuple(a for a in Action if a not in (Action.NONE, Action.UNKNOWN))
#: Length of a probability vector indexed by action code (NONE included, UNKNOWN not).
NUM_ACTIONS = 1 + len(CONCURRENT_ACTIONS)
#: The mask of a person whose actions cannot be observed (occluded, out of view, no track).
UNKNOWN_MASK = 0x8000


def action_mask(*actions: Action) -> int:
    """Bit mask of concurrent actions: bit ``code`` is set for each action; 0 means none of them."""
    if Action.UNKNOWN in actions:
        return UNKNOWN_MASK
    return sum(1 << a for a in set(actions) if a is not Action.NONE)


def actions_of(mask: int) -> tuple[Action, ...]:
    """The actions in a mask, lowest code first; ``(UNKNOWN,)`` or ``(NONE,)`` where none is set."""
    if mask & UNKNOWN_MASK:
        return (Action.UNKNOWN,)
    return tuple(a for a in CONCURRENT_ACTIONS if mask >> a & 1) or (Action.NONE,)


def mask_label(mask: int) -> str:
    """Readable name of a mask, e.g. ``"speaking+hand_gesture"``, ``"none"`` or ``"unknown"``."""
    return "+".join(a.label for a in actions_of(mask))


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


@dataclass(frozen=True, slots=True)
class ActionForecast:
    """What the group will do over the next ``T`` steps.

    Attributes:
        stamp_ns: stamp of the last observed tick; step ``t`` is ``(t + 1) * period_s`` later.
        person_ids: ``N`` people, in the order of the arrays.
        action_masks: ``A`` bit masks, the joint actions of the forecaster's action space.
        current: ``[N]`` index in the action space of what each person does now.
        probabilities: ``[T, N, A]`` float32, sums to 1 over the last axis.
        samples: ``[S, T, N]`` uint8, sampled futures as indices of the action space.
        period_s: seconds between steps.
    """

    stamp_ns: int
    person_ids: tuple[str, ...]
    action_masks: tuple[int, ...]
    current: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    samples: NDArray[np.uint8]
    period_s: float = 1.0 / TICK_HZ


@dataclass(frozen=True, slots=True)
class ActionOutlook:
    """What one person will probably do next; what ``PredictedAction.msg`` says to planners.

    Attributes:
        stamp_ns: stamp of the last observed tick.
        person_id: whose outlook.
        horizon_s: how far the forecast looks ahead, s.
        valid: False for a person who cannot be observed; what follows is then default.
        current_mask: actions that hold now.
        next_mask: actions of the next state; ``current_mask`` where no change is expected.
        confidence: share of the sampled futures that agree on this next state, 0 to 1.
        seconds_until_start: median time until it starts, s; 0: no change expected.
        change_probability: that the state changes at all within the horizon, 0 to 1.
        speak_probability: that the person speaks at some time within the horizon, 0 to 1.
    """

    stamp_ns: int
    person_id: str
    horizon_s: float
    valid: bool = False
    current_mask: int = UNKNOWN_MASK
    next_mask: int = UNKNOWN_MASK
    confidence: float = 0.0
    seconds_until_start: float = 0.0
    change_probability: float = 0.0
    speak_probability: float = 0.0


@dataclass(frozen=True, slots=True)
class SpeakerOutlook:
    """Who takes the floor next; what ``NextSpeaker.msg`` says to planners.

    Attributes:
        stamp_ns: stamp of the last observed tick.
        horizon_s: how far the forecast looks ahead, s.
        valid: False where nobody can be observed.
        current_speaker_id: who speaks now, "" for nobody; of several, who began first.
        person_id: the most probable next to start speaking, "" for nobody.
        probability: that this person is the next to start, 0 to 1.
        none_probability: that nobody starts within the horizon, 0 to 1.
        seconds_until_start: median time until ``person_id`` starts, s.
    """

    stamp_ns: int
    horizon_s: float
    valid: bool = False
    current_speaker_id: str = ""
    person_id: str = ""
    probability: float = 0.0
    none_probability: float = 0.0
    seconds_until_start: float = 0.0


@dataclass(frozen=True, slots=True)
class HeadMotion:
    """How one head will move over the next ``T`` steps.

    Attributes:
        stamp_ns: stamp of the last observed tick; step ``t`` is ``(t + 1) * period_s`` later.
        person_id: whose head.
        landmarks_px: ``[T, 68, 2]`` float32, pixels of the source image.
        origin_px, scale_px: the face frame of the last observed tick (see :class:`Face`); normalised
            positions are ``(landmarks_px - origin_px) / scale_px`` and thus keep head translation.
        pose: ``[T, 3]`` float32 yaw, pitch, roll in radians (see :class:`HeadPose`).
        valid: False where too little was seen; arrays then hold the last known face, or are empty.
        period_s: seconds between steps.
    """

    stamp_ns: int
    person_id: str
    landmarks_px: NDArray[np.float32]
    origin_px: NDArray[np.float32]
    scale_px: float
    pose: NDArray[np.float32]
    valid: bool = True
    period_s: float = 1.0 / TICK_HZ


@dataclass(slots=True, eq=False, weakref_slot=True)
class Counts:
    """Named counters of what was dropped, repaired or noticed; merged into diagnostics.

    Compared and hashed by identity, so that who merges them can remember what it has taken over.
    """

    values: dict[str, int] = field(default_factory=dict)

    def add(self, cause: str, amount: int = 1) -> None:
        """Count ``amount`` more of ``cause``."""
        if amount:
            self.values[cause] = self.values.get(cause, 0) + amount

    def items(self) -> list[tuple[str, int]]:
        """Causes and their counts; a copy, which another thread may outgrow."""
        return list(self.values.items())

    def __getitem__(self, cause: str) -> int:
        return self.values.get(cause, 0)
