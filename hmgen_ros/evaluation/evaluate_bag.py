"""``hmgen evaluate bag``: plays recorded bags through perception and forecasters, and scores the forecasts.

The bag's own later part is what happened, as perception sees it, or a file says who spoke when. The JSON file
holds nothing that differs between two runs on one machine. Beside it are wall-clock times,
``NAME.timing.json``, and what ``--compare`` needs to tell how sure differences are, ``NAME.stretches.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from hmgen_ros.evaluation.bag_compare import OtherRun, stretches_file
from hmgen_ros.evaluation.bag_config import EvaluateBagConfig
from hmgen_ros.evaluation.bag_playing import Played, play_all
from hmgen_ros.evaluation.bag_reader import BagError, bags_at
from hmgen_ros.evaluation.bag_results import report_of
from hmgen_ros.evaluation.bag_stretch_sums import StretchSums
from hmgen_ros.evaluation.bag_tables import bag_grid, cell, fact_grid, interval_notes, score_grids
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.evaluation.result_file import check_writable, without_nan, write_result, write_text

__all__ = ["EvaluateBagConfig", "evaluate_bag", "find_bags"]

#: That results are rounded to.
_DIGITS = 7
_TRUTH_NOTE = "What happened is what {} tells, and beyond that what perception saw later in the same bag."
_SEEN_NOTE = (
    "What happened is what perception saw later in the same bag: its mistakes count as truth, for every "
    "model alike."
)
_HEAD_NOTE = (
    "Head errors are root mean square distances of the 68 landmarks in distances of the outer eye corners, "
    "and mean absolute yaw, pitch and roll; all models are scored on the same people and ticks. Distances of "
    "distributions are 0 for the very same motion, and large for few windows."
)


def evaluate_bag(config: EvaluateBagConfig, console: Console | None = None) -> dict[str, Any]:
    """Play and score a bag, or every bag of a folder; writes, shows and returns the results.

    Returns:
        Of one bag its facts, ``actions`` and ``heads`` by model; of a folder ``bags`` by name, ``failed`` and
        the ``summary``, scores over all bags together. Numbers that cannot be had are None.

    Raises:
        BagError: a bag cannot be used, or none of a folder's.
        OSError: a file of results cannot be written any more.
        hmgen_ros.evaluation.perception_truth.SceneError: the truth file cannot be used.
        ValueError: an option cannot be used, or a file of results cannot be written.
    """
    console = console or Console()
    for out in (config.json, config.html, config.rerun):
        check_writable(out)
    for option, module, package in (("html", "matplotlib", "matplotlib"), ("rerun", "rerun", "rerun-sdk")):
        if getattr(config, option) is not None and find_spec(module) is None:
            raise ValueError(f"--{option} needs the package {package}: pip install {package}")
    other = None if config.compare is None else OtherRun.read(config.compare)
    bags = find_bags(config.bag)
    single = list(bags.values()) == [config.bag]
    if config.rerun is not None and not single:
        raise ValueError(f"--rerun writes one bag; {config.bag} holds {len(bags)}")
    played, failed = play_all(bags, config, console)
    if not played:
        raise BagError(next(iter(failed.values())))
    settings, scores = config.settings(), [one.scores for one in played.values()]
    whole = report_of(scores, settings, other)
    alone = None
    if not single:
        alone = {
            name: {**one.scores.facts, **report_of([one.scores], settings)} for name, one in played.items()
        }
    parts = {**scores[0].facts, **whole} if single else {"bags": alone, "failed": failed, "summary": whole}
    report: dict[str, Any] = without_nan({**parts, "settings": config.described()}, _DIGITS)
    shown = without_nan(whole, _DIGITS)
    shown = shown if other is None else other.beside(shown)
    _show(console, played, shown, alone)
    for name, error in failed.items():
        _say(console, f"{name} was left out: {error}", "yellow")
    _write(report, played, shown, config, console)
    return report


def find_bags(path: Path) -> dict[str, Path]:
    """The bag at a path, or all bags below a folder, by name.

    Raises:
        BagError: there is none.
    """
    if not path.is_dir() or bags_at(path) == [path]:
        return {path.name: path}
    folders = sorted(p for p in path.rglob("*") if p.is_dir())
    bags = [bag for folder in (path, *folders) for bag in bags_at(folder)]
    found = {bag.relative_to(path).as_posix(): bag for bag in bags}
    if not found:
        raise BagError(
            f"{path} is no bag and holds none: folders with metadata.yaml, or .mcap or .db3 files, are needed"
        )
    return found


def _show(
    console: Console,
    played: Mapping[str, Played],
    report: Mapping[str, Any],
    bags: Mapping[str, Any] | None,
) -> None:
    """The tables: of one bag what was in it, of several a line each, and all scores."""
    scores = next(iter(played.values())).scores
    first = fact_grid(scores.facts, scores.timing) if bags is None else bag_grid(bags)
    console.print(first.rich(), *(grid.rich() for grid in score_grids(report)))
    for note in interval_notes(report):
        _say(console, note)
    heard = report["perceived_speech"]
    if heard is not None:
        said = ", ".join(f"{name} {cell(value)}" for name, value in heard.items())
        _say(console, f"perceived speech against the truth: {said}")


def _say(console: Console, text: str, style: str | None = None) -> None:
    """One line as it is: names of files and bags hold no markup."""
    console.print(text, style=style, highlight=False, markup=False)


def _write(
    report: Mapping[str, Any],
    played: Mapping[str, Played],
    shown: Mapping[str, Any],
    config: EvaluateBagConfig,
    console: Console,
) -> None:
    if config.json is not None:
        write_result(config.json, report)
        timing = {name: one.scores.timing for name, one in played.items()}
        times = without_nan({"machine": machine(), "bags": timing}, _DIGITS)
        write_result(config.json.with_suffix(".timing.json"), times)
        sums = StretchSums.of([one.scores for one in played.values()]).packed()
        # Read by --compare, not by people: one line.
        write_text(stretches_file(config.json), json.dumps(without_nan(sums, _DIGITS)) + "\n")
        _say(console, f"results: {config.json}")
    if config.html is None:
        return
    from hmgen_ros.evaluation.bag_report import Section, html_report

    sections = [
        Section(name, [fact_grid(one.scores.facts, one.scores.timing)], one.pictures)
        for name, one in played.items()
    ]
    write_text(config.html, html_report(shown, sections, _notes(config, shown)))
    _say(console, f"report: {config.html}")


def _notes(config: EvaluateBagConfig, shown: Mapping[str, Any]) -> list[str]:
    happened = _SEEN_NOTE if config.truth is None else _TRUTH_NOTE.format(config.truth.name)
    notes = [f"Actions by {config.model}, heads by {config.head_model}.", happened, _HEAD_NOTE]
    return [*notes, *interval_notes(shown)]
