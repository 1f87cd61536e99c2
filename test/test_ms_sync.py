"""MS-Sync's generator: a stream of sound against whole sounds, look-ahead, single heads, bad input."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_heads import framed, moving_heads
from torch import Tensor

from hmgen_ros.generators.framed_motion import FramedState
from hmgen_ros.generators.head_frame import from_frame, head_frame
from hmgen_ros.generators.ms_sync import MsSync, MsSyncConfig
from hmgen_ros.generators.speech_branches import SpeechBranches
from hmgen_ros.generators.speech_pyramid import LEVELS, TAPS, SpeechPyramid
from hmgen_ros.generators.weights import Weights
from hmgen_ros.perception.audio_features import FeatureStream, features_of

TICKS = 30


def made(**changes: Any) -> MsSync:
    """Untrained, with units and limits of moving heads, and weights that tell things apart."""
    torch.manual_seed(0)
    sizes = {"hidden": 24, "intent": 4, "directions": 8, "channels": 6, "width": 12}
    model = MsSync(MsSyncConfig(**{**sizes, **changes}))
    poses = framed(moving_heads(24, TICKS, seed=9))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("linear."):
                parameter.add_(0.03 * torch.randn_like(parameter))
    model.fit_units(poses, poses[:, 0])
    model.fit_sound(sounds(8))
    model.plausible.fit(poses.flatten(0, 1), poses[:, 0].repeat_interleave(TICKS, dim=0))
    return model.eval()


def sounds(rows: int, ticks: int = TICKS, seed: int = 3) -> Tensor:
    """``[rows, ticks, 4, 26]`` features."""
    return 4.0 * torch.randn(rows, ticks, 4, 26, generator=torch.Generator().manual_seed(seed)) + 2.0


def seen(model: MsSync, heads: Tensor) -> FramedState[Any]:
    """The state after ``[R, 68, 2]`` first poses."""
    return model.step(model.initial_state(len(heads)), heads)[0]


@pytest.fixture(
    params=[
        {},
        {"noise": False},
        {"smoothed": True},
        {"multi_scale": False},
        {"look_ahead": 0},
        {"look_ahead": 1},
    ]
)
def model(request: pytest.FixtureRequest) -> MsSync:
    return made(**request.param)


@settings(max_examples=20, deadline=None)
@given(ticks=st.integers(1, 70), rows=st.integers(1, 3), seed=st.integers(0, 99))
@torch.no_grad()
def test_the_pyramid_hears_a_stream_as_it_hears_the_whole(ticks: int, rows: int, seed: int) -> None:
    torch.manual_seed(seed)
    pyramid, heard = SpeechPyramid(26, 5), sounds(rows, ticks, seed)
    pyramid.norm.fit(heard.flatten(0, 2))
    state, found = pyramid.initial_state(rows), []
    for tick in heard.unbind(1):
        state, levels = pyramid.step(state, tick)
        found.append(levels)
    torch.testing.assert_close(torch.stack(found, 1), pyramid(heard), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_each_level_reaches_as_far_back_as_it_says_and_never_ahead() -> None:
    pyramid, heard = SpeechPyramid(26, 5), sounds(1, 90)
    changed = heard.clone()
    changed[:, 70] += 1.0
    # The running normalisation remembers for longer than the convolutions see.
    pyramid.norm.forward = lambda given: given  # type: ignore[method-assign]
    differs = (pyramid(heard) != pyramid(changed)).any(-1)[0]  # [T, levels]
    reach = 0
    for level in range(LEVELS):
        reach += (TAPS - 1) * 2**level
        at = torch.nonzero(differs[:, level]).squeeze(1).tolist()
        assert at[0] == 70
        assert at[-1] == min(89, 70 + reach)


@torch.no_grad()
def test_speaking_tick_by_tick_is_what_training_generates(model: MsSync) -> None:
    # Untrained heads run away, and rounding with them: double precision tells it from a difference.
    model = model.double()
    heads, steps, ahead = moving_heads(3, 1, seed=4)[:, 0].double(), 12, model.config.look_ahead
    poses, sound = framed(heads.unsqueeze(1)), sounds(3, 1 + steps + ahead).double()
    model.train()
    torch.manual_seed(5)
    batch = model.generate(poses, poses[:, 0], steps, sound)
    model.eval()
    model._kept = lambda state, pose: pose  # type: ignore[method-assign]  # training knows no limits
    generator = torch.Generator().manual_seed(5)
    state = model.listen(seen(model, heads), sound[:, 0])
    stream = model.rollout_speaking(state, sound[:, 1:].transpose(0, 1), generator)
    frame = head_frame(heads.unsqueeze(1))
    expected = from_frame(batch.unflatten(-1, (68, 2)), frame)
    torch.testing.assert_close(stream.transpose(0, 1), expected, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_sound_beyond_what_is_looked_ahead_changes_nothing(model: MsSync) -> None:
    heads, ahead = moving_heads(2, 1, seed=4)[:, 0], model.config.look_ahead
    sound = sounds(2, 10 + ahead).transpose(0, 1)
    later = sound.clone()
    later[5 + ahead :] += 3.0
    state = seen(model, heads)
    first, second = (
        model.rollout_speaking(state, s, torch.Generator().manual_seed(0)) for s in (sound, later)
    )
    torch.testing.assert_close(first[:5], second[:5], atol=0.0, rtol=0.0)
    assert (first[5] != second[5]).any()


@torch.no_grad()
def test_heads_do_not_hear_each_other(model: MsSync) -> None:
    heads, sound = moving_heads(3, 1, seed=6)[:, 0], sounds(3, 15).transpose(0, 1)
    together = model.rollout_speaking(seen(model, heads), sound, torch.Generator().manual_seed(1))
    other = sound.clone()
    other[:, 0] += 2.0
    again = model.rollout_speaking(seen(model, heads), other, torch.Generator().manual_seed(1))
    torch.testing.assert_close(together[:, 1:], again[:, 1:], atol=1e-3, rtol=1e-5)
    assert (together[:, 0] - again[:, 0]).abs().max() > 1e-3


@torch.no_grad()
def test_what_was_heard_before_a_head_was_seen_is_not_forgotten() -> None:
    model, head = made(), moving_heads(1, 1, seed=6)[:, 0]
    state = model.initial_state(1)
    for tick in sounds(1).unbind(1):
        state = model.listen(state, tick)
    speech = model.step(state, head)[0].core.speech
    torch.testing.assert_close(speech.past, state.core.speech.past)


@torch.no_grad()
@torch.no_grad()
def test_what_is_heard_is_smoothed_too() -> None:
    """A twin that does not smooth tells the rough velocity that the same state and sound give."""
    smoothed = made(smoothed=True)
    twin = MsSync(replace(smoothed.config, smoothed=False))
    twin.load_state_dict(smoothed.state_dict())
    state, sound, generator = (
        seen(smoothed, moving_heads(3, 1)[:, 0]),
        sounds(3),
        torch.Generator().manual_seed(0),
    )
    state = smoothed.start(state, generator)
    for tick in range(6):
        state, _ = smoothed.advance(smoothed.hear(state, sound[:, tick]), generator)
    smooth, rough = (each.eval().hear(state, sound[:, 6]).core for each in (smoothed, twin))
    core = state.core
    expected = (rough.expected + 2.0 * core.rough + core.rough_before) / 4.0
    torch.testing.assert_close(smooth.expected, expected)
    torch.testing.assert_close(smooth.deviation, rough.deviation / 4.0)


def test_without_noise_nothing_is_drawn_after_the_start() -> None:
    for noise in (False, True):
        model, heads = made(noise=noise), moving_heads(2, 1, seed=6)[:, 0]
        started = model.start(seen(model, heads), torch.Generator().manual_seed(0))
        found = []
        for seed in (0, 1):
            state, generator = started, torch.Generator().manual_seed(seed)
            for tick in sounds(2, 6).unbind(1):
                state, landmarks = model.advance(model.hear(state, tick), generator)
            found.append(landmarks)
        assert torch.equal(*found) is not noise


def test_masks_of_a_landmark_hold_for_both_coordinates_and_add_up() -> None:
    branches = SpeechBranches(3, 5, 7, 4, 6)
    with torch.no_grad():
        # The same velocity from every branch comes out unchanged, whatever the masks are.
        branches.out.weight.zero_()
        branches.out.bias[:, :, :4] = torch.arange(4.0)
        branches.out.bias[:, :, 8:] = torch.randn(3, 1, 6)
        directions = torch.randn(4, 12)
        spoken = branches(branches.weights(), torch.randn(3, 2, 5), directions)
    expected = (torch.arange(4.0) @ directions).expand(2, -1)
    torch.testing.assert_close(spoken.velocity, expected)


def test_the_likelihood_of_other_velocities_is_smaller_and_has_gradients() -> None:
    torch.manual_seed(0)
    model, poses = MsSync(MsSyncConfig(hidden=24, directions=8)), framed(moving_heads(24, 12, seed=2))
    model.fit_units(poses, poses[:, 0])
    right = model.surprise(poses, poses[:, 0], sounds(24, 15))
    right.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.branches.parameters() if p.grad is not None)
    with torch.no_grad():
        # The true velocities count, not any.
        assert model.surprise(1.5 * poses, 1.5 * poses[:, 0], sounds(24, 15)) > right


@torch.no_grad()
def test_a_model_file_gives_the_same_model() -> None:
    model = made(look_ahead=1)
    again = MsSync.from_weights(Weights("here", *model.to_weights()))
    assert again.config == model.config
    heads, sound = moving_heads(2, 1, seed=6)[:, 0], sounds(2, 8).transpose(0, 1)
    first, second = (
        m.rollout_speaking(seen(m, heads), sound, torch.Generator().manual_seed(0)) for m in (model, again)
    )
    torch.testing.assert_close(first, second, atol=0.0, rtol=0.0)


def test_a_live_sound_moves_a_head_as_its_recording_does() -> None:
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(640 * 20)).astype(np.float32)
    stream, parts = FeatureStream("mfcc"), []
    for chunk in np.split(samples, [100, 777, 3000, 9001]):
        parts.append(stream.feed(chunk))
    parts.append(stream.finish())
    np.testing.assert_allclose(np.concatenate(parts), features_of(samples, "mfcc"), atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"features": "chroma"}, "mfcc"),
        ({"look_ahead": -1}, "look_ahead"),
        ({"look_ahead": 26}, "look_ahead"),
        ({"channels": 0}, "channels"),
        ({"smoothed": True, "noise": False}, "smoothed goes with noise"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        MsSyncConfig(**changes)


def test_sound_of_another_shape_is_refused() -> None:
    model = made()
    state = model.initial_state(2)
    for wrong in (torch.zeros(1, 4, 26), torch.zeros(2, 4, 13), torch.zeros(2, 26)):
        with pytest.raises(ValueError, match="features"):
            model.hear(state, wrong)
    with pytest.raises(ValueError, match="ticks of sound"):
        model.rollout_speaking(state, torch.zeros(3, 2, 4, 26), torch.Generator())


def test_look_ahead_is_told_in_seconds() -> None:
    assert MsSyncConfig(look_ahead=1).look_ahead_s == pytest.approx(0.0475)
    assert MsSyncConfig().look_ahead_s == pytest.approx(0.1275)
