"""Every system of the thesis' chapter 4 by name, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Objective = Literal["adversarial", "squared_error", "energy", "likelihood", "own"]
MotionSystemName = Literal[
    "suhmo_rnn",
    "suhmo_transformer",
    "mle",
    "delta",
    "actor",
    "hit_dvae",
    "noise_driven",
    "one_sample_d_rnn",
    "one_sample_g_rnn",
    "single_scale_rnn",
    "one_sample_d_transformer",
    "one_sample_g_transformer",
    "single_scale_transformer",
]


Size = Literal["small", "thesis"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes and rates that belong together.

    Attributes:
        hidden: of the generator; ACTOR and HiT-DVAE have their own.
        judge_hidden: of the discriminators.
        judge_windows: windows of the multi-scale discriminators an iteration.
        batch: heads an iteration.
        generator_rate, discriminator_rate: Adam's learning rates.
    """

    hidden: int
    judge_hidden: int
    judge_windows: int
    batch: int
    generator_rate: float
    discriminator_rate: float


#: "thesis" are section 4.4.1's; "small" trains within minutes on one core.
SIZES: Mapping[Size, Sizes] = {
    "small": Sizes(
        hidden=128,
        judge_hidden=128,
        judge_windows=2,
        batch=32,
        generator_rate=4e-4,
        discriminator_rate=2e-4,
    ),
    "thesis": Sizes(
        hidden=1024,
        judge_hidden=1024,
        judge_windows=4,
        batch=120,
        generator_rate=2e-5,
        discriminator_rate=1e-5,
    ),
}


@dataclass(frozen=True)
class MotionSystem:
    """What one system is made of.

    Attributes:
        text: one line for tables and cards.
        model: which generator.
        objective: (4.11), the squared error alone, the energy score, or the model's own loss.
        generator: settings of the generator that differ from the defaults.
        judge: settings of the discriminators that differ.
        seeds: most observed ticks that a training sample starts with.
        small: what differs for this system where the size is "small": a model with a loss of its own learns
            at other rates than one with an adversary.
    """

    text: str
    model: Literal["suhmo", "actor", "hit_dvae", "noise_driven"] = "suhmo"
    objective: Objective = "adversarial"
    generator: Mapping[str, Any] = field(default_factory=dict)
    judge: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 1
    small: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """The validation metric that tells the best iteration, lower is better.

        An energy score is smallest for the true distribution on held-out tracks, too; an adversary's score
        and a lower bound say nothing of the kind, so all others are compared by ``fd_window``.
        """
        return "energy" if self.objective == "energy" else "fd_window"

    def sizes(self, size: Size) -> Sizes:
        """What a size means for this system."""
        return replace(SIZES[size], **self.small) if size == "small" else SIZES[size]


def _variant(network: str, name: str, generator: dict[str, Any], judge: dict[str, Any]) -> MotionSystem:
    seeds = 5 if network == "rnn" else 1
    return MotionSystem(
        f"SUHMo, {network}{name}",
        generator={"network": network, **generator},
        judge={"network": network, **judge},
        seeds=seeds,
    )


def _ablations(network: str) -> dict[str, MotionSystem]:
    return {
        f"one_sample_d_{network}": _variant(network, ", One-sample D", {}, {"joint": False}),
        f"one_sample_g_{network}": _variant(network, ", One-sample G", {"paired": False}, {}),
        f"single_scale_{network}": _variant(
            network, ", w/o multi-scale discriminator", {}, {"multi_scale": False}
        ),
    }


SYSTEMS: Mapping[str, MotionSystem] = {
    "suhmo_rnn": _variant("rnn", "", {}, {}),
    "suhmo_transformer": _variant("transformer", "", {}, {}),
    "mle": MotionSystem(
        "MLE: SUHMo's RNN with the squared error alone",
        objective="squared_error",
        seeds=5,
        small={"generator_rate": 1e-3},
    ),
    "delta": MotionSystem(
        "Δ-based: SUHMo's RNN with displacements from the first pose",
        generator={"offsets": "first"},
        seeds=5,
    ),
    "actor": MotionSystem(
        "ACTOR, conditioned on the first pose", model="actor", objective="own", small={"generator_rate": 5e-4}
    ),
    "hit_dvae": MotionSystem(
        "HiT-DVAE, from one observed pose",
        model="hit_dvae",
        objective="own",
        small={"generator_rate": 1e-3},
    ),
    "noise_driven": MotionSystem(
        "ours: LSTM driven by noise, trained by the energy score of its own futures",
        model="noise_driven",
        objective="energy",
        generator={"smoothed": True},
        seeds=5,
        small={"generator_rate": 1e-3},
    ),
    **_ablations("rnn"),
    **_ablations("transformer"),
}
