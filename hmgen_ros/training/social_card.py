"""Ships the best model of a run: the file in ``models/``, its entry in the manifest and its card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hmgen_ros.data.ami import Meeting
from hmgen_ros.data.preparation import action_shares
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.training.card import LICENCE_NOTE
from hmgen_ros.training.shipment import Shipment
from hmgen_ros.types import TICK_HZ

_TEXT = """# {title}

{text}. From {seen} of everybody in a group it plays
futures of the whole group forward, each person informed of the others at every tick.

- Use: what each person in a group will probably do next, and who speaks next. Trained on four people round
  a table in meetings; other groups are a guess. Hands are annotated in few meetings only, so hand gestures
  begin too rarely; drinking and hair touching do not occur.
- Trained on: {trained_on}. Whole series of the same people are held out for validation and test.
- Command: `{command}` ({created}), {iterations} iterations in {minutes:.1f} minutes; the best of them by
  validation {metric} is iteration {best_iteration}.
- Licence: {licence}. {licence_note}
- File: `{file}`, {bytes} bytes, SHA-256 `{sha256}`

## Actions

| index | joint action | share |
| --- | --- | --- |
{actions}

## Scores on the validation series

Generated futures of {target} ticks against what people did; `hmgen evaluate social` gives forecasting
scores with confidence intervals.

| metric | model | data |
| --- | --- | --- |
{scores}
"""


def ship(shipment: Shipment, text: str, meetings: Sequence[Meeting], metric: str, seen: str) -> Path:
    """Write model, manifest entry and card, see :meth:`Shipment.write`.

    Args:
        shipment: of a run on meetings.
        text: one line about the system.
        meetings: the training meetings.
        metric: what told the best iteration.
        seen: what it knows of people.
    """
    space = ActionSpace.from_json(shipment.best.config["action_masks"])
    facts = {
        "text": text,
        "metric": metric,
        "seen": seen,
        "target": shipment.settings["target"],
        "actions": _actions(space, meetings),
        "scores": shipment.scores,
    }
    return shipment.write(_TEXT, facts, _origin(meetings), LICENCE_NOTE, ("system", "seed"))


def _origin(meetings: Sequence[Meeting]) -> str:
    hours = sum(len(m.masks) for m in meetings) / TICK_HZ / 3600
    series = sorted({m.info.series for m in meetings})
    amount = f"{len(meetings)} meetings ({hours:.1f} h) of {', '.join(series)}"
    return f"AMI Meeting Corpus, manual annotations 1.7, {amount}"


def _actions(space: ActionSpace, meetings: Sequence[Meeting]) -> str:
    shares = action_shares(space, [space.encode_array(m.masks) for m in meetings])
    rows = zip(space.labels, shares, strict=True)
    return "\n".join(f"| {i} | {label} | {share:.4%} |" for i, (label, share) in enumerate(rows))
