"""What the bytes of a raw image mean: every encoding of sensor_msgs/image_encodings to 8-bit BGR.

16-bit samples keep their high byte. What is measured instead of seen (depth, see REP 118) and what has no
agreed meaning as a picture (two channels) is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.bad_message import BadMessage


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How the bytes of an image make pixels.

    Attributes:
        sample: numpy name of the type of one sample, without its byte order.
        samples: of one pixel in a row of ``step`` bytes.
        conversion: OpenCV's from these samples to BGR, None where they are BGR already.
        planes: rows of ``step`` bytes for two rows of the image; 2 where all planes are interleaved.
    """

    sample: str
    samples: int
    conversion: int | None
    planes: int = 2


# Channels to conversion; three and four channels without a name are BGR, as cv_bridge has them.
_PLAIN = {1: cv2.COLOR_GRAY2BGR, 3: None, 4: cv2.COLOR_BGRA2BGR}
_NAMED: dict[str, tuple[int, int | None]] = {
    "mono": (1, cv2.COLOR_GRAY2BGR),
    "bgr": (3, None),
    "rgb": (3, cv2.COLOR_RGB2BGR),
    "bgra": (4, cv2.COLOR_BGRA2BGR),
    "rgba": (4, cv2.COLOR_RGBA2BGR),
    # OpenCV names a Bayer pattern by its second row, ROS by its first.
    "bayer_rggb": (1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr": (1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg": (1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg": (1, cv2.COLOR_BayerGB2BGR),
}
_ENCODINGS: dict[str, _Encoding] = {
    **{f"{n}8": _Encoding("u1", samples, code) for n, (samples, code) in _NAMED.items()},
    **{f"{n}16": _Encoding("u2", samples, code) for n, (samples, code) in _NAMED.items()},
    "uyvy": _Encoding("u1", 2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422": _Encoding("u1", 2, cv2.COLOR_YUV2BGR_UYVY),
    "yuyv": _Encoding("u1", 2, cv2.COLOR_YUV2BGR_YUY2),
    "yuv422_yuy2": _Encoding("u1", 2, cv2.COLOR_YUV2BGR_YUY2),
    "nv12": _Encoding("u1", 1, cv2.COLOR_YUV2BGR_NV12, planes=3),
    "nv21": _Encoding("u1", 1, cv2.COLOR_YUV2BGR_NV21, planes=3),
    "nv24": _Encoding("u1", 1, cv2.COLOR_YUV2BGR_NV12, planes=6),
    **{
        f"{bits}{letter}C{channels}": _Encoding(f"{kind}{bits // 8}", channels, code)
        for bits, letter, kind in (
            (8, "U", "u"),
            (8, "S", "i"),
            (16, "U", "u"),
            (16, "S", "i"),
            (32, "S", "i"),
            (32, "F", "f"),
            (64, "F", "f"),
        )
        for channels, code in _PLAIN.items()
    },
}
#: Not pictures: distances in millimetres and metres.
_DEPTH = ("16UC1", "32FC1")
for _name in _DEPTH:
    del _ENCODINGS[_name]


def bgr_pixels(message: Any) -> NDArray[np.uint8]:
    """``[H, W, 3]`` BGR of a sensor_msgs/Image; shares its memory where no conversion is needed.

    Samples of signed integers and floats, which have no range of their own as pictures, are taken as
    brightness from 0 to the largest integer, or to 1.

    Raises:
        BadMessage: ``image_encoding``, ``image_size``, ``image_step`` or ``image_truncated``.
    """
    known = _encoding(message.encoding)
    width, height, step = int(message.width), int(message.height), int(message.step)
    pixel = np.dtype(known.sample).itemsize * known.samples
    if width == 0 or height == 0:
        raise BadMessage("image_size", f"image of size {width}x{height}")
    if step < width * pixel:
        raise BadMessage("image_step", f"image step {step} is less than {width} {message.encoding} pixels")
    rows = height * known.planes // 2
    if len(message.data) < step * rows:
        raise BadMessage("image_truncated", f"image has {len(message.data)} of {step * rows} bytes")
    data = np.frombuffer(message.data, np.uint8, step * rows).reshape(rows, step)
    if known.planes == 6:
        data = _halved_colour(data, height)
    try:
        pixels = _eight_bit(data[:, : width * pixel], known, bool(message.is_bigendian))
        image = pixels if known.conversion is None else cv2.cvtColor(pixels, known.conversion)
    except cv2.error as error:
        size = f"{width}x{height} {message.encoding}"
        raise BadMessage("image_size", f"image of {size} cannot be converted: {error.err}") from error
    return image.astype(np.uint8, copy=False)


def _encoding(name: str) -> _Encoding:
    known = _ENCODINGS.get(name)
    if known is not None:
        return known
    if name in _DEPTH:
        raise BadMessage("image_encoding", f"{name!r} is a depth image; give the camera's colour or grey one")
    supported = ", ".join(_ENCODINGS)
    raise BadMessage("image_encoding", f"image encoding {name!r} is not supported; use one of: {supported}")


def _eight_bit(rows: NDArray[np.uint8], encoding: _Encoding, big_endian: bool) -> NDArray[np.uint8]:
    """``[H, W * pixel]`` bytes to ``[H, W, samples]``; a copy where OpenCV would need one."""
    kind = np.dtype(encoding.sample)
    if kind == np.uint8:
        pixels = rows.reshape(len(rows), -1, encoding.samples)
        return pixels if encoding.conversion is None else np.ascontiguousarray(pixels)
    # The byte order is the sender's, and a padded row need not begin where a sample could.
    ordered = kind.newbyteorder(">" if big_endian else "<")
    if kind == np.uint16:
        first = 0 if big_endian else 1
        return np.ascontiguousarray(rows[:, first::2]).reshape(len(rows), -1, encoding.samples)
    samples = np.ascontiguousarray(rows).view(ordered).reshape(len(rows), -1, encoding.samples)
    largest = 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)
    bright = np.clip(np.nan_to_num(samples / largest, nan=0.0), 0, 1)
    return np.asarray(np.rint(bright * 255), np.uint8)


def _halved_colour(rows: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """nv24 as nv12: OpenCV reads colour only at half the size, which is all that a face needs."""
    step = rows.shape[1]
    colour = rows[height:].reshape(height, step, 2)[::2, ::2]
    return np.concatenate([rows[:height], colour.reshape(-1, 2 * colour.shape[1])[:, :step]])
