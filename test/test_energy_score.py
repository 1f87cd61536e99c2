"""The energy score is smallest for futures that are distributed as what happens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.training.energy_score import EnergyScore

TICKS = 16


def walks(rows: int, size: float, seed: int, drawn_back: float = 0.1) -> torch.Tensor:
    """``[R, T + 1, 136]`` heads that are pushed about and drawn back."""
    rng = torch.Generator().manual_seed(seed)
    pose, found = torch.zeros(rows, 136), []
    mixing = torch.linspace(0.1, 1.0, 136)
    for _ in range(TICKS + 1):
        found.append(pose)
        pose = (1.0 - drawn_back) * pose + size * mixing * torch.randn(rows, 136, generator=rng)
    return torch.stack(found, dim=1)


def fitted() -> EnergyScore:
    score = EnergyScore(TICKS)
    score.fit(walks(300, 0.1, 99))
    return score


SCORE = fitted()


def total(size: float, seed: int, drawn_back: float = 0.1) -> float:
    true = walks(150, 0.1, seed)
    futures = torch.stack([walks(150, size, seed + k, drawn_back) for k in (1000, 2000)])
    found = []
    for draw in range(4):
        torch.manual_seed(draw)
        found.append(float(torch.stack(list(SCORE(futures, true).values())).sum()))
    return sum(found) / len(found)


@settings(max_examples=5)
@given(st.integers(0, 500))
def test_the_true_distribution_scores_best(seed: int) -> None:
    best = total(0.1, seed)
    assert best < total(0.07, seed)
    assert best < total(0.14, seed)
    assert best < total(0.01, seed)


def test_how_heads_are_held_counts() -> None:
    """The same single steps, but nothing draws the head back: told by longer displacements."""
    assert total(0.1, 7) < total(0.1, 7, drawn_back=0.0)
    assert total(0.1, 7) < total(0.1, 7, drawn_back=0.5)


def test_gradients_are_finite_where_nothing_moves() -> None:
    still = torch.zeros(2, 8, TICKS + 1, 136, requires_grad=True)
    torch.stack(list(SCORE(still, walks(8, 0.1, 0)).values())).sum().backward()
    assert still.grad is not None
    assert torch.isfinite(still.grad).all()


def test_every_scale_up_to_the_length() -> None:
    assert SCORE.lags == (1, 2, 4, 8, 16)
    assert EnergyScore(40).lags == (1, 2, 4, 8, 16, 32)
    with pytest.raises(ValueError, match="at least 4"):
        EnergyScore(3)
