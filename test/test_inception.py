"""The network behind SFID: the distance itself, equal sets, order, files, and a short training."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.console import Console
from scipy.linalg import sqrtm
from test_ami import corpus  # noqa: F401 (a fixture)

from hmgen_ros.evaluation.inception import (
    InceptionConfig,
    InceptionNet,
    Moments,
    activations,
    complete_sequences,
    frechet_distance,
    moments,
    sfid,
    sum_moments,
)
from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.training.train_inception import InceptionTrainConfig, fit, r_squared, train

SPACE = ActionSpace((0, 0b10, 0b100, 0b1000, 0b1010))
SEEDS = st.integers(0, 2**32 - 1)


def small_net(seed: int = 0) -> InceptionNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return InceptionNet(SPACE, InceptionConfig(hidden=8, ticks=20)).eval()


NET = small_net()


def windows(seed: int, count: int = 60, ticks: int = 20, change: float = 0.1) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    changes = rng.random((count, ticks, 3)) < change
    changes[:, 0] = True
    last = np.maximum.accumulate(np.where(changes, np.arange(ticks)[:, None], 0), axis=1)
    return np.take_along_axis(rng.choice(5, changes.shape, p=[0.5, 0.3, 0.05, 0.1, 0.05]), last, axis=1)


def of(rows: NDArray[np.float64]) -> Moments:
    return sum_moments(rows, np.zeros(len(rows), np.int64), 1, squeeze=True)


@given(SEEDS)
def test_distance_is_the_textbook_formula_and_symmetric(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (rng.normal(size=(40, 4)) @ rng.normal(size=(4, 4)) + rng.normal(size=4) for _ in range(2))
    root = sqrtm(np.cov(one.T) @ np.cov(other.T)).real
    mean = ((one.mean(0) - other.mean(0)) ** 2).sum()
    expected = mean + np.trace(np.cov(one.T) + np.cov(other.T) - 2 * root)
    assert frechet_distance(of(one), of(other)) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert frechet_distance(of(other), of(one)) == pytest.approx(
        frechet_distance(of(one), of(other)), abs=1e-9
    )


def test_distance_of_flat_clouds() -> None:
    """Covariances without full rank, as dead activations give."""
    rng = np.random.default_rng(0)
    one = np.zeros((50, 6))
    one[:, 0] = rng.normal(size=50)
    other = one + np.array([3.0, 0, 0, 0, 0, 0])
    assert frechet_distance(of(one), of(other)) == pytest.approx(9.0)
    assert frechet_distance(of(one), of(one)) == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(of(one[:1]), of(other))


@given(SEEDS)
def test_moments_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, group = rng.normal(size=(30, 3)), rng.integers(0, 4, 30)
    parts, whole = sum_moments(rows, group, 4), of(rows)
    for name in ("count", "total", "square"):
        np.testing.assert_allclose(getattr(parts, name).sum(axis=0), getattr(whole, name), atol=1e-9)


def test_equal_sets_are_at_no_distance_and_others_further_the_more_they_differ() -> None:
    real = windows(0)
    alike, lively = windows(1), windows(2, change=0.5)
    assert sfid(NET, real, real) == pytest.approx(0.0, abs=1e-8)
    assert sfid(NET, real, real[::-1]) == pytest.approx(0.0, abs=1e-8)
    assert sfid(NET, real, alike) < 0.5 * sfid(NET, real, lively)


def test_sequences_with_absences_are_left_out() -> None:
    real = windows(0)
    holed = np.concatenate([real, windows(9)])
    holed[60:, 3] = ABSENT
    assert sfid(NET, real, holed) == pytest.approx(0.0, abs=1e-8)
    rows, window = complete_sequences(holed)
    assert len(rows) == 180
    assert window.max() == 59
    assert moments(NET, np.full((2, 20, 3), ABSENT)).count == 0


def test_equal_sequences_are_computed_once_but_count_each() -> None:
    rows, _ = complete_sequences(windows(3))
    repeated = np.concatenate([rows, rows[::-1]])
    with torch.inference_mode():
        expected = NET.activations(torch.from_numpy(repeated)).numpy()
    np.testing.assert_allclose(activations(NET, repeated), expected, atol=1e-6)


def test_both_directions_count() -> None:
    """The first and the last tick both reach the activations."""
    rows = np.zeros((3, 20), np.int64)
    rows[1, 0] = rows[2, -1] = 1
    found = activations(NET, rows)
    assert np.abs(found[1] - found[0]).max() > 1e-6
    assert np.abs(found[2] - found[0]).max() > 1e-6


def test_bad_sequences_are_named() -> None:
    with pytest.raises(ValueError, match="0 to 4, got 0 to 5"):
        activations(NET, np.array([[0, 5]]))
    with pytest.raises(ValueError, match=r"\[R, T\]"):
        activations(NET, np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="20 ticks, generated ones 10"):
        sfid(NET, windows(0), windows(0, ticks=10))
    with pytest.raises(ValueError, match="at least 1"):
        InceptionConfig(hidden=0)
    assert activations(NET, np.zeros((0, 20), np.int64)).shape == (0, 8)


def test_weights_round_trip(tmp_path: Path) -> None:
    weights.save(tmp_path / "net.safetensors", *NET.to_weights())
    again = InceptionNet.from_weights(weights.read(tmp_path / "net.safetensors"))
    assert (again.space, again.config) == (NET.space, NET.config)
    rows, _ = complete_sequences(windows(0))
    np.testing.assert_array_equal(activations(again, rows), activations(NET, rows))
    config, tensors = NET.to_weights()
    del tensors["head.bias"]
    with pytest.raises(weights.WeightsError, match=r"head\.bias"):
        InceptionNet.from_weights(weights.Weights("here", config, tensors))


def test_training_learns_the_shares() -> None:
    rows, _ = complete_sequences(windows(0, count=400, ticks=10))
    held_out, _ = complete_sequences(windows(1, count=100, ticks=10))
    settings = InceptionTrainConfig(hidden=16, iterations=300, batch=32, rate=5e-3)
    net = fit(rows, SPACE, settings, Console(file=StringIO()))
    assert r_squared(net, held_out)["r2"] > 0.8 > 0.3 > r_squared(small_net(), held_out)["r2"]


def test_training_repeats() -> None:
    rows, _ = complete_sequences(windows(0))
    settings = InceptionTrainConfig(hidden=8, iterations=5, batch=8)
    first, second = (fit(rows, SPACE, settings, Console(file=StringIO())) for _ in range(2))
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, two)


def test_training_writes_a_network_that_loads(corpus: Path) -> None:  # noqa: F811
    settings = InceptionTrainConfig(corpus, corpus / "models", 40, 0.99, hidden=8, iterations=5, batch=8)
    path = train(settings, Console(file=StringIO()))
    manifest = corpus / "models" / "manifest.yaml"
    net = InceptionNet.from_weights(weights.load("sfid_t40", manifest))
    assert path.name == "sfid_t40.safetensors"
    assert net.config == InceptionConfig(8, 40)
    entry = weights.read_manifest(manifest)["sfid_t40"]
    assert entry["metrics"]["sequences"] > 0
    assert "--share 0.99" in entry["command"]
    card = (corpus / "models" / "sfid_t40.md").read_text()
    assert entry["sha256"] in card
    assert "R²" in card


@pytest.mark.parametrize(("setting", "value"), [("iterations", 0), ("batch", 0), ("rate", 0.0)])
def test_bad_settings_are_named(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=setting):
        InceptionTrainConfig(**{setting: value})


@pytest.mark.parametrize("name", ["sfid_t40", "sfid_t80"])
def test_shipped_networks_load_and_tell_lively_from_steady(name: str) -> None:
    net = InceptionNet.load(name)
    ticks = net.config.ticks
    steady, other, lively = (windows(s, 100, ticks, c) for s, c in ((0, 0.01), (1, 0.01), (2, 0.3)))
    assert sfid(net, steady, other) < 0.2 * sfid(net, steady, lively)
