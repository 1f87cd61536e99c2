"""Who is who from image to image: faces matched to tracks by place and looks, tracks with short random ids.

A face is followed where it is expected. What it looks like is asked seldom (a look costs as much as three
fits of landmarks): when somebody comes up, where two people could be meant, and now and then. So people keep
their ids when they cross, when they hide, and when they are back before they are forgotten. A person who
could not be recognised at once gets a new id, and an alias as soon as it is known who that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.appearance import KEPT, MARGIN, OTHER, SAME
from hmgen_ros.perception.box_motion import BoxMotion
from hmgen_ros.perception.boxes import box_iou
from hmgen_ros.perception.looks import Looks
from hmgen_ros.perception.matching import motion_costs, pair_up
from hmgen_ros.perception.track import Alias, IdSource, Track
from hmgen_ros.types import Counts

Floats = NDArray[np.float32]
#: Gives the appearance vector of a box by its index, None where it does not show who it is.
Look = Callable[[int], Floats | None]

#: So many people who left are remembered, the latest ones.
REMEMBERED_PEOPLE = 24
#: Faces that overlap by more than this IoU may be half covered, or fitted twice: they are not taken as
#: examples of how their people look, and make a person only after so many images.
CROWDED, CROWDED_HITS = 0.1, 25
#: Hidden people are looked for where they are expected every so many ticks, in a square region so many times
#: as large as their faces, unless another face covers the place by more than this IoU.
GUESS_TICKS, GUESS_SCALE, COVERED = 3, 2.0, 0.3
#: Standard deviations from where a face was expected, beyond which it may be another one's.
SURPRISE = 3.0
#: A face that met another one loses its id after so many looks in a row that show somebody else.
MAX_DOUBTS = 3
#: For so many ticks after such a look, a face that cannot be looked at is its track's only if it is so near
#: (face sizes) to where it was seen without doubt: covered faces stay, those that cover them go on.
WARY_TICKS, STRAYED = 12, 0.5


class Tracker:
    """Matches faces to tracks, all at once, and remembers who left.

    Attributes:
        tracks: everyone who is there or was a moment ago, oldest first.
        aliases: of the last update.
        returned: ids of the last update of people who had left and are back.
    """

    def __init__(
        self,
        min_hits: int = 3,
        max_missed: int = 50,
        max_people: int = 6,
        min_overlap: float = 0.2,
        seed: int | None = None,
        counts: Counts | None = None,
        return_ticks: int = 250,
    ) -> None:
        """Begin with nobody.

        Args:
            min_hits: images in a row that make a face a person.
            max_missed: ticks for which a person stays without being seen.
            max_people: tracks at once; further faces are counted as ``faces_over_limit`` and not tracked.
            min_overlap: least IoU of a face with the box in which its track expects it.
            seed: of the ids; None draws other ids every time.
            counts: where to count, also ``ids_corrected`` (a track had followed somebody else's face).
            return_ticks: ticks after which somebody not seen is forgotten.
        """
        self._seed = seed
        self._counts = counts if counts is not None else Counts()
        self.reset()
        self.adjust(min_hits, max_missed, max_people, min_overlap, return_ticks)

    def adjust(
        self, min_hits: int, max_missed: int, max_people: int, min_overlap: float, return_ticks: int
    ) -> None:
        """Track otherwise from now on; arguments as of the constructor.

        Who is tracked stays, but for those who came last where there are too many: they have left.
        """
        self._min_hits, self._max_missed, self._max_people = min_hits, max_missed, max_people
        self._min_overlap, self._return_ticks = min_overlap, return_ticks
        self._away += [track for track in self.tracks[max_people:] if track.confirmed and len(track.gallery)]
        del self.tracks[max_people:]

    def reset(self) -> None:
        """Forget everyone. With a seed the ids start again too, so that a replay repeats itself."""
        if self._seed is not None or not hasattr(self, "_new_id"):
            self._new_id = IdSource(self._seed)
        self.tracks: list[Track] = []
        self.aliases: list[Alias] = []
        self.returned: list[str] = []
        self._away: list[Track] = []
        self._looks = Looks()

    def interrupt(self, ticks: int) -> None:
        """Nothing was seen for so long that places tell nothing: all have left, and may be back at once."""
        self.aliases, self.returned = [], []
        for track in self._known():
            track.missed += ticks
        gone, self.tracks = self.tracks, []
        self._remember(gone)

    def update(self, boxes: Floats, elapsed: int = 1, look: Look | None = None) -> list[Track]:
        """Take the faces of one image.

        Args:
            boxes: ``[n, 4]``, most trusted first.
            elapsed: ticks since the previous call, at least 1.
            look: what faces look like; without it places alone tell who is who.

        Returns:
            All tracks, oldest first; :attr:`Track.face` points into ``boxes``.
        """
        self.aliases, self.returned = [], []
        for track in self.tracks:
            track.motion.predict(elapsed)
            track.wary = max(0, track.wary - elapsed)
        costs = motion_costs(self.tracks, boxes, self._min_overlap)
        crowded = _crowded(boxes)
        self._suspect(boxes, costs)
        newcomers = self._newcomers(len(boxes), crowded) if look else set()
        vectors = self._looks.take(self.tracks, costs, elapsed, look, newcomers) if look else {}
        pairs = pair_up(self.tracks, costs, vectors)
        self._part_with_strays(pairs, vectors, boxes)
        self._learn(pairs, vectors, crowded)
        for index, track in enumerate(self.tracks):
            self._advance(track, pairs.get(index), boxes, elapsed)
            if not track.confirmed and self._convinces(track, crowded):
                track.age = 0
        self._recognise_late(vectors)
        self._let_go(elapsed)
        self._start_tracks(boxes, set(pairs.values()), vectors, crowded)
        return self.tracks

    def guesses(self) -> Floats:
        """``[n, 4]`` regions (centre, side, rotation) in which hidden people may come up next."""
        seen = [t.box for t in self.tracks if t.face is not None]
        regions = []
        for track in self.tracks:
            if not track.missed or track.missed % GUESS_TICKS or not track.confirmed:
                continue
            if all(_overlap(track.motion.box, box) <= COVERED for box in seen):
                side = GUESS_SCALE * float(track.motion.size.max())
                regions.append([*track.motion.centre, side, 0.0])
        return np.array(regions, np.float32).reshape(-1, 4)

    def _known(self) -> Iterable[Track]:
        """Everyone who is there, was a moment ago, or is remembered."""
        return (*self.tracks, *self._away)

    def _suspect(self, boxes: Floats, costs: NDArray[np.float64]) -> None:
        """Look soon at who is suddenly elsewhere: somebody else may have come before the face."""
        for row, track in enumerate(self.tracks):
            if track.missed or not np.isfinite(costs[row]).any():
                continue
            if track.motion.surprise(boxes[int(costs[row].argmin())]) > SURPRISE:
                self._doubt(track)

    def _doubt(self, track: Track) -> None:
        """Look at a track as soon as possible: it may follow somebody else's face."""
        track.mixed = True
        self._looks.hurry([track])

    def _learn(self, pairs: dict[int, int], vectors: Mapping[int, Floats], crowded: set[int]) -> None:
        """Take what faces look like as examples of their tracks, or as doubts about them."""
        for index, column in list(pairs.items()):
            track, vector = self.tracks[index], vectors.get(column)
            if vector is None:
                continue
            distance = track.gallery.distance(vector)
            doubtful = OTHER < distance < np.inf
            track.doubts = track.doubts + 1 if doubtful else 0
            track.wary = WARY_TICKS if doubtful else 0
            if doubtful:
                self._looks.hurry(self.tracks)
            if doubtful and track.mixed and self._is_another(track, vector):
                del pairs[index]
                track.motion.stop()
                self._counts.add("ids_corrected")
            elif not doubtful and column not in crowded:
                track.gallery.add(vector)
                track.mixed &= distance > SAME

    def _part_with_strays(self, pairs: dict[int, int], vectors: Mapping[int, Floats], boxes: Floats) -> None:
        """Give up faces that have carried their tracks off, and cannot be looked at just now."""
        for index, column in list(pairs.items()):
            track = self.tracks[index]
            if not track.wary or column in vectors:
                continue
            way = (boxes[column, :2] + boxes[column, 2:] - track.sure[:2] - track.sure[2:]) / 2
            if np.hypot(*way) > STRAYED * track.motion.scale:
                del pairs[index]
                track.motion.stop()
                self._counts.add("ids_corrected")

    def _is_another(self, track: Track, vector: Floats) -> bool:
        """Whether the face that a track follows is certainly somebody else's."""
        others = (t.gallery.distance(vector) for t in self._known() if t is not track)
        return track.doubts >= MAX_DOUBTS or min(others, default=np.inf) < SAME

    def _advance(self, track: Track, face: int | None, boxes: Floats, elapsed: int) -> None:
        track.face = face
        track.age += elapsed if track.confirmed else 0
        if face is None:
            track.missed += elapsed
            track.mixed = True
            return
        track.motion.correct(boxes[face])
        track.box, track.missed = boxes[face].copy(), 0
        track.sure = track.sure if track.wary else track.box
        track.hits += 1

    def _convinces(self, track: Track, crowded: set[int]) -> bool:
        """Whether a face has been seen often enough to be a person."""
        clear = track.face not in crowded or track.hits >= CROWDED_HITS
        return track.face is not None and track.hits >= self._min_hits and clear

    def _let_go(self, elapsed: int) -> None:
        """Drop tracks that were not seen for too long; people are remembered for a while."""
        for track in self._away:
            track.missed += elapsed
        gone = [t for t in self.tracks if t.missed > (self._max_missed if t.confirmed else 0)]
        self.tracks = [t for t in self.tracks if t not in gone]
        self._remember(gone)

    def _remember(self, gone: list[Track]) -> None:
        """Keep those who could be recognised, for as long and as many as is allowed."""
        known = [t for t in [*self._away, *gone] if t.confirmed and len(t.gallery)]
        self._away = [t for t in known if t.missed <= self._return_ticks][-REMEMBERED_PEOPLE:]

    def _recognise(self, vector: Floats, but: Track | None = None) -> Track | None:
        """The person that looks like this and like nobody else, seen or not; None where there is none."""
        ranked = sorted(
            ((t.gallery.distance(vector), n, t) for n, t in enumerate(self._known()) if t is not but)
        )
        if not ranked or ranked[0][0] > SAME or (len(ranked) > 1 and ranked[1][0] < ranked[0][0] + MARGIN):
            return None
        return ranked[0][2]

    def _recognise_late(self, vectors: Mapping[int, Floats]) -> None:
        """Give new tracks the ids that their people had before."""
        for track in [t for t in self.tracks if t.face in vectors and len(t.gallery) <= KEPT // 2]:
            who = self._recognise(vectors[track.face], track) if track.face is not None else None
            if who is None or not who.confirmed:
                continue
            if not who.missed:
                if _overlap(track.box, who.box) > CROWDED:
                    self.tracks.remove(track)  # A second fit to the face of somebody who is in view.
                else:
                    self._doubt(who)
                continue
            if track.confirmed:
                self.aliases.append(Alias(who.person_id, track.person_id))
            if who in self.tracks:
                track.age = who.age
                self.tracks.remove(who)
            else:
                track.age = max(track.age, 0)
                self._away.remove(who)
                self.returned.append(who.person_id)
            track.person_id = who.person_id
            track.gallery.take(who.gallery)

    def _newcomers(self, faces: int, crowded: set[int]) -> set[int]:
        """The faces that should be looked at if no track expected them: somebody known could be meant."""
        if len(self.tracks) >= self._max_people:
            return set()
        return set(range(faces)) if any(t.missed for t in self._known()) else crowded

    def _start_tracks(
        self, boxes: Floats, taken: set[int], vectors: Mapping[int, Floats], crowded: set[int]
    ) -> None:
        """Make tracks of faces that belong to none; whoever is recognised comes back."""
        over = 0
        for i in (i for i in range(len(boxes)) if i not in taken):
            who = self._recognise(vectors[i]) if i in vectors else None
            if who is not None and not who.missed:
                if _overlap(who.box, boxes[i]) > CROWDED:
                    continue  # A second fit to the face of somebody who is in view.
                self._doubt(who)
            if who in self._away and len(self.tracks) < self._max_people:
                self._bring_back(who, boxes[i], i)
            elif len(self.tracks) < self._max_people:
                track = Track(self._new_id(), boxes[i].copy(), i)
                track.age = 0 if self._convinces(track, crowded) else -1
                self.tracks.append(track)
            else:
                over += 1
        self._counts.add("faces_over_limit", over)

    def _bring_back(self, track: Track, box: Floats, face: int) -> None:
        self._away.remove(track)
        track.box, track.motion, track.face = box.copy(), BoxMotion(box), face
        track.hits, track.missed, track.age, track.doubts, track.mixed = track.hits + 1, 0, 0, 0, False
        track.wary, track.sure = 0, track.box
        self.tracks.append(track)
        self.returned.append(track.person_id)


def _overlap(a: Floats, b: Floats) -> float:
    return float(box_iou(a[None], b[None])[0, 0])


def _crowded(boxes: Floats) -> set[int]:
    """The boxes that overlap others."""
    overlap = box_iou(boxes, boxes)
    np.fill_diagonal(overlap, 0)
    return {int(i) for i in np.flatnonzero(overlap.max(1, initial=0) > CROWDED)}
