"""The group-attention forecaster: streaming, sampling, people who come and go, files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.generators import event_sampler, weights
from hmgen_ros.generators.action_space import ABSENT, ActionSpace
from hmgen_ros.generators.group_attention import GroupAttention
from hmgen_ros.generators.group_attention_networks import GroupAttentionConfig
from hmgen_ros.generators.person_history import HistoryConfig
from hmgen_ros.generators.semi_markov import SemiMarkov
from hmgen_ros.generators.situations import SemiMarkovConfig, Situations
from hmgen_ros.types import Action, action_mask

SPEAKING = action_mask(Action.SPEAKING)
SITUATIONS = SemiMarkovConfig(dwell_edges=(2, 4, 8), fresh_ticks=3, recent_ticks=6)
SPACE = ActionSpace((0, SPEAKING, action_mask(Action.HEAD_GESTURE), action_mask(Action.TAKING_NOTES)))


def lively_model(
    seed: int = 0, events: int = 2, stay: float = 3.0, outlook_weight: float = 0.0
) -> GroupAttention:
    """Untrained, but with weights large enough that everything it sees matters."""
    torch.manual_seed(seed)
    config = GroupAttentionConfig(
        HistoryConfig(events=events),
        SITUATIONS,
        width=16,
        hidden=12,
        shown=8,
        heads=2,
        outlook_weight=outlook_weight,
    )
    model = GroupAttention(SPACE, config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.3)
        # A counted table in which actions last, and everything matters.
        going_on = torch.eye(5, 4).repeat_interleave(len(model.decoder.prior) // 5, dim=0)
        table = (stay * going_on + 0.3 * torch.randn(len(going_on), 4)).softmax(-1)
        model.set_table(table * (going_on.sum(-1, keepdim=True) > 0))
    return model.eval()


def meeting(ticks: int, people: int, seed: int = 0, absent: float = 0.1) -> torch.Tensor:
    """``[T, N]`` runs of a few ticks."""
    random = np.random.default_rng(seed)
    symbols = np.where(
        random.random((ticks, people)) < absent, ABSENT, random.integers(0, 4, (ticks, people))
    )
    lengths = random.integers(1, 9, ticks)
    return torch.from_numpy(np.repeat(symbols, lengths, axis=0)[:ticks])


def random_numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
@pytest.mark.parametrize("events", [0, 3])
def test_streaming_gives_the_numbers_of_the_whole_sequence(events: int) -> None:
    model, actions = lively_model(events=events), meeting(60, 3)
    at_once, state = model(actions[None])[0], model.initial_state(3)
    for tick in range(len(actions)):
        state, probabilities = model.step(state, actions[tick])
        torch.testing.assert_close(probabilities, at_once[tick], atol=1e-5, rtol=0)
    streamed = model.futures(state, 20, 4, random_numbers())
    jumped = model.history(actions, torch.tensor([len(actions) - 1]))
    again = model.futures(jumped, 20, 4, random_numbers())
    assert torch.equal(streamed.samples, again.samples[:, :, 0])
    torch.testing.assert_close(streamed.marginals, again.marginals[:, 0], atol=1e-5, rtol=0)


@torch.no_grad()
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(0, 1000))
def test_a_sampled_future_was_drawn_from_the_networks_own_probabilities(people: int, seed: int) -> None:
    """The walk from change to change against the decoder asked at every single tick."""
    model, actions = lively_model(seed), meeting(30, people, seed)
    state = model.history(actions, torch.tensor([len(actions) - 1]))
    future = model.futures(state, 25, 1, random_numbers(seed))
    ratios = model.rates.log_ratios(state.counts)
    code, tempo = model.codes(state, ratios), model.decoder.tempo(ratios)
    for tick in range(25):
        expected = model.decoder(code, tempo, state, torch.tensor([tick])).softmax(-1)
        expected = expected * (state.symbol != ABSENT).unsqueeze(-1)
        torch.testing.assert_close(future.marginals[tick], expected, atol=1e-5, rtol=0)
        state = model.history_of.advance(state, future.samples[0, tick])


@torch.no_grad()
def test_samples_come_as_often_as_their_probabilities_say() -> None:
    model, actions = lively_model(stay=1.0), meeting(30, 2, absent=0.0)
    state = model.history(actions, torch.tensor([29]))
    future = model.futures(state, 6, 20000, random_numbers())
    for tick in range(6):
        for person in range(2):
            counts = torch.bincount(future.samples[:, tick, 0, person], minlength=4) / 20000
            torch.testing.assert_close(counts, future.marginals[tick, 0, person], atol=0.015, rtol=0)


@torch.no_grad()
def test_first_changes_are_spread_over_the_futures_as_their_probabilities_are() -> None:
    """Of 50 futures, as many see somebody change first as their share says, give or take one."""
    model, actions = lively_model(stay=4.0), meeting(30, 3, absent=0.0)
    state = model.history(actions, torch.tensor([29]))
    many, few = (model.futures(state, 12, n, random_numbers(1)).samples[:, :, 0] for n in (20000, 50))

    def shares(future: torch.Tensor) -> torch.Tensor:
        changed = future != state.symbol  # [S, T, N]
        begun = torch.where(changed.any(1), changed.int().argmax(1), 12)  # [S, N]
        first = (begun == begun.min(1, keepdim=True).values) & (begun < 12)
        lowest = first & (first.cumsum(1) == 1)
        return lowest.float().mean(0)

    assert float(shares(many).sort().values[-2]) > 0.1
    torch.testing.assert_close(shares(few), shares(many), atol=0.025, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("last", [[0, 0, 3], [1, 0, ABSENT], [1, 1, 0]])
def test_who_speaks_next_is_what_many_futures_count(last: list[int]) -> None:
    model = lively_model(stay=3.5)
    actions = torch.cat([meeting(30, 3, absent=0.0), torch.tensor([last])])
    state = model.history(actions, torch.tensor([30]))
    many = model.futures(state, 15, 20000, random_numbers(2))
    assert many.speaks_next is not None
    torch.testing.assert_close(many.speaks_next[0], counted(many.samples, state.symbol), atol=0.012, rtol=0)
    few = [model.futures(state, 15, 32, random_numbers(seed)) for seed in range(30)]
    known = torch.stack([future.speaks_next[0] for future in few if future.speaks_next is not None])
    noisy = torch.stack([counted(future.samples, state.symbol) for future in few])
    assert float(known.std(0).sum()) < 0.7 * float(noisy.std(0).sum())
    torch.testing.assert_close(known.sum(1).mean(), many.speaks_next.sum(), atol=0.05, rtol=0)


def counted(samples: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """``[N]`` part of ``[S, T, 1, N]`` futures in which each person is the first to begin to speak."""
    count, ticks, _, people = samples.shape
    symbols = torch.cat([now.expand(count, 1, people), samples[:, :, 0]], dim=1)
    starts = (symbols[:, 1:] == 1) & (symbols[:, :-1] != 1)
    tick = torch.where(starts.any(1), starts.int().argmax(1), ticks)  # [S, N]
    first = (tick == tick.min(1, keepdim=True).values) & (tick < ticks)
    return (first / first.sum(1, keepdim=True).clamp(min=1)).mean(0)


@torch.no_grad()
def test_of_one_person_alone_the_outlook_is_what_many_samples_give() -> None:
    """With nobody to react to and the chain of a model without memory, nothing is left out of it."""
    model = lively_model(outlook_weight=1e9)
    for part in (model.decoder.out.weight, model.decoder.pair_out.weight, model.decoder.gain):
        part.zero_()
    model.decoder.prior.copy_(3.0 * torch.eye(5, 4).repeat_interleave(len(model.decoder.prior) // 5, dim=0))
    model.decoder.pair_out.bias.copy_(torch.tensor([0.5, 0.2, -0.4, -1.0]))
    model.chain.copy_((model.decoder.pair_out.bias + 3.0 * torch.eye(4)).softmax(-1))
    state = model.history(torch.tensor([[0], [1]]), torch.tensor([1]))
    future = model.train().eval().futures(state, 30, 20000, random_numbers())
    for tick in (0, 4, 29):
        counts = torch.bincount(future.samples[:, tick, 0, 0], minlength=4) / 20000
        torch.testing.assert_close(counts, future.marginals[tick, 0, 0], atol=0.015, rtol=0)
    torch.testing.assert_close(future.marginals.sum(-1), torch.ones(30, 1, 1))


@torch.no_grad()
def test_untrained_it_forecasts_as_the_counted_table_that_it_corrects() -> None:
    random = np.random.default_rng(0)
    shape = Situations(SPACE, SITUATIONS).shape
    table = torch.from_numpy(random.dirichlet(np.ones(4), shape))
    counted = SemiMarkov(SPACE, table, torch.full((4, 4), 0.25), SITUATIONS)
    model = GroupAttention(SPACE, GroupAttentionConfig(HistoryConfig(), SITUATIONS, width=8, hidden=8)).eval()
    model.set_table(counted.probabilities)
    model.decoder.gain.zero_()
    actions = meeting(200, 4)
    torch.testing.assert_close(model(actions[None]), counted(actions[None]), atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_order_of_the_people_does_not_matter() -> None:
    model, actions = lively_model(), meeting(50, 4)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        model(actions[None])[:, :, order], model(actions[None, :, order]), atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_absent_people_change_nothing_for_the_others() -> None:
    model, actions = lively_model(), meeting(50, 3)
    with_empty_seat = torch.cat([actions, torch.full((50, 1), ABSENT)], dim=1)
    torch.testing.assert_close(
        model(with_empty_seat[None])[:, :, :3], model(actions[None]), atol=1e-5, rtol=0
    )


@torch.no_grad()
@pytest.mark.parametrize("people", [0, 1, 2, 20])
def test_any_number_of_people(people: int) -> None:
    model, actions = lively_model(), meeting(30, people)
    state = model.initial_state(people)
    for tick in actions:
        state, probabilities = model.step(state, tick)
    assert probabilities.shape == (people, 4)
    future = model.futures(state, 12, 3, random_numbers())
    assert future.samples.shape == (3, 12, people)
    assert future.marginals.shape == (12, people, 4)
    gone = actions[-1] == ABSENT
    assert bool((future.samples[..., gone] == ABSENT).all())
    assert bool((future.samples[..., ~gone] >= 0).all())
    torch.testing.assert_close(future.marginals.sum(-1)[:, ~gone], torch.ones(12, int((~gone).sum())))
    assert float(future.marginals[:, gone].abs().sum()) == 0.0


@torch.no_grad()
def test_people_enter_and_leave_one_stream() -> None:
    model = lively_model()
    state = model.initial_state(2)
    for tick in meeting(30, 2, absent=0.0):
        state, _ = model.step(state, tick)
    wider = model.arrange(state, [1, -1, 0])
    assert wider.symbol.tolist() == [int(state.symbol[1]), ABSENT, int(state.symbol[0])]
    _, probabilities = model.step(wider, torch.tensor([0, 1, ABSENT]))
    assert bool(probabilities[2].eq(0).all())
    forgotten = model.reset_slots(wider, torch.tensor([True, False, False]))
    assert int(forgotten.symbol[0]) == ABSENT
    assert int(forgotten.symbol[2]) == int(state.symbol[0])


@torch.no_grad()
def test_the_same_seed_gives_the_same_futures_also_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    model, actions = lively_model(), meeting(80, 3)
    state = model.history(actions, torch.arange(20, 80, 10))
    whole = model.futures(state, 15, 5, random_numbers(3))
    monkeypatch.setattr(event_sampler, "_MOST_NUMBERS", 2000)
    portions = model.futures(state, 15, 5, random_numbers(3))
    assert torch.equal(whole.samples, portions.samples)
    torch.testing.assert_close(whole.marginals, portions.marginals)
    other = model.futures(state, 15, 5, random_numbers(4))
    assert not torch.equal(whole.samples, other.samples)


@torch.no_grad()
def test_what_another_person_does_matters() -> None:
    model = lively_model()
    quiet, loud = torch.zeros(1, 30, 2, dtype=torch.int64), torch.zeros(1, 30, 2, dtype=torch.int64)
    loud[..., 1] = 1
    assert not torch.allclose(model(quiet)[0, -1, 0], model(loud)[0, -1, 0], atol=1e-4, rtol=0)


@torch.no_grad()
def test_weights_come_back_from_their_file(tmp_path: Path) -> None:
    model, actions = lively_model(), meeting(40, 3)
    digest = weights.save(tmp_path / "m.safetensors", *model.to_weights())
    again = GroupAttention.from_weights(weights.read(tmp_path / "m.safetensors", digest))
    assert torch.equal(model(actions[None]), again(actions[None]))


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    config, tensors = lively_model().to_weights()
    config["sizes"]["hidden"] = 13
    weights.save(tmp_path / "m.safetensors", config, tensors)
    with pytest.raises(weights.WeightsError, match="train the model again"):
        GroupAttention.from_weights(weights.read(tmp_path / "m.safetensors"))


def test_unknown_symbols_and_wrong_calls_are_refused_by_name() -> None:
    model = lively_model()
    with pytest.raises(ValueError, match="actions must be"):
        model.step(model.initial_state(2), torch.tensor([0, 4]))
    with pytest.raises(ValueError, match="slots"):
        model.step(model.initial_state(2), torch.tensor([0]))
    with pytest.raises(ValueError, match="at least 1"):
        model.futures(model.initial_state(1), 0, 1, random_numbers())
    with pytest.raises(ValueError, match="speaking"):
        GroupAttention(ActionSpace((0, action_mask(Action.LAUGHING))))
    with pytest.raises(ValueError, match="multiple of heads"):
        GroupAttentionConfig(width=10, heads=4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@torch.no_grad()
def test_the_same_numbers_on_a_gpu() -> None:
    model, actions = lively_model(), meeting(40, 3)
    here = model(actions[None])
    there = model.to("cuda")(actions[None].cuda()).cpu()
    torch.testing.assert_close(here, there, atol=1e-4, rtol=0)
