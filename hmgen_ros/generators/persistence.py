"""The simplest forecast of actions: everybody goes on with what they do.

Sampled futures repeat the last action. The probabilities know that people do something else sooner or later:
for each tick ahead one number, how often that was so in the training data, is spread over the actions by
their overall shares. Every other forecaster has to beat this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.interface import ActionPredictor, Futures

#: Counted in beside the data, so that nothing is impossible.
_PRIOR = 0.5


@dataclass(frozen=True, slots=True)
class PersistenceState:
    """What is remembered of each person.

    Attributes:
        last: ``[..., N]`` int64, the last action; ``ABSENT`` where a slot is empty.
    """

    last: Tensor


class Persistence(ActionPredictor[PersistenceState]):
    """The last action persists; see the module's text.

    Args:
        space: the joint actions.
        changed: ``[H]`` float, probability that a person does something else 1, 2, ... ``H`` ticks later;
            further ahead the last one holds.
        shares: ``[A]`` float, share of each action overall; positive, sums to 1.

    Raises:
        ValueError: a table has another shape or is no probability.
    """

    tables: Tensor

    def __init__(self, space: ActionSpace, changed: Tensor, shares: Tensor) -> None:
        super().__init__()
        self.space = space
        changed, shares = changed.detach().double().cpu(), shares.detach().double().cpu()
        if changed.dim() != 1 or not len(changed) or not bool(((changed >= 0) & (changed <= 1)).all()):
            raise ValueError(f"changed must be [H] probabilities, got shape {tuple(changed.shape)}")
        if tuple(shares.shape) != (len(space),) or not bool((shares > 0).all()):
            raise ValueError(f"shares must be {len(space)} positive numbers, got {tuple(shares.shape)}")
        if abs(float(shares.sum()) - 1.0) > 1e-4:
            raise ValueError(f"shares must sum to 1, got {float(shares.sum())}")
        self.changed, self.shares = changed, shares
        same = torch.eye(len(space), dtype=torch.float64)
        # A space of one action leaves nothing else to do.
        other = functional.normalize(shares * (1.0 - same), p=1.0, dim=-1) if len(space) > 1 else same
        tables = (1.0 - changed)[:, None, None] * same + changed[:, None, None] * other  # [H, A, A]
        # The row of zeros is what ABSENT reads.
        tables = torch.cat([tables, tables.new_zeros(len(changed), 1, len(space))], dim=1)
        self.register_buffer("tables", tables.float(), persistent=False)

    @classmethod
    def fit(cls, space: ActionSpace, sequences: Sequence[NDArray[np.int64]], steps: int = 80) -> Persistence:
        """Count from ``[T, N]`` symbols each, up to ``steps`` ticks ahead.

        Raises:
            ValueError: ``steps`` is below 1, or nobody is seen.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        seen = np.concatenate([s[s != ABSENT] for s in sequences])
        if not len(seen):
            raise ValueError("nobody is seen in the sequences")
        counts = np.bincount(seen, minlength=len(space)) + _PRIOR
        changed = [_changed_part(sequences, ahead) for ahead in range(1, steps + 1)]
        return cls(space, torch.tensor(changed), torch.from_numpy(counts / counts.sum()))

    @classmethod
    def load(cls, name: str = "persistence", device: str | torch.device = "cpu") -> Persistence:
        """The model of this name in the package's ``models/``.

        Raises:
            hmgen_ros.generators.weights.WeightsError: no such model, or its file is damaged.
        """
        return cls.from_weights(weights.load(name)).to(device)

    @classmethod
    def from_weights(cls, loaded: weights.Weights) -> Persistence:
        """The model that :meth:`to_weights` described.

        Raises:
            hmgen_ros.generators.weights.WeightsError: these are weights of something else.
        """
        config = loaded.config_of("persistence")
        try:
            space = ActionSpace.from_json(config["action_masks"])
            return cls(space, loaded.tensor("changed"), loaded.tensor("shares"))
        except (KeyError, TypeError, ValueError) as error:
            raise weights.WeightsError(f"{loaded.source}: {error}; train the model again") from error

    def to_weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors, to be written by :func:`hmgen_ros.generators.weights.save`."""
        config = {"kind": "persistence", "action_masks": self.space.to_json()}
        return config, {"changed": self.changed.clone(), "shares": self.shares.clone()}

    def initial_state(self, slots: int) -> PersistenceState:
        """State of ``slots`` empty slots."""
        return PersistenceState(torch.full((slots,), ABSENT, device=self.tables.device))

    def reset_slots(self, state: PersistenceState, slots: Tensor) -> PersistenceState:
        """Forget the history where ``slots`` (``[N]`` bool) is set."""
        return PersistenceState(state.last.masked_fill(slots, ABSENT))

    def step(self, state: PersistenceState, actions: Tensor) -> tuple[PersistenceState, Tensor]:
        """Observe ``[N]`` actions; see :meth:`ActionPredictor.step`.

        Raises:
            ValueError: an action is neither in the space nor ``ABSENT``, or the number of slots changed.
        """
        if actions.shape != state.last.shape:
            raise ValueError(f"state has {tuple(state.last.shape)} slots, got actions {tuple(actions.shape)}")
        self._check(actions)
        state = PersistenceState(actions)
        return state, self.next_probabilities(state)

    def forward(self, actions: Tensor) -> Tensor:
        """``[B, T, N]`` actions to ``[B, T, N, A]`` probabilities of the actions one tick later.

        Raises:
            ValueError: an action is neither in the space nor ``ABSENT``.
        """
        self._check(actions)
        return self.next_probabilities(PersistenceState(actions))

    def history(self, actions: Tensor, ticks: Tensor) -> PersistenceState:
        """States right after some ticks of one ``[T, N]`` sequence; see :meth:`ActionPredictor.history`."""
        self._check(actions)
        return PersistenceState(actions[ticks])

    def next_probabilities(self, state: PersistenceState) -> Tensor:
        """``[..., N, A]`` probabilities of the tick after the state; zero for absent people."""
        return self.outlook(state, 1)[0]

    def outlook(self, state: PersistenceState, steps: int) -> Tensor:
        """``[steps, ..., N, A]`` probabilities of each tick ahead; zero for absent people.

        Raises:
            ValueError: ``steps`` is below 1.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        ahead = torch.arange(steps, device=self.tables.device).clamp(max=len(self.tables) - 1)
        # ABSENT (-1) reads the last row, which is zero.
        return self.tables[ahead][:, state.last]

    def rollout(
        self, state: PersistenceState, steps: int, samples: int, generator: torch.Generator
    ) -> Tensor:
        """``[samples, steps, ..., N]`` repetitions of the last action; nothing is drawn.

        Raises:
            ValueError: ``steps`` or ``samples`` is below 1.
        """
        if steps < 1 or samples < 1:
            raise ValueError(f"steps and samples must be at least 1, got {steps} and {samples}")
        return state.last.expand(samples, steps, *state.last.shape)

    def futures(
        self, state: PersistenceState, steps: int, samples: int, generator: torch.Generator
    ) -> Futures:
        """Repetitions of the last action with the probabilities of :meth:`outlook`, which are exact."""
        return Futures(self.rollout(state, steps, samples, generator), self.outlook(state, steps))

    def _check(self, actions: Tensor) -> None:
        if actions.numel() and not ABSENT <= int(actions.min()) <= int(actions.max()) < len(self.space):
            raise ValueError(
                f"actions must be {ABSENT} (absent) to {len(self.space) - 1}, "
                f"got {actions.min()} to {actions.max()}"
            )


def _changed_part(sequences: Sequence[NDArray[np.int64]], ahead: int) -> float:
    """How often people do something else ``ahead`` ticks later."""
    changed = seen = 0
    for sequence in sequences:
        before, after = sequence[:-ahead], sequence[ahead:]
        both = (before != ABSENT) & (after != ABSENT)
        changed += int((before != after)[both].sum())
        seen += int(both.sum())
    return (changed + _PRIOR) / (seen + 2 * _PRIOR)
