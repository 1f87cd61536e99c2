"""The reference forecaster of actions: a semi-Markov model of each person given the others.

At every tick a person leaves the present joint action with a probability (the hazard) that depends on
the action, on how long it has held (its dwell, on a log scale), on whether the person spoke just before
it, and on what the voices of the *others* do; on leaving, the next action depends on the same. Hazard
and destination are folded into one table of probabilities, a row for each *situation*, so that one tick
costs one row and a sampled tick one uniform number a person. Futures are sampled for the whole group at
once: at every sampled tick the situation of each person comes from the sampled others.

The table is counted from a corpus by :mod:`hmgen_ros.training.train_semi_markov`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.interface import ActionPredictor
from hmgen_ros.generators.situation_sampler import ONE, SituationSampler
from hmgen_ros.generators.situations import SemiMarkovConfig, SemiMarkovState, Situations


class SemiMarkov(ActionPredictor[SemiMarkovState]):
    """Semi-Markov forecaster; see the module's text.

    Args:
        space: the joint actions.
        probabilities: ``[A, 2, dwells, contexts, A]`` float, the next tick's action for each situation;
            each row sums to 1 and is positive.
        chain: ``[A, A]`` float, the same whatever the situation: row is the present, column the next
            tick's action. Used where a forecast has lost track of the situation (:meth:`outlook`).
        config: what tells situations apart.

    Raises:
        ValueError: a table has another shape, or rows that are no distribution.
    """

    probabilities: Tensor
    chain: Tensor

    def __init__(
        self,
        space: ActionSpace,
        probabilities: Tensor,
        chain: Tensor,
        config: SemiMarkovConfig | None = None,
    ) -> None:
        super().__init__()
        self.space = space
        self.config = config or SemiMarkovConfig()
        self.situations = Situations(space, self.config)
        actions = len(space)
        table = _distributions("probabilities", probabilities, (*self.situations.shape, actions))
        self.register_buffer(
            "chain", _distributions("chain", chain, (actions, actions)).float(), persistent=False
        )
        table = table.reshape(-1, actions)
        absent_rows = table.new_zeros((2 * self.situations.dwells * self.situations.contexts, len(space)))
        table = torch.cat([table, absent_rows]).cpu()
        self.register_buffer("probabilities", table.float(), persistent=False)
        self._sampler = SituationSampler(self.situations, table.numpy())

    @classmethod
    def load(cls, name: str = "semi_markov", device: str | torch.device = "cpu") -> SemiMarkov:
        """The model of this name in the package's ``models/``.

        Raises:
            hmgen_ros.generators.weights.WeightsError: no such model, or its file is damaged.
        """
        return cls.from_weights(weights.load(name)).to(device)

    @classmethod
    def from_weights(cls, loaded: weights.Weights) -> SemiMarkov:
        """The model that :meth:`to_weights` described.

        Raises:
            hmgen_ros.generators.weights.WeightsError: these are weights of something else.
        """
        config = loaded.config_of("semi_markov")
        try:
            space = ActionSpace.from_json(config["action_masks"])
            settings = dict(config["situations"])
            settings["dwell_edges"] = tuple(settings["dwell_edges"])
            tables = loaded.tensor("probabilities"), loaded.tensor("chain")
            return cls(space, *tables, SemiMarkovConfig(**settings))
        except (KeyError, TypeError, ValueError) as error:
            raise weights.WeightsError(f"{loaded.source}: {error}; train the model again") from error

    def to_weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors, to be written by :func:`hmgen_ros.generators.weights.save`."""
        config = {
            "kind": "semi_markov",
            "action_masks": self.space.to_json(),
            "situations": asdict(self.config),
        }
        shape = (*self.situations.shape, len(self.space))
        rows = int(np.prod(self.situations.shape))
        table = self.probabilities[:rows].reshape(shape)
        return config, {"probabilities": table.cpu().clone(), "chain": self.chain.cpu().clone()}

    def initial_state(self, slots: int) -> SemiMarkovState:
        """State of ``slots`` empty slots."""
        return self.situations.initial(slots)

    def reset_slots(self, state: SemiMarkovState, slots: Tensor) -> SemiMarkovState:
        """Forget the history where ``slots`` (``[N]`` bool) is set."""
        fresh = self.initial_state(slots.shape[-1])
        return SemiMarkovState(
            torch.where(slots, fresh.own, state.own),
            torch.where(slots, fresh.dwell, state.dwell),
            torch.where(slots, fresh.voice, state.voice),
        )

    def step(self, state: SemiMarkovState, actions: Tensor) -> tuple[SemiMarkovState, Tensor]:
        """Observe ``[N]`` actions; see :meth:`ActionPredictor.step`.

        Raises:
            ValueError: an action is neither in the space nor ``ABSENT``, or the number of slots changed.
        """
        if actions.shape != state.own.shape:
            raise ValueError(f"state has {tuple(state.own.shape)} slots, got actions {tuple(actions.shape)}")
        self._check(actions)
        state = self.situations.advance(state, actions)
        return state, self.next_probabilities(state)

    def next_probabilities(self, state: SemiMarkovState) -> Tensor:
        """``[..., N, A]`` probabilities of the tick after the state; zero for absent people."""
        return functional.embedding(self.situations.rows(state), self.probabilities)

    def forward(self, actions: Tensor) -> Tensor:
        """``[B, T, N]`` actions to ``[B, T, N, A]`` probabilities of the actions one tick later.

        Raises:
            ValueError: an action is neither in the space nor ``ABSENT``.
        """
        self._check(actions)
        return self.next_probabilities(self.situations.history(actions))

    def outlook(self, state: SemiMarkovState, steps: int) -> Tensor:
        """Probabilities without sampling, as if the others stayed as they are.

        The first change of each person is followed exactly; what comes after it follows the chain. A
        smooth stand-in where few samples leave rare actions out; its first step is exact.

        Args:
            state: what the last step returned; fields ``[..., N]``.
            steps: ticks to look ahead, at least 1.

        Returns:
            ``[steps, ..., N, A]``; rows of absent people are zero.

        Raises:
            ValueError: ``steps`` is below 1.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        rows = self.situations.rows_ahead(state, steps)
        following = functional.embedding(rows, self.probabilities)
        action = (state.own // 2).expand(rows.shape).unsqueeze(-1).clamp(max=len(self.space) - 1)
        stays = following.gather(-1, action)
        held = torch.cat([torch.ones_like(stays[:1]), stays[:-1]]).cumprod(0)
        left = (following.scatter(-1, action, 0.0) * held).unbind()
        elsewhere = [left[0]]
        for leaving in left[1:]:
            elsewhere.append(elsewhere[-1] @ self.chain + leaving)
        return torch.stack(elsewhere).scatter_add(-1, action, held * stays)

    def rollout(self, state: SemiMarkovState, steps: int, samples: int, generator: torch.Generator) -> Tensor:
        """Sample futures of the whole group.

        Args:
            state: what the last step returned; fields ``[N]``, or ``[..., N]`` for many groups at once.
            steps: ticks to look ahead, at least 1.
            samples: futures, at least 1.
            generator: on the model's device; equally seeded ones give equal futures.

        Returns:
            ``[samples, steps, ..., N]`` int64, ``ABSENT`` in absent slots.

        Raises:
            ValueError: ``steps`` or ``samples`` is below 1.
        """
        if steps < 1 or samples < 1:
            raise ValueError(f"steps and samples must be at least 1, got {steps} and {samples}")
        shape = (steps, samples, *state.own.shape)
        device = self.probabilities.device
        uniform = torch.randint(ONE, shape, generator=generator, device=device)
        tensors = (state.own, state.dwell, state.voice, uniform)
        sampled = self._sampler.sample(*(tensor.cpu().numpy() for tensor in tensors))
        return torch.from_numpy(sampled).to(device)

    def history(self, actions: Tensor, ticks: Tensor) -> SemiMarkovState:
        """States right after some ticks of one ``[T, N]`` sequence; see :meth:`ActionPredictor.history`."""
        self._check(actions)
        states = self.situations.history(actions)
        return SemiMarkovState(states.own[ticks], states.dwell[ticks], states.voice[ticks])

    def _check(self, actions: Tensor) -> None:
        if actions.numel() and not ABSENT <= int(actions.min()) <= int(actions.max()) < len(self.space):
            raise ValueError(
                f"actions must be {ABSENT} (absent) to {len(self.space) - 1}, got up to {actions.max()}"
            )


def _distributions(name: str, table: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The table in float64, its rows summing to 1 exactly."""
    if tuple(table.shape) != shape:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(table.shape)}")
    table = table.detach().double()
    total = table.sum(-1, keepdim=True)
    if not bool((table > 0).all()) or not bool(((total - 1.0).abs() < 1e-4).all()):
        raise ValueError(f"every row of {name} must be positive and sum to 1")
    return table / total
