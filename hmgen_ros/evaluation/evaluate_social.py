"""``hmgen evaluate social``: the shipped forecaster and every baseline on any folder of meetings.

All models get the same history of the same meetings and answer with the same number of sampled futures; the
scores, their intervals and the data's own values go into one JSON file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hmgen_ros.data.ami import CHOICES, Selection, meetings_of
from hmgen_ros.evaluation import inception
from hmgen_ros.evaluation.bootstrap import BLOCK_TICKS, draw_blocks, interval
from hmgen_ros.evaluation.coupling import LAG_NAMES, shuffle_people
from hmgen_ros.evaluation.forecast_scores import reliability
from hmgen_ros.evaluation.held_out import HeldOut, held_out
from hmgen_ros.evaluation.inception import InceptionNet
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.model_scores import (
    HORIZON_NAMES,
    SFID_REPLICATES,
    ModelRun,
    ModelSums,
    Translation,
    Values,
    halves_distance,
    life_totals,
    replicate_values,
    sequence_moments,
    sfid_values,
    total_values,
)
from hmgen_ros.evaluation.result_file import check_writable, without_nan, write_result
from hmgen_ros.evaluation.result_tables import result_table
from hmgen_ros.generators import group_forecaster
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.interface import SEED_LIMIT, ActionPredictor
from hmgen_ros.types import TICK_HZ

REPLICATES = 1000
#: Scores whose difference to the default's has an interval.
_COMPARED = ("nll", "brier", "next_speaker_auc")


@dataclass(frozen=True)
class EvaluateSocialConfig:
    """Settings of the evaluation.

    Attributes:
        data: folder of rasters with ``index.json``, or a folder that holds ``ami_25hz/``.
        json: file for the results; none is written without it.
        split: the meetings: ``train``, ``validation``, ``test``, ``all``, or ``held_out``: those of series
            and people that no shipped model was trained on; of a folder of other recordings all of them.
        stride: ticks (0.04 s) between forecasts, at least 1.
        samples: sampled futures a forecast, at least 1.
        seed: of the futures, the bootstrap and the control, at least 0 and below 2⁶³.
        models: names of the models; all by default. The shipped default always takes part.
        device: torch device.
        plots: folder for the calibration plot; none is drawn without it. Needs matplotlib.

    Raises:
        ValueError: a setting is out of its range, or there is no model of a name; says which.
    """

    data: Path
    json: Path | None = None
    split: str = "held_out"
    stride: int = 50
    samples: int = 32
    seed: int = 0
    models: tuple[str, ...] = ()
    device: str = "cpu"
    plots: Path | None = None

    def __post_init__(self) -> None:
        if self.split not in CHOICES:
            raise ValueError(f"no split {self.split!r}; there are {', '.join(CHOICES)}")
        if min(self.stride, self.samples) < 1 or not 0 <= self.seed < SEED_LIMIT:
            raise ValueError(
                f"stride and samples must be at least 1, and seed at least 0 and below 2^63, got "
                f"{self.stride}, {self.samples} and {self.seed}"
            )
        known = group_forecaster.ACTION_PREDICTORS
        if unknown := [name for name in self.models if name not in known]:
            raise ValueError(f"no action predictor {unknown[0]!r}; there are {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class _Reference:
    """What all models are compared with.

    Attributes:
        meetings: what is asked.
        space: of all scores.
        net: for SFID.
        totals: ``[B, ...]`` of the data, for its own values.
        sequences: moments of the data's activations by block.
        draws: ``[R, B]`` of the bootstrap.
    """

    meetings: list[HeldOut]
    space: ActionSpace
    net: InceptionNet
    totals: Values
    sequences: inception.Moments
    draws: NDArray[np.float64]

    @property
    def blocks(self) -> int:
        return int(self.draws.shape[1])


def evaluate_social(config: EvaluateSocialConfig, console: Console | None = None) -> dict[str, Any]:
    """Score every model; writes, shows and returns the results.

    Returns:
        ``default``, ``data``, ``controls``, ``models``, ``meetings``, ``meetings_of_voices`` (asked about
        turn ends only), ``seed``, ``machine``, ``date`` and ``settings``. Numbers that cannot be had of
        these meetings are None.

    Raises:
        ValueError: the folder is missing or damaged, or has no meeting that can be scored; or the results
            could not be written.
        hmgen_ros.generators.weights.WeightsError: a model file is missing or damaged.
    """
    console = console or Console()
    check_writable(config.json)
    with console.status("reading the meetings"):
        selection = _meetings(config)
    if selection.notice:
        console.print(f"note: {selection.notice}")
    default = group_forecaster.DEFAULT_ACTION_PREDICTOR
    names = dict.fromkeys((default, *(config.models or group_forecaster.ACTION_PREDICTORS)))
    predictors = {name: group_forecaster.ACTION_PREDICTORS[name](config.device) for name in names}
    with console.status("measuring the data"):
        reference = _reference(config, selection, predictors[default].space)
    report = {
        "default": default,
        "data": _data(reference),
        "controls": {"shuffled": _shuffled(reference, config.seed)},
        "models": _models(predictors, reference, config, console),
        "meetings": [meeting.info.name for meeting in selection.meetings],
        "meetings_of_voices": [meeting.info.name for meeting in selection.voices],
        "seed": config.seed,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": _settings(config, selection, reference),
    }
    return _publish(without_nan(report, 7), config, console)


def _meetings(config: EvaluateSocialConfig) -> Selection:
    for folder in (config.data, config.data / "ami_25hz"):
        if (folder / "index.json").is_file():
            return meetings_of(folder, config.split)
    raise ValueError(
        f"no meetings at {config.data}: neither it nor a folder ami_25hz/ in it holds an index.json; "
        "--data names a folder of rasters in the format of ami_25hz"
    )


def _reference(config: EvaluateSocialConfig, selection: Selection, space: ActionSpace) -> _Reference:
    meetings, blocks = held_out(selection.meetings, space, config.stride, selection.voices)
    net = InceptionNet.load("sfid_t40", config.device)
    count = sum(blocks)
    # Short meetings, and those taken for their voices, have turn ends at most.
    windows = [meeting.windows for meeting in meetings if len(meeting.windows)]
    parts = [life_totals(w.future[:, None], w.block, count, space) for w in windows]
    totals: Values = {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}
    into_net = Translation(space, net.space)
    futures = [into_net.symbols(w.future) for w in windows]
    sequences = sequence_moments(net, futures, [w.block for w in windows], count)
    draws = draw_blocks(blocks, REPLICATES, np.random.default_rng(config.seed))
    return _Reference(meetings, space, net, totals, sequences, draws)


def _data(reference: _Reference) -> dict[str, Any]:
    """The data's own values; ``SFID_halves`` is how far its odd minutes are from its even ones."""
    found, replicates = total_values(reference.totals), replicate_values(reference.totals, reference.draws)
    intervals = {name: interval(value) for name, value in replicates.items()}
    return {**_nested(found), "SFID_halves": halves_distance(reference.sequences), "ci95": intervals}


def _shuffled(reference: _Reference, seed: int) -> dict[str, Any]:
    """The data with people exchanged between the windows of all meetings."""
    futures = [meeting.windows.future for meeting in reference.meetings if len(meeting.windows)]
    seats = max(future.shape[2] for future in futures)
    windows = np.concatenate(
        [np.pad(f, ((0, 0), (0, 0), (0, seats - f.shape[2])), constant_values=ABSENT) for f in futures]
    )
    mixed = shuffle_people(windows, np.random.default_rng(seed))[:, None]
    everywhere = np.zeros(len(mixed), np.int64)
    return _nested(total_values(life_totals(mixed, everywhere, 1, reference.space)))


def _models(
    predictors: Mapping[str, ActionPredictor[Any]],
    reference: _Reference,
    config: EvaluateSocialConfig,
    console: Console,
) -> dict[str, dict[str, Any]]:
    """The scores of every model, the default first."""
    moments = sum(len(meeting.windows) + len(meeting.ends) for meeting in reference.meetings)
    results: dict[str, dict[str, Any]] = {}
    default: Values = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("forecasting", total=moments * len(predictors))
        for name, predictor in predictors.items():
            progress.update(bar, description=name)
            started = time.monotonic()
            run = ModelRun(
                predictor, reference.space, reference.net, config.samples, config.seed, config.device
            )
            sums = run.score(reference.meetings, reference.blocks, lambda done: progress.advance(bar, done))
            seconds = time.monotonic() - started
            results[name], replicates = _model(sums, reference)
            results[name]["seconds"] = seconds
            if not default:
                default = replicates
                continue
            results[name]["difference_ci95"] = {
                metric: interval(default[metric] - replicates[metric]) for metric in _COMPARED
            }
    return results


def _model(sums: ModelSums, reference: _Reference) -> tuple[dict[str, Any], Values]:
    """One model's part of the results, and its bootstrap replicates."""
    found, replicates = total_values(sums.totals), replicate_values(sums.totals, reference.draws)
    distance, distance_interval = sfid_values(reference.sequences, sums.sequences, reference.draws)
    single = {name: value for name, value in replicates.items() if not name.endswith("_by_horizon")}
    result = _nested({name: found[name] for name in single})
    by_horizon = {
        horizon: {metric: float(found[f"{metric}_by_horizon"][i]) for metric in ("nll", "brier", "ece")}
        for i, horizon in enumerate(HORIZON_NAMES)
    }
    intervals = {name: interval(value) for name, value in single.items()}
    extra = {
        "SFID": distance,
        "by_horizon": by_horizon,
        "reliability": reliability(sums.totals["bins"].sum(axis=(0, 1))),
        "ci95": {**intervals, "SFID": distance_interval},
    }
    return {**result, **extra}, replicates


def _nested(found: Values) -> dict[str, Any]:
    """Plain numbers, the responses by lag in a table of their own."""
    lags = {name: float(found[f"response_{name}"]) for name in LAG_NAMES}
    plain = {name: float(value) for name, value in found.items() if not name.startswith("response_")}
    return {**plain, "response": lags}


def _settings(config: EvaluateSocialConfig, selection: Selection, reference: _Reference) -> dict[str, Any]:
    """What else one must know to get the same numbers, and how many moments they rest on."""
    return {
        "split": config.split,
        "stride": config.stride,
        "samples": config.samples,
        "notice": selection.notice,
        "actions": list(reference.space.labels),
        "windows": sum(len(meeting.windows) for meeting in reference.meetings),
        "turn_ends": sum(len(meeting.ends) for meeting in reference.meetings),
        "hours": sum(len(meeting.masks) for meeting in selection.meetings) / TICK_HZ / 3600,
        "bootstrap": {"replicates": REPLICATES, "SFID": SFID_REPLICATES, "block_s": BLOCK_TICKS / TICK_HZ},
    }


def _publish(report: dict[str, Any], config: EvaluateSocialConfig, console: Console) -> dict[str, Any]:
    console.print(result_table(report))
    if config.json is not None:
        write_result(config.json, report)
        console.print(f"results: {config.json}", highlight=False)
    if config.plots is not None:
        # matplotlib is needed for nothing else here.
        from hmgen_ros.evaluation.social_figures import draw_calibration

        console.print(f"calibration: {draw_calibration(report, config.plots)}", highlight=False)
    return report
