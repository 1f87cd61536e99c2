"""The face in a picture file: the largest one, where there are several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.backends import LandmarkBackend, LandmarkSets
from hmgen_ros.perception.faces import FaceFinder
from hmgen_ros.picture_file import read_picture
from hmgen_ros.streams.source import MediaError
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import Counts

#: As live perception has it.
_MIN_PRESENCE = 0.5
#: More than any picture shows: the largest of a crowd is not always what the detector is surest of.
_MOST_FACES = 1000


@dataclass(frozen=True, slots=True)
class StillFace:
    """A face and its picture.

    Attributes:
        image: ``[H, W, 3]`` uint8 BGR, upright.
        landmarks: ``[68, 2]`` float32, iBUG-68, pixels.
        faces: how many there are in the picture, this one included.
    """

    image: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    faces: int


def still_face(path: Path, backend: LandmarkBackend) -> StillFace:
    """The largest face of a picture.

    Args:
        path: a JPEG, PNG or whatever else OpenCV reads; turned as its EXIF data say.
        backend: detector and landmarks.

    Raises:
        MediaError: the file is missing, no picture, damaged, or shows no face; names it.
    """
    image = read_picture(path)
    finder = FaceFinder(backend, _MOST_FACES, _MIN_PRESENCE, _MOST_FACES, False, StageTimes(), Counts())
    nowhere = np.zeros((0, 4), np.float32)
    # The second search is for faces that fill the picture.
    found = finder.find(image, nowhere, True)
    found = found if len(found) else finder.find(image, nowhere, True)
    if not len(found):
        height, width = image.shape[:2]
        raise MediaError(
            f"{path}: no face is found in this picture of {width} x {height} pixels; use one with a face "
            "that is upright, sharp and at least a tenth of its height"
        )
    face = found.subset([int(np.argmax(_areas(found)))])
    # Once more where its own landmarks say that it is, as in every later picture of a video.
    refined = finder.find(image, face.rois, False)
    return StillFace(image, (refined if len(refined) else face).points[0], len(found))


def _areas(faces: LandmarkSets) -> NDArray[np.float32]:
    width, height = (faces.boxes[:, 2:] - faces.boxes[:, :2]).T
    return np.asarray(width * height, np.float32)
