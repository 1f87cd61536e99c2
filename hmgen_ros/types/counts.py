"""Counters for diagnostics."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False, weakref_slot=True)
class Counts:
    """Named counters of what was dropped, repaired or noticed; merged into diagnostics.

    Compared and hashed by identity, so that who merges them can remember what it has taken over.
    """

    values: dict[str, int] = field(default_factory=dict)

    def add(self, cause: str, amount: int = 1) -> None:
        """Count ``amount`` more of ``cause``."""
        if amount:
            self.values[cause] = self.values.get(cause, 0) + amount

    def items(self) -> list[tuple[str, int]]:
        """Causes and their counts; a copy, which another thread may outgrow."""
        return list(self.values.items())

    def __getitem__(self, cause: str) -> int:
        return self.values.get(cause, 0)
