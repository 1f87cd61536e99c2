"""The figures of a bag's report, as PNG in memory."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hmgen_ros.evaluation.bag_action_log import ActionLog, Segment
from hmgen_ros.types import CONCURRENT_ACTIONS, TICK_HZ, UNKNOWN_MASK, Action

#: Seconds in one picture of timelines, and pictures at most: five minutes.
PICTURE_S, MOST_PICTURES = 30.0, 10
#: People in one picture at most, those who were there longest.
MOST_PEOPLE = 12
#: Horizons, s, whose forecasts of speech are drawn.
_SHOWN = (0.4, 0.8, 1.6)
_DPI = 80
#: Names of people and models are text: dollars in them are no formulas.
_LITERAL = rc_context({"text.parse_math": False})
#: Nobody in between: a gap of so many ticks breaks a bar.
_UNKNOWN_COLOR = "0.85"


def png(figure: Figure) -> str:
    """A ``data:`` address that holds the picture."""
    data = io.BytesIO()
    # Without the library's name and version the same values give the same picture.
    figure.savefig(data, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


@_LITERAL
def timelines(log: ActionLog, model: str, names: Mapping[str, str]) -> list[str]:
    """What each person did, and how probable speech was said to be 0.4, 0.8 and 1.6 s before.

    Args:
        log: of one bag.
        model: whose forecasts are drawn.
        names: of people, beside their ids.
    """
    zero = log.segments[0].stamps[0] if log.segments else 0
    pictures: list[str] = []
    for segment in log.segments:
        for first in range(0, len(segment.index), round(PICTURE_S * TICK_HZ)):
            if len(pictures) == MOST_PICTURES:
                return pictures
            part = slice(first, first + round(PICTURE_S * TICK_HZ))
            pictures.append(png(_timeline(log, segment, part, model, names, zero)))
    return pictures


def _timeline(
    log: ActionLog, segment: Segment, part: slice, model: str, names: Mapping[str, str], zero: int
) -> Figure:
    there = Counter(person for masks in segment.masks[part] for person in masks)
    longest = {person for person, _ in there.most_common(MOST_PEOPLE)}
    people = [person for person in there if person in longest]
    rows = len(people) + 1
    figure = Figure(figsize=(11.0, 1.0 + 1.35 * rows), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    seconds = (np.array(segment.stamps[part]) - zero) / 1e9
    for panel, person in zip(axes, people, strict=False):
        _draw_actions(panel, person, segment.masks[part], seconds)
        for color, (ahead, given) in enumerate(_speech(log, segment, part, model, person)):
            panel.plot(seconds + ahead, given, color=f"C{color}", lw=1.1, label=f"{ahead:g} s before")
        panel.set_ylabel(names.get(person, person)[:14], rotation=0, ha="right", va="center", fontsize=8)
        panel.set(ylim=(-0.02, 1.5), yticks=(0, 0.5, 1.0))
        panel.tick_params(labelsize=7)
    _draw_next(axes[-1], people, segment.forecasts[model][part], seconds, names)
    legends = [panel.get_legend_handles_labels() for panel in axes[:-1]]
    shown = {label: line for lines, labels in legends for line, label in zip(lines, labels, strict=True)}
    if shown:
        figure.legend(shown.values(), shown.keys(), loc="outside upper right", ncols=8, fontsize=7)
    more = len(there) - len(people)
    left_out = f"; {more} more people, who were there less long, are left out" if more else ""
    axes[-1].set_xlabel(
        f"seconds; lines: probability of speech as it was forecast; bars: what was seen{left_out}"
    )
    if len(seconds):
        axes[-1].set_xlim(seconds[0], seconds[-1] + 0.04)
    return figure


def _draw_actions(
    panel: Axes, person: str, masks: Sequence[Mapping[str, int]], seconds: NDArray[np.float64]
) -> None:
    """A bar for each action above the lines, grey where the person was not known."""
    held = np.array([masks_then.get(person, UNKNOWN_MASK) for masks_then in masks])
    panel.broken_barh(_spans(held & UNKNOWN_MASK != 0, seconds), (0.0, 1.5), color=_UNKNOWN_COLOR, lw=0)
    seen = [action for action in CONCURRENT_ACTIONS if ((held >> action) & 1 & (held < UNKNOWN_MASK)).any()]
    for place, action in enumerate(seen):
        height = 0.4 / max(len(seen), 1)
        spans = _spans(((held >> action) & 1 != 0) & (held < UNKNOWN_MASK), seconds)
        color = "black" if action is Action.SPEAKING else f"C{3 + int(action)}"
        panel.broken_barh(spans, (1.05 + place * height, 0.8 * height), color=color, label=action.label, lw=0)


def _spans(holds: NDArray[np.bool_], seconds: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Start and length in seconds of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(np.int8)))
    ends = np.append(seconds, (seconds[-1] if len(seconds) else 0.0) + 1.0 / TICK_HZ)
    return [
        (float(ends[start]), float(ends[end] - ends[start])) for start, end in edges.reshape(-1, 2).tolist()
    ]


def _speech(
    log: ActionLog, segment: Segment, part: slice, model: str, person: str
) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Seconds ahead, and ``[T]`` probability of speech; NaN where there is no forecast."""
    speaks = log.space.with_action(Action.SPEAKING)
    for row, ticks in enumerate(log.horizons):
        if ticks / TICK_HZ not in _SHOWN:
            continue
        given = [
            float(forecast.given[row, forecast.ids.index(person)] @ speaks)
            if person in forecast.ids
            else np.nan
            for forecast in segment.forecasts[model][part]
        ]
        yield ticks / TICK_HZ, np.array(given)


def _draw_next(
    panel: Axes,
    people: Sequence[str],
    forecasts: Sequence[Any],
    seconds: NDArray[np.float64],
    names: Mapping[str, str],
) -> None:
    """How surely each person was said to be the next to take the floor, while they were."""
    for color, person in enumerate(people):
        sure = [f.next_probability if f.next_id == person else np.nan for f in forecasts]
        panel.plot(seconds, sure, ".", ms=2.5, color=f"C{color}", label=names.get(person, person)[:14])
    panel.set_ylabel("next to\nspeak", rotation=0, ha="right", va="center", fontsize=8)
    panel.set(ylim=(-0.02, 1.02), yticks=(0, 0.5, 1.0))
    panel.tick_params(labelsize=7)
    if people:
        panel.legend(fontsize=6, ncols=6, loc="upper right")


@_LITERAL
def reliability_figure(models: Mapping[str, Mapping[str, Any]]) -> str:
    """How often what was given a probability happened, a line a model."""
    figure = Figure(figsize=(4.6, 4.0), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="grey", label="perfect")
    for name, scores in models.items():
        bins = scores["reliability"]
        used = [i for i, count in enumerate(bins["count"]) if count]
        given, happened = ([bins[key][i] for i in used] for key in ("probability", "frequency"))
        axes.plot(given, happened, ".-", lw=1.2, label=name)
    axes.set(xlabel="probability given", ylabel="part that happened", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=7)
    return png(figure)


@_LITERAL
def horizon_figure(models: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, str]) -> str:
    """Scores by horizon: a panel a metric, a line a model, and around it what its intervals hold.

    Args:
        models: ``by_horizon`` of each.
        metrics: their titles by name.
    """
    figure = Figure(figsize=(3.3 * len(metrics), 3.0), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    for panel, (metric, title) in zip(axes, metrics.items(), strict=True):
        for name, by_horizon in models.items():
            ahead = [float(horizon) for horizon in by_horizon]
            values = [one.get(metric) for one in by_horizon.values()]
            drawn = panel.plot(ahead, [np.nan if v is None else v for v in values], ".-", lw=1.2, label=name)
            held = [one.get("ci95", {}).get(metric) or (np.nan, np.nan) for one in by_horizon.values()]
            panel.fill_between(ahead, *zip(*held, strict=True), color=drawn[0].get_color(), alpha=0.12, lw=0)
        panel.set(title=title, xlabel="seconds ahead")
        panel.tick_params(labelsize=8)
    axes[0].legend(fontsize=7)
    return png(figure)
