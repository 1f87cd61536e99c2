"""Draws people who move, turn their heads and are hidden, and knows where every face is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scene_clips import Clip
from scene_head import TurnableHead
from scene_moves import Patch, Staging
from scene_picture import MARGIN, Array, Figure, Shown, apply_affine, blend_grounds, chain, fade_weight
from scene_schedule import Piece

#: Rows and columns of a picture.
Part = tuple[slice, slice]
#: Colours and matte of what is in such a part.
Cut = tuple[NDArray[np.uint8], NDArray[np.float32]]


class Actor(Figure):
    """A figure that can be elsewhere than on its seat, and turn its head."""

    def __init__(
        self, person: Mapping[str, Any], clips: Mapping[str, Clip], rng: np.random.Generator
    ) -> None:
        """See the class; arguments as of :class:`Figure`."""
        super().__init__(person, clips, rng)
        self.staging: Staging | None = None
        self.index = 0
        self.heads: dict[str, TurnableHead] = {}
        tops = [np.flatnonzero(la.mattes[..., 0].any(axis=1))[0] for la in self.layers.values()]
        scale, y = self.place[1, 1], self.place[1, 2]
        #: First scene row that the person can cover.
        self.top = max(int(scale * min(tops) + y) - MARGIN, 0)
        self._rims: dict[tuple[str, int, int], NDArray[np.int16]] = {}
        self._mattes = {n: np.round(255 * la.mattes).astype(np.uint8) for n, la in self.layers.items()}

    def act(self, staging: Staging, index: int, landmarker: Any) -> None:
        """Take part in a scene as its person number ``index``."""
        self.staging, self.index = staging, index
        if staging.gestures[index]:
            for name, layer in self.layers.items():
                middle = len(layer.frames) // 2
                self.heads[name] = TurnableHead(layer.frames[middle], layer.landmarks[middle], landmarker)

    def sway(self, frame: int) -> Array:
        """As of :class:`Figure`, and on the way to wherever the person goes."""
        assert self.staging is not None
        still = np.array([[1.0, 0, 0], [0, 1.0, 0]])
        dx, dy = self.staging.shift[frame, self.index]
        moved = still if self.staging.frozen else super().sway(frame)
        return moved + np.array([[0, 0, dx], [0, 0, dy]])

    def window(self, frame: int, size: tuple[int, int]) -> Part | None:
        """The part of a picture (width, height) that the person can cover; None where they are out of it."""
        assert self.staging is not None
        dx = self.staging.shift[frame, self.index, 0]
        first, last = (int(np.clip(c + dx, 0, size[0])) for c in self.columns)
        return (slice(self.top, size[1]), slice(first, last)) if last > first else None

    def angles(self, frame: int) -> tuple[float, float] | None:
        """Pitch and yaw in radians while the head turns, else None."""
        assert self.staging is not None
        for gesture in self.staging.gestures[self.index]:
            if gesture.start <= frame < gesture.stop:
                k = frame - gesture.start
                return float(np.radians(gesture.pitch[k])), float(np.radians(gesture.yaw[k]))
        return None

    def landmarks(self, shown: Shown, frame: int) -> Array:
        """``[68, 2]`` scene pixels."""
        points, turn = self.layers[shown.clip].landmarks[shown.index], self.angles(frame)
        if turn is not None:
            points = self.heads[shown.clip].move(points, *turn)
        return apply_affine(self._matrix(shown, frame), points)

    def draw(self, shown: Shown, frame: int, ground: NDArray[np.float32], part: Part) -> Cut:
        """The person in a part of the picture: colours ``[h, w, 3]`` uint8 and matte ``[h, w]``, 0 to 1."""
        layer, turn = self.layers[shown.clip], self.angles(frame)
        picture, mattes = layer.frames[shown.index], self._mattes[shown.clip]
        if turn is not None:
            picture, mattes = self.heads[shown.clip].turn([picture, mattes], *turn)
        rows, columns = part
        matrix = chain(np.array([[1.0, 0, -columns.start], [0, 1, -rows.start]]), self._matrix(shown, frame))
        size = columns.stop - columns.start, rows.stop - rows.start
        warp: dict[str, Any] = {"M": matrix, "dsize": size, "borderMode": cv2.BORDER_REPLICATE}
        picture = cv2.warpAffine(picture, flags=cv2.INTER_LINEAR, **warp)
        mattes = cv2.warpAffine(mattes, flags=cv2.INTER_LINEAR, **warp)
        # The backgrounds are smooth: on a seat one difference of them does for a clip, however it sways.
        key = (shown.clip, columns.start, columns.stop)
        if key not in self._rims:
            own = cv2.warpAffine(layer.background, flags=cv2.INTER_LINEAR, **warp)
            self._rims = {k: v for k, v in self._rims.items() if k[1:] == key[1:]}
            self._rims[key] = np.round(ground[part] - own).astype(np.int16)
        outer, inner = (m.astype(np.float32) * np.float32(1 / 255) for m in cv2.split(mattes))
        # All in whole grey levels: a good deal faster than in floats, and as good in a coded video.
        rim = cv2.add(picture, self._rims[key], dtype=cv2.CV_8U)
        return np.asarray(cv2.blendLinear(picture, rim, inner, 1 - inner), np.uint8), outer


@dataclass
class Drawn:
    """One frame: ``[H, W, 3]`` uint8 BGR, landmarks ``[P, 68, 2]``, share of each face in view ``[P]``."""

    picture: NDArray[np.uint8]
    landmarks: Array
    visible: Array


def draw(
    actors: Sequence[Actor],
    plans: Sequence[Sequence[Piece]],
    staging: Staging,
    size: tuple[int, int],
) -> Iterator[Drawn]:
    """Every frame of a scene of a size (width, height)."""
    ground = blend_grounds(actors, size)
    empty = np.clip(ground + 0.5, 0, 255).astype(np.uint8)
    shown = [a.align(p) for a, p in zip(actors, plans, strict=True)]
    if staging.frozen:
        shown = [[person[0]] * len(person) for person in shown]
    starts = [{piece.start for piece in plan} for plan in plans]
    begun = [0] * len(actors)
    for t in range(len(staging.shift)):
        picture, cover = empty.copy(), np.full((size[1], size[0]), -1, np.int8)
        for i in sorted(range(len(actors)), key=lambda i: (staging.depth[t, i], i)):
            begun[i] = t if t in starts[i] else begun[i]
            part = actors[i].window(t, size)
            if part is not None:
                colour, matte = _faded(actors[i], shown[i], t, begun[i], ground, part)
                picture[part] = cv2.blendLinear(colour, np.ascontiguousarray(picture[part]), matte, 1 - matte)
                cover[part][matte > 0.5] = i
        points = np.stack([a.landmarks(s[t], t) for a, s in zip(actors, shown, strict=True)])
        for patch in staging.patches:
            if 0 <= t - patch.start < len(patch.places):
                _hold(picture, cover, patch, t, points[patch.person])
        visible = np.array([_visible(points[i], cover, i) for i in range(len(actors))])
        yield Drawn(picture, points, visible)


def _faded(
    actor: Actor, shown: Sequence[Shown], t: int, begun: int, ground: NDArray[np.float32], part: Part
) -> Cut:
    """A person, while one piece passes into the next."""
    colour, matte = actor.draw(shown[t], t, ground, part)
    weight = fade_weight(t - begun) if begun else 1.0
    before = shown[begun - 1]
    continues = shown[begun].clip == before.clip and abs(shown[begun].index - before.index) <= 1
    if weight < 1.0 and not continues:
        old_colour, old_matte = actor.draw(before, t, ground, part)
        new, old = np.float32(weight) * matte, np.float32(1 - weight) * old_matte
        colour, matte = cv2.blendLinear(colour, old_colour, new, old), new + old
    return colour, matte


def _visible(points: Array, cover: NDArray[np.int8], person: int) -> float:
    """Share of a face's landmarks that are in the picture and not behind anything."""
    x, y = points.round().astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < cover.shape[1]) & (y < cover.shape[0])
    # A landmark at the rim of the hair or jaw may be just off the person's own matte.
    owner = cover[y[inside], x[inside]]
    return float(((owner == person) | (owner == -1)).sum() / len(points))


def _hold(picture: NDArray[np.uint8], cover: NDArray[np.int8], patch: Patch, t: int, points: Array) -> None:
    """Draw a hand or a book before a face."""
    eyes = points[[36, 45]]
    unit = float(np.linalg.norm(eyes[1] - eyes[0]))
    x, y = eyes.mean(axis=0) + unit * patch.places[t - patch.start]
    mask = np.zeros(cover.shape, np.uint8)
    if patch.kind == "book":
        corner = np.array([0.95 * unit, 1.2 * unit])
        box = [tuple(int(v) for v in (x, y) + s * corner) for s in (-1, 1)]
        cv2.rectangle(mask, box[0], box[1], 255, cv2.FILLED)
        colour = np.full(picture.shape, (60, 45, 120), np.float32)
        for line in np.arange(-0.8, 0.9, 0.25):
            row = int(y + line * unit)
            cv2.line(colour, (int(x - 0.7 * unit), row), (int(x + 0.7 * unit), row), (150, 170, 190), 2)
    else:
        nose = points[30].round().astype(int)
        nx, ny = np.clip(nose, 0, (picture.shape[1] - 1, picture.shape[0] - 1))
        skin = picture[ny, nx] * 0.9
        cv2.ellipse(
            mask, (int(x), int(y + 0.5 * unit)), (int(0.75 * unit), int(0.8 * unit)), 0, 0, 360, 255, -1
        )
        for k, tall in enumerate((0.95, 1.15, 1.2, 1.0)):
            at = int(x + (k - 1.5) * 0.4 * unit)
            cv2.line(mask, (at, int(y + 0.4 * unit)), (at, int(y - tall * unit)), 255, int(0.36 * unit))
        colour = np.full(picture.shape, skin, np.float32)
        shade = cv2.GaussianBlur(mask, (0, 0), 0.12 * unit).astype(np.float32)[..., None] / 255
        colour *= 0.6 + 0.4 * shade
    soft = cv2.GaussianBlur(mask, (0, 0), 1.2).astype(np.float32)[..., None] / 255
    picture[:] = np.round(picture + soft * (colour - picture))
    cover[mask > 0] = 100


def shrunk(clip: Clip, width: int = 360) -> Clip:
    """A clip no wider than this, so that all have about one resolution."""
    if clip.frames.shape[2] <= width:
        return clip
    scale = width / clip.frames.shape[2]
    frames = np.stack(
        [cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for f in clip.frames]
    )
    return replace(clip, frames=frames.astype(np.uint8), landmarks=clip.landmarks * np.float32(scale))
