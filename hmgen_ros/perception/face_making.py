"""Sets of landmarks to faces with their frame and pose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.backends import LandmarkSets
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.perception.normalisation import normalise
from hmgen_ros.types import Counts, Face


def usable_faces(
    found: LandmarkSets, size: tuple[int, int], camera: NDArray[np.float64] | None, counts: Counts
) -> tuple[LandmarkSets, list[Face]]:
    """The sets that make a face frame, and their faces; others are dropped and counted.

    Args:
        found: of one image.
        size: width and height of the image.
        camera: ``[3, 3]`` matrix, None for the usual one.
        counts: receives ``faces_unusable`` and ``poses_unsolved``.
    """
    made = [_face(found, i, size, camera, counts) for i in range(len(found))]
    faces = [face for face in made if face is not None]
    if len(faces) < len(made):
        counts.add("faces_unusable", len(made) - len(faces))
        found = found.subset([i for i, face in enumerate(made) if face is not None])
    return found, faces


def _face(
    found: LandmarkSets, i: int, size: tuple[int, int], camera: NDArray[np.float64] | None, counts: Counts
) -> Face | None:
    points, score = found.points[i], float(found.presence[i])
    frame = normalise(points)
    if frame is None:
        return None
    landmarks, origin, scale = frame
    inside = ((points >= 0) & (points < size)).all(1)
    visibility = np.where(inside, np.float32(score), np.float32(0))
    pose = solve_head_pose(points, size, camera)
    counts.add("poses_unsolved", int(pose is None))
    return Face(found.boxes[i], score, points, landmarks, origin, scale, visibility, pose)
