"""The first seconds of the bundled recording, for the tests of perception."""

from __future__ import annotations

import json
from functools import cache

import av
import numpy as np

from hmgen_ros.resources import resource
from hmgen_ros.types import TICK_NS, AudioChunk, Frame

RATE = 16_000


@cache
def frames(count: int) -> tuple[np.ndarray, ...]:
    """The first images, ``[H, W, 3]`` BGR."""
    with av.open(str(resource("recordings/three_people.mp4"))) as container:
        images = container.decode(video=0)
        return tuple(next(images).to_ndarray(format="bgr24") for _ in range(count))


@cache
def sound(seconds: int) -> np.ndarray:
    """The first seconds of sound, 16 kHz mono."""
    parts: list[np.ndarray] = []
    with av.open(str(resource("recordings/three_people.mp4"))) as container:
        resampler = av.AudioResampler("flt", "mono", RATE)
        for frame in container.decode(audio=0):
            parts += [f.to_ndarray()[0] for f in resampler.resample(frame)]
            if sum(map(len, parts)) >= seconds * RATE:
                break
    return np.concatenate(parts)[: seconds * RATE].astype(np.float32)


def truth() -> dict:
    """What is known about the recording."""
    return json.loads(resource("recordings/three_people.json").read_text())


def chunk(start: int, samples: np.ndarray) -> AudioChunk:
    """Sound that begins ``start`` samples after the beginning."""
    return AudioChunk(start * 1_000_000_000 // RATE, samples, RATE)


def play(perception, images, samples=None, ahead_s=0.04, size=640, begin=0) -> list:
    """Feed images from tick ``begin`` on, and the sound up to ``ahead_s`` after each; returns the scenes."""
    scenes, position, first = [], 0, begin * RATE // 25
    for i, image in enumerate(images):
        while samples is not None and position < len(samples) and position / RATE < i / 25 + ahead_s:
            perception.push_audio(chunk(first + position, samples[position : position + size]))
            position += size
        tick = begin + i
        scenes.append(perception.process(Frame(tick * TICK_NS, image), tick, reset=tick == 0))
    return scenes
