"""Distances of mouths: what they measure, and what they do not see."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_faces import turning_faces
from torch import Tensor

from hmgen_ros.evaluation import landmark_distance
from hmgen_ros.evaluation.landmark_distance import lmd, lmd_front
from hmgen_ros.generators.head_frame import head_frame
from hmgen_ros.perception.head_pose import HEAD_MODEL, RIGID_POINTS

BOTH = pytest.mark.parametrize("distance", [lmd, lmd_front])
angles = st.floats(-0.6, 0.6)


def talking(seed: int, heads: int = 2, ticks: int = 12) -> Tensor:
    """``[R, T, 68, 2]`` heads that turn a little and move their mouths."""
    faces = turning_faces(heads, ticks, seed).double()
    rng = torch.Generator().manual_seed(seed + 1)
    faces[..., 48:, :] += 8.0 * torch.randn(heads, ticks, 20, 2, generator=rng)
    return faces


def similar(faces: Tensor, turn: float, scale: float, x: float, y: float) -> Tensor:
    """Turned in the plane of the picture, enlarged and moved."""
    rotation = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]).double()
    return scale * faces @ rotation.T + torch.tensor([x, y])


def speaking_head(mouth: Tensor, yaw: float, pitch: float) -> Tensor:
    """``[T, 68, 2]`` of a head with a mouth (``[T, 20, 2]``, eye distances) of the mean mouth's depth."""
    model = 0.4 * torch.randn(68, 3, generator=torch.Generator().manual_seed(5)).double()
    model[list(RIGID_POINTS)] = torch.from_numpy(HEAD_MODEL)
    points = model.expand(len(mouth), 68, 3).clone()
    depth = torch.tensor(landmark_distance._DEPTH).double() - 0.2
    points[:, 48:] = torch.cat([mouth, depth[None, :, None].expand(len(mouth), 20, 1)], dim=-1)
    about_y = [[math.cos(yaw), 0.0, -math.sin(yaw)], [0.0, 1.0, 0.0], [math.sin(yaw), 0.0, math.cos(yaw)]]
    about_x = [
        [1.0, 0.0, 0.0],
        [0.0, math.cos(pitch), -math.sin(pitch)],
        [0.0, math.sin(pitch), math.cos(pitch)],
    ]
    turned = points @ (torch.tensor(about_x) @ torch.tensor(about_y)).double().T
    return 90.0 * turned[..., :2] + 300.0


@BOTH
@settings(max_examples=30)
@given(seed=st.integers(0, 1000))
def test_a_face_is_like_itself_and_unlike_others(distance: object, seed: int) -> None:
    one, other = talking(seed), talking(seed + 7)
    torch.testing.assert_close(distance(one, one), torch.zeros(2).double())  # type: ignore[operator]
    forth, back = distance(one, other), distance(other, one)  # type: ignore[operator]
    assert (forth > 0.0).all()
    torch.testing.assert_close(forth, back)


@settings(max_examples=30)
@given(st.floats(0.2, 5.0), st.floats(-500.0, 500.0), st.floats(-500.0, 500.0))
def test_size_and_place_of_pictures_do_not_count(scale: float, x: float, y: float) -> None:
    one, other = talking(1), talking(2)
    for distance in (lmd, lmd_front):
        torch.testing.assert_close(distance(similar(one, 0.0, scale, x, y), other), distance(one, other))


@settings(max_examples=30)
@given(st.floats(-3.1, 3.1), st.floats(0.2, 5.0), st.floats(-500.0, 500.0))
def test_how_a_head_is_tilted_does_not_count_for_the_frontal_one(turn: float, scale: float, x: float) -> None:
    one, other = talking(3), talking(4)
    found = lmd_front(similar(one, turn, scale, x, -x), other)
    torch.testing.assert_close(found, lmd_front(one, other), rtol=1e-5, atol=1e-7)


@settings(max_examples=30)
@given(angles, angles)
def test_how_a_head_is_turned_does_not_count_for_the_frontal_one(yaw: float, pitch: float) -> None:
    rng = torch.Generator().manual_seed(0)
    mouth = torch.tensor([0.0, 0.8]) + 0.1 * torch.randn(9, 20, 2, generator=rng).double()
    front, turned = speaking_head(mouth, 0.0, 0.0), speaking_head(mouth, yaw, pitch)
    # All that is left is that this head's size, measured by all of its landmarks, changes as it turns.
    sizes = [float(head_frame(faces).size.median()) for faces in (front, turned)]
    extent = (front[:, 48:] - front[:, 48:].mean(1, keepdim=True)).norm(dim=-1).mean()
    expected = float(extent) * abs(1.0 / sizes[0] - 1.0 / sizes[1])
    assert float(lmd_front(turned, front)) == pytest.approx(expected, abs=1e-6)


def test_distances_are_in_face_sizes() -> None:
    faces = turning_faces(1, 5, 0, angles=(0.0, 0.0, 0.0)).double()
    size = float(head_frame(faces).size.median())
    moved = faces.clone()
    moved[..., 48:58, 1] -= 0.1 * size
    moved[..., 58:68, 1] += 0.1 * size
    # Faces grow a little as well.
    assert float(lmd(moved, faces)) == pytest.approx(0.1, rel=0.1)
    assert float(lmd_front(moved, faces)) == pytest.approx(0.1, rel=0.1)


def test_heads_that_look_away_are_left_out_of_the_frontal_one() -> None:
    away = turning_faces(1, 4, 0, angles=(1.2, 0.0, 0.0)).double()
    ahead = turning_faces(1, 4, 0, angles=(0.0, 0.0, 0.0)).double()
    assert lmd_front(away, ahead).isnan().all()
    # The other half of these frames is what is left.
    smiling = ahead.clone()
    smiling[..., 48, 0] -= 10.0
    found = lmd_front(torch.cat([away, smiling, ahead, ahead], 1), torch.cat([ahead] * 4, 1))
    whole = lmd_front(torch.cat([smiling, ahead, ahead], 1), torch.cat([ahead] * 3, 1))
    torch.testing.assert_close(found, whole, rtol=0.05, atol=0.0)


@BOTH
def test_what_cannot_be_compared(distance: object) -> None:
    faces = talking(0)
    broken = faces.clone()
    broken[0, 3, 50, 1] = math.nan
    for generated, text in (
        (broken, "finite"),
        (faces[:, :5], "same frames"),
        (faces[:, :0], "T, 68, 2"),
        (faces[..., :20, :], "T, 68, 2"),
        (0.0 * faces, "collapsed"),
    ):
        with pytest.raises(ValueError, match=text):
            distance(generated, faces)  # type: ignore[operator]
