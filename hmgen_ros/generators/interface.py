"""The two faces every generator has: whole sequences for training, one step at 25 Hz for serving.

``forward`` and ``step`` give the same numbers; a test of each generator proves it. State is explicit
and batched over ``N`` slots, so that a person enters or leaves by resetting one slot while the rest
goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from hmgen_ros.generators.action_space import ABSENT, ActionSpace

__all__ = ["ABSENT", "ActionPredictor", "MotionPredictor"]

State = TypeVar("State")


class StreamingPredictor(nn.Module, ABC, Generic[State]):
    """What both kinds of predictor share: a state with a slot for each person.

    Attributes:
        slot_dim: the dimension of slots in every tensor of the state, which is a dataclass of tensors.
    """

    slot_dim: int = 0

    @abstractmethod
    def initial_state(self, slots: int) -> State:
        """State of ``slots`` empty slots."""

    @abstractmethod
    def reset_slots(self, state: State, slots: Tensor) -> State:
        """Forget the history where ``slots`` (``[N]`` bool) is set; the other slots keep theirs."""

    def arrange(self, state: State, slots: Sequence[int]) -> State:
        """The state whose slot ``i`` is the old slot ``slots[i]``, or an empty one where that is -1.

        This is how people enter, leave and change places in one stream.
        """
        fresh: Any = self.initial_state(1)
        arranged = {}
        for field in fields(fresh):
            old, new = getattr(state, field.name), getattr(fresh, field.name)
            size = old.shape[self.slot_dim]
            index = torch.tensor(
                [size if slot < 0 else slot for slot in slots], device=old.device, dtype=torch.long
            )
            arranged[field.name] = torch.cat([old, new], self.slot_dim).index_select(self.slot_dim, index)
        return type(fresh)(**arranged)  # type: ignore[no-any-return]


class ActionPredictor(StreamingPredictor[State]):
    """Forecasts the joint action of every person in a group.

    Actions are indices of :attr:`space`, ``ABSENT`` where a slot is empty or unknown.
    """

    space: ActionSpace

    @abstractmethod
    def step(self, state: State, actions: Tensor) -> tuple[State, Tensor]:
        """Observe one tick.

        Args:
            state: what the previous step returned.
            actions: ``[N]`` int64.

        Returns:
            The new state and ``[N, A]`` probabilities of the next tick's actions; rows of absent
            slots are zero.
        """

    @abstractmethod
    def forward(self, actions: Tensor) -> Tensor:
        """``[B, T, N]`` int64 actions to ``[B, T, N, A]`` probabilities of the actions one tick later."""

    @abstractmethod
    def rollout(self, state: State, steps: int, samples: int, generator: torch.Generator) -> Tensor:
        """Sample futures of the whole group: ``[samples, steps, N]`` int64, ``ABSENT`` in absent slots."""

    def outlook(self, state: State, steps: int) -> Tensor | None:
        """Probabilities without sampling, ``[steps, N, A]``, the first step exact; zero in absent slots.

        None where a generator can only sample. See :func:`hmgen_ros.generators.rollout.marginals`.
        """
        return None


class MotionPredictor(StreamingPredictor[State]):
    """Forecasts the landmarks of ``N`` heads, ``[68, 2]`` each, in any linear unit."""

    @abstractmethod
    def step(self, state: State, landmarks: Tensor) -> tuple[State, Tensor]:
        """Observe ``[N, 68, 2]`` (NaN rows: not seen) and predict the next tick's ``[N, 68, 2]``."""

    @abstractmethod
    def forward(self, landmarks: Tensor) -> Tensor:
        """``[B, T, N, 68, 2]`` to the ``[B, T, N, 68, 2]`` predicted one tick later."""

    @abstractmethod
    def rollout(self, state: State, steps: int, generator: torch.Generator) -> Tensor:
        """Future landmarks ``[steps, N, 68, 2]``; NaN for heads never seen."""
