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


def between(size: float, seed: int) -> float:
    """Of futures of heads that are lively or quiet, which their first poses do not tell."""
    quiet = torch.where(torch.arange(100) % 2 == 0, 1.0, 0.2)[:, None, None]
    true = walks(100, 0.1, seed) * quiet
    futures = torch.stack([walks(100, size, seed + k) * quiet.roll(k % 2, 0) for k in (1000, 2001)])
    torch.manual_seed(seed)
    return float(SCORE(futures, true, 0.5)["between_heads"])


@settings(max_examples=3)
@given(st.integers(0, 500))
def test_heads_that_move_like_all_of_them_are_nearest(seed: int) -> None:
    nearest = between(0.1, seed)
    assert nearest < between(0.05, seed)
    assert nearest < between(0.2, seed)


def test_whose_future_is_whose_does_not_count_between_heads() -> None:
    """Every future is compared with all other heads': a head that foresees its own gains next to nothing."""
    true = walks(100, 0.1, 1)
    blind = torch.stack([walks(100, 0.1, seed) for seed in (2, 3)])
    found = []
    for futures in (blind, true.expand(2, -1, -1, -1)):
        torch.manual_seed(0)
        found.append(SCORE(futures, true, 1.0))
    told, foreseen = (float(scores["moves"]) for scores in found)
    assert foreseen < 0.5 * told
    apart = [float(scores["between_heads"]) for scores in found]
    assert apart[1] == pytest.approx(apart[0], rel=0.05)


def test_where_heads_are_in_the_end_is_compared_between_heads_too() -> None:
    true = walks(100, 0.1, 1)

    def apart(size: float) -> float:
        futures = torch.stack([walks(100, size, seed) for seed in (2, 3)])[:, :, 1:]
        found = []
        for weight in (0.0, 1.0):
            torch.manual_seed(0)
            found.append(float(SCORE.whereabouts(futures, true[:, 1:], true[:, 0], weight)))
        return found[1] - found[0]

    assert apart(0.1) < apart(0.05)
    assert apart(0.1) < apart(0.2)


def test_no_weight_no_comparison() -> None:
    true = walks(8, 0.1, 0)
    assert set(SCORE(true.expand(2, -1, -1, -1), true)) == {"moves", "away", "lively"}


def test_how_heads_are_held_counts() -> None:
    """The same single steps, but nothing draws the head back: told by longer displacements."""
    assert total(0.1, 7) < total(0.1, 7, drawn_back=0.0)
    assert total(0.1, 7) < total(0.1, 7, drawn_back=0.5)


def test_gradients_are_finite_where_nothing_moves() -> None:
    still = torch.zeros(2, 8, TICKS + 1, 136, requires_grad=True)
    torch.stack(list(SCORE(still, walks(8, 0.1, 0), 1.0).values())).sum().backward()
    assert still.grad is not None
    assert torch.isfinite(still.grad).all()


def test_every_scale_up_to_the_length() -> None:
    assert SCORE.lags == (1, 2, 4, 8, 16)
    assert EnergyScore(40).lags == (1, 2, 4, 8, 16, 32)
    with pytest.raises(ValueError, match="at least 4"):
        EnergyScore(3)
