"""The house's clock, and what a face is made of."""

from __future__ import annotations

#: The house's clock: every generator and every published forecast steps at this rate.
TICK_HZ = 25
TICK_NS = 1_000_000_000 // TICK_HZ
NUM_LANDMARKS = 68
