"""Who really spoke when, from a file such as ``recordings/three_people.json``, for the people of a bag.

Truth's people are found among those that were perceived by where their faces are. Only speech is known of
them: everything else is what was perceived.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.evaluation.bag_action_log import Segment
from hmgen_ros.types import TICK_NS, UNKNOWN_MASK, Action, Counts

#: Somebody is truth's person where the middle of the eyes is on average within so many eye distances.
_NEAR = 1.0
_SPEAKS = 1 << Action.SPEAKING


class TruthError(ValueError):
    """A truth file cannot be used; one line that names it and the field."""


@dataclass(frozen=True, slots=True)
class _Person:
    label: str
    place: NDArray[np.float64]  # middle of the outer eye corners, parts of the picture's size
    reach: NDArray[np.float64]  # the eye distance, in the same unit
    speaking: NDArray[np.float64]  # [K, 2] s


class TruthVoices:
    """Replaces perceived speech by true speech.

    Attributes:
        counts: ``truth_unmatched``: perceived people who are nobody in the file (their future is not scored).
        heard: ``[3]`` person-ticks: true speech that was perceived, that was not, perceived that was none.
    """

    def __init__(self, path: Path, start_ns: int, offset_s: float = 0.0) -> None:
        """Read a file.

        Args:
            path: JSON with ``size`` and ``people``, each with ``outer_eye_corners_px``, ``eye_distance_px``
                and ``speaking``.
            start_ns: stamp at which the recording that the file describes begins.
            offset_s: how far the bag begins into it, s.

        Raises:
            TruthError: the file is missing, or a field of it.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            self._people = [_person(one, data["size"]) for one in data["people"]]
        except OSError as error:
            raise TruthError(f"truth {path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise TruthError(
                f"truth {path} is not in the format of recordings/three_people.json: "
                f"{type(error).__name__} {error}"
            ) from error
        if not self._people:
            raise TruthError(f"truth {path} has no people")
        self.counts = Counts()
        self.heard = np.zeros(3)
        self._zero_ns = start_ns - round(offset_s * 1e9)

    def __call__(self, segment: Segment, masks: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """``[T, N]`` masks with true speech; of people who are nobody in the file unknown."""
        found = masks.copy()
        for column, person_id in enumerate(segment.people()):
            person = self.match(segment, person_id)
            if person is None:
                self.counts.add("truth_unmatched")
                found[:, column] = UNKNOWN_MASK
                continue
            speaks = self._speaks(person, segment, len(masks))
            known = masks[:, column] & UNKNOWN_MASK == 0
            perceived = masks[:, column] & _SPEAKS != 0
            self.heard += [
                (known & speaks & perceived).sum(),
                (known & speaks & ~perceived).sum(),
                (known & ~speaks & perceived).sum(),
            ]
            changed = np.where(speaks, masks[:, column] | _SPEAKS, masks[:, column] & ~np.uint16(_SPEAKS))
            found[:, column] = np.where(known, changed, UNKNOWN_MASK)
        return found

    def labels(self, segment: Segment) -> dict[str, str]:
        """The file's name of each person who was perceived and is in it."""
        found = {name: self.match(segment, name) for name in segment.people()}
        return {name: person.label for name, person in found.items() if person is not None}

    def match(self, segment: Segment, person_id: str) -> _Person | None:
        """Truth's person at the place of a perceived one."""
        if person_id not in segment.places:
            return None
        x, y, count = segment.places[person_id]
        place = np.array([x, y]) / count / segment.size
        away = [float(np.linalg.norm((place - person.place) / person.reach)) for person in self._people]
        nearest = int(np.argmin(away))
        return self._people[nearest] if away[nearest] <= _NEAR else None

    def _speaks(self, person: _Person, segment: Segment, ticks: int) -> NDArray[np.bool_]:
        """``[ticks]`` whether the middle of each tick is in speech."""
        first_ns = segment.stamps[0] - segment.index[0] * TICK_NS - self._zero_ns
        middle = (first_ns + (np.arange(ticks) + 0.5) * TICK_NS) / 1e9
        inside = (middle[:, None] >= person.speaking[:, 0]) & (middle[:, None] < person.speaking[:, 1])
        return np.asarray(inside.any(axis=1))


def _person(one: Mapping[str, Any], size: list[int]) -> _Person:
    corners = np.array(one["outer_eye_corners_px"], np.float64).reshape(2, 2)
    speaking = np.array(one["speaking"], np.float64).reshape(-1, 2)
    return _Person(
        str(one["label"]),
        corners.mean(axis=0) / size,
        np.full(2, float(one["eye_distance_px"])) / size,
        speaking,
    )
