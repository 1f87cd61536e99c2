"""How well perception tells nods, shakes and tilts from everything else that heads do.

    PYTHONPATH=. python benchmarks/head_gestures.py [--part test] [--sequences N] [--json FILE]

Real people's heads, tracked, with synthetic gestures laid over them, of 4 to 25 degrees from turning point to
turning point at 1.5 to 5 Hz, among glances, looks down, changes of posture, slow drift, the dips of stressed
syllables, trembling cameras, landmark noise, slow cameras and lost pictures. Sequences with nods and shakes
alone are judged as well as those with tilts among them. Beside that: how often a gesture is told of heads as
they were recorded, which talk and do not gesture on purpose.

An event is found where what is told overlaps it, or comes at most 6 ticks after its end; each counts once.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gesture_tracks import TICKS, Base, GestureTrack, compose_all, pose_of, read_bases
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hmgen_ros.data.ami import CorpusError
from hmgen_ros.perception.gesture_network import KINDS, GestureNetwork
from hmgen_ros.perception.gestures import GestureProbabilities, HeadGesture
from hmgen_ros.perception.hysteresis import Latch
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.types import TICK_HZ, HeadPose

Bools = NDArray[np.bool_]
#: A detection may end an event's overlap so late; and the lateness that the second tick score forgives.
AFTER_TICKS, FORGIVEN_TICKS = 6, 4
#: Widest swings in degrees.
SWINGS = ((4, 6), (6, 10), (10, 25))


@dataclass
class Counted:
    """Hits, false alarms and misses.

    Attributes:
        ticks: of ticks.
        late: of ticks, found ones moved ``FORGIVEN_TICKS`` earlier.
        events: of whole gestures.
        delays: ticks from the beginning of each found gesture until it is told.
        swings: of each gesture its widest swing, degrees, and whether it was found.
        kinds: ``[3, 3]`` ticks of each kind of gesture (rows) on which each kind was likeliest.
    """

    ticks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, np.int64))
    late: NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, np.int64))
    events: NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, np.int64))
    delays: list[int] = field(default_factory=list)
    swings: list[tuple[float, bool]] = field(default_factory=list)
    kinds: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 3), np.int64))

    def add(self, track: GestureTrack, found: tuple[Bools, list[GestureProbabilities]]) -> None:
        """What :func:`told` made of one sequence."""
        held, probabilities = found
        true = track.truth > 0
        self.ticks += _tally(true, held)
        self.late += _tally(true[:-FORGIVEN_TICKS], held[FORGIVEN_TICKS:])
        free = runs(held)
        for begin, end in runs(true):
            hits = [(a, b) for a, b in free if a < end + AFTER_TICKS and b > begin]
            self.events += [1, 0, 0] if hits else [0, 0, 1]
            self.swings.append((float(track.swing[begin]), bool(hits)))
            if hits:
                free.remove(hits[0])
                self.delays.append(max(0, hits[0][0] - begin))
        self.events[1] += len(free)
        for tick, one in zip(track.ticks, probabilities, strict=True):
            if track.truth[tick] and held[tick]:
                self.kinds[track.truth[tick] - 1, int(np.argmax(one))] += 1

    def recalls(self) -> dict[str, float]:
        """Share of gestures found, by ``SWINGS``."""
        found = {}
        for low, high in SWINGS:
            hits = [hit for swing, hit in self.swings if low <= swing < high]
            found[f"{low} to {high}"] = float(np.mean(hits)) if hits else math.nan
        return found

    @property
    def figures(self) -> dict[str, float]:
        """F1 scores, precision and recall of events, and the median delay in seconds."""
        hits, false, missed = (int(n) for n in self.events)
        return {
            "events": f1(self.events),
            "ticks": f1(self.ticks),
            "late": f1(self.late),
            "event_precision": hits / max(1, hits + false),
            "event_recall": hits / max(1, hits + missed),
            "delay_s": float(np.median(self.delays)) / TICK_HZ if self.delays else math.nan,
        }


def f1(tally: NDArray[np.int64]) -> float:
    """Of hits, false alarms and misses."""
    return float(2 * tally[0] / max(1, 2 * tally[0] + tally[1] + tally[2]))


def _tally(true: Bools, found: Bools) -> NDArray[np.int64]:
    return np.array([(true & found).sum(), (~true & found).sum(), (true & ~found).sum()], np.int64)


def runs(values: Bools) -> list[tuple[int, int]]:
    """First index and index after the last of each run of what is true."""
    edges = np.diff(np.concatenate([[0], values.astype(int), [0]]))
    return list(zip(*(np.flatnonzero(edges == e).tolist() for e in (1, -1)), strict=True))


def told(
    poses: Sequence[HeadPose | None], ticks: NDArray[np.int64], network: GestureNetwork
) -> tuple[Bools, list[GestureProbabilities]]:
    """``[T]`` whether perception says that a gesture holds, and what it is told at ``ticks``."""
    head, latch = HeadGesture(network), Latch(PerceptionConfig().gesture)
    held, found = [], []
    for pose, elapsed in zip(poses, np.diff(ticks, prepend=-1).tolist(), strict=True):
        found.append(head.update(pose, elapsed))
        held.append(latch.update(found[-1].any, elapsed))
    return np.array(held)[np.searchsorted(ticks, np.arange(TICKS), side="right") - 1], found


def judge(tracks: Sequence[GestureTrack], network: GestureNetwork) -> Counted:
    """All sequences together."""
    counted = Counted()
    for track in tracks:
        counted.add(track, told(track.poses, track.ticks, network))
    return counted


def undisturbed(bases: Sequence[Base], network: GestureNetwork) -> dict[str, float]:
    """By speaker, the share of ticks on which a gesture is told of heads as they were recorded."""
    shares: dict[str, list[float]] = {}
    for base in bases:
        poses = [pose_of(points, base.size) for points in base.points]
        held, _ = told(poses, np.arange(TICKS), network)
        shares.setdefault(base.speaker, []).append(float(held.mean()))
    return {speaker: float(np.mean(own)) for speaker, own in sorted(shares.items())}


def measure(bases: Sequence[Base], count: int, seed: int, network: GestureNetwork) -> dict[str, Any]:
    """Everything that is printed."""
    by_kinds = {
        "nods, shakes": compose_all(bases, count, seed, ("nod", "shake")),
        "nods, shakes, tilts": compose_all(bases, count, seed + 1),
    }
    everything = [track for tracks in by_kinds.values() for track in tracks]
    parts = {
        **by_kinds,
        "25 images a second": [t for t in everything if len(t.ticks) == TICKS],
        "fewer images": [t for t in everything if len(t.ticks) < TICKS],
        **{f"head of {who}": [t for t in everything if t.base.speaker == who] for who in _speakers(bases)},
    }
    overall = judge(everything, network)
    return {
        "parts": {name: judge(tracks, network).figures for name, tracks in parts.items()},
        "recall_by_swing_deg": overall.recalls(),
        "kinds": overall.kinds.tolist(),
        "undisturbed": undisturbed(bases, network),
    }


def _speakers(bases: Sequence[Base]) -> list[str]:
    return sorted({base.speaker for base in bases})


def show(console: Console, found: dict[str, Any]) -> None:
    """Print what :func:`measure` gives."""
    columns = ("events", "event_precision", "event_recall", "ticks", "late", "delay_s")
    table = Table("sequences", *columns, title="F1 of head gestures")
    for name, figures in found["parts"].items():
        table.add_row(name, *(f"{figures[column]:.3f}" for column in columns))
    console.print(table)
    recalls = ", ".join(f"{name}: {value:.3f}" for name, value in found["recall_by_swing_deg"].items())
    console.print(f"recall of events by widest swing in degrees: {recalls}", soft_wrap=True)
    for kind, row in zip(KINDS, found["kinds"], strict=True):
        parts = ", ".join(
            f"{other} {count / max(1, sum(row)):.3f}" for other, count in zip(KINDS, row, strict=True)
        )
        console.print(f"ticks of a {kind} that is told are called {parts}")
    quiet = ", ".join(f"{who} {share:.4f}" for who, share in found["undisturbed"].items())
    console.print(f"share of ticks with a gesture told of heads as recorded: {quiet}", soft_wrap=True)


def main() -> None:
    """Measure and print; exits with 2 and one line where the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of tracks (default: HMGEN_DATA)")
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--sequences", type=int, default=100, help="of 12 s, of each of two kinds")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    try:
        network, bases = GestureNetwork(), read_bases(args.part, args.data)
    except (CorpusError, RuntimeError, OSError) as error:
        print(f"head_gestures: {error}", file=sys.stderr)
        sys.exit(2)
    found = measure(bases, args.sequences, args.seed, network)
    show(Console(), found)
    if args.json is not None:
        args.json.write_text(json.dumps({"part": args.part, **found}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
