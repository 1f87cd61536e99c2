"""The scores of one speech-driven generator against real faces that speak (thesis 5.4.2, 5.4.3)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from hmgen_ros.evaluation.landmark_distance import lmd, lmd_front
from hmgen_ros.evaluation.motion_metrics import compare_dynamics, frechet
from hmgen_ros.evaluation.motion_reference import LAST, last_windows, measure
from hmgen_ros.evaluation.motion_scores import NotFinite
from hmgen_ros.evaluation.speech_reference import SpeechReference
from hmgen_ros.evaluation.sync_metrics import LevelSynchrony, mean_scores, pyramid_synchrony
from hmgen_ros.generators.head_frame import head_frame, to_frame
from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.generators.syncer import SyncerPyramid
from hmgen_ros.types.sound import Kind

#: Heads generated at once.
_AT_ONCE = 256
Scores = dict[str, Any]


def score_speaker(
    model: MsSync,
    reference: SpeechReference,
    syncer: SyncerPyramid,
    seed: int,
    device: str = "cpu",
    shuffled: bool = False,
) -> Scores:
    """All scores of a generator.

    Args:
        model: on ``device``.
        reference: what it is compared with.
        syncer: that measures.
        seed: of the futures.
        device: of the model.
        shuffled: let it hear other sequences than those that it is held against.

    Raises:
        NotFinite: it gave poses that are no numbers.
    """
    faces = speak_sequences(model, reference, seed, device, shuffled)
    scores = sync_scores(faces, reference, syncer)
    heard = reference.heard(cast("Kind", model.config.features), model.config.look_ahead)
    for ticks, reels in reference.reels.items():
        start = reference.reel_starts(reels)
        future = spoken(model, start, reference.reel_sound(heard, reels), seed, device)
        scores |= dynamics_scores(last_windows(start, future), reference, ticks)
    return scores


def sync_scores(faces: Tensor, reference: SpeechReference, syncer: SyncerPyramid) -> Scores:
    """How ``[B, T, 68, 2]`` faces fit the sounds of the sequences, and how far mouths are from the true ones.

    Returns:
        See :func:`hmgen_ros.evaluation.sync_metrics.mean_scores`; ``off`` are means of absolute offsets here,
        as in the thesis, ``offset`` signed ones; ``off_std`` and ``conf_std`` are over sequences.
    """
    means = mean_scores(synchronies(faces, reference, syncer), reference.ticks)
    front = lmd_front(faces, reference.faces)
    return {
        "off": means["off_abs"],
        "conf": means["conf"],
        "off_std": means["off_std"],
        "conf_std": means["conf_std"],
        "offset": means["off"],
        "cosine": means["cosine"],
        "lmd": float(lmd(faces, reference.faces).mean()),
        "lmd_front": float(front[~front.isnan()].mean()),
    }


def synchronies(faces: Tensor, reference: SpeechReference, syncer: SyncerPyramid) -> list[LevelSynchrony]:
    """Every level's of ``[B, T, 68, 2]`` faces with the sounds of the sequences."""
    poses = to_frame(faces, head_frame(faces[:, :1])).flatten(-2)
    return pyramid_synchrony(syncer, poses, reference.heard(cast("Kind", syncer.config.features), 0))


def speak_sequences(
    model: MsSync, reference: SpeechReference, seed: int, device: str = "cpu", shuffled: bool = False
) -> Tensor:
    """``[B, T, 68, 2]`` the first poses of the sequences and what a generator makes of their sounds."""
    heard = reference.heard(cast("Kind", model.config.features), model.config.look_ahead)
    if shuffled:
        heard = heard[reference.shuffled()]
    faces = spoken(model, reference.faces[:, 0], heard[:, 1:], seed, device, heard[:, 0])
    return torch.cat([reference.faces[:, :1], faces], dim=1)


def dynamics_scores(windows: Tensor, reference: SpeechReference, ticks: int) -> Scores:
    """Distances of ``[R, 40, 68, 2]`` last ticks of a horizon's reels from the true ones."""
    real = reference.measured[ticks]
    found = measure(windows, reference.net, reference.components)
    compared = compare_dynamics(real.dynamics, found.dynamics)
    return {
        f"fd_motion_{ticks}": frechet(real.activations[LAST], found.activations[LAST]),
        f"fd_map_{ticks}": frechet(real.maps, found.maps),
        f"fd_static_{ticks}": frechet(real.poses, found.poses),
        **{f"{name}_{ticks}": value for name, value in compared.items()},
    }


def static_scores(reference: SpeechReference, syncer: SyncerPyramid) -> Scores:
    """Of faces that stand still."""
    scores = sync_scores(reference.faces[:, :1].expand_as(reference.faces), reference, syncer)
    for ticks, reels in reference.reels.items():
        still = reference.reel_starts(reels).unsqueeze(1).expand(-1, ticks, -1, -1)
        scores |= dynamics_scores(last_windows(still[:, 0], still), reference, ticks)
    return scores


def real_scores(reference: SpeechReference, syncer: SyncerPyramid) -> Scores:
    """Of the real faces; they are compared with themselves, but for dynamics, where halves are."""
    scores = sync_scores(reference.faces, reference, syncer)
    for ticks, measured in reference.measured.items():
        parts = [measure(measured.windows[i::2], reference.net, reference.components) for i in (0, 1)]
        compared = compare_dynamics(parts[0].dynamics, parts[1].dynamics)
        scores |= {
            f"fd_motion_{ticks}": frechet(*(part.activations[LAST] for part in parts)),
            f"fd_map_{ticks}": frechet(*(part.maps for part in parts)),
            f"fd_static_{ticks}": frechet(*(part.poses for part in parts)),
            **{f"{name}_{ticks}": value for name, value in compared.items()},
        }
    return scores


@torch.inference_mode()
def spoken(
    model: MsSync, start: Tensor, heard: Tensor, seed: int, device: str, before: Tensor | None = None
) -> Tensor:
    """Let heads speak.

    Args:
        model: on ``device``.
        start: ``[R, 68, 2]`` poses to go on from.
        heard: ``[R, T + look_ahead, 4, F]`` from the tick after these poses on.
        seed: of the futures.
        device: of the model.
        before: ``[R, 4, F]`` heard at the poses themselves.

    Returns:
        ``[R, T, 68, 2]``, on the CPU.

    Raises:
        NotFinite: there are poses that are no numbers.
    """
    generator = torch.Generator(device=device).manual_seed(seed)
    parts = []
    for rows in torch.arange(len(start)).split(_AT_ONCE):
        state, _ = model.step(model.initial_state(len(rows)), start[rows].to(device))
        if before is not None:
            state = model.listen(state, before[rows].to(device))
        sound = heard[rows].transpose(0, 1).to(device)
        parts.append(model.rollout_speaking(state, sound, generator).transpose(0, 1).cpu())
    found = torch.cat(parts)
    if not torch.isfinite(found).all():
        wrong = int((~torch.isfinite(found).flatten(1).all(1)).sum())
        raise NotFinite(f"{wrong} of {len(found)} heads that spoke are not finite")
    return found
