"""Plays and scores bags one after the other or beside each other; what happens to one costs no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hmgen_ros.evaluation.bag_config import EvaluateBagConfig
from hmgen_ros.evaluation.bag_reader import BagError
from hmgen_ros.evaluation.bag_scores import BagScores, score_bag
from hmgen_ros.generators.group_forecaster import ACTION_PREDICTORS

if TYPE_CHECKING:
    from hmgen_ros.evaluation.bag_rerun import RerunFile


@dataclass(frozen=True)
class Played:
    """One bag's scores without what only plots need, and the plots.

    Attributes:
        scores: without their log.
        pictures: ``data:`` addresses of timelines.
    """

    scores: BagScores
    pictures: list[str]


def play_all(
    bags: Mapping[str, Path], config: EvaluateBagConfig, console: Console
) -> tuple[dict[str, Played], dict[str, str]]:
    """Play and score bags, ``config.jobs`` at a time.

    Args:
        bags: paths by name.
        config: how.
        console: shows how far it is.

    Returns:
        Each bag's scores in the order of the bags, and what went wrong with the others.

    Raises:
        BagError: there is but one bag, and it cannot be used. Of one bag any other error comes through, too.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    played: dict[str, Played] = {}
    failed: dict[str, str] = {}
    with Progress(*columns, console=console, transient=True) as progress:
        for name, result in _results(bags, config, progress):
            if isinstance(result, Played):
                played[name] = result
            else:
                failed[name] = str(result)
                if len(bags) == 1:
                    raise result
    return {name: played[name] for name in bags if name in played}, failed


def _results(
    bags: Mapping[str, Path], config: EvaluateBagConfig, progress: Progress
) -> Iterator[tuple[str, Played | BagError]]:
    if len(bags) == 1 or config.jobs == 1:
        for name, path in bags.items():
            bar = progress.add_task(name, total=None)
            yield name, _play(path, config, partial(_advance, progress, bar, name), alone=len(bags) == 1)
            progress.remove_task(bar)
        return
    bar = progress.add_task("bags", total=len(bags))
    lost: list[str] = []
    for name, result in _beside_each_other(bags, config, config.jobs):
        if result is None:
            lost.append(name)
            continue
        progress.advance(bar)
        yield name, result
    # The end of one process ends all beside it: each bag that was in hand gets one to itself.
    for name in lost:
        for _, result in _beside_each_other({name: bags[name]}, config, 1):
            progress.advance(bar)
            yield name, result or BagError(f"{bags[name]}: its process was ended, perhaps for want of memory")


def _beside_each_other(
    bags: Mapping[str, Path], config: EvaluateBagConfig, jobs: int
) -> Iterator[tuple[str, Played | BagError | None]]:
    """Each bag's result as it comes, in processes of their own; None where the process was ended."""
    # A fresh interpreter each: threads and models of this one do not survive a fork.
    with ProcessPoolExecutor(min(jobs, len(bags)), get_context("spawn")) as pool:
        names = {pool.submit(_play, path, config, None): name for name, path in bags.items()}
        for done in as_completed(names):
            try:
                yield names[done], done.result()
            except BrokenProcessPool:
                yield names[done], None


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
) -> Played | BagError:
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


def _played(path: Path, config: EvaluateBagConfig, progress: Callable[[float, float], None]) -> Played:
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
    return Played(replace(scores, log=None), pictures)
