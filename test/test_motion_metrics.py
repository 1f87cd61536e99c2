"""Distances and distributions of head motion: zero for equal sets, growing with what is wrong."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_faces import turning_faces

from hmgen_ros.evaluation.motion_channels import CHANNELS, channels, fit_head, head_angles, misfit
from hmgen_ros.evaluation.motion_inception import TARGETS, MotionInception, targets
from hmgen_ros.evaluation.motion_metrics import (
    Components,
    Dynamics,
    compare_dynamics,
    distance,
    diversity,
    face_error,
    frechet,
    map_components,
    map_rows,
    pose_rows,
)
from hmgen_ros.evaluation.motion_raster import (
    RasterSettings,
    exponential_weights,
    in_own_frame,
    linear_weights,
    motion_map,
    raster,
    soft_motion_map,
)
from hmgen_ros.generators.weights import Weights, WeightsError


@pytest.fixture(scope="module")
def windows() -> torch.Tensor:
    return in_own_frame(turning_faces(60, 40, seed=0))


@pytest.fixture(scope="module")
def others() -> torch.Tensor:
    return in_own_frame(turning_faces(60, 40, seed=1))


def stiller(motion: torch.Tensor, factor: float) -> torch.Tensor:
    return motion[:, :1] + factor * (motion - motion[:, :1])


@settings(max_examples=25)
@given(
    st.floats(-0.7, 0.7), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.2, 50.0), st.integers(0, 99)
)
def test_angles_are_those_of_the_turned_model(
    yaw: float, pitch: float, roll: float, scale: float, seed: int
) -> None:
    face = turning_faces(1, 1, seed, angles=(yaw, pitch, roll))[0, 0] * scale + 100.0 * seed
    np.testing.assert_allclose(head_angles(face).numpy(), [yaw, pitch, roll], atol=2e-3)
    assert float(misfit(face).abs().max()) < 1e-3


def test_channels_tell_mouth_and_size() -> None:
    face = turning_faces(1, 1, 0, angles=(0.0, 0.0, 0.0))[0, 0]
    face[[67, 66, 65]] = face[[61, 62, 63]]  # closed
    opened = face.clone()
    opened[[65, 66, 67], 1] += 10.0
    change = dict(zip(CHANNELS, (channels(opened) - channels(face)).tolist(), strict=True))
    assert change["mouth_open"] > 0.05
    assert max(abs(value) for name, value in change.items() if name != "mouth_open") < 1e-5
    larger = dict(zip(CHANNELS, (channels(2.0 * face) - channels(face)).tolist(), strict=True))
    assert larger["scale"] == pytest.approx(np.log(2.0), abs=1e-5)
    assert larger["mouth_open"] == pytest.approx(0.0, abs=1e-5)


def test_collapsed_faces_have_finite_channels() -> None:
    faces = torch.stack([torch.zeros(68, 2), torch.ones(68, 2), torch.arange(136.0).reshape(68, 2)])
    assert torch.isfinite(channels(faces)).all()
    assert torch.isfinite(fit_head(faces).rotation).all()


@pytest.mark.parametrize("ticks", [1, 10, 40, 80])
def test_weights_of_motion_maps(ticks: int) -> None:
    for weights in (exponential_weights(ticks), linear_weights(ticks)):
        assert float(weights.sum()) == pytest.approx(1.0, abs=1e-5)
        assert len(weights) == ticks
    if ticks > 1:
        assert float(linear_weights(ticks)[-1] / linear_weights(ticks)[0]) == pytest.approx(4.0)
        assert exponential_weights(ticks)[-1] == pytest.approx(0.1)


def test_a_moving_average_is_what_the_weights_are(windows: torch.Tensor) -> None:
    one = windows[:2, :12]
    average = raster(one[:, 0]).float()
    for tick in range(1, 12):
        average = 0.9 * average + 0.1 * raster(one[:, tick]).float()
    found = motion_map(one, exponential_weights(12))
    torch.testing.assert_close(found, average, rtol=1e-5, atol=1e-6)


def test_a_pose_is_a_pixel_a_landmark(windows: torch.Tensor) -> None:
    drawn = raster(windows[:3, 0])
    assert drawn.shape == (3, 3, 224, 224)
    assert drawn.dtype == torch.uint8
    assert 40 <= int(drawn[0].sum()) <= 68  # some share a pixel
    assert int(raster(windows[0, 0], RasterSettings(lines=True)).sum()) > 200
    away = windows[0, 0] + 100.0
    assert int(raster(away).sum()) == 0
    assert int(raster(torch.full((68, 2), torch.nan)).sum()) == 0
    with pytest.raises(ValueError, match="68"):
        raster(torch.zeros(5, 2))


def test_soft_maps_share_what_they_hold(windows: torch.Tensor) -> None:
    found = soft_motion_map(windows[:4], exponential_weights(40), 56, 10.0)
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), torch.full((4,), 68.0), rtol=1e-4, atol=1e-3)


def test_equal_sets_have_no_distance(windows: torch.Tensor, others: torch.Tensor) -> None:
    for rows in (map_rows, pose_rows):
        components = Components.fit(rows(windows), 20)
        one, other = components(rows(windows)), components(rows(others))
        assert frechet(one, one) == pytest.approx(0.0, abs=1e-4)
        assert frechet(one, other) > 0.0
        still = components(rows(stiller(windows, 0.0)))
        assert frechet(one, still) > 2.0 * frechet(one, other)


def test_components_are_main_ones(windows: torch.Tensor) -> None:
    components = map_components(windows)
    rows = components(map_rows(windows))
    spread = rows.var(axis=0)
    assert (np.diff(spread) >= -1e-6).all()  # ascending
    centred = map_rows(windows) - map_rows(windows).mean(0)
    assert spread.sum() >= 0.9 * float(centred.var(dim=0).sum())


def test_dynamics_tell_slow_from_lively(windows: torch.Tensor, others: torch.Tensor) -> None:
    real = Dynamics.of(windows)
    same = compare_dynamics(real, Dynamics.of(others))
    slow = compare_dynamics(real, Dynamics.of(stiller(windows, 0.5)))
    still = compare_dynamics(real, Dynamics.of(stiller(windows, 0.0)))
    for name in ("velocity", "acceleration", "jerk", "spectrum"):
        assert compare_dynamics(real, real)[name] == pytest.approx(0.0, abs=1e-9)
        assert same[name] < slow[name] < still[name]
    assert slow["velocity"] == pytest.approx(0.5, abs=0.1)
    assert still["velocity"] == pytest.approx(1.0, abs=0.01)


def test_trembling_is_jerk(windows: torch.Tensor) -> None:
    trembling = windows + 0.01 * torch.randn(windows.shape, generator=torch.Generator().manual_seed(0))
    found = compare_dynamics(Dynamics.of(windows), Dynamics.of(trembling))
    assert found["jerk"] > found["velocity"]


def test_diversity_and_distance() -> None:
    poses = torch.zeros(3, 5, 68, 2)
    assert diversity(poses) == 0.0
    poses[1] += 1.0
    poses[2] -= 1.0
    # Pairs are apart by √2, √2 and √8.
    assert diversity(poses) == pytest.approx(((2 + 2 + 8) / 3) ** 0.5)
    assert distance(poses[0], poses[1]).tolist() == pytest.approx([2.0**0.5] * 5)


def test_turning_does_not_deform_a_rigid_face(windows: torch.Tensor) -> None:
    assert face_error(windows) < 0.005
    bent = windows.clone()
    bent[:, 20:, 27:31] += 0.2
    assert face_error(bent) > 0.02


def test_the_network_reads_any_length(windows: torch.Tensor) -> None:
    net = MotionInception()
    net.fit_units(windows)
    assert net(windows).shape == (60, TARGETS)
    assert net.activations(windows[:, -10:]).shape == (60, 64)
    assert net.rows(windows).shape == (60, 64)
    assert np.isfinite(net.rows(torch.zeros(2, 10, 68, 2))).all()
    assert float(net.standardised(windows).mean().abs()) < 1e-3
    with pytest.raises(ValueError, match="3 ticks"):
        net(windows[:, :2])


def test_targets_grow_with_motion(windows: torch.Tensor) -> None:
    more, less = targets(windows), targets(stiller(windows, 0.3))
    turning = [i for i, name in enumerate(CHANNELS) if name in ("x", "y")]
    assert (more[:, turning] > less[:, turning]).all()


def test_networks_are_files(windows: torch.Tensor) -> None:
    net = MotionInception()
    net.fit_units(windows)
    config, tensors = net.to_weights()
    again = MotionInception.from_weights(Weights("a test", config, tensors))
    np.testing.assert_allclose(again.rows(windows), net.rows(windows), atol=1e-6)
    with pytest.raises(WeightsError, match="kind"):
        MotionInception.from_weights(Weights("a test", {"kind": "actor"}, tensors))


def test_the_shipped_network_tells_real_from_still(windows: torch.Tensor, others: torch.Tensor) -> None:
    net = MotionInception.load()
    real, other, still = (net.rows(w) for w in (windows, others, stiller(windows, 0.05)))
    assert frechet(real, other) < 0.2 * frechet(real, still)
