"""Pictures of perception: how surely it tells who speaks, and under which ids people are followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

_DPI = 80


def draw_curves(results: Mapping[str, Mapping[str, Any]], rows: Sequence[str], path: Path) -> Path:
    """Precision over recall of who speaks, a line a row.

    Args:
        results: with the ``curve`` of each row; rows without one are left out.
        rows: which.
        path: the PNG to write; its folder must exist.

    Returns:
        The path.
    """
    figure = Figure(figsize=(5.5, 3.6), dpi=_DPI)
    axis = figure.subplots()
    for name in rows:
        curve = results.get(name, {}).get("curve", {"recall": []})
        if curve["recall"]:
            axis.plot(curve["recall"], curve["precision"], label=name, linewidth=1.2)
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    if axis.lines:
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)
    return path


def draw_timeline(followed: Sequence[Sequence[Any]], path: Path, at_most: int = 3) -> Path:
    """Under which ids people were followed: a bar a person, a colour an id.

    Args:
        followed: scene, person, id, start and end of each stretch.
        path: the PNG to write; its folder must exist.
        at_most: so many scenes are drawn.

    Returns:
        The path.
    """
    names = list(dict.fromkeys(scene for scene, *_ in followed))[:at_most]
    figure = Figure(figsize=(9.0, 1.6 * max(len(names), 1)), dpi=_DPI)
    for axis, scene in zip(figure.subplots(max(len(names), 1), 1, squeeze=False)[:, 0], names, strict=False):
        runs = [run for run in followed if run[0] == scene]
        people = list(dict.fromkeys(run[1] for run in runs))
        ids = {name: k for k, name in enumerate(dict.fromkeys(run[2] for run in runs))}
        for _, person, name, start, end in runs:
            axis.barh(people.index(person), end - start, left=start, color=f"C{ids[name] % 10}")
            if end - start > 3:
                axis.text(start + 0.3, people.index(person), name, fontsize=6, va="center", color="white")
        axis.set_yticks(range(len(people)), people, fontsize=7)
        axis.set_title(f"{scene}, s", fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    return path
