"""Head-motion generators from their model files, whatever kind they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hmgen_ros.generators import weights
from hmgen_ros.generators.actor import Actor
from hmgen_ros.generators.framed_motion import FramedMotion
from hmgen_ros.generators.hit_dvae import HitDvae
from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.suhmo import Suhmo

_KINDS: dict[str, type[FramedMotion[Any]]] = {
    model.KIND: model for model in (Actor, HitDvae, MsSync, NoiseDriven, Suhmo)
}


def load(name: str, device: str = "cpu") -> FramedMotion[Any]:
    """The shipped model of this name, in evaluation mode.

    Raises:
        hmgen_ros.generators.weights.WeightsError: no such model, its file is damaged, or it is no generator
            of head motion.
    """
    return from_weights(weights.load(name), device)


def read(path: Path, device: str = "cpu") -> FramedMotion[Any]:
    """The model of a file, such as a run's ``best.safetensors``; raises as :func:`load`."""
    return from_weights(weights.read(path), device)


def from_weights(found: weights.Weights, device: str = "cpu") -> FramedMotion[Any]:
    """The model of weights in memory; raises as :func:`load`."""
    kind = found.config.get("kind")
    if kind not in _KINDS:
        known = ", ".join(_KINDS)
        raise weights.WeightsError(f"{found.source} holds a model of kind {kind!r}, none of: {known}")
    return _KINDS[kind].from_weights(found).to(device)
