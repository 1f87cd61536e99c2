"""Weights as ticks use them: gradients summed up at the end, forms that follow their weights."""

import pytest
import torch
from synthetic_heads import moving_heads
from test_ms_sync import made, seen, sounds
from torch import Tensor

from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.generators.plausible_face import PlausibleFace
from hmgen_ros.generators.reused import Reused


def layers(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Weight and bias in double precision."""
    torch.manual_seed(0)
    bias = (*shape[:-2], 1, shape[-1]) if len(shape) == 3 else shape[-1:]
    return tuple(torch.randn(s, dtype=torch.float64, requires_grad=True) for s in (shape, bias))


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3)])
def test_gradients_are_those_of_plain_products(shape: tuple[int, ...]) -> None:
    begun = torch.randn(*shape[:-2], 4, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for reused in (True, False):
        weight, bias = layers(shape)
        layer = Reused(weight, bias) if reused else lambda rows, w=weight, b=bias: rows @ w + b
        rows, total = begun, torch.zeros((), dtype=torch.float64)
        for _ in range(5):
            rows = layer(rows).tanh()
            total = total + rows.square().sum()
        found.append((total.detach(), *torch.autograd.grad(total, (begun, weight, bias))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_layer_whose_outputs_count_for_nothing_learns_nothing() -> None:
    weight, bias = layers((3, 3))
    layer, rows = Reused(weight, bias), torch.ones(2, 3, dtype=torch.float64)
    kept = layer(rows)
    layer(rows)
    kept.sum().backward()
    torch.testing.assert_close(weight.grad, torch.full_like(weight, 2.0))
    torch.testing.assert_close(bias.grad, torch.full_like(bias, 2.0))


def test_mixed_precision_trains_too() -> None:
    weight, bias = (part.detach().float().requires_grad_() for part in layers((3, 3)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer = Reused(weight, bias)
        rows = layer(layer(torch.randn(2, 3)))
    rows.float().sum().backward()
    assert rows.dtype == torch.bfloat16
    assert torch.isfinite(weight.grad).all()


@torch.no_grad()
def spoken(model: MsSync) -> Tensor:
    """What two heads do as they hear something."""
    state = seen(model, moving_heads(2, 1, seed=4)[:, 0])
    heard = sounds(2, 8).to(state.last.dtype).transpose(0, 1)
    return model.rollout_speaking(state, heard, torch.Generator().manual_seed(0))


def test_what_is_learned_loaded_or_moved_is_used_at_once() -> None:
    model, other = made(), made(noise=True)
    before = spoken(model)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    poses = torch.randn(2, 1, 136)
    model.generate(poses, poses[:, 0], 2, sounds(2, 6)).sum().backward()
    optimizer.step()
    learned = spoken(model.eval())
    assert not torch.equal(learned, before)
    spoken(other)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(spoken(other), learned, rtol=0, atol=0)
    assert spoken(model.double()).dtype == torch.float64
    torch.testing.assert_close(spoken(model.float()), learned, rtol=0, atol=0)


@torch.no_grad()
def test_limits_of_faces_are_loaded_with_them() -> None:
    model, fresh = made(), PlausibleFace()
    fresh.load_state_dict(model.plausible.state_dict())
    first = moving_heads(3, 1, seed=4)[:, 0].flatten(1)
    wild = first + torch.randn_like(first)
    torch.testing.assert_close(fresh(wild, first, first), model.plausible(wild, first, first), rtol=0, atol=0)
    assert int(fresh.corrected) == 3
