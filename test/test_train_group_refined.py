"""The adversarial refinement of the group-attention forecaster."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from rich.console import Console
from social_corpus import write_corpus

from hmgen_ros.generators import weights
from hmgen_ros.generators.group_attention import GroupAttention
from hmgen_ros.training.group_data import GroupData
from hmgen_ros.training.group_rewards import Moments, log_likelihood
from hmgen_ros.training.run_log import RunError
from hmgen_ros.training.train_group_attention import GroupAttentionTrainConfig
from hmgen_ros.training.train_group_attention import train as train_by_likelihood
from hmgen_ros.training.train_group_refined import GroupRefineConfig, command, train

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> GroupRefineConfig:
    folder, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("runs")
    write_corpus(folder, {"ES2002a": "training", "ES2002b": "training", "ES2003a": "development"})
    shared = {"data": folder, "out": out, "log_every": 1, "accelerator": "cpu", "threads": 1}
    train_by_likelihood(
        GroupAttentionTrainConfig(
            **shared, iterations=2, eval_every=2, batch=8, width=8, hidden=8, validation_samples=2
        ),
        QUIET,
    )
    return GroupRefineConfig(
        **shared, iterations=4, eval_every=2, batch=3, futures=2, likelihood_batch=8, hidden=8, warm_up=1
    )


def result(path: Path) -> dict:
    return json.loads((path / "result.json").read_text())


def test_a_run_starts_from_the_likelihoods_best_model_and_ships(
    config: GroupRefineConfig, tmp_path: Path
) -> None:
    folder = train(replace(config, ship="mine", models=tmp_path), QUIET)
    assert folder.name == "attention_refined-t40-reco0-s0"
    assert {"nll", "H_M", "SFID", "pairwise_mi"} <= result(folder)["best"].keys()
    first = weights.read(config.started_from.folder.best).tensors
    shipped = weights.load("mine", tmp_path / "manifest.yaml")
    assert GroupAttention.from_weights(shipped).space
    # The counted parts are not trained.
    for name in ("decoder.prior", "chain", "rates.flips"):
        assert torch.equal(first[name], shipped.tensors[name])
    rows = (folder / "log.csv").read_text().splitlines()
    assert {"nll_tick", "rewarded", "score_real", "score_fake"} <= set(rows[0].split(","))


def test_a_stopped_run_goes_on_to_the_same_numbers(config: GroupRefineConfig) -> None:
    whole = weights.read(train(config, QUIET) / "best.safetensors").tensors
    measured = result(config.folder.path)["last"]
    stopped = replace(config, force=True, max_minutes=1e-6)
    for _ in range(8):
        path = train(stopped, QUIET)
        if result(path)["iterations"] == 4:
            break
        stopped = replace(config, max_minutes=None)
    again = weights.read(path / "best.safetensors").tensors
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert measured == result(path)["last"]


@torch.no_grad()
def test_the_likelihood_of_a_future_is_that_of_its_ticks(config: GroupRefineConfig) -> None:
    model = GroupAttention.from_weights(weights.read(config.started_from.folder.best))
    assert config.data is not None
    data = GroupData.read(config.data / "ami_25hz", False, 1.0, 24, model.space)
    moments = Moments.of(model, data.prepared, data.complete).take(torch.arange(2), torch.device("cpu"))
    assert np.array_equal(moments.states.symbol.numpy(), moments.observed[:, -1].numpy())
    future = model.rollout(moments.states, 5, 3, torch.Generator().manual_seed(0))  # [S, T, B, N]
    found = log_likelihood(model, moments.states, future)
    for sample in range(3):
        for past in range(2):
            sequence = torch.cat([moments.observed[past], future[sample, :, past]])
            # The next tick of the code's own age is what streaming predicts; later ticks hold the code.
            state = model.arrange(_one(model, moments, past), list(range(sequence.shape[1])))
            total = 0.0
            ratios = model.rates.log_ratios(state.counts)[None]
            code, tempo = state.code[None], model.decoder.tempo(ratios)
            for age, tick in enumerate(future[sample, :, past]):
                logits = model.decoder(code, tempo, _batched(state), torch.tensor([age]))[0]
                there = (state.symbol >= 0) & (tick >= 0)
                total += float(logits.log_softmax(-1)[there, tick[there]].sum())
                state = model.history_of.advance(state, tick)
            assert float(found[sample, past]) == pytest.approx(total, abs=1e-3)


def _one(model: GroupAttention, moments: Moments, past: int):
    fields = moments.states.__dataclass_fields__
    return type(moments.states)(**{name: getattr(moments.states, name)[past] for name in fields})


def _batched(state):
    return type(state)(*(getattr(state, name)[None] for name in state.__dataclass_fields__))


def test_without_a_run_to_start_from_it_says_what_to_do(config: GroupRefineConfig) -> None:
    with pytest.raises(RunError, match="hmgen train attention --seed 7"):
        train(replace(config, seed=7), QUIET)


def test_the_command_names_what_differs_and_is_read_back() -> None:
    given = GroupRefineConfig(seed=3, batch=8, ship="mine")
    words = shlex.split(command(given))
    assert words[:3] == ["hmgen", "train", "attention-refined"]
    assert tyro.cli(GroupRefineConfig, args=words[3:]) == given


@pytest.mark.parametrize(
    ("field", "value"), [("futures", 1), ("batch", 0), ("generator_rate", 0.0), ("r1", -1.0)]
)
def test_senseless_settings_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        GroupRefineConfig(**{field: value})


def test_a_run_refused_for_its_data_leaves_nothing_behind(config: GroupRefineConfig) -> None:
    for wrong in (replace(config, batch=10_000_000), replace(config, likelihood_batch=10_000_000)):
        own = replace(wrong, force=True)
        there = own.folder.path.exists()
        with pytest.raises(ValueError, match="batch must lie between 1 and the"):
            train(own, QUIET)
        assert own.folder.path.exists() == there
