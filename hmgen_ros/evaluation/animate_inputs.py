"""What ``hmgen animate`` begins with: a face, and the sound that it speaks."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.landmark_files import read_landmarks
from hmgen_ros.data.sound_files import read_sound
from hmgen_ros.data.track_files import read_track_file
from hmgen_ros.generators.head_frame import usable
from hmgen_ros.perception.audio_features import FeatureStream
from hmgen_ros.perception.backends import create_backend
from hmgen_ros.perception.still_face import still_face
from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.streams.source import MediaError
from hmgen_ros.types import NUM_LANDMARKS, TICK_HZ, TICK_NS, Counts
from hmgen_ros.types.sound import SOUND_RATE, TICK_SAMPLES, Kind

#: Files of landmarks; anything else is a picture.
LANDMARK_FILES = (".npz", ".npy")
#: Sound that stays below this part of full scale, -60 dB, is silence with a little noise.
_SILENT = 1e-3
#: Ticks of sound whose features are made at once.
_BLOCK = 500
#: iBUG-68.
_CHIN, _BROWS = 8, slice(17, 27)

Floats = NDArray[np.float32]


class InputError(ValueError):
    """A face or a sound cannot be used; the text names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class Start:
    """The face that begins to speak.

    Attributes:
        landmarks: ``[68, 2]`` float32, iBUG-68, pixels of its picture or what other unit they came in.
        image: ``[H, W, 3]`` uint8 BGR; None where landmarks came without a picture.
        size: width and height of the picture, None where nobody knows.
        note: what the user should know of how it was chosen; often nothing.
    """

    landmarks: Floats
    image: NDArray[np.uint8] | None
    size: tuple[int, int] | None
    note: str = ""


class Speech(NamedTuple):
    """A sound to speak.

    Attributes:
        samples: ``[T 640]`` of whole ticks, mono 16 kHz, from the first sample of the file on.
        notes: what the user should know of it.
    """

    samples: Floats
    notes: list[str]

    @property
    def ticks(self) -> int:
        """``T``."""
        return len(self.samples) // TICK_SAMPLES


def read_start(path: Path) -> Start:
    """The face of a picture, or the first one of a file of landmarks.

    Args:
        path: a picture; or a landmark track or array as :func:`read_landmarks` takes it, or an ``.npy`` with
            one pose ``[68, 2]``.

    Raises:
        InputError: the file is missing, damaged, or has no face; or the face models are not installed.
        CorpusError: the same, of files of landmarks.
    """
    if path.suffix.lower() in LANDMARK_FILES:
        return _of_landmarks(path)
    try:
        with closing(create_backend("mesh")) as backend:
            face = still_face(path, backend)
    except RuntimeError as error:  # MediaError, or there are no face models
        raise InputError(str(error)) from error
    note = f"{path}: the largest of {face.faces} faces speaks" if face.faces > 1 else ""
    height, width = face.image.shape[:2]
    return Start(face.landmarks, face.image, (width, height), note)


def read_speech(path: Path, look_ahead: int) -> Speech:
    """The sound of a file.

    Args:
        path: any file that FFmpeg reads, of any rate and number of channels; of a video it is the sound.
        look_ahead: ticks that the generator waits for.

    Raises:
        InputError: the file is missing or damaged, has no sound, is silent, or too short to move by.
    """
    counts = Counts()
    try:
        start_ns, samples = read_sound(path, counts)
    except MediaError as error:
        raise InputError(f"cannot read the sound: {error}") from error
    lost = ", ".join(f"{cause} {amount}" for cause, amount in counts.items())
    if not len(samples):
        raise InputError(f"{path}: holds no sound that can be decoded" + (f" ({lost})" if lost else ""))
    least = max(look_ahead, 1) + 1
    ticks = -(-len(samples) // TICK_SAMPLES)
    if ticks < least:
        raise InputError(
            f"{path}: {len(samples) / SOUND_RATE:.2f} s of sound are too short to move by; at least "
            f"{least / TICK_HZ:.2f} s are needed"
        )
    if float(np.abs(samples).max()) < _SILENT:
        raise InputError(f"{path}: is silent, all of it stays below -60 dB of full scale; record it louder")
    notes = [f"{path}: {lost}"] if lost else []
    if start_ns > TICK_NS:
        notes.append(f"{path}: its sound begins at {start_ns / NS_PER_S:.2f} s, where the film begins, too")
    return Speech(np.pad(samples, (0, ticks * TICK_SAMPLES - len(samples))), notes)


def features_and_silence(samples: Floats, kind: Kind, ahead: int) -> Tensor:
    """``[T + ahead, 4, 26]`` audio features of ``[T 640]`` samples with ``ahead`` ticks of silence behind."""
    whole = np.pad(samples, (0, ahead * TICK_SAMPLES))
    stream, step = FeatureStream(kind), _BLOCK * TICK_SAMPLES
    parts = [stream.feed(whole[i : i + step]) for i in range(0, len(whole), step)]
    return torch.from_numpy(np.concatenate([*parts, stream.finish()]))


def _of_landmarks(path: Path) -> Start:
    pose = _single_pose(path)
    if pose is not None:
        return Start(pose, None, None)
    points, usual = read_landmarks(path, Counts())
    first = int(np.argmax(usual))
    note = f"{path}: speaks from its face at {first / TICK_HZ:.2f} s on" if len(points) > 1 else ""
    return Start(points[first], None, _picture_size(path), note)


def _single_pose(path: Path) -> Floats | None:
    """The only pose of an ``.npy``; None of other files, which :func:`read_landmarks` judges.

    Raises:
        InputError: it is no face, or upside down.
    """
    try:
        found = np.load(path, allow_pickle=False) if path.suffix.lower() == ".npy" else None
    except (OSError, ValueError, EOFError):
        return None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iuf":
        return None
    if found.shape not in ((NUM_LANDMARKS, 2), (NUM_LANDMARKS, 3)):
        return None
    pose = found[:, :2].astype(np.float32)
    if not bool(usable(torch.from_numpy(pose))):
        raise InputError(f"{path}: its landmarks are not finite, or have collapsed; extract them again")
    if pose[_CHIN, 1] < pose[_BROWS, 1].mean():
        raise InputError(f"{path}: the chin lies above the brows; y must point down, as in pictures")
    return pose


def _picture_size(path: Path) -> tuple[int, int] | None:
    """Of a landmark track; None of other files."""
    if path.suffix.lower() != ".npz":
        return None
    try:
        return read_track_file(path).image_size
    except CorpusError:
        return None
