"""Faces whose lips follow a voice, sound to go with them, and a comparison of both that needs no training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hmgen_ros.types import TICK_NS, AudioChunk

TICK_SAMPLES = 640
UPPER_LIP, LOWER_LIP = 62, 66


class EnvelopeEmbedder:
    """Holds how far lips are open against how loud it is: an embedder without weights."""

    kind = "logmel"

    def normaliser(self) -> Callable[[np.ndarray], np.ndarray]:
        return lambda tick: tick

    def faces(self, windows: np.ndarray) -> np.ndarray:
        points = windows.reshape(*windows.shape[:2], 68, 2)
        return _units(points[..., LOWER_LIP, 1] - points[..., UPPER_LIP, 1])

    def sounds(self, windows: np.ndarray) -> np.ndarray:
        return _units(windows.reshape(len(windows), 5, -1).mean(-1))


def _units(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(-1, keepdims=True)
    return (rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-6)).astype(np.float32)


def effort(ticks: int, seed: int) -> np.ndarray:
    """``[ticks]`` how hard somebody speaks, 0 to 1; another seed is another utterance."""
    noise = np.random.default_rng(seed).uniform(0.0, 1.0, ticks + 2)
    return (noise[:-2] + noise[1:-1] + noise[2:]) / 3.0


def face(efforts: np.ndarray, seed: int = 0) -> np.ndarray:
    """``[T, 68, 2]`` pixels of a face whose lips open with the efforts."""
    shape = np.random.default_rng(seed).uniform(100.0, 200.0, (68, 2))
    poses = np.repeat(shape[None], len(efforts), axis=0)
    poses[:, LOWER_LIP, 1] += 10.0 * efforts
    return poses.astype(np.float32)


def voice(efforts: np.ndarray) -> np.ndarray:
    """``[640 T]`` noise whose level follows the efforts."""
    noise = np.random.default_rng(99).standard_normal(len(efforts) * TICK_SAMPLES)
    return (
        (0.3 * noise * np.repeat(10.0 ** (2.0 * efforts - 2.0), TICK_SAMPLES)).astype(np.float32).clip(-1, 1)
    )


def chunk(start: int, samples: np.ndarray, late_ms: float = 0.0) -> AudioChunk:
    """Sound that begins ``start`` samples after the beginning and is stamped late."""
    return AudioChunk(start * TICK_NS // TICK_SAMPLES + round(late_ms * 1e6), samples, 16_000)
