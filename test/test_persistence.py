"""The last action persists: streaming, futures, fitted probabilities, files."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from test_ami import corpus  # noqa: F401 (a fixture)

from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.persistence import Persistence, PersistenceState
from hmgen_ros.training.train_persistence import PersistenceTrainConfig, train

SPACE = ActionSpace((0, 0b10, 0b100, 0b1000, 0b1010))
SHARES = torch.tensor([0.5, 0.2, 0.1, 0.1, 0.1])
MODEL = Persistence(SPACE, torch.tensor([0.1, 0.2, 0.4]), SHARES)
ACTIONS = st.lists(st.lists(st.integers(ABSENT, 4), min_size=3, max_size=3), min_size=1, max_size=8)


@given(ACTIONS)
def test_streaming_equals_batch_and_history(rows: list[list[int]]) -> None:
    actions = torch.tensor(rows)
    state, steps, states = MODEL.initial_state(3), [], []
    for tick in actions:
        state, following = MODEL.step(state, tick)
        steps.append(following)
        states.append(state.last)
    assert torch.equal(torch.stack(steps), MODEL(actions[None])[0])
    ticks = torch.arange(len(actions))
    assert torch.equal(torch.stack(states), MODEL.history(actions, ticks).last)


@given(ACTIONS)
def test_rows_are_distributions_or_zero(rows: list[list[int]]) -> None:
    state = PersistenceState(torch.tensor(rows))
    found = MODEL.outlook(state, 5)
    torch.testing.assert_close(found.sum(-1), (state.last != ABSENT).float().expand(5, -1, -1))
    assert torch.equal(found[3], found[2])  # beyond what was counted the last one holds


def test_futures_repeat_and_probabilities_spread_by_shares() -> None:
    state = PersistenceState(torch.tensor([[1, ABSENT], [0, 0]]))
    futures = MODEL.futures(state, 4, 6, torch.Generator())
    assert futures.samples.shape == (6, 4, 2, 2)
    assert torch.equal(futures.samples, state.last.expand(6, 4, 2, 2))
    expected = torch.tensor([0.5, 0.0, 0.1, 0.1, 0.1]) / 0.8 * 0.2
    expected[1] = 0.8
    torch.testing.assert_close(futures.marginals[1, 0, 0], expected)
    assert not futures.marginals[:, 0, 1].any()


def test_people_enter_and_leave() -> None:
    state = MODEL.step(MODEL.initial_state(3), torch.tensor([1, 2, 3]))[0]
    assert MODEL.arrange(state, [2, -1, 0]).last.tolist() == [3, ABSENT, 1]
    assert MODEL.reset_slots(state, torch.tensor([True, False, False])).last.tolist() == [ABSENT, 2, 3]
    assert MODEL.futures(MODEL.initial_state(0), 2, 3, torch.Generator()).samples.shape == (3, 2, 0)


def test_fit_counts_changes_and_shares() -> None:
    period = np.repeat(np.arange(5), 10)
    sequence = np.tile(period, 400)[:, None]
    model = Persistence.fit(SPACE, [sequence, np.full((30, 2), ABSENT)], 12)
    np.testing.assert_allclose(model.changed[:9], np.arange(1, 10) / 10, atol=1e-3)
    np.testing.assert_allclose(model.changed[9:], 1.0, atol=1e-3)
    np.testing.assert_allclose(model.shares, 0.2, atol=1e-3)


def test_fit_of_independent_actions_gives_their_shares() -> None:
    actions = np.random.default_rng(0).integers(0, 5, (5000, 2))
    model = Persistence.fit(SPACE, [actions], 5)
    table = model.outlook(PersistenceState(torch.arange(5)), 5)
    np.testing.assert_allclose(table, 0.2, atol=0.03)


@pytest.mark.parametrize(
    ("changed", "shares", "message"),
    [
        (torch.tensor([1.5]), SHARES, "changed"),
        (torch.zeros(0), SHARES, "changed"),
        (torch.tensor([0.5]), SHARES[:4], "5 positive"),
        (torch.tensor([0.5]), SHARES * 2, "sum to 1"),
    ],
)
def test_bad_tables_are_named(changed: torch.Tensor, shares: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Persistence(SPACE, changed, shares)


def test_bad_calls_are_named() -> None:
    state = MODEL.initial_state(2)
    with pytest.raises(ValueError, match="slots"):
        MODEL.step(state, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="got 0 to 5"):
        MODEL.step(state, torch.tensor([0, 5]))
    with pytest.raises(ValueError, match="steps"):
        MODEL.rollout(state, 0, 1, torch.Generator())
    with pytest.raises(ValueError, match="nobody"):
        Persistence.fit(SPACE, [np.full((3, 2), ABSENT)])
    with pytest.raises(ValueError, match="steps"):
        PersistenceTrainConfig(steps=0)


def test_weights_round_trip() -> None:
    config, tensors = MODEL.to_weights()
    again = Persistence.from_weights(weights.Weights("here", config, tensors))
    assert again.space == SPACE
    assert torch.equal(again.tables, MODEL.tables)
    with pytest.raises(weights.WeightsError, match="shares"):
        Persistence.from_weights(weights.Weights("here", config, {"changed": tensors["changed"]}))


def test_training_writes_a_model_that_loads(corpus: Path) -> None:  # noqa: F811
    path = train(PersistenceTrainConfig(corpus, corpus / "models", 0.99), Console(file=StringIO()))
    manifest = corpus / "models" / "manifest.yaml"
    model = Persistence.from_weights(weights.load("persistence", manifest))
    assert path.name == "persistence.safetensors"
    assert len(model.changed) == 80
    assert 0 < model.changed[0] < model.changed[-1] < 1
    entry = weights.read_manifest(manifest)["persistence"]
    assert entry["command"] == "hmgen train persistence --share 0.99"
    assert entry["sha256"] in (corpus / "models" / "persistence.md").read_text()


def test_shipped_model_knows_that_people_change() -> None:
    model = Persistence.load()
    assert len(model.changed) == 80
    assert 0.005 < model.changed[0] < 0.02
    assert bool((model.changed[1:] >= model.changed[:-1]).all())
