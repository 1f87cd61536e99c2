"""Head frames: both normalisations invert exactly; what is no face is told apart."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic_heads import moving_heads

from hmgen_ros.generators.head_frame import (
    MIRRORED,
    centred,
    from_frame,
    head_frame,
    mirrored,
    to_frame,
    usable,
)

numbers = st.floats(-2000.0, 2000.0, allow_nan=False)


def a_face(seed: int, scale: float, x: float, y: float) -> torch.Tensor:
    points = torch.randn(68, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return points * scale + torch.tensor([x, y], dtype=torch.float64)


@given(st.integers(0, 10_000), st.floats(0.5, 500.0), numbers, numbers)
def test_the_frame_inverts(seed: int, scale: float, x: float, y: float) -> None:
    face = a_face(seed, scale, x, y)
    frame = head_frame(face)
    torch.testing.assert_close(from_frame(to_frame(face, frame), frame), face, rtol=1e-12, atol=1e-8)


@given(st.integers(0, 10_000), st.floats(0.5, 500.0), numbers, numbers)
def test_taking_translation_out_inverts(seed: int, scale: float, x: float, y: float) -> None:
    face = a_face(seed, scale, x, y)
    poses, offsets = centred(face)
    torch.testing.assert_close(poses + offsets, face, rtol=1e-12, atol=1e-8)
    assert float(poses.mean(dim=-2).abs().max()) < 1e-8


@given(st.integers(0, 10_000), st.floats(0.5, 500.0), numbers, numbers)
def test_a_reference_pose_has_unit_size_in_the_origin(seed: int, scale: float, x: float, y: float) -> None:
    placed = to_frame(*(face := a_face(seed, scale, x, y), head_frame(face)))
    assert float(placed.mean(dim=0).abs().max()) < 1e-6
    assert float(placed.square().sum(-1).mean()) == pytest.approx(1.0)


def test_a_mirrored_mirror_image_is_the_face() -> None:
    face = a_face(0, 1.0, 0.0, 0.0)
    torch.testing.assert_close(mirrored(mirrored(face)), face)
    assert sorted(MIRRORED.tolist()) == list(range(68))
    # The nose stays, the ends of the jaw change places.
    assert MIRRORED[30] == 30
    assert (MIRRORED[0], MIRRORED[16]) == (16, 0)


def test_a_mirror_takes_68_landmarks() -> None:
    with pytest.raises(ValueError, match="68"):
        mirrored(torch.zeros(5, 2))


def test_what_is_a_face() -> None:
    face = moving_heads(1, 1)[0, 0]
    hole = face.clone()
    hole[3, 1] = torch.nan
    line = torch.stack([torch.arange(68.0), 2.0 * torch.arange(68.0)], dim=-1)
    faces = torch.stack([face, hole, torch.full((68, 2), 7.0), line, torch.full((68, 2), torch.inf)])
    assert usable(faces).tolist() == [True, False, False, False, False]
    assert usable(face * 1e-3)
    assert usable(face + 1e5)
