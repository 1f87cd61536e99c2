"""Faces as outlines in colour, over a picture or on black."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.motion_raster import LINES

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Colour = tuple[int, int, int]

#: BGR of jaw, of brows, eyes and nose, and of the mouth; white are faces that were not generated.
COLOURS: tuple[Colour, Colour, Colour] = ((255, 190, 90), (90, 215, 255), (130, 100, 255))
WHITE: tuple[Colour, Colour, Colour] = ((255, 255, 255),) * 3
#: Breadth of what is shown, as a multiple of the extent of all that moves.
_MARGIN = 1.6
#: Brightness of a picture behind a face.
_DIMMED = 0.45
#: Pixels of a panel to one of a line's breadth.
_LINE = 240
#: Places are given in sixteenths of a pixel, or slow movements would jump.
_SHIFT = 4
#: iBUG-68: where jaw, then brows, eyes and nose end.
_ENDS = (17, 48)


@dataclass(frozen=True, slots=True)
class View:
    """The square of the plane that a panel shows.

    Attributes:
        left, top, side: of its edges, in the unit of the landmarks; the middles of a picture's pixels are at
            whole numbers, so that its own edges are half a pixel before and behind them.
        size: side of the panel, pixels.
    """

    left: float
    top: float
    side: float
    size: int

    def places(self, landmarks: Floats) -> Floats:
        """``[..., 2]`` landmarks to pixels of the panel, whose middles are at whole numbers."""
        corner = np.array([self.left, self.top], np.float32)
        return np.asarray((landmarks - corner) * (self.size / self.side) - 0.5, np.float32)


def view_of(landmarks: Floats, size: int, whole: bool) -> View:
    """The view that has all of ``[..., 68, 2]`` landmarks, with room around them.

    Args:
        landmarks: of all ticks and heads.
        size: side of the panel, pixels.
        whole: lay it along the pixels of a picture, which can then be cut out.
    """
    points = landmarks.reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) * _MARGIN
    left, top = ((low + high) / 2 - side / 2).tolist()
    if not whole:
        return View(left, top, side, size)
    return View(round(left) - 0.5, round(top) - 0.5, float(max(1, round(side))), size)


def backdrop(image: Image | None, view: View) -> Image:
    """``[size, size, 3]`` what is in view of a BGR picture, dimmed; black beyond it, or without one."""
    if image is None:
        return np.zeros((view.size, view.size, 3), np.uint8)
    left, top, side = round(view.left + 0.5), round(view.top + 0.5), round(view.side)
    seen = np.zeros((side, side, 3), np.uint8)
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    if x1 > x0 and y1 > y0:
        seen[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    method = cv2.INTER_AREA if side > view.size else cv2.INTER_CUBIC
    panel = cv2.resize(seen, (view.size, view.size), interpolation=method)
    return (panel * _DIMMED).astype(np.uint8)


def draw_face(panel: Image, places: Floats, colours: tuple[Colour, Colour, Colour]) -> None:
    """Draw the outlines of ``[68, 2]`` pixels into a BGR panel.

    Args:
        panel: is changed.
        places: from :meth:`View.places`.
        colours: of jaw, of brows, eyes and nose, and of the mouth.
    """
    breadth = max(1, round(panel.shape[0] / _LINE))
    # What is far outside would not fit into the numbers that OpenCV computes with.
    limit = 4 * panel.shape[0]
    points = np.rint(places.clip(-limit, limit) * (1 << _SHIFT)).astype(int).tolist()
    for start, end in LINES:
        colour = colours[sum(start >= first for first in _ENDS)]
        cv2.line(panel, points[start], points[end], colour, breadth, cv2.LINE_AA, _SHIFT)
