"""What is foreseen: actions, who speaks next, how heads move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types.actions import UNKNOWN_MASK
from hmgen_ros.types.ticks import TICK_HZ


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
