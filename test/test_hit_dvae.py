"""HiT-DVAE: streams agree with whole sequences, rollouts with the definition; its loss can be learned."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from synthetic_heads import far_from, framed, moving_heads
from torch import Tensor

from hmgen_ros.generators import weights
from hmgen_ros.generators.framed_motion import FramedState
from hmgen_ros.generators.hit_dvae import HitDvae, HitDvaeConfig, HitState
from hmgen_ros.generators.hit_dvae_networks import Normal

State = FramedState[HitState]
#: Pixels; the faces of these tests are some 100 in size.
CLOSE = 1e-3


def small(**changes: Any) -> HitDvaeConfig:
    sizes = {"width": 16, "layers": 2, "heads": 2, "feed": 32, "content": 3, "latent": 4, "window": 12}
    return HitDvaeConfig(**{**sizes, **changes})


def hit(**changes: Any) -> HitDvae:
    """Untrained, but with weights that tell ticks, latents and heads apart."""
    torch.manual_seed(0)
    model = HitDvae(small(**changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    poses = framed(moving_heads(16, 30, seed=9))
    model.fit_units(poses, poses[:, 0])
    return model.eval()


def watched(model: HitDvae, tracks: Tensor) -> State:
    """The state after ``[R, T, 68, 2]``."""
    state = model.initial_state(len(tracks))
    for tick in tracks.unbind(1):
        state, _ = model.step(state, tick)
    return state


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def ahead(model: HitDvae, state: State, steps: int, seed: int = 0) -> Tensor:
    return model.rollout(state, steps, rng(seed))


@pytest.mark.parametrize("offsets", ["last", "pose"])
@torch.no_grad()
def test_streaming_equals_batch(offsets: str) -> None:
    """Also where the track is longer than attention looks back."""
    model, tracks = hit(offsets=offsets), moving_heads(3, 30)
    whole = model(tracks.unsqueeze(2)).squeeze(2)
    state = model.initial_state(3)
    for tick in range(30):
        state, following = model.step(state, tracks[:, tick])
        assert far_from(following, whole[:, tick]) < CLOSE


@torch.no_grad()
def test_streaming_equals_batch_for_fixed_latents() -> None:
    model, poses = hit(), framed(moving_heads(3, 30))
    latents, content = torch.randn((3, 30, 4), generator=rng()), torch.randn((3, 3), generator=rng(1))
    known = model.remember(poses, latents)
    given = model.decode(poses[:, :-1], known[:, :-1], latents[:, 1:], content)
    inferred = model.infer(poses, content).mean
    start = replace(model.core_state(3), pose=poses[:, 0], content=content)
    core, latent = start, torch.zeros(3, 4)
    for tick in range(29):
        core, seen = model.look(core, poses[:, tick])
        core = model.take_in(core, poses[:, tick], latent)
        torch.testing.assert_close(core.known, known[:, tick], rtol=0.0, atol=1e-5)
        if tick:
            torch.testing.assert_close(seen.mean, inferred[:, tick], rtol=0.0, atol=1e-5)
        latent = latents[:, tick + 1]
        following = model.place(core, poses[:, tick], latent)
        torch.testing.assert_close(following, given[:, tick], rtol=0.0, atol=1e-5)


@torch.no_grad()
def test_rollout_is_what_the_model_defines() -> None:
    """Ancestral sampling, written with the parts that training uses, gives the same poses."""
    model, start = hit(window=40), moving_heads(2, 1)
    generator = rng(3)
    content = torch.randn((2, 3), generator=generator)
    poses, latents = framed(start), torch.zeros(2, 1, 4)
    for _ in range(12):
        known = model.remember(poses, latents)
        prior = model.prior(known[:, -1], content)
        latents = torch.cat([latents, prior.at(torch.randn((2, 4), generator=generator)).unsqueeze(1)], dim=1)
        following = model.decode(poses, known, latents[:, 1:], content)[:, -1:]
        poses = torch.cat([poses, following], dim=1)
    state = model.start(watched(model, start), rng(3))
    torch.testing.assert_close(
        model.poses_ahead(state, 12, _after_content(3)).transpose(0, 1), poses[:, 1:], rtol=0.0, atol=1e-4
    )


def _after_content(seed: int) -> torch.Generator:
    """A generator that the content of two heads was drawn from already."""
    generator = rng(seed)
    torch.randn((2, 3), generator=generator)
    return generator


@torch.no_grad()
def test_poses_ahead_agree_with_advancing_tick_by_tick() -> None:
    model, tracks = hit(), moving_heads(3, 6)
    tracks[1] = torch.nan  # never seen
    state = watched(model, tracks)
    future = ahead(model, state, 40)
    assert future.shape == (40, 3, 68, 2)
    assert future[:, 1].isnan().all()
    generator = rng()
    state = model.start(state, generator)
    for tick in range(40):
        state, pose = model.advance(state, generator)
        assert far_from(pose, future[tick]) == 0.0


@torch.no_grad()
def test_seeds_give_motions_and_the_same_seed_the_same() -> None:
    model = hit()
    state = watched(model, moving_heads(2, 3))
    one = ahead(model, state, 20, seed=1)
    assert torch.equal(one, ahead(model, state, 20, seed=1))
    assert far_from(one, ahead(model, state, 20, seed=2)) > 0.1


@torch.no_grad()
def test_content_and_latents_both_decide() -> None:
    model, poses = hit(), framed(moving_heads(2, 10))
    latents, content = torch.zeros(2, 10, 4), torch.zeros(2, 3)
    known = model.remember(poses, latents)
    given = model.decode(poses, known, latents, content)
    assert (model.decode(poses, known, latents + 1.0, content) - given).abs().max() > 1e-4
    assert (model.decode(poses, known, latents, content + 1.0) - given).abs().max() > 1e-4
    assert (model.remember(poses, latents + 1.0) - known)[:, 1:].abs().max() > 1e-3
    assert torch.equal(model.remember(poses, latents + 1.0)[:, 0], known[:, 0])  # the first pose has none


@torch.no_grad()
def test_gaps_resets_and_changes_of_place() -> None:
    model, tracks = hit(), moving_heads(2, 8)
    gap = tracks.clone()
    gap[0, 3:6] = torch.nan
    skipped = watched(model, tracks[:1, [0, 1, 2, 6, 7]])
    state = watched(model, gap)
    assert far_from(model.step(state, tracks[:, 0])[1][:1], model.step(skipped, tracks[:1, 0])[1]) < CLOSE
    state = model.reset_slots(state, torch.tensor([True, False]))
    assert ahead(model, state, 2)[:, 0].isnan().all()
    again = model.step(state, tracks[:, 0])[1][:1]
    fresh = model.step(model.initial_state(1), tracks[:1, 0])[1]
    assert far_from(again, fresh) < CLOSE
    state = model.arrange(state, [1, -1, 0])
    moved = ahead(model, state, 1)
    assert moved[:, 1:].isnan().all()
    state, following = model.step(state, tracks[[1, 0, 0], 7])
    alone = model.step(watched(model, tracks[1:]), tracks[1:, 7])[1]
    assert far_from(following[:1], alone) < CLOSE
    assert torch.isfinite(following).all()


@torch.no_grad()
def test_a_head_that_is_seen_again_goes_on_from_there() -> None:
    model, tracks, generator = hit(), moving_heads(1, 9), rng()
    state = model.start(watched(model, tracks[:, :3]), generator)
    for _ in range(4):
        state, _ = model.advance(state, generator)
    state, following = model.step(state, tracks[:, 8])
    assert far_from(state.last.unflatten(-1, (68, 2)), framed(tracks)[:, 8].unflatten(-1, (68, 2))) < 1e-5
    assert torch.isfinite(following).all()


@torch.no_grad()
def test_no_heads_and_no_steps() -> None:
    model = hit()
    state, following = model.step(model.initial_state(0), torch.zeros(0, 68, 2))
    assert following.shape == (0, 68, 2)
    assert ahead(model, state, 5).shape == (5, 0, 68, 2)
    with pytest.raises(ValueError, match="steps"):
        ahead(model, state, 0)


def test_the_loss_is_made_of_its_parts() -> None:
    model, poses = hit(kl_content=2.0, kl_latent=3.0, warm_up=10, own_inputs=0.0), framed(moving_heads(4, 41))
    for iteration, grown in ((0, 0.1), (4, 0.5), (9, 1.0), (50, 1.0)):
        parts = model.losses(poses, poses[:, 0], iteration)
        assert set(parts) == {"loss", "reconstruction", "kl_content", "kl_latent"}
        assert parts["kl_content"] > 0.0
        assert parts["kl_latent"] > 0.0
        divergence = (2.0 * parts["kl_content"] / 40 + 3.0 * parts["kl_latent"]) / 136
        torch.testing.assert_close(parts["loss"], parts["reconstruction"] + grown * divergence)


def test_divergences_are_those_of_normal_distributions() -> None:
    one, other = (Normal(*torch.randn((2, 5, 3), generator=rng(seed))) for seed in (0, 1))
    first, second = (torch.distributions.Normal(n.mean, (0.5 * n.log_variance).exp()) for n in (one, other))
    standard = torch.distributions.Normal(torch.zeros(5, 3), torch.ones(5, 3))
    between = torch.distributions.kl_divergence
    torch.testing.assert_close(one.divergence(other), between(first, second).sum(-1))
    torch.testing.assert_close(one.divergence_from_standard(), between(first, standard).sum(-1))


def test_own_inputs_grow_and_change_what_is_learned_from() -> None:
    poses = framed(moving_heads(4, 41))
    losses = {}
    for share, iteration in ((0.0, 99), (1.0, 49), (1.0, 99)):
        model = hit(own_inputs=share, warm_up=100)
        torch.manual_seed(1)
        losses[share, iteration] = float(
            model.losses(poses, poses[:, 0], iteration)["reconstruction"].detach()
        )
    assert losses[1.0, 99] > 1.05 * losses[0.0, 99]  # its errors come on top of each other
    assert losses[0.0, 99] < losses[1.0, 49] < losses[1.0, 99]


def test_the_loss_falls_and_latents_are_used() -> None:
    torch.manual_seed(0)
    poses = framed(moving_heads(16, 41))
    model = HitDvae(HitDvaeConfig(width=32, layers=1, feed=64, dropout=0.0, kl_latent=0.1))
    model.fit_units(poses, poses[:, 0])
    adam, losses = torch.optim.Adam(model.parameters(), 3e-3), []
    for iteration in range(100):
        parts = model.losses(poses, poses[:, 0], iteration)
        adam.zero_grad()
        parts["loss"].backward()
        adam.step()
        losses.append(float(parts["reconstruction"].detach()))
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert losses[-1] < 0.1 * losses[0]
    assert parts["kl_latent"] > 0.1


def test_weights_keep_everything(tmp_path: Any) -> None:
    model = hit(offsets="pose", kl_latent=0.5)
    digest = weights.save(tmp_path / "hit.safetensors", *model.to_weights())
    again = HitDvae.from_weights(weights.read(tmp_path / "hit.safetensors", digest))
    assert again.config == model.config
    with torch.no_grad():
        state = watched(model, moving_heads(2, 3))
    assert torch.equal(ahead(again, state, 10), ahead(model, state, 10))


def test_weights_of_something_else_are_refused(tmp_path: Any) -> None:
    config, tensors = hit().to_weights()
    path = tmp_path / "m.safetensors"
    for changes, text in (({"kind": "actor"}, "not 'hit_dvae'"), ({"layers": 1}, "train it again")):
        weights.save(path, {**config, **changes}, tensors)
        with pytest.raises(weights.WeightsError, match=text):
            HitDvae.from_weights(weights.read(path))


def test_the_thesis_sizes_train() -> None:
    poses = framed(moving_heads(2, 41))
    assert torch.isfinite(HitDvae(HitDvaeConfig.thesis()).losses(poses)["loss"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 0}, "width"),
        ({"heads": 3}, "heads"),
        ({"content": 0}, "content"),
        ({"latent": 0}, "latent"),
        ({"window": 0}, "window"),
        ({"dropout": -0.1}, "dropout"),
        ({"kl_content": -1.0}, "kl_content"),
        ({"kl_latent": float("nan")}, "kl_latent"),
        ({"warm_up": -1}, "warm_up"),
        ({"own_inputs": 1.5}, "own_inputs"),
        ({"offsets": "first"}, "offsets"),
    ],
)
def test_bad_settings_are_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        HitDvaeConfig(**change)
