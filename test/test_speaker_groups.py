"""The benchmark of who is heard: groups, ties, and what it says where something is missing."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]
_spec = spec_from_file_location("speaker_groups", ROOT / "benchmarks" / "speaker_groups.py")
groups = sys.modules["speaker_groups"] = module_from_spec(_spec)
_spec.loader.exec_module(groups)


def clips(**counts: int) -> list:
    """So many of each speaker, all faces and sounds marked by a number."""
    made = []
    for speaker, count in counts.items():
        for i in range(count):
            poses = np.full((groups.TICKS, 68, 2), len(made), np.float32)
            sound = np.full(groups.TICKS * groups.TICK_SAMPLES, len(made), np.float32)
            made.append(groups.Clip(f"{speaker}{i}", speaker, poses, sound))
    return made


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("mixed", [False, True])
def test_groups_are_of_different_clips_and_drawn_alike(size: int, mixed: bool) -> None:
    drawn = groups.draw_groups(clips(a=8, b=8, c=1), size, mixed, 20, 0)
    assert len(drawn) == 20
    for group in drawn:
        assert len(group) == size
        assert len({clip.name for clip in group}) == size
        assert (len({clip.speaker for clip in group}) > 1) == mixed
        for clip in group:
            assert len(clip.landmarks) == 2 * groups.TICKS
            assert len(clip.sound) == 2 * groups.TICKS * groups.TICK_SAMPLES
    assert {group[0].speaker for group in drawn} == ({"a", "b", "c"} if mixed else {"a", "b"})
    again = groups.draw_groups(clips(a=8, b=8, c=1), size, mixed, 20, 0)
    assert [[c.name for c in group] for group in again] == [[c.name for c in group] for group in drawn]


def test_where_there_are_too_few_clips_there_are_fewer_groups_or_none() -> None:
    assert groups.draw_groups(clips(a=2), 3, False, 10, 0) == []
    assert groups.draw_groups(clips(a=5), 2, True, 10, 0) == []
    assert len(groups.draw_groups(clips(a=2), 2, False, 10, 0)) == 2


def test_ties_are_drawn_by_lot() -> None:
    assert groups.chosen(np.array([1.0, 0.0])) == 1.0
    assert groups.chosen(np.array([1.0, 1.0, 0.0])) == 0.5
    assert groups.chosen(np.array([0.0, 1.0])) == 0.0
    truth = np.array([True, False, False, False])
    assert groups.average_precision(truth, np.zeros(4)) == 0.25
    assert groups.average_precision(truth, np.array([0.9, 0.1, 0.2, 0.3])) == 1.0
    assert groups.average_precision(truth, np.array([0.2, 0.9, 0.1, 0.0])) == 0.5


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=20))
def test_average_precision_is_blind_to_the_order(pairs: list[tuple[bool, int]]) -> None:
    truth, scores = np.array([t for t, _ in pairs]), np.array([float(s) for _, s in pairs])
    found = groups.average_precision(truth, scores)
    assert 0.0 <= found <= 1.0
    assert groups.average_precision(truth[::-1], scores[::-1]) == pytest.approx(found)


def test_speech_is_counted_while_a_voice_is_heard() -> None:
    voice = np.r_[np.zeros(10), np.ones(20), np.zeros(10), np.ones(20)]
    watched = groups.Watched(np.zeros((60, 2)), np.zeros((60, 2, 2)), voice)
    assert watched.after(0.4) == 19
    assert watched.after(1.0) == 44  # not in the pause
    assert watched.after(2.0) is None
    assert (watched.match() == 0.0).all()


def test_faces_are_rivals_as_they_are_to_perception() -> None:
    evidence = np.array([[(10.0, 8.0), (10.0, 4.0), (0.0, 0.0)]])
    watched = groups.Watched(np.zeros((1, 3)), evidence, np.ones(1))
    # 4.5 and 1.5 by themselves, at most 4; a quarter of the better other one is taken off.
    np.testing.assert_allclose(watched.match(0.2, 0.75, 4.0, 0.25), [[4.0 - 0.375, 1.5 - 1.0, 0.0]])
    np.testing.assert_allclose(watched.match(0.2, 0.75, 4.0, 0.0), [[4.0, 1.5, 0.0]])


def test_a_missing_model_is_one_line() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "active_speaker.py"), "--syncer", "lipreader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    assert "no model 'lipreader'" in done.stderr
    assert done.stderr.count("\n") == 1
