"""The file format of landmark tracks: one ``.npz`` a track, the sound beside it as ``.flac`` of that name.

=========  ================================================================================================
``lm``     ``[T, 68, 2]`` iBUG-68 landmarks; whole numbers are pixels times ``scale``, floats are pixels
``valid``  ``[T]`` bool: there is a face; optional, all ticks by default
``wh``     ``[2]`` width and height of the picture, pixels
``fps``    ticks a second; this project works at 25
``scale``  what whole numbers are divided by; 1 by default
``mfcc``   ``[T, 4, 26]`` float32 of the sound, four 10 ms steps a tick; optional
``score``  ``[T]`` float32 face detector's confidence, 0 to 1; optional
``flags``  ``[T]`` uint8, :class:`TrackFlag` added up; optional
=========  ================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.npz_file import NpzError, NpzMissing, read_npz
from hmgen_ros.types import NUM_LANDMARKS, TICK_HZ

#: Audio steps a tick, and coefficients of each.
MFCC_STEPS, MFCC_COEFFICIENTS = 4, 26
#: Pixels are written as whole sixteenths where that fits into 16 bits.
SCALE = 16
_INT16 = 32767


class TrackFlag(IntFlag):
    """What is doubtful about a tick of a track."""

    LOW_SCORE = 1
    BLURRED = 2
    SMALL = 4
    AT_BORDER = 8
    INTERPOLATED = 16


@dataclass(frozen=True, slots=True)
class TrackFile:
    """One track.

    Attributes:
        landmarks: ``[T, 68, 2]`` float32 pixels; of no meaning where not valid.
        valid: ``[T]`` bool.
        image_size: width and height of the picture, pixels.
        mfcc: ``[T, 4, 26]`` float32, or None.
        score: ``[T]`` float32 confidence of the face, or None.
        flags: ``[T]`` uint8 of :class:`TrackFlag`, or None.
    """

    landmarks: NDArray[np.float32]
    valid: NDArray[np.bool_]
    image_size: tuple[int, int]
    mfcc: NDArray[np.float32] | None = None
    score: NDArray[np.float32] | None = None
    flags: NDArray[np.uint8] | None = None


def read_track_file(path: Path) -> TrackFile:
    """Read and check one track.

    Raises:
        CorpusError: the file is missing, damaged, of another rate, or a field has another shape or type;
            names file and field.
    """
    fields = _fields(path)
    if missing := {"lm", "wh", "fps"} - fields.keys():
        raise CorpusError(f"{path}: field {sorted(missing)[0]!r} is missing; is it a landmark track?")
    if _number(path, fields, "fps") != TICK_HZ:
        raise CorpusError(f"{path}: field 'fps' is {fields['fps']}, this project works at {TICK_HZ}")
    ticks = len(fields["lm"]) if fields["lm"].ndim else 0
    points = _checked(path, fields, "lm", (ticks, NUM_LANDMARKS, 2), "iuf")
    with np.errstate(over="ignore"):  # what does not fit is not finite, and left out
        landmarks = points.astype(np.float32)
    scale = _number(path, fields, "scale") if "scale" in fields else 1.0
    if not scale > 0.0:
        raise CorpusError(f"{path}: field 'scale' is {scale}, must be above 0")
    if fields["lm"].dtype.kind in "iu":
        landmarks /= np.float32(scale)
    size = _checked(path, fields, "wh", (2,), "iuf")
    valid = np.ones(ticks, np.bool_)
    if "valid" in fields:
        valid = _checked(path, fields, "valid", (ticks,), "biu").astype(np.bool_)
    mfcc_shape = (ticks, MFCC_STEPS, MFCC_COEFFICIENTS)
    return TrackFile(
        landmarks,
        valid,
        (int(size[0]), int(size[1])),
        _checked(path, fields, "mfcc", mfcc_shape, "f").astype(np.float32) if "mfcc" in fields else None,
        _checked(path, fields, "score", (ticks,), "f").astype(np.float32) if "score" in fields else None,
        _checked(path, fields, "flags", (ticks,), "u").astype(np.uint8) if "flags" in fields else None,
    )


def write_track_file(path: Path, track: TrackFile) -> None:
    """Write a track whole or not at all; pixels are rounded to sixteenths.

    Args:
        path: ``.npz``; its folder must exist.
        track: what to write; landmarks where not valid are written as zeros.

    Raises:
        ValueError: a valid landmark is not finite.
    """
    points = np.where(track.valid[:, None, None], track.landmarks, 0.0).astype(np.float32)
    if not np.isfinite(points).all():
        raise ValueError(f"{path}: a landmark of a valid tick is not finite")
    fits = not points.size or float(np.abs(points).max()) * SCALE <= _INT16
    scaled = np.round(points * SCALE)
    fields: dict[str, Any] = {
        "lm": scaled.astype(np.int16 if fits else np.int32),
        "valid": track.valid,
        "wh": np.array(track.image_size),
        "fps": np.array(TICK_HZ),
        "scale": np.array(SCALE),
    }
    for name in ("mfcc", "score", "flags"):
        if (field := getattr(track, name)) is not None:
            fields[name] = field
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **fields)
    partial.replace(path)


def _fields(path: Path) -> dict[str, NDArray[Any]]:
    """Everything in an ``.npz``."""
    try:
        return read_npz(path)
    except NpzMissing as error:
        raise CorpusError(f"missing {path}; copy it, or take its line out of the manifest") from error
    except NpzError as error:
        raise CorpusError(str(error)) from error


def _number(path: Path, fields: dict[str, NDArray[Any]], name: str) -> float:
    field = fields[name]
    if field.shape not in ((), (1,)) or field.dtype.kind not in "iuf":
        raise CorpusError(f"{path}: field {name!r} is {field.dtype} {field.shape}, not one number")
    return float(field.reshape(()))


def _checked(
    path: Path, fields: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...], kinds: str
) -> NDArray[Any]:
    field = fields[name]
    if field.shape != shape or field.dtype.kind not in kinds:
        found = f"field {name!r} is {field.dtype} {field.shape}"
        raise CorpusError(f"{path}: {found}, expected numbers {_in_words(name, shape)}")
    return field


def _in_words(name: str, shape: tuple[int, ...]) -> str:
    """The shape of a field, with ``T`` for the number of ticks, which no other field than ``lm`` chooses."""
    if name == "wh":
        return str(shape)
    told = ", ".join(["T", *map(str, shape[1:])])
    return f"({told}" + (")" if name == "lm" else f"), T = {shape[0]} as in 'lm'")
