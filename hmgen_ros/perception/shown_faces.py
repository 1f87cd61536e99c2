"""Faces as they are published: calmer, and on request where hand labels would put their landmarks.

What perception itself compares (lips, gestures, faces against the voice) was trained and tuned on landmarks
as the backend gives them, so this comes after all of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.backends import LandmarkBackend, LandmarkSets
from hmgen_ros.perception.normalisation import normalise
from hmgen_ros.perception.one_euro import LandmarkSmoother
from hmgen_ros.perception.track import Track
from hmgen_ros.types import Face


class ShownFaces:
    """Turns the faces of one image after the other into what is published.

    Args:
        backend: of the landmarks.
        smooth: filter landmarks over time, see :mod:`~hmgen_ros.perception.one_euro`.
        correct: put them where hand labels would, see :meth:`.LandmarkBackend.annotated`.
    """

    def __init__(self, backend: LandmarkBackend, smooth: bool, correct: bool) -> None:
        self._backend, self._smooth, self._correct = backend, smooth, correct
        self._smoother = LandmarkSmoother()

    def update(
        self,
        tracks: Sequence[Track],
        faces: Sequence[Face | None],
        found: LandmarkSets,
        size: tuple[int, int],
        elapsed: int,
    ) -> list[Face | None]:
        """The faces of this tick as they are published.

        Args:
            tracks: everyone followed.
            faces: of each, None where it is hidden.
            found: what the tracks' ``face`` points into.
            size: width and height of the image.
            elapsed: ticks since the image before, at least 1.
        """
        if not (self._smooth or self._correct):
            return list(faces)
        placed = self._backend.annotated(found) if self._correct else found.points
        self._smoother.keep({track.person_id for track in tracks})
        shown: list[Face | None] = []
        for track, face in zip(tracks, faces, strict=True):
            if face is None or track.face is None:
                self._smoother.unseen(track.person_id, elapsed)
                shown.append(None)
                continue
            points = placed[track.face]
            if self._smooth:
                points = self._smoother.update(track.person_id, points, face.scale_px, elapsed)
            shown.append(_moved(face, points, size))
        return shown

    def adjust(self, smooth: bool, correct: bool) -> None:
        """Show faces in another way from now on; arguments as of the class."""
        if (smooth, correct) != (self._smooth, self._correct):
            self._smooth, self._correct = smooth, correct
            # Landmarks jump once, rather than glide from the one kind to the other.
            self.reset()

    def reset(self) -> None:
        """Forget everyone."""
        self._smoother = LandmarkSmoother()


def _moved(face: Face, points: NDArray[np.float32], size: tuple[int, int]) -> Face:
    """The face with other landmarks; as it was where these make no face frame."""
    frame = normalise(points)
    if frame is None:
        return face
    landmarks, origin, scale = frame
    inside = ((points >= 0) & (points < size)).all(axis=1)
    visibility = np.where(inside, np.float32(face.score), np.float32(0))
    return replace(
        face,
        landmarks_px=points,
        landmarks=landmarks,
        origin_px=origin,
        scale_px=scale,
        visibility=visibility,
    )
