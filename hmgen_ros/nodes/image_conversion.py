"""Frames to camera messages, and beside it the way back, :mod:`hmgen_ros.message_reading`."""

from __future__ import annotations

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image

from hmgen_ros.message_reading import BadMessage, frame_from_compressed, frame_from_image, stamp_ns
from hmgen_ros.types import Frame

__all__ = [
    "BadMessage",
    "compressed_from_frame",
    "frame_from_compressed",
    "frame_from_image",
    "image_from_frame",
    "stamp_message",
    "stamp_ns",
]


def stamp_message(nanoseconds: int) -> Time:
    """Message stamp of non-negative nanoseconds."""
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def image_from_frame(frame: Frame) -> Image:
    """Raw bgr8 message of a frame."""
    message = Image(height=frame.image.shape[0], width=frame.image.shape[1], encoding="bgr8")
    message.header.stamp = stamp_message(frame.stamp_ns)
    message.header.frame_id = frame.frame_id
    message.step = message.width * 3
    # frombytes copies once; assigning an array would go through every byte in Python.
    message.data.frombytes(np.ascontiguousarray(frame.image).data.cast("B"))
    return message


def compressed_from_frame(frame: Frame, quality: int) -> CompressedImage:
    """JPEG message of a frame at ``quality`` 1 to 100."""
    message = CompressedImage(format="bgr8; jpeg compressed bgr8")
    message.header.stamp = stamp_message(frame.stamp_ns)
    message.header.frame_id = frame.frame_id
    _, data = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    message.data.frombytes(data.tobytes())
    return message
