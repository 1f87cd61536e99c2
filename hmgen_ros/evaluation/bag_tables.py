"""The tables of a bag's scores, for the terminal and for the HTML report alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

_ACTIONS = {
    "nll": "NLL ↓",
    "brier": "Brier ↓",
    "ece": "ECE ↓",
    "f1": "F1 ↑",
    "onset_f1": "onset F1 ↑",
    "next_speaker_auc": "next-speaker AUC ↑",
    "next_speaker_hits": "next-speaker hits ↑",
}
_BY_HORIZON = {"nll": "NLL ↓", "brier": "Brier ↓", "f1": "F1 ↑", "speaking_auc": "speech AUC ↑"}
_HEAD = {"error": "eye distances ↓", "degrees": "degrees ↓", "to_hold": "to hold ↓"}
_DISTANCES = ("fd_motion", "fd_map", "fd_static", "velocity", "acceleration", "jerk", "spectrum")


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        title: above it.
        head: of the columns, the first that of the rows' names.
        rows: cells.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def rich(self) -> Table:
        """For the terminal."""
        # Names of topics, people and files are text: brackets in them are no markup.
        table = Table(title=Text(self.title))
        for name in self.head:
            # Narrow terminals get more lines, never less of a name.
            table.add_column(Text(name), overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table


def cell(value: Any, digits: int = 3) -> str:
    """A number, or a dash where it cannot be had."""
    if value is None or value != value:
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def sure(value: Any, interval: Sequence[float] | None, digits: int = 3) -> str:
    """A number and, in a second line, the interval that holds it, where that can be told."""
    if interval is None or value is None:
        return cell(value, digits)
    return f"{cell(value, digits)}\n{interval[0]:.{digits}f} to {interval[1]:.{digits}f}"


def interval_notes(report: Mapping[str, Any]) -> list[str]:
    """What the second lines of the tables tell, and why some are not there."""
    return [note for note in (report["intervals"]["note"], report["differences"]["note"]) if note]


def score_grids(report: Mapping[str, Any]) -> list[Grid]:
    """All scores of a report, which may hold models of another run beside its own."""
    actions, heads = report["actions"], report["heads"]
    grids = [
        Grid(
            "Forecasts of actions, means over horizons",
            ["model", *_ACTIONS.values(), "turn ends"],
            [
                [name, *(_scored(one, metric) for metric in _ACTIONS), cell(one.get("turn_ends"))]
                for name, one in actions.items()
            ],
        )
    ]
    grids += [
        _by_horizon(f"{title}, by seconds ahead", actions, metric) for metric, title in _BY_HORIZON.items()
    ]
    grids += [
        _by_horizon(f"Heads: {title}, by seconds ahead", heads, metric) for metric, title in _HEAD.items()
    ]
    known = {name: one["distances"] for name, one in heads.items() if one.get("distances")}
    if known:
        rows = [[name, *(cell(one.get(metric)) for metric in _DISTANCES)] for name, one in known.items()]
        grids.append(Grid("Heads: distances from how they really moved ↓", ["model", *_DISTANCES], rows))
    return grids + _difference_grids(report["differences"])


def _difference_grids(found: Mapping[str, Any]) -> list[Grid]:
    """How much better the chosen models are than others."""
    grids = []
    for part, metrics in (("actions", _ACTIONS), ("heads", _HEAD)):
        others = found[part]
        # Differences of head errors are told at the last horizon, where they are largest.
        flat = {name: one if part == "actions" else list(one.values())[-1] for name, one in others.items()}
        shown = {
            metric: title for metric, title in metrics.items() if any(metric in one for one in flat.values())
        }
        if not shown:
            continue
        where = "" if part == "actions" else f", {list(next(iter(others.values())))[-1]} s ahead"
        rows = [
            [name, *(sure(one[metric]["difference"], one[metric]["ci95"], 4) for metric in shown)]
            for name, one in flat.items()
        ]
        title = f"{found['of'][part]} less others{where}"
        grids.append(Grid(title, ["less", *shown.values()], rows))
    return grids


def _scored(one: Mapping[str, Any], metric: str) -> str:
    return sure(one.get(metric), one.get("ci95", {}).get(metric))


def _by_horizon(title: str, models: Mapping[str, Any], metric: str) -> Grid:
    horizons = list(dict.fromkeys(h for one in models.values() for h in one["by_horizon"]))
    rows = [
        [name, *(_scored(one["by_horizon"].get(horizon, {}), metric) for horizon in horizons)]
        for name, one in models.items()
    ]
    return Grid(title, ["model", *horizons], rows)


def fact_grid(facts: Mapping[str, Any], timing: Mapping[str, Any] | None) -> Grid:
    """What was in one bag, what was dropped, how late it was."""
    people = facts["people"]
    rows = [
        ["length", f"{facts['duration_s']:.2f} s"],
        ["played", f"{facts['source']}: " + ", ".join(f"{k} {v}" for k, v in facts["topics"].items())],
        ["ticks", f"{facts['ticks']} ({facts['missed_ticks']} missed, {facts['breaks']} breaks)"],
        ["people", f"{people['ids']} ids, at most {people['at_once']} at once"],
        ["noticed", ", ".join(f"{k} {v}" for k, v in sorted(facts["counts"].items())) or "nothing"],
    ]
    if facts["last_dropped"]:
        rows.append(["last dropped", facts["last_dropped"]])
    rows.append(["digest", facts["digest"]])
    for topic, delay in facts["latency"].items():
        said = f"p50 {delay['p50_ms']:.1f} ms, p99 {delay['p99_ms']:.1f} ms after its stamp"
        rows.append([topic, delay.get("note", said)])
    for name, one in (timing or {}).get("milliseconds", {}).items():
        rows.append([f"compute: {name}", f"{one['mean']:.2f} ms, p99 {one['p99']:.2f}"])
    if timing and "real_time" in timing:
        rows.append(["speed", f"{timing['real_time']:.2f} × real time"])
    return Grid(str(facts["bag"]), ["", ""], rows)


def bag_grid(bags: Mapping[str, Any]) -> Grid:
    """A line a bag of several: the chosen models' scores."""
    metrics = ("nll", "brier", "f1", "next_speaker_auc")
    rows = []
    for name, one in bags.items():
        actions = one["actions"][one["model"]]
        head = list(one["heads"][one["head_model"]]["by_horizon"].values())[-1]
        cells = [_scored(actions, metric) for metric in metrics]
        rows.append([name, cell(one["duration_s"], 1), *cells, _scored(head, "error")])
    return Grid("bags", ["bag", "s", *(_ACTIONS[metric] for metric in metrics), "head, last horizon"], rows)
