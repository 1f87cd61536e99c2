"""Who is who from image to image: boxes matched to tracks, tracks with short random ids."""

from __future__ import annotations

import random
import string
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hmgen_ros.perception.boxes import box_iou, grow
from hmgen_ros.types import Counts

ID_LENGTH = 5
#: So many ids of people who left are not given again.
REMEMBERED_IDS = 1000
#: A hidden face may come back elsewhere: per tick its box grows by this share, up to the limit.
GROWTH_PER_TICK = 0.04
MAX_GROWTH = 2.0


@dataclass(slots=True)
class Track:
    """One face followed through the images.

    Attributes:
        person_id: five lower-case letters.
        box: ``[4]`` where the face was last seen.
        face: index of the face seen at this tick, None where it was not seen.
        hits: images in which it was seen.
        missed: ticks since it was last seen, 0 when it is seen now.
        age: ticks since the track was confirmed, -1 before.
    """

    person_id: str
    box: NDArray[np.float32]
    face: int | None
    hits: int = 1
    missed: int = 0
    age: int = -1

    @property
    def confirmed(self) -> bool:
        """Whether enough images showed it to call it a person."""
        return self.age >= 0


class IdSource:
    """Short random ids, the same sequence for the same seed; ids in use or just given up are skipped."""

    def __init__(self, seed: int | None) -> None:
        self._random = random.Random(seed)
        self._recent: deque[str] = deque(maxlen=REMEMBERED_IDS)

    def __call__(self) -> str:
        """An id not among the last :data:`REMEMBERED_IDS`."""
        while True:
            name = "".join(self._random.choices(string.ascii_lowercase, k=ID_LENGTH))
            if name not in self._recent:
                self._recent.append(name)
                return name


class Tracker:
    """Matches boxes to tracks by overlap, all at once.

    Args:
        min_hits: images in a row that make a face a person.
        max_missed: ticks for which a person stays without being seen.
        max_people: tracks at once; further faces are counted as ``faces_over_limit`` and not tracked.
        min_overlap: least IoU of a face with the track's last box.
        seed: of the ids; None draws other ids every time.
        counts: where to count.
    """

    def __init__(
        self,
        min_hits: int = 3,
        max_missed: int = 50,
        max_people: int = 6,
        min_overlap: float = 0.2,
        seed: int | None = None,
        counts: Counts | None = None,
    ) -> None:
        self._min_hits, self._max_missed, self._max_people = min_hits, max_missed, max_people
        self._min_overlap, self._seed = min_overlap, seed
        self._counts = counts if counts is not None else Counts()
        self._new_id = IdSource(seed)
        self.tracks: list[Track] = []

    def update(self, boxes: NDArray[np.float32], elapsed: int = 1) -> list[Track]:
        """Take the faces of one image.

        Args:
            boxes: ``[n, 4]``, most trusted first.
            elapsed: ticks since the previous call, at least 1.

        Returns:
            All tracks, oldest first; :attr:`Track.face` points into ``boxes``.
        """
        pairs = self._match(boxes)
        for index, track in enumerate(self.tracks):
            self._advance(track, pairs.get(index), boxes, elapsed)
        self.tracks = [t for t in self.tracks if t.missed <= (self._max_missed if t.confirmed else 0)]
        self._start_tracks(boxes, set(pairs.values()))
        return self.tracks

    def reset(self) -> None:
        """Forget everyone. With a seed the ids start again too, so that a replay repeats itself."""
        self.tracks = []
        if self._seed is not None:
            self._new_id = IdSource(self._seed)

    def _match(self, boxes: NDArray[np.float32]) -> dict[int, int]:
        """Track index to box index, maximising the total overlap."""
        if not self.tracks or not len(boxes):
            return {}
        last = np.stack([t.box for t in self.tracks])
        growth = np.array([min(1 + GROWTH_PER_TICK * t.missed, MAX_GROWTH) for t in self.tracks], np.float32)
        overlap = box_iou(grow(last, growth), boxes)
        # A hidden person's grown box must not outbid the face of someone who is in view.
        overlap = np.where(overlap >= self._min_overlap, overlap / growth[:, None], 0)
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if overlap[r, c] > 0}

    def _advance(self, track: Track, face: int | None, boxes: NDArray[np.float32], elapsed: int) -> None:
        track.face = face
        track.age += elapsed if track.confirmed else 0
        if face is None:
            track.missed += elapsed
            return
        track.box, track.missed = boxes[face].copy(), 0
        track.hits += 1
        if not track.confirmed and track.hits >= self._min_hits:
            track.age = 0

    def _start_tracks(self, boxes: NDArray[np.float32], taken: set[int]) -> None:
        free = [i for i in range(len(boxes)) if i not in taken]
        room = max(0, self._max_people - len(self.tracks))
        self._counts.add("faces_over_limit", len(free) - min(room, len(free)))
        for i in free[:room]:
            age = 0 if self._min_hits <= 1 else -1
            self.tracks.append(Track(self._new_id(), boxes[i].copy(), i, age=age))
