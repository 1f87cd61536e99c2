"""Training samples of the group-attention forecaster stand for all ticks and ask only what is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.group_attention import GroupAttention
from hmgen_ros.generators.group_attention_networks import GroupAttentionConfig
from hmgen_ros.training.group_samples import SampleConfig, collect, join, leave_out, loss_of, without_heads
from hmgen_ros.types import Action, action_mask

SPEAKING, NOD = action_mask(Action.SPEAKING), action_mask(Action.HEAD_GESTURE)
SPACE = ActionSpace((0, SPEAKING, NOD, SPEAKING | NOD))
MODEL = GroupAttention(SPACE, GroupAttentionConfig(width=8, hidden=8, heads=2))
MODEL.set_table(torch.full((len(MODEL.decoder.prior), len(SPACE)), 1.0 / len(SPACE)))
CPU = torch.device("cpu")


def meeting(ticks: int = 600, people: int = 3, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    symbols = random.integers(-1, 4, (ticks, people))
    return np.repeat(symbols, random.integers(5, 40, ticks), axis=0)[:ticks]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100), st.sampled_from([0.1, 0.5, 1.0]))
def test_every_change_is_taken_and_the_weights_stand_for_all_ticks(seed: int, quiet: float) -> None:
    actions = meeting(seed=seed, ticks=3000)
    samples = collect([actions], False, MODEL, SampleConfig(quiet=quiet, seed=seed))
    changes = int((actions[26:] != actions[25:-1]).any(axis=1).sum())
    assert int((samples.weight == 1).sum()) == (len(actions) - 26 if quiet == 1.0 else changes)
    assert float(samples.weight.sum()) == pytest.approx(len(actions) - 26, rel=0.35)


def test_a_sample_shows_the_past_the_present_and_the_next_tick_of_one_moment() -> None:
    actions = meeting()
    samples = collect([actions], False, MODEL, SampleConfig(quiet=1.0, max_age=30))
    ticks = np.arange(25, len(actions) - 1)
    ready = samples.take(torch.arange(len(samples)), CPU)
    assert np.array_equal(ready.present.symbol.numpy(), actions[ticks])
    assert np.array_equal(ready.following.numpy(), actions[ticks + 1])
    assert np.array_equal(ready.past.symbol.numpy(), actions[ticks - ready.age.numpy()])
    whole = MODEL.history(torch.from_numpy(actions), torch.from_numpy(ticks - ready.age.numpy()))
    torch.testing.assert_close(ready.ratios, MODEL.rates.log_ratios(whole.counts), atol=5e-3, rtol=0)
    assert int(ready.age.max()) == 29
    assert float((ready.age == 0).float().mean()) > 0.15


def test_where_heads_are_not_known_what_looks_the_same_counts_as_right() -> None:
    parts = [collect([meeting()], no_heads, MODEL, SampleConfig(quiet=1.0)) for no_heads in (False, True)]
    samples = join(parts).take(torch.arange(2 * len(parts[0])), CPU)
    torch.manual_seed(0)
    logits = torch.randn(len(samples), 3, 4)
    loss, weight = loss_of(logits, samples, without_heads(SPACE))
    probabilities = logits.softmax(-1)
    half, person = len(parts[0]), 1
    for index, symbols in ((7, None), (half + 7, True)):
        target = int(samples.following[index, person])
        assert target != ABSENT
        alike = [target] if symbols is None else [target, {0: 2, 2: 0, 1: 3, 3: 1}[target]]
        expected = -probabilities[index, person, alike].sum().log()
        torch.testing.assert_close(loss[index, person], expected, atol=1e-5, rtol=0)
    unknown = (samples.present.symbol == ABSENT) | (samples.following == ABSENT)
    assert bool((weight[unknown] == 0).all())
    assert bool((weight[~unknown] > 0).all())
    assert bool(torch.isfinite(loss).all())


def test_where_heads_are_not_known_nobody_is_taken_for_one_who_never_nods() -> None:
    known, unknown = (
        collect([meeting()], no_heads, MODEL, SampleConfig()).ratios for no_heads in (False, True)
    )
    head = MODEL.history_of.actions.index(Action.HEAD_GESTURE)
    assert bool((known[:, :, head] != 0).any())
    assert bool((unknown[:, :, head] == 0).all())


def test_some_samples_become_smaller_groups_and_somebody_is_left() -> None:
    samples = collect([np.zeros((400, 4), np.int64)], False, MODEL, SampleConfig(quiet=1.0))
    torch.manual_seed(0)
    ready = samples.take(torch.arange(len(samples)), CPU)
    smaller = leave_out(ready, 0.5)
    missing = (smaller.present.symbol == ABSENT).sum(dim=1)
    assert set(missing.tolist()) == {0, 1, 2}
    assert float((missing > 0).float().mean()) == pytest.approx(0.5, abs=0.1)
    assert torch.equal(smaller.past.symbol == ABSENT, smaller.present.symbol == ABSENT)
    assert leave_out(ready, 0.0) is ready


def test_sequences_too_short_and_senseless_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="longer than"):
        collect([meeting(20)], False, MODEL, SampleConfig())
    with pytest.raises(ValueError, match="quiet"):
        SampleConfig(quiet=0.0)
