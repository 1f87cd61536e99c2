"""Runs one predictor over held-out meetings and adds up what its scores are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.evaluation import forecast_scores, inception
from hmgen_ros.evaluation.action_metrics import life, life_sums
from hmgen_ros.evaluation.bootstrap import add_to_blocks, interval, resample
from hmgen_ros.evaluation.coupling import lag_sums
from hmgen_ros.evaluation.held_out import FUTURE, TURN, HeldOut, Moments
from hmgen_ros.evaluation.inception import InceptionNet
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.interface import ActionPredictor, Futures
from hmgen_ros.types import TICK_HZ

#: 0.2, 0.4, 0.8, 1.6 and 3.2 s.
HORIZONS = (5, 10, 20, 40, 80)
HORIZON_NAMES = tuple(f"{ticks / TICK_HZ:g}" for ticks in HORIZONS)
#: Ticks of the futures that H_M, H_C, SFID, coupling, dwells and onsets are measured over.
LIFE = 40
#: SFID compares so many futures of each moment with the data; more cost time and hardly move it.
SFID_FUTURES = 4
#: The Fréchet distance is too slow for as many replicates as the other measures have.
SFID_REPLICATES = 100
_MOMENTS_AT_ONCE = 200

Values = dict[str, NDArray[np.float64]]


class Translation:
    """From one action space to another, symbol by symbol.

    Args:
        source: of the symbols that come in.
        target: of the symbols that go out; a joint action it lacks becomes the nearest one.
    """

    def __init__(self, source: ActionSpace, target: ActionSpace) -> None:
        into = target.encode_array(np.array(source.masks))
        self._symbols = np.append(into, ABSENT)
        self._one_hot = np.eye(len(target), dtype=np.float32)[into]  # [A, A']
        self._same = source.masks == target.masks

    def symbols(self, symbols: NDArray[np.int64]) -> NDArray[np.int64]:
        """Any shape, ``ABSENT`` stays."""
        return symbols if self._same else self._symbols[symbols]

    def probabilities(self, given: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[..., A]`` to ``[..., A']``: those of joint actions that become one are added up."""
        return given if self._same else given @ self._one_hot


@dataclass(frozen=True, slots=True)
class ModelSums:
    """What one model's scores are made of, in totals over blocks of time.

    Attributes:
        totals: ``[B, ...]`` by name.
        sequences: ``[B, ...]`` moments of the activations of whole sequences of sampled futures.
    """

    totals: Values
    sequences: inception.Moments


def life_totals(
    windows: NDArray[np.int64], block: NDArray[np.int64], blocks: int, space: ActionSpace
) -> Values:
    """Totals ``[B, ...]`` for :func:`values` of ``[W, S, 80, N]`` windows.

    Lags reach over all ticks, everything else over the first 40.
    """
    totals: Values = {}
    for start in range(0, len(windows), _MOMENTS_AT_ONCE):
        part = windows[start : start + _MOMENTS_AT_ONCE]
        sums = {**life_sums(part[:, :, :LIFE], space), "lags": lag_sums(part, space)}
        add_to_blocks(totals, sums, block[start : start + _MOMENTS_AT_ONCE], blocks)
    return totals


def sequence_moments(
    net: InceptionNet, windows: Sequence[NDArray[np.int64]], block: Sequence[NDArray[np.int64]], blocks: int
) -> inception.Moments:
    """Moments ``[B, ...]`` of the activations of the first 40 ticks of people in ``[W, T, N]`` windows.

    Args:
        net: over the space of the symbols.
        windows: of several meetings, which may have different numbers of people.
        block: ``[W]`` of each.
        blocks: how many there are.
    """
    rows, places = [], []
    for part, where in zip(windows, block, strict=True):
        sequences, window = inception.complete_sequences(part[:, :LIFE])
        rows.append(sequences)
        places.append(where[window])
    return inception.sum_moments(
        inception.activations(net, np.concatenate(rows)), np.concatenate(places), blocks
    )


class ModelRun:
    """One predictor on all held-out meetings.

    Args:
        predictor: any action predictor.
        space: of the scores; the predictor's own symbols are translated.
        net: for SFID.
        samples: futures of each moment.
        seed: of the futures.
        device: of the predictor.
    """

    def __init__(
        self,
        predictor: ActionPredictor[Any],
        space: ActionSpace,
        net: InceptionNet,
        samples: int,
        seed: int,
        device: str,
    ) -> None:
        self._predictor, self._space, self._net, self._samples = predictor.eval(), space, net, samples
        self._device = torch.device(device)
        self._generator = torch.Generator(device=self._device).manual_seed(seed)
        self._translate = Translation(predictor.space, space)
        self._to_net = Translation(space, net.space)

    @torch.inference_mode()
    def score(self, meetings: Sequence[HeldOut], blocks: int, advance: Callable[[int], None]) -> ModelSums:
        """Forecast from every moment; calls ``advance`` with how many are done."""
        totals: Values = {}
        sequences, places = [], []
        speaking: list[tuple[NDArray[Any], ...]] = []
        for meeting in meetings:
            for part, futures, found in self._forecasts(meeting, meeting.windows, FUTURE):
                given = found.marginals.transpose(0, 1)
                add_to_blocks(totals, self._sums(part, futures, given), part.block, blocks)
                for sample in range(min(SFID_FUTURES, self._samples)):
                    sequences.append(self._to_net.symbols(futures[:, sample]))
                    places.append(part.block)
                advance(len(part))
            for part, futures, found in self._forecasts(meeting, meeting.ends, TURN):
                speaking.append(self._speaker_scores(part, futures, found.speaks_next))
                advance(len(part))
        totals["speakers"] = _speaker_totals(speaking, blocks)
        return ModelSums(totals, sequence_moments(self._net, sequences, places, blocks))

    def _forecasts(
        self, meeting: HeldOut, moments: Moments, steps: int
    ) -> Iterator[tuple[Moments, NDArray[np.int64], Futures]]:
        """Moments, their ``[W, S, steps, N]`` futures in the space of the scores, and what was predicted."""
        actions = torch.from_numpy(self._predictor.space.encode_array(meeting.masks)).to(self._device)
        for start in range(0, len(moments), _MOMENTS_AT_ONCE):
            part = moments.part(start, _MOMENTS_AT_ONCE)
            state = self._predictor.history(actions, torch.from_numpy(part.ticks).to(self._device))
            found = self._predictor.futures(state, steps, self._samples, self._generator)
            sampled = found.samples.permute(2, 0, 1, 3).cpu().numpy()
            futures = self._translate.symbols(sampled)
            # What happened there is not known either: both are measured over the same ticks of people.
            futures = np.where(part.future[:, None] == ABSENT, ABSENT, futures)
            yield part, futures, found

    def _sums(self, part: Moments, futures: NDArray[np.int64], marginals: torch.Tensor) -> Values:
        horizons = np.array(HORIZONS) - 1
        given = self._translate.probabilities(marginals[:, horizons].cpu().numpy())
        scores, bins = forecast_scores.probability_sums(given, part.future[:, horizons])
        onsets = forecast_scores.onset_sums(
            futures[:, :, :LIFE], part.future[:, :LIFE], part.now, self._space
        )
        return {
            **life_sums(futures[:, :, :LIFE], self._space),
            "lags": lag_sums(futures, self._space),
            "scores": scores,
            "bins": bins,
            "onsets": onsets,
        }

    def _speaker_scores(
        self, part: Moments, futures: NDArray[np.int64], known: torch.Tensor | None
    ) -> tuple[NDArray[Any], ...]:
        """``[R]`` score, whether next and block of every person seen at some turn ends."""
        score = forecast_scores.first_to_speak(futures, self._space)  # [K, N]
        if known is not None:
            score = known.double().cpu().numpy()
        spoke = forecast_scores.first_to_speak(part.future[:, None], self._space) > 0
        seen = part.now != ABSENT
        return score[seen], spoke[seen], np.broadcast_to(part.block[:, None], seen.shape)[seen]


def values(totals: Mapping[str, NDArray[np.float64]]) -> Values:
    """Every measure from sums ``[...]`` over blocks: those that the sums allow.

    ``nll``, ``brier`` and ``ece`` are means over the five horizons; beside them are their values at each,
    ``nll_by_horizon`` and so on, ``[..., 5]``.
    """
    result: Values = dict(life(totals))
    if "scores" in totals:
        for name, value in forecast_scores.probability_values(totals["scores"], totals["bins"]).items():
            result[name], result[f"{name}_by_horizon"] = value.mean(axis=-1), value
        result["onset_f1"] = forecast_scores.onset_f1(totals["onsets"])
        result["next_speaker_auc"] = forecast_scores.auc(totals["speakers"])
    return result


def total_values(totals: Mapping[str, NDArray[np.float64]]) -> Values:
    """:func:`values` of all blocks ``[B, ...]`` together."""
    return values({name: part.sum(axis=0) for name, part in totals.items()})


def replicate_values(totals: Mapping[str, NDArray[np.float64]], draws: NDArray[np.float64]) -> Values:
    """:func:`values` of each bootstrap replicate, ``[R]`` each; ``draws`` ``[R, B]``."""
    return values(resample(totals, draws))


def sfid_values(
    real: inception.Moments, generated: inception.Moments, draws: NDArray[np.float64]
) -> tuple[float, list[float]]:
    """SFID from moments ``[B, ...]`` and its interval; NaN where fewer than two sequences are whole."""
    replicates = [
        _distance(_weighed(real, drawn), _weighed(generated, drawn)) for drawn in draws[:SFID_REPLICATES]
    ]
    every = np.ones(draws.shape[1])
    return _distance(_weighed(real, every), _weighed(generated, every)), interval(np.array(replicates))


def halves_distance(moments: inception.Moments) -> float:
    """Distance of every second block of ``[B, ...]`` from the others: what SFID says of equally real sets."""
    odd = np.arange(len(moments.count), dtype=np.float64) % 2.0
    return _distance(_weighed(moments, odd), _weighed(moments, 1 - odd))


def _weighed(moments: inception.Moments, weight: NDArray[np.float64]) -> inception.Moments:
    parts = (np.tensordot(weight, part, axes=1) for part in (moments.count, moments.total, moments.square))
    return inception.Moments(*map(np.asarray, parts))


def _distance(one: inception.Moments, other: inception.Moments) -> float:
    if min(float(one.count), float(other.count)) < 2:
        return float("nan")
    return inception.frechet_distance(one, other)


def _speaker_totals(parts: Sequence[tuple[NDArray[Any], ...]], blocks: int) -> NDArray[np.float64]:
    if not parts:
        return np.zeros((blocks, 0, 2))
    score, spoke, block = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return forecast_scores.speaker_sums(score, spoke, block, blocks)
