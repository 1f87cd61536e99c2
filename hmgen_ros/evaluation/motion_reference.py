"""What generators of head motion are compared with: real windows of held-out tracks, measured once.

Real windows of a horizon are dealt out in turn: every other one is what is compared with (the reference), the
poses that the rest begin with are what generators go on from, and these windows themselves are the ``real``
row: another half of the same tracks. All rows therefore rest on equally many windows of the same speakers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmgen_ros.data.tracks import Segment
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_metrics import (
    Components,
    Dynamics,
    Floats,
    distance,
    map_components,
    map_rows,
    pose_components,
    pose_rows,
)
from hmgen_ros.evaluation.motion_raster import in_own_frame
from hmgen_ros.generators.head_frame import head_frame, to_frame

#: Ticks to be generated, and how many of the last ones are looked at (thesis 4.4.2).
HORIZONS, LAST = (40, 80), 40
#: Lengths of the windows that the sequence network reads, of the last ticks.
LENGTHS = (10, 20, 40)
#: Fewer windows than these say nothing.
FEWEST = 8
#: Random pairs of poses of each track that its spread is measured on.
_PAIRS = 400


@dataclass(frozen=True)
class Horizon:
    """Real windows of one horizon.

    Attributes:
        ticks: that generators go on for.
        start: ``[W, 68, 2]`` pixels: poses to go on from.
        follows: ``[W, ticks, 68, 2]`` pixels: what these heads did.
        spread: ``[W]`` of the track each comes from, see :func:`spread_of`.
        measured: of the reference windows' last ticks.
        components: of motion maps and of poses.
    """

    ticks: int
    start: Tensor
    follows: Tensor
    spread: Tensor
    measured: Measured
    components: tuple[Components, Components]


class LongMotion(NamedTuple):
    """What real heads did for very long.

    Attributes:
        start: ``[W, 68, 2]`` pixels.
        follows: ``[W, T, 68, 2]`` pixels: what came next.
        spread: ``[W]`` of the track each comes from, see :func:`spread_of`.
    """

    start: Tensor
    follows: Tensor
    spread: Tensor


@dataclass(frozen=True)
class Measured:
    """What Fréchet distances and distributions are taken of.

    Attributes:
        activations: ``[W, hidden]`` by length of the window.
        maps, poses: rows of components.
        dynamics: of the head channels.
        windows: ``[W, 40, 68, 2]`` the last ticks, in the frames of their first poses.
    """

    activations: dict[int, Floats]
    maps: Floats
    poses: Floats
    dynamics: Dynamics
    windows: Tensor


def last_windows(start: Tensor, follows: Tensor) -> Tensor:
    """``[W, 40, 68, 2]`` last ticks of what followed ``[W, 68, 2]`` poses, in their first poses' frames.

    Where fewer ticks followed, the pose that they began with is the first one.
    """
    whole = torch.cat([start.unsqueeze(1), follows], dim=1)
    return in_own_frame(whole[:, -LAST:])


def measure(windows: Tensor, net: MotionInception, components: tuple[Components, Components]) -> Measured:
    """Measure ``[W, 40, 68, 2]`` windows from :func:`last_windows`."""
    device = net.units.device
    activations = {n: net.rows(in_own_frame(windows[:, -n:]).to(device)) for n in LENGTHS}
    maps, poses = components
    return Measured(
        activations, maps(map_rows(windows)), poses(pose_rows(windows)), Dynamics.of(windows), windows
    )


def real_horizon(
    segments: Sequence[Segment], ticks: int, windows: int, net: MotionInception
) -> Horizon | None:
    """The windows of one horizon; None where the tracks are too short for :data:`FEWEST`.

    Args:
        segments: pieces of tracks.
        ticks: that generators go on for.
        windows: at most so many to go on from, and as many to compare with.
        net: the sequence network.
    """
    whole, spread = _cut(segments, ticks + 1, 2 * windows)
    if len(whole) < 2 * FEWEST:
        return None
    reference = last_windows(whole[::2, 0], whole[::2, 1:])
    components = (map_components(reference), pose_components(reference))
    begun = whole[1::2]
    return Horizon(
        ticks,
        begun[:, 0],
        begun[:, 1:],
        spread[1::2],
        measure(reference, net, components),
        components,
    )


def spread_of(landmarks: Tensor, seed: int = 0) -> float:
    """Root mean square distance of two poses of a ``[T, 68, 2]`` track at any two times, face sizes."""
    placed = to_frame(landmarks, head_frame(landmarks[:1]))
    draws = np.random.default_rng(seed).integers(0, len(placed), (2, _PAIRS))
    apart = distance(placed[draws[0]], placed[draws[1]])
    return float(apart.square().mean().sqrt())


def starts_of(segments: Sequence[Segment], count: int) -> tuple[Tensor, Tensor]:
    """``[W, 68, 2]`` poses to go on from for very long, and the ``[W]`` spreads of their tracks."""
    whole, spread = _cut(segments, 1, count)
    return whole[:, 0], spread


def long_motion(segments: Sequence[Segment], ticks: int, count: int) -> LongMotion | None:
    """At most ``count`` windows of real motion of ``ticks``; None where no track lasts so long."""
    whole, spread = _cut(segments, ticks + 1, count)
    return LongMotion(whole[:, 0], whole[:, 1:], spread) if len(whole) else None


def _cut(segments: Sequence[Segment], ticks: int, count: int) -> tuple[Tensor, Tensor]:
    """``[W, ticks, 68, 2]`` windows, evenly from all there are, at most ``count``, and ``[W]`` spreads."""
    long_enough = [s for s in segments if len(s.landmarks) >= ticks]
    places = [(i, t) for i, s in enumerate(long_enough) for t in range(len(s.landmarks) - ticks + 1)]
    if not places:
        return torch.zeros(0, ticks, 68, 2), torch.zeros(0)
    chosen = np.linspace(0, len(places) - 1, min(count, len(places))).astype(np.int64)
    spreads = _spreads(long_enough)
    windows, spread = [], []
    for place in chosen:
        segment, tick = places[place]
        windows.append(torch.from_numpy(long_enough[segment].landmarks[tick : tick + ticks]))
        spread.append(spreads[long_enough[segment].track.name])
    return torch.stack(windows), torch.tensor(spread)


def _spreads(segments: Sequence[Segment]) -> dict[str, float]:
    """By track; its pieces are taken together, as it is one head in front of one camera."""
    tracks: dict[str, list[Tensor]] = {}
    for segment in segments:
        tracks.setdefault(segment.track.name, []).append(torch.from_numpy(segment.landmarks))
    return {name: float(np.mean([spread_of(piece) for piece in pieces])) for name, pieces in tracks.items()}
