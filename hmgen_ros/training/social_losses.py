"""The losses of the thesis' section 3.3.4, and a gradient penalty that it does not have."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hmgen_ros.training.social_discriminators import SocialDiscriminator


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator (3.11).

    The equation is misprinted (both terms show the real continuation, and the signs would push it down);
    this is the loss of the work it cites: real scores are pushed above 1, generated ones below -1.

    Args:
        real: scores of real continuations, any shape.
        fake: scores of generated ones, any shape.
    """
    return functional.relu(1.0 - real).mean() + functional.relu(1.0 + fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Adversarial loss of the generator (3.12) from the scores of what it made."""
    return -fake.mean()


def reconstruction_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Squared distance from what really happened (3.13): summed over ticks, people and actions.

    Args:
        generated: ``[B, T, N, A]``.
        target: ``[B, T, N, A]`` one-hot; rows of zeros, where nothing is known, are left out.

    Returns:
        Mean over the batch; multiply it by λ_reco (3.14).

    Raises:
        ValueError: the shapes differ.
    """
    if generated.shape != target.shape:
        raise ValueError(f"generated {tuple(generated.shape)} and target {tuple(target.shape)} differ")
    known = target.sum(-1, keepdim=True) > 0
    return ((generated - target) * known).square().sum((1, 2, 3)).mean()


def real_gradient_penalty(
    discriminator: SocialDiscriminator, observed: Tensor, future: Tensor, present: Tensor
) -> Tensor:
    """R1 penalty: squared gradient of the score of real data with respect to the continuation.

    Args:
        discriminator: to be kept smooth around the data.
        observed: ``[B, t_obs, N, A]`` one-hot.
        future: ``[B, T, N, A]`` real continuations, one-hot.
        present: ``[B, N]`` bool.

    Returns:
        Sum over ticks, people and actions, mean over the batch; the weight (usually γ / 2) is the caller's.
    """
    future = future.detach().requires_grad_(True)
    scores = discriminator(observed, future, present)
    (gradient,) = torch.autograd.grad(scores.sum(), future, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()
