"""How far forecast heads were from where they went, and how alike to real motion they moved.

Errors are added up as the bag is played: at every tick the forecasts made so long ago are compared with what
is seen now. They are means over the same people and ticks for every model. Distances of distributions
compare whole forecasts of one second with what the same heads did in it; see
:mod:`hmgen_ros.evaluation.motion_metrics` for what they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.evaluation.bag_replay import HOLD, Tick
from hmgen_ros.evaluation.bag_stretches import Measures, Stretches, Sums
from hmgen_ros.evaluation.motion_inception import MotionInception
from hmgen_ros.evaluation.motion_metrics import (
    Dynamics,
    compare_dynamics,
    frechet,
    map_components,
    map_rows,
    pose_components,
    pose_rows,
)
from hmgen_ros.evaluation.motion_raster import in_own_frame
from hmgen_ros.evaluation.motion_reference import FEWEST
from hmgen_ros.perception.normalisation import normalise
from hmgen_ros.types import NUM_LANDMARKS, TICK_HZ, Face, HeadMotion

#: 0.04, 0.2, 0.4, 0.8, 1 and 2 s, as far as the forecasts reach.
HORIZONS = (1, 5, 10, 20, 25, 50)
#: Windows of one bag that distributions are compared on, at most.
MOST_WINDOWS = 1200
#: Ticks between the windows of one head, at least.
_STRIDE = 10


class HeadLog:
    """Adds up errors while a bag is played, and keeps some whole forecasts.

    Attributes:
        horizons: ticks.
        stretches: that the forecasts were made in.
        windows: by model, and of what happened (``real``): ``[steps + 1, 68, 2]`` pixels each.
    """

    def __init__(
        self, models: Sequence[str], steps: int, ticks: int, stretches: Stretches | None = None
    ) -> None:
        """Of forecasts of ``steps`` ticks in a bag of about ``ticks``."""
        self.horizons = tuple(h for h in HORIZONS if h <= steps)
        self.stretches = Stretches() if stretches is None else stretches
        #: Of each stretch, ``[M, H, 5]``.
        self._errors: dict[int, NDArray[np.float64]] = {}
        self.windows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in ("real", *models)}
        self._models, self._steps = tuple(models), steps
        self._stride = max(_STRIDE, -(-4 * ticks // MOST_WINDOWS))
        self._past: dict[int, Tick] = {}

    @property
    def sums(self) -> dict[str, Sums]:
        """By model ``errors`` ``[B, H, 5]`` of each stretch.

        Distance in eye distances, absolute yaw, pitch and roll in degrees, people.
        """
        empty = np.zeros((len(self._models), len(self.horizons), 5))
        rows = np.stack([self._errors.get(row, empty) for row in range(len(self.stretches))])
        return {name: {"errors": rows[:, i]} for i, name in enumerate(self._models)}

    def add(self, tick: Tick) -> None:
        """Compare what is seen now with what was forecast, and remember what is forecast now."""
        now = tick.scene.tick
        if tick.scene.reset or now <= max(self._past, default=-1):
            self._past.clear()
        self._past = {i: t for i, t in self._past.items() if i >= now - self._steps}
        self._past[now] = tick
        faces = {p.person_id: p.face for p in tick.scene.people if p.face is not None}
        for row, ahead in enumerate(self.horizons):
            before = self._past.get(now - ahead)
            if before is not None:
                self._compare(before, faces, row, ahead)
        if (now - self._steps) % self._stride == 0:
            self._keep(now - self._steps)

    def _compare(self, before: Tick, faces: Mapping[str, Face], row: int, ahead: int) -> None:
        stretch = self.stretches.row(before.scene.stamp_ns)
        errors = self._errors.setdefault(stretch, np.zeros((len(self._models), len(self.horizons), 5)))
        for motions in self._motions(before):
            face = faces.get(motions[0].person_id)
            if face is None or face.pose is None:
                continue
            pose = np.array([face.pose.yaw, face.pose.pitch, face.pose.roll])
            for model, motion in enumerate(motions):
                away = motion.landmarks_px[ahead - 1] - face.landmarks_px
                distance = np.sqrt(np.square(away, dtype=np.float64).sum() / NUM_LANDMARKS) / motion.scale_px
                turned = motion.pose[ahead - 1].astype(np.float64) - pose
                degrees = np.degrees(np.abs((turned + np.pi) % (2 * np.pi) - np.pi))
                errors[model, row] += (distance, *degrees, 1.0)

    def _motions(self, tick: Tick) -> list[list[HeadMotion]]:
        """Every model's forecast of each head that all of them forecast."""
        people = zip(*(tick.heads[name] for name in self._models), strict=True)
        return [list(motions) for motions in people if all(motion.valid for motion in motions)]

    def _keep(self, start: int) -> None:
        """Keep the windows from a tick on of the heads that were seen, as heads, at all ticks since."""
        ticks = [self._past.get(start + i) for i in range(self._steps + 1)]
        first = ticks[0]
        if first is None:
            return
        for motions in self._motions(first):
            seen = [_landmarks(tick, motions[0].person_id) for tick in ticks]
            real = [landmarks for landmarks in seen if landmarks is not None]
            if len(real) < len(seen):
                continue
            self.windows["real"].append(np.stack(real))
            for name, motion in zip(self._models, motions, strict=True):
                self.windows[name].append(np.concatenate([real[0][None], motion.landmarks_px]))


def _landmarks(tick: Tick | None, person_id: str) -> NDArray[np.float32] | None:
    """Of a person; None where they were not seen, or the face of a message has collapsed."""
    for person in tick.scene.people if tick is not None else ():
        if person.person_id == person_id and person.face is not None:
            landmarks = person.face.landmarks_px
            return None if normalise(landmarks) is None else landmarks
    return None


def head_measures(sums: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> dict[str, Measures]:
    """What can be told of any choice of stretches, from the sums ``[..., H, 5]`` of every model.

    Returns:
        By model ``error``, ``yaw``, ``pitch``, ``roll`` and their mean ``degrees``; where ``hold`` is among
        the models ``to_hold``, the error in those of it; ``[..., H]`` each. NaN where nobody was scored.
    """
    found: dict[str, Measures] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        means = {name: s["errors"][..., :4] / s["errors"][..., 4:] for name, s in sums.items()}
        for name, mean in means.items():
            found[name] = {"error": mean[..., 0], "degrees": mean[..., 1:].mean(axis=-1)}
            found[name] |= {axis: mean[..., 1 + i] for i, axis in enumerate(("yaw", "pitch", "roll"))}
            if HOLD in means:
                found[name]["to_hold"] = mean[..., 0] / means[HOLD][..., 0]
    return found


def head_support(sums: Sums) -> NDArray[np.int64]:
    """``[H]`` how many stretches of ``[B, H, 5]`` have anybody to score."""
    return np.asarray((sums["errors"][..., 4] > 0).sum(axis=0))


def head_values(
    sums: Mapping[str, Mapping[str, NDArray[np.float64]]], horizons: Sequence[int]
) -> dict[str, Any]:
    """:func:`head_measures` of all stretches and ``people`` scored, by model and horizon."""
    return {
        name: {
            f"{ticks / TICK_HZ:g}": {
                **{metric: float(value[i]) for metric, value in found.items()},
                "people": int(sums[name]["errors"][i, 4]),
            }
            for i, ticks in enumerate(horizons)
        }
        for name, found in head_measures(sums).items()
    }


@torch.inference_mode()
def head_distances(windows: Mapping[str, Sequence[NDArray[np.float32]]]) -> dict[str, dict[str, float]]:
    """Distances of each model's windows from the real ones, by model; 0 for the same windows.

    Args:
        windows: by model, and ``real``: ``[T, 68, 2]`` each, of the same heads at the same times.

    Returns:
        ``fd_motion``, ``fd_map``, ``fd_static``, ``velocity``, ``acceleration``, ``jerk``, ``spectrum`` and
        ``windows``; empty where there are too few.
    """
    if len(windows["real"]) < FEWEST:
        return {}
    net = MotionInception.load()
    real = _in_own_frame(windows["real"])
    maps, poses = map_components(real), pose_components(real)
    seen = (net.rows(real), maps(map_rows(real)), poses(pose_rows(real)))
    dynamics = Dynamics.of(real)
    found = {}
    for name in windows:
        if name == "real":
            continue
        own = _in_own_frame(windows[name])
        given = (net.rows(own), maps(map_rows(own)), poses(pose_rows(own)))
        distances = [frechet(one, other) for one, other in zip(seen, given, strict=True)]
        found[name] = {
            **dict(zip(("fd_motion", "fd_map", "fd_static"), distances, strict=True)),
            **compare_dynamics(dynamics, Dynamics.of(own)),
            "windows": float(len(own)),
        }
    return found


def _in_own_frame(windows: Sequence[NDArray[np.float32]]) -> torch.Tensor:
    return in_own_frame(torch.from_numpy(np.stack(windows)))
