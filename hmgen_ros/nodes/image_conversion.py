"""Camera messages to frames and back, with every defect named instead of a crash.

Encodings follow sensor_msgs/image_encodings; whatever arrives becomes 8-bit BGR, because that is what
the perception works on.
"""

from __future__ import annotations

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from hmgen_ros.types import Frame

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


def stamp_ns(stamp: Time) -> int:
    """Nanoseconds of a message stamp."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def stamp_message(nanoseconds: int) -> Time:
    """Message stamp of non-negative nanoseconds."""
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def frame_from_image(message: Image) -> Frame:
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


def _header_ns(message: Image | CompressedImage) -> int:
    return stamp_ns(message.header.stamp)


def _to_bgr(rows: NDArray[np.uint8], message: Image, conversion: int | None) -> NDArray[np.uint8]:
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


def frame_from_compressed(message: CompressedImage) -> Frame:
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
