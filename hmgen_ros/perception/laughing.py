"""Who laughs: a mouth drawn wide and up, while what is heard comes in bursts, four to seven a second.

Rules, not learned: no recordings of laughter were at hand. Their thresholds keep people who talk (three
speakers of the GRID corpus) and people who are silent from laughing; how much laughter they find is known of
synthetic faces and sounds alone. A laugh that is only seen, or only heard, is none here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import TICK_HZ

#: Ticks over which the mouth's shape is averaged: vowels come and go faster.
SHAPE_TICKS = 8.0
#: Seconds over which a person's usual shape is learned, and how many the first guess counts for.
USUAL_S, GUESS_S = 20.0, 2.0
#: First guess of width, lift of the corners, and opening of the eyes: of three GRID speakers.
GUESS = np.array([0.51, 0.048, 0.30])
#: Changes that count for 1 each: the mouth a tenth wider, its corners up, the eyes a fifth narrower.
UNITS = np.array([0.05, 0.025, -0.06])
#: Eyes narrow in blinks, too: they count for less.
WEIGHTS = np.array([1.0, 1.0, 0.5])
#: Sum at which a smile is as likely as none, and how fast the log odds rise with it.
EVEN_SMILE, SMILE_SLOPE = 2.0, 2.0
#: Inner lips' opening below which nobody laughs aloud, and the width of that edge; eyes' distances.
LEAST_OPENING, OPENING_EDGE = 0.03, 0.01

#: Windows of the voice detector (32 ms) in which bursts are sought, and the pace of bursts in windows.
BURST_WINDOWS, PERIODS = 32, range(4, 10)
#: Levels below this (dB of full scale) are silence; bursts rise at least so far out of what is between.
SILENCE_DB, LEAST_DEPTH_DB = -60.0, 4.0
#: Periodicity, in [-1, 1], at which bursts are as likely as none, and how fast the log odds rise with it.
EVEN_PERIODICITY, PERIODICITY_SLOPE = 0.5, 15.0


class SmileMeter:
    """Whether one mouth laughs, against what it usually looks like."""

    def __init__(self) -> None:
        self._usual = GUESS.copy()
        self._seen = GUESS_S * TICK_HZ
        self._now: NDArray[np.float64] | None = None

    def update(self, landmarks: NDArray[np.float32] | None, elapsed: int = 1) -> float:
        """Observe one tick.

        Args:
            landmarks: ``[68, 2]`` normalised, None where the face is hidden.
            elapsed: ticks since the last call, at least 1.

        Returns:
            Probability that the mouth is drawn and open as in laughter; NaN while the face is hidden.
        """
        if landmarks is None:
            self._now = None
            return math.nan
        shape = mouth_shape(landmarks)
        share = 1 - math.exp(-elapsed / SHAPE_TICKS)
        self._now = shape if self._now is None else self._now + share * (shape - self._now)
        change = (self._now[:3] - self._usual) / UNITS
        smile = _sigmoid(SMILE_SLOPE * (float(WEIGHTS @ np.clip(change, -2.0, 4.0)) - EVEN_SMILE))
        # A smile is not what the face usually looks like, or a long one would end by itself.
        self._learn(elapsed * (1 - smile))
        return smile * _sigmoid((float(self._now[3]) - LEAST_OPENING) / OPENING_EDGE)

    def _learn(self, ticks: float) -> None:
        assert self._now is not None
        self._seen = min(self._seen + ticks, USUAL_S * TICK_HZ)
        self._usual += min(1.0, ticks / self._seen) * (self._now[:3] - self._usual)


def mouth_shape(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """Width and lift of the mouth's corners, opening of the eyes, opening of the inner lips.

    Args:
        landmarks: ``[68, 2]`` normalised: eyes level, units of the outer eye corners' distance.

    Returns:
        ``[4]``: distances in that unit, but for the eyes' opening, which is a share of their width.
    """
    p = landmarks.astype(np.float64)
    across = p[45] - p[36]
    down = np.array([-across[1], across[0]]) / max(1e-6, float(np.linalg.norm(across)))
    width = float(np.linalg.norm(p[54] - p[48]))
    lift = float((p[[51, 57]].mean(0) - p[[48, 54]].mean(0)) @ down)
    lids = np.linalg.norm(p[[37, 38, 43, 44]] - p[[41, 40, 47, 46]], axis=1).mean()
    corners = np.linalg.norm(p[[36, 42]] - p[[39, 45]], axis=1).mean()
    opening = np.linalg.norm(p[[61, 62, 63]] - p[[67, 66, 65]], axis=1).mean()
    return np.array([width, lift, lids / max(1e-6, float(corners)), opening])


def burst_probability(levels: NDArray[np.float64]) -> float:
    """Probability that sound comes in bursts as laughter does.

    Args:
        levels: ``[n]`` root mean squares of windows of 32 ms up to now, full scale being 1.

    Returns:
        In [0, 1]; 0 for too little or too quiet sound.
    """
    if len(levels) < BURST_WINDOWS:
        return 0.0
    decibels = 20 * np.log10(np.maximum(levels[-BURST_WINDOWS:], 10 ** (SILENCE_DB / 20)))
    time = np.arange(len(decibels)) - (len(decibels) - 1) / 2
    about = decibels - decibels.mean()
    about -= time * (time @ about) / (time @ time)  # a laugh dies away
    if about.std() < LEAST_DEPTH_DB:
        return 0.0
    return _sigmoid(PERIODICITY_SLOPE * (_periodicity(about) - EVEN_PERIODICITY))


def _periodicity(values: NDArray[np.float64]) -> float:
    """How much more alike values are one period apart than half a period apart, at the best period."""
    likeness = [_likeness(values, lag) for lag in range(max(PERIODS) + 1)]
    halves = {period: (likeness[period // 2] + likeness[(period + 1) // 2]) / 2 for period in PERIODS}
    return max((likeness[period] - halves[period]) / 2 for period in PERIODS)


def _likeness(values: NDArray[np.float64], lag: int) -> float:
    before, after = values[: len(values) - lag], values[lag:]
    return float(before @ after / max(1e-9, math.sqrt(float(before @ before) * float(after @ after))))


def laughing_probability(smile: float, bursts: float) -> float:
    """Probability that a person laughs, both cues being needed; NaN where either is not known."""
    return smile * bursts


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))
