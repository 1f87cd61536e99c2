"""Writes ``docs/results/suhmo.md`` from run folders, scored on held-out tracks, with figures and a film.

Every number comes from those runs and from the real tracks; the words around them are in ``_TEXT``. What was
not run says so in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from hmgen_ros.data.tracks import Corpus
from hmgen_ros.evaluation.evaluate_motion import describe, reference_of
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.motion_figures import COLUMNS, draw_dynamics, draw_motion_maps
from hmgen_ros.evaluation.motion_reference import last_windows
from hmgen_ros.evaluation.motion_runs import MotionRun, read_runs, score_run, spread
from hmgen_ros.evaluation.motion_scores import Reference, Scores, futures_of, real_scores, static_scores
from hmgen_ros.evaluation.motion_video import RenderMotionConfig, render
from hmgen_ros.evaluation.social_tables import table
from hmgen_ros.evaluation.track_choice import choose_unseen_by_runs
from hmgen_ros.generators import head_forecaster

#: Rows of Table 4.1 and what the thesis has there (CONFER, 40 and 80 frames): FVD, t-FID, FID.
ROWS: Mapping[str, tuple[str, str, str]] = {
    "mle": ("MLE", "480 / 133 / 10", "777 / 159 / 21"),
    "delta": ("Δ-based", "318 / 67 / 21", "357 / 77 / 24"),
    "actor": ("ACTOR", "480 / 147 / 8", "667 / 163 / 9"),
    "hit_dvae": ("HiT-DVAE", "368 / 130 / 6", "764 / 157 / 50"),
    "suhmo_rnn": ("SUHMo-RNN", "162 / 61 / 3", "147 / 48 / 8"),
    "suhmo_transformer": ("SUHMo-Transformer", "175 / 67 / 4", "169 / 52 / 7"),
    "noise_driven": ("noise_driven (ours)", "", ""),
}
_DYNAMICS = ("velocity", "acceleration", "jerk", "spectrum")
_DRIFTS = ("drift_40", "drift_80", "drift_200", "drift_1000", "spread_1000")

_TEXT = """# SUHMo and generators of head motion on landmark tracks

Written by `hmgen report suhmo` from {count} runs; do not edit, run it again. Every generator goes on from
single poses of held-out tracks, and the last 40 ticks (25 Hz) of 40 and 80 are compared with what heads of
these tracks did. The thesis' figures (chapter 4, CONFER) stand beside ours for orientation only: InceptionV3
and I3D, on which they rest, could not be had, so ours are other distances (`fd_motion` in the place of FVD,
`fd_map` of t-FID, `fd_static` of FID; see `hmgen_ros/evaluation/motion_metrics.py`), on other data, with
networks, batches and iterations that fit the machine. Only the order of rows can be compared.

- Held-out tracks: {data}
- Machine: {machine}; written {date}
- Seeds: mean ± standard deviation; `real` is another half of the real windows, neighbours of those compared
  with in time, and so as near as one can come; `static` is a head that stands still.
- Every run counts at its iteration of lowest `fd_window` on the validation tracks, or, of noise_driven, of
  lowest energy score there; neither is among the distances here.

## Table 4.1: models

{comparison}

## What a robot engineer asks

Wasserstein distances of the absolute velocities, accelerations and jerks of yaw, pitch, roll and place, in
units of the real mean; mean difference of their power spectra in dB; deformation of the rigid part of the
face in distances of the outer eye corners. Lower is nearer to real motion, but for the deformation, which
should be as that of `real`.

{dynamics}

Distance from the first pose after so many ticks, in units of the real tracks' spread (root mean square
distance of two poses of one track), and the generated motion's own spread over ticks 801 to 1000 in the same
unit. Drift should stay below 2 and a spread be near 1. Diversity is the distance between futures of one pose,
over what it would be if each went as far as real heads go in a direction of its own: near 1 is right.

{drift}

## Table 4.2: with and without the multi-scale discriminator

{scales}

## Table 4.3: two samples at a time

{pairs}

## Pictures

Motion maps of the last 40 ticks of 80, the brighter the later:

![motion maps]({figures}/motion_maps.png)

![speeds and spectra]({figures}/dynamics.png)

Three futures of one pose beside the real head (left, white): [{figures}/futures.mp4]({figures}/futures.mp4)

## What was run

{efforts}

{findings}
"""


@dataclass(frozen=True)
class MotionReportConfig:
    """Settings of the report.

    Attributes:
        runs: folder of run folders of ``hmgen train suhmo``.
        data: folder of tracks; their test part is held out.
        out: the Markdown file; figures go into a folder of its name beside it.
        findings: Markdown with what the numbers mean, put at the end where it exists.
        windows: at most so many windows to go on from.
        samples: futures of each pose for the diversity.
        device: torch device.
        threads: of the CPU.

    Raises:
        ValueError: a setting is out of its range.
    """

    runs: Path
    data: Path
    out: Path = Path("docs/results/suhmo.md")
    findings: Path = Path("docs/results/suhmo_findings.md")
    windows: int = 400
    samples: int = 3
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.windows < 8 or self.samples < 2 or self.threads < 1:
            raise ValueError(
                "windows must be at least 8, samples at least 2 and threads at least 1, got "
                f"{self.windows}, {self.samples}, {self.threads}"
            )


def write_report(config: MotionReportConfig, console: Console | None = None) -> Path:
    """Score the runs that are not scored yet and write the report; returns its path.

    Raises:
        hmgen_ros.evaluation.motion_runs.ReportError: there is no run, or a file of one is damaged.
        hmgen_ros.data.ami_raster.CorpusError: the tracks are missing or damaged.
        hmgen_ros.generators.weights.WeightsError: a model file is missing or damaged.
    """
    console = console or Console()
    torch.set_num_threads(config.threads)
    corpus = choose_unseen_by_runs(config.data).corpus()
    reference = reference_of(corpus, config.data, config.windows, config.device)
    runs = []
    for run in track(read_runs(config.runs), "scoring", console=console):
        scores = run.scores or score_run(run, reference, config.samples, config.device)
        runs.append(replace(run, scores=scores))
    figures = config.out.with_suffix("")
    figures.mkdir(parents=True, exist_ok=True)
    _draw(config, reference, figures, console)
    findings = config.findings.read_text(encoding="utf-8") if config.findings.is_file() else ""
    config.out.write_text(
        report_text(runs, reference, corpus, figures.name, findings).rstrip() + "\n", encoding="utf-8"
    )
    console.print(f"wrote {config.out}", highlight=False)
    return config.out


def report_text(
    runs: Sequence[MotionRun], reference: Reference, corpus: Corpus, figures: str, findings: str
) -> str:
    """The Markdown."""
    small = [run for run in runs if run.size == "small"]
    bounds = {"real": real_scores(reference), "static": static_scores(reference)}
    processor = machine()
    return _TEXT.format(
        count=len(runs),
        data=_data(corpus, reference),
        machine=f"{processor['processor']}, {processor['cores']} cores, torch {processor['torch']}",
        date=datetime.now(UTC).date().isoformat(),
        comparison=_comparison(small, bounds),
        dynamics=_dynamics(small, bounds),
        drift=_drift(small, bounds),
        scales=_scales(small),
        pairs=_pairs(small),
        figures=figures,
        efforts=_efforts(runs),
        findings=findings,
    )


def of(runs: Sequence[MotionRun], system: str) -> list[MotionRun]:
    """The runs of a system."""
    return [run for run in runs if run.system == system]


def _comparison(runs: Sequence[MotionRun], bounds: Mapping[str, Scores]) -> str:
    metrics = ("fd_motion_40", "fd_map_40", "fd_static", "fd_motion_80", "fd_map_80", "fd_static_80")
    header = ["", *metrics, "thesis, 40: FVD / t-FID / FID", "thesis, 80"]
    rows = [[title, *_cells(of(runs, name), metrics), *thesis] for name, (title, *thesis) in ROWS.items()]
    rows += [[name, *_plain(scores, metrics), "", ""] for name, scores in bounds.items()]
    return table(header, rows)


def _dynamics(runs: Sequence[MotionRun], bounds: Mapping[str, Scores]) -> str:
    metrics = [f"{name}_{ticks}" for ticks in (40, 80) for name in _DYNAMICS] + ["static_face_error"]
    rows = [[title, *_cells(of(runs, name), metrics)] for name, (title, *_) in ROWS.items()]
    rows += [[name, *_plain(scores, metrics)] for name, scores in bounds.items()]
    return table(["", *metrics], rows)


def _drift(runs: Sequence[MotionRun], bounds: Mapping[str, Scores]) -> str:
    metrics = [*_DRIFTS, "diversity_40", "diversity_80"]
    rows = [[title, *_cells(of(runs, name), metrics)] for name, (title, *_) in ROWS.items()]
    rows.append(["real", *_plain(bounds["real"], metrics)])
    return table(["", *metrics], rows)


def _scales(runs: Sequence[MotionRun]) -> str:
    metrics = ("fd_motion_10", "fd_motion_20", "fd_motion_40")
    rows = []
    for network, title in (("rnn", "RNN"), ("transformer", "Transformer")):
        rows.append([f"SUHMo-{title}", *_cells(of(runs, f"suhmo_{network}"), metrics)])
        name = f"SUHMo-{title}, w/o multi-scale discriminator"
        rows.append([name, *_cells(of(runs, f"single_scale_{network}"), metrics)])
    return table(["", *metrics], rows)


def _pairs(runs: Sequence[MotionRun]) -> str:
    metrics = ("fd_motion_40", "fd_map_40", "fd_static", "diversity_40")
    rows = []
    for network, title in (("rnn", "RNN"), ("transformer", "Transformer")):
        rows.append([f"SUHMo-{title}", *_cells(of(runs, f"suhmo_{network}"), metrics)])
        for part in ("d", "g"):
            found = of(runs, f"one_sample_{part}_{network}")
            rows.append([f"SUHMo-{title}, One-sample {part.upper()}", *_cells(found, metrics)])
    return table(["", *metrics], rows)


def _efforts(runs: Sequence[MotionRun]) -> str:
    rows = []
    for system, size in dict.fromkeys((run.system, run.size) for run in runs):
        found = [run for run in runs if (run.system, run.size) == (system, size)]
        seeds = ", ".join(str(run.seed) for run in found)
        iterations = "/".join(str(i) for i in sorted({int(run.result["iterations"]) for run in found}))
        best = ", ".join(str(run.result["best"]["iteration"]) for run in found)
        minutes = sum(run.result["seconds"] for run in found) / len(found) / 60.0
        batch = str(found[0].settings["batch"])
        size_of = f"{found[0].scores.get('parameters', 0) / 1e6:.2f} M"
        rows.append([system, size, size_of, seeds, batch, iterations, best, f"{minutes:.1f}"])
    header = [
        "system",
        "size",
        "parameters",
        "seeds",
        "batch",
        "iterations",
        "best iteration",
        "minutes each",
    ]
    return table(header, rows)


def _data(corpus: Corpus, reference: Reference) -> str:
    found = describe(corpus, reference)
    windows = ", ".join(f"{count} of {ticks} ticks" for ticks, count in found["windows"].items())
    who = ", ".join(found["speakers"])
    return f"{found['minutes']:.1f} minutes of {who}; windows: {windows}"


def _cells(runs: Sequence[MotionRun], metrics: Sequence[str]) -> list[str]:
    return [spread(runs, metric) for metric in metrics]


def _plain(scores: Scores, metrics: Sequence[str]) -> list[str]:
    found = (scores.get(metric) for metric in metrics)
    return ["–" if value is None else f"{value:.2f}" for value in found]


def _draw(config: MotionReportConfig, reference: Reference, figures: Path, console: Console) -> None:
    """Pictures and film of the shipped models."""
    horizon = reference.horizons[max(reference.horizons)]
    shown: dict[str, Tensor] = {"real": last_windows(horizon.start, horizon.follows)}
    for name in head_forecaster.TRAINED:
        model: Any = head_forecaster.MOTION_PREDICTORS[name](config.device)
        futures = futures_of(model, horizon.start, horizon.ticks, 0, config.device)
        shown[name] = last_windows(horizon.start, futures)
    draw_dynamics(shown, figures / "dynamics.png")
    rows = torch.linspace(0, len(horizon.start) - 1, COLUMNS).long()
    draw_motion_maps({name: windows[rows] for name, windows in shown.items()}, figures / "motion_maps.png")
    render(RenderMotionConfig(config.data, figures / "futures.mp4", device=config.device), console)
