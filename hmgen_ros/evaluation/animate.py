"""``hmgen animate``: a face speaks. Its landmarks move by the sound of a file, in a film with that sound.

The face of the picture is at tick 0, which belongs to the first 40 ms of the sound; tick t of the motion
belongs to tick t of the sound, of which the generator is told as far ahead as it was trained for. Behind the
end there is silence. This is how :mod:`hmgen_ros.evaluation.evaluate_sync` lets faces speak, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from hmgen_ros.evaluation.animate_inputs import (
    Floats,
    InputError,
    Speech,
    Start,
    features_and_silence,
    read_speech,
    read_start,
)
from hmgen_ros.evaluation.animate_outputs import (
    check_paths,
    numbered,
    write_film,
    write_raster,
    write_track,
    written,
)
from hmgen_ros.evaluation.result_file import check_writable
from hmgen_ros.generators.head_frame import head_frame
from hmgen_ros.generators.interface import SEED_LIMIT
from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.generators.speech_models import (
    DEFAULT_SPEECH_GENERATOR,
    SPEECH_GENERATORS,
    load_speech_generator,
)
from hmgen_ros.types import TICK_HZ
from hmgen_ros.types.sound import Kind

#: Tracks are written in sixteenths of a pixel: of faces below this size (root mean square distance of the
#: landmarks from their middle, pixels) not enough would be left.
_SMALLEST = 8.0
#: Pixels of a film of H.264 that players can be expected to show.
_WIDEST = 8192


@dataclass(frozen=True)
class AnimateConfig:
    """Settings of the film.

    Attributes:
        face: a picture with a face; or its landmarks: a track (.npz), or an array [68, 2] or [T, 68, 2]
            (.npy), of which the first face is taken.
        speech: any sound, or a video with sound.
        out: the film, an .mp4.
        model: a shipped speech-driven generator, or a .safetensors file of one.
        seed: of the motion, at least 0 and below 2⁶³.
        samples: ways to speak it, side by side, 1 to 8.
        picture: draw over the picture, dimmed; else on black.
        static: show the face that does not move on the left, in white.
        size: side of each face's square in the film, pixels, 64 to 2160.
        landmarks: write the landmarks as a track (.npz) with its sound (.flac), which a reenactment system
            can render and `hmgen evaluate sync` can score. Of several samples, each has a file of its own,
            numbered.
        raster: write the landmarks as pictures of 224 x 224 pixels with one pixel each, as the thesis
            compares them: a lossless .mp4 without sound. Of several samples, as above.

    Raises:
        ValueError: a setting is out of its range, there is no such model, or a file would be written over
            another one that is read or written.
    """

    face: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FACE")]]
    speech: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SPEECH")]]
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    model: str = DEFAULT_SPEECH_GENERATOR
    seed: int = 0
    samples: int = 1
    picture: bool = True
    static: bool = False
    size: int = 480
    landmarks: Path | None = None
    raster: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEED_LIMIT or not 1 <= self.samples <= 8 or not 64 <= self.size <= 2160:
            raise ValueError(
                "seed must be at least 0 and below 2^63, samples 1 to 8 and size 64 to 2160, got "
                f"{self.seed}, {self.samples} and {self.size}"
            )
        if (width := (self.samples + self.static) * self.size) > _WIDEST:
            raise ValueError(
                f"the film would be {width} pixels wide, at most {_WIDEST} are played: choose less"
            )
        if self.model not in SPEECH_GENERATORS and not Path(self.model).is_file():
            known = ", ".join(SPEECH_GENERATORS)
            raise ValueError(f"no speech-driven generator and no file {self.model!r}; there are {known}")
        check_paths((self.face, self.speech), self.out, self.landmarks, self.raster, self.samples)


@torch.inference_mode()
def animate(config: AnimateConfig, console: Console | None = None) -> Floats:
    """Write the film, and what else is asked for.

    Returns:
        ``[T, N, 68, 2]`` landmarks of the samples, in the unit of the face that was given.

    Raises:
        ValueError: face or sound are missing, damaged or not of use, or a file cannot be written; names it.
        hmgen_ros.generators.weights.WeightsError: the model file is missing, damaged, or does not hear.
    """
    console = console or Console()
    for path in written(config.out, config.landmarks, config.raster, config.samples):
        check_writable(path)
    model = load_speech_generator(config.model)
    start = read_start(config.face)
    _check_size(config, start)
    speech = read_speech(config.speech, model.config.look_ahead)
    for note in filter(None, [start.note, *speech.notes]):
        console.print(note, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        tasks = [progress.add_task(text, total=speech.ticks) for text in ("speaking", "drawing")]
        motion = np.empty((speech.ticks, config.samples, *start.landmarks.shape), np.float32)
        for tick, pose in enumerate(spoken(model, start.landmarks, speech, config.samples, config.seed)):
            motion[tick] = pose.numpy()
            progress.advance(tasks[0])
        _check_motion(motion, config.model)
        backdrop = start.image if config.picture else None
        still = start.landmarks if config.static else None
        for _ in write_film(config.out, motion, speech.samples, config.size, backdrop, still):
            progress.advance(tasks[1])
    _write_others(config, motion, start, speech)
    _tell(config, speech, console)
    return motion


def spoken(model: MsSync, face: Floats, speech: Speech, samples: int, seed: int) -> Iterator[Tensor]:
    """Let a face speak.

    Args:
        model: in evaluation mode.
        face: ``[68, 2]`` to begin with.
        speech: what it says.
        samples: how many times, each in its own way.
        seed: of all of them.

    Yields:
        ``[N, 68, 2]`` at each tick of the sound, the first being the face itself.
    """
    generator = torch.Generator().manual_seed(seed)
    ahead = model.config.look_ahead
    heard = features_and_silence(speech.samples, cast(Kind, model.config.features), ahead)
    heard = heard.unsqueeze(1).expand(-1, samples, -1, -1)  # [T + ahead, N, 4, 26]
    first = torch.from_numpy(face).expand(samples, -1, -1)
    state, _ = model.step(model.initial_state(samples), first)
    # The sound of tick 0 has moved nothing yet, as the pose there is given.
    for tick in heard[: ahead + 1]:
        state = model.listen(state, tick)
    state = model.start(state, generator)
    yield first
    for tick in heard[ahead + 1 :]:
        state, landmarks = model.advance(model.hear(state, tick), generator)
        yield landmarks


def _check_size(config: AnimateConfig, start: Start) -> None:
    size = float(head_frame(torch.from_numpy(start.landmarks)).size)
    if config.landmarks is not None and size < _SMALLEST:
        raise InputError(
            f"{config.face}: its face has a size of {size:.3g}; tracks are written in sixteenths of a pixel: "
            f"give landmarks in pixels, or a larger picture, for --landmarks (at least {_SMALLEST:.0f})"
        )


def _check_motion(motion: Floats, model: str) -> None:
    lost = ~np.isfinite(motion).all(axis=(1, 2, 3))
    if lost.any():
        raise InputError(
            f"{model}: its motion is not finite from {int(np.argmax(lost)) / TICK_HZ:.2f} s on; use another "
            "model, or train it again"
        )


def _write_others(config: AnimateConfig, motion: Floats, start: Start, speech: Speech) -> None:
    samples = motion.swapaxes(0, 1)  # [N, T, 68, 2]
    if config.landmarks is not None:
        for path, one in zip(numbered(config.landmarks, config.samples), samples, strict=True):
            write_track(path, one, speech.samples, start.size)
    if config.raster is not None:
        for path, one in zip(numbered(config.raster, config.samples), samples, strict=True):
            write_raster(path, one)


def _tell(config: AnimateConfig, speech: Speech, console: Console) -> None:
    ways = f"{config.samples} ways to speak" if config.samples > 1 else "spoken"
    left = ", the still face on the left" if config.static else ""
    console.print(f"{config.out}: {speech.ticks / TICK_HZ:.2f} s, {ways}{left}", highlight=False)
    for path in filter(None, (config.landmarks, config.raster)):
        console.print(", ".join(str(one) for one in numbered(path, config.samples)), highlight=False)
