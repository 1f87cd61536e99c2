"""Draws what is perceived and predicted onto the image it was made from."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import (
    Action,
    ActionOutlook,
    Face,
    HeadMotion,
    Person,
    SpeakerOutlook,
    actions_of,
    mask_label,
)
from hmgen_ros.viewing.collector import TickView

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

# BGR, distinguishable also without colour vision (Okabe and Ito's palette).
_PEOPLE: tuple[Colour, ...] = (
    (0, 159, 230),
    (233, 180, 86),
    (115, 158, 0),
    (66, 228, 240),
    (178, 114, 0),
    (167, 121, 204),
)
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_NOSE_TIP = 30


def draw(view: TickView, forecast: bool = True) -> Image:
    """The annotated copy of a tick's image.

    Args:
        view: a tick with an image.
        forecast: also draw predicted head paths and next actions.
    """
    if view.frame is None:
        raise ValueError("a tick without an image cannot be drawn")
    image = view.frame.image.copy()
    if view.scene is None:
        _text(image, "no perception for this image", (8, 20), _WHITE, 0.5)
        return image
    for index, person in enumerate(view.scene.people):
        colour = _PEOPLE[index % len(_PEOPLE)]
        motion = view.motions.get(person.person_id)
        if person.face is not None:
            _face(image, person, person.face, colour)
            _caption(
                image, person, person.face, view.actions.get(person.person_id) if forecast else None, colour
            )
            if forecast and motion is not None and motion.valid:
                _path(image, person.face, motion, colour)
    _status(image, view)
    return image


def _scale(image: Image) -> float:
    return max(0.4, float(image.shape[1]) / 1920)


def _text(image: Image, text: str, origin: tuple[int, int], colour: Colour, size: float) -> None:
    cv2.putText(image, text, origin, _FONT, size, _BLACK, 3, cv2.LINE_AA)
    cv2.putText(image, text, origin, _FONT, size, colour, 1, cv2.LINE_AA)


def _face(image: Image, person: Person, face: Face, colour: Colour) -> None:
    x0, y0, x1, y1 = (round(float(value)) for value in face.box)
    thickness = 3 if Action.SPEAKING in actions_of(person.actions) else 1
    cv2.rectangle(image, (x0, y0), (x1, y1), colour, thickness, cv2.LINE_AA)
    # Fixed-point centres keep sub-pixel landmarks from jittering in the video.
    for x, y in np.rint(face.landmarks_px * 16).astype(int).tolist():
        cv2.circle(image, (x, y), 20, colour, -1, cv2.LINE_AA, 4)


def _caption(image: Image, person: Person, face: Face, action: ActionOutlook | None, colour: Colour) -> None:
    speaking = person.probabilities[Action.SPEAKING]
    heard = "" if np.isnan(speaking) else f"  voice {100 * speaking:.0f}%"
    lines = [(f"{person.person_id}: {mask_label(person.actions)}{heard}", colour)]
    if action is not None and action.valid:
        lines.append((f"next: {_next_text(action)}", _WHITE))
        lines.append((f"speaks soon: {100 * action.speak_probability:.0f}%", _WHITE))
    size = _scale(image)
    height = int(32 * size) + 4
    top = float(face.box[3])
    if top + height * len(lines) > image.shape[0]:
        # No room below the face.
        top = float(face.box[1]) - height * len(lines) - height // 2
    for index, (text, shade) in enumerate(lines, 1):
        _text(image, text, (int(face.box[0]), int(top) + index * height), shade, size)


def _next_text(action: ActionOutlook) -> str:
    if action.next_mask == action.current_mask:
        return f"stays {100 * (1 - action.change_probability):.0f}%"
    chance, wait = f"{100 * action.confidence:.0f}%", f"{action.seconds_until_start:.1f} s"
    return f"{mask_label(action.next_mask)} {chance} in {wait}"


def _path(image: Image, face: Face, motion: HeadMotion, colour: Colour) -> None:
    nose = np.vstack([face.landmarks_px[_NOSE_TIP], motion.landmarks_px[:, _NOSE_TIP]])
    points = np.rint(nose * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(image, [points], False, _WHITE, 2, cv2.LINE_AA, 4)
    if face.pose is None:
        return
    # Where the nose points: x forward projects towards the side the head turns to.
    yaw, pitch = face.pose.yaw, face.pose.pitch
    start = face.landmarks_px[_NOSE_TIP]
    end = start + face.scale_px * np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    tip, base = np.rint(end).astype(int).tolist(), np.rint(start).astype(int).tolist()
    cv2.arrowedLine(image, base, tip, colour, 2, cv2.LINE_AA, 0, 0.25)


def _status(image: Image, view: TickView) -> None:
    if view.scene is None:
        return
    voice = view.scene.voice_activity
    parts = [
        f"people {len(view.scene.people)}",
        "no sound" if np.isnan(voice) else f"voice {100 * voice:.0f}%",
    ]
    if view.speaker is not None and view.speaker.valid:
        parts.append(_speaker_text(view.speaker))
    size = _scale(image)
    _text(image, "   ".join(parts), (8, int(36 * size) + 4), _WHITE, size)


def _speaker_text(speaker: SpeakerOutlook) -> str:
    now = speaker.current_speaker_id or "nobody"
    if not speaker.person_id:
        return f"speaks: {now}   next: nobody {100 * speaker.none_probability:.0f}%"
    return f"speaks: {now}   next: {speaker.person_id} {100 * speaker.probability:.0f}%"
