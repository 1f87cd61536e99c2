"""Scores of a semi-Markov forecaster and of the simplest references on held-out meetings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.evaluation.action_metrics import liveliness, score
from hmgen_ros.evaluation.action_references import MarkovChain
from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.persistence import Persistence, PersistenceState
from hmgen_ros.generators.rollout import marginals
from hmgen_ros.generators.semi_markov import SemiMarkov
from hmgen_ros.generators.situations import SemiMarkovState
from hmgen_ros.types import TICK_HZ

#: 0.2, 0.4, 0.8 and 1.6 s.
HORIZONS = (5, 10, 20, 40)
_GROUPS_AT_ONCE = 250

Report = dict[str, dict[str, float]]


@dataclass(frozen=True)
class EvaluationConfig:
    """Which futures are forecast.

    Attributes:
        stride: ticks between the forecasts of one meeting.
        samples: sampled futures a forecast.
        seed: of the sampling.
    """

    stride: int = 50
    samples: int = 64
    seed: int = 0


def evaluate(
    models: Mapping[str, SemiMarkov],
    training: Sequence[NDArray[np.int64]],
    held_out: Sequence[NDArray[np.int64]],
    config: EvaluationConfig,
) -> Report:
    """Scores by method, e.g. ``report["semi_markov"]["nll_0.4s"]``, and statistics of the data.

    Args:
        models: forecasters over one action space, by name.
        training: ``[T, N]`` symbols each, from which the simple references are fitted.
        held_out: ``[T, N]`` symbols each, of equally many people; everybody who is seen now and at the
            horizon is scored.
        config: which futures are forecast.

    Raises:
        ValueError: a held-out sequence is shorter than a stride and the longest horizon.
    """
    space = next(iter(models.values())).space
    now, truth = _windows(held_out, config.stride)
    reference: Report = {"persistence": {}, "markov_chain": {}}
    persistence = Persistence.fit(space, training, HORIZONS[-1])
    persisting = persistence.outlook(PersistenceState(torch.from_numpy(now)), HORIZONS[-1])
    chain = MarkovChain(training, len(space))
    for horizon in HORIZONS:
        then = np.where(now == ABSENT, ABSENT, truth[:, horizon - 1])
        _note(reference["persistence"], horizon, persisting[horizon - 1].numpy(), then)
        _note(reference["markov_chain"], horizon, chain.predict(now, horizon), then)
    report: Report = {name: _evaluate_model(model, held_out, config) for name, model in models.items()}
    data = {key: round(value, 5) for key, value in asdict(liveliness(truth, space)).items()}
    return {**report, **reference, "data": data}


def _evaluate_model(
    model: SemiMarkov, held_out: Sequence[NDArray[np.int64]], config: EvaluationConfig
) -> dict[str, float]:
    generator = torch.Generator().manual_seed(config.seed)
    given: dict[int, list[NDArray[np.float32]]] = {horizon: [] for horizon in HORIZONS}
    happened: dict[int, list[NDArray[np.int64]]] = {horizon: [] for horizon in HORIZONS}
    lives: list[dict[str, float]] = []
    weights: list[int] = []
    with torch.inference_mode():
        for state, now, truth in _states(model, held_out, config.stride):
            futures = model.rollout(state, HORIZONS[-1], config.samples, generator)
            outlook = model.outlook(state, HORIZONS[-1])
            table = marginals(futures.flatten(-2).numpy(), outlook.flatten(1, 2).numpy())
            for horizon in HORIZONS:
                given[horizon].append(table[horizon - 1].reshape(*now.shape, -1))
                happened[horizon].append(np.where(now == ABSENT, ABSENT, truth[:, horizon - 1]))
            lives.append(asdict(liveliness(futures.transpose(1, 2).flatten(0, 1).numpy(), model.space)))
            weights.append(len(now))
    result: dict[str, float] = {}
    for horizon in HORIZONS:
        _note(result, horizon, np.concatenate(given[horizon]), np.concatenate(happened[horizon]))
    for key in lives[0]:
        result[key] = round(float(np.average([life[key] for life in lives], weights=weights)), 5)
    return result


def _note(into: dict[str, float], horizon: int, given: NDArray[np.floating], then: NDArray[np.int64]) -> None:
    scores = score(given, then)
    into[f"nll_{horizon / TICK_HZ}s"] = round(scores.nll, 5)
    into[f"brier_{horizon / TICK_HZ}s"] = round(scores.brier, 5)


def _ticks(length: int, stride: int) -> NDArray[np.int64]:
    return np.arange(stride, length - HORIZONS[-1], stride)


def _windows(
    held_out: Sequence[NDArray[np.int64]], stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``[W, N]`` present and ``[W, 40, N]`` future symbols; ``W`` runs over all sequences."""
    now, future = [], []
    for sequence in held_out:
        ticks = _ticks(len(sequence), stride)
        if not len(ticks):
            raise ValueError(
                f"a held-out sequence has {len(sequence)} ticks, need {stride + HORIZONS[-1] + 1}"
            )
        now.append(sequence[ticks])
        future.append(sequence[ticks[:, None] + 1 + np.arange(HORIZONS[-1])])
    return np.concatenate(now), np.concatenate(future)


def _states(
    model: SemiMarkov, held_out: Sequence[NDArray[np.int64]], stride: int
) -> Iterator[tuple[SemiMarkovState, NDArray[np.int64], NDArray[np.int64]]]:
    """The model's state, the present and the future of every window, some windows at once."""
    for sequence in held_out:
        history = model.situations.history(torch.from_numpy(sequence))
        now, future = _windows([sequence], stride)
        ticks = torch.from_numpy(_ticks(len(sequence), stride))
        for start in range(0, len(now), _GROUPS_AT_ONCE):
            chosen, part = ticks[start : start + _GROUPS_AT_ONCE], slice(start, start + _GROUPS_AT_ONCE)
            state = SemiMarkovState(history.own[chosen], history.dwell[chosen], history.voice[chosen])
            yield state, now[part], future[part]
