"""One person's actions as probabilities and as a set that holds; what is hidden is unknown, not absent."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.hysteresis import Latch, LatchConfig
from hmgen_ros.types import NUM_ACTIONS, UNKNOWN_MASK, Action, action_mask

#: An action that cannot be observed any more counts as going on for so many ticks, then no longer.
FORGET_TICKS = 25


class ActionLabels:
    """The actions of one person from tick to tick.

    Every source of evidence says how probable an action is, NaN where it cannot tell at present (hidden
    hands, a face turned away). What a person does is a set that a forecaster understands only as a whole,
    so it is unknown while :attr:`~hmgen_ros.types.Action.SPEAKING`, the commonest action, is.

    Args:
        latches: when each action begins and ends; what is not in it is never said to hold.
    """

    def __init__(self, latches: Mapping[Action, LatchConfig]) -> None:
        self._latches = {action: Latch(config) for action, config in latches.items()}
        self._unseen = dict.fromkeys(latches, 0)

    def adjust(self, latches: Mapping[Action, LatchConfig]) -> None:
        """Go by other settings of the same actions from now on; what holds goes on."""
        for action, config in latches.items():
            self._latches[action].config = config

    def update(self, evidence: Mapping[Action, float], elapsed: int = 1) -> tuple[int, NDArray[np.float32]]:
        """Take the evidence of one tick, ``elapsed`` ticks after the one before.

        Args:
            evidence: probability in [0, 1] of each action, NaN or left out where it cannot be observed.
            elapsed: ticks since the last call, at least 1.

        Returns:
            The bit mask of the actions that hold, or ``UNKNOWN_MASK``; and the ``[NUM_ACTIONS]``
            probabilities.
        """
        held = [a for a in self._latches if self._holds(a, evidence.get(a, math.nan), elapsed)]
        known = not math.isnan(evidence.get(Action.SPEAKING, math.nan))
        return action_mask(*held) if known else UNKNOWN_MASK, action_probabilities(evidence)

    def _holds(self, action: Action, probability: float, elapsed: int) -> bool:
        latch = self._latches[action]
        self._unseen[action] = self._unseen[action] + elapsed if math.isnan(probability) else 0
        if self._unseen[action] > FORGET_TICKS:
            latch.reset()
            return False
        return latch.update(probability, elapsed)


def action_probabilities(evidence: Mapping[Action, float]) -> NDArray[np.float32]:
    """``[NUM_ACTIONS]`` by action code, NaN where an action cannot be observed.

    ``NONE`` is the probability that none of the observed ones holds, taken as independent, and NaN where
    nothing is observed.
    """
    values = np.full(NUM_ACTIONS, np.nan, np.float32)
    none, observed = 1.0, False
    for action, probability in evidence.items():
        values[action] = probability
        if not math.isnan(probability):
            none, observed = none * (1 - probability), True
    if observed:
        values[Action.NONE] = none
    return values
