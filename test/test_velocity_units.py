"""Heads that are smoothed as tracks are tremble as little, before any training."""

import torch
from torch import Tensor
from torch.nn import functional

from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.noise_driven_state import NoiseDrivenConfig
from hmgen_ros.generators.velocity_units import velocity_units

TICKS = 48


def smoothed_heads(rows: int) -> tuple[Tensor, Tensor]:
    """``[R, T, 136]`` heads that are pushed about and drawn back, smoothed as tracks are; and first poses."""
    rng = torch.Generator().manual_seed(0)
    velocity = pose = torch.zeros(rows, 136)
    found = []
    for _ in range(TICKS + 42):
        velocity = 0.7 * velocity - 0.05 * pose + 0.01 * torch.randn(rows, 136, generator=rng)
        pose = pose + velocity
        found.append(pose)
    rough = torch.stack(found[40:], dim=1).transpose(1, 2)
    kernel = torch.tensor([0.25, 0.5, 0.25]).expand(136, 1, 3)
    tracks = functional.conv1d(rough, kernel, groups=136).transpose(1, 2)
    return tracks, tracks[:, 0]


def fitted(smoothed: bool) -> tuple[NoiseDriven, Tensor, Tensor]:
    """Knows no more than the linear prediction; with the tracks and first poses that it is from."""
    torch.manual_seed(0)
    tracks, first = smoothed_heads(300)
    model = NoiseDriven(NoiseDrivenConfig(hidden=8, intent=2, directions=8, smoothed=smoothed))
    with torch.no_grad():
        model.drawn.weight.zero_()
    model.fit_units(tracks, first)
    model.plausible.fit(tracks.flatten(0, 1), first.repeat_interleave(tracks.shape[1], dim=0))
    return model.eval(), tracks, first


def decibels(tracks: Tensor) -> Tensor:
    """``[16]`` mean power of the last 32 ticks by frequency, from 0.8 to 12.5 Hz, over that at 3 Hz."""
    late = tracks[:, -32:].double()
    taper = torch.hann_window(34, periodic=False, dtype=torch.float64)[1:-1, None]
    found = torch.fft.rfft((late - late.mean(1, keepdim=True)) * taper, dim=1)[:, 1:]
    power = 10.0 * found.abs().square().mean(dim=(0, 2)).log10()
    return power - power[3]


@torch.no_grad()
def test_smoothed_heads_tremble_as_little_as_tracks() -> None:
    excess = []
    for smoothed in (False, True):
        model, tracks, first = fitted(smoothed)
        excess.append(decibels(model.generate(tracks[:, :1], first, TICKS)) - decibels(tracks))
    # From 10 Hz on, where smoothing leaves hardly anything.
    assert excess[0][-4:].min() > 6.0
    assert excess[1][-4:].max() < 3.0
    assert excess[1].min() > -6.0


@torch.no_grad()
def test_a_smoothed_velocity_tells_the_rough_one() -> None:
    """What goes into the smoothing comes back, from the second velocity on; the first one is not smoothed."""
    model, tracks, _ = fitted(True)
    core = model.core_observe(model.core_state(3), tracks[:3, 0], torch.ones(3, dtype=torch.bool))
    mean, deviation = torch.randn(2, 3, 136).unbind(0)
    assert all(map(torch.equal, core.smooth(mean, deviation), (mean, deviation)))
    every, none = torch.ones(3, 136, dtype=torch.bool), torch.zeros(3, 136, dtype=torch.bool)
    assert all(map(torch.equal, core.roughen(mean, every), (mean, mean)))
    core = model.core_go_on(core, tracks[:3, 1])
    smooth, spread = core.smooth(mean, deviation)
    torch.testing.assert_close(spread, deviation / 4.0)
    rough, before = core.roughen(smooth, every)
    torch.testing.assert_close(rough, mean)
    torch.testing.assert_close(before, core.rough)
    # Drawn back into its limits: it goes on from how it really moved.
    assert all(map(torch.equal, core.roughen(smooth, none), (smooth, core.velocity)))


@torch.no_grad()
def test_free_motion_is_what_was_drawn_smoothed() -> None:
    """Velocities by the model are the rough ones that it says to be drawn, smoothed by hand."""
    model, _, first = fitted(True)
    core = model.core_observe(model.core_state(5), first[:5], torch.ones(5, dtype=torch.bool))
    model_draws, draws = (torch.Generator().manual_seed(0) for _ in range(2))
    pose, velocities, roughs = first[:5], [], []
    for tick in range(30):
        far = (core.pose - core.home) @ model.prepared.away[:, :136]
        opening = None if tick else ~core.moved
        mean, loose = model.prepared.foreseen(core, far, core.hidden, opening)
        noise = torch.randn(5, 136, generator=draws)
        roughs.append(mean + (functional.softplus(loose) + model.prepared.smallest) * noise)
        pose = model.core_next(core, pose, model_draws)
        core = model.core_go_on(core, pose)
        velocities.append(core.velocity)
    rough, velocity = torch.stack(roughs), torch.stack(velocities)
    # Nothing is known before the first velocity, so it is as it was drawn, and stands for the one before it.
    before = torch.cat([rough[:1], rough])[:-1]
    earlier = torch.cat([rough[:1], rough[:1], rough])[:-2]
    smoothed = (rough + 2.0 * before + earlier) / 4.0
    torch.testing.assert_close(velocity, smoothed, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_head_that_is_drawn_back_goes_on_from_how_it_moved() -> None:
    model, _, first = fitted(True)
    core = model.core_observe(model.core_state(5), first[:5], torch.ones(5, dtype=torch.bool))
    generator, pose = torch.Generator().manual_seed(0), first[:5]
    for _ in range(5):
        pose = model.core_next(core, pose, generator)
        core = model.core_go_on(core, pose)
    # Far from anything that is drawn, in all directions.
    moved = torch.full((5, 136), 50.0)
    after = model.core_go_on(core, pose + moved @ model.back)
    torch.testing.assert_close(after.rough, moved, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(after.rough_before, core.velocity)


@torch.no_grad()
def test_seen_heads_are_taken_as_smoothed() -> None:
    """What is expected of tracks is nearer than if the last velocities were taken for rough ones."""
    model, tracks, _ = fitted(True)
    following = model.core_sequence(tracks)[:, :-1]
    wrong = (following - tracks[:, 1:])[:, 10:].square().mean().sqrt()
    assert wrong < 0.4 * tracks.diff(dim=1)[:, 10:].square().mean().sqrt()


def test_the_rough_velocities_are_predicted() -> None:
    tracks, first = smoothed_heads(300)
    plain, rough = (velocity_units(tracks, first, 8, smoothed) for smoothed in (False, True))
    for buffer in ("mean", "into", "back", "nearer"):
        torch.testing.assert_close(getattr(plain, buffer), getattr(rough, buffer))
    # Smoothing makes velocities look as if they went on for longer than they do.
    assert rough.linear[:, :136].diagonal().mean() < plain.linear[:, :136].diagonal().mean() - 0.2


def test_short_tracks_can_be_measured() -> None:
    tracks, first = smoothed_heads(300)
    assert torch.isfinite(velocity_units(tracks[:, :4], first, 8, True).linear).all()
