"""Every system of the thesis' chapter 3 by name, and the ones it did not compare.

A system is the SocialInteractionGAN with something changed: the discriminator, the loss, the data or the
sampling. What a row does not name is as in the thesis (3.3, 3.5.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hmgen_ros.data.preparation import PreparationConfig

Objective = Literal["adversarial", "reconstruction", "likelihood"]
Relaxation = Literal["softmax", "straight_through", "gumbel"]
SystemName = Literal[
    "local_rnn",
    "simple_rnn",
    "dense_rnn",
    "cnn",
    "cnn_large",
    "local_rnn_large",
    "indiv_stream",
    "inter_stream",
    "no_gan",
    "local_rnn_35a",
    "local_rnn_3_4p",
    "local_rnn_residual",
    "likelihood",
    "likelihood_residual",
    "refined",
]


@dataclass(frozen=True)
class System:
    """What one system is made of.

    Attributes:
        text: one line for tables and cards.
        objective: what the generator is trained with: (3.11) to (3.14), (3.13) alone, or the likelihood of
            each next action given the true past (teacher forcing).
        generator: fields of :class:`hmgen_ros.generators.social.SocialConfig` that differ.
        discriminator: fields of :class:`hmgen_ros.training.social_discriminators.DiscriminatorConfig` that
            differ.
        large: the discriminator has two more scales.
        soft: how generated actions reach the discriminator: as the softmax (3.6), as one-hot vectors with
            the gradient of the softmax, or drawn at random with Gumbel noise.
        generator_rate: Adam's learning rate.
        discriminator_rate: Adam's learning rate.
        r1: weight of the gradient penalty on real data.
        lambda_likelihood: weight of the likelihood beside the adversarial loss.
        clip_norm: gradients of the generator are scaled down to this norm; 0 does not.
        warm_start: the system whose trained generator this one starts from; "" for none.
        share: part of all ticks that the action space covers.
        limit: at most so many symbols.
        group_sizes: people in a sample.
    """

    text: str
    objective: Objective = "adversarial"
    generator: Mapping[str, Any] = field(default_factory=dict)
    discriminator: Mapping[str, Any] = field(default_factory=dict)
    large: bool = False
    soft: Relaxation = "softmax"
    generator_rate: float = 2e-5
    discriminator_rate: float = 1e-5
    r1: float = 0.0
    lambda_likelihood: float = 0.0
    clip_norm: float = 0.0
    warm_start: SystemName | Literal[""] = ""
    share: float = 0.9995
    limit: int = 24
    group_sizes: tuple[int, ...] = (4,)

    def preparation(self, target: int) -> PreparationConfig:
        """How its samples are made; rare actions are read as the nearest symbol.

        The thesis' cumulative shares 0.90 and 0.99 would leave 3 and 7 symbols of the AMI meetings, whose
        people mostly listen or speak. 0.9995 gives 14, as many as the thesis has.
        """
        return PreparationConfig(
            target=target, share=self.share, limit=self.limit, other=False, group_sizes=self.group_sizes
        )


#: Futures are drawn from the probabilities that the likelihood has fitted, so the code needs no noise.
_SAMPLED = {"noise": False, "temperature": 1.0, "draw": "categorical"}
_RESIDUAL = {"residual": 3.0, "residual_trainable": True}

SYSTEMS: dict[SystemName, System] = {
    "local_rnn": System("SocialInteractionGAN: dual-stream local projection discriminator (3.8)-(3.10)"),
    "simple_rnn": System("one score for the whole sequence", discriminator={"kind": "simple_rnn"}),
    "dense_rnn": System("every hidden vector to the classifier", discriminator={"kind": "dense_rnn"}),
    "cnn": System("parallel convolutions, 16 channels", discriminator={"kind": "cnn"}),
    "cnn_large": System(
        "48 channels, two more scales", discriminator={"kind": "cnn", "channels": 48}, large=True
    ),
    "local_rnn_large": System("two more scales", large=True),
    "indiv_stream": System("without the interaction stream", discriminator={"streams": ("indiv",)}),
    "inter_stream": System("without the individual stream", discriminator={"streams": ("inter",)}),
    "no_gan": System("squared error alone (3.13)", objective="reconstruction"),
    "local_rnn_35a": System("every joint action, at most 35", share=1.0, limit=35),
    "local_rnn_3_4p": System("groups of three and of four people", group_sizes=(3, 4)),
    "local_rnn_residual": System(
        "a constant on the logit of the previous action, drawn one-hot actions to the discriminator",
        generator={"residual": 5.0, "temperature": 1.0, "draw": "categorical"},
        soft="gumbel",
    ),
    "likelihood": System(
        "maximum likelihood (teacher forcing) with sampling",
        objective="likelihood",
        generator=_SAMPLED,
        generator_rate=1e-3,
        clip_norm=1.0,
    ),
    "likelihood_residual": System(
        "maximum likelihood with sampling, residual logit on the previous action",
        objective="likelihood",
        generator={**_SAMPLED, **_RESIDUAL},
        generator_rate=1e-3,
        clip_norm=1.0,
    ),
    "refined": System(
        "likelihood_residual refined adversarially: slow discriminator, gradient penalty on real data",
        soft="gumbel",
        generator_rate=2e-5,
        discriminator_rate=1e-5,
        r1=1.0,
        lambda_likelihood=1.0,
        clip_norm=1.0,
        warm_start="likelihood_residual",
    ),
}
