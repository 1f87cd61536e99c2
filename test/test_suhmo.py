"""SUHMo: pairs of heads, the random partner, attention's memory, and what training goes through."""

from typing import Any

import pytest
import torch
from synthetic_heads import framed, moving_heads

from hmgen_ros.generators.suhmo import Suhmo, SuhmoConfig
from hmgen_ros.generators.suhmo_networks import PairAttention, PairLstm


def suhmo(**changes: Any) -> Suhmo:
    torch.manual_seed(0)
    model = Suhmo(SuhmoConfig(**{"hidden": 24, "layers": (16,), **changes}))
    poses = framed(moving_heads(24, 30, seed=9))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.fit_units(poses, poses[:, 0])
    return model.eval()


@torch.no_grad()
def future(model: Suhmo, seed: int) -> torch.Tensor:
    state, _ = model.step(model.initial_state(1), moving_heads(1, 1)[:, 0])
    return model.rollout(state, 20, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("network", ["rnn", "transformer"])
def test_chance_is_the_partner_alone(network: str) -> None:
    """Section 4.3.3: without a partner drawn at random there is one future."""
    same = suhmo(network=network, flip=0.0, scale=0.0, shift=0.0, jitter=0.0)
    assert torch.equal(future(same, 1), future(same, 2))
    other = suhmo(network=network, flip=0.0, scale=0.0, shift=0.3, jitter=0.0)
    assert not torch.equal(future(other, 1), future(other, 2))


def test_one_sample_takes_a_random_first_step() -> None:
    alone = suhmo(paired=False)
    assert alone.pairs == 1
    assert not torch.equal(future(alone, 1), future(alone, 2))


@torch.no_grad()
@pytest.mark.parametrize("network", ["rnn", "transformer"])
def test_pairs_are_symmetric(network: str) -> None:
    """Exchanging the two heads of a pair exchanges what is generated (batch-pool and batch-cross)."""
    model = suhmo(network=network)
    pairs = framed(moving_heads(6, 3)).unflatten(0, (3, 2))
    torch.testing.assert_close(
        model.generate(pairs.flip(1), 10).flip(1), model.generate(pairs, 10), rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
@pytest.mark.parametrize("network", ["rnn", "transformer"])
def test_a_head_hears_its_partner(network: str) -> None:
    model = suhmo(network=network)
    pairs = framed(moving_heads(6, 3)).unflatten(0, (3, 2))
    changed = pairs.clone()
    changed[:, 1] = changed[:, 1].flip(0)
    one, other = model.generate(pairs, 10)[:, 0], model.generate(changed, 10)[:, 0]
    assert float((one - other)[:, 1:].abs().max()) > 1e-4


@torch.no_grad()
def test_attention_asks_the_other_head_only() -> None:
    """(4.14): apart from its own present token, a head's output does not depend on its own past."""
    torch.manual_seed(0)
    net = PairAttention(4, 8, 16)
    inputs = torch.randn(1, 2, 6, 8)
    own = inputs.clone()
    own[:, 0, :5] = torch.randn(5, 8)
    torch.testing.assert_close(net.sequence(own)[:, 0, 5], net.sequence(inputs)[:, 0, 5])
    other = inputs.clone()
    other[:, 1, :5] = torch.randn(5, 8)
    assert float((net.sequence(other)[:, 0, 5] - net.sequence(inputs)[:, 0, 5]).abs().max()) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("ticks", [5, 8, 21])
def test_the_cache_is_what_recomputing_gives(ticks: int) -> None:
    """Also after it has gone round: then what is recomputed are the last ``window`` ticks."""
    torch.manual_seed(0)
    net = PairAttention(4, 8, 8)
    inputs = torch.randn(3, 2, ticks, 8)
    memory = net.memory(3, 2)
    for tick in inputs.unbind(2):
        memory, out = net(memory, tick)
    recomputed = net.sequence(inputs[:, :, -8:])[:, :, -1]
    torch.testing.assert_close(out, recomputed, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_heads_alone_attend_to_themselves() -> None:
    torch.manual_seed(0)
    net = PairAttention(4, 8, 8)
    inputs = torch.randn(1, 1, 6, 8)
    changed = inputs.clone()
    changed[:, :, :5] = torch.randn(5, 8)
    assert float((net.sequence(changed)[..., 5, :] - net.sequence(inputs)[..., 5, :]).abs().max()) > 1e-3


@torch.no_grad()
def test_pooling_is_the_maximum_of_the_pair() -> None:
    torch.manual_seed(0)
    net = PairLstm(4, 8, pooled=True)
    memory = net.start(torch.randn(1, 2, 4), net.memory(1, 2))
    raised = type(memory)(memory.hidden.clone(), memory.cell)
    raised.hidden[0, 1] -= 5.0  # below its partner everywhere: the maximum is the partner's already
    pooled = torch.maximum(memory.hidden[0, 0], raised.hidden[0, 1])
    torch.testing.assert_close(pooled, raised.hidden.amax(1)[0])
    inputs = torch.randn(1, 2, 8)
    low, _ = net(raised, inputs)
    raised.hidden[0, 1] -= 5.0
    lower, _ = net(raised, inputs)
    torch.testing.assert_close(low.hidden[0, 0], lower.hidden[0, 0])


@pytest.mark.parametrize("network", ["rnn", "transformer"])
@pytest.mark.parametrize("paired", [True, False])
def test_gradients_reach_every_parameter(network: str, paired: bool) -> None:
    model = suhmo(network=network, paired=paired).train()
    pairs = framed(moving_heads(4, 3)).unflatten(0, (-1, model.pairs))
    generated = model.generate(pairs, 12)
    assert generated.shape == (len(pairs), model.pairs, 12, 136)
    generated.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0.0, name


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": "gru"},
        {"offsets": "last"},
        {"hidden": 0},
        {"window": 0},
        {"flip": 1.5},
        {"jitter": -0.1},
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SuhmoConfig(**wrong)
