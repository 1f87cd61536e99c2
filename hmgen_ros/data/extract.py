"""``hmgen extract``: folders of video to landmark tracks in the format that everything here reads.

Every clip is done by itself, in as many processes as asked for. Its tracks are written first and then the
record ``records/<stem>.json`` that says so: a run that was stopped goes on with the clips that have none. A
clip that cannot be read, or that has no face for long enough, is listed with the reason in ``failed.csv``,
and the run goes on. Where a clip takes its process down with it, that clip is found and listed, too.

| file | holds |
|---|---|
| ``<group>_tracks/<stem>.npz`` and ``.flac`` | a track and its sound (:mod:`hmgen_ros.data.track_files`) |
| ``tracks_manifest.csv`` | the tracks, a line each |
| ``extract.json`` | the settings (:mod:`hmgen_ros.data.extract_settings`): with others a run is refused |
| ``failed.csv`` | the clips without tracks, and why |
| ``extract.log`` | what was done to each clip, and what was lost in it |
"""

from __future__ import annotations

import csv
import json
import logging
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hmgen_ros.data.clip_tracks import tracks_in
from hmgen_ros.data.corpora import LAYOUTS, Clip, Layout, clips_of
from hmgen_ros.data.extract_settings import RECORDS, claim
from hmgen_ros.data.track_files import write_track_file
from hmgen_ros.data.tracks import MANIFEST
from hmgen_ros.perception.backends import BACKEND_MODULES, LandmarkBackend, create_backend
from hmgen_ros.streams.source import MediaError
from hmgen_ros.types import TICK_HZ, Counts
from hmgen_ros.types.sound import SOUND_RATE

#: What decides what the tracks are; where they lie and how many work on them does not.
_SETTINGS = ("layout", "shortest", "faces", "backend", "licence")
_COLUMNS = (
    "half",
    "group",
    "stem",
    "av_lag_frames",
    "frames",
    "sec",
    "audio",
    "speaker",
    "source",
    "licence",
)
#: Of the sound, as in the tracks that are shipped for tests.
_FLAC_BLOCK = 4096


@dataclass(frozen=True)
class ExtractConfig:
    """Settings of the extraction.

    Attributes:
        videos: folder of the corpus.
        out: folder of the tracks; one that a run was stopped in goes on.
        layout: how the corpus lies: ``plain`` (any video in the folder or below), ``grid``, ``confer``,
            ``voxceleb2``, ``hdtf`` or ``lrs2``.
        workers: processes, at least 1.
        shortest: valid ticks (0.04 s) that a track has at least.
        faces: faces of one picture that are followed, 1 to 12.
        backend: of the landmarks.
        shard: ``I/N`` does every N-th clip beginning with the I-th (from 1), so that N machines share the
            work; each writes into a folder of its own, or all into one.
        licence: of the corpus, for the manifest.
        retry: try the clips again that failed before.
        force: where ``out`` holds tracks of other settings, remove them and extract all of it anew.

    Raises:
        ValueError: a setting is out of its range; says which.
    """

    videos: Path
    out: Path
    layout: Layout = "plain"
    workers: int = 1
    shortest: int = 42
    faces: int = 6
    backend: str = "mesh"
    shard: str = "1/1"
    licence: str = "unknown"
    retry: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"no layout {self.layout!r}; one of: {', '.join(LAYOUTS)}")
        if self.backend not in BACKEND_MODULES:
            raise ValueError(f"no landmark backend {self.backend!r}; one of: {', '.join(BACKEND_MODULES)}")
        if self.workers < 1 or self.shortest < 3 or not 1 <= self.faces <= 12:
            raise ValueError(
                "workers must be at least 1, shortest at least 3 and faces 1 to 12, got "
                f"{self.workers}, {self.shortest} and {self.faces}"
            )
        self.part()

    def part(self) -> tuple[int, int]:
        """First clip (from 0) and step of this shard."""
        first, _, count = self.shard.partition("/")
        if not (first.isdigit() and count.isdigit() and 1 <= int(first) <= int(count)):
            raise ValueError(f"shard must be I/N with 1 <= I <= N, got {self.shard!r}")
        return int(first) - 1, int(count)


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one clip.

    Attributes:
        clip: its stem.
        error: why it has no tracks; empty where it has.
        tracks: a line of the manifest each.
        counts: what was lost in it.
    """

    clip: str
    error: str
    tracks: list[dict[str, Any]]
    counts: dict[str, int]


def extract(config: ExtractConfig, console: Console | None = None) -> dict[str, int]:
    """Extract what is not extracted yet; returns how many ``clips``, ``tracks``, ``failed`` there are now.

    Raises:
        hmgen_ros.data.extract_settings.ExtractError: ``out`` holds tracks of other settings; says which.
        hmgen_ros.data.ami_raster.CorpusError: the folder holds no video, or does not lie as the layout says.
        hmgen_ros.perception.mesh_files.ModelFileError: the landmark backend's package or weights are missing.
    """
    console = console or Console()
    first, step = config.part()
    clips = clips_of(config.videos, config.layout)[first::step]
    claim(config.out, {name: getattr(config, name) for name in _SETTINGS}, config.force)
    log = _log(config.out)
    done = {clip.stem: record for clip in clips if (record := _read(config, clip)) is not None}
    left = [clip for clip in clips if clip.stem not in done]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("extracting", total=len(clips), completed=len(done))
        for record in _results(config, left):
            _write_record(config, record)
            log.info("%s: %s", record.clip, record.error or f"{len(record.tracks)} tracks, {record.counts}")
            if record.error:
                console.print(f"skipped {record.clip}: {record.error}", highlight=False)
            progress.advance(bar)
    for handler in log.handlers:
        handler.close()
    log.handlers.clear()
    found = _summarise(config)
    console.print(
        f"{found['clips']} clips: {found['tracks']} tracks in {config.out / MANIFEST}, "
        f"{found['failed']} clips without any in {config.out / 'failed.csv'}",
        highlight=False,
    )
    return found


def one_clip(clip: Clip, config: ExtractConfig, backend: LandmarkBackend) -> Record:
    """Extract one clip and write its tracks; what is wrong with it is in the record."""
    counts = Counts()
    try:
        found = tracks_in(clip.video, backend, config.shortest, config.faces, counts)
    except (MediaError, ValueError, OSError, av.FFmpegError) as error:
        return Record(clip.stem, f"{type(error).__name__}: {error}", [], dict(counts.items()))
    if not found:
        text = f"no face is in view for {config.shortest} ticks ({config.shortest / TICK_HZ:.2f} s)"
        return Record(clip.stem, text, [], dict(counts.items()))
    folder = config.out / f"{clip.group}_tracks"
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, one in enumerate(found):
        stem = clip.stem if len(found) == 1 else f"{clip.stem}_f{number}"
        # The sound first: a track that is there is complete.
        if one.sound is not None:
            write_flac(folder / f"{stem}.flac", one.sound)
        write_track_file(folder / f"{stem}.npz", one.track)
        ticks = len(one.track.valid)
        # Another face of a clip is another speaker, but in corpora of single speakers.
        speaker = clip.speaker if number == 0 else f"{clip.speaker}_f{number}"
        values = ("dev", clip.group, stem, 0, ticks, round(ticks / TICK_HZ, 3), int(one.sound is not None))
        lines.append(dict(zip(_COLUMNS, (*values, speaker, clip.source, config.licence), strict=True)))
    return Record(clip.stem, "", lines, dict(counts.items()))


def write_flac(path: Path, samples: NDArray[np.float32]) -> None:
    """Write ``[S]`` mono sound of 16 kHz, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    whole = (samples.clip(-1.0, 1.0) * 32767.0).round().astype(np.int16)
    with av.open(str(partial), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SOUND_RATE, layout="mono")
        for start in range(0, len(whole), _FLAC_BLOCK):
            block = np.ascontiguousarray(whole[None, start : start + _FLAC_BLOCK])
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = SOUND_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    partial.replace(path)


_backend: LandmarkBackend | None = None


def _start_worker(backend: str) -> None:
    global _backend
    # One thread a process: the processes share the cores.
    cv2.setNumThreads(1)
    _backend = create_backend(backend)


def _work(clip: Clip, config: ExtractConfig) -> Record:
    assert _backend is not None
    return one_clip(clip, config, _backend)


def _results(config: ExtractConfig, clips: list[Clip]) -> Iterator[Record]:
    """The records of clips as they are done."""
    if config.workers == 1 or len(clips) <= 1:
        backend = create_backend(config.backend)
        try:
            yield from (one_clip(clip, config, backend) for clip in clips)
        finally:
            backend.close()
        return
    left = list(reversed(clips))
    while left:
        broken: list[Clip] = []
        with _pool(config, config.workers) as pool:
            running: dict[Future[Record], Clip] = {}
            while left or running:
                while left and len(running) < 2 * config.workers and not broken:
                    clip = left.pop()
                    running[pool.submit(_work, clip, config)] = clip
                for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                    clip = running.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        broken.append(clip)
                if broken and not running:
                    break
        # A clip has killed a process, and took those beside it along: each of them once more, alone.
        for clip in broken:
            yield _alone(config, clip)


def _alone(config: ExtractConfig, clip: Clip) -> Record:
    with _pool(config, 1) as pool:
        try:
            return pool.submit(_work, clip, config).result()
        except BrokenProcessPool:
            return Record(clip.stem, "its process died while it was read; is the file damaged?", [], {})


def _pool(config: ExtractConfig, workers: int) -> ProcessPoolExecutor:
    # Not forked: the libraries that decode and infer have threads.
    return ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(config.backend,)
    )


def _path(config: ExtractConfig, clip: str) -> Path:
    return config.out / RECORDS / f"{clip}.json"


def _read(config: ExtractConfig, clip: Clip) -> Record | None:
    """The record of a clip that is done: its tracks are there, or it failed and is not tried again."""
    try:
        record = Record(**json.loads(_path(config, clip.stem).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if record.error:
        return None if config.retry else record
    there = all((config.out / f"{t['group']}_tracks" / f"{t['stem']}.npz").is_file() for t in record.tracks)
    return record if there else None


def _write_record(config: ExtractConfig, record: Record) -> None:
    path = _path(config, record.clip)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
    partial.replace(path)


def _summarise(config: ExtractConfig) -> dict[str, int]:
    """Write the manifest and the list of failures from all records, those of other shards included."""
    records = []
    for path in sorted((config.out / RECORDS).glob("*.json")):
        records.append(Record(**json.loads(path.read_text(encoding="utf-8"))))
    lines = [line for record in records for line in record.tracks]
    failed = [{"clip": record.clip, "reason": record.error} for record in records if record.error]
    _write_csv(config.out / MANIFEST, _COLUMNS, lines)
    _write_csv(config.out / "failed.csv", ("clip", "reason"), failed)
    return {"clips": len(records), "tracks": len(lines), "failed": len(failed)}


def _write_csv(path: Path, columns: tuple[str, ...], lines: list[dict[str, Any]]) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)
    partial.replace(path)


def _log(out: Path) -> logging.Logger:
    log = logging.getLogger(f"hmgen_ros.extract.{out}")
    log.setLevel(logging.INFO)
    log.propagate = False
    handler = logging.FileHandler(out / "extract.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    return log
