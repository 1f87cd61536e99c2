"""What ``hmgen run`` does: play a source through all nodes, show it, sum it up."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import rclpy
import torch
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live
from rich.progress import Progress, TimeElapsedColumn
from rich.table import Table

from hmgen_ros.config import OptionError, RunOptions
from hmgen_ros.nodes.media_node import source_path
from hmgen_ros.nodes.process import (
    ROS_SETUP_ERRORS,
    ended_by_signals,
    leave,
    one_line,
    prepare_process,
)
from hmgen_ros.nodes.single_process import Overrides, Pipeline, Spinner
from hmgen_ros.streams.media import open_media
from hmgen_ros.streams.microphone import MicrophoneError, list_devices
from hmgen_ros.viewing.collector import TickView
from hmgen_ros.viewing.terminal import RunStatus, render

#: Simulated time of a file that is played faster than real time begins here: 0 would mean "no stamp".
_FAST_START_S = 1.0


class StartError(Exception):
    """The nodes could not be brought up."""


def _overrides(options: RunOptions, live: bool) -> Overrides:
    # Whoever types a command is told at once that a device is missing; a robot's nodes wait for it.
    waits = {"wait_for_device": False}
    media: dict[str, Any] = {"source": options.source, "loop": options.loop, "exit_at_end": True, **waits}
    overrides: Overrides = {"media_node": media}
    if options.fast:
        media |= {"pace": "consumed", "publish_clock": True, "start_time_s": _FAST_START_S}
    seed = options.seed if options.seed is not None or live or options.params_file else 0
    if seed is not None:
        overrides["perception_node"] = {"seed": seed}
        overrides["interaction_node"] = {"seed": seed}
        overrides["head_motion_node"] = {"seed": seed}
    if options.record is not None:
        overrides["recorder_node"] = {"output": str(options.record)}
    if options.microphone is not None:
        media["sound"] = False
        device = "" if options.microphone == "default" else options.microphone
        overrides["microphone_node"] = {"device": device, **waits}
    return overrides


def _ros_arguments(options: RunOptions) -> list[str]:
    arguments = ["--ros-args"]
    if options.params_file is not None:
        arguments += ["--params-file", str(options.params_file)]
    if options.namespace:
        arguments += ["-r", f"__ns:=/{options.namespace.strip('/')}"]
    return arguments if len(arguments) > 1 else []


class Run:
    """One run from the first frame to the summary."""

    def __init__(self, options: RunOptions, console: Console) -> None:
        """Check the options and probe the source.

        Raises:
            OptionError, hmgen_ros.streams.media.MediaError: an option or the source cannot be used.
        """
        options.check()
        self._options = options
        self._console = console
        with open_media(source_path(options.source)) as source:
            self._live_source, self._duration_s, self._name = source.live, source.duration_s, source.name
            if not source.has_video:
                raise OptionError(f"{source.name}: no pictures in it; hmgen run needs a video or a camera")
        if options.fast and source.live:
            raise OptionError("--fast needs a file; a live camera has its own pace")
        self._ended = threading.Event()
        self._started = self._finished = 0.0
        self._first_stamp: int | None = None
        self._position_s = 0.0
        self._frames = 0

    def execute(self) -> dict[str, Any]:
        """Play to the end; returns the figures of the run.

        Raises:
            StartError: a node could not be brought up; its log line says why.
        """
        prepare_process()
        # One thread a model: the 25 Hz of a small network gain nothing from more, and two cores lose.
        torch.set_num_threads(1)
        try:
            return self._play(self._build())
        finally:
            leave()

    def _build(self) -> Pipeline:
        options = self._options
        try:
            rclpy.init(args=_ros_arguments(options), signal_handler_options=SignalHandlerOptions.NO)
            overrides, microphone = _overrides(options, self._live_source), self._wants_microphone()
            return Pipeline(overrides, True, microphone, options.record is not None, options.fast)
        except ROS_SETUP_ERRORS as error:
            raise StartError(one_line(error)) from error

    def _play(self, pipeline: Pipeline) -> dict[str, Any]:
        assert pipeline.media is not None
        pipeline.media.on_end = self._ended.set
        pipeline.perception.people.listeners.append(lambda scene: self._observe(scene.stamp_ns))
        with ended_by_signals(self._ended), Spinner(pipeline.nodes):
            if not pipeline.bring_up():
                pipeline.shut_down()
                raise StartError("a node could not start; its log line above says why")
            self._started = time.monotonic()
            self._watch(pipeline)
            pipeline.stop_sources()
            self._finished = time.monotonic()
            figures = self._figures(pipeline)
            pipeline.shut_down()
        return figures

    def _wants_microphone(self) -> bool:
        """Whether to listen: if asked to, or beside a camera if there is anything to listen with."""
        if self._options.microphone is not None or not self._live_source:
            return self._options.microphone is not None
        try:
            return bool(list_devices())
        except MicrophoneError as error:
            self._console.print(f"[yellow]without sound: {error}[/yellow]")
            return False

    def _observe(self, stamp_ns: int) -> None:
        if self._first_stamp is None:
            self._first_stamp, self._started = stamp_ns, time.monotonic()
        self._frames += 1
        self._position_s = (stamp_ns - self._first_stamp) / 1e9
        if self._options.duration is not None and self._position_s >= self._options.duration:
            self._ended.set()

    def _watch(self, pipeline: Pipeline) -> None:
        if self._options.headless:
            self._show_progress()
            return
        with Live(console=self._console, refresh_per_second=5, auto_refresh=False) as live:
            while not self._ended.wait(0.2):
                view = pipeline.annotator.newest or TickView()
                live.update(render(view, self._status(pipeline), self._console.width), refresh=True)

    def _show_progress(self) -> None:
        """A progress bar for people, nothing in a log file."""
        if not self._console.is_terminal:
            self._ended.wait()
            return
        total = self._options.duration or (None if self._options.loop else self._duration_s)
        columns = (*Progress.get_default_columns(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(Path(self._name).name, total=total)
            while not self._ended.wait(0.2):
                progress.update(task, completed=self._position_s)

    def _dropped(self, pipeline: Pipeline) -> int:
        """Frames of the source from which no prediction came although the 25 Hz clock wanted them."""
        counts = pipeline.counts()
        lost = ("late_dropped", "camera_dropped", "duplicate", "out_of_order", "future", "unstamped")
        return sum(counts.get(cause, 0) for cause in (*lost, "internal_error"))

    def _rate_hz(self) -> float:
        end = self._finished or time.monotonic()
        # n frames span n - 1 periods.
        return (self._frames - 1) / max(end - self._started, 1e-9) if self._frames > 1 else 0.0

    def _status(self, pipeline: Pipeline) -> RunStatus:
        return RunStatus(
            source=Path(self._name).name,
            frames=self._frames,
            dropped=self._dropped(pipeline),
            rate_hz=self._rate_hz(),
            latency_p50_ms=pipeline.latency_ms.percentile(50),
            latency_p99_ms=pipeline.latency_ms.percentile(99),
            position_s=self._position_s,
            duration_s=None if self._options.loop else self._duration_s,
            stages_ms=pipeline.stages_ms(),
            counts=pipeline.counts(),
            recording=str(self._options.record) if self._options.record else None,
        )

    def _figures(self, pipeline: Pipeline) -> dict[str, Any]:
        def rounded(value: float) -> float | None:
            return None if math.isnan(value) else round(value, 3)

        return {
            "source": self._name,
            "frames": self._frames,
            "dropped": self._dropped(pipeline),
            "rate_hz": round(self._rate_hz(), 3),
            "people": len(pipeline.people_seen),
            "latency_ms": {f"p{q}": rounded(pipeline.latency_ms.percentile(q)) for q in (50, 99)},
            "rss_mb": round(psutil.Process().memory_info().rss / 1e6, 1),
            "stages_ms": {name: rounded(ms) for name, ms in pipeline.stages_ms().items()},
            "topics": pipeline.topics(),
            "counts": pipeline.counts(),
        }


def summary(figures: dict[str, Any]) -> Table:
    """The figures of a run as a table for the terminal."""
    table = Table(title="run", show_header=False)
    latency = figures["latency_ms"]
    for name, value in (
        ("frames", f"{figures['frames']} ({figures['dropped']} dropped)"),
        ("rate", f"{figures['rate_hz']:.2f} Hz"),
        ("people", str(figures["people"])),
        ("latency", f"p50 {latency['p50']} ms, p99 {latency['p99']} ms"),
        ("memory", f"{figures['rss_mb']:.0f} MB"),
        ("published", ", ".join(f"{topic} {count}" for topic, count in figures["topics"].items() if count)),
        (
            "noticed",
            ", ".join(f"{cause} {count}" for cause, count in sorted(figures["counts"].items())) or "nothing",
        ),
    ):
        table.add_row(name, value)
    return table


def run(options: RunOptions, console: Console) -> dict[str, Any]:
    """Play a source through all nodes and report.

    Raises:
        OptionError, StartError, hmgen_ros.streams.media.MediaError: it could not begin.
    """
    figures = Run(options, console).execute()
    console.print(summary(figures))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return figures
