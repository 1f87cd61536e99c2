"""The results of another run of ``hmgen evaluate bag``, to stand beside these."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmgen_ros.evaluation.bag_stretch_sums import StretchSums


@dataclass(frozen=True)
class OtherRun:
    """Another run's results.

    Attributes:
        label: its file's name.
        results: of all its bags together.
        sums: of its stretches; None without the file that holds them.
    """

    label: str
    results: dict[str, Any]
    sums: StretchSums | None

    @classmethod
    def read(cls, path: Path) -> OtherRun:
        """From the JSON file of the run, and the file of its stretches beside it.

        Raises:
            ValueError: it holds something else.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            found = found.get("summary", found)
            if not {"actions", "heads"} <= set(found):
                raise ValueError("it has no actions and heads")
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"{path} holds no results of hmgen evaluate bag: {error}") from error
        beside = stretches_file(path)
        try:
            packed = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else None
            sums = None if packed is None else StretchSums.unpacked(packed)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{beside} holds no stretches of hmgen evaluate bag: {error}") from error
        return cls(path.stem, dict(found), sums)

    def beside(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """A report that holds the models of this run, too, named after it."""
        both = {}
        for part in ("actions", "heads"):
            named = {f"{name} ({self.label})": one for name, one in self.results[part].items()}
            both[part] = {**report[part], **named}
        return {**report, **both}


def stretches_file(path: Path) -> Path:
    """Where the sums of the stretches lie, beside the results."""
    return path.with_suffix(".stretches.json")
