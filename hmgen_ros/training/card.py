"""Model cards: what a shipped model is, where it comes from and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ActionSpace

LICENCE = "CC-BY-4.0"
LICENCE_NOTE = (
    "Counted from the AMI Meeting Corpus (https://groups.inf.ed.ac.uk/ami/corpus/), which its makers now "
    "distribute under CC BY 4.0; the LICENCE.txt inside the annotation release says CC BY-NC-SA 2.5. "
    "Attribution: J. Carletta et al., The AMI Meeting Corpus, 2005."
)

_TEXT = """# {title}

Reference forecaster of joint actions: for every person, the probability of leaving the present joint
action within the next tick (0.04 s) and of what follows, given the action, how long it has held, whether
the person spoke just before, and what the voices of the others do. Counted, not learned; one table.

- Use: a reference for every other forecaster, and the default until one beats it. Four people round a
  table in meetings; other groups are a guess. Hands are annotated in few meetings only, so hand gestures
  begin too rarely; drinking and hair touching do not occur.
- Trained on: {trained_on}. Whole series of the same people are held out for validation and test.
- Command: `{command}` ({created})
- Licence: {licence}. {licence_note}
- File: `{file}`, {bytes} bytes, SHA-256 `{sha256}`

## Actions

{actions}

## Scores

Forecasts every 2 s; `nll` (nats) and `brier` of each person's joint action that far ahead, lower is
better. `semi_markov_alone` does not look at the others; `persistence` repeats the last action with the
probability fitted for each horizon; `data` is what people did. Changes a person-second, short dwells
(under 0.2 s, of those that begin and end within 1.6 s), and parts of time with two or more speakers
and with none compare sampled futures with what people did.

{scores}
"""


def write_card(path: Path, entry: Mapping[str, Any], space: ActionSpace, shares: NDArray[np.float64]) -> None:
    """Write the card of a semi-Markov model.

    Args:
        path: the Markdown file.
        entry: the model's entry in the manifest.
        space: its action space.
        shares: ``[A]`` part of the training ticks in each joint action.
    """
    actions = _table(
        ["index", "joint action", "share"],
        [[str(i), label, f"{shares[i]:.4%}"] for i, label in enumerate(space.labels)],
    )
    scores = "\n\n".join(f"### {part}\n\n{_score_table(report)}" for part, report in entry["metrics"].items())
    title = entry["file"].removesuffix(".safetensors")
    path.write_text(_TEXT.format(title=title, actions=actions, scores=scores, **entry), encoding="utf-8")


def _score_table(report: Mapping[str, Mapping[str, float]]) -> str:
    keys = list(dict.fromkeys(key for row in report.values() for key in row))
    rows = [[key, *(f"{row[key]:.4f}" if key in row else "" for row in report.values())] for key in keys]
    return _table(["", *report], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
