"""What all generators of head motion share, tried on each of them: gaps, slots, free running, bad input."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from synthetic_heads import far_from, framed, moving_heads
from torch import Tensor

from hmgen_ros.generators.actor import Actor, ActorConfig
from hmgen_ros.generators.framed_motion import FramedMotion
from hmgen_ros.generators.hit_dvae import HitDvae, HitDvaeConfig
from hmgen_ros.generators.ms_sync import MsSync, MsSyncConfig
from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.noise_driven_state import NoiseDrivenConfig
from hmgen_ros.generators.suhmo import Suhmo, SuhmoConfig

Model = FramedMotion[Any]
MAKERS: dict[str, Callable[[], Model]] = {
    "suhmo_rnn": lambda: Suhmo(SuhmoConfig(hidden=24, layers=(16,))),
    "suhmo_rnn_alone": lambda: Suhmo(SuhmoConfig(hidden=24, layers=(16,), paired=False)),
    "suhmo_rnn_delta": lambda: Suhmo(SuhmoConfig(hidden=24, layers=(16,), offsets="first")),
    "suhmo_transformer": lambda: Suhmo(
        SuhmoConfig(network="transformer", hidden=24, layers=(16,), window=64)
    ),
    "suhmo_transformer_alone": lambda: Suhmo(
        SuhmoConfig(network="transformer", hidden=24, layers=(16,), window=64, paired=False)
    ),
    "noise_driven": lambda: NoiseDriven(NoiseDrivenConfig(hidden=24, intent=4, directions=8)),
    "noise_driven_smoothed": lambda: NoiseDriven(
        NoiseDrivenConfig(hidden=24, intent=4, directions=8, smoothed=True)
    ),
    "ms_sync": lambda: MsSync(MsSyncConfig(hidden=24, intent=4, directions=8, channels=6, width=12)),
    "ms_sync_smoothed": lambda: MsSync(
        MsSyncConfig(hidden=24, intent=4, directions=8, channels=6, width=12, smoothed=True)
    ),
    "actor": lambda: Actor(ActorConfig(width=16, layers=1, heads=2, feed=32)),
    "hit_dvae": lambda: HitDvae(HitDvaeConfig(width=16, layers=1, heads=2, feed=32, content=3, latent=4)),
}
#: Pixels; the faces of these tests are some 100 in size.
CLOSE = 1e-3


@pytest.fixture(params=list(MAKERS))
def model(request: pytest.FixtureRequest) -> Model:
    """Untrained, but with units and limits of real tracks, and weights that tell things apart."""
    torch.manual_seed(0)
    made = MAKERS[request.param]()
    poses = framed(moving_heads(24, 30, seed=9))
    # As trackers do; what never trembles would be foreseen to the last bit.
    poses = poses + 1e-3 * torch.randn_like(poses)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            # Not the linear prediction, which would run away.
            if not name.startswith("linear."):
                parameter.add_(0.03 * torch.randn_like(parameter))
    made.fit_units(poses, poses[:, 0])
    made.plausible.fit(poses.flatten(0, 1), poses[:, 0].repeat_interleave(30, dim=0))
    return made.eval()


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def watched(model: Model, tracks: Tensor) -> Any:
    """The state after ``[R, T, 68, 2]``."""
    state = model.initial_state(len(tracks))
    for tick in tracks.unbind(1):
        state, _ = model.step(state, tick)
    return state


@torch.no_grad()
def test_streaming_equals_batch(model: Model) -> None:
    tracks = moving_heads(3, 30)
    whole = model(tracks.unsqueeze(2)).squeeze(2)
    state = model.initial_state(3)
    for tick in range(30):
        state, following = model.step(state, tracks[:, tick])
        assert far_from(following, whole[:, tick]) < CLOSE


@torch.no_grad()
def test_heads_do_not_know_of_each_other(model: Model) -> None:
    tracks = moving_heads(3, 12)
    both = model(tracks.transpose(0, 1).unsqueeze(0))
    alone = torch.cat([model(track[None, :, None]) for track in tracks], dim=2)
    assert far_from(both, alone) < CLOSE


@torch.no_grad()
def test_predictions_follow_the_unit_and_the_place(model: Model) -> None:
    """Pixels, millimetres, elsewhere in the picture: the same motion."""
    tracks = moving_heads(2, 12)
    plain = model(tracks.unsqueeze(2))
    moved = model((0.1 * tracks + 50.0).unsqueeze(2))
    assert far_from(moved, 0.1 * plain + 50.0) < CLOSE


@torch.no_grad()
def test_gaps_leave_a_state_as_it_was(model: Model) -> None:
    tracks = moving_heads(2, 8)
    nothing = torch.full((2, 68, 2), torch.nan)
    collapsed = torch.full((2, 68, 2), 100.0)
    state = watched(model, tracks)
    for bad in (nothing, collapsed):
        after, _ = model.step(state, bad)
        assert _same(after, state)
    one_hole = tracks[:, -1].clone()
    one_hole[0, 5, 0] = torch.nan
    after, _ = model.step(state, one_hole)
    assert _same(_slot(model, after, 0), _slot(model, state, 0))
    assert not _same(_slot(model, after, 1), _slot(model, state, 1))


@torch.no_grad()
def test_a_head_that_comes_later_is_as_if_it_came_first(model: Model) -> None:
    tracks = moving_heads(1, 10)
    late = model.initial_state(1)
    for _ in range(5):
        late, following = model.step(late, torch.full((1, 68, 2), torch.nan))
        assert following.isnan().all()
    for tick in tracks.unbind(1):
        late, following = model.step(late, tick)
    state, expected = model.initial_state(1), following
    for tick in tracks.unbind(1):
        state, expected = model.step(state, tick)
    assert far_from(following, expected) < CLOSE


@torch.no_grad()
def test_a_head_that_comes_while_others_run_free(model: Model) -> None:
    """What free running does to a slot without a head must not reach the head that takes it."""
    tracks = moving_heads(2, 10)
    state, _ = model.step(model.initial_state(2), torch.stack([tracks[0, 0], torch.full((68, 2), torch.nan)]))
    generator = rng()
    state = model.start(state, generator)
    for _ in range(4):
        state, poses = model.advance(state, generator)
        assert poses[1].isnan().all()
        assert torch.isfinite(poses[0]).all()
    alone = model.initial_state(1)
    for tick in tracks[1]:
        state, both = model.step(state, torch.stack([tracks[0, 0], tick]))
        alone, one = model.step(alone, tick[None])
        assert far_from(both[1:], one) < CLOSE


@torch.no_grad()
def test_slots_change_places_and_are_forgotten(model: Model) -> None:
    tracks = moving_heads(3, 10)
    state = watched(model, tracks)
    swapped = model.arrange(state, [2, -1, 0])
    assert _same(_slot(model, swapped, 0), _slot(model, state, 2))
    assert _same(_slot(model, swapped, 2), _slot(model, state, 0))
    assert _same(_slot(model, swapped, 1), model.initial_state(1))
    reset = model.reset_slots(state, torch.tensor([False, True, False]))
    assert _same(_slot(model, reset, 1), model.initial_state(1))
    assert _same(_slot(model, reset, 0), _slot(model, state, 0))


@torch.no_grad()
def test_rollouts_are_seeded_and_leave_the_state(model: Model) -> None:
    state = watched(model, moving_heads(2, 10))
    one, again, other = (model.rollout(state, 20, rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (20, 2, 68, 2)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@torch.no_grad()
def test_a_rollout_is_many_advances(model: Model) -> None:
    state = watched(model, moving_heads(2, 10))
    whole = model.rollout(state, 15, rng())
    generator = rng()
    state = model.start(state, generator)
    for tick in range(15):
        state, poses = model.advance(state, generator)
        if not isinstance(model, Actor):  # decodes many ticks at once and draws them back together
            assert far_from(poses, whole[tick]) < CLOSE


@torch.no_grad()
def test_long_free_running_stays_a_face(model: Model) -> None:
    tracks = moving_heads(2, 5)
    state = watched(model, tracks)
    generator = rng()
    state = model.start(state, generator)
    for _ in range(1500):
        state, poses = model.advance(state, generator)
    assert torch.isfinite(poses).all()
    size = poses.std(dim=1).norm(dim=-1) / tracks[:, 0].std(dim=1).norm(dim=-1)
    assert float(size.max()) <= 1.2 * float(model.plausible.grow)
    assert float(size.min()) >= 0.8 * float(model.plausible.shrink)


@torch.no_grad()
def test_a_pose_far_outside_the_training_set(model: Model) -> None:
    """A caricature of the size of a stamp, ten pictures away: finite motion that begins where it is."""
    strange = moving_heads(1, 1, seed=77)[:, 0] * torch.tensor([0.01, 0.05]) + 9000.0
    strange[:, ::3] *= 1.001
    state, following = model.step(model.initial_state(1), strange)
    future = model.rollout(state, 50, rng())
    assert torch.isfinite(following).all()
    assert torch.isfinite(future).all()
    extent = float((strange.amax(1) - strange.amin(1)).norm())
    assert float((future[0] - strange).norm(dim=-1).max()) < 2.0 * extent


def test_a_state_of_other_size(model: Model) -> None:
    with pytest.raises(ValueError, match="2 heads"):
        model.step(model.initial_state(2), torch.zeros(3, 68, 2))


@pytest.mark.parametrize("steps", [0, -1, 1_000_000])
def test_no_steps_and_too_many_to_hold(model: Model, steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps.* got {steps}; .*advance"):
        model.rollout(model.initial_state(1), steps, rng())


@torch.no_grad()
def test_numbers_of_any_kind(model: Model) -> None:
    whole = moving_heads(2, 1)[:, 0].round()
    expected = model.step(model.initial_state(2), whole)[1]
    for other in (whole.double(), whole.long()):
        torch.testing.assert_close(model.step(model.initial_state(2), other)[1], expected)


@torch.no_grad()
def test_finite_numbers_that_are_no_pixels(model: Model) -> None:
    """Such a head is unseen, and its neighbour is none the worse for it."""
    faces = moving_heads(2, 1)[:, 0]
    absurd = torch.stack([faces[0], faces[1] * 1e16])
    state, following = model.step(model.initial_state(2), absurd)
    assert state.seen.tolist() == [True, False]
    assert torch.isfinite(following[0]).all()
    assert torch.isnan(following[1]).all()


def test_whole_tracks_have_no_gaps(model: Model) -> None:
    track = moving_heads(1, 5).unsqueeze(2)
    track[0, 3, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="tick by tick"):
        model(track)


@torch.no_grad()
def test_model_files_hold_the_model(model: Model) -> None:
    from hmgen_ros.generators import motion_models
    from hmgen_ros.generators.weights import Weights

    config, tensors = model.to_weights()
    again = motion_models.from_weights(Weights("a test", config, tensors))
    tracks = moving_heads(2, 6)
    assert far_from(again(tracks.unsqueeze(2)), model(tracks.unsqueeze(2))) < CLOSE
    assert float(again.plausible.reach) == float(model.plausible.reach)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@torch.no_grad()
def test_a_gpu_gives_the_same(model: Model) -> None:
    tracks = moving_heads(2, 6)
    plain = model(tracks.unsqueeze(2))
    assert far_from(model.cuda()(tracks.unsqueeze(2).cuda()).cpu(), plain) < 0.1


def _slot(model: Model, state: Any, slot: int) -> Any:
    return model.arrange(state, [slot])


def _same(one: Any, other: Any) -> bool:
    if is_dataclass(one):
        return all(_same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return bool(torch.equal(one.nan_to_num(nan=-1.0), other.nan_to_num(nan=-1.0)))
