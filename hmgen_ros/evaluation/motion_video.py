"""``hmgen render motion``: several futures of one pose beside what the head did, as an mp4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from hmgen_ros.evaluation.face_film import COLOURS, WHITE
from hmgen_ros.evaluation.motion_raster import RasterSettings, raster
from hmgen_ros.evaluation.result_file import check_writable
from hmgen_ros.evaluation.track_choice import check_split, choose_tracks, what_is_left
from hmgen_ros.generators import head_forecaster, motion_models
from hmgen_ros.generators.head_frame import head_frame, to_frame
from hmgen_ros.generators.interface import SEED_LIMIT, MotionPredictor
from hmgen_ros.types import TICK_HZ, TICK_NS
from hmgen_ros.viewing.video_writer import VideoWriter

_SETTINGS = RasterSettings(canvas=256, face=62.0, lines=True)
#: White on top of the colours is what is real.
#: Ticks drawn at once; a film of an hour does not fit into memory as a whole.
_AT_ONCE = 250
#: Longest film.
_LONGEST_S = 3600.0
_COLOURS, _REAL = np.array(COLOURS, np.float32), np.array(WHITE, np.float32)


@dataclass(frozen=True)
class RenderMotionConfig:
    """Settings of the film.

    Attributes:
        data: folder of tracks that the pose is taken from.
        out: the film, an ``.mp4``.
        model: a shipped generator, or the path of a model file (a run's ``best.safetensors``).
        split: of the tracks: ``train``, ``validation``, ``test``, ``all``, or ``held_out``: the test part
            where there are speakers that the shipped models were trained on, else all.
        seconds: length of the film, above 0 and at most 3600.
        samples: futures, 1 to 8.
        seed: of the pose that is taken and of the futures, at least 0 and below 2⁶³.
        device: torch device.

    Raises:
        ValueError: a setting is out of its range, or there is no such model or split.
    """

    data: Path
    out: Path
    model: str = head_forecaster.DEFAULT_MOTION_PREDICTOR
    split: str = "held_out"
    seconds: float = 8.0
    samples: int = 3
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        fine = 0.0 < self.seconds <= _LONGEST_S and 1 <= self.samples <= 8
        if not fine or not 0 <= self.seed < SEED_LIMIT:
            raise ValueError(
                f"seconds must be above 0 and at most {_LONGEST_S:.0f}, samples 1 to 8 and seed at least 0 "
                f"and below 2^63, got {self.seconds}, {self.samples}, {self.seed}"
            )
        check_split(self.split)
        if self.model not in head_forecaster.MOTION_PREDICTORS and not Path(self.model).is_file():
            known = ", ".join(head_forecaster.MOTION_PREDICTORS)
            raise ValueError(f"no head-motion predictor and no file {self.model!r}; there are {known}")
        if self.out.suffix.lower() != ".mp4":
            raise ValueError(f"{self.out} must end in .mp4, which is the format it is written in")


@torch.inference_mode()
def render(config: RenderMotionConfig, console: Console | None = None) -> Path:
    """Write the film; returns its path.

    The left picture, in white, is the head that the pose was taken from; it ends where its track ends.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged.
        ValueError: there is no track in the split, none is long enough, or the film could not be written.
        hmgen_ros.generators.weights.WeightsError: the model file is missing or damaged.
    """
    console = console or Console()
    check_writable(config.out)
    ticks = max(1, round(config.seconds * TICK_HZ))
    choice = choose_tracks(config.data, config.split)
    console.print(str(choice), highlight=False)
    corpus = choice.corpus()
    segments = corpus.segments
    if not segments:
        raise ValueError(
            f"no piece of a track in {config.data} is long enough to be shown: {what_is_left(corpus)}"
        )
    # Of tracks that are long enough for the film if there are any.
    whole = [s for s in segments if len(s.landmarks) > ticks] or segments
    segment = whole[config.seed % len(whole)]
    real = torch.from_numpy(segment.landmarks[: ticks + 1])
    model = load(config.model, config.device)
    start = real[:1].to(config.device).expand(config.samples, -1, -1)
    state, _ = model.step(model.initial_state(config.samples), start)
    generator = torch.Generator(device=config.device).manual_seed(config.seed)
    future = model.rollout(state, ticks, generator).cpu()  # [T, S, 68, 2]
    frame = head_frame(real[0])
    pictures = _film(to_frame(real[1:], frame), to_frame(future, frame))
    with VideoWriter(config.out, sample_rate=None) as writer:
        for tick, picture in enumerate(pictures):
            writer.add_image(picture, tick * TICK_NS)
    console.print(f"{config.out}: {segment.track.name}, left as it was, then {config.samples} futures")
    return config.out


def load(model: str, device: str) -> MotionPredictor[Any]:
    """A shipped generator by name, or one of a file."""
    if model in head_forecaster.MOTION_PREDICTORS:
        return head_forecaster.MOTION_PREDICTORS[model](device).eval()
    return motion_models.read(Path(model), device)


def _film(real: Tensor, future: Tensor) -> Iterator[NDArray[np.uint8]]:
    """``[H, W, 3]`` pictures of ``[T', 68, 2]`` real poses, ``T'`` at most ``T``, and ``[T, S, 68, 2]``."""
    side = _SETTINGS.canvas
    for first in range(0, len(future), _AT_ONCE):
        here, shown = future[first : first + _AT_ONCE], real[first : first + _AT_ONCE]
        panels = [np.zeros((len(here), side, side, 3), np.uint8)]
        if len(shown):
            panels[0][: len(shown)] = _coloured(shown, _REAL)
        panels += [_coloured(sample, _COLOURS) for sample in here.unbind(1)]
        yield from np.concatenate(panels, axis=2)


def _coloured(poses: Tensor, colours: NDArray[np.float32]) -> NDArray[np.uint8]:
    drawn = raster(poses, _SETTINGS).numpy()  # [T, 3, H, W]
    picture: NDArray[np.uint8] = np.einsum("tchw,cx->thwx", drawn, colours).clip(0, 255).astype(np.uint8)
    return picture
