"""What ``hmgen animate`` writes: a film with sound, tracks, and films of rasters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.data.extract import write_flac
from hmgen_ros.data.track_files import TrackFile, write_track_file
from hmgen_ros.evaluation.animate_inputs import Floats, features_and_silence
from hmgen_ros.evaluation.face_film import COLOURS, WHITE, backdrop, draw_face, view_of
from hmgen_ros.evaluation.motion_raster import in_own_frame, raster
from hmgen_ros.types import TICK_NS, AudioChunk
from hmgen_ros.types.sound import SOUND_RATE, TICK_SAMPLES
from hmgen_ros.viewing.video_writer import VideoWriter

#: Rasters made at once.
_BLOCK = 100


def numbered(path: Path, count: int) -> list[Path]:
    """The path itself, or so many with a number behind the stem."""
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}_{number}") for number in range(1, count + 1)]


def written(film: Path, landmarks: Path | None, rasters: Path | None, count: int) -> list[Path]:
    """Every file that is written, of ``count`` samples; tracks have their sound beside them."""
    tracks = numbered(landmarks, count) if landmarks is not None else []
    sounds = [path.with_suffix(".flac") for path in tracks]
    return [film, *tracks, *sounds, *(numbered(rasters, count) if rasters is not None else [])]


def check_paths(
    inputs: Sequence[Path], film: Path, landmarks: Path | None, rasters: Path | None, count: int
) -> None:
    """Check the names of files before any work is done.

    Args:
        inputs: files that are read.
        film: the film.
        landmarks: the track, or None; each has its sound beside it.
        rasters: the film of rasters, or None.
        count: samples.

    Raises:
        ValueError: a name does not end as its format does, or one would be written over another.
    """
    for path, suffix in ((film, ".mp4"), (landmarks, ".npz"), (rasters, ".mp4")):
        if path is not None and path.suffix.lower() != suffix:
            raise ValueError(f"{path} must end in {suffix}, which is the format it is written in")
    taken = {path.resolve() for path in inputs}
    for path in written(film, landmarks, rasters, count):
        if path.resolve() in taken:
            raise ValueError(f"{path} would be written over a file that is needed; choose another name")
        taken.add(path.resolve())


def write_film(
    path: Path,
    motion: Floats,
    samples: Floats,
    size: int,
    image: NDArray[np.uint8] | None,
    still: Floats | None,
) -> Iterator[None]:
    """Write the film, and yield after each tick.

    Args:
        path: the mp4; its folder is made.
        motion: ``[T, N, 68, 2]``, side by side from the left.
        samples: ``[T 640]`` of the sound, 16 kHz.
        size: side of each panel, pixels.
        image: BGR picture behind the faces, whose pixels landmarks are in; None for black.
        still: ``[68, 2]`` of a face that does not move, on the left of all; None for none.
    """
    view = view_of(motion, size, image is not None)
    empty = backdrop(image, view)
    fixed = [empty.copy() for _ in range(still is not None)]
    if still is not None:
        draw_face(fixed[0], view.places(still), WHITE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, sample_rate=SOUND_RATE) as writer:
        for tick, poses in enumerate(view.places(motion)):
            panels = [empty.copy() for _ in poses]
            for panel, pose in zip(panels, poses, strict=True):
                draw_face(panel, pose, COLOURS)
            writer.add_image(np.concatenate(fixed + panels, axis=1), tick * TICK_NS)
            sound = samples[tick * TICK_SAMPLES : (tick + 1) * TICK_SAMPLES]
            writer.add_sound(AudioChunk(tick * TICK_NS, sound, SOUND_RATE))
            yield


def write_track(path: Path, motion: Floats, samples: Floats, size: tuple[int, int] | None) -> None:
    """Write a landmark track, and its sound beside it as ``.flac``.

    Args:
        path: the ``.npz``; its folder is made.
        motion: ``[T, 68, 2]`` pixels.
        samples: ``[T 640]``, 16 kHz.
        size: width and height of the picture; without one, what the landmarks take.
    """
    width, height = size or np.ceil(motion.reshape(-1, 2).max(axis=0)).clip(1).astype(int).tolist()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_flac(path.with_suffix(".flac"), samples)
    mfcc = features_and_silence(samples, "mfcc", 0).numpy()
    write_track_file(path, TrackFile(motion, np.ones(len(motion), np.bool_), (width, height), mfcc))


def write_raster(path: Path, motion: Floats) -> None:
    """Write ``[T, 68, 2]`` landmarks as rasters in the frame of the first, without sound and loss.

    Red, green and blue are the channels of :func:`hmgen_ros.evaluation.motion_raster.raster`, jaw first.
    """
    poses = in_own_frame(torch.from_numpy(motion))
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, sample_rate=None, lossless=True) as writer:
        for begin in range(0, len(poses), _BLOCK):
            pictures = 255 * raster(poses[begin : begin + _BLOCK]).flip(1).permute(0, 2, 3, 1)
            for tick, picture in enumerate(pictures.numpy(), start=begin):
                writer.add_image(picture, tick * TICK_NS)
