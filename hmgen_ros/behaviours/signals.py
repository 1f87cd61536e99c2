"""What can be read off people and forecasts for a planner, as probabilities; without memory.

Pure functions of the house's types, which know neither behaviour trees nor ROS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import (
    UNKNOWN_MASK,
    Action,
    ActionForecast,
    Person,
    Scene,
    SpeakerOutlook,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at one moment; None where nothing has come yet.

    Attributes:
        now_ns: present of the clock that the stamps follow.
        scene: the people at the last tick.
        forecast: the newest sampled futures of the group.
        speaker: the newest forecast of who speaks next.
    """

    now_ns: int
    scene: Scene | None = None
    forecast: ActionForecast | None = None
    speaker: SpeakerOutlook | None = None


def speaks(person: Person) -> bool:
    """Whether a person is known to speak now."""
    return _does(person, Action.SPEAKING)


def laughs(person: Person) -> float:
    """Probability in [0, 1] that a person laughs; of a person or action that cannot be observed NaN."""
    if person.actions & UNKNOWN_MASK:
        return math.nan
    known = float(person.probabilities[Action.LAUGHING]) if len(person.probabilities) else math.nan
    # Some perceptions tell the action alone.
    return 1.0 if math.isnan(known) and _does(person, Action.LAUGHING) else known


def begins_within(forecast: ActionForecast, seconds: float) -> dict[str, float]:
    """Probability that each person begins to speak within some seconds; who speaks already is left out.

    Args:
        forecast: sampled futures; the answer is a share of the samples.
        seconds: at least one step; a longer time than the forecast's horizon is cut to it.
    """
    now, later = _speaking(forecast, seconds)
    return _shares(forecast, ~now, later.any(axis=1))


def ends_within(forecast: ActionForecast, seconds: float) -> dict[str, float]:
    """Likewise, that each person who speaks now stops, if only for a moment."""
    now, later = _speaking(forecast, seconds)
    return _shares(forecast, now, ~later.all(axis=1))


def _does(person: Person, action: Action) -> bool:
    return not person.actions & UNKNOWN_MASK and bool(person.actions >> action & 1)


def _speaking(forecast: ActionForecast, seconds: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """``[N]`` who speaks now, and ``[S, T, N]`` who does in the futures, as far as is asked."""
    table = np.array([mask >> Action.SPEAKING & 1 for mask in forecast.action_masks], bool)
    steps = max(1, round(seconds / forecast.period_s))
    return table[forecast.current], table[forecast.samples[:, :steps]]


def _shares(
    forecast: ActionForecast, asked: NDArray[np.bool_], happens: NDArray[np.bool_] | np.bool_
) -> dict[str, float]:
    """Share of the samples ``[S, N]`` in which it happens, of those who are asked about."""
    shares = np.asarray(happens).mean(axis=0)
    ids = forecast.person_ids
    return {ids[place]: float(shares[place]) for place in np.flatnonzero(asked)}
