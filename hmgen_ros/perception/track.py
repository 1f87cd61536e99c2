"""What is known of one face that is followed, and what it is called."""

from __future__ import annotations

import random
import string
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.appearance import Gallery
from hmgen_ros.perception.box_motion import BoxMotion

ID_LENGTH = 5
#: So many ids of people who left are not given again.
REMEMBERED_IDS = 1000


@dataclass(slots=True, eq=False)
class Track:
    """One face followed through the images.

    Attributes:
        person_id: five lower-case letters.
        box: ``[4]`` where the face was last seen.
        face: index of the face seen at this tick, None where it was not seen.
        hits: images in which it was seen.
        missed: ticks since it was last seen, 0 when it is seen now.
        age: ticks since the track was confirmed, -1 before.
        motion: where it is expected.
        gallery: what it looks like.
        next_look: tick at which it is to be looked at again.
        mixed: whether it was so close to another track, or hidden, that the wrong face may be followed.
        doubts: looks in a row that showed somebody else.
        wary: ticks left for which the last doubt counts.
        sure: ``[4]`` where the face was last seen without doubt.
    """

    person_id: str
    box: NDArray[np.float32]
    face: int | None
    hits: int = 1
    missed: int = 0
    age: int = -1
    motion: BoxMotion = field(init=False)
    gallery: Gallery = field(default_factory=Gallery)
    next_look: int = 0
    mixed: bool = False
    doubts: int = 0
    wary: int = 0
    sure: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self.motion = BoxMotion(self.box)
        self.sure = self.box

    @property
    def confirmed(self) -> bool:
        """Whether enough images showed it to call it a person."""
        return self.age >= 0


class Alias(NamedTuple):
    """Two ids that turned out to be one person's: ``person_id`` is used from now on, ``was`` no more."""

    person_id: str
    was: str


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
