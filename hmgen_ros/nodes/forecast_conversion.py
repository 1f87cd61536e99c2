"""Forecasts: the house's types to messages and back."""

from __future__ import annotations

import array
import math

import numpy as np

from hmgen_ros.msg import HeadMotion as HeadMotionMessage
from hmgen_ros.msg import NextSpeaker, PredictedAction, PredictedInteraction
from hmgen_ros.nodes.conversions import header, main_action
from hmgen_ros.nodes.image_conversion import BadMessage, stamp_ns
from hmgen_ros.types import (
    NUM_LANDMARKS,
    Action,
    ActionForecast,
    ActionOutlook,
    HeadMotion,
    SpeakerOutlook,
    action_mask,
    mask_label,
)


def interaction_message(forecast: ActionForecast, frame_id: str) -> PredictedInteraction:
    """The group's whole forecast; invalid and empty when nobody is tracked."""
    steps = forecast.probabilities.shape[0]
    message = PredictedInteraction(
        header=header(forecast.stamp_ns, frame_id),
        valid=bool(forecast.person_ids),
        period=forecast.period_s,
        steps=steps,
        samples=forecast.samples.shape[0],
        person_ids=list(forecast.person_ids),
        action_labels=[mask_label(mask) for mask in forecast.action_masks],
        action_masks=array.array("H", forecast.action_masks),
    )
    if message.valid:
        message.current = array.array("B", forecast.current.astype(np.uint8).tobytes())
        message.probabilities = array.array(
            "f", np.ascontiguousarray(forecast.probabilities, np.float32).tobytes()
        )
        message.futures = array.array("B", np.ascontiguousarray(forecast.samples, np.uint8).tobytes())
    return message


def action_message(outlook: ActionOutlook, frame_id: str) -> PredictedAction:
    """One person's flat forecast."""
    return PredictedAction(
        header=header(outlook.stamp_ns, frame_id),
        person_id=outlook.person_id,
        valid=outlook.valid,
        current_action=int(main_action(outlook.current_mask)),
        action=int(main_action(outlook.next_mask)),
        label=mask_label(outlook.next_mask),
        confidence=float(outlook.confidence),
        seconds_until_start=float(outlook.seconds_until_start),
        change_probability=float(outlook.change_probability),
        speak_probability=float(outlook.speak_probability),
        horizon=float(outlook.horizon_s),
    )


def speaker_message(outlook: SpeakerOutlook, frame_id: str) -> NextSpeaker:
    """Who takes the floor next."""
    return NextSpeaker(
        header=header(outlook.stamp_ns, frame_id),
        valid=outlook.valid,
        current_speaker_id=outlook.current_speaker_id,
        person_id=outlook.person_id,
        probability=float(outlook.probability),
        none_probability=float(outlook.none_probability),
        seconds_until_start=float(outlook.seconds_until_start),
        horizon=float(outlook.horizon_s),
    )


def motion_message(motion: HeadMotion, frame_id: str) -> HeadMotionMessage:
    """One head's trajectory."""
    pose = np.ascontiguousarray(motion.pose, np.float32)
    return HeadMotionMessage(
        header=header(motion.stamp_ns, frame_id),
        person_id=motion.person_id,
        valid=motion.valid,
        period=motion.period_s,
        steps=len(motion.landmarks_px),
        landmarks=array.array("f", np.ascontiguousarray(motion.landmarks_px, np.float32).tobytes()),
        origin=np.asarray(motion.origin_px, np.float32),
        scale=float(motion.scale_px),
        yaw=array.array("f", np.ascontiguousarray(pose[:, 0]).tobytes()),
        pitch=array.array("f", np.ascontiguousarray(pose[:, 1]).tobytes()),
        roll=array.array("f", np.ascontiguousarray(pose[:, 2]).tobytes()),
    )


def mask_from_label(label: str) -> int:
    """The bit mask that :func:`hmgen_ros.types.mask_label` named.

    Raises:
        BadMessage: ``bad_prediction``, for another text.
    """
    try:
        return action_mask(*(Action[name.upper()] for name in label.split("+")))
    except KeyError as error:
        raise BadMessage("bad_prediction", f"a prediction has the unknown label {label!r}") from error


def forecast_from_message(message: PredictedInteraction) -> ActionForecast:
    """The group's whole forecast.

    Raises:
        BadMessage: ``bad_prediction``, for arrays that do not fit each other, and steps that take no time.
    """
    steps, samples, people = int(message.steps), int(message.samples), len(message.person_ids)
    masks = tuple(int(mask) for mask in message.action_masks)
    current = np.asarray(message.current, np.int64)
    table = np.asarray(message.probabilities, np.float32)
    futures = np.asarray(message.futures, np.uint8)
    fits = len(current) == people and table.size == steps * people * len(masks)
    if not fits or futures.size != samples * steps * people:
        raise BadMessage("bad_prediction", f"a forecast of {people} people has arrays that do not fit")
    if people and not 0.0 < message.period < math.inf:
        raise BadMessage("bad_prediction", f"a forecast has steps of {message.period} s")
    if people and max(int(current.max()), int(futures.max(initial=0))) >= len(masks):
        raise BadMessage("bad_prediction", "a forecast has actions that it does not name")
    return ActionForecast(
        stamp_ns=stamp_ns(message.header.stamp),
        person_ids=tuple(message.person_ids),
        action_masks=masks,
        current=current,
        probabilities=table.reshape(steps, people, len(masks)),
        samples=futures.reshape(samples, steps, people),
        period_s=message.period,
    )


def outlook_from_message(message: PredictedAction) -> ActionOutlook:
    """One person's forecast; of the current state only the main action is known.

    Raises:
        BadMessage: ``bad_prediction``, for actions that are none of ours.
    """
    try:
        current = action_mask(Action(message.current_action))
    except ValueError as error:
        text = f"a prediction has the unknown action code {message.current_action}"
        raise BadMessage("bad_prediction", text) from error
    changes = message.seconds_until_start > 0
    return ActionOutlook(
        stamp_ns=stamp_ns(message.header.stamp),
        person_id=message.person_id,
        horizon_s=message.horizon,
        valid=message.valid,
        current_mask=current,
        next_mask=mask_from_label(message.label) if changes else current,
        confidence=message.confidence,
        seconds_until_start=message.seconds_until_start,
        change_probability=message.change_probability,
        speak_probability=message.speak_probability,
    )


def speaker_from_message(message: NextSpeaker) -> SpeakerOutlook:
    """Who takes the floor next."""
    return SpeakerOutlook(
        stamp_ns=stamp_ns(message.header.stamp),
        horizon_s=message.horizon,
        valid=message.valid,
        current_speaker_id=message.current_speaker_id,
        person_id=message.person_id,
        probability=message.probability,
        none_probability=message.none_probability,
        seconds_until_start=message.seconds_until_start,
    )


def motion_from_message(message: HeadMotionMessage) -> HeadMotion:
    """One head's trajectory.

    Raises:
        BadMessage: ``bad_prediction``, for arrays that do not fit the steps.
    """
    steps = int(message.steps)
    axes = (message.yaw, message.pitch, message.roll)
    if len(message.landmarks) != steps * NUM_LANDMARKS * 2 or any(len(axis) != steps for axis in axes):
        raise BadMessage("bad_prediction", f"head motion has arrays that do not fit its {steps} steps")
    return HeadMotion(
        stamp_ns=stamp_ns(message.header.stamp),
        person_id=message.person_id,
        landmarks_px=np.asarray(message.landmarks, np.float32).reshape(steps, NUM_LANDMARKS, 2),
        origin_px=np.asarray(message.origin, np.float32),
        scale_px=message.scale,
        pose=np.stack([np.asarray(axis, np.float32) for axis in axes], axis=1),
        valid=message.valid,
        period_s=message.period,
    )
