"""Layers: the LSTM against its equations, spectral norm and its folding, masked pooling and batch norm."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from hmgen_ros.generators.layers import (
    Dense,
    DenseLstmCell,
    MaskedBatchNorm,
    NormLSTM,
    folded,
    linear,
    pool_people,
)

QUICK = settings(deadline=None, max_examples=25)


def random_lstm(inputs: int = 3, hidden: int = 5, seed: int = 0) -> NormLSTM:
    torch.manual_seed(seed)
    lstm = NormLSTM(inputs, hidden).double()
    for norm in (lstm.gate_norm, lstm.cell_norm):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return lstm


def by_the_equations(lstm: NormLSTM, inputs: Tensor, mask: Tensor) -> Tensor:
    """``[R, T, H]``, one person and one tick at a time, as the class says it."""
    result = torch.zeros(*inputs.shape[:2], lstm.hidden, dtype=inputs.dtype)
    for row in range(inputs.shape[0]):
        hidden = cell = torch.zeros(lstm.hidden, dtype=inputs.dtype)
        for tick in range(inputs.shape[1]):
            if mask[row, tick]:
                gates = lstm.gate_norm(lstm.input @ inputs[row, tick] + lstm.recurrent @ hidden)
                i, f, o, g = gates.split(lstm.hidden)
                cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
                hidden = o.sigmoid() * lstm.cell_norm(cell).tanh()
            result[row, tick] = hidden
    return result


@QUICK
@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
def test_lstm_follows_its_equations(rows: int, ticks: int, seed: int) -> None:
    lstm = random_lstm(seed=seed)
    inputs, mask = torch.randn(rows, ticks, 3).double(), torch.rand(rows, ticks) < 0.7
    outputs, (hidden, _) = lstm(inputs, mask)
    torch.testing.assert_close(outputs, by_the_equations(lstm, inputs, mask))
    torch.testing.assert_close(hidden, outputs[:, -1])
    everything = torch.ones_like(mask)
    torch.testing.assert_close(lstm(inputs)[0], by_the_equations(lstm, inputs, everything))


def test_lstm_gradients() -> None:
    lstm = random_lstm()
    inputs = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: lstm(given)[0], inputs)
    # Gradient penalties need the gradient's gradient.
    assert torch.autograd.gradgradcheck(lambda given: lstm(given)[0], inputs)


def test_rows_that_end_leave_the_others_alone() -> None:
    lstm = random_lstm()
    inputs = torch.randn(6, 3, 3).double()
    projected = functional.linear(inputs, lstm.input).unbind(0)
    all_rows, _ = lstm.run(projected)
    shrinking, _ = lstm.run([step[: 3 - index // 2] for index, step in enumerate(projected)])
    for step, (some, every) in enumerate(zip(shrinking, all_rows, strict=True)):
        torch.testing.assert_close(some, every[: 3 - step // 2])


def test_spectral_norm_bounds_and_folds_away() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(linear(6, 9), nn.ReLU(), linear(9, 4, bias=False), linear(4, 4, spectral=False))
    with torch.no_grad():
        layers[0].parametrizations.weight.original.mul_(30.0)
    inputs = torch.randn(7, 6)
    for _ in range(50):
        layers(inputs)  # each training pass is one power iteration
    layers.eval()
    plain = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4, bias=False), nn.Linear(4, 4))
    state = folded(layers)
    plain.load_state_dict(state)
    torch.testing.assert_close(plain(inputs), layers(inputs))
    largest = torch.linalg.matrix_norm(state["0.weight"], ord=2)
    torch.testing.assert_close(largest, torch.tensor(1.0), atol=1e-3, rtol=0)
    assert hasattr(layers[0], "parametrizations")  # the original goes on training


@QUICK
@given(st.integers(0, 6), st.integers(0, 99))
def test_pooling_ignores_absent_people(people: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(2, people, 3, generator=generator)
    present = torch.rand(2, people, generator=generator) < 0.5
    pooled = pool_people(hidden, present)
    for group in range(2):
        there = hidden[group, present[group]]
        expected = there.max(0).values if len(there) else torch.zeros(3)
        assert torch.equal(pooled[group], expected)
    assert torch.equal(pool_people(hidden, torch.ones_like(present)), pool_people(hidden))


def test_pooling_of_nobody_has_no_gradient() -> None:
    hidden = torch.randn(1, 3, 2, requires_grad=True)
    pool_people(hidden, torch.zeros(1, 3, dtype=torch.bool)).sum().backward()
    assert hidden.grad is not None
    assert torch.equal(hidden.grad, torch.zeros_like(hidden))


def test_batch_norm_counts_only_present_rows() -> None:
    rows, present = torch.randn(4, 3, 5) * 3.0 + 2.0, torch.rand(4, 3) < 0.6
    norm, reference = MaskedBatchNorm(5), nn.BatchNorm1d(5)
    normal = norm(rows, present)
    torch.testing.assert_close(normal[present], reference(rows[present]))
    assert not normal[~present].any()
    torch.testing.assert_close(norm.running_var, reference.running_var)


def test_batch_norm_of_many_updates_moves_as_far_as_one() -> None:
    rows = torch.randn(50, 5) + 4.0
    once, often = MaskedBatchNorm(5), MaskedBatchNorm(5)
    once(rows)
    for _ in range(40):
        often(rows, updates=40)
    torch.testing.assert_close(often.running_mean, once.running_mean, rtol=0.06, atol=0.0)


def test_folded_batch_norm_is_the_same() -> None:
    norm = MaskedBatchNorm(5)
    nn.init.normal_(norm.weight)
    norm(torch.randn(30, 5) * 2.0 + 1.0)
    norm.eval()
    rows = torch.randn(6, 5)
    scale, bias = norm.affine_map()
    torch.testing.assert_close(norm(rows), rows * scale + bias)


@pytest.mark.parametrize("rows", [0, 1])
def test_batch_norm_of_too_few_rows_is_finite(rows: int) -> None:
    norm = MaskedBatchNorm(5)
    present = torch.arange(3) < rows
    assert torch.isfinite(norm(torch.randn(3, 5), present)).all()


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9])
@torch.no_grad()
def test_layers_for_few_rows_give_the_numbers_of_the_usual_ones(rows: int) -> None:
    torch.manual_seed(rows)
    dense, cell = Dense(20, 30), DenseLstmCell(20, 12)
    given, state = torch.randn(rows, 20), (torch.randn(rows, 12), torch.randn(rows, 12))
    usual = functional.linear(given, dense.weight, dense.bias)
    torch.testing.assert_close(dense(given), usual)
    torch.testing.assert_close(dense(given.unsqueeze(1)), usual.unsqueeze(1))
    plain = nn.LSTMCell(20, 12)
    plain.load_state_dict(cell.state_dict())
    torch.testing.assert_close(cell(given, state), plain(given, state))
