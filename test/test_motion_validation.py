"""The measure that curves are drawn of: near zero for real motion, and worse for what moves otherwise."""

import math

import pytest
import torch
from motion_corpus import pieces
from synthetic_heads import framed, moving_heads

from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.noise_driven_state import NoiseDrivenConfig
from hmgen_ros.training.motion_validation import MotionValidation, WindowFeatures, some_windows
from hmgen_ros.training.motion_windows import MotionWindows

TICKS = 21


@pytest.fixture(scope="module")
def validation() -> MotionValidation:
    return MotionValidation(
        MotionWindows(pieces(*[90] * 12), TICKS), MotionWindows(pieces(*[80] * 6), TICKS), windows=60
    )


@pytest.fixture(scope="module")
def model() -> NoiseDriven:
    torch.manual_seed(0)
    made = NoiseDriven(NoiseDrivenConfig(hidden=8, intent=2, directions=6))
    poses = framed(moving_heads(12, 60, seed=5))
    made.fit_units(poses, poses[:, 0])
    return made


def test_tracks_of_the_same_kind_are_nearest(validation: MotionValidation, model: NoiseDriven) -> None:
    found = validation(model)
    assert found.keys() == validation.reference.keys() == {"fd_window", "speed", "jerk"}
    assert 0.0 <= validation.reference["fd_window"] < found["fd_window"]
    assert validation.reference["speed"] == pytest.approx(1.0, abs=0.3)


def test_the_same_model_measures_the_same(validation: MotionValidation, model: NoiseDriven) -> None:
    torch.manual_seed(1)
    first = validation(model)
    torch.manual_seed(2)
    assert validation(model) == first


def test_a_model_that_gives_no_numbers_is_infinitely_far(validation: MotionValidation) -> None:
    broken = NoiseDriven(NoiseDrivenConfig(hidden=8, intent=2, directions=6))
    broken.drawn.bias.data.fill_(torch.nan)
    found = validation(broken)
    assert found["fd_window"] == math.inf
    assert math.isnan(found["speed"])


def test_features_tell_slow_from_fast() -> None:
    windows = framed(moving_heads(80, TICKS, seed=2))
    features = WindowFeatures.fit(windows)
    assert features(windows).shape == (80, 26)
    slow = windows[:, :1] + 0.3 * (windows - windows[:, :1])
    apart = (features(slow) - features(windows))[:, -2:] * features.scale[-2:]
    torch.testing.assert_close(apart, torch.full_like(apart, math.log(0.3)), atol=0.02, rtol=0)


def test_some_windows_are_spread_over_all() -> None:
    windows = MotionWindows(pieces(60, 60), TICKS)
    assert len(some_windows(windows, 10_000)) == len(windows)
    few = some_windows(windows, 3)
    torch.testing.assert_close(few[0], windows.cut(torch.tensor([0]))[0])
    torch.testing.assert_close(few[-1], windows.cut(torch.tensor([len(windows) - 1]))[0])
