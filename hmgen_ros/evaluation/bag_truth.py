"""What people really did when, from a truth file as ``recordings/README.md`` describes, for those of a bag.

Truth's people are found among those that were perceived by where their faces are. What the file does not tell
is what was perceived.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.bag_action_log import Segment
from hmgen_ros.evaluation.perception_metrics import Interval, during
from hmgen_ros.evaluation.perception_truth import SceneError, read_scene
from hmgen_ros.types import TICK_NS, UNKNOWN_MASK, Action, Counts

#: Somebody is truth's person where the middle of the eyes is on average within so many eye distances.
_NEAR = 1.0
_SPEAKS = 1 << Action.SPEAKING


@dataclass(frozen=True, slots=True)
class TruePerson:
    """One person of a truth file.

    Attributes:
        label: name.
        place: ``[2]`` mean middle of the outer eye corners, pixels.
        size: mean distance of them, pixels.
        does: when, by action; speech and what else the file tells.
    """

    label: str
    place: NDArray[np.float64]
    size: float
    does: Mapping[Action, tuple[Interval, ...]]


class BagTruth:
    """Replaces what was perceived by what was so.

    Attributes:
        counts: ``truth_unmatched``: perceived people who are nobody in the file (their future is not scored).
        heard: ``[3]`` person-ticks: true speech that was perceived, that was not, perceived that was none.
    """

    def __init__(self, path: Path, start_ns: int, offset_s: float = 0.0) -> None:
        """Read a file.

        Args:
            path: of the JSON file.
            start_ns: stamp at which the bag begins.
            offset_s: how far that is into the recording that the file describes, s.

        Raises:
            SceneError: the file is missing or damaged, or tells of nobody both place and speech.
        """
        if not path.is_file():
            raise SceneError(f"{path}: no such truth file")
        # Truth is found by the recording that it lies beside, which need not be there.
        scene = read_scene(path.with_suffix(".mp4"))
        self._size = _picture_size(path)
        self._people = []
        for one in () if scene is None else scene.people:
            if one.place is None or one.speaking is None:
                continue
            seen = one.place.visible > 0
            does = {Action[name.upper()]: when for name, when in one.actions.items()}
            self._people.append(
                TruePerson(
                    one.label,
                    one.place.middle[seen].mean(axis=0),
                    float(one.place.size[seen].mean()),
                    {**does, Action.SPEAKING: one.speaking},
                )
            )
        if not self._people:
            raise SceneError(
                f"{path}: tells of nobody both where the face is (outer_eye_corners_px, face_region_px or "
                "track) and when they speak (speaking)"
            )
        self.counts = Counts()
        self.heard = np.zeros(3)
        self._zero_ns = start_ns - round(offset_s * 1e9)

    def __call__(self, segment: Segment, masks: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """``[T, N]`` masks with true actions; of people who are nobody in the file unknown."""
        middle = (segment.stamps[0] - self._zero_ns + (np.arange(len(masks)) + 0.5) * TICK_NS) / 1e9
        found = masks.copy()
        for column, person_id in enumerate(segment.people()):
            person = self._match(segment, person_id)
            known = masks[:, column] & UNKNOWN_MASK == 0
            if person is None:
                self.counts.add("truth_unmatched")
                known[:] = False
            for action, when in {} if person is None else person.does.items():
                bit = np.uint16(1 << action)
                does = during(when, middle)
                if action is Action.SPEAKING:
                    self._hear(known, does, masks[:, column] & bit != 0)
                found[:, column] = np.where(does, found[:, column] | bit, found[:, column] & ~bit)
            found[:, column] = np.where(known, found[:, column], UNKNOWN_MASK)
        return found

    def labels(self, segment: Segment) -> dict[str, str]:
        """The file's name of each person who was perceived and is in it."""
        found = {name: self._match(segment, name) for name in segment.people()}
        return {name: person.label for name, person in found.items() if person is not None}

    def _hear(self, known: NDArray[np.bool_], so: NDArray[np.bool_], perceived: NDArray[np.bool_]) -> None:
        parts = (so & perceived, so & ~perceived, ~so & perceived)
        self.heard += [float((known & part).sum()) for part in parts]

    def _match(self, segment: Segment, person_id: str) -> TruePerson | None:
        """Truth's person at the place of a perceived one."""
        if person_id not in segment.places:
            return None
        x, y, count = segment.places[person_id]
        scale = self._size[0] / segment.size[0] if self._size and segment.size[0] else 1.0
        place = np.array([x, y]) / count * scale
        away = [float(np.linalg.norm(place - person.place)) / person.size for person in self._people]
        nearest = int(np.argmin(away))
        return self._people[nearest] if away[nearest] <= _NEAR else None


def _picture_size(path: Path) -> tuple[float, float] | None:
    """Size of the pictures that the file's places lie in, where it tells; a bag's may be smaller."""
    with suppress(ValueError, TypeError, KeyError, IndexError):
        width, height = json.loads(path.read_text(encoding="utf-8"))["size"]
        return float(width), float(height)
    return None
