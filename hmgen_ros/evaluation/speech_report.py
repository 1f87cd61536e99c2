"""Writes ``docs/results/ms_sync.md`` from run folders, scored on held-out faces that speak.

Every number comes from those runs and from the real tracks; the words around them are in ``_TEXT``. What was
not run says so in its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from hmgen_ros.data.speech_tracks import SpeechSegment, speech_segments
from hmgen_ros.data.tracks import tracks_of
from hmgen_ros.evaluation import speech_tables
from hmgen_ros.evaluation.evaluate_sync import METRIC_SYNCER, load_syncer
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_runs import SCORES, MotionRun, read_runs
from hmgen_ros.evaluation.motion_scores import NotFinite
from hmgen_ros.evaluation.speech_figures import draw_confidences, draw_offsets
from hmgen_ros.evaluation.speech_reference import SpeechReference
from hmgen_ros.evaluation.speech_scores import (
    real_scores,
    score_speaker,
    speak_sequences,
    static_scores,
    synchronies,
)
from hmgen_ros.evaluation.sync_metrics import Synchrony, best_shift
from hmgen_ros.generators import weights
from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.generators.speech_models import DEFAULT_SPEECH_GENERATOR, load_speech_generator
from hmgen_ros.generators.syncer import SyncerPyramid

_TEXT = """# MS-Sync: speech that moves head and lips

Written by `hmgen report ms-sync` from {count} runs; do not edit, run it again. Every generator is given one
pose of a held-out face and the sound of what it says. The thesis' figures (chapter 5, VoxCeleb2) stand beside
ours for orientation only: other data, networks, batches and iterations, syncers of our own, and other
distances (`fd_motion` in the place of FVD, `fd_map` of t-FID, `fd_static` of FID; see [suhmo.md](suhmo.md)).
Only the order of rows can be compared.

- Unseen speakers: {unseen}
- Unseen sentences of the speaker that was trained on: {seen}
- There is one speaker with sound to train on (GRID's s1, 40 minutes, sentences of 3 s). All GRID clips have
  75 ticks, so that sequences have 75 instead of 80, and MS-Sync-long is trained on 72.
- Machine: {machine}; written {date}
- Mean ± standard deviation over seeds, or over sequences where it says so. `real` are the faces themselves,
  `static` ones that stand still, `shuffled` is ours that hears another sentence than it is held against.
- Every run counts at its best iteration on the validation tracks (energy score and synchrony with the pyramid
  that it was trained with, or `fd_window`). Table 5.4 is that part, Table 5.3 speakers of neither part.

## Syncers

Held-out retrieval: how often the right one of 49 windows of a face is found for a sound. In time: how often
the offset of a sequence is right to a sample. Means of the validation part over seeds.

{syncers}

## Table 5.2: dynamics, of the last 40 ticks (unseen speakers)

{dynamics}

From 80 to 200 ticks `fd_motion` of ours changes by {degradation}.

## Table 5.3: synchrony at four time scales, unseen speakers

|AV-Off| in samples of the level (40, 80, 160, 320 ms) and AV-Conf, by the metric syncers.

{unseen_sync}

## Table 5.4: the same, unseen sentences of the speaker trained on

{seen_sync}

## Landmark distances

LMD of the mouth in face sizes, as it is and of heads turned to the front; lower is nearer to what the face
did.

{distances}

## Figure 5.5: confidence over the training

![AV-Conf of the validation part]({figures}/confidence.png)

## Figure 5.3: offsets and confidences at the finest scale

![distributions]({figures}/offsets.png)

## What was run

{efforts}

{findings}
"""


@dataclass(frozen=True)
class SpeechReportConfig:
    """Settings of the report.

    Attributes:
        runs: folder of run folders of ``hmgen train ms-sync``.
        data: folder of tracks with sound; their test part are the unseen speakers.
        syncers: folder of run folders of ``hmgen train syncer``.
        out: the Markdown file; figures go into a folder of its name beside it.
        findings: Markdown with what the numbers mean, put at the end where it exists.
        sequences: at most so many sequences of each part are spoken.
        reels: longer stretches of speech that dynamics are compared on.
        device: torch device.
        threads: of the CPU.

    Raises:
        ValueError: a setting is out of its range.
    """

    runs: Path
    data: Path
    syncers: Path = Path("docs/results/sync_runs")
    out: Path = Path("docs/results/ms_sync.md")
    findings: Path = Path("docs/results/ms_sync_findings.md")
    sequences: int = 200
    reels: int = 200
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        if min(self.sequences, self.reels) < 8 or self.threads < 1:
            raise ValueError(
                "sequences and reels must be at least 8 and threads at least 1, got "
                f"{self.sequences}, {self.reels}, {self.threads}"
            )


@dataclass(frozen=True)
class Parts:
    """Held-out faces.

    Attributes:
        references: of unseen speakers, "unseen", and of unseen sentences of known ones, "seen".
        texts: what each is.
    """

    references: Mapping[str, SpeechReference]
    texts: Mapping[str, str]

    @classmethod
    def of(cls, config: SpeechReportConfig) -> Parts:
        """Read and measure them."""
        tracks = tracks_of(config.data)
        known = {track.speaker for track in tracks if track.split == "train"}
        chosen = {
            "unseen": [t for t in tracks if t.split == "test" and t.speaker not in known],
            "seen": [t for t in tracks if t.split == "validation" and t.speaker in known],
        }
        net, references, texts = MotionInception.load(), {}, {}
        for name, part in chosen.items():
            speech, corpus = speech_segments(part)
            references[name] = SpeechReference.of(speech, config.sequences, config.reels, net)
            texts[name] = _who(speech, corpus.speakers, references[name])
        return cls(references, texts)


def write_report(config: SpeechReportConfig, console: Console | None = None) -> Path:
    """Score the runs that are not scored yet and write the report; returns its path.

    Raises:
        hmgen_ros.evaluation.motion_runs.ReportError: there is no run, or a file of one is damaged.
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged.
        hmgen_ros.generators.weights.WeightsError: a model file is missing or damaged.
        ValueError: the tracks have too few sequences.
    """
    console = console or Console()
    torch.set_num_threads(config.threads)
    parts, (syncer, _) = Parts.of(config), load_syncer(METRIC_SYNCER)
    runs = []
    for run in track(read_runs(config.runs), "scoring", console=console):
        runs.append(replace(run, scores=run.scores or _score(run, parts, syncer, config.device)))
    bounds = {
        name: {part: score(reference, syncer) for part, reference in parts.references.items()}
        for name, score in (("real", real_scores), ("static", static_scores))
    }
    figures = config.out.with_suffix("")
    figures.mkdir(parents=True, exist_ok=True)
    draw_confidences(runs, figures / "confidence.png")
    draw_offsets(_offsets(parts.references["unseen"], syncer, config.device), figures / "offsets.png")
    text = _text(config, runs, bounds, parts, figures.name)
    config.out.write_text(text.rstrip() + "\n", encoding="utf-8")
    console.print(f"wrote {config.out}", highlight=False)
    return config.out


def _score(run: MotionRun, parts: Parts, syncer: SyncerPyramid, device: str) -> dict[str, Any]:
    """Score a run's best model, with the run's seed, and leave the scores beside it.

    Of the default there are those with shuffled sound, too.
    """
    model = MsSync.from_weights(weights.read(run.path / "best.safetensors")).to(device)
    found: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    try:
        for name, reference in parts.references.items():
            found[name] = score_speaker(model, reference, syncer, run.seed, device)
            if run.system == DEFAULT_SPEECH_GENERATOR:
                found[f"{name}_shuffled"] = score_speaker(
                    model, reference, syncer, run.seed, device, shuffled=True
                )
    except NotFinite as finding:
        found["finding"] = str(finding)
    (run.path / SCORES).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _offsets(reference: SpeechReference, syncer: SyncerPyramid, device: str) -> dict[str, Synchrony]:
    """Offsets and confidences at the finest level, of real faces, still ones and the shipped default."""
    model = load_speech_generator(DEFAULT_SPEECH_GENERATOR, device)
    faces = {
        "real": reference.faces,
        "static": reference.faces[:, :1].expand_as(reference.faces),
        DEFAULT_SPEECH_GENERATOR: speak_sequences(model, reference, 0, device),
        "shuffled": speak_sequences(model, reference, 0, device, shuffled=True),
    }
    levels = {name: synchronies(shown, reference, syncer)[0] for name, shown in faces.items()}
    return {name: best_shift(level.shifts, level.distances) for name, level in levels.items()}


def _text(
    config: SpeechReportConfig,
    runs: Sequence[MotionRun],
    bounds: Mapping[str, Mapping[str, Mapping[str, Any]]],
    parts: Parts,
    figures: str,
) -> str:
    processor = machine()
    return _TEXT.format(
        count=len(runs),
        **parts.texts,
        machine=f"{processor['processor']}, {processor['cores']} cores, torch {processor['torch']}",
        date=datetime.now(UTC).date().isoformat(),
        syncers=speech_tables.syncers(read_runs(config.syncers)),
        dynamics=speech_tables.dynamics(runs, bounds),
        degradation=speech_tables.degradation(runs),
        unseen_sync=speech_tables.sync(runs, bounds, "unseen"),
        seen_sync=speech_tables.sync(runs, bounds, "seen"),
        distances=speech_tables.distances(runs, bounds),
        figures=figures,
        efforts=speech_tables.efforts(runs),
        findings=config.findings.read_text(encoding="utf-8") if config.findings.is_file() else "",
    )


def _who(speech: Sequence[SpeechSegment], speakers: Sequence[str], reference: SpeechReference) -> str:
    return (
        f"{len(reference.faces)} sequences of {reference.ticks} ticks from {len(speech)} pieces of "
        f"{', '.join(speakers)}"
    )
