"""From the decoder's probabilities to actions: drawn for use, soft or one-hot with gradients for training."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.social_networks import Decoder, Tables

#: How a training pass hands actions on: (3.6) as it stands; the same, but one-hot forwards; a one-hot draw
#: with Gumbel noise. The last two pass the gradient of the softmax on.
Soft = Literal["softmax", "straight_through", "gumbel"]


class Start(NamedTuple):
    """Where futures of ``G`` groups of ``N`` people start from."""

    actions: Tensor  # [G, N] symbols, none absent
    code: Tensor  # [G, N, H]
    present: Tensor | None  # [G, N] bool, None for everybody


def sample(
    decoder: Decoder, tables: Tables, start: Start, steps: int, samples: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Futures of whole groups, all samples of all groups at once.

    Args:
        decoder: whose configuration says whether to add noise and how to draw.
        tables: its weights, batch norm folded.
        start: the groups.
        steps: ticks.
        samples: futures of each group.
        generator: of the random numbers.

    Returns:
        ``[S, steps, G, N]`` symbols, and ``[steps, G, N, A]`` the probabilities they were drawn from, mean
        over samples. Both without meaning for absent people.
    """
    groups, people = start.actions.shape
    code = start.code.repeat(samples, 1, 1)  # [S * G, N, H]
    present = None if start.present is None else start.present.repeat(samples, 1)
    if decoder.config.noise:
        code = code + torch.randn(code.shape, generator=generator, device=code.device)
    memory = decoder.begin(tables, code, present)
    symbols, drawn, means = start.actions.repeat(samples, 1), [], []
    argmax = decoder.config.draw == "argmax"
    for _ in range(steps):
        rows = functional.embedding(symbols, tables.action)
        memory, logits = decoder.advance(tables, memory, rows, present)
        probabilities = logits.softmax(-1)
        symbols = logits.argmax(-1) if argmax else _draw(probabilities, generator)
        drawn.append(symbols)
        means.append(probabilities.view(samples, groups, people, logits.shape[-1]).mean(0))
    future = torch.stack(drawn).view(steps, samples, groups, people)
    return future.transpose(0, 1), torch.stack(means)


def hold_last(actions: Tensor) -> Tensor:
    """``[B, T, N]`` with ``ABSENT`` ticks filled by the last action before them (0 where there is none)."""
    tick = torch.arange(actions.shape[1], device=actions.device)[:, None]
    last = torch.where(actions != ABSENT, tick, 0).cummax(dim=1).values
    return actions.gather(1, last).clamp(min=0)


def _draw(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """One symbol from each ``[..., A]`` distribution."""
    shape, device = (*probabilities.shape[:-1], 1), probabilities.device
    uniform = torch.rand(shape, generator=generator, device=device)
    # The last sum may round to less than the uniform number.
    below = (probabilities.cumsum(-1) <= uniform).sum(-1)
    return below.clamp(max=probabilities.shape[-1] - 1)


def hand_on(logits: Tensor, soft: Soft, generator: torch.Generator | None) -> Tensor:
    """The ``[..., A]`` action that is shown and fed back: soft, or one-hot with the soft one's gradient."""
    if soft == "gumbel":
        waiting = torch.empty_like(logits, requires_grad=False).exponential_(generator=generator)
        logits = logits - waiting.clamp(min=1e-20).log()
    action = logits.softmax(-1)
    if soft == "softmax":
        return action
    hard = functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(action.dtype)
    return hard + action - action.detach()
