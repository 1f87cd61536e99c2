"""One HTML file with everything about the bags that were evaluated; it needs no other file and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from hmgen_ros.evaluation.bag_figures import horizon_figure, reliability_figure
from hmgen_ros.evaluation.bag_tables import Grid, score_grids

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px }
caption { text-align: left; font-weight: 600; padding-bottom: .3em }
td, th { border: 1px solid #ccc; padding: .25em .6em; text-align: right }
td:first-child, th:first-child { text-align: left }
img { max-width: 100%; display: block; margin: .5em 0 }
.note, small { color: #555 }
small { white-space: nowrap }
"""
_ACTION_METRICS = {
    "nll": "NLL",
    "brier": "Brier score",
    "f1": "F1 of actions",
    "speaking_auc": "AUC of speech",
}
_HEAD_METRICS = {"error": "error, eye distances", "degrees": "error, degrees", "to_hold": "error / hold"}


@dataclass(frozen=True)
class Section:
    """One bag's part of the report.

    Attributes:
        title: its heading.
        grids: tables.
        pictures: ``data:`` addresses of timelines.
    """

    title: str
    grids: Sequence[Grid]
    pictures: Sequence[str]


def html_report(report: Mapping[str, Any], sections: Sequence[Section], notes: Sequence[str]) -> str:
    """The whole page.

    Args:
        report: scores, with those of another run beside them where two are compared.
        sections: of the bags.
        notes: what a reader must know to read the scores.
    """
    heads = {name: one["by_horizon"] for name, one in report["heads"].items()}
    actions = {name: one["by_horizon"] for name, one in report["actions"].items()}
    parts = [
        "<h1>Forecasts on recorded bags</h1>",
        *(f'<p class="note">{escape(note)}</p>' for note in notes),
        "<h2>Scores</h2>",
        *(_table(grid) for grid in score_grids(report)),
        "<h2>By horizon</h2>",
        _picture(horizon_figure(actions, _ACTION_METRICS), "scores of actions by horizon"),
        _picture(horizon_figure(heads, _HEAD_METRICS), "errors of heads by horizon"),
        "<h2>Reliability</h2>",
        _picture(reliability_figure(report["actions"]), "reliability diagram"),
    ]
    for section in sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [_table(grid) for grid in section.grids]
        parts += [_picture(picture, "timelines") for picture in section.pictures]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Forecasts on recorded bags</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _table(grid: Grid) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in grid.head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_lines(text)}</td>" for text in row) + "</tr>" for row in grid.rows
    )
    return f"<table><caption>{escape(grid.title)}</caption><tr>{head}</tr>{rows}</table>"


def _lines(text: str) -> str:
    """A cell; what stands below its first line is smaller."""
    first, *more = escape(text).split("\n")
    return first + "".join(f"<br><small>{line}</small>" for line in more)


def _picture(address: str, what: str) -> str:
    return f'<img src="{address}" alt="{escape(what)}">'
