"""The two faces every generator has: whole sequences for training, one step at 25 Hz for serving.

``forward`` and ``step`` give the same numbers; a test of each generator proves it. State is explicit
and batched over ``N`` slots, so that a person enters or leaves by resetting one slot while the rest
goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.rollout import marginals

__all__ = ["ABSENT", "ActionPredictor", "Futures", "MotionPredictor"]

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Futures:
    """What a group may do next.

    Attributes:
        samples: ``[S, T, ..., N]`` int64 sampled symbols, ``ABSENT`` for absent people.
        marginals: ``[T, ..., N, A]`` float32 probabilities of each symbol at each step; zero for absent
            people, else they sum to 1.
        speaks_next: ``[..., N]`` float32 probability that each person is the first to begin to speak; None
            where the samples alone tell.
    """

    samples: Tensor
    marginals: Tensor
    speaks_next: Tensor | None = None


class StreamingPredictor(nn.Module, ABC, Generic[State]):
    """What both kinds of predictor share: a state with a slot for each person.

    Attributes:
        slot_dim: the dimension of slots in every tensor of the state, which is a dataclass of tensors and of
            dataclasses of tensors.
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
        return _arranged(state, self.initial_state(1), slots, self.slot_dim)  # type: ignore[no-any-return]


def _arranged(old: Any, fresh: Any, slots: Sequence[int], dim: int) -> Any:
    """Tensors, or dataclasses of them, with slots in another order; -1 takes the only one of ``fresh``."""
    if is_dataclass(fresh):
        parts = {
            f.name: _arranged(getattr(old, f.name), getattr(fresh, f.name), slots, dim) for f in fields(fresh)
        }
        return type(fresh)(**parts)  # type: ignore[misc]
    size = old.shape[dim]
    index = torch.tensor([size if slot < 0 else slot for slot in slots], device=old.device, dtype=torch.long)
    return torch.cat([old, fresh], dim).index_select(dim, index)


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
    def history(self, actions: Tensor, ticks: Tensor) -> State:
        """The states right after some ticks of one sequence, as streaming it would give them.

        Args:
            actions: ``[T, N]`` int64.
            ticks: ``[W]`` int64, each from 0 to ``T - 1``.

        Returns:
            A state whose tensors have the leading dimension ``W``, for :meth:`rollout` and :meth:`futures`.
        """

    @abstractmethod
    def next_probabilities(self, state: State) -> Tensor:
        """``[..., N, A]`` probabilities of the tick after a state; zero for absent people."""

    @abstractmethod
    def rollout(self, state: State, steps: int, samples: int, generator: torch.Generator) -> Tensor:
        """Sample futures of the whole group: ``[samples, steps, ..., N]`` int64, ``ABSENT`` in absent slots.

        Args:
            state: of one group (``[N]`` slots), or of several at once with leading dimensions ``...``.
            steps: length of each future in ticks, at least 1.
            samples: number of futures, at least 1.
            generator: of the random numbers; the same seed gives the same futures.
        """

    def outlook(self, state: State, steps: int) -> Tensor | None:
        """Probabilities without sampling, ``[steps, ..., N, A]``, the first step exact; zero where absent.

        None where a generator can only sample. See :func:`hmgen_ros.generators.rollout.marginals`.
        """
        return None

    def futures(self, state: State, steps: int, samples: int, generator: torch.Generator) -> Futures:
        """Sampled futures and the probabilities read off them; arguments as of :meth:`rollout`.

        A generator that knows the distribution each sampled action was drawn from should average those
        instead: the same expectation with less noise.
        """
        sampled = self.rollout(state, steps, samples, generator)
        smooth = self.outlook(state, steps)
        smooth = self.next_probabilities(state) if smooth is None else smooth
        # marginals() knows one group; several are laid side by side as if they were one.
        shape = (*sampled.shape[1:], smooth.shape[-1])
        people = sampled.flatten(2).cpu().numpy()
        rows = (steps, -1, shape[-1]) if smooth.dim() == len(shape) else (-1, shape[-1])
        table = marginals(people, smooth.reshape(rows).cpu().numpy())
        return Futures(sampled, torch.from_numpy(table).reshape(shape).to(sampled.device))


#: Seeds must be below; torch takes them up to twice as far, and a few more are counted on from each.
SEED_LIMIT = 2**63
#: More than an hour at 25 Hz, and 54 MB a head.
MOST_STEPS = 100_000


def check_steps(steps: int) -> None:
    """Raise ValueError where a rollout of head motion is asked for no step, or for too many to be held."""
    if not 1 <= steps <= MOST_STEPS:
        raise ValueError(
            f"steps must be at least 1 and at most {MOST_STEPS}, got {steps}; longer motion is made tick by "
            "tick: see FramedMotion.advance"
        )


class MotionPredictor(StreamingPredictor[State]):
    """Forecasts the landmarks of ``N`` heads, ``[68, 2]`` each, in any linear unit."""

    @abstractmethod
    def step(self, state: State, landmarks: Tensor) -> tuple[State, Tensor]:
        """Observe ``[N, 68, 2]`` (NaN rows: not seen) and predict the next tick's ``[N, 68, 2]``.

        Numbers of any kind are taken; what comes back is of the state's.
        """

    @abstractmethod
    def forward(self, landmarks: Tensor) -> Tensor:
        """``[B, T, N, 68, 2]`` to the ``[B, T, N, 68, 2]`` predicted one tick later."""

    @abstractmethod
    def rollout(self, state: State, steps: int, generator: torch.Generator) -> Tensor:
        """Future landmarks ``[steps, N, 68, 2]``; NaN for heads never seen.

        Raises:
            ValueError: ``steps`` is below 1 or above :data:`MOST_STEPS`.
        """
