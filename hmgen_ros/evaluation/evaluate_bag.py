"""``hmgen evaluate bag``: plays recorded bags through perception and forecasters, and scores the forecasts.

The bag's own later part is what happened, as perception sees it, or a file says who spoke when. The JSON file
holds nothing that differs between two runs on one machine. Beside it are wall-clock times,
``NAME.timing.json``, and what ``--compare`` needs to tell how sure differences are, ``NAME.stretches.json``.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hmgen_ros.evaluation.bag_compare import OtherRun, stretches_file
from hmgen_ros.evaluation.bag_config import EvaluateBagConfig
from hmgen_ros.evaluation.bag_reader import BagError, bags_at
from hmgen_ros.evaluation.bag_results import report_of
from hmgen_ros.evaluation.bag_scores import BagScores, score_bag
from hmgen_ros.evaluation.bag_stretch_sums import StretchSums
from hmgen_ros.evaluation.bag_tables import bag_grid, cell, fact_grid, interval_notes, score_grids
from hmgen_ros.evaluation.machine import machine
from hmgen_ros.generators.group_forecaster import ACTION_PREDICTORS

if TYPE_CHECKING:
    from hmgen_ros.evaluation.bag_rerun import RerunFile

__all__ = ["EvaluateBagConfig", "evaluate_bag", "find_bags"]

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


@dataclass(frozen=True)
class _Played:
    """One bag's scores without what only plots need, and the plots."""

    scores: BagScores
    pictures: list[str]


def evaluate_bag(config: EvaluateBagConfig, console: Console | None = None) -> dict[str, Any]:
    """Play and score a bag, or every bag of a folder; writes, shows and returns the results.

    Returns:
        Of one bag its facts, ``actions`` and ``heads`` by model; of a folder ``bags`` by name, ``failed`` and
        the ``summary``, scores over all bags together. Numbers that cannot be had are None.

    Raises:
        BagError: a bag cannot be used, or none of a folder's.
        OSError: a file of results cannot be written.
        hmgen_ros.evaluation.perception_truth.SceneError: the truth file cannot be used.
        ValueError: an option cannot be used.
    """
    console = console or Console()
    for out in (config.json, config.html, config.rerun):
        if out is not None:
            _check_writable(out)
    for option, module, package in (("html", "matplotlib", "matplotlib"), ("rerun", "rerun", "rerun-sdk")):
        if getattr(config, option) is not None and find_spec(module) is None:
            raise ValueError(f"--{option} needs the package {package}: pip install {package}")
    other = None if config.compare is None else OtherRun.read(config.compare)
    bags = find_bags(config.bag)
    single = list(bags.values()) == [config.bag]
    if config.rerun is not None and not single:
        raise ValueError(f"--rerun writes one bag; {config.bag} holds {len(bags)}")
    played, failed = _play_all(bags, config, console)
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
    report: dict[str, Any] = _plain({**parts, "settings": config.described()})
    shown = _plain(whole)
    shown = shown if other is None else other.beside(shown)
    _show(console, played, shown, alone)
    for name, error in failed.items():
        _say(console, f"{name} was left out: {error}", "yellow")
    _write(report, played, shown, config, console)
    return report


def _check_writable(out: Path) -> None:
    """Said before everything is played, not after it."""
    if out.is_dir():
        raise ValueError(f"{out} is a folder; name a file")
    out.parent.mkdir(parents=True, exist_ok=True)
    new = not out.exists()
    out.open("a").close()
    if new:
        out.unlink()


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


def _play_all(
    bags: Mapping[str, Path], config: EvaluateBagConfig, console: Console
) -> tuple[dict[str, _Played], dict[str, str]]:
    """Every bag's scores in the order of the bags, and what went wrong with the others."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    played: dict[str, _Played] = {}
    failed: dict[str, str] = {}
    with Progress(*columns, console=console, transient=True) as progress:
        for name, result in _results(bags, config, progress):
            if isinstance(result, _Played):
                played[name] = result
            else:
                failed[name] = str(result)
                if len(bags) == 1:
                    raise result
    return {name: played[name] for name in bags if name in played}, failed


def _results(
    bags: Mapping[str, Path], config: EvaluateBagConfig, progress: Progress
) -> Iterator[tuple[str, _Played | BagError]]:
    if len(bags) == 1 or config.jobs == 1:
        for name, path in bags.items():
            bar = progress.add_task(name, total=None)

            yield name, _play(path, config, partial(_advance, progress, bar, name), alone=len(bags) == 1)
            progress.remove_task(bar)
        return
    bar = progress.add_task("bags", total=len(bags))
    # A fresh interpreter each: threads and models of this one do not survive a fork.
    with ProcessPoolExecutor(min(config.jobs, len(bags)), get_context("spawn")) as pool:
        names = {pool.submit(_play, path, config, None): name for name, path in bags.items()}
        for done in as_completed(names):
            progress.advance(bar)
            yield names[done], _result(names[done], done)


def _result(name: str, done: Future[_Played | BagError]) -> _Played | BagError:
    try:
        return done.result()
    except BrokenProcessPool:
        return BagError(f"{name}: its process was ended from outside, perhaps for memory; try fewer --jobs")


def _rerun_file(config: EvaluateBagConfig) -> RerunFile:
    # A large package, which is needed for nothing else.
    from hmgen_ros.evaluation.bag_rerun import RerunFile

    assert config.rerun is not None
    config.rerun.parent.mkdir(parents=True, exist_ok=True)
    space = ACTION_PREDICTORS[config.model]("cpu").space
    return RerunFile(config.rerun, config.model, config.head_model, space)


def _advance(progress: Progress, bar: TaskID, name: str, seconds: float, total: float) -> None:
    progress.update(bar, completed=seconds, total=total, description=f"{name} {seconds:.0f} s")


def _play(
    path: Path,
    config: EvaluateBagConfig,
    progress: Callable[[float, float], None] | None,
    alone: bool = False,
) -> _Played | BagError:
    """One bag; an error is handed back, so that the other bags are not lost."""
    try:
        return _played(path, config, progress or (lambda *_: None))
    except BagError as error:
        return error
    except Exception as error:
        if alone:
            raise
        # Whatever nobody foresaw in one bag.
        said = " ".join(f"{type(error).__name__} {error}".split())
        return BagError(f"{path}: {said}; evaluated by itself it tells more")


def _played(path: Path, config: EvaluateBagConfig, progress: Callable[[float, float], None]) -> _Played:
    started, cpu = time.monotonic(), time.process_time()
    with ExitStack() as stack:
        listeners = [stack.enter_context(_rerun_file(config))] if config.rerun is not None else []
        scores = score_bag(path, config.settings(), progress, [file.add for file in listeners])
    scores.timing |= {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu}
    pictures: list[str] = []
    if config.html is not None and scores.log is not None:
        # matplotlib is needed for nothing else here.
        from hmgen_ros.evaluation.bag_figures import timelines

        pictures = timelines(scores.log, config.model, scores.names)
    return _Played(replace(scores, log=None), pictures)


def _show(
    console: Console,
    played: Mapping[str, _Played],
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
    played: Mapping[str, _Played],
    shown: Mapping[str, Any],
    config: EvaluateBagConfig,
    console: Console,
) -> None:
    if config.json is not None:
        _write_json(config.json, report)
        timing = {name: one.scores.timing for name, one in played.items()}
        _write_json(config.json.with_suffix(".timing.json"), _plain({"machine": machine(), "bags": timing}))
        sums = StretchSums.of([one.scores for one in played.values()]).packed()
        # Read by --compare, not by people: one line.
        stretches_file(config.json).write_text(json.dumps(_plain(sums)) + "\n", encoding="utf-8")
        _say(console, f"results: {config.json}")
    if config.html is None:
        return
    from hmgen_ros.evaluation.bag_report import Section, html_report

    sections = [
        Section(name, [fact_grid(one.scores.facts, one.scores.timing)], one.pictures)
        for name, one in played.items()
    ]
    config.html.parent.mkdir(parents=True, exist_ok=True)
    config.html.write_text(html_report(shown, sections, _notes(config, shown)), encoding="utf-8")
    _say(console, f"report: {config.html}")


def _notes(config: EvaluateBagConfig, shown: Mapping[str, Any]) -> list[str]:
    happened = _SEEN_NOTE if config.truth is None else _TRUTH_NOTE.format(config.truth.name)
    notes = [f"Actions by {config.model}, heads by {config.head_model}.", happened, _HEAD_NOTE]
    return [*notes, *interval_notes(shown)]


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """JSON knows no NaN: None stands for it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return round(value, 7) if math.isfinite(value) else None
    return value
