"""Landmarks as pictures: frames for InceptionV3 and I3D, and motion maps, a whole sequence on one picture.

Thesis 4.4.2. A pose is drawn on a canvas of 224 × 224 pixels with one pixel a landmark and a channel each
for the jaw, for brows, eyes and nose, and for the mouth; :class:`RasterSettings` can also have the outlines
drawn.
The canvas is that of a head frame (:mod:`hmgen_ros.generators.head_frame`): its origin in the middle, and 40
pixels to the size of the face, so that a face takes half of the canvas and can move by about its own breadth.
What leaves the canvas is not drawn.

A motion map is the exponential moving average of a sequence's frames at its last one,
``m ← (1 - a) m + a frame``, started with the first frame. ``a`` = 0.1 (:data:`DECAY` = 0.9): what lies 0.4 s
back is two thirds as bright as the present, the beginning of a window of 40 ticks a sixtieth, which makes
brightness tell time over a whole window. The thesis does not print its decay. ``linear_weights`` are those of
its public code, 0.2 for the first frame up to 0.8 for the last, scaled to sum 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from hmgen_ros.generators.head_frame import head_frame, to_frame
from hmgen_ros.types import NUM_LANDMARKS

#: Pixels: side of the canvas, and of a face's size (root mean square distance of landmarks from the middle).
CANVAS, FACE = 224, 40.0
#: Weight of the past at each tick of a motion map.
DECAY = 0.9
CHANNEL_NAMES = ("jaw", "brows, eyes and nose", "mouth")
#: First and last weight of the public code's motion maps.
_LINEAR = (0.2, 0.8)
#: iBUG-68: polygons by their landmarks, and whether they are closed.
_OUTLINES = (
    (range(0, 17), False),
    (range(17, 22), False),
    (range(22, 27), False),
    (range(27, 31), False),
    (range(31, 36), False),
    (range(36, 42), True),
    (range(42, 48), True),
    (range(48, 60), True),
    (range(60, 68), True),
)
#: Pixels are set at so many places of each line between two landmarks; the longest are some 30 pixels long.
_PLACES_ON_LINE = 32


def _channel_of(landmark: int) -> int:
    return 0 if landmark < 17 else 1 if landmark < 48 else 2


def _lines() -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for points, closed in _OUTLINES:
        found += pairwise(points)
        found += [(points[-1], points[0])] if closed else []
    return found


#: Pairs of landmarks with a line between them.
LINES = tuple(_lines())


@dataclass(frozen=True)
class RasterSettings:
    """How poses are drawn.

    Attributes:
        canvas: side of the picture, pixels, at least 16.
        face: pixels to the size of a face, above 0.
        lines: draw the outlines, too.

    Raises:
        ValueError: a setting is out of its range.
    """

    canvas: int = CANVAS
    face: float = FACE
    lines: bool = False

    def __post_init__(self) -> None:
        if self.canvas < 16 or not self.face > 0.0:
            raise ValueError(f"need canvas >= 16 and face > 0, got {self.canvas} and {self.face}")


def in_own_frame(windows: Tensor) -> Tensor:
    """``[..., T, 68, 2]`` windows in the frame of each one's first pose."""
    return to_frame(windows, head_frame(windows[..., :1, :, :]))


def raster(landmarks: Tensor, settings: RasterSettings | None = None) -> Tensor:
    """Draw poses.

    Args:
        landmarks: ``[..., 68, 2]`` in head frames.
        settings: the thesis' way where none are given.

    Returns:
        ``[..., 3, canvas, canvas]`` uint8, 1 where something is drawn.

    Raises:
        ValueError: these are no poses of 68 landmarks.
    """
    settings = settings or RasterSettings()
    index = _places(landmarks, settings)
    size = 3 * settings.canvas**2
    picture = torch.zeros((len(index), size + 1), dtype=torch.uint8, device=landmarks.device)
    picture.scatter_(1, index, 1)
    shape = (*landmarks.shape[:-2], 3, settings.canvas, settings.canvas)
    return picture[:, :size].reshape(shape)


def motion_map(windows: Tensor, weights: Tensor, settings: RasterSettings | None = None) -> Tensor:
    """Weighted mean of a window's frames.

    Args:
        windows: ``[B, T, 68, 2]`` in head frames.
        weights: ``[T]`` of its frames, sum 1.
        settings: of the raster.

    Returns:
        ``[B, 3, canvas, canvas]`` float32, 0 to 1.

    Raises:
        ValueError: there are not as many weights as ticks.
    """
    if windows.shape[1] != len(weights):
        raise ValueError(f"windows have {windows.shape[1]} ticks, weights are {len(weights)}")
    settings = settings or RasterSettings()
    size = 3 * settings.canvas**2
    total = torch.zeros((len(windows), size + 1), device=windows.device)
    for tick, weight in zip(windows.unbind(1), weights.tolist(), strict=True):
        index = _places(tick, settings)
        # Several landmarks in one pixel write the same value: a pixel is set or not.
        total.scatter_(1, index, total.gather(1, index) + weight)
    return total[:, :size].reshape(len(windows), 3, settings.canvas, settings.canvas)


def exponential_weights(ticks: int, decay: float = DECAY) -> Tensor:
    """``[T]`` weights of an exponential moving average that begins with the first frame; they sum to 1.

    Raises:
        ValueError: ``ticks`` is below 1 or ``decay`` not in (0, 1).
    """
    if ticks < 1 or not 0.0 < decay < 1.0:
        raise ValueError(f"need ticks >= 1 and 0 < decay < 1, got {ticks} and {decay}")
    age = torch.arange(ticks - 1, -1, -1, dtype=torch.float64)
    weights = (1.0 - decay) * decay**age
    weights[0] = decay ** (ticks - 1)
    return weights.float()


def linear_weights(ticks: int) -> Tensor:
    """``[T]`` weights of the public code, from 0.2 for the first to 0.8 for the last frame, scaled to sum 1.

    Raises:
        ValueError: ``ticks`` is below 1.
    """
    if ticks < 1:
        raise ValueError(f"ticks must be at least 1, got {ticks}")
    weights = torch.linspace(*_LINEAR, ticks)
    return weights / weights.sum()


def soft_motion_map(windows: Tensor, weights: Tensor, cells: int, face: float) -> Tensor:
    """A coarse motion map that sees less than a pixel of movement: landmarks share their four nearest cells.

    Args:
        windows: ``[B, T, 68, 2]`` in head frames.
        weights: ``[T]``, sum 1.
        cells: side of the canvas in cells.
        face: cells to the size of a face.

    Returns:
        ``[B, 3, cells, cells]`` float32; landmarks in one cell add up, so that all sum to 68 if nothing
        leaves the canvas.
    """
    place = windows * face + (cells - 1) / 2.0  # [B, T, 68, 2]
    corner = place.clamp(-2.0, cells + 1.0).floor()
    part = (place.clamp(-2.0, cells + 1.0) - corner).unbind(-1)
    channel = torch.tensor([_channel_of(i) for i in range(NUM_LANDMARKS)], device=windows.device)
    batch = torch.arange(len(windows), device=windows.device)[:, None, None]
    total = torch.zeros(len(windows) * 3 * cells**2, device=windows.device)
    for right in (0, 1):
        for down in (0, 1):
            share = (part[0] if right else 1.0 - part[0]) * (part[1] if down else 1.0 - part[1])
            x, y = corner[..., 0].long() + right, corner[..., 1].long() + down
            inside = (x >= 0) & (x < cells) & (y >= 0) & (y < cells)
            index = ((batch * 3 + channel) * cells + y) * cells + x
            amount = torch.where(inside, share * weights.to(share)[:, None], 0.0)
            total.index_add_(0, torch.where(inside, index, 0).flatten(), amount.float().flatten())
    return total.reshape(len(windows), 3, cells, cells)


def _places(landmarks: Tensor, settings: RasterSettings) -> Tensor:
    """Pixels to be set, ``[R, P]`` as places in the flat picture; one behind its end for what is not seen."""
    points, channel = _drawn(landmarks, settings)
    place = (points * settings.face + (settings.canvas - 1) / 2.0).flatten(0, -3)  # [R, P, 2]
    x, y = _pixels(place).unbind(-1)
    seen = (x >= 0) & (x < settings.canvas) & (y >= 0) & (y < settings.canvas)
    index = (channel * settings.canvas + y) * settings.canvas + x
    return torch.where(seen, index, 3 * settings.canvas**2)


def _drawn(landmarks: Tensor, settings: RasterSettings) -> tuple[Tensor, Tensor]:
    """All places to be set: ``[..., P, 2]`` in head frames, and the channel of each, ``[P]``."""
    if landmarks.shape[-2:] != (NUM_LANDMARKS, 2):
        raise ValueError(f"landmarks must be [..., {NUM_LANDMARKS}, 2], not {list(landmarks.shape)}")
    points = landmarks if landmarks.dim() > 2 else landmarks.unsqueeze(0)
    channel = [_channel_of(i) for i in range(NUM_LANDMARKS)]
    if settings.lines:
        starts, ends = zip(*LINES, strict=True)
        along = torch.linspace(0.0, 1.0, _PLACES_ON_LINE, device=points.device)[:, None]
        begin, end = points[..., list(starts), None, :], points[..., list(ends), None, :]
        on_lines = torch.lerp(begin, end, along.to(points.dtype)).flatten(-3, -2)
        points = torch.cat([points, on_lines], dim=-2)
        channel += [_channel_of(start) for start in starts for _ in range(_PLACES_ON_LINE)]
    return points, torch.tensor(channel, device=points.device)


def _pixels(place: Tensor) -> Tensor:
    """Whole pixels; what is far away or no number lies outside of every canvas."""
    return torch.nan_to_num(place, nan=-1e6).clamp(-1e6, 1e6).round().long()
