"""Incoming messages to the house's types, with every defect named instead of a crash.

What is read are a message's fields, whoever made it: rclpy, or a reader of bags where there is no ROS. So
nothing here imports a message package, and live and replayed messages go through the same code. Image
encodings follow sensor_msgs/image_encodings; whatever arrives becomes 8-bit BGR, because that is what the
perception works on.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.normalisation import MIN_SCALE_PX
from hmgen_ros.types import NUM_LANDMARKS, UNKNOWN_MASK, Face, Frame, HeadPose, Person, Scene

# Encoding to (bytes a pixel, OpenCV conversion to BGR or None when it is BGR already).
_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "bgr8": (3, None),
    "8UC3": (3, None),
    "rgb8": (3, cv2.COLOR_RGB2BGR),
    "bgra8": (4, cv2.COLOR_BGRA2BGR),
    "rgba8": (4, cv2.COLOR_RGBA2BGR),
    "mono8": (1, cv2.COLOR_GRAY2BGR),
    "8UC1": (1, cv2.COLOR_GRAY2BGR),
    "mono16": (2, cv2.COLOR_GRAY2BGR),
    "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2BGR_YUY2),
    # OpenCV names a Bayer pattern by its second row, ROS by its first.
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2BGR),
}


class BadMessage(ValueError):
    """A message that cannot be used.

    Attributes:
        cause: short name to count it by.
    """

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause


def stamp_ns(stamp: Any) -> int:
    """Nanoseconds of a message stamp."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def frame_from_image(message: Any) -> Frame:
    """Frame of a raw image; shares its memory with the message where no conversion is needed.

    Raises:
        BadMessage: ``image_encoding``, ``image_size``, ``image_step`` or ``image_truncated``.
    """
    known = _ENCODINGS.get(message.encoding)
    if known is None:
        supported = ", ".join(_ENCODINGS)
        raise BadMessage(
            "image_encoding", f"image encoding {message.encoding!r} is not supported; use one of: {supported}"
        )
    width, height, step = int(message.width), int(message.height), int(message.step)
    pixel, conversion = known
    if width == 0 or height == 0:
        raise BadMessage("image_size", f"image of size {width}x{height}")
    if step < width * pixel:
        raise BadMessage("image_step", f"image step {step} is less than {width} {message.encoding} pixels")
    if len(message.data) < step * height:
        raise BadMessage("image_truncated", f"image has {len(message.data)} of {step * height} bytes")
    rows = np.frombuffer(message.data, np.uint8, step * height).reshape(height, step)[:, : width * pixel]
    return Frame(_header_ns(message), _to_bgr(rows, message, conversion), message.header.frame_id)


def _header_ns(message: Any) -> int:
    return stamp_ns(message.header.stamp)


def _to_bgr(rows: NDArray[np.uint8], message: Any, conversion: int | None) -> NDArray[np.uint8]:
    height, width = int(message.height), int(message.width)
    pixels = rows.reshape(height, width, -1)
    if message.encoding == "mono16":
        # The high byte is the 8-bit image; where it stands depends on the sender's byte order.
        pixels = pixels[..., :1] if message.is_bigendian else pixels[..., 1:]
    if conversion is None:
        return pixels
    try:
        return cv2.cvtColor(np.ascontiguousarray(pixels), conversion).astype(np.uint8, copy=False)
    except cv2.error as error:
        size = f"{width}x{height} {message.encoding}"
        raise BadMessage("image_size", f"image of {size} cannot be converted: {error.err}") from error


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
