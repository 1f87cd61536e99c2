"""Ships the best model of a run: the file in ``models/``, its entry in the manifest and its card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hmgen_ros.data.ami import Meeting
from hmgen_ros.data.preparation import action_shares
from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.training.card import LICENCE, LICENCE_NOTE
from hmgen_ros.training.run_log import RunFolder
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


def ship(
    folder: RunFolder,
    name: str,
    models: Path,
    command: str,
    text: str,
    meetings: Sequence[Meeting],
    metric: str,
    seen: str,
) -> Path:
    """Write model, manifest entry and card.

    Args:
        folder: of a run that has a best model.
        name: of the model in the manifest.
        models: folder of manifest, models and cards.
        command: that trains this model.
        text: one line about the system.
        meetings: the training meetings.
        metric: what told the best iteration.
        seen: what it knows of people.

    Returns:
        The model file.

    Raises:
        hmgen_ros.generators.weights.WeightsError: the run's model or the manifest is damaged.
    """
    best = weights.read(folder.best)
    result = json.loads(folder.result.read_text(encoding="utf-8"))
    settings = json.loads(folder.config.read_text(encoding="utf-8"))["settings"]
    path = models / f"{name}.safetensors"
    digest = weights.save(path, best.config, best.tensors)
    entry = {
        "file": path.name,
        "sha256": digest,
        "bytes": path.stat().st_size,
        "kind": best.config["kind"],
        "card": f"{name}.md",
        "licence": LICENCE,
        "licence_note": LICENCE_NOTE,
        "trained_on": _origin(meetings),
        "command": command,
        "created": datetime.now(UTC).date().isoformat(),
        "system": settings["system"],
        "seed": settings["seed"],
        "metrics": {"validation": {"model": result["best"], "data": result["data"]}},
    }
    weights.register(models / "manifest.yaml", name, entry)
    (models / f"{name}.md").write_text(
        _card(entry, (text, metric, seen), settings, result, meetings, best), encoding="utf-8"
    )
    return path


def _card(
    entry: Mapping[str, Any],
    words: tuple[str, str, str],
    settings: Mapping[str, Any],
    result: Mapping[str, Any],
    meetings: Sequence[Meeting],
    best: weights.Weights,
) -> str:
    text, metric, seen = words
    return _TEXT.format(
        title=entry["file"].removesuffix(".safetensors"),
        text=text,
        metric=metric,
        seen=seen,
        target=settings["target"],
        iterations=result["iterations"],
        minutes=result["seconds"] / 60.0,
        best_iteration=result["best"]["iteration"],
        actions=_actions(ActionSpace.from_json(best.config["action_masks"]), meetings),
        scores=_scores(result["best"], result["data"]),
        **entry,
    )


def _origin(meetings: Sequence[Meeting]) -> str:
    hours = sum(len(m.masks) for m in meetings) / TICK_HZ / 3600
    series = sorted({m.info.series for m in meetings})
    amount = f"{len(meetings)} meetings ({hours:.1f} h) of {', '.join(series)}"
    return f"AMI Meeting Corpus, manual annotations 1.7, {amount}"


def _actions(space: ActionSpace, meetings: Sequence[Meeting]) -> str:
    shares = action_shares(space, [space.encode_array(m.masks) for m in meetings])
    rows = zip(space.labels, shares, strict=True)
    return "\n".join(f"| {i} | {label} | {share:.4%} |" for i, (label, share) in enumerate(rows))


def _scores(model: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    names = [name for name in model if name != "iteration"]
    return "\n".join(f"| {name} | {_number(model[name])} | {_number(data.get(name))} |" for name in names)


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4f}"
