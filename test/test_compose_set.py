"""Scenes with moves, gestures and things before faces: pure choreography, turned heads, one small scene."""

import json
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_clips import DATA, needs_data

from hmgen_ros.evaluation.evaluate_perception import EvaluatePerceptionConfig, evaluate_perception
from hmgen_ros.perception.backends import create_backend
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.streams.decode import pictures
from hmgen_ros.types import Counts

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"
sys.path.insert(0, str(RECORDINGS))
import compose_set  # noqa: E402
from scene_head import TurnableHead, make_landmarker  # noqa: E402
from scene_moves import NOD_DEG, SHAKE_DEG, cross, gesticulate, hide, leave  # noqa: E402

SEATS = (112.0, 320.0, 528.0)
seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 10))
@settings(max_examples=30)
def test_crossings_change_places_and_put_somebody_in_front(seed: int, count: int) -> None:
    frames = 60 * 25
    staging = cross(frames, SEATS, count, np.random.default_rng(seed))
    x = np.asarray(SEATS) + staging.shift[..., 0]
    np.testing.assert_allclose(np.sort(x[-1]), SEATS)
    order = np.argsort(x, axis=1, kind="stable")
    assert (np.diff(order, axis=0).any(axis=1)).sum() == count
    assert not staging.shift[..., 1].any()
    for t in range(1, frames):
        moving = np.flatnonzero(x[t] != x[t - 1])
        assert len(moving) in (0, 2)
        assert np.abs(x[t] - x[t - 1]).max() < 30
        if len(moving):
            assert (staging.depth[t, moving] == 9).sum() == 1


@given(seeds)
@settings(max_examples=30)
def test_who_leaves_is_back_within_ten_seconds(seed: int) -> None:
    staging = leave(80 * 25, SEATS, 640, 8, np.random.default_rng(seed))
    x = np.asarray(SEATS) + staging.shift[..., 0]
    gone = (x < -150) | (x > 790)
    assert gone.any()
    assert (gone.sum(axis=1) <= 1).all()
    for person in range(3):
        edges = np.flatnonzero(np.diff(np.r_[0, gone[:, person].astype(int), 0]))
        assert all(stop - start < 10 * 25 for start, stop in zip(edges[::2], edges[1::2], strict=True))
    np.testing.assert_array_equal(staging.shift[-1], 0)


@given(seeds)
@settings(max_examples=30)
def test_what_hides_a_face_comes_from_below_and_goes_again(seed: int) -> None:
    frames = 60 * 25
    staging = hide(frames, 3, 14, np.random.default_rng(seed))
    assert len(staging.patches) == 14
    for patch in staging.patches:
        assert 0 <= patch.start < patch.start + len(patch.places) <= frames
        assert patch.places[[0, -1], 1].min() > 4
        assert patch.places[:, 1].min() < 1.5


@given(seeds)
@settings(max_examples=30)
def test_gestures_are_level_at_both_ends_and_wait_for_a_pause(seed: int) -> None:
    busy = [[(100, 160), (400, 520)], []]
    staging = gesticulate(40 * 25, 2, busy, np.random.default_rng(seed))
    assert staging.gestures[1]
    for person, gestures in enumerate(staging.gestures):
        assert all(a.stop < b.start for a, b in pairwise(gestures))
        for g in gestures:
            assert not any(first < g.stop and g.start < stop for first, stop in busy[person])
            pitch, yaw = np.array(g.pitch), np.array(g.yaw)
            np.testing.assert_allclose([pitch[0], pitch[-1], yaw[0], yaw[-1]], 0, atol=1e-6)
            if g.kind == "nod":
                assert 0.8 * NOD_DEG[0] <= pitch.max() <= NOD_DEG[1]
                assert not yaw.any()
            elif g.kind == "shake":
                assert 0.6 * SHAKE_DEG[0] <= np.ptp(yaw) <= SHAKE_DEG[1]
                assert not pitch.any()


@pytest.mark.parametrize(("pitch", "yaw"), [(10.0, 0.0), (0.0, 10.0), (0.0, -10.0)])
def test_a_turned_head_turns_by_what_was_asked(recording: str, pitch: float, yaw: float) -> None:
    image = next(pictures(Path(recording), Counts())).image
    backend = create_backend("mesh")
    try:
        rois = backend.detect(image).rois[:1]
        before = backend.landmarks(image, backend.landmarks(image, rois).rois)
        head = TurnableHead(image, before.points[0].astype(np.float64), make_landmarker())
        angles = float(np.radians(pitch)), float(np.radians(yaw))
        (turned,) = head.turn([image], *angles)
        after = backend.landmarks(turned, before.rois)
    finally:
        backend.close()
    # The landmarks go where the truth says, and that is a turn as it was asked.
    told = head.move(before.points[0].astype(np.float64), *angles)
    eyes = np.linalg.norm(before.points[0, 36] - before.points[0, 45])
    error = np.linalg.norm(told - after.points[0], axis=1)[17:].mean() / eyes
    moved = np.linalg.norm(told - before.points[0], axis=1)[17:].mean() / eyes
    assert error < 0.04
    assert moved > 0.1
    size = (image.shape[1], image.shape[0])
    old, new = (solve_head_pose(p.astype(np.float32), size, None) for p in (before.points[0], told))
    assert old is not None
    assert new is not None
    turn = np.degrees([new.pitch - old.pitch, new.yaw - old.yaw])
    np.testing.assert_allclose(turn, [pitch, yaw], atol=3.5)
    # What is far from the head stays.
    rows, columns = head.part
    rest = np.ones(image.shape[:2], bool)
    rest[rows, columns] = False
    np.testing.assert_array_equal(turned[rest], image[rest])


@needs_data
def test_a_small_scene_is_composed_kept_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = compose_set.KINDS
    short = replace(kinds["gestures"], seconds=6.0, cast=("s1",))
    monkeypatch.setitem(kinds, "gestures", short)
    monkeypatch.setattr(compose_set, "CLIPS_A_SCENE", 2)
    command = ["--data", str(DATA), "--out", str(tmp_path), "--only", "gestures_1", "--seed", "3"]
    assert compose_set.main(command) == 0
    media = tmp_path / "gestures_1.mp4"
    truth = json.loads(media.with_suffix(".json").read_text(encoding="utf-8"))
    assert truth["frames"] == 150
    (person,) = truth["people"]
    assert person["actions"]["head_gesture"] == sorted(
        person["gestures"]["nod"] + person["gestures"]["shake"]
    )
    stamp = media.stat().st_mtime_ns
    assert compose_set.main(command) == 0
    assert media.stat().st_mtime_ns == stamp
    report = evaluate_perception(EvaluatePerceptionConfig(tmp_path))
    assert report["id_switches"] == 0
    assert report["mota"] > 0.9
    assert "head_gesture" in report["labels"]
    assert report["not_scored"] == {}


def test_missing_clips_end_with_one_line_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--only", "one_1"]
    assert compose_set.main(command) == 2
    assert "source files are missing" in capsys.readouterr().err
