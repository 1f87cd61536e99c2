"""SocialInteractionGAN's generator as a predictor: whole futures for training, one tick at 25 Hz for use.

The thesis' chapter 3. Each person's last 60 ticks are encoded by themselves; the decoder then plays the
whole group forward, every person informed of the others by max pooling at every step, so a group may have
any size. A person is present where the last observed tick saw them; everybody else has no future.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, get_args

import torch
from torch import Tensor
from torch.nn import functional

from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.interface import ActionPredictor, Futures
from hmgen_ros.generators.layers import folded, linear
from hmgen_ros.generators.social_networks import Decoder, Encoder, SocialConfig, SocialState
from hmgen_ros.generators.social_sampling import Soft, Start, hand_on, hold_last, sample


class SocialGenerator(ActionPredictor[SocialState]):
    """Generator of SocialInteractionGAN (thesis section 3.3.2).

    :meth:`generate` and :meth:`log_likelihood_logits` are differentiable, for training. The faces of
    :class:`ActionPredictor` are not, and always use the batch norm's running statistics.

    Args:
        space: the joint actions.
        config: sizes and options.
    """

    def __init__(self, space: ActionSpace, config: SocialConfig | None = None) -> None:
        super().__init__()
        self.space = space
        self.config = config or SocialConfig()
        self.embedding = linear(len(space), self.config.embedding, bias=False, spectral=self.config.spectral)
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(len(space), self.config)

    @classmethod
    def load(cls, name: str = "social", device: str | torch.device = "cpu") -> SocialGenerator:
        """The model of this name in the package's ``models/``, for use.

        Raises:
            hmgen_ros.generators.weights.WeightsError: no such model, or its file is damaged.
        """
        return cls.from_weights(weights.load(name)).to(device).eval()

    @classmethod
    def from_weights(cls, loaded: weights.Weights, spectral: bool = False, **changes: Any) -> SocialGenerator:
        """The model that :meth:`to_weights` described.

        Args:
            loaded: the file's content.
            spectral: give the linear layers spectral norms again, to go on training, if they were trained
                with them; the numbers stay as far as the norms had converged.
            **changes: other values for fields of :class:`SocialConfig` that change no shape, e.g. ``draw``
                or ``noise``. ``residual`` is among the tensors and stays what it was.

        Raises:
            hmgen_ros.generators.weights.WeightsError: these are weights of something else, or a change
                does not fit them.
        """
        config = loaded.config_of("social")
        try:
            space = ActionSpace.from_json(config["action_masks"])
            settings = SocialConfig(**config["settings"])
            model = cls(space, replace(settings, spectral=False, **changes))
            model.load_state_dict(loaded.tensors)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise weights.WeightsError(f"{loaded.source}: {error}; train the model again") from error
        if spectral and settings.spectral:
            model.add_spectral_norm()
        return model

    def add_spectral_norm(self) -> None:
        """Give the plain linear layers spectral norms, around the weights they have."""
        if self.config.spectral:
            return
        self.config = replace(self.config, spectral=True)
        for layer in (self.embedding, self.decoder.deep, self.decoder.out):
            torch.nn.utils.parametrizations.spectral_norm(layer)

    def to_weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors, to be written by :func:`hmgen_ros.generators.weights.save`.

        Spectral norms are multiplied in, so that loading needs none and serving is fast.
        """
        config = {
            "kind": "social",
            "action_masks": self.space.to_json(),
            "settings": asdict(self.config),
        }
        return config, {name: tensor.cpu() for name, tensor in folded(self).items()}

    def generate(
        self,
        observed: Tensor,
        steps: int,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        soft: Soft = "softmax",
    ) -> Tensor:
        """Futures as the discriminators see them, differentiable (3.1) to (3.6).

        Args:
            observed: ``[B, t_obs, N]`` int64; people whose last tick is ``ABSENT`` have no future.
            steps: length of the future in ticks, at least 1.
            noise: ``[B, N, H]`` z of (3.2); drawn where None, if the configuration has noise.
            generator: of the random numbers; the default one where None.
            soft: how actions are handed on.

        Returns:
            ``[B, steps, N, A]``, sums to 1 over the last axis; zero for absent people.

        Raises:
            ValueError: bad actions, ``steps`` below 1, or ``soft`` is none of the three.
        """
        _check_steps(steps, 1)
        if soft not in get_args(Soft):
            raise ValueError(f"soft must be one of {get_args(Soft)}, got {soft!r}")
        seen, mask, embedding, code = self._codes(observed)
        if noise is None and self.config.noise:
            noise = torch.randn(code.shape, generator=generator, device=code.device)
        tables = self.decoder.tables(embedding, fold=not self.training)
        memory = self.decoder.begin(tables, code if noise is None else code + noise, mask)
        action = functional.one_hot(observed[:, -1].clamp(min=0), len(self.space)).to(code.dtype)
        futures, updates = [], steps if self.training else None
        for _ in range(steps):
            rows = action @ tables.action
            memory, logits = self.decoder.advance(tables, memory, rows, mask, updates)
            futures.append(action := hand_on(logits, soft, generator))
        return torch.stack(futures, dim=1) * seen[:, None, :, None]

    def log_likelihood_logits(self, observed: Tensor, target: Tensor, noise: Tensor | None = None) -> Tensor:
        """Teacher-forced logits, for training by maximum likelihood.

        Args:
            observed: ``[B, t_obs, N]`` int64.
            target: ``[B, T, N]`` int64, what happened next; where it is ``ABSENT`` the person is taken to
                go on, and the caller leaves those ticks out of the loss.
            noise: ``[B, N, H]`` z of (3.2); zero where None.

        Returns:
            ``[B, T, N, A]`` logits of each target tick, divided by the temperature; without meaning for
            people whose last observed tick is ``ABSENT``.

        Raises:
            ValueError: bad actions, or the shapes do not fit.
        """
        if target.dim() != 3 or target.shape[::2] != observed.shape[::2]:
            raise ValueError(f"target {tuple(target.shape)} does not fit observed {tuple(observed.shape)}")
        self._check(target)
        _, mask, embedding, code = self._codes(observed)
        tables = self.decoder.tables(embedding, fold=not self.training)
        memory = code if noise is None else code + noise
        previous = hold_last(torch.cat([observed[:, -1:], target[:, :-1]], dim=1))
        return self.decoder.teacher_forced(tables, memory, previous, mask, normalise=self.training)

    def initial_state(self, slots: int) -> SocialState:
        """State of ``slots`` empty slots."""
        device = self.decoder.residual.device
        actions = torch.full((slots, self.config.observed), ABSENT, device=device)
        return SocialState(actions, torch.zeros(slots, self.config.hidden, device=device))

    def reset_slots(self, state: SocialState, slots: Tensor) -> SocialState:
        """Forget the history where ``slots`` (``[N]`` bool) is set."""
        return SocialState(
            state.actions.masked_fill(slots.unsqueeze(-1), ABSENT),
            state.code.masked_fill(slots.unsqueeze(-1), 0.0),
        )

    @torch.no_grad()
    def step(self, state: SocialState, actions: Tensor) -> tuple[SocialState, Tensor]:
        """Observe ``[N]`` actions; see :meth:`ActionPredictor.step`.

        Raises:
            ValueError: an action is neither in the space nor ``ABSENT``, or the number of slots changed.
        """
        if actions.shape != state.actions.shape[:-1]:
            slots = tuple(state.actions.shape[:-1])
            raise ValueError(f"state has {slots} slots, got actions {tuple(actions.shape)}")
        self._check(actions)
        window = torch.cat([state.actions[..., 1:], actions.unsqueeze(-1)], dim=-1)
        state = SocialState(window, self.encoder.windows(window, self.embedding.weight))
        return state, self.next_probabilities(state)

    @torch.no_grad()
    def next_probabilities(self, state: SocialState) -> Tensor:
        """``[..., N, A]`` probabilities of the tick after the state, without noise; zero if absent."""
        last, code = state.grouped()
        seen = last != ABSENT
        tables = self.decoder.tables(self.embedding.weight, fold=True)
        memory = self.decoder.begin(tables, code, _mask(seen))
        rows = functional.embedding(last.clamp(min=0), tables.action)
        _, logits = self.decoder.advance(tables, memory, rows, _mask(seen))
        probabilities = logits.softmax(-1) * seen.unsqueeze(-1)
        return probabilities.reshape(*state.actions.shape[:-1], len(self.space))

    @torch.no_grad()
    def forward(self, actions: Tensor) -> Tensor:
        """``[B, T, N]`` actions to ``[B, T, N, A]`` probabilities of the actions one tick later.

        Raises:
            ValueError: an action is neither in the space nor ``ABSENT``.
        """
        self._check(actions)
        return self.next_probabilities(self._states(actions))

    @torch.no_grad()
    def history(self, actions: Tensor, ticks: Tensor) -> SocialState:
        """States right after some ticks of one ``[T, N]`` sequence; see :meth:`ActionPredictor.history`."""
        self._check(actions)
        return self._states(actions.unsqueeze(0), ticks)

    @torch.no_grad()
    def rollout(self, state: SocialState, steps: int, samples: int, generator: torch.Generator) -> Tensor:
        """Sample futures of the whole group; see :meth:`ActionPredictor.rollout`.

        Raises:
            ValueError: ``steps`` or ``samples`` is below 1.
        """
        return self._play(state, steps, samples, generator)[0]

    @torch.no_grad()
    def futures(self, state: SocialState, steps: int, samples: int, generator: torch.Generator) -> Futures:
        """Sampled futures and probabilities; see :meth:`ActionPredictor.futures`.

        With ``draw`` "categorical" the probabilities are the mean of those that the actions were drawn
        from; with "argmax" they are frequencies among the samples.
        """
        if self.config.draw == "argmax":
            return super().futures(state, steps, samples, generator)
        return Futures(*self._play(state, steps, samples, generator))

    def _play(
        self, state: SocialState, steps: int, samples: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """``[S, steps, ..., N]`` samples and ``[steps, ..., N, A]`` mean probabilities of their draws."""
        _check_steps(steps, samples)
        last, code = state.grouped()
        seen = last != ABSENT
        tables = self.decoder.tables(self.embedding.weight, fold=True)
        start = Start(last.clamp(min=0), code, _mask(seen))
        future, means = sample(self.decoder, tables, start, steps, samples, generator)
        people = state.actions.shape[:-1]
        future = torch.where(seen, future, ABSENT).reshape(samples, steps, *people)
        return future, (means * seen.unsqueeze(-1)).reshape(steps, *people, len(self.space))

    def _codes(self, observed: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Who is present ``[B, N]``, that as a mask, the embedding ``[E, A]`` and the codes ``[B, N, H]``."""
        if observed.dim() != 3 or observed.shape[1] < 1:
            raise ValueError(
                f"observed must be [B, t_obs, N] with a tick at least, got {tuple(observed.shape)}"
            )
        self._check(observed)
        embedding = self.embedding.weight
        symbols = observed.transpose(1, 2)
        code = self.encoder(symbols.flatten(0, 1), embedding)
        seen = observed[:, -1] != ABSENT
        return seen, _mask(seen), embedding, code.view(*seen.shape, -1)

    def _states(self, actions: Tensor, ticks: Tensor | None = None) -> SocialState:
        """States after ticks of ``[B, T, N]``: all, or those asked for with ``B`` 1, then without ``B``."""
        batch, _, people = actions.shape
        before = actions.new_full((batch, self.config.observed - 1, people), ABSENT)
        windows = torch.cat([before, actions], dim=1).unfold(1, self.config.observed, 1)  # [B, T, N, t_obs]
        if ticks is not None:
            windows = windows[0, ticks]
        return SocialState(windows, self.encoder.windows(windows, self.embedding.weight))

    def _check(self, actions: Tensor) -> None:
        if actions.numel() and not ABSENT <= int(actions.min()) <= int(actions.max()) < len(self.space):
            raise ValueError(
                f"actions must be {ABSENT} (absent) to {len(self.space) - 1}, "
                f"got {int(actions.min())} to {int(actions.max())}"
            )


def _check_steps(steps: int, samples: int) -> None:
    if steps < 1 or samples < 1:
        raise ValueError(f"steps and samples must be at least 1, got {steps} and {samples}")


def _mask(seen: Tensor) -> Tensor | None:
    """None where everybody is present: then pooling and norms have no one to leave out."""
    return None if bool(seen.all()) else seen
