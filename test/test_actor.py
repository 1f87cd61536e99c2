"""ACTOR: motions decoded at once agree with motions decoded tick by tick, and its loss can be learned."""

from typing import Any

import pytest
import torch
from synthetic_heads import far_from, framed, moving_heads
from torch import Tensor

from hmgen_ros.generators import weights
from hmgen_ros.generators.actor import Actor, ActorConfig, ActorState
from hmgen_ros.generators.framed_motion import FramedState
from hmgen_ros.generators.head_frame import from_frame, head_frame

State = FramedState[ActorState]
#: Pixels; the faces of these tests are some 100 in size.
CLOSE = 1e-3


def small(**changes: Any) -> ActorConfig:
    return ActorConfig(**{"width": 16, "layers": 2, "heads": 2, "feed": 32, "window": 12, **changes})


def actor(**changes: Any) -> Actor:
    """Untrained, but with weights that tell ticks, latents and heads apart."""
    torch.manual_seed(0)
    model = Actor(small(**changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    poses = framed(moving_heads(16, 30, seed=9))
    model.fit_units(poses, poses[:, 0])
    return model.eval()


def watched(model: Actor, tracks: Tensor) -> State:
    """The state after ``[R, T, 68, 2]``."""
    state = model.initial_state(len(tracks))
    for tick in tracks.unbind(1):
        state, _ = model.step(state, tick)
    return state


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def ahead(model: Actor, state: State, steps: int, seed: int = 0) -> Tensor:
    return model.rollout(state, steps, rng(seed))


@pytest.mark.parametrize("offsets", ["first", "pose"])
@torch.no_grad()
def test_streaming_equals_batch(offsets: str) -> None:
    model, tracks = actor(offsets=offsets), moving_heads(3, 20)
    whole = model(tracks.unsqueeze(2)).squeeze(2)
    state = model.initial_state(3)
    for tick in range(20):
        state, following = model.step(state, tracks[:, tick])
        assert far_from(following, whole[:, tick]) < CLOSE


@pytest.mark.parametrize("steps", [1, 2, 40, 300])
@torch.no_grad()
def test_poses_ahead_agree_with_advancing_tick_by_tick(steps: int) -> None:
    model, tracks = actor(), moving_heads(3, 6)
    tracks[1] = torch.nan  # never seen
    state = watched(model, tracks)
    future = ahead(model, state, steps)
    assert future.shape == (steps, 3, 68, 2)
    assert future[:, 1].isnan().all()
    generator = rng()
    state = model.start(state, generator)
    for tick in range(steps):
        state, pose = model.advance(state, generator)
        assert far_from(pose, future[tick]) < CLOSE


@torch.no_grad()
def test_poses_ahead_go_on_where_advancing_has_come_to() -> None:
    model, generator = actor(), rng()
    state = model.start(watched(model, moving_heads(2, 3)), generator)
    whole = model.poses_ahead(state, 50, generator)
    for _ in range(17):
        state, _ = model.advance(state, generator)
    torch.testing.assert_close(model.poses_ahead(state, 33, generator), whole[17:], rtol=0.0, atol=1e-5)


@torch.no_grad()
def test_rollout_decodes_as_training_does() -> None:
    """From a single pose, a latent that is drawn gives what the decoder learned to give for it."""
    model, pose = actor(), moving_heads(2, 1)
    origin = framed(pose)[:, 0]
    latent = torch.randn((2, 16), generator=rng(5))
    decoded = model.decode(origin, latent, 40).unflatten(-1, (68, 2))
    future = ahead(model, watched(model, pose), 40, seed=5).transpose(0, 1)
    assert far_from(from_frame(decoded, head_frame(pose)), future) < CLOSE


@torch.no_grad()
def test_how_many_ticks_are_asked_for_does_not_matter() -> None:
    model = actor()
    state = watched(model, moving_heads(2, 3))
    assert far_from(ahead(model, state, 40), ahead(model, state, 80)[:40]) < CLOSE


@torch.no_grad()
def test_seeds_give_motions_and_the_same_seed_the_same() -> None:
    model = actor()
    state = watched(model, moving_heads(2, 3))
    one = ahead(model, state, 20, seed=1)
    assert torch.equal(one, ahead(model, state, 20, seed=1))
    assert far_from(one, ahead(model, state, 20, seed=2)) > 0.1


@torch.no_grad()
def test_the_initial_pose_decides_too() -> None:
    model, tracks = actor(), moving_heads(2, 30)
    one, other = (framed(tracks)[:, tick] for tick in (0, 29))
    latent = torch.zeros(2, 16)
    apart = (model.decode(one, latent, 5) - one[:, None]) - (model.decode(other, latent, 5) - other[:, None])
    assert apart.abs().max() > 1e-3


@torch.no_grad()
def test_gaps_resets_and_changes_of_place() -> None:
    model, tracks = actor(), moving_heads(2, 8)
    gap = tracks.clone()
    gap[0, 3:6] = torch.nan
    skipped = watched(model, tracks[:1, [0, 1, 2, 6, 7]])
    state = watched(model, gap)
    assert far_from(model.step(state, tracks[:, 0])[1][:1], model.step(skipped, tracks[:1, 0])[1]) < CLOSE
    state = model.reset_slots(state, torch.tensor([True, False]))
    assert ahead(model, state, 2)[:, 0].isnan().all()
    state = model.arrange(state, [1, -1])
    again = ahead(model, state, 10)
    assert again[:, 1].isnan().all()
    assert far_from(again[:, :1], ahead(model, watched(model, tracks[1:]), 10)) < CLOSE


@torch.no_grad()
def test_no_heads_and_no_steps() -> None:
    model = actor()
    state = model.initial_state(0)
    state, following = model.step(state, torch.zeros(0, 68, 2))
    assert following.shape == (0, 68, 2)
    assert ahead(model, state, 5).shape == (5, 0, 68, 2)
    with pytest.raises(ValueError, match="steps"):
        ahead(model, state, 0)


@torch.no_grad()
def test_a_long_motion_stays_finite() -> None:
    model = actor()
    assert torch.isfinite(ahead(model, watched(model, moving_heads(2, 1)), 3000)).all()


def test_the_loss_is_made_of_its_parts() -> None:
    model, poses = actor(kl_weight=0.01, warm_up=10, dropout=0.0), framed(moving_heads(4, 41))
    for iteration, weight in ((0, 0.001), (4, 0.005), (9, 0.01), (50, 0.01)):
        parts = model.losses(poses, poses[:, 0], iteration)
        assert set(parts) == {"loss", "reconstruction", "kl"}
        assert parts["kl"] > 0.0
        torch.testing.assert_close(parts["loss"], parts["reconstruction"] + weight * parts["kl"])


def test_divergence_is_that_of_the_latents_from_standard_normal_ones() -> None:
    model, poses = actor(), framed(moving_heads(4, 41))
    mean, log_variance = model.encode(poses[:, 0], poses[:, 1:])
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(-1).mean()
    torch.testing.assert_close(model.losses(poses)["kl"], expected)


def test_the_loss_falls_and_latents_tell_motions_apart() -> None:
    torch.manual_seed(0)
    poses = framed(moving_heads(16, 41))
    model = Actor(ActorConfig(width=32, layers=1, feed=64, offsets="first"))
    model.fit_units(poses, poses[:, 0])
    adam, losses = torch.optim.Adam(model.parameters(), 3e-3), []
    for iteration in range(150):
        parts = model.losses(poses, poses[:, 0], iteration)
        adam.zero_grad()
        parts["loss"].backward()
        adam.step()
        losses.append(float(parts["reconstruction"].detach()))
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert losses[-1] < 0.2 * losses[0]
    with torch.no_grad():
        mean, _ = model.eval().encode(poses[:, 0], poses[:, 1:])
        own = (model.decode(poses[:, 0], mean, 40) - poses[:, 1:]).square().mean()
        others = (model.decode(poses[:, 0], mean.roll(1, 0), 40) - poses[:, 1:]).square().mean()
    assert own < 0.5 * others


def test_weights_keep_everything(tmp_path: Any) -> None:
    model = actor(offsets="pose", kl_weight=0.5)
    digest = weights.save(tmp_path / "actor.safetensors", *model.to_weights())
    again = Actor.from_weights(weights.read(tmp_path / "actor.safetensors", digest))
    assert again.config == model.config
    state = watched(model, moving_heads(2, 3))
    assert torch.equal(ahead(again, state, 10), ahead(model, state, 10))


def test_weights_of_something_else_are_refused(tmp_path: Any) -> None:
    config, tensors = actor().to_weights()
    path = tmp_path / "m.safetensors"
    for changes, text in (({"kind": "suhmo"}, "not 'actor'"), ({"layers": 1}, "train it again")):
        weights.save(path, {**config, **changes}, tensors)
        with pytest.raises(weights.WeightsError, match=text):
            Actor.from_weights(weights.read(path))


def test_the_thesis_sizes_are_the_papers() -> None:
    config = ActorConfig.thesis()
    assert (config.width, config.layers, config.heads, config.feed) == (256, 8, 4, 1024)
    poses = framed(moving_heads(2, 41))
    assert torch.isfinite(Actor(config).losses(poses)["loss"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 0}, "width"),
        ({"layers": 0}, "layers"),
        ({"heads": 3}, "heads"),
        ({"dropout": 1.0}, "dropout"),
        ({"kl_weight": -1.0}, "kl_weight"),
        ({"kl_weight": float("nan")}, "kl_weight"),
        ({"warm_up": -1}, "warm_up"),
        ({"offsets": "velocity"}, "offsets"),
    ],
)
def test_bad_settings_are_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ActorConfig(**change)
