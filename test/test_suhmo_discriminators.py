"""SUHMo's discriminators: what they see, which windows, what the ablations leave out."""

from typing import Any

import pytest
import torch
from synthetic_heads import framed, moving_heads

from hmgen_ros.training.suhmo_discriminators import MotionJudge, MotionJudgeConfig, hinge


def judge(**changes: Any) -> MotionJudge:
    torch.manual_seed(0)
    made = MotionJudge(MotionJudgeConfig(**{"hidden": 8, "frame": (8,), "windows": 3, **changes}))
    made.fit_units(framed(moving_heads(8, 30)))
    return made.eval()


def pairs() -> torch.Tensor:
    return framed(moving_heads(6, 12, seed=1)).unflatten(0, (3, 2))


@pytest.mark.parametrize("network", ["rnn", "transformer"])
def test_scores(network: str) -> None:
    scores = judge(network=network)(pairs(), [(0, 12), (3, 5)])
    assert {n: tuple(s.shape) for n, s in scores.items()} == {
        "single": (3, 2, 2),
        "pair": (3, 2),
        "frame": (3, 2, 11),
    }


@torch.no_grad()
@pytest.mark.parametrize("network", ["rnn", "transformer"])
def test_a_window_is_all_that_is_seen_of_it(network: str) -> None:
    """But for velocity and acceleration at its start, which come from two ticks before."""
    model, tracks = judge(network=network), pairs()
    changed = tracks.clone()
    changed[:, :, :3] += 1.0
    changed[:, :, 10:] -= 1.0
    one, other = (model(t, [(5, 5)])["single"] for t in (tracks, changed))
    torch.testing.assert_close(one, other)
    assert float((model(tracks, [(0, 12)])["single"] - model(changed, [(0, 12)])["single"]).abs().max()) > 0


@torch.no_grad()
@pytest.mark.parametrize("network", ["rnn", "transformer"])
def test_the_joint_score_pools_the_pair(network: str) -> None:
    """(4.12): the order within the pair does not matter, who is in it does."""
    model, tracks = judge(network=network), pairs()
    whole = [(0, 12)]
    torch.testing.assert_close(model(tracks.flip(1), whole)["pair"], model(tracks, whole)["pair"])
    other = tracks.clone()
    other[:, 1] = tracks[:, 1].roll(1, 0)
    assert float((model(other, whole)["pair"] - model(tracks, whole)["pair"]).abs().max()) > 1e-6
    torch.testing.assert_close(model(other, whole)["single"][:, 0], model(tracks, whole)["single"][:, 0])


@torch.no_grad()
def test_velocities_and_accelerations_are_seen() -> None:
    """A head that jumps about the same places is told from one that moves through them in order."""
    model, tracks = judge(), pairs()
    shuffled = tracks[:, :, torch.randperm(12, generator=torch.Generator().manual_seed(0))]
    seen, mixed = (model._seen(t) for t in (tracks, shuffled))
    torch.testing.assert_close(seen[..., :136].mean(2), mixed[..., :136].mean(2), rtol=1e-3, atol=1e-4)
    assert float(mixed[..., 136:].abs().mean()) > 2.0 * float(seen[..., 136:].abs().mean())
    assert not seen[:, :, 0, 136:].any()
    assert not seen[:, :, 1, 272:].any()


def test_windows_are_of_every_length_and_place() -> None:
    model = judge(windows=400)
    torch.manual_seed(0)
    drawn = model.windows(40)
    assert len(drawn) == 400
    assert {length for _, length in drawn} == set(range(3, 41))
    assert all(start >= 0 and start + length <= 40 for start, length in drawn)
    assert len({start for start, _ in drawn}) > 30


def test_ablations() -> None:
    assert judge(multi_scale=False).windows(40) == [(0, 40)]
    alone = judge(joint=False)
    assert alone.pair is None
    assert set(alone(pairs(), [(0, 12)])) == {"single", "frame"}


def test_hinge_loss() -> None:
    """Scores beyond the margins cost nothing, those on the border 1 each."""
    good = {"single": torch.tensor([1.0, 3.0])}, {"single": torch.tensor([-1.0, -2.0])}
    assert float(hinge(*good)) == 0.0
    unsure = {"single": torch.zeros(2), "frame": torch.zeros(2)}
    assert float(hinge(unsure, unsure)) == 4.0


@pytest.mark.parametrize("wrong", [{"network": "cnn"}, {"hidden": 0}, {"windows": 0}, {"frame": (0,)}])
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MotionJudgeConfig(**wrong)
