"""The robot's own head: trajectories that keep their word, seeded, for as long as one likes."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from synthetic_heads import framed, moving_heads

from hmgen_ros.generators.free_head import FACE_PX, IMAGE_SIZE, FreeHead
from hmgen_ros.generators.noise_driven import NoiseDriven
from hmgen_ros.generators.noise_driven_state import NoiseDrivenConfig
from hmgen_ros.perception.head_pose import HEAD_MODEL, RIGID_POINTS, solve_head_pose
from hmgen_ros.types import TICK_NS


@pytest.fixture(scope="module")
def model() -> NoiseDriven:
    """Untrained, with the units of heads that sway, and a mean face that looks like one."""
    torch.manual_seed(0)
    made = NoiseDriven(NoiseDrivenConfig(hidden=16, intent=4, directions=8))
    poses = framed(moving_heads(24, 30, seed=9))
    made.fit_units(poses, poses[:, 0])
    face = torch.randn(68, 2, generator=torch.Generator().manual_seed(1))
    model_points = torch.from_numpy(HEAD_MODEL[:, :2]).float()
    face[list(RIGID_POINTS)] = 2.0 * (model_points - model_points.mean(0))
    face -= face.mean(0)
    made.mean.copy_((face / face.square().sum(-1).mean().sqrt()).flatten())
    made.drawn.bias.data[136:] = -6.0  # moves little
    made.plausible.fit(poses.flatten(0, 1), poses[:, 0].repeat_interleave(30, dim=0))
    return made.eval()


def a_head(model: NoiseDriven, seed: int = 0) -> FreeHead:
    return FreeHead(model, solve_head_pose, horizon_s=0.4, seed=seed)


def test_trajectories_keep_their_word(model: NoiseDriven) -> None:
    """What was told of the future is what comes."""
    head = a_head(model)
    told = [head.tick(i * TICK_NS, "robot") for i in range(12)]
    assert told[0].landmarks_px.shape == (10, 68, 2)
    assert told[0].pose.shape == (10, 3)
    for before, after in pairwise(told):
        np.testing.assert_array_equal(before.landmarks_px[1:], after.landmarks_px[:-1])
        np.testing.assert_array_equal(before.pose[1:], after.pose[:-1])
        assert not np.array_equal(before.landmarks_px[0], before.landmarks_px[1])


def test_it_begins_at_rest(model: NoiseDriven) -> None:
    head = a_head(model)
    first = head.tick(0, "robot")
    assert np.abs(first.pose[0] - head.rest).max() < 0.3
    middle = first.landmarks_px[0].mean(axis=0)
    assert np.abs(middle - np.array(IMAGE_SIZE) / 2).max() < FACE_PX / 2


def test_the_same_seed_gives_the_same_motion(model: NoiseDriven) -> None:
    one, again, other = a_head(model, 1), a_head(model, 1), a_head(model, 2)
    for tick in range(30):
        motions = [head.tick(tick * TICK_NS, "robot") for head in (one, again, other)]
    np.testing.assert_array_equal(motions[0].landmarks_px, motions[1].landmarks_px)
    assert not np.array_equal(motions[0].landmarks_px, motions[2].landmarks_px)
    one.reset()
    fresh = a_head(model, 1)
    np.testing.assert_array_equal(one.tick(0, "robot").pose, fresh.tick(0, "robot").pose)


def test_minutes_of_it(model: NoiseDriven) -> None:
    head = a_head(model)
    for tick in range(2000):
        motion = head.tick(tick * TICK_NS, "robot")
    assert np.isfinite(motion.landmarks_px).all()
    assert np.isfinite(motion.pose).all()
    assert motion.valid


def test_a_model_that_gives_no_numbers(model: NoiseDriven) -> None:
    """Counted, and the head begins again; nothing that is no number is told."""
    head = a_head(model)
    head.tick(0, "robot")
    kept = model.linear.bias.data.clone()
    try:
        model.linear.bias.data.fill_(torch.nan)
        model.changed()
        for tick in range(15):
            motion = head.tick(tick * TICK_NS, "robot")
            assert np.isfinite(motion.landmarks_px).all()
        # The first of these had been drawn before.
        assert head.counts["pose_not_finite"] >= 14
    finally:
        model.linear.bias.data.copy_(kept)
        model.changed()
    for tick in range(15):
        motion = head.tick(tick * TICK_NS, "robot")
    assert head.counts["pose_not_finite"] <= 16
    assert not np.array_equal(motion.landmarks_px[0], motion.landmarks_px[-1])


def test_a_mean_that_is_no_face(model: NoiseDriven) -> None:
    kept = model.mean.clone()
    try:
        model.mean.fill_(torch.nan)
        with pytest.raises(ValueError, match="mean face"):
            a_head(model)
    finally:
        model.mean.copy_(kept)
