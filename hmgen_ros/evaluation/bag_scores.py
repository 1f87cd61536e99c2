"""One bag played and scored: sums over its stretches, which can be added up over bags."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hmgen_ros.evaluation.bag_action_log import ActionLog
from hmgen_ros.evaluation.bag_actions import action_sums
from hmgen_ros.evaluation.bag_heads import HeadLog, head_distances
from hmgen_ros.evaluation.bag_inputs import Choice, Inputs, choose
from hmgen_ros.evaluation.bag_reader import Bag, BagError
from hmgen_ros.evaluation.bag_replay import Digest, Replay, ReplaySettings, Tick
from hmgen_ros.evaluation.bag_stretches import Stretches, Sums
from hmgen_ros.evaluation.bag_truth import BagTruth
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.generators.group_forecaster import ACTION_PREDICTORS, DEFAULT_ACTION_PREDICTOR
from hmgen_ros.generators.seats import steps_of
from hmgen_ros.types import TICK_HZ, Scene

#: A median delay beyond this, s, is no delay but another clock.
_SAME_CLOCK_S = 60.0


@dataclass(frozen=True)
class BagSettings:
    """How one bag is played and scored.

    Attributes:
        choice: of topics.
        replay: models.
        truth: file with who spoke when; None: what was perceived later is what happened.
        truth_start_s: how far the bag begins into the recording of that file.
    """

    choice: Choice = field(default_factory=Choice)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    truth: Path | None = None
    truth_start_s: float = 0.0


@dataclass
class BagScores:
    """What one bag gave.

    Attributes:
        facts: what was in it and what became of it.
        starts: stamps at which its stretches begin, ns.
        actions: sums of every stretch by model.
        heads: the same.
        distances: distances of head motion by model.
        horizons: ticks of actions and of heads.
        perceived: true speech that was perceived, that was not, and speech that was none; 0 without truth.
        timing: wall-clock compute times.
        log: everything about actions, for plots; None once they are drawn.
        names: of perceived people in the truth file.
    """

    facts: dict[str, Any]
    starts: tuple[int, ...]
    actions: dict[str, Sums]
    heads: dict[str, Sums]
    distances: dict[str, dict[str, float]]
    horizons: tuple[tuple[int, ...], tuple[int, ...]]
    perceived: np.ndarray
    timing: dict[str, Any]
    log: ActionLog | None
    names: dict[str, str]


def score_bag(
    path: Path,
    settings: BagSettings,
    progress: Callable[[float, float], None],
    listeners: Sequence[Callable[[Tick], None]] = (),
) -> BagScores:
    """Play a bag and score its forecasts.

    Args:
        path: of the bag.
        settings: topics, models, truth.
        progress: called with the seconds of the bag that have been played and with all there are.
        listeners: called with every tick.

    Raises:
        BagError: it cannot be used; says why in one line.
        hmgen_ros.evaluation.perception_truth.SceneError: the truth file cannot be used.
        ValueError, RuntimeError, OSError: a model cannot be had.
    """
    if settings.truth is not None:
        # What is wrong with it is said before the bag has been played.
        BagTruth(settings.truth, 0)
    with Bag(path) as bag:
        inputs = choose(bag, settings.choice)
        if bag.duration_s <= 0.0:
            raise BagError(f"{path}: its messages span no time; there is nothing to forecast")
        return _Run(bag, inputs, settings, listeners).play(progress)


class _Run:
    """One bag from the first tick to the scores."""

    def __init__(
        self, bag: Bag, inputs: Inputs, settings: BagSettings, listeners: Sequence[Callable[[Tick], None]]
    ) -> None:
        self._bag, self._inputs, self._settings, self._listeners = bag, inputs, settings, listeners
        self._replay = Replay(bag, inputs, settings.replay)
        self._digest = Digest()
        self._people: dict[str, int] = {}
        self._first_ns = self._last_ns = 0
        self._resets = self._ticks = self._missed = self._most = 0

    def play(self, progress: Callable[[float, float], None]) -> BagScores:
        s = self._settings.replay
        spaces = self._replay.forecasters.spaces
        stretches = Stretches()
        actions = ActionLog(_common_space(spaces), spaces, steps_of(s.horizon_s), stretches)
        ticks = round(self._bag.duration_s * TICK_HZ)
        heads = HeadLog(self._replay.forecasters.heads, steps_of(s.head_horizon_s), ticks, stretches)
        clock = (time.monotonic(), time.process_time())
        for tick in self._replay.ticks():
            if not self._ticks:
                # Models are loaded now.
                clock = (time.monotonic(), time.process_time())
            self._note(tick.scene)
            self._digest.add(tick)
            actions.add(tick)
            # Forecasts of heads wait for what happens; images need not.
            heads.add(replace(tick, frame=None))
            for listener in self._listeners:
                listener(tick)
            progress((self._last_ns - self._first_ns) / 1e9, self._bag.duration_s)
        if not self._ticks:
            raise BagError(f"{self._bag.path}: no tick could be made of it: {self._why()}")
        played = (time.monotonic() - clock[0], time.process_time() - clock[1])
        return self._scores(actions, heads, played)

    def _why(self) -> str:
        """Why nothing came of a bag."""
        if self._replay.counts["unstamped"]:
            return "its images are not stamped; try --stamps received"
        if self._inputs.last_error:
            return self._inputs.last_error
        return f"{self._bag.counts['undecodable']} messages do not fit their definition"

    def _note(self, scene: Scene) -> None:
        if not self._ticks:
            self._first_ns = scene.stamp_ns
        elif scene.reset:
            self._resets += 1
        self._last_ns = scene.stamp_ns
        self._ticks += 1
        self._missed += scene.missed_ticks
        self._most = max(self._most, len(scene.people))
        for person in scene.people:
            self._people[person.person_id] = self._people.get(person.person_id, 0) + 1

    def _scores(self, actions: ActionLog, heads: HeadLog, played: tuple[float, float]) -> BagScores:
        truth: BagTruth | None = None
        names: dict[str, str] = {}
        if self._settings.truth is not None:
            truth = BagTruth(self._settings.truth, self._first_ns, self._settings.truth_start_s)
        sums = action_sums(actions, truth)
        perceived = np.zeros(3)
        facts = self._facts()
        if truth is not None:
            perceived = truth.heard
            facts["counts"] |= dict(truth.counts.items())
            for segment in actions.segments:
                names |= truth.labels(segment)
        return BagScores(
            facts,
            tuple(actions.stretches.starts),
            sums,
            heads.sums,
            head_distances(heads.windows),
            (actions.horizons, heads.horizons),
            perceived,
            self._timing(*played),
            actions,
            names,
        )

    def _facts(self) -> dict[str, Any]:
        counts: dict[str, int] = {}
        for part in (self._bag.counts, self._inputs.counts, self._replay.counts):
            for cause, amount in part.items():
                counts[cause] = counts.get(cause, 0) + amount
        return {
            "bag": str(self._bag.path),
            "duration_s": self._bag.duration_s,
            "source": "images" if self._inputs.people is None else "people",
            "topics": self._inputs.names(),
            "ticks": self._ticks,
            "missed_ticks": self._missed,
            "breaks": self._resets,
            "people": {"ids": len(self._people), "at_once": self._most, "ticks": self._people},
            "counts": counts,
            "last_dropped": self._inputs.last_error,
            "latency": {name: _delay(values) for name, values in sorted(self._inputs.delays_ns.items())},
            "digest": self._digest.hexadecimal(),
        }

    def _timing(self, seconds: float, cpu_seconds: float) -> dict[str, Any]:
        """Milliseconds a tick of each part, which run beside each other; speed once models are loaded."""
        found = {}
        for name in self._replay.times.mean_ms():
            window = self._replay.times.window(name)
            found[name] = {"mean": window.mean(), "p50": window.percentile(50), "p99": window.percentile(99)}
        length = (self._last_ns - self._first_ns) / 1e9
        return {
            "milliseconds": found,
            "play_seconds": seconds,
            "play_cpu_seconds": cpu_seconds,
            "real_time": length / max(seconds, 1e-9),
            "real_time_cpu": length / max(cpu_seconds, 1e-9),
        }


def _common_space(spaces: Mapping[str, ActionSpace]) -> ActionSpace:
    """That of the default predictor, whoever forecasts, so that results of several runs can be compared."""
    known = spaces.get(DEFAULT_ACTION_PREDICTOR)
    return ACTION_PREDICTORS[DEFAULT_ACTION_PREDICTOR]("cpu").space if known is None else known


def _delay(values: Sequence[int]) -> dict[str, Any]:
    """From stamp to receipt in milliseconds; says so where that means nothing."""
    ms = np.array(values) / 1e6
    p50, p99 = (float(np.percentile(ms, q)) for q in (50, 99))
    found: dict[str, Any] = {"messages": len(values), "p50_ms": p50, "p99_ms": p99}
    if not ms.any():
        return {**found, "note": "received in the time of the stamps: recorded faster than real time"}
    if abs(p50) > 1e3 * _SAME_CLOCK_S or p50 < 0:
        return {**found, "note": "stamps and recorder have different clocks"}
    return found
