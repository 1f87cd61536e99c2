"""Puts people from different clips before one background, with heads that do not jump where clips join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scene_clips import FPS, STABLE, Clip, SceneError
from scene_schedule import Piece

Image = NDArray[np.uint8]
Array = NDArray[np.float64]

#: Frames over which one clip fades into the next, and over which a joined head glides to its place.
FADE_FRAMES, GLIDE_FRAMES = 6, 30
#: Difference from the plain background (grey levels) that counts as person.
MATTE_LEVEL = 14.0
#: Pixels at a clip's border that are not trusted (black lines of the original coding).
EDGE = 6
#: Pixels a person may be moved sideways by sway and joins.
MARGIN = 30


def fit_similarity(source: Array, target: Array) -> Array:
    """Least-squares rotation, scale and shift ``[2, 3]`` from points ``[K, 2]`` to others ``[K, 2]``."""
    s, t = (p[:, 0] + 1j * p[:, 1] for p in (source, target))
    ds, dt = s - s.mean(), t - t.mean()
    turn = (np.conj(ds) @ dt) / (np.conj(ds) @ ds).real
    shift = t.mean() - turn * s.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def apply_affine(matrix: Array, points: Array) -> Array:
    """Points ``[..., 2]`` moved by a ``[2, 3]`` matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def chain(outer: Array, inner: Array) -> Array:
    """The ``[2, 3]`` matrix that first does ``inner``, then ``outer``."""
    product: Array = np.vstack([outer, [0, 0, 1]]) @ np.vstack([inner, [0, 0, 1]])
    return product[:2]


def smoothstep(x: float) -> float:
    """0 to 1 with level ends, for x from 0 to 1; clipped outside."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def _powers(height: int, width: int, degree: int = 3) -> Array:
    y, x = np.mgrid[0:height, 0:width]
    x, y = 2 * x / width - 1, 2 * y / height - 1
    return np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=-1)


def fit_background(still: NDArray[np.float32]) -> NDArray[np.float32]:
    """The plain background behind a person: a smooth surface through what is not the person.

    Starts from the top and the sides of ``still`` ``[H, W, 3]`` and adds what the surface explains.
    """
    height, width = still.shape[:2]
    basis = _powers(height, width)
    inside = np.zeros((height, width), bool)
    inside[8 : height // 8, 8:-8] = True
    inside[8 : int(height * 0.85), 8 : width // 24] = True
    inside[8 : int(height * 0.6), -width // 24 : -8] = True
    step = (slice(None, None, 3), slice(None, None, 3))
    surface = still
    for level in (30, 20, 12, 10, 10):
        known = inside[step]
        weights = np.linalg.lstsq(basis[step][known], still[step][known], rcond=None)[0]
        surface = (basis @ weights).astype(np.float32)
        inside = np.abs(still - surface).max(axis=-1) < level
        inside[:6], inside[-6:], inside[:, :6], inside[:, -6:] = False, False, False, False
    return surface


def fit_outline(frames: Sequence[Image], background: NDArray[np.float32]) -> Image:
    """The person of a clip as one filled region ``[H, W]``, 0 or 255: what is off the background ever.

    A shade of the background counts as background (vignette, shadow of the head).
    """
    height, width = background.shape[:2]
    off = np.zeros((height, width), np.uint8)
    norm = np.square(background).sum(axis=-1)
    for frame in frames:
        soft = cv2.GaussianBlur(frame, (0, 0), 1.0).astype(np.float32)
        shade = np.clip((soft * background).sum(axis=-1) / norm, 0.8, 1.2)[..., None]
        off |= (np.abs(soft - shade * background).max(axis=-1) > MATTE_LEVEL).astype(np.uint8)
    off[:EDGE] = 0
    off[:, :EDGE] = off[:, -EDGE:] = 0
    off[:] = cv2.morphologyEx(off, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    off[:] = cv2.morphologyEx(off, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    foot = np.flatnonzero(off[-EDGE - 2])
    if len(foot):
        off[-EDGE - 2 :, foot[0] : foot[-1] + 1] = 1
    outlines, _ = cv2.findContours(off, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        raise SceneError("no person stands out from the background of a clip; is the background plain?")
    region = np.zeros((height, width), np.uint8)
    cv2.drawContours(region, [max(outlines, key=cv2.contourArea)], -1, 255, cv2.FILLED)
    return region


def fit_mattes(region: Image) -> NDArray[np.float32]:
    """Soft masks ``[H, W, 2]``, 0 to 1: the person with a rim of background, and the person's inside.

    Both fall to 0 towards the top, left and right border, where the clip ends.
    """
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    outer = cv2.GaussianBlur(cv2.dilate(region, ellipse), (0, 0), 3.0).astype(np.float32) / 255
    inner = (
        cv2.GaussianBlur(cv2.erode(region, np.ones((3, 3), np.uint8)), (0, 0), 2.0).astype(np.float32) / 255
    )
    height, width = region.shape
    ramp = np.clip((np.minimum(np.arange(width), np.arange(width)[::-1]) - EDGE) / (2.5 * EDGE), 0, 1)
    fall = np.clip((np.arange(height) - EDGE) / (2.5 * EDGE), 0, 1)[:, None] * ramp
    return np.stack([outer * fall, inner * fall], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Layer:
    """A clip ready to be placed: frames and background in the person's colours, mattes, way home."""

    frames: Image
    mattes: NDArray[np.float32]
    background: NDArray[np.float32]
    landmarks: Array
    home: Array


@dataclass(frozen=True)
class Shown:
    """One placed piece frame: clip, frame number, its alignment to the person's home pose ``[2, 3]``."""

    clip: str
    index: int
    align: Array


class Figure:
    """One person of the scene: the clips' layers, the place in the scene, a slight sway.

    Args:
        person: the person's entry in the scene description.
        clips: the person's clips by name, all of one sitting.
        rng: source of the sway.
    """

    def __init__(
        self, person: Mapping[str, Any], clips: Mapping[str, Clip], rng: np.random.Generator
    ) -> None:
        """See the class."""
        eyes = np.mean([_eye_distance(c.landmarks) for c in clips.values()])
        # Shrinking with area averaging first avoids the aliasing of a plain warp.
        shrink = 0.5 if person["eye_distance_px"] / eyes < 0.7 else 1.0
        stills = {n: _median_still(c.frames, shrink) for n, c in clips.items()}
        grounds = {n: fit_background(s) for n, s in stills.items()}
        common = np.mean([g.mean(axis=(0, 1)) for g in grounds.values()], axis=0)
        home = np.mean([c.landmarks[:, STABLE].mean(axis=0) for c in clips.values()], axis=0) * shrink
        self.layers: dict[str, Layer] = {}
        for name, clip in clips.items():
            gain = np.array(person["gain_bgr"]) * common / grounds[name].mean(axis=(0, 1))
            frames = [_resize(f, shrink) for f in clip.frames]
            mattes = fit_mattes(fit_outline(frames[::4], grounds[name]))
            points = clip.landmarks.astype(np.float64) * shrink
            align = fit_similarity(points[:, STABLE].mean(axis=0), home)
            background = (grounds[name] * gain).astype(np.float32)
            self.layers[name] = Layer(_coloured(frames, gain), mattes, background, points, align)
        scale = person["eye_distance_px"] / (eyes * shrink)
        corners = [apply_affine(la.home, la.landmarks[:, [36, 45]]) for la in self.layers.values()]
        middle = np.mean([c.mean(axis=(0, 1)) for c in corners], axis=0)
        shift = np.array(person["face_at"]) - scale * middle
        self.place: Array = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        self.eye_distance = float(person["eye_distance_px"])
        self.centre = np.array(person["face_at"], dtype=float)
        reach = [np.flatnonzero(la.mattes[..., 0].max(axis=0))[[0, -1]] for la in self.layers.values()]
        across = scale * np.array([np.min(reach), np.max(reach)]) + shift[0]
        #: Scene columns that the person can cover, with room for sway and glide.
        self.columns = (int(across[0]) - MARGIN, int(across[1]) + MARGIN)
        self._sway = rng.uniform(0, 2 * np.pi, (3, 2)), rng.uniform(0.11, 0.35, (3, 2))

    def sway(self, frame: int) -> Array:
        """Slow seeded motion of the whole person, ``[2, 3]`` in scene pixels: about 2 px and 0.5 degrees."""
        phase, hertz = self._sway
        dx, dy, turn = np.sin(2 * np.pi * hertz * frame / FPS + phase).mean(axis=1) * (2.5, 1.5, 0.010)
        pivot = self.centre + np.array([0.0, 1.5 * self.eye_distance])
        c, s = np.cos(turn), np.sin(turn)
        shift = pivot - np.array([[c, -s], [s, c]]) @ pivot + (dx, dy)
        return np.array([[c, -s, shift[0]], [s, c, shift[1]]])

    def align(self, pieces: Sequence[Piece]) -> list[Shown]:
        """Alignment of each shown frame: a piece starts where the last left the head, then glides home."""
        shown: list[Shown] = []
        for piece in pieces:
            layer = self.layers[piece.clip]
            start = layer.home
            if shown:
                end = shown[-1]
                last = apply_affine(end.align, self.layers[end.clip].landmarks[end.index, STABLE])
                start = fit_similarity(layer.landmarks[piece.indices[0], STABLE], last)
            for k, index in enumerate(piece.indices):
                s = smoothstep(k / GLIDE_FRAMES)
                shown.append(Shown(piece.clip, index, (1 - s) * start + s * layer.home))
        return shown

    def landmarks(self, shown: Shown, frame: int) -> Array:
        """``[68, 2]`` scene pixels of the landmarks of what is shown at a frame."""
        return apply_affine(self._matrix(shown, frame), self.layers[shown.clip].landmarks[shown.index])

    def render(self, shown: Shown, frame: int, ground: NDArray[np.float32]) -> tuple[Any, Any]:
        """The person before a scene background: colours times matte ``[H, w, 3]``, and matte ``[H, w, 1]``.

        The rim of the person's own background takes on the colour of the scene's. ``ground`` ``[H, w, 3]``
        is the part of the scene's background from column ``max(columns[0], 0)`` on.
        """
        size = ground.shape[1], ground.shape[0]
        left = np.array([[1.0, 0, -max(self.columns[0], 0)], [0, 1, 0]])
        layer, matrix = self.layers[shown.clip], chain(left, self._matrix(shown, frame))
        warp: dict[str, Any] = {"M": matrix, "dsize": size, "borderMode": cv2.BORDER_REPLICATE}
        picture = cv2.warpAffine(layer.frames[shown.index], flags=cv2.INTER_CUBIC, **warp)
        own = cv2.warpAffine(layer.background, flags=cv2.INTER_LINEAR, **warp)
        mattes = cv2.warpAffine(layer.mattes, flags=cv2.INTER_LINEAR, **warp)
        outer, inner = mattes[..., :1], mattes[..., 1:]
        return (picture + (1 - inner) * (ground - own)) * outer, outer

    def ground(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """The person's own background continued over a whole canvas ``(width, height)``."""
        layer = next(iter(self.layers.values()))
        inner = layer.background[8:-8, 8:-8]
        matrix = chain(self.place, chain(layer.home, np.array([[1.0, 0, 8], [0, 1, 8]])))
        wide = cv2.warpAffine(inner, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(wide, np.float32)

    def _matrix(self, shown: Shown, frame: int) -> Array:
        return chain(self.sway(frame), chain(self.place, shown.align))


def blend_grounds(figures: Sequence[Figure], size: tuple[int, int]) -> NDArray[np.float32]:
    """One background ``[H, W, 3]`` that passes smoothly from each person's own to the next one's."""
    width = size[0] / len(figures)
    x = np.arange(size[0])
    weights = np.stack([np.exp(-(((x - f.centre[0]) / (0.6 * width)) ** 2)) for f in figures])
    weights /= weights.sum(axis=0)
    total = sum(w[None, :, None] * f.ground(size) for w, f in zip(weights, figures, strict=True))
    total = cv2.GaussianBlur(np.asarray(total, np.float32), (0, 0), size[1] / 5)
    return np.asarray(0.5 * total + 0.5 * total.mean(axis=(0, 1)), np.float32)


def fade_weight(position: int) -> float:
    """Weight of the new piece at its frame ``position``; 1 once the fade is over."""
    return smoothstep((position + 1) / (FADE_FRAMES + 1))


def _eye_distance(landmarks: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(landmarks[:, 36] - landmarks[:, 45], axis=-1).mean())


def _resize(frame: Image, shrink: float) -> Image:
    if shrink == 1.0:
        return frame
    small = cv2.resize(frame, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _coloured(frames: Sequence[Image], gain: Array) -> Image:
    out = np.stack([np.clip(f * gain, 0, 255).astype(np.uint8) for f in frames])
    out[:, -EDGE:] = out[:, -EDGE - 1 : -EDGE]
    return out


def _median_still(frames: NDArray[np.uint8], shrink: float) -> NDArray[np.float32]:
    still = np.median(frames[::6], axis=0).astype(np.uint8)
    return cv2.GaussianBlur(_resize(still, shrink), (0, 0), 1.5).astype(np.float32)
