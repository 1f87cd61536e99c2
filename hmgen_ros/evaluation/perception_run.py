"""One pass of the node's perception over a recording, with what it cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perceiving import PerceptionStream, load_perception
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.streams.source import MediaItem
from hmgen_ros.streams.video_file import FileSource
from hmgen_ros.types import Frame, Scene

#: Stamp of a recording's first picture or sound.
BASE_NS = NS_PER_S


@dataclass(frozen=True, slots=True)
class Seen:
    """One person at one tick.

    Attributes:
        person_id: as perception named them.
        origin: ``[2]`` middle of the outer eye corners, pixels; None while the face is hidden.
        landmarks: ``[68, 2]`` pixels; None while the face is hidden.
        voice: probability of speaking.
        actions: bit mask.
    """

    person_id: str
    origin: NDArray[np.float32] | None
    landmarks: NDArray[np.float32] | None
    voice: float
    actions: int


@dataclass
class Pass:
    """What perception made of a recording.

    Attributes:
        times: seconds of the ticks since the start of the recording.
        voice: probability of any voice, by tick.
        people: who was seen, by tick.
        cpu_ms: CPU time of perception in all, of all threads, without decoding.
        stage_cpu_ms: CPU time by stage in all.
        latency_ms: wall-clock time of a run of each stage, median and 99th percentile.
        counts: what perception counted.
    """

    times: list[float] = field(default_factory=list)
    voice: list[float] = field(default_factory=list)
    people: list[tuple[Seen, ...]] = field(default_factory=list)
    cpu_ms: float = 0.0
    stage_cpu_ms: dict[str, float] = field(default_factory=dict)
    latency_ms: dict[str, tuple[float, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, scene: Scene) -> None:
        """Take in one tick."""
        self.times.append((scene.stamp_ns - BASE_NS) / NS_PER_S)
        self.voice.append(scene.voice_activity)
        self.people.append(
            tuple(
                Seen(
                    p.person_id,
                    None if p.face is None else p.face.origin_px,
                    None if p.face is None else p.face.landmarks_px,
                    p.voice_activity,
                    p.actions,
                )
                for p in scene.people
            )
        )


Change = Callable[[Iterable[MediaItem]], Iterator[MediaItem]]
Report = Callable[[float], None]


def perceive(
    media: Path,
    config: PerceptionConfig,
    change: Change = iter,
    report: Report = lambda seconds: None,
    seconds: float | None = None,
) -> Pass:
    """Run perception over a recording as the node does, as fast as it goes.

    Args:
        media: the recording.
        config: settings; with one worker all work is done, and its CPU time counted, in this thread.
        change: makes pictures and sound worse.
        report: is told how many seconds have been perceived.
        seconds: stop after so many.

    Raises:
        hmgen_ros.streams.source.MediaError: the recording cannot be read.
        ValueError, RuntimeError, OSError: a model of perception is missing or damaged.
    """
    found = Pass()
    perception = load_perception(config, lambda cause, text: print(text, file=sys.stderr))
    try:
        with FileSource(media, base_ns=BASE_NS, ahead=0) as source:
            _play(PerceptionStream(perception), change(source), found, report, seconds)
        found.stage_cpu_ms = perception.times.cpu_ms()
        windows = {name: perception.times.window(name) for name in found.stage_cpu_ms}
        found.latency_ms = {name: (w.percentile(50), w.percentile(99)) for name, w in windows.items()}
        found.counts = dict(perception.counts.items())
    finally:
        perception.close()
    return found


def _play(
    stream: PerceptionStream,
    items: Iterator[MediaItem],
    found: Pass,
    report: Report,
    seconds: float | None,
) -> None:
    before, inside = _cpu_s(), 0.0
    for item in items:
        started = time.thread_time()
        scene = _take(stream, item)
        inside += time.thread_time() - started
        if scene is None:
            continue
        found.add(scene)
        report(found.times[-1])
        if seconds is not None and found.times[-1] >= seconds:
            break
    process, thread = (after - start for after, start in zip(_cpu_s(), before, strict=True))
    # What other threads did is perception's: this one decodes.
    found.cpu_ms = (process - thread + inside) * 1e3


def _cpu_s() -> tuple[float, float]:
    """CPU seconds of this process and of this thread."""
    return time.process_time(), time.thread_time()


def _take(stream: PerceptionStream, item: MediaItem) -> Scene | None:
    """Sound is heard; a picture that fills a tick becomes a scene."""
    if isinstance(item, Frame):
        return stream.perceive(item)
    stream.hear(item.stamp_ns, item.samples, item.sample_rate)
    return None
