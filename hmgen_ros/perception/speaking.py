"""Who speaks: moving lips decide among the people in view, the microphone whether anyone does.

All subsets of the people are weighed against each other. A subset is likely when the lips of exactly
its members move and a voice is heard, so that one voice is shared out among moving mouths, two people
may speak at once, and a chewing listener does not speak while the room is silent. Whether lips move in time
with the voice (:mod:`hmgen_ros.perception.active_speaker`) adds to what their motion alone tells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: iBUG-68 pairs across the inner and the outer lips, and the mouth corners.
_INNER = ((61, 67), (62, 66), (63, 65))
_OUTER = ((50, 58), (51, 57), (52, 56))
_CORNERS = ((48, 54),)
_PAIRS = np.array(_INNER + _OUTER + _CORNERS)
#: Share of each distance in the motion: lips' openings as means, the width fully.
_WEIGHTS = np.array([1 / 3] * 3 + [1 / 3] * 3 + [1.0])
#: Ticks over which motion is averaged (exponential).
MEMORY_TICKS = 3.0
#: Longest gap, in ticks, across which motion is counted: beyond, a syllable has come and gone unseen.
MAX_GAP_TICKS = 3
#: The mean square change across a gap grows with this power of its ticks: 1.23 to 1.37 in the bundled
#: recording, speaking and silent people alike, for gaps of two and three ticks.
GAP_POWER = 1.3
#: Lips seem to move by so many eyes' distances for each radian that the head nods or turns (measured: 0.1 to
#: 0.25 on three silent people who gestured), and at most this share of their motion is put down to that.
TURN_SHARE, MOST_TURN_SHARE = 0.2, 0.8
#: Motion (eyes' distances a tick) at which speech and silence are equally likely, and how fast the
#: log odds rise with its logarithm; fitted on three GRID speakers, flattened for unknown ones and for
#: listeners whose lips do not rest.
EVEN_MOTION = 0.0065
SLOPE = 3.0
#: No pair of lips may sway the odds by more than this factor's logarithm.
MAX_LOG_ODDS = 4.0
#: A detector's certainty about a voice counts up to these log odds.
MAX_VOICE_LOG_ODDS = 4.0
#: Weight of nobody, one, two and three or more speaking: between the AMI meetings (0.20, 0.72, 0.07,
#: 0.01) and scenes where a robot watches few and quiet people, with fewer overlaps, for listeners' lips that
#: move are no independent evidence of another voice.
PRIOR = (0.40, 0.50, 0.05, 0.01)


class LipMotion:
    """Motion energy of one mouth; rotations of the head and slow drifts leave it unchanged."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the mouth."""
        self._last: NDArray[np.float64] | None = None
        self._energy = float("nan")
        self._ticks = 0

    def update(
        self, landmarks: NDArray[np.float32] | None, yaw: float, elapsed: int = 1, turned: float = 0.0
    ) -> float:
        """Observe one tick.

        Args:
            landmarks: ``[68, 2]`` normalised, None where the face is hidden.
            yaw: of the head, radians; 0 where it is not known.
            elapsed: ticks since the last call, at least 1. A slow camera skips some: motion across
                ``MAX_GAP_TICKS`` is brought down to one tick and counted for all of them; across
                longer gaps it is not counted, the energy is held.
            turned: by how much the head has turned and nodded since the last call, radians.

        Returns:
            Root mean square change of the mouth's openings and width, eyes' distances a tick; NaN until
            two calls in a row, at most ``MAX_GAP_TICKS`` apart, have shown the face.
        """
        if landmarks is None:
            self._last = None
            return self._energy
        a, b = landmarks[_PAIRS[:, 0]], landmarks[_PAIRS[:, 1]]
        # A turned head shortens the eyes' distance, the unit, and not the openings.
        size = np.linalg.norm(a - b, axis=1).astype(np.float64) * max(math.cos(yaw), 0.3)
        if self._last is not None and elapsed <= MAX_GAP_TICKS:
            square = float((_WEIGHTS * (size - self._last) ** 2).sum() / _WEIGHTS.sum())
            square -= min(MOST_TURN_SHARE * square, (TURN_SHARE * turned) ** 2)
            self._add(square / elapsed**GAP_POWER, elapsed)
        self._last = size
        return self._energy

    def _add(self, square: float, ticks: int) -> None:
        self._ticks += ticks
        # At first a plain mean, so that one early value does not linger.
        share = max(ticks / self._ticks, 1 - math.exp(-ticks / MEMORY_TICKS))
        before = 0.0 if math.isnan(self._energy) else self._energy**2
        self._energy = math.sqrt(before + share * (square - before))


def lip_log_odds(energy: float) -> float:
    """Log odds of speech given one mouth's motion; 0 where it is not known (NaN)."""
    if math.isnan(energy):
        return 0.0
    odds = SLOPE * math.log(max(energy, 1e-9) / EVEN_MOTION)
    return min(MAX_LOG_ODDS, max(-MAX_LOG_ODDS, odds))


def speaking_probabilities(
    odds: Sequence[float], voice: float, unseen_voice: float = 0.05
) -> NDArray[np.float64]:
    """How probable it is that each person speaks.

    Args:
        odds: log odds for each of ``n`` people: :func:`lip_log_odds`, 0 for hidden faces, and where faces
            are compared with the voice what that tells: as no voice fits nobody, both add up.
        voice: probability that a voice is heard; NaN without sound, then lips alone decide.
        unseen_voice: how probable a heard voice is when nobody in view speaks (someone out of view,
            a loudspeaker).

    Returns:
        ``[n]`` probabilities; they may add up to more than 1.
    """
    n = len(odds)
    if n == 0:
        return np.zeros(0)
    speaks = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.float64)  # [2^n, n]
    size = speaks.sum(1).astype(int)
    sizes = np.bincount(size)
    prior = np.array([PRIOR[min(k, 3)] / sizes[k] for k in range(n + 1)])
    heard = 1.0 if math.isnan(voice) else math.exp(_clipped_logit(voice))
    likelihood = np.where(size > 0, heard, 1 - unseen_voice + unseen_voice * heard)
    weight = prior[size] * likelihood * np.exp(speaks @ np.asarray(odds))
    return np.asarray(weight @ speaks / weight.sum())


def voice_owners(odds: Sequence[float], unseen_voice: float = 0.05) -> NDArray[np.float64]:
    """How probable it is that a voice that is heard is that of each person, if it is one voice.

    Args:
        odds: log odds that each of ``n`` people speaks, 0 for hidden faces.
        unseen_voice: as for :func:`speaking_probabilities`.

    Returns:
        ``[n]`` probabilities; what they lack to 1 is that of nobody in view.
    """
    if not len(odds):
        return np.zeros(0)
    weight = PRIOR[1] / len(odds) * np.exp(np.asarray(odds, np.float64))
    return np.asarray(weight / (PRIOR[0] * unseen_voice + weight.sum()))


def _clipped_logit(probability: float) -> float:
    edge = 1 / (1 + math.exp(MAX_VOICE_LOG_ODDS))
    p = min(1 - edge, max(edge, probability))
    return math.log(p / (1 - p))
