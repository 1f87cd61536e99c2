"""``hmgen evaluate sync``: how well a face is in time with a voice, at four time scales (thesis 5.4).

Scores any file of landmarks, of whatever program, against any sound; or the shipped speech-driven generators
on any folder of tracks with sound. The syncer that measures is another one than those that generators are
trained with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hmgen_ros.data.speech_tracks import speech_segments
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_scores import NotFinite
from hmgen_ros.evaluation.result_file import check_writable, without_nan, write_result
from hmgen_ros.evaluation.speech_reference import FEW, SpeechReference
from hmgen_ros.evaluation.speech_scores import real_scores, score_speaker, static_scores
from hmgen_ros.evaluation.sync_files import score_file
from hmgen_ros.evaluation.track_choice import check_split, choose_tracks, cleaned_text, what_is_left
from hmgen_ros.generators import weights
from hmgen_ros.generators.interface import SEED_LIMIT
from hmgen_ros.generators.speech_models import (
    DEFAULT_SPEECH_GENERATOR,
    SPEECH_GENERATORS,
    load_speech_generator,
)
from hmgen_ros.generators.syncer import FACE_WINDOW, LEVELS, SyncerPyramid
from hmgen_ros.types import TICK_HZ

#: The shipped syncer that no generator was trained with.
METRIC_SYNCER = "metric_syncer"


@dataclass(frozen=True)
class EvaluateSyncConfig:
    """Settings of the evaluation.

    Attributes:
        data: folder of tracks with sound, to score the shipped generators on.
        landmarks: instead of it, a landmark track, or an ``.npy`` or ``.npz`` with one array ``[T, 68, 2]``
            of iBUG-68 landmarks at 25 Hz.
        audio: a file with the sound that belongs to them, of any format and rate; a video will do.
        json: file for the results; none is written without it.
        syncer: name of a shipped syncer, or a ``.safetensors`` file of one.
        split: of ``data``: ``train``, ``validation``, ``test``, ``all``, or ``held_out``: the test part where
            there are speakers that the shipped models were trained on, else all; give ``test`` where you
            trained on these tracks yourself.
        models: names of generators; all by default. The shipped default always takes part.
        sequences: at most so many sequences of ``data`` are spoken, at least 8.
        reels: longer stretches of speech that dynamics are compared on, at least 8.
        seed: of the futures, at least 0 and below 2⁶³.
        device: torch device of the generators.
        threads: of the CPU.

    Raises:
        ValueError: a setting is out of its range, or there is neither a folder nor a pair of files.
    """

    data: Path | None = None
    landmarks: Path | None = None
    audio: Path | None = None
    json: Path | None = None
    split: str = "held_out"
    models: tuple[str, ...] = ()
    sequences: int = 200
    reels: int = 200
    seed: int = 0
    device: str = "cpu"
    syncer: str = METRIC_SYNCER
    threads: int = 1

    def __post_init__(self) -> None:
        if (self.data is None) == (self.landmarks is None or self.audio is None):
            raise ValueError("give --data FOLDER, or both --landmarks FILE and --audio FILE")
        if min(self.sequences, self.reels) < 8 or not 0 <= self.seed < SEED_LIMIT or self.threads < 1:
            raise ValueError(
                "sequences and reels must be at least 8, seed at least 0 and below 2^63, and threads at "
                f"least 1, got {self.sequences}, {self.reels}, {self.seed} and {self.threads}"
            )
        check_split(self.split)
        if unknown := [name for name in self.models if name not in SPEECH_GENERATORS]:
            raise ValueError(f"no speech generator {unknown[0]!r}; one of: {', '.join(SPEECH_GENERATORS)}")


def evaluate_sync(config: EvaluateSyncConfig, console: Console | None = None) -> dict[str, Any]:
    """Score one file, or the generators on a folder; writes, shows and returns the results.

    Returns:
        Of a folder ``default``, ``models`` (scores by name, see :mod:`hmgen_ros.evaluation.speech_scores`;
        ``real``, ``static`` and ``shuffled``, the default that hears other sentences, among them), ``data``
        and ``settings``; of a file ``landmarks``, ``audio``, ``syncer`` (name and checksum), ``scores`` (see
        :func:`hmgen_ros.evaluation.sync_files.score_file`), ``machine`` and ``date``.

    Raises:
        hmgen_ros.data.ami_raster.CorpusError: landmarks or sound are missing, damaged or not comparable.
        hmgen_ros.generators.weights.WeightsError: no such syncer, or its file is damaged.
        ValueError: the results could not be written.
    """
    console = console or Console()
    check_writable(config.json)
    torch.set_num_threads(config.threads)
    if config.data is not None:
        return _publish(_of_folder(config, config.data, console), config.json, console)
    assert config.landmarks is not None
    assert config.audio is not None
    syncer, source = load_syncer(config.syncer)
    scores = score_file(config.landmarks, config.audio, syncer)
    console.print(_level_table(f"{config.landmarks.name} and {config.audio.name}", scores))
    _tell(scores, console)
    given = {name: str(value) for name, value in asdict(config).items() if name in ("landmarks", "audio")}
    report = {
        **given,
        "syncer": {"name": config.syncer, "sha256": weights.sha256(source)},
        "scores": scores,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return _publish(report, config.json, console)


def _of_folder(config: EvaluateSyncConfig, folder: Path, console: Console) -> dict[str, Any]:
    """The report on a folder of tracks."""
    syncer, source = load_syncer(config.syncer)
    with console.status("reading and measuring the tracks"):
        choice = choose_tracks(folder, config.split)
        speech, corpus = speech_segments(choice.tracks)
        net = MotionInception.load()
        try:
            reference = SpeechReference.of(speech, config.sequences, config.reels, net, config.seed)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}; {what_is_left(corpus)}") from error
    cleaned = cleaned_text(corpus)
    for line in (str(choice), f"cleaned: {cleaned}" if cleaned else ""):
        if line:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    scores = _scored(config, reference, syncer, console)
    console.print(_model_table(scores))
    if len(reference.faces) < FEW:
        console.print(
            f"[yellow]only {len(reference.faces)} sequences: distances of motion and confidences are rough[/]"
        )
    return {
        "default": DEFAULT_SPEECH_GENERATOR,
        "models": scores,
        "syncer": {"name": config.syncer, "sha256": weights.sha256(source)},
        "data": {
            **choice.described(),
            "minutes": corpus.ticks / TICK_HZ / 60,
            "speakers": corpus.speakers,
            "pieces": len(speech),
            "too_short": reference.too_short,
            "cleaned": dict(corpus.counts.items()),
            "sequences": len(reference.faces),
            "ticks": reference.ticks,
            "reels": {str(ticks): len(reels.ends) for ticks, reels in reference.reels.items()},
        },
        "settings": {"split": config.split, "sequences": config.sequences, "reels": config.reels},
        "seed": config.seed,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _scored(
    config: EvaluateSyncConfig, reference: SpeechReference, syncer: SyncerPyramid, console: Console
) -> dict[str, Any]:
    """Scores by the name of the model."""
    found: dict[str, Any] = {
        "real": real_scores(reference, syncer),
        "static": static_scores(reference, syncer),
    }
    default = DEFAULT_SPEECH_GENERATOR
    names = dict.fromkeys((default, "shuffled", *(config.models or SPEECH_GENERATORS)))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("speaking", total=len(names))
        for name in names:
            progress.update(bar, description=name)
            shuffled = name == "shuffled"
            model = load_speech_generator(default if shuffled else name, config.device)
            try:
                found[name] = score_speaker(model, reference, syncer, config.seed, config.device, shuffled)
            except NotFinite as finding:
                console.print(f"{name}: {finding}")
                found[name] = dict.fromkeys(found["real"]) | {"finding": str(finding)}
            progress.advance(bar)
    return found


def _model_table(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    """One line a model."""
    plain = ("fd_motion_40", "fd_motion_80", "fd_motion_200", "lmd")
    levels = [f"{name} {i + 1}" for name in ("|off|", "conf") for i in range(LEVELS)]
    table = Table("", *levels, *plain, title="Speech-driven faces; of |off| less is better, of conf more")
    for name, row in scores.items():
        cells = [_cell(value) for part in ("off", "conf") for value in row[part] or [None] * LEVELS]
        table.add_row(
            name,
            *cells,
            *(_cell(row[column]) for column in plain),
            style="bold" if name == DEFAULT_SPEECH_GENERATOR else None,
        )
    return table


def load_syncer(name: str) -> tuple[SyncerPyramid, Path]:
    """A shipped syncer by its name, or the one of a ``.safetensors`` file, and its file.

    Raises:
        hmgen_ros.generators.weights.WeightsError: no such syncer, or its file is damaged.
    """
    found = weights.read(Path(name)) if name.endswith(".safetensors") else weights.load(name)
    return SyncerPyramid.from_weights(found), Path(found.source)


def _level_table(title: str, scores: Mapping[str, Sequence[Any]]) -> Table:
    """One line a level."""
    heads = ("level", "window", "offset", "|offset|", "confidence", "cosine", "windows")
    table = Table(*heads, title=title)
    for i in range(LEVELS):
        sample_ms = 2**i * 1000 // TICK_HZ
        offset = scores["off"][i]
        table.add_row(
            str(i + 1),
            f"{FACE_WINDOW * sample_ms} ms",
            "–" if offset is None else f"{offset:+.2f} ({offset * sample_ms:+.0f} ms)",
            *(_cell(scores[name][i]) for name in ("off_abs", "conf", "cosine")),
            str(scores["windows"][i] or 0),
        )
    return table


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _tell(scores: Mapping[str, Any], console: Console) -> None:
    """What a table of numbers does not say."""
    console.print(
        f"sequences: {scores['sequences']} of {scores['ticks']} ticks, {scores['seconds']:.2f} s in all; "
        "offsets are in samples of the level, positive where the face comes after its sound",
        highlight=False,
    )
    for level, reason in enumerate(scores["missing"], start=1):
        if reason:
            console.print(f"level {level}: {reason}", highlight=False)
    for cause, amount in scores["counts"].items():
        console.print(f"{cause}: {amount}", highlight=False)
    for warning in scores["warnings"]:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False)


def _publish(report: dict[str, Any], path: Path | None, console: Console) -> dict[str, Any]:
    report = without_nan(report)
    if path is not None:
        write_result(path, report)
        console.print(f"results: {path}", highlight=False)
    return report
