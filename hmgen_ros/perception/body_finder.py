"""Looks for bodies every few ticks, beside the faces, and says whose body each is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hmgen_ros.perception.body import BodyConfig, BodyModel, Joint, full_scale, letterbox
from hmgen_ros.perception.faces import yield_to_others
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import Counts, Face

Floats = NDArray[np.float32]
#: A body's nose and eyes lie within this many outer eye distances of the face's, on average.
FACE_DISTANCE = 0.7
#: Without a face, a body is whose last one lies within this many shoulder widths, on average.
BODY_DISTANCE = 0.5
#: Points of the face with 68 landmarks that are the nose, left eye and right eye of a body.
NOSE_TIP, LEFT_EYE, RIGHT_EYE = slice(30, 31), slice(42, 48), slice(36, 42)
#: A picture is smaller, and a look cheaper, while all faces are large: the smallest is still so wide from
#: outer eye corner to outer eye corner, pixels. In five pictures points moved by less than 0.06 shoulder
#: widths then (scripts/check_movenet.py).
FACE_PX = 12.0
#: Sizes of pictures in parts of the largest, and how much larger than needed a face may be before a smaller
#: picture is taken: sizes that change make points jump.
SHARES, SPARE = (0.5, 0.625, 0.75, 0.875, 1.0), 1.4
#: What no pair may cost; the assignment needs numbers.
NO_MATCH = 1e6
#: A body that was not seen in so many looks in a row is forgotten: whose it is could not be told any more.
FORGET_LOOKS = 10


@dataclass(frozen=True, slots=True)
class BodyLook:
    """Whose body was seen in one image.

    Attributes:
        stamp_ns: stamp of the image.
        bodies: for everyone who was tracked then, the ``[17, 3]`` x, y (pixels) and score of each
            :class:`~hmgen_ros.perception.body.Joint`, or None where no body was seen.
    """

    stamp_ns: int
    bodies: dict[str, Floats | None]


@dataclass(slots=True)
class _Known:
    """The last body of one person and the looks since."""

    joints: Floats
    missed: int = 0


class BodyFinder:
    """Runs the model on one image of several and matches what it finds with people.

    What is found is told one call later, whenever it is there: beside the caller the model then has a
    whole tick, and the results are the same with and without a second thread.

    Args:
        model: finds bodies.
        config: settings.
        concurrent: run the model beside the caller; needs a second core to pay off.
        times: receives the stage ``body``.
        counts: where to count.

    Attributes:
        config: as above; may be changed at any time, and ``every`` with it.
        every: ticks between two looks, 0: there are none; may be changed at any time.
    """

    def __init__(
        self, model: BodyModel, config: BodyConfig, concurrent: bool, times: StageTimes, counts: Counts
    ) -> None:
        self._model, self.config, self._times, self._counts = model, config, times, counts
        self._pool = ThreadPoolExecutor(1, "body", initializer=yield_to_others) if concurrent else None
        self.every = config.every
        self._since = _first_wait(config.every)
        self._pending: Callable[[], BodyLook] | None = None
        self._known: dict[str, _Known] = {}
        self._share = 1.0

    def update(
        self, image: NDArray[np.uint8], stamp_ns: int, faces: Mapping[str, Face | None], elapsed: int = 1
    ) -> BodyLook | None:
        """Take the image of one tick; begins a look at it where it is time.

        Args:
            image: ``[H, W, 3]`` BGR; not needed after the call.
            stamp_ns: its stamp.
            faces: everyone who is tracked, with their face where it is seen.
            elapsed: ticks since the last call.

        Returns:
            What the look that began at the last call found, if one did.
        """
        pending, self._pending = self._pending, None
        look = None if pending is None else pending()
        self._since += elapsed
        if self.every and self._since >= self.every and faces:
            self._since = 0
            self._pending = self._start(image, stamp_ns, dict(faces))
        return look

    def reset(self) -> None:
        """Forget everyone, and begin as at the start."""
        self._since, self._pending = _first_wait(self.every), None
        self._known.clear()
        self._share = 1.0

    def warm_up(self, image: NDArray[np.uint8]) -> None:
        """Run the model once; changes no state."""
        self._model.find(letterbox(image))

    def close(self) -> None:
        """Stop the worker thread, if any."""
        if self._pool is not None:
            self._pool.shutdown()

    def _start(
        self, image: NDArray[np.uint8], stamp_ns: int, faces: dict[str, Face | None]
    ) -> Callable[[], BodyLook]:
        sizes = [face.scale_px * full_scale(image) for face in faces.values() if face is not None]
        self._share = picture_share(sizes, self._share)
        picture = letterbox(image, self._share)

        def run() -> tuple[Floats, Floats]:
            with self._times.stage("body"):
                return self._model.find(picture)

        result: Callable[[], tuple[Floats, Floats]] = run
        if self._pool is not None:
            future: Future[tuple[Floats, Floats]] = self._pool.submit(run)
            result = future.result

        def finish() -> BodyLook:
            joints, scores = result()
            return BodyLook(stamp_ns, self._assign(joints[scores >= self.config.min_score], faces))

        return finish

    def _assign(self, bodies: Floats, faces: dict[str, Face | None]) -> dict[str, Floats | None]:
        """Whose each of ``[n, 17, 3]`` bodies is; updates what is known of everyone."""
        names = list(faces)
        known = [self._known[n].joints if n in self._known else None for n in names]
        pairs = match_bodies(list(faces.values()), known, bodies, self.config.min_joint_score)
        self._counts.add("bodies_unmatched", len(bodies) - len(pairs))
        still: dict[str, _Known] = {}
        for i, name in enumerate(names):
            if i in pairs:
                still[name] = _Known(bodies[pairs[i]])
            elif name in self._known and self._known[name].missed < FORGET_LOOKS:
                still[name] = replace(self._known[name], missed=self._known[name].missed + 1)
        self._known = still
        return {name: bodies[pairs[i]] if i in pairs else None for i, name in enumerate(names)}


def _first_wait(every: int) -> int:
    """Ticks since the last look that a start counts for.

    Faces are searched in the first image and as a rule as often as bodies are: in between there is time.
    """
    return every - every // 2


def picture_share(sizes_px: Sequence[float], present: float) -> float:
    """Size of the next picture in parts of the largest, one of :data:`SHARES`.

    Args:
        sizes_px: outer eye distance of each face in the largest picture; without faces nothing changes.
        present: size of the last picture.
    """
    if not sizes_px:
        return present
    needed = FACE_PX / min(sizes_px)
    if needed <= present <= needed * SPARE:
        return present
    return next((share for share in SHARES if share >= needed), 1.0)


def match_bodies(
    faces: Sequence[Face | None], known: Sequence[Floats | None], bodies: Floats, min_score: float
) -> dict[int, int]:
    """Person index to body index, with the least total distance.

    Args:
        faces: the face of each of ``N`` people, None where it is hidden.
        known: the last ``[17, 3]`` body of each, None where there is none.
        bodies: ``[n, 17, 3]``.
        min_score: points below are not compared.
    """
    cost = np.full((len(faces), len(bodies)), NO_MATCH)
    for i, face in enumerate(faces):
        for j, body in enumerate(bodies):
            cost[i, j] = _cost(face, known[i], body, min_score)
    rows, columns = linear_sum_assignment(cost)
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if cost[i, j] < NO_MATCH}


def _cost(face: Face | None, last: Floats | None, body: Floats, min_score: float) -> float:
    """In [0, 1) where a body can be this person's, by the face if both show it."""
    distance, limit = math.inf, 1.0
    if face is not None:
        distance, limit = _face_distance(face, body, min_score), FACE_DISTANCE
    if math.isinf(distance) and last is not None:
        distance, limit = _body_distance(last, body, min_score), BODY_DISTANCE
    return distance / limit if distance < limit else NO_MATCH


def _face_distance(face: Face, body: Floats, min_score: float) -> float:
    """Mean distance of nose and eyes in outer eye distances; infinite where the body shows none."""
    parts = (NOSE_TIP, LEFT_EYE, RIGHT_EYE)
    points = np.stack([face.landmarks_px[part].mean(0) for part in parts])
    head = body[[Joint.NOSE, Joint.LEFT_EYE, Joint.RIGHT_EYE]]
    seen = head[:, 2] >= min_score
    if not seen.any():
        return math.inf
    return float(np.hypot(*(head[seen, :2] - points[seen]).T).mean() / face.scale_px)


def _body_distance(last: Floats, body: Floats, min_score: float) -> float:
    """Mean distance of what both show, in shoulder widths; infinite where that is too little."""
    both = (last[:, 2] >= min_score) & (body[:, 2] >= min_score)
    if both.sum() < 3 or not (both[Joint.LEFT_SHOULDER] and both[Joint.RIGHT_SHOULDER]):
        return math.inf
    widths = [float(np.hypot(*(b[Joint.LEFT_SHOULDER] - b[Joint.RIGHT_SHOULDER])[:2])) for b in (last, body)]
    distance = float(np.hypot(*(last[both, :2] - body[both, :2]).T).mean())
    return distance / max(*widths, 1.0)
