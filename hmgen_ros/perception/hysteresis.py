"""Turns a trembling probability into a state that holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LatchConfig:
    """When a state begins and ends.

    Attributes:
        on: probability from which the state begins.
        off: probability below which it ends; at most ``on``.
        on_ticks: ticks in a row at or above ``on`` before it begins, at least 1.
        off_ticks: ticks in a row below ``off`` before it ends, at least 1.
        min_ticks: ticks that it lasts at least.
    """

    on: float = 0.5
    off: float = 0.4
    on_ticks: int = 1
    off_ticks: int = 4
    min_ticks: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.off <= self.on <= 1:
            raise ValueError(f"need 0 <= off <= on <= 1, got off={self.off}, on={self.on}")
        for name in ("on_ticks", "off_ticks", "min_ticks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class Latch:
    """One such state. A NaN probability keeps it as it is.

    Attributes:
        config: when it begins and ends; may be changed at any time.
        active: whether it holds.
    """

    def __init__(self, config: LatchConfig) -> None:
        self.config = config
        self.active = False
        self._towards_change = 0
        self._duration = 0

    def update(self, probability: float, elapsed: int = 1) -> bool:
        """Observe one tick after ``elapsed`` ticks; returns whether the state holds."""
        c = self.config
        self._duration += elapsed
        changing = probability < c.off if self.active else probability >= c.on
        self._towards_change = self._towards_change + elapsed if changing else 0
        wanted = c.off_ticks if self.active else c.on_ticks
        if self._towards_change >= wanted and (not self.active or self._duration >= c.min_ticks):
            self.active = not self.active
            self._towards_change = self._duration = 0
        return self.active

    def reset(self) -> None:
        """End the state at once."""
        self.active = False
        self._towards_change = self._duration = 0
