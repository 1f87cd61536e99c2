"""Reads the source clips of a scene: pictures, clean voice, landmarks, and what they say about speech.

A clip is one sentence of the GRID corpus: 25 frames a second, about 3 s, beginning and ending in silence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from silero_vad import get_speech_timestamps, load_silero_vad

FPS = 25
RATE = 16_000
SAMPLES_PER_FRAME = RATE // FPS
#: Inner lip distance over outer eye corner distance below which a mouth counts as closed.
CLOSED_MOUTH = 0.03
#: Voice activity: probability to start, probability to stop, pause that is still the same utterance.
VAD_ON, VAD_OFF, VAD_PAUSE_S = 0.5, 0.35, 0.25
#: Landmarks that do not move with speech: eyes and the bridge of the nose (iBUG-68 indices).
STABLE = np.r_[27:31, 36:48]


class SceneError(ValueError):
    """The scene cannot be composed; the message names the file or field and what to do."""


@dataclass(frozen=True)
class Clip:
    """One sentence.

    Attributes:
        name: file name without suffix.
        frames: ``[T, H, W, 3]`` uint8, BGR.
        voice: ``[N]`` float32 in -1 to 1, mono, 16 kHz, sample 0 at frame 0.
        landmarks: ``[T, 68, 2]`` float32 pixels of the frames.
        speech: ``(start, end)`` seconds of the sentence within the clip.
    """

    name: str
    frames: NDArray[np.uint8]
    voice: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    speech: tuple[float, float]

    @cached_property
    def mouth(self) -> NDArray[np.float32]:
        """``[T]`` inner lip distance over outer eye corner distance."""
        return mouth_opening(self.landmarks)

    def rest_runs(self, shortest: int = 6) -> list[tuple[int, int]]:
        """Frame ranges ``[first, last]`` outside the sentence in which the mouth stays closed."""
        time = np.arange(len(self.frames)) / FPS
        silent = (time < self.speech[0] - 0.08) | (time > self.speech[1] + 0.2)
        return runs_of(silent & (self.mouth < CLOSED_MOUTH), shortest)

    def shown_range(self) -> tuple[int, int]:
        """First and last frame to show when the sentence is said, closed mouth to closed mouth if there."""
        start, end = self.speech
        before = [last for first, last in self.rest_runs(1) if last / FPS < start]
        after = [first for first, last in self.rest_runs(1) if first / FPS > end]
        first = max(before[-1] if before else 0, 0)
        last = after[0] if after else len(self.frames) - 1
        return first, last


def mouth_opening(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean inner lip distance ``[T]`` over outer eye corner distance of landmarks ``[T, 68, 2]``."""
    gap = np.linalg.norm(landmarks[:, [61, 62, 63]] - landmarks[:, [67, 66, 65]], axis=-1).mean(axis=1)
    eyes = np.linalg.norm(landmarks[:, 36] - landmarks[:, 45], axis=-1)
    return np.asarray(gap / eyes, dtype=np.float32)


def runs_of(flags: NDArray[np.bool_], shortest: int = 1) -> list[tuple[int, int]]:
    """Inclusive index ranges of at least ``shortest`` consecutive true values."""
    edges = np.flatnonzero(np.diff(np.r_[0, flags.astype(np.int8), 0]))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= shortest]


def load_scene(path: Path) -> dict[str, Any]:
    """Read a scene description; raises SceneError naming the missing field."""
    try:
        scene: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise SceneError(f"scene {path}: {error}") from error
    for key in ("title", "size", "lead_in_s", "lead_out_s", "people"):
        if key not in scene:
            raise SceneError(f"scene {path}: field '{key}' is missing")
    for i, person in enumerate(scene["people"]):
        for key in ("label", "speaker", "face_at", "eye_distance_px", "gain_bgr", "sentences", "rest"):
            if not person.get(key):
                raise SceneError(f"scene {path}: people[{i}] has no '{key}'")
    return scene


def check_files(data: Path, names: Sequence[str]) -> None:
    """Raise SceneError listing every clip or landmark file that is not in ``data``."""
    wanted = [data / "grid_video" / f"{n}.mpg" for n in names] + [
        data / "grid_tracks" / f"{n}.npz" for n in names
    ]
    missing = [str(path) for path in wanted if not path.is_file()]
    if missing:
        raise SceneError(
            f"{len(missing)} source files are missing (pass --data or set HMGEN_DATA): " + ", ".join(missing)
        )


def load_clip(data: Path, name: str) -> Clip:
    """Read one clip from ``data/grid_video`` and ``data/grid_tracks``; SceneError names a damaged file."""
    path = data / "grid_video" / f"{name}.mpg"
    try:
        frames, voice = _decode(path)
    except av.error.FFmpegError as error:
        raise SceneError(f"{path}: damaged ({error}); leave this clip out of the scene") from error
    with np.load(data / "grid_tracks" / f"{name}.npz") as track:
        landmarks = (track["lm"] / float(track["scale"])).astype(np.float32)
        if len(landmarks) != len(frames) or not track["valid"].all():
            raise SceneError(f"{path}: {len(frames)} frames but {int(track['valid'].sum())} valid landmarks")
    return Clip(name, frames, voice, landmarks, find_speech(voice, name))


def _decode(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    with av.open(str(path)) as file:
        frames = np.stack([f.to_ndarray(format="bgr24") for f in file.decode(video=0)]).astype(np.uint8)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(str(path)) as file:
        blocks = [out for block in file.decode(audio=0) for out in resampler.resample(block)]
        blocks += resampler.resample(None)
    return frames, np.concatenate([b.to_ndarray()[0] for b in blocks]).astype(np.float32)


@lru_cache(maxsize=1)
def _vad() -> Any:
    return load_silero_vad(onnx=True)


def find_speech(voice: NDArray[np.float32], name: str) -> tuple[float, float]:
    """Seconds ``(start, end)`` of the one sentence in a clean voice.

    Silero-vad with hysteresis on the single voice, before any mixing; a second of silence is put in front
    because the detector needs context, and inner pauses up to 0.25 s belong to the sentence.
    """
    padded = np.concatenate([np.zeros(RATE, np.float32), voice, np.zeros(RATE // 2, np.float32)])
    found = get_speech_timestamps(
        torch.from_numpy(padded),
        _vad(),
        threshold=VAD_ON,
        neg_threshold=VAD_OFF,
        sampling_rate=RATE,
        min_silence_duration_ms=int(VAD_PAUSE_S * 1000),
        speech_pad_ms=0,
    )
    if not found:
        raise SceneError(f"clip {name}: no speech found in it; leave this clip out of the scene")
    return found[0]["start"] / RATE - 1.0, min(found[-1]["end"], RATE + len(voice)) / RATE - 1.0
