"""A forecaster of joint actions that attends to what each person in the group did, and when.

Two networks of very different cost share the work:

* the *encoder* runs once a tick. Everybody has a token made of present state and habits
  (:mod:`hmgen_ros.generators.person_history`) and tokens of the last changes with their ages; each person
  attends to all tokens of all people, which gives the person's code. Nothing depends on the order or the
  number of people;
* the *decoder* is asked at every tick of every sampled future for the probabilities of each person's next
  joint action. It sees the code, which grows old while a future goes on, how long the present action has
  held, how long ago the voice changed, and the most that any other person shows. What it says is added to
  the logarithm of a counted table (:mod:`hmgen_ros.generators.semi_markov`), which knows rare actions better
  than a network that has seen few of them.

The table holds for people in general. What these people have done more or less often than it expected of
them (:mod:`hmgen_ros.generators.event_rates`) leans the odds of every event their way, as it was when the
future began.

It follows SocialInteractionGAN (thesis section 3.3) in coding the past once and in sharing the people's
states at every generated step; other than there the past has no end, attention takes the place of the
encoder's LSTM, and time enters as relative time. Trained by likelihood in
:mod:`hmgen_ros.training.train_group_attention`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.event_rates import EventCounts, EventRates, EventRatesConfig
from hmgen_ros.generators.event_sampler import outlook, sample
from hmgen_ros.generators.group_attention_networks import Decoder, Encoder, GroupAttentionConfig
from hmgen_ros.generators.hazard_tables import Group, HazardTables
from hmgen_ros.generators.interface import ActionPredictor, Futures
from hmgen_ros.generators.person_history import History, HistoryConfig, HistoryState
from hmgen_ros.generators.situations import SemiMarkovConfig, Situations
from hmgen_ros.types import Action

KIND = "group_attention"


@dataclass(frozen=True, slots=True)
class GroupAttentionState(HistoryState):
    """What is remembered of each person, and what the encoder made of it.

    Attributes:
        observed, expected: as of :class:`hmgen_ros.generators.event_rates.EventCounts`.
        code: ``[..., N, H]`` float32.
    """

    observed: Tensor
    expected: Tensor
    code: Tensor

    @property
    def counts(self) -> EventCounts:
        """Of events."""
        return EventCounts(self.observed, self.expected)


class GroupAttention(ActionPredictor[GroupAttentionState]):
    """See the module's text.

    Args:
        space: the joint actions; speaking must be among them.
        config: sizes.

    Attributes:
        chain: ``[A, A]`` float32, rows sum to 1: the Markov chain of single people, by which (and by each
            one's tempo) the outlook follows those who have left their present action. Counted, not learned;
            set by the training.

    Raises:
        ValueError: nobody can speak in this space.
    """

    chain: Tensor

    def __init__(self, space: ActionSpace, config: GroupAttentionConfig | None = None) -> None:
        super().__init__()
        self.space, self.config = space, config or GroupAttentionConfig()
        self.history_of = History(space, self.config.history)
        if Action.SPEAKING not in self.history_of.actions:
            raise ValueError("the action space of a group needs speaking")
        situations = Situations(space, self.config.situations)
        self.rates = EventRates(self.history_of, situations, self.config.rates)
        self.encoder = Encoder(self.history_of, self.rates, self.config)
        self.decoder = Decoder(self.history_of, situations, self.rates, self.config)
        self.register_buffer("chain", torch.eye(len(space)))
        self._tables: HazardTables | None = None

    @classmethod
    def load(cls, name: str, device: str | torch.device = "cpu") -> GroupAttention:
        """The model of this name in the package's ``models/``, ready to serve.

        Raises:
            hmgen_ros.generators.weights.WeightsError: no such model, or its file is damaged.
        """
        return cls.from_weights(weights.load(name)).to(device).eval()

    @classmethod
    def from_weights(cls, loaded: weights.Weights) -> GroupAttention:
        """The model that :meth:`to_weights` described.

        Raises:
            hmgen_ros.generators.weights.WeightsError: these are weights of something else.
        """
        config = loaded.config_of(KIND)
        try:
            sizes = dict(config["sizes"])
            history = dict(sizes.pop("history"))
            history["time_constants_s"] = tuple(history["time_constants_s"])
            situations = dict(sizes.pop("situations"))
            situations["dwell_edges"] = tuple(situations["dwell_edges"])
            rates = dict(sizes.pop("rates"))
            rates["time_constants_s"] = tuple(rates["time_constants_s"])
            space = ActionSpace.from_json(config["action_masks"])
            parts = HistoryConfig(**history), SemiMarkovConfig(**situations), EventRatesConfig(**rates)
            model = cls(space, GroupAttentionConfig(*parts, **sizes))
            model.load_state_dict(loaded.tensors)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise weights.WeightsError(f"{loaded.source}: {error}; train the model again") from error
        return model.eval()

    def to_weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors, to be written by :func:`hmgen_ros.generators.weights.save`."""
        config = {"kind": KIND, "action_masks": self.space.to_json(), "sizes": asdict(self.config)}
        return config, dict(self.state_dict())

    @torch.no_grad()
    def set_table(self, probabilities: Tensor) -> None:
        """Correct this table, ``[rows, A]`` probabilities; zero rows, of absent people, give no opinion."""
        self.decoder.prior.copy_(torch.where(probabilities > 0, probabilities.log(), 0.0))
        self.rates.set_table(probabilities)

    def train(self, mode: bool = True) -> GroupAttention:
        """Switch between training and serving; the arrays for sampling are made anew."""
        self._tables = None
        super().train(mode)
        return self

    def initial_state(self, slots: int) -> GroupAttentionState:
        """State of ``slots`` empty slots."""
        past = self.history_of.initial(slots)
        code = torch.zeros(slots, self.config.hidden, device=past.weight.device)
        return _coded(past, self.rates.initial(slots), code)

    def reset_slots(self, state: GroupAttentionState, slots: Tensor) -> GroupAttentionState:
        """Forget the history where ``slots`` (``[N]`` bool) is set."""
        return self.arrange(state, [-1 if forget else place for place, forget in enumerate(slots.tolist())])

    def step(self, state: GroupAttentionState, actions: Tensor) -> tuple[GroupAttentionState, Tensor]:
        """Observe ``[N]`` actions; see :meth:`ActionPredictor.step`.

        Raises:
            ValueError: an action is neither in the space nor ``ABSENT``, or the number of slots changed.
        """
        if actions.shape != state.symbol.shape:
            raise ValueError(
                f"state has {tuple(state.symbol.shape)} slots, got actions {tuple(actions.shape)}"
            )
        self._check(actions)
        past = self.history_of.advance(state, actions)
        counts = self.rates.advance(state.counts, state, actions)
        ratios = self.rates.log_ratios(counts).unsqueeze(0)
        code = self.codes(map_state(past, lambda values: values.unsqueeze(0)), ratios)[0]
        state = _coded(past, counts, code)
        return state, self.next_probabilities(state)

    def history(self, actions: Tensor, ticks: Tensor) -> GroupAttentionState:
        """States right after some ticks of one ``[T, N]`` sequence; see :meth:`ActionPredictor.history`."""
        self._check(actions)
        states = self.history_of.of_sequence(actions)
        every = self.rates.of_sequence(states)
        counts = EventCounts(every.observed[ticks], every.expected[ticks])
        past = map_state(states, lambda values: values[ticks])
        return _coded(past, counts, self.codes(past, self.rates.log_ratios(counts)))

    def forward(self, actions: Tensor) -> Tensor:
        """``[B, T, N]`` actions to ``[B, T, N, A]`` probabilities of the actions one tick later.

        Raises:
            ValueError: an action is neither in the space nor ``ABSENT``.
        """
        every = torch.arange(actions.shape[1], device=actions.device)
        return torch.stack([self.next_probabilities(self.history(one, every)) for one in actions])

    def codes(self, past: HistoryState, ratios: Tensor, no_heads: Tensor | None = None) -> Tensor:
        """``[B, N, H]`` the encoder's codes of ``[B, N]`` people.

        Args:
            past: what is remembered of them.
            ratios: ``[B, N, singles, 4, K]`` log ratios of their rates of events.
            no_heads: ``[B]`` bool, where head gestures are not annotated; nowhere if None.
        """
        people = torch.cat([self.history_of.person_features(past), ratios.flatten(-3)], dim=-1)
        events = self.history_of.event_features(past)
        present = past.symbol != ABSENT
        if no_heads is None:
            no_heads = torch.zeros(len(present), dtype=torch.bool, device=present.device)
        codes: Tensor = self.encoder(people, events, present, no_heads)
        return codes

    @torch.no_grad()
    def next_probabilities(self, state: GroupAttentionState) -> Tensor:
        """``[..., N, A]`` probabilities of the tick after the state; zero for absent people."""
        tables, (present, codes, tempo) = self._serving(), self._present(state)
        fixed = tables.fixed(codes, present.symbol, present.previous)
        table = tables.probabilities(present, fixed, tempo, np.zeros(codes.shape[1], np.int64), 1)[..., 0]
        table[:, present.symbol == ABSENT] = 0.0
        probabilities = torch.from_numpy(table).permute(2, 1, 0)  # [R, N, A]
        return probabilities.reshape(*state.symbol.shape, len(self.space)).to(state.symbol.device)

    def rollout(
        self, state: GroupAttentionState, steps: int, samples: int, generator: torch.Generator
    ) -> Tensor:
        """Sample futures; see :meth:`ActionPredictor.rollout`."""
        return self.futures(state, steps, samples, generator).samples

    @torch.inference_mode()
    def futures(
        self, state: GroupAttentionState, steps: int, samples: int, generator: torch.Generator
    ) -> Futures:
        """Sampled futures, and probabilities from them and from what needs no sampling.

        The probabilities that the symbols were drawn from, averaged over the futures, know how people react
        to each other; :func:`hmgen_ros.generators.event_sampler.outlook` knows rare actions too.

        Raises:
            ValueError: ``steps`` or ``samples`` is below 1.
        """
        if steps < 1 or samples < 1:
            raise ValueError(f"steps and samples must be at least 1, got {steps} and {samples}")
        present, codes, tempo = self._present(state)
        lead, (people, groups) = state.symbol.shape[:-1], present.symbol.shape
        device = state.symbol.device
        uniform = torch.rand((people, groups, samples, steps), generator=generator, device=generator.device)
        tables, strata = self._serving(), self._strata(groups, samples, generator)
        found = sample(tables, present, codes, tempo, uniform.cpu().numpy(), strata)
        smooth = outlook(found.unmoved, present.symbol, tables.chains(tempo))
        weight = self.config.outlook_weight
        table = (samples * found.mean + weight * smooth) / (samples + weight)
        table /= table.sum(axis=0)
        table[:, present.symbol == ABSENT] = 0.0
        sampled = torch.from_numpy(found.symbols).permute(2, 3, 1, 0)  # [S, T, R, N]
        marginals = torch.from_numpy(table).permute(3, 2, 1, 0)  # [T, R, N, A]
        return Futures(
            sampled.reshape(samples, steps, *lead, people).to(device),
            marginals.reshape(steps, *lead, people, len(self.space)).to(device),
            torch.from_numpy(found.speaks_next.T.copy()).reshape(*lead, people).to(device),
        )

    @staticmethod
    def _strata(groups: int, samples: int, generator: torch.Generator) -> np.ndarray[Any, Any]:
        """``[R, S]`` one number in each ``S``-th of 0 to 1, in any order."""
        shape, device = (2, groups, samples), generator.device
        order, within = torch.rand(shape, generator=generator, device=device).double()
        return np.asarray(((order.argsort(dim=-1) + within) / samples).cpu().numpy())

    def _serving(self) -> HazardTables:
        """The decoder as arrays; kept while the weights do not change."""
        if self.training:
            return self.decoder.tables(self.chain)
        if self._tables is None:
            self._tables = self.decoder.tables(self.chain)
        return self._tables

    def _present(
        self, state: GroupAttentionState
    ) -> tuple[Group, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The present, the codes and the tempo as arrays, people first."""
        *lead, people = state.symbol.shape

        def array(values: Tensor) -> np.ndarray[Any, Any]:
            rest = values.shape[len(lead) + 1 :]
            plain = values.detach().cpu().numpy().reshape(math.prod(lead), people, *rest)
            return np.ascontiguousarray(plain.swapaxes(0, 1))

        ticks = (state.symbol, state.previous, -state.dwell, -state.voice)
        counters = [array(values) for values in ticks]
        tempo = self.decoder.tempo(self.rates.log_ratios(state.counts))
        return Group(*counters), array(state.code.float()), array(tempo)

    def _check(self, actions: Tensor) -> None:
        if actions.numel() and not ABSENT <= int(actions.min()) <= int(actions.max()) < len(self.space):
            raise ValueError(
                f"actions must be {ABSENT} (absent) to {len(self.space) - 1}, got {int(actions.min())} to "
                f"{int(actions.max())}"
            )


def map_state(state: HistoryState, change: Callable[[Tensor], Tensor]) -> HistoryState:
    """A state of the same kind with ``change`` applied to each tensor."""
    return type(state)(*(change(getattr(state, field.name)) for field in fields(state)))


def _coded(past: HistoryState, counts: EventCounts, code: Tensor) -> GroupAttentionState:
    kept = {field.name: getattr(past, field.name) for field in fields(HistoryState)}
    return GroupAttentionState(**kept, observed=counts.observed, expected=counts.expected, code=code)
