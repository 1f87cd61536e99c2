"""Constant velocity then hold: follows motion, forgets jumps and gaps, never runs away."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hmgen_ros.generators.constant_velocity import ConstantVelocity, ConstantVelocityConfig

QUICK = settings(deadline=None, max_examples=30)
PREDICTOR = ConstantVelocity()
FULL = ConstantVelocity(ConstantVelocityConfig(smoothing=0.0, gain=1.0, hold_after=5))


def face(seed: int = 0) -> Tensor:
    """``[68, 2]`` pixels with the outer eye corners 100 apart."""
    points = torch.rand((68, 2), generator=torch.Generator().manual_seed(seed)) * 200 + 100
    points[36], points[45] = torch.tensor([150.0, 180.0]), torch.tensor([250.0, 180.0])
    return points


def moving(ticks: int, speed: tuple[float, float] = (4.0, -2.0)) -> Tensor:
    """``[T, 1, 68, 2]`` a face in steady motion."""
    way = torch.arange(ticks)[:, None] * torch.tensor(speed)
    return (face() + way[:, None, :])[:, None]


def run(predictor: ConstantVelocity, track: Tensor) -> tuple[object, Tensor]:
    state = predictor.initial_state(track.shape[1])
    predicted = []
    for tick in track:
        state, following = predictor.step(state, tick)
        predicted.append(following)
    return state, torch.stack(predicted)


@st.composite
def tracks(draw: st.DrawFn) -> Tensor:
    """``[T, N, 68, 2]`` shaky, jumping faces that are sometimes not seen."""
    ticks, heads, seed = draw(st.integers(1, 12)), draw(st.integers(0, 3)), draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, draw(st.sampled_from([0.1, 3.0, 200.0])), (ticks, heads, 1, 2)).cumsum(0)
    track = face(seed).numpy() + steps + rng.normal(0, 0.5, (ticks, heads, 68, 2))
    track[rng.random((ticks, heads)) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    return torch.from_numpy(track.astype(np.float32))


@QUICK
@given(tracks())
def test_streaming_equals_batch(track: Tensor) -> None:
    both = torch.stack([track, track.flip(0)])
    whole = PREDICTOR(both)
    for one, expected in zip(both, whole, strict=True):
        torch.testing.assert_close(run(PREDICTOR, one)[1], expected, equal_nan=True)


@QUICK
@given(tracks())
def test_rollouts_begin_with_the_step_are_bounded_and_hold(track: Tensor) -> None:
    state, predicted = run(PREDICTOR, track)
    future = PREDICTOR.rollout(state, 20)
    torch.testing.assert_close(future[0], predicted[-1], equal_nan=True)
    never_seen = ~torch.isfinite(track).all(-1).all(-1).any(0)
    assert torch.equal(torch.isnan(future).any(-1).any(-1).any(0), never_seen)
    held = future[PREDICTOR.config.hold_after - 1 :]
    torch.testing.assert_close(held, held[:1].expand(held.shape), equal_nan=True)
    eyes = (
        (track[:, :, 36] - track[:, :, 45]).norm(dim=-1).nan_to_num(0).amax()
        if track.shape[1]
        else torch.ones(())
    )
    furthest = (future - state.landmarks).norm(dim=-1).nan_to_num(0)
    limit = PREDICTOR.config.max_speed * PREDICTOR.config.hold_after
    assert bool((furthest <= limit * eyes + 1e-3).all())


@QUICK
@given(tracks(), st.data())
def test_reset_of_one_head_leaves_the_others(track: Tensor, data: st.DataObject) -> None:
    heads = track.shape[1]
    slots = torch.tensor(data.draw(st.lists(st.booleans(), min_size=heads, max_size=heads)), dtype=torch.bool)
    state, _ = run(PREDICTOR, track)
    after, fresh = PREDICTOR.reset_slots(state, slots), PREDICTOR.initial_state(heads)
    for field in ("landmarks", "velocity", "unseen"):
        kept, gone = getattr(after, field)[~slots], getattr(after, field)[slots]
        torch.testing.assert_close(kept, getattr(state, field)[~slots], equal_nan=True)
        torch.testing.assert_close(gone, getattr(fresh, field)[slots], equal_nan=True)


def test_steady_motion_is_continued_then_held() -> None:
    state, predicted = run(FULL, moving(6))
    torch.testing.assert_close(predicted[-1, 0], moving(7)[-1, 0])
    future = FULL.rollout(state, 40)
    way = (future[:, 0] - moving(6)[-1, 0]).mean(1)[:, 0] / 4.0
    torch.testing.assert_close(way[:5], torch.tensor([1.0, 1.8, 2.4, 2.8, 3.0]))
    torch.testing.assert_close(way[5:], torch.full((35,), 3.0))


def test_default_beats_hold_on_motion_and_hardly_shakes_on_jitter() -> None:
    track = moving(30)
    _, predicted = run(PREDICTOR, track)
    ours, hold = (predicted[5:-1] - track[6:]).abs().mean(), (track[5:-1] - track[6:]).abs().mean()
    assert ours < 0.7 * hold
    still = face() + torch.randn((400, 1, 68, 2), generator=torch.Generator().manual_seed(0))
    _, predicted = run(PREDICTOR, still)
    ours, hold = (
        (predicted[5:-1] - still[6:]).norm(dim=-1).mean(),
        (still[5:-1] - still[6:]).norm(dim=-1).mean(),
    )
    assert ours < 1.01 * hold


def test_whole_face_jitter_costs_little() -> None:
    shaking = face() + torch.randn((400, 1, 1, 2), generator=torch.Generator().manual_seed(0))
    _, predicted = run(PREDICTOR, shaking)
    ours = (predicted[5:-1] - shaking[6:]).norm(dim=-1).mean()
    hold = (shaking[5:-1] - shaking[6:]).norm(dim=-1).mean()
    assert ours < 1.4 * hold


def test_a_jump_is_not_followed() -> None:
    track = torch.cat([moving(3, (0, 0)), moving(1, (0, 0)) + 80.0])
    state, predicted = run(FULL, track)
    torch.testing.assert_close(predicted[-1], track[-1])
    torch.testing.assert_close(FULL.rollout(state, 3)[-1], track[-1])


def test_unseen_heads_stay_and_slow_down() -> None:
    state, _ = run(FULL, moving(5))
    speeds = [float(state.velocity.norm())]
    for _ in range(30):
        state, predicted = FULL.step(state, torch.full((1, 68, 2), torch.nan))
        speeds.append(float(state.velocity.norm()))
        torch.testing.assert_close(state.landmarks, moving(5)[-1])
    assert all(b < a for a, b in pairwise(speeds))
    torch.testing.assert_close(predicted, moving(5)[-1], atol=0.05, rtol=0)


def test_one_bad_landmark_hides_the_head() -> None:
    for bad in (torch.nan, torch.inf):
        track = moving(5)
        track[-1, 0, 17, 1] = bad
        state, predicted = run(FULL, track)
        assert bool(torch.isfinite(predicted).all())
        assert int(state.unseen) == 1


def test_after_a_gap_the_velocity_is_that_of_the_gap() -> None:
    track = moving(6)
    track[3:5] = torch.nan
    state, _ = run(FULL, track)
    torch.testing.assert_close(state.velocity[0, 0], torch.tensor([4.0, -2.0]))


def test_heads_never_seen_are_nan_and_other_shapes_refused() -> None:
    state = PREDICTOR.initial_state(2)
    assert bool(torch.isnan(PREDICTOR.rollout(state, 3)).all())
    assert PREDICTOR.rollout(PREDICTOR.initial_state(0), 3).shape == (3, 0, 68, 2)
    with pytest.raises(ValueError, match="state holds"):
        PREDICTOR.step(state, torch.zeros(1, 68, 2))
    with pytest.raises(ValueError, match="at least 1"):
        PREDICTOR.rollout(state, 0)
    for wrong in ({"smoothing": 1.0}, {"gain": 1.5}, {"hold_after": 0}, {"max_speed": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ConstantVelocityConfig(**wrong)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_agrees() -> None:
    cuda = ConstantVelocity().to("cuda")
    track = moving(8)
    torch.testing.assert_close(cuda(track[None].cuda()).cpu(), PREDICTOR(track[None]))
    assert cuda.rollout(cuda.initial_state(2), 3).is_cuda
