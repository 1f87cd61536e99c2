"""Generated poses stay within what training faces did, and nothing else is touched."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic_heads import framed, moving_heads

from hmgen_ros.generators.plausible_face import PlausibleFace


@pytest.fixture(scope="module")
def poses() -> torch.Tensor:
    return framed(moving_heads(20, 40, seed=3))


@pytest.fixture(scope="module")
def face(poses: torch.Tensor) -> PlausibleFace:
    guard = PlausibleFace(directions=6)
    guard.fit(poses.flatten(0, 1), poses[:, 0].repeat_interleave(poses.shape[1], dim=0))
    return guard


@pytest.mark.parametrize("directions", [1, 6, 24, 136])
def test_real_poses_come_back_as_they_are(directions: int, poses: torch.Tensor) -> None:
    """However many directions: the limits hold for all of them together."""
    guard = PlausibleFace(directions)
    guard.fit(poses.flatten(0, 1), poses[:, 0].repeat_interleave(poses.shape[1], dim=0))
    for tick in range(1, poses.shape[1]):
        now = poses[:, tick]
        torch.testing.assert_close(guard(now, poses[:, 0], poses[:, tick - 1]), now, rtol=0, atol=0)
    assert int(guard.corrected) == 0


def test_unseen_tracks_move_freely() -> None:
    """Limits that real motion meets would shape it, not guard it."""
    tracks = framed(moving_heads(60, 40, seed=3))
    seen, others = tracks[:30], tracks[30:]
    guard = PlausibleFace(6)
    guard.fit(seen.flatten(0, 1), seen[:, 0].repeat_interleave(40, dim=0))
    for tick in range(1, 40):
        guard(others[:, tick], others[:, 0], others[:, tick - 1])
    assert int(guard.corrected) <= 0.01 * 30 * 39


def test_without_limits_everything_may_be() -> None:
    anything = 1e3 * torch.randn(4, 136)
    first = torch.randn(4, 136)
    torch.testing.assert_close(PlausibleFace(3)(anything, first, first), anything, rtol=0, atol=0)


@given(st.integers(0, 10_000), st.floats(0.5, 50.0))
def test_what_was_drawn_back_is_within_the_limits(seed: int, far: float) -> None:
    guard, tracks = _GUARD, _TRACKS
    rng = torch.Generator().manual_seed(seed)
    first = tracks[:, 0]
    drawn = guard(first + far * torch.randn(first.shape, generator=rng), first, first)
    counted = int(guard.corrected)
    torch.testing.assert_close(guard(drawn, first, first), drawn, rtol=1e-3, atol=1e-3)
    place = drawn.unflatten(-1, (-1, 2)).mean(-2).norm(dim=-1)
    assert float(place.max()) <= float(guard.reach) * 1.01
    assert counted > 0


def test_a_head_seen_far_out_does_not_jump(face: PlausibleFace, poses: torch.Tensor) -> None:
    """It may stay where it was seen, and go no further out."""
    first = poses[:, 0]
    away = (first.unflatten(-1, (-1, 2)) + torch.tensor([10.0, 0.0])).flatten(-2)
    torch.testing.assert_close(face(away, first, away), away, rtol=0, atol=0)
    further = (first.unflatten(-1, (-1, 2)) + torch.tensor([12.0, 0.0])).flatten(-2)
    kept = face(further, first, away).unflatten(-1, (-1, 2)).mean(-2)
    assert float(kept[:, 0].max()) == pytest.approx(10.0, abs=0.02)


def test_several_ticks_at_once(face: PlausibleFace, poses: torch.Tensor) -> None:
    wild = poses[:, 0] + torch.randn(5, *poses[:, 0].shape, generator=torch.Generator().manual_seed(0))
    together = face(wild, poses[:, 0], poses[:, 0])
    alone = torch.stack([face(tick, poses[:, 0], poses[:, 0]) for tick in wild])
    torch.testing.assert_close(together, alone)


def test_corrections_are_counted(poses: torch.Tensor) -> None:
    guard = PlausibleFace(6)
    guard.fit(poses.flatten(0, 1), poses[:, 0].repeat_interleave(poses.shape[1], dim=0))
    first = poses[:3, 0]
    wild = first.clone()
    wild[1] = 5.0 * torch.randn(136, generator=torch.Generator().manual_seed(0))
    guard(wild, first, first)
    assert int(guard.corrected) == 1
    assert "corrected" not in guard.state_dict()


@pytest.mark.parametrize("directions", [0, 137])
def test_settings_out_of_range(directions: int) -> None:
    with pytest.raises(ValueError, match="directions"):
        PlausibleFace(directions)


_TRACKS = framed(moving_heads(20, 40, seed=3))
_GUARD = PlausibleFace(directions=6)
_GUARD.fit(_TRACKS.flatten(0, 1), _TRACKS[:, 0].repeat_interleave(40, dim=0))
