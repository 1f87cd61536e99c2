"""Windows of tracks: what they hold, how they are varied, and how often each piece is drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from motion_corpus import pieces

from hmgen_ros.generators.head_frame import head_frame, to_frame
from hmgen_ros.training.motion_windows import MotionWindows, WindowSettings

TICKS = 20
PLAIN = WindowSettings(mirror=0.0, stretch=0.0)


def beginnings(windows: MotionWindows) -> set[tuple[float, ...]]:
    """Some numbers that tell windows apart."""
    rows = windows.cut(torch.arange(len(windows)))[:, 1, :3]
    return {tuple(row.tolist()) for row in rows}


def test_every_window_of_every_piece() -> None:
    corpus = pieces(TICKS, TICKS + 3, TICKS - 1, 2 * TICKS)
    windows = MotionWindows(corpus, TICKS)
    assert len(windows) == 1 + 4 + 0 + TICKS + 1
    last = windows.cut(torch.tensor([len(windows) - 1]))[0]
    track = torch.from_numpy(corpus.segments[3].landmarks[-TICKS:])
    torch.testing.assert_close(last, to_frame(track, head_frame(track[:1])).flatten(-2))


def test_no_piece_is_long_enough() -> None:
    with pytest.raises(ValueError, match="20 ticks"):
        MotionWindows(pieces(TICKS - 1, 3), TICKS)


@given(st.lists(st.integers(TICKS, 5 * TICKS), min_size=1, max_size=5))
def test_by_duration_each_piece_has_as_many_windows_as_ticks(lengths: list[int]) -> None:
    windows = MotionWindows(
        pieces(*lengths), TICKS, WindowSettings(mirror=0.0, stretch=0.0, by_duration=True)
    )
    assert len(windows) == sum(lengths)
    every = {tuple(row.flatten().tolist()) for row in windows.cut(torch.arange(len(windows)))[:, :2, :3]}
    plain = MotionWindows(pieces(*lengths), TICKS)
    # None is left out.
    assert every == {tuple(row.flatten().tolist()) for row in plain.cut(torch.arange(len(plain)))[:, :2, :3]}


def test_what_is_drawn_plainly_is_what_is_cut() -> None:
    windows = MotionWindows(pieces(50, 60), TICKS, PLAIN)
    rows = torch.tensor([0, 3, 40])
    drawn, reference = windows.draw(rows)
    torch.testing.assert_close(drawn, windows.cut(rows))
    torch.testing.assert_close(reference, drawn[:, 0])


def test_far_frames_are_those_of_other_poses_of_the_track() -> None:
    settings = WindowSettings(mirror=0.0, stretch=0.0, far_frames=1.0)
    windows = MotionWindows(pieces(200), TICKS, settings)
    torch.manual_seed(0)
    drawn, reference = windows.draw(torch.zeros(64, dtype=torch.int64))
    # The frame's own pose lies at its origin, with size 1; the window does not.
    origin, size = head_frame(reference.unflatten(-1, (68, 2)))
    torch.testing.assert_close(origin, torch.zeros_like(origin), atol=1e-5, rtol=0)
    torch.testing.assert_close(size, torch.ones_like(size))
    assert float((drawn[:, 0] - reference).abs().amax()) > 0.05
    assert len(torch.unique(reference[:, 0])) > 30
    # Without far frames only where asked for.
    near = MotionWindows(pieces(200), TICKS, PLAIN)
    begun, its = near.draw(torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(begun[:, 0], its)
    torch.manual_seed(0)
    begun, its = near.draw(torch.zeros(64, dtype=torch.int64), anywhere=True)
    assert float((begun[:, 0] - its).abs().amax()) > 0.05


def test_mirrored_and_stretched_heads_move_as_much() -> None:
    windows = MotionWindows(pieces(80, 80), TICKS, WindowSettings(mirror=0.5, stretch=0.2))
    rows = torch.arange(40)
    torch.manual_seed(3)
    drawn, plain = windows.draw(rows)[0], windows.cut(rows)
    changed = (drawn - plain).abs().amax((1, 2))
    assert int((changed > 1e-3).sum()) > 35
    speed = drawn.diff(dim=1).norm(dim=-1).mean(1) / plain.diff(dim=1).norm(dim=-1).mean(1)
    assert float(speed.min()) > 0.7
    assert float(speed.max()) < 1.4


def test_without_translation_heads_stay_in_the_middle() -> None:
    windows = MotionWindows(pieces(50), TICKS, WindowSettings(translation=False, mirror=0.0, stretch=0.0))
    middle = windows.cut(torch.arange(5)).unflatten(-1, (68, 2)).mean(-2)
    torch.testing.assert_close(middle, torch.zeros_like(middle), atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrong", [{"mirror": 1.1}, {"far_frames": -0.1}, {"stretch": 1.0}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WindowSettings(**wrong)  # type: ignore[arg-type]


def test_landmarks_of_a_window_are_float32() -> None:
    assert MotionWindows(pieces(30), TICKS).cut(torch.tensor([0])).dtype == torch.float32
    assert pieces(30).segments[0].landmarks.dtype == np.float32
