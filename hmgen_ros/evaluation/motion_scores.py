"""The scores of one generator of head motion against real windows.

What cannot be had is None: scores of a horizon that the tracks are too short for, and those in spreads of
tracks whose heads stand still.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hmgen_ros.data.tracks import SHORTEST, Segment
from hmgen_ros.evaluation.image_distances import ImageDistances
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_metrics import compare_dynamics, distance, diversity, face_error, frechet
from hmgen_ros.evaluation.motion_reference import (
    FEWEST,
    HORIZONS,
    LENGTHS,
    Horizon,
    LongMotion,
    Measured,
    last_windows,
    long_motion,
    measure,
    real_horizon,
    spread_of,
    starts_of,
)
from hmgen_ros.generators.head_frame import head_frame
from hmgen_ros.generators.interface import MotionPredictor

#: Ticks after which it is looked how far heads have gone.
DRIFTS = (40, 80, 200, 1000)
#: Heads that go on for the longest of these.
_LONG_HEADS = 48
#: Ticks at the end of the longest of these that the spread of motion is measured on.
_TAIL = 200
#: Heads that go less far than this, in face sizes, stand still: nothing can be told in units of their motion.
_STILL = 1e-6
#: Heads generated at once.
_AT_ONCE = 256
Scores = dict[str, float | None]


class NotFinite(ValueError):
    """A generator gave poses that are no numbers."""


class TooFewWindows(ValueError):
    """The tracks are too short or too few for any horizon."""


@dataclass(frozen=True)
class Reference:
    """Real windows of every horizon that the tracks are long enough for.

    Attributes:
        horizons: by ticks.
        long_start: ``[W, 68, 2]`` poses to go on from for very long.
        long_spread: ``[W]`` spreads of their tracks, face sizes.
        long_real: what real heads did for very long, by ticks, where tracks are long enough.
        net: the sequence network.
        images: networks behind FID, t-FID and FVD, where there are any.
    """

    horizons: dict[int, Horizon]
    long_start: Tensor
    long_spread: Tensor
    net: MotionInception
    images: ImageDistances
    long_real: dict[int, LongMotion] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        segments: Sequence[Segment],
        windows: int,
        net: MotionInception,
        images: ImageDistances | None = None,
    ) -> Reference:
        """Measure real tracks.

        Raises:
            TooFewWindows: they are too short or too few for any horizon.
        """
        found = {ticks: real_horizon(segments, ticks, windows, net) for ticks in HORIZONS}
        horizons = {ticks: horizon for ticks, horizon in found.items() if horizon is not None}
        if not horizons:
            raise TooFewWindows(f"too few windows: {too_few(segments, HORIZONS[0])}")
        count = min(windows, _LONG_HEADS)
        long = {ticks: long_motion(segments, ticks, count) for ticks in DRIFTS if ticks not in HORIZONS}
        return cls(
            horizons,
            *starts_of(segments, count),
            net,
            images or ImageDistances(),
            {ticks: found for ticks, found in long.items() if found is not None},
        )


def too_few(segments: Sequence[Segment], ticks: int) -> str:
    """Why pieces of tracks have too few windows of a horizon."""
    longest = max((len(s.landmarks) for s in segments), default=0)
    if longest <= ticks:
        return f"no track has {max(ticks + 1, SHORTEST)} ticks in a row"
    found = sum(max(0, len(s.landmarks) - ticks) for s in segments)
    return f"{2 * FEWEST} windows of {ticks + 1} ticks in a row are needed, the tracks have {found}"


def score_names() -> tuple[str, ...]:
    """All scores that there can be without networks for images, in the order of the results."""
    names: list[str] = []
    for ticks in HORIZONS:
        first = ticks == HORIZONS[0]
        names += [f"fd_motion_{ticks}"]
        names += [f"fd_motion_{n}" if first else f"fd_motion_{n}_at_{ticks}" for n in LENGTHS[:-1]]
        names += [f"fd_map_{ticks}", "fd_static" if first else f"fd_static_{ticks}"]
        names += [f"{name}_{ticks}" for name in ("velocity", "acceleration", "jerk", "spectrum")]
        names += ["static_face_error" if first else f"static_face_error_{ticks}", f"diversity_{ticks}"]
    return (*names, "diversity", *(f"drift_{ticks}" for ticks in DRIFTS), f"spread_{max(DRIFTS)}")


def score_generator(
    model: MotionPredictor[Any], reference: Reference, samples: int, seed: int, device: str = "cpu"
) -> Scores:
    """All scores of a generator that goes on from single poses.

    Args:
        model: on ``device``.
        reference: what it is compared with.
        samples: futures of each pose that diversity is measured on, at least 2; the first one is scored.
        seed: of the futures.
        device: of the model.

    Raises:
        NotFinite: it gave poses that are no numbers.
    """
    scores: Scores = {}
    for ticks, horizon in reference.horizons.items():
        futures = [futures_of(model, horizon.start, ticks, seed + i, device) for i in range(samples)]
        scores |= horizon_scores(horizon, futures[0], reference)
        ends = torch.stack([_in_face_sizes(horizon.start, future[:, -1]) for future in futures])
        real = _in_face_sizes(horizon.start, horizon.follows[:, -1])
        # Two real futures of one pose cannot be had; how far real heads go says how far apart they are.
        away = distance(real, _in_face_sizes(horizon.start, horizon.start)).square().mean().sqrt()
        scores[f"diversity_{ticks}"] = _ratio(diversity(ends), 2.0**0.5 * float(away))
    scores["diversity"] = scores[f"diversity_{min(reference.horizons)}"]
    far = futures_of(model, reference.long_start, max(DRIFTS), seed, device)
    for ticks in DRIFTS:
        scores[f"drift_{ticks}"] = _drift(reference.long_start, far[:, ticks - 1], reference.long_spread)
    return scores | _long_spread(reference.long_start, far, reference.long_spread)


def real_scores(reference: Reference) -> Scores:
    """The scores of the real windows that the generators' first poses come from.

    How far heads go for very long rests on the tracks that last so long.
    """
    scores: Scores = {}
    for ticks, horizon in reference.horizons.items():
        scores |= horizon_scores(horizon, horizon.follows, reference)
        if ticks in DRIFTS:
            scores[f"drift_{ticks}"] = _drift(horizon.start, horizon.follows[:, -1], horizon.spread)
    for ticks, (start, follows, spread) in reference.long_real.items():
        scores[f"drift_{ticks}"] = _drift(start, follows[:, -1], spread)
        if ticks == max(DRIFTS):
            scores |= _long_spread(start, follows, spread)
    return scores


def static_scores(reference: Reference) -> Scores:
    """Of heads that stand still."""
    scores: Scores = {}
    for ticks, horizon in reference.horizons.items():
        still = horizon.start.unsqueeze(1).expand(-1, ticks, -1, -1)
        scores |= horizon_scores(horizon, still, reference)
    for ticks in DRIFTS:
        scores[f"drift_{ticks}"] = _drift(reference.long_start, reference.long_start, reference.long_spread)
    still = reference.long_start.unsqueeze(1).expand(-1, _TAIL, -1, -1)
    return scores | _long_spread(reference.long_start, still, reference.long_spread)


def horizon_scores(horizon: Horizon, follows: Tensor, reference: Reference) -> Scores:
    """Distances of ``[W, ticks, 68, 2]`` futures to the real ones, of their last 40 ticks."""
    windows = last_windows(horizon.start, follows)
    found, real = measure(windows, reference.net, horizon.components), horizon.measured
    ticks = horizon.ticks
    scores: Scores = {
        f"fd_motion_{ticks}": frechet(real.activations[LENGTHS[-1]], found.activations[LENGTHS[-1]])
    }
    for length in LENGTHS[:-1]:
        name = f"fd_motion_{length}" if ticks == HORIZONS[0] else f"fd_motion_{length}_at_{ticks}"
        scores[name] = frechet(real.activations[length], found.activations[length])
    scores[f"fd_map_{ticks}"] = frechet(real.maps, found.maps)
    name = "fd_static" if ticks == HORIZONS[0] else f"fd_static_{ticks}"
    scores[name] = frechet(real.poses, found.poses)
    scores |= _dynamics(real, found, ticks)
    name = "static_face_error" if ticks == HORIZONS[0] else f"static_face_error_{ticks}"
    scores[name] = face_error(windows)
    return scores | reference.images.compare(real.windows, windows, ticks)


def _dynamics(real: Measured, found: Measured, ticks: int) -> Scores:
    compared = compare_dynamics(real.dynamics, found.dynamics)
    return {f"{name}_{ticks}": value for name, value in compared.items()}


@torch.inference_mode()
def futures_of(model: MotionPredictor[Any], start: Tensor, ticks: int, seed: int, device: str) -> Tensor:
    """``[W, ticks, 68, 2]`` futures of ``[W, 68, 2]`` poses, on the CPU; raises :class:`NotFinite`."""
    generator = torch.Generator(device=device).manual_seed(seed)
    parts = []
    for heads in start.to(device).split(_AT_ONCE):
        state, _ = model.step(model.initial_state(len(heads)), heads)
        parts.append(model.rollout(state, ticks, generator).transpose(0, 1).cpu())
    futures = torch.cat(parts)
    if not torch.isfinite(futures).all():
        wrong = int((~torch.isfinite(futures).flatten(1).all(1)).sum())
        raise NotFinite(f"{wrong} of {len(futures)} futures of {ticks} ticks are not finite")
    return futures


def _in_face_sizes(start: Tensor, poses: Tensor) -> Tensor:
    return poses / head_frame(start).size[:, None, None]


def _drift(start: Tensor, poses: Tensor, spread: Tensor) -> float | None:
    """How far ``[W, 68, 2]`` poses are from where they began, in spreads of real tracks."""
    away = distance(_in_face_sizes(start, poses), _in_face_sizes(start, start))
    return _in_spreads(away, spread)


def _long_spread(start: Tensor, far: Tensor, spread: Tensor) -> Scores:
    """Spread of the last ticks of ``[W, T, 68, 2]`` motion, in spreads of real tracks."""
    size = head_frame(start).size
    tails = zip(far[:, -_TAIL:], size, strict=True)
    found = torch.tensor([spread_of(heads / unit) for heads, unit in tails])
    return {f"spread_{max(DRIFTS)}": _in_spreads(found, spread)}


def _in_spreads(lengths: Tensor, spread: Tensor) -> float | None:
    """Root mean square of ``[W]`` face sizes, in that of ``[W]`` spreads."""
    if not float(spread.square().mean().sqrt()) > _STILL:
        return None
    return float((lengths.square().mean() / spread.square().mean()).sqrt())


def _ratio(length: float, unit: float) -> float | None:
    return length / unit if unit > _STILL else None
