"""Landmarks of one face from any file: a track of this project, or a plain array as other programs write.

Plain arrays (``.npy``, or the only one of its shape in an ``.npz``) are ``[T, 68, 2]``, or ``[T, 68, 3]``
with a depth that is not used: iBUG-68 landmarks at 25 Hz in any unit, x to the right and y down. An ``.npz``
may have ``valid`` (``[T]``) beside it. Ticks without a face are not finite, or not valid.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.track_files import read_track_file
from hmgen_ros.generators.head_frame import usable
from hmgen_ros.types import NUM_LANDMARKS, Counts

#: Fields that make an ``.npz`` a landmark track.
_TRACK = {"lm", "wh", "fps"}
#: iBUG-68.
_CHIN, _BROWS = 8, slice(17, 27)


def read_landmarks(path: Path, counts: Counts) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read and check the landmarks of a file.

    Args:
        path: the file, see the module's text.
        counts: takes up ``not_finite`` and ``collapsed``, ticks whose face is of no use.

    Returns:
        ``[T, 68, 2]`` float32, and ``[T]`` whether there is a face that can be used.

    Raises:
        CorpusError: the file is missing, damaged, holds something else, no face at all, or faces that are
            upside down; names it.
    """
    arrays = _arrays(path)
    if arrays.keys() >= _TRACK:
        track = read_track_file(path)
        points, valid = track.landmarks, track.valid
    else:
        points, valid = _plain(path, arrays)
    finite = np.isfinite(points).all(axis=(1, 2))
    fit = usable(torch.from_numpy(points)).numpy()
    counts.add("not_finite", int((valid & ~finite).sum()))
    counts.add("collapsed", int((valid & finite & ~fit).sum()))
    usual = valid & fit
    if not usual.any():
        raise CorpusError(
            f"{path}: no face in {len(points)} ticks: {int((~valid).sum())} are not valid, "
            f"{counts['not_finite']} not finite, {counts['collapsed']} collapsed; extract them again"
        )
    heights = points[usual][:, _CHIN, 1] - points[usual][:, _BROWS, 1].mean(axis=1)
    if float(np.median(heights)) < 0.0:
        raise CorpusError(f"{path}: chins lie above brows; y must point down, as in pictures")
    return points, usual


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {path.stem: loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError as error:
        raise CorpusError(f"missing landmarks: {path}: no such file") from error
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, AttributeError) as error:
        raise CorpusError(f"{path} is no .npy or .npz of numbers, or damaged ({error})") from error


def _plain(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    shapes = {(NUM_LANDMARKS, 2), (NUM_LANDMARKS, 3)}
    found = [a for a in arrays.values() if a.ndim == 3 and a.shape[1:] in shapes and a.dtype.kind in "iuf"]
    if len(found) != 1:
        held = ", ".join(f"{name}: {a.dtype} {list(a.shape)}" for name, a in arrays.items()) or "nothing"
        raise CorpusError(
            f"{path}: expected one array of numbers [T, {NUM_LANDMARKS}, 2], found {len(found)} (it holds "
            f"{held})"
        )
    with np.errstate(over="ignore"):  # what does not fit is not finite, and counted
        points = found[0][..., :2].astype(np.float32)
    valid = arrays.get("valid", np.ones(len(points), np.bool_))
    if valid.shape != (len(points),) or valid.dtype.kind not in "biu":
        raise CorpusError(f"{path}: field 'valid' is {valid.dtype} {valid.shape}, expected ({len(points)},)")
    return points, valid.astype(np.bool_)
