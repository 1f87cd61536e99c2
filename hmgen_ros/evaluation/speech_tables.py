"""The tables of ``docs/results/ms_sync.md`` from scored runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hmgen_ros.evaluation.motion_runs import MotionRun
from hmgen_ros.evaluation.social_tables import table
from hmgen_ros.evaluation.speech_reference import HORIZONS
from hmgen_ros.generators.syncer import LEVELS

#: Rows of the tables, and what the thesis has in Table 5.2 at 40, 80 and 200 frames: FVD / FID / t-FID.
ROWS: Mapping[str, tuple[str, str, str, str]] = {
    "likelihood": ("likelihood of single ticks", "", "", ""),
    "no_sync_loss": ("ours, without synchrony loss", "", "", ""),
    "single_scale": ("ours, single scale (generator and loss)", "", "", ""),
    "single_scale_generator": ("ours, single-scale generator", "", "", ""),
    "ms_sync_short": ("MS-Sync-short", "105 / 3.3 / 52", "126 / 5.5 / 47", "279 / 25.2 / 68"),
    "ms_sync_long": ("MS-Sync-long", "134 / 6.6 / 42", "104 / 6.8 / 39", "144 / 8.3 / 47"),
    "causal": ("ours, causal (48 ms ahead)", "", "", ""),
    "speech_driven": ("ours (speech_driven)", "", "", ""),
}
#: The system whose sound is shuffled, too.
DEFAULT = "speech_driven"
#: What the thesis has in Table 5.3, levels 1 and 4 (VoxCeleb2 II): |AV-Off| / AV-Conf.
_THESIS_SYNC: Mapping[str, tuple[str, str]] = {
    "real": ("0.87 / 2.41", ""),
    "static": ("9.45 / 0.63", "5.72 / 0.99"),
    "ms_sync_short": ("0.0 / 3.37", "2.60 / 2.18"),
    "ms_sync_long": ("0.01 / 3.26", "1.84 / 2.20"),
}


def _rows(runs: Sequence[MotionRun], part: str) -> dict[str, tuple[str, list[Mapping[str, Any]]]]:
    """Title and scores of every seed, by system, with the shuffled default."""
    found = {
        name: (title, [run.scores[part] for run in runs if run.system == name and part in run.scores])
        for name, (title, *_) in ROWS.items()
    }
    shuffled = [run.scores[f"{part}_shuffled"] for run in runs if f"{part}_shuffled" in run.scores]
    return {"shuffled": ("shuffled", shuffled), **found}


def dynamics(runs: Sequence[MotionRun], bounds: Mapping[str, Any]) -> str:
    """Table 5.2, of unseen speakers; ``bounds`` are the scores of ``real`` and ``static`` by part."""
    metrics = [f"fd_{kind}_{ticks}" for ticks in HORIZONS for kind in ("motion", "static", "map")]
    rows = [[name, *_cells([bounds[name]["unseen"]], metrics), "", "", ""] for name in ("real", "static")]
    for name, (title, found) in _rows(runs, "unseen").items():
        rows.append([title, *_cells(found, metrics), *(ROWS[name][1:] if name in ROWS else [""] * 3)])
    thesis = [f"thesis, {ticks}: FVD / FID / t-FID" for ticks in HORIZONS]
    return table(["", *metrics, *thesis], rows)


def degradation(runs: Sequence[MotionRun]) -> str:
    """By how much the default's ``fd_motion`` grows from 80 to 200 ticks."""
    found = [run.scores["unseen"] for run in runs if run.system == DEFAULT and "unseen" in run.scores]
    changes = [scores["fd_motion_200"] / scores["fd_motion_80"] - 1.0 for scores in found]
    return f"{np.mean(changes):+.0%} (mean over {len(changes)} seeds)" if changes else "–"


def sync(runs: Sequence[MotionRun], bounds: Mapping[str, Any], part: str) -> str:
    """Table 5.3 or 5.4."""
    header = ["", *(f"{kind} {i + 1}" for i in range(LEVELS) for kind in ("|AV-Off|", "AV-Conf"))]
    rows = []
    for name in ("real", "static"):
        scores = bounds[name][part]
        cells = [
            _about(scores[kind][i], scores[f"{kind}_std"][i])
            for i in range(LEVELS)
            for kind in ("off", "conf")
        ]
        rows.append([f"{name} (± over sequences)", *cells, *_THESIS_SYNC[name]])
    for name, (title, found) in _rows(runs, part).items():
        cells = [
            _over([scores[kind][i] for scores in found]) for i in range(LEVELS) for kind in ("off", "conf")
        ]
        rows.append([title, *cells, *_THESIS_SYNC.get(name, ("", ""))])
    return table([*header, "thesis, level 1", "thesis, level 4"], rows)


def distances(runs: Sequence[MotionRun], bounds: Mapping[str, Any]) -> str:
    """Landmark distances of both parts."""
    metrics = ("lmd", "lmd_front")
    header = ["", *(f"{metric}, {part}" for part in ("unseen", "seen") for metric in metrics)]
    rows = [
        [name, *(cell for part in ("unseen", "seen") for cell in _cells([bounds[name][part]], metrics, 4))]
        for name in ("real", "static")
    ]
    both = _rows(runs, "unseen"), _rows(runs, "seen")
    for name, (title, _) in both[0].items():
        rows.append([title, *(cell for part in both for cell in _cells(part[name][1], metrics, 4))])
    return table(header, rows)


def syncers(runs: Sequence[MotionRun]) -> str:
    """One line for each loss and features, speakers trained on and others."""
    metrics = [f"{kind}_{i + 1}" for kind in ("retrieved", "in_time") for i in range(LEVELS)]
    rows = []
    for loss, features in dict.fromkeys((run.system, run.size) for run in runs):
        chosen = [run.result["best"] for run in runs if (run.system, run.size) == (loss, features)]
        new = [{name: best[f"new_{name}"] for name in metrics} for best in chosen]
        # What is logged is the mean of both kinds of speakers.
        known = [{name: 2.0 * best[name] - best[f"new_{name}"] for name in metrics} for best in chosen]
        for title, scores in (("known speaker", known), ("other speaker", new)):
            rows.append([loss, features, title, str(len(chosen)), *_cells(scores, metrics)])
    heads = [f"{kind} {i + 1}" for kind in ("retrieved", "in time") for i in range(LEVELS)]
    return table(["loss", "features", "of", "seeds", *heads], rows)


def efforts(runs: Sequence[MotionRun]) -> str:
    """What was run, a line a system."""
    rows = []
    for system in dict.fromkeys(run.system for run in runs):
        found = [run for run in runs if run.system == system]
        rows.append(
            [
                system,
                f"{found[0].scores.get('parameters', 0) / 1e6:.2f} M",
                ", ".join(str(run.seed) for run in found),
                str(found[0].settings["look_ahead"]),
                f"{found[0].settings['sync_weight']:g}",
                str(found[0].settings["steps"]),
                "/".join(str(i) for i in sorted({int(run.result["iterations"]) for run in found})),
                ", ".join(str(run.result["best"]["iteration"]) for run in found),
                f"{sum(run.result['seconds'] for run in found) / len(found) / 60.0:.1f}",
            ]
        )
    header = ["system", "parameters", "seeds", "ticks ahead", "lambda", "steps", "iterations"]
    return table([*header, "best iteration", "minutes each"], rows)


def _cells(scores: Sequence[Mapping[str, Any]], metrics: Sequence[str], digits: int = 2) -> list[str]:
    return [_over([row[metric] for row in scores], digits) for metric in metrics]


def _over(values: Sequence[float | None], digits: int = 2) -> str:
    """``mean ± std``, the mean alone of one value, a dash of none."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return f"{known[0]:.{digits}f}" if known else "–"
    return _about(float(np.mean(known)), float(np.std(known, ddof=1)), digits)


def _about(mean: float | None, std: float | None, digits: int = 2) -> str:
    return "–" if mean is None or std is None else f"{mean:.{digits}f} ± {std:.{digits}f}"
