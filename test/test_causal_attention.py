"""Layers that look back: streams agree with whole sequences, and nothing sees the future or too far back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.generators.causal_attention import CausalStack, StackSizes, sinusoids

QUICK = settings(deadline=None, max_examples=25)


def stack(window: int, relative: bool = True, joined: bool = False, layers: int = 2) -> CausalStack:
    torch.manual_seed(0)
    sizes = StackSizes(width=16, layers=layers, heads=2, feed=32, window=window, dropout=0.1)
    made = CausalStack(sizes, relative, joined).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


@QUICK
@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(1, 9), st.booleans(), st.booleans())
@torch.no_grad()
def test_a_stream_in_parts_of_any_length_agrees_with_the_whole(
    parts: list[int], window: int, relative: bool, joined: bool
) -> None:
    layers, rows = stack(window, relative, joined), torch.randn(3, sum(parts), 16)
    more = torch.randn(3, 16) if joined else None
    past, found = layers.nothing(3), []
    for part in rows.split(parts, dim=1):
        past, out = layers.extend(past, part, more)
        found.append(out)
    torch.testing.assert_close(torch.cat(found, dim=1), layers(rows, joined=more), rtol=0.0, atol=1e-5)
    assert past.count.tolist() == [sum(parts)] * 3


@QUICK
@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(1, 9))
@torch.no_grad()
def test_recalling_what_was_noted_agrees_with_the_whole(parts: list[int], window: int) -> None:
    layers, (rows, source) = stack(window), torch.randn(2, 3, sum(parts), 16)
    whole, past, tick = layers(rows, source), layers.nothing(3), 0
    for part in parts:
        past = layers.note(past, source[:, tick : tick + part])
        tick += part
        recalled = layers.recall(past, rows[:, tick - 1])
        torch.testing.assert_close(recalled, whole[:, tick - 1], rtol=0.0, atol=1e-5)


@torch.no_grad()
def test_slots_of_different_age_share_a_batch() -> None:
    layers, rows = stack(4), torch.randn(2, 9, 16)
    past, _ = layers.extend(layers.nothing(2), rows[:, :6])
    past.count[1] = 0  # the second one begins again
    _, out = layers.extend(past, rows[:, 6:])
    torch.testing.assert_close(out[0], layers(rows)[0, 6:], rtol=0.0, atol=1e-5)
    torch.testing.assert_close(out[1], layers(rows[:, 6:])[1], rtol=0.0, atol=1e-5)


@torch.no_grad()
def test_no_tick_sees_the_future_or_further_back_than_its_window() -> None:
    layers, rows = stack(window=3, layers=1), torch.randn(1, 12, 16)
    changed = rows.clone()
    changed[:, 5] += 1.0
    differs = (layers(rows) - layers(changed)).abs().amax(dim=(0, 2)) > 1e-6
    assert differs.nonzero().flatten().tolist() == [5, 6, 7]


@torch.no_grad()
def test_slots_that_remember_nothing_recall_numbers() -> None:
    layers = stack(4)
    assert torch.isfinite(layers.recall(layers.nothing(2), torch.randn(2, 16))).all()
    assert layers.recall(layers.nothing(0), torch.randn(0, 16)).shape == (0, 16)


def test_positional_encodings_are_those_of_the_paper() -> None:
    encoded = sinusoids(torch.tensor([[0, 3]]), 4)
    angle = torch.tensor([3.0, 3.0 / 10000.0**0.5])
    torch.testing.assert_close(encoded[0, 0], torch.tensor([0.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(encoded[0, 1], torch.cat([angle.sin(), angle.cos()]))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"layers": 0}, "layers"),
        ({"width": 18}, "heads"),
        ({"dropout": 1.0}, "dropout"),
        ({"window": 0}, "window"),
    ],
)
def test_bad_sizes_are_named(change: dict[str, float], named: str) -> None:
    good = {"width": 16, "layers": 1, "heads": 4, "feed": 8, "window": 4, "dropout": 0.0}
    StackSizes(**good)
    with pytest.raises(ValueError, match=named):
        StackSizes(**{**good, **change})
