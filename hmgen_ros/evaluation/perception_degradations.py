"""What cameras, lenses, networks and rooms do to a recording, done to it on the fly.

Each degradation is made from a seed and the level of the voices, changes pictures, their times, or sound, and
says where a place of the picture has gone. Several can be put in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.streams.source import MediaItem
from hmgen_ros.types import AudioChunk, Frame

Image = NDArray[np.uint8]
Size = tuple[int, int]

CAMERA_NOISE = 2.0
#: Low light: share of the light left, gamma of the camera's answer, and noise in grey levels.
DARK_GAIN, DARK_GAMMA, DARK_NOISE = 0.35, 1.4, 6.0
#: Motion blur: length of the streak as a share of the picture's width.
BLUR_SHARE = 1 / 80
JPEG_QUALITY = 12
SLOW_FPS = 15
#: Half the time between two pictures at 25 Hz: nearer ones there are none.
NEAR_NS = NS_PER_S // 50
#: Variable rate: shortest and longest time between two pictures, seconds.
VARIABLE_S = (0.03, 0.13)
PORTRAIT: Size = (720, 1280)


@dataclass(frozen=True)
class Voices:
    """What a degradation needs to know of a recording.

    Attributes:
        level_db: RMS of the sound while somebody speaks, dB of full scale.
        seed: of all noise.
    """

    level_db: float = -23.0
    seed: int = 0


@dataclass(frozen=True)
class Degradation:
    """One way to make a recording worse.

    Attributes:
        text: what it does, for reports.
        apply: changes the pictures and the sound of a source.
        place: from the picture's size to scale and shift ``(s, dx, dy)`` of places in it.
    """

    text: str
    apply: Callable[[Iterable[MediaItem], Voices], Iterator[MediaItem]]
    place: Callable[[Size], tuple[float, float, float]] = lambda size: (1.0, 0.0, 0.0)


def degrade(items: Iterable[MediaItem], names: Sequence[str], voices: Voices) -> Iterator[MediaItem]:
    """Apply degradations by name, the first first."""
    for name in names:
        items = DEGRADATIONS[name].apply(items, voices)
    return iter(items)


def places(names: Sequence[str], size: Size) -> tuple[float, float, float]:
    """Scale and shift of places by all of these; none of them but the last may change the size."""
    scale, dx, dy = 1.0, 0.0, 0.0
    for name in names:
        s, x, y = DEGRADATIONS[name].place(size)
        scale, dx, dy = s * scale, s * dx + x, s * dy + y
    return scale, dx, dy


def _pictures(
    change: Callable[[Image, np.random.Generator], Image],
) -> Callable[[Iterable[MediaItem], Voices], Iterator[MediaItem]]:
    def apply(items: Iterable[MediaItem], voices: Voices) -> Iterator[MediaItem]:
        rng = np.random.default_rng(voices.seed)
        for item in items:
            yield replace(item, image=change(item.image, rng)) if isinstance(item, Frame) else item

    return apply


def _camera_noise(image: Image, rng: np.random.Generator) -> Image:
    return np.clip(image + _sheet(image.shape, rng) * CAMERA_NOISE + 0.5, 0, 255).astype(np.uint8)


def _low_light(image: Image, rng: np.random.Generator) -> Image:
    curve = 255 * DARK_GAIN * (np.arange(256) / 255) ** DARK_GAMMA
    dark = cv2.LUT(image, curve.astype(np.float32))
    # Drawing noise for every pixel anew costs more than perception: a part of a larger sheet will do.
    return np.clip(dark + _sheet(image.shape, rng) * DARK_NOISE, 0, 255).astype(np.uint8)


def _sheet(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Standard normal noise of this shape, a part of one sheet, shifted at random."""
    height, width = shape[:2]
    key = (height, width)
    if key not in _SHEETS:
        made = np.random.default_rng(0).standard_normal((height + 64, width + 64, 3), np.float32)
        _SHEETS.clear()
        _SHEETS[key] = made
    y, x = rng.integers(0, 64, 2)
    return _SHEETS[key][y : y + height, x : x + width]


_SHEETS: dict[Size, NDArray[np.float32]] = {}


def _motion_blur(image: Image, rng: np.random.Generator) -> Image:
    length = max(3, round(image.shape[1] * BLUR_SHARE) | 1)
    return np.asarray(cv2.blur(image, (length, 1)), np.uint8)


def _jpeg(image: Image, rng: np.random.Generator) -> Image:
    _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def _grey(image: Image, rng: np.random.Generator) -> Image:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def _portrait(image: Image, rng: np.random.Generator) -> Image:
    scale, dx, dy = _portrait_place((image.shape[1], image.shape[0]))
    move = np.array([[scale, 0, dx], [0, scale, dy]])
    return np.asarray(cv2.warpAffine(image, move, PORTRAIT, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _portrait_place(size: Size) -> tuple[float, float, float]:
    """The whole picture fits into the portrait format, in its middle."""
    scale = min(PORTRAIT[0] / size[0], PORTRAIT[1] / size[1])
    return scale, (PORTRAIT[0] - scale * size[0]) / 2, (PORTRAIT[1] - scale * size[1]) / 2


def _slow(items: Iterable[MediaItem], voices: Voices) -> Iterator[MediaItem]:
    """The picture nearest to each exposure of a slower camera, stamped as that."""
    first: int | None = None
    taken = -1
    for item in items:
        if not isinstance(item, Frame):
            yield item
            continue
        first = item.stamp_ns if first is None else first
        k = (item.stamp_ns + NEAR_NS - first) * SLOW_FPS // NS_PER_S
        if k > taken:
            taken = k
            yield replace(item, stamp_ns=first + k * NS_PER_S // SLOW_FPS)


def _variable(items: Iterable[MediaItem], voices: Voices) -> Iterator[MediaItem]:
    """Pictures at random intervals, with their own stamps."""
    rng = np.random.default_rng(voices.seed)
    due = 0
    for item in items:
        if isinstance(item, Frame):
            if item.stamp_ns < due:
                continue
            due = item.stamp_ns + round(rng.uniform(*VARIABLE_S) * NS_PER_S)
        yield item


def _noise(snr_db: float) -> Callable[[Iterable[MediaItem], Voices], Iterator[MediaItem]]:
    def apply(items: Iterable[MediaItem], voices: Voices) -> Iterator[MediaItem]:
        rng = np.random.default_rng(voices.seed)
        noise = _pink(1 << 18, rng) * 10 ** ((voices.level_db - snr_db) / 20)
        at = 0
        for item in items:
            if isinstance(item, AudioChunk):
                part = np.arange(at, at + len(item.samples)) % len(noise)
                at += len(item.samples)
                item = replace(item, samples=np.clip(item.samples + noise[part], -1, 1).astype(np.float32))
            yield item

    return apply


def _pink(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise of RMS 1 that falls 3 dB an octave above 1/270 of the sample rate (60 Hz at 16 kHz)."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.fft.rfftfreq(length), 1 / 270)), length)
    return np.asarray(noise / noise.std())


DEGRADATIONS = {
    "camera_noise": Degradation(
        f"noise of {CAMERA_NOISE:.0f} grey levels, as of a camera in daylight", _pictures(_camera_noise)
    ),
    "low_light": Degradation(
        f"{DARK_GAIN:.0%} of the light, gamma {DARK_GAMMA}, noise of {DARK_NOISE:.0f} grey levels",
        _pictures(_low_light),
    ),
    "motion_blur": Degradation("a streak of 1/80 of the picture's width", _pictures(_motion_blur)),
    "jpeg": Degradation(f"JPEG of quality {JPEG_QUALITY}", _pictures(_jpeg)),
    "grey": Degradation("no colour", _pictures(_grey)),
    "portrait": Degradation("fitted into 720 × 1280 pixels", _pictures(_portrait), _portrait_place),
    "fps15": Degradation("15 pictures a second", _slow),
    "variable_rate": Degradation("a picture every 30 to 130 ms, at random", _variable),
    "noise_20db": Degradation("pink noise 20 dB below the voices", _noise(20.0)),
    "noise_10db": Degradation("pink noise 10 dB below the voices", _noise(10.0)),
    "noise_0db": Degradation("pink noise as loud as the voices", _noise(0.0)),
}
