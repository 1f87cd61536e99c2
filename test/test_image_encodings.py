"""Every encoding that a camera driver may send, in any size, padding and byte order."""

import os
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import Image

from hmgen_ros.nodes.image_conversion import BadMessage, frame_from_image, stamp_message

CAUSES = {"image_encoding", "image_size", "image_step", "image_truncated"}
CHANNELS = {"bgr": (0, 1, 2), "rgb": (2, 1, 0), "bgra": (0, 1, 2, 3), "rgba": (2, 1, 0, 3)}
NUMBERS = {
    "8UC": "u1", "16UC": "u2", "8SC": "i1", "16SC": "i2", "32SC": "i4", "32FC": "f4", "64FC": "f8",
}  # fmt: skip
BAYER = [f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)]
YUV = ["uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21", "nv24"]
COLOUR = [f"{name}{bits}" for name in CHANNELS for bits in (8, 16)]
TYPED = [f"{name}{channels}" for name in NUMBERS for channels in (1, 3, 4)]
ALL = ["mono8", "mono16", *COLOUR, *BAYER, *YUV, *TYPED]
DEPTH = ["16UC1", "32FC1"]


def scene(height: int, width: int) -> np.ndarray:
    """A smooth picture in colour: what subsampled colour and mosaics can carry."""
    y, x = np.mgrid[:height, :width] / 16.0
    return np.stack([120 + 60 * np.sin(x), 110 + 50 * np.cos(y), 130 + 40 * np.sin(x + y)], -1).astype(
        np.uint8
    )


def mosaic(image: np.ndarray, pattern: str) -> np.ndarray:
    """What a sensor behind a Bayer filter sees of it."""
    out = np.zeros(image.shape[:2], np.uint8)
    for index, letter in enumerate(pattern):
        rows, columns = slice(index // 2, None, 2), slice(index % 2, None, 2)
        out[rows, columns] = image[rows, columns, "bgr".index(letter)]
    return out


def rows_of(image: np.ndarray, encoding: str, big: bool = False) -> np.ndarray:
    """``[rows, bytes]`` of the picture in an encoding, as a driver lays it out."""
    if encoding in YUV:
        return yuv_rows(image, encoding)
    typed = re.fullmatch(r"(\d+[USF]C)(\d)", encoding)
    if typed:
        kind, channels = NUMBERS[typed[1]], int(typed[2])
        planes = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None] if channels == 1 else image
        if channels == 4:
            planes = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    else:
        name, kind = (encoding[:-2], "u2") if encoding.endswith("16") else (encoding[:-1], "u1")
        if name == "mono":
            planes = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
        elif name in CHANNELS:
            planes = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)[..., CHANNELS[name]]
        else:
            planes = mosaic(image, name[6:])[..., None]
    return stretched(planes, kind).astype(np.dtype(kind).newbyteorder(">" if big else "<")).view(np.uint8)


def stretched(planes: np.ndarray, kind: str) -> np.ndarray:
    """``[H, W, C]`` bytes as ``[H, W * C]`` samples that reach over the whole range of their type."""
    flat = planes.reshape(len(planes), -1)
    if kind[0] == "f":
        return np.ascontiguousarray(flat / 255).astype(kind)
    largest = np.iinfo(kind).max
    return np.round(flat / 255 * largest).astype(kind)


def yuv_rows(image: np.ndarray, encoding: str) -> np.ndarray:
    if encoding in ("uyvy", "yuv422", "yuyv", "yuv422_yuy2"):
        code = cv2.COLOR_BGR2YUV_UYVY if encoding in ("uyvy", "yuv422") else cv2.COLOR_BGR2YUV_YUY2
        return cv2.cvtColor(image, code).reshape(len(image), -1)
    height, width = image.shape[:2]
    planar = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    u, v = planar[height:].reshape(2, height // 2, width // 2)
    if encoding == "nv24":
        colour = np.stack([u, v], -1).repeat(2, 0).repeat(2, 1).reshape(-1, width)
    else:
        colour = np.stack([u, v] if encoding == "nv12" else [v, u], -1).reshape(-1, width)
    return np.concatenate([planar[:height], colour])


def message(
    rows: np.ndarray, size: tuple[int, int], encoding: str, big: bool = False, padding: int = 0
) -> Image:
    """Rows as a message; nv24's rows of colour are twice as wide as those of brightness."""
    height, width = size
    if encoding == "nv24":
        pad = np.pad(rows[height:].reshape(height, -1), ((0, 0), (0, 2 * padding))).reshape(
            -1, width + padding
        )
        padded = np.concatenate([np.pad(rows[:height], ((0, 0), (0, padding))), pad])
    else:
        padded = np.pad(rows, ((0, 0), (0, padding)))
    made = Image(height=height, width=width, encoding=encoding, step=padded.shape[1], is_bigendian=int(big))
    made.data.frombytes(padded.tobytes())
    made.header.stamp = stamp_message(7)
    return made


@pytest.mark.parametrize("encoding", [name for name in ALL if name not in DEPTH])
@pytest.mark.parametrize(("big", "padding"), [(False, 0), (True, 6), (False, 13)])
def test_every_encoding_shows_the_same_picture(encoding: str, big: bool, padding: int) -> None:
    image = scene(48, 64)
    frame = frame_from_image(message(rows_of(image, encoding, big), (48, 64), encoding, big, padding))
    grey = encoding.startswith("mono") or encoding.endswith("C1")
    wanted = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) if grey else image
    assert frame.image.shape == (48, 64, 3)
    assert frame.image.dtype == np.uint8
    wrong = np.abs(frame.image[2:-2, 2:-2].astype(int) - wanted[2:-2, 2:-2])
    # Mosaics and halved colour are blurred, and YUV is rounded twice.
    assert wrong.max() <= (12 if encoding in YUV or encoding in BAYER else 2)
    assert wrong.mean() < 3


def test_no_encoding_of_ros_is_forgotten() -> None:
    """Against the header of the installed messages, which names all there are."""
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    headers = [Path(prefix) / "include/sensor_msgs/sensor_msgs/image_encodings.hpp" for prefix in prefixes]
    header = next((path for path in headers if path.is_file()), None)
    if header is None:
        pytest.skip("no C++ headers of sensor_msgs are installed")
    named = re.findall(r'const char \w+\[\] = "(\w+)"', header.read_text())
    assert len(named) > 40
    for encoding in named:
        if encoding in DEPTH or encoding.endswith("C2"):
            with pytest.raises(BadMessage, match="depth" if encoding in DEPTH else "not supported"):
                frame_from_image(Image(encoding=encoding))
        else:
            assert encoding in ALL


@given(
    encoding=st.sampled_from([*ALL, "8UC2", "rgb", "telepathy8", ""]),
    width=st.integers(0, 9),
    height=st.integers(0, 9),
    step=st.integers(0, 90),
    short=st.integers(0, 20),
    big=st.booleans(),
)
def test_any_image_is_a_picture_of_its_size_or_a_named_defect(
    encoding: str, width: int, height: int, step: int, short: int, big: bool
) -> None:
    one = Image(height=height, width=width, encoding=encoding, step=step, is_bigendian=int(big))
    content = np.random.default_rng(0).integers(0, 256, max(0, 3 * step * height - short), np.uint8)
    one.data.frombytes(content.tobytes())
    try:
        image = frame_from_image(one).image
    except BadMessage as error:
        found, text = error.cause, str(error)
    else:
        found, text = (image.shape, image.dtype), ""
    assert found in CAUSES or found == ((height, width, 3), np.uint8)
    assert "\n" not in text


def test_numbers_out_of_range_are_black_or_white() -> None:
    row = np.array([[np.nan, -3.0, 0.5, np.inf, -np.inf, 7.0]], np.float64).view(np.uint8)
    frame = frame_from_image(message(row, (1, 2), "64FC3"))
    assert frame.image.ravel().tolist() == [0, 0, 128, 255, 0, 255]
    signed = frame_from_image(message(np.array([[-128, -1, 127]], np.int8).view(np.uint8), (1, 1), "8SC3"))
    assert signed.image.ravel().tolist() == [0, 0, 255]


def test_a_plain_picture_is_not_copied() -> None:
    one = message(rows_of(scene(48, 64), "bgr8"), (48, 64), "bgr8", padding=8)
    assert np.shares_memory(frame_from_image(one).image, np.frombuffer(one.data, np.uint8))
