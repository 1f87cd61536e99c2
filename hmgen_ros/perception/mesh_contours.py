"""The 68 landmarks as the iBUG scheme defines them, read off the contours of MediaPipe's face mesh.

A map from mesh points to landmarks, point by point (:data:`.mesh_landmarks.MESH_TO_68`), is what the models
of this project were trained on. It is not where people who label faces put points: their scheme divides a
contour, as it is seen in the picture, into equal parts, while the mesh's points sit closer together in some
places than in others. Here each contour is a line through mesh points, divided equally:

- the jaw from beside the eye to the chin, either side in eight parts;
- each brow along its middle, between the mesh's upper and lower edge, in four;
- the bridge of the nose from between the eyes to the tip, in three;
- each lid from corner to corner, in three, the corners a little inwards of the mesh's.

Lips and the base of the nose are the same in both. Nothing here is fitted to labels; which contours to take
was judged on labelled pictures, see ``benchmarks/landmark_backends.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.mesh_landmarks import MESH_TO_68

# fmt: off
#: Mesh points from beside the eye down to the chin; the person's right, then left.
_JAW = np.array([
    [127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152],
    [356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152],
])
#: Upper and lower edge of each brow, as seen from left to right in a picture.
_BROWS = np.array([
    [[70, 63, 105, 66, 107], [46, 53, 52, 65, 55]],
    [[336, 296, 334, 293, 300], [285, 295, 282, 283, 276]],
])
_BRIDGE = np.array([168, 6, 197, 195, 5, 4])
#: Right upper, right lower, left upper and left lower lid, from left to right in a picture.
_LIDS = np.array([
    [33, 246, 161, 160, 159, 158, 157, 173, 133],
    [33, 7, 163, 144, 145, 153, 154, 155, 133],
    [362, 398, 384, 385, 386, 387, 388, 466, 263],
    [362, 382, 381, 380, 374, 373, 390, 249, 263],
])
#: An eye corner is the middle of the mesh's and of its neighbours on both lids.
_CORNERS = np.array([[33, 246, 7], [133, 173, 155], [362, 398, 382], [263, 466, 249]])
# fmt: on
#: The landmarks on the lids, in the order of :data:`_LIDS`, and the corners in that of :data:`_CORNERS`.
_ON_LIDS = np.array([[37, 38], [41, 40], [43, 44], [47, 46]])
_AT_CORNERS = np.array([36, 39, 42, 45])


def contours_68(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Landmarks of a face where labels have them.

    Args:
        mesh: ``[468, 3]`` or ``[468, 2]`` points of the face mesh, pixels.

    Returns:
        ``[68, 2]`` pixels, iBUG-68 order.
    """
    points = mesh[:, :2].astype(np.float64)
    landmarks = points[MESH_TO_68].mean(axis=1)
    right, left = divided(points[_JAW], 8)
    landmarks[:17] = np.concatenate([right, left[-2::-1]])
    landmarks[17:27] = divided(points[_BROWS].mean(axis=1), 4).reshape(10, 2)
    landmarks[27:31] = divided(points[_BRIDGE][None], 3)[0]
    landmarks[_ON_LIDS] = divided(points[_LIDS], 3)[:, 1:3]
    landmarks[_AT_CORNERS] = points[_CORNERS].mean(axis=1)
    return np.asarray(landmarks, dtype=np.float32)


def divided(lines: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """Divide lines into parts of equal length.

    Args:
        lines: ``[n, m, 2]`` points of ``n`` lines.
        parts: of each.

    Returns:
        ``[n, parts + 1, 2]`` ends of the parts, those of the lines among them.
    """
    lengths = np.hypot(*np.diff(lines, axis=1).transpose(2, 0, 1))
    places = np.concatenate([np.zeros((len(lines), 1)), lengths.cumsum(axis=1)], axis=1)
    wanted = np.linspace(0, 1, parts + 1)
    return np.array(
        [
            np.stack([np.interp(wanted * place[-1], place, line[:, axis]) for axis in (0, 1)], axis=1)
            for place, line in zip(places, lines, strict=True)
        ]
    )
