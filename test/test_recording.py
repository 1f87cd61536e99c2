"""The bundled recording is what its truth says, and the functions that composed it keep their promises."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"
sys.path.insert(0, str(RECORDINGS))

from scene_clips import SceneError, check_files, load_scene, mouth_opening, runs_of  # noqa: E402
from scene_picture import (  # noqa: E402
    apply_affine,
    chain,
    fade_weight,
    fit_background,
    fit_outline,
    fit_similarity,
)
from scene_schedule import Manners, Sentence, make_turns, ping_pong, plan_person, speaker_order  # noqa: E402
from scene_sound import ROOM_DB, level_db, room_noise  # noqa: E402
from scene_truth import merge_intervals, sha256_of, speaking_matrix, to_rttm  # noqa: E402

MEDIA = RECORDINGS / "three_people.mp4"


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    """The truth file."""
    loaded: dict[str, Any] = json.loads(MEDIA.with_suffix(".json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def sound() -> NDArray[np.float32]:
    """All samples of the recording's sound track."""
    with av.open(str(MEDIA)) as file:
        blocks = [f.to_ndarray()[0] for f in file.decode(audio=0)]
    return np.concatenate(blocks).astype(np.float32)


@pytest.fixture(scope="module")
def stamps() -> list[float]:
    """Presentation times in seconds of all pictures."""
    with av.open(str(MEDIA)) as file:
        return [f.time for f in file.decode(video=0) if f.time is not None]


def test_recording_is_small_and_is_the_file_the_truth_describes(truth: dict[str, Any]) -> None:
    assert sum(p.stat().st_size for p in RECORDINGS.glob("*.*")) <= 8 * 2**20
    assert sha256_of(MEDIA) == truth["sha256"]
    assert truth["sha256"] in (RECORDINGS / "README.md").read_text(encoding="utf-8")


def test_pictures_come_at_exactly_25_hz_for_at_least_a_minute(
    truth: dict[str, Any], stamps: list[float]
) -> None:
    assert len(stamps) == truth["frames"]
    assert truth["duration_s"] >= 60
    np.testing.assert_allclose(stamps, np.arange(len(stamps)) / 25, atol=1e-9)


def test_sound_starts_at_zero_and_lasts_as_long_as_the_pictures(
    truth: dict[str, Any], sound: NDArray[np.float32]
) -> None:
    with av.open(str(MEDIA)) as file:
        stream = file.streams.audio[0]
        assert (stream.rate, stream.channels) == (16_000, 1)
        assert next(file.decode(stream)).time == 0
    assert len(sound) / 16_000 == pytest.approx(truth["duration_s"], abs=0.07)


def test_three_people_speak_about_equally_within_the_recording(truth: dict[str, Any]) -> None:
    people = truth["people"]
    assert [p["label"] for p in people] == ["left", "middle", "right"]
    shares = np.array([p["speaking_s"] for p in people])
    assert shares.min() > 0.7 * shares.max()
    for person in people:
        flat = np.array(person["speaking"]).ravel()
        assert len(person["speaking"]) >= 4
        assert np.all(np.diff(flat) > 0)
        assert flat[0] > 0
        assert flat[-1] < truth["duration_s"]
        assert person["speaking_s"] == pytest.approx((flat[1::2] - flat[::2]).sum(), abs=1e-3)
        assert person["eye_distance_px"] >= 45


def test_conversation_has_silence_single_voices_and_overlaps(truth: dict[str, Any]) -> None:
    together = speaking_matrix(truth["people"], truth["frames"]).sum(axis=1)
    share = np.bincount(together, minlength=4) / len(together)
    np.testing.assert_allclose(share, truth["speakers_at_once"], atol=1e-3)
    assert share[0] > 0.1
    assert share[1] > 0.5
    assert share[2] > 0.01
    assert not together[:50].any()
    assert not together[-50:].any()


def test_rttm_says_what_the_json_says(truth: dict[str, Any]) -> None:
    text = MEDIA.with_suffix(".rttm").read_text(encoding="utf-8")
    assert text == to_rttm(truth)
    read: dict[str, list[tuple[float, float]]] = {}
    for line in text.splitlines():
        kind, name, channel, start, length, _, _, label, _, _ = line.split()
        assert (kind, name, channel) == ("SPEAKER", truth["title"], "1")
        read.setdefault(label, []).append((float(start), float(start) + float(length)))
    for person in truth["people"]:
        np.testing.assert_allclose(read[person["label"]], person["speaking"], atol=2e-3)


def test_sound_is_loud_exactly_where_somebody_speaks(
    truth: dict[str, Any], sound: NDArray[np.float32]
) -> None:
    speech = speaking_matrix(truth["people"], truth["frames"]).max(axis=1).astype(bool)
    frames = sound[: len(speech) * 640].reshape(-1, 640)
    level = np.array([level_db(f) for f in frames])
    assert np.median(level[speech]) > -30
    assert np.median(level[~speech]) < -45
    loud = level > -40
    agreement = np.mean(loud == speech)
    assert agreement > 0.85


def test_faces_are_where_the_truth_says(truth: dict[str, Any]) -> None:
    with av.open(str(MEDIA)) as file:
        picture = next(file.decode(video=0)).to_ndarray(format="bgr24").astype(float)
    height, width = picture.shape[:2]
    assert [width, height] == truth["size"]
    for person in truth["people"]:
        x0, y0, x1, y1 = person["face_region_px"]
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        (ax, ay), (bx, by) = person["outer_eye_corners_px"]
        nose = picture[int((ay + by) / 2 + 0.3 * (bx - ax)), int((ax + bx) / 2)]
        # Skin is redder than blue; the background is the other way round.
        assert nose[2] > nose[0] + 20
        above = picture[int(y0) // 4, int((x0 + x1) / 2)]
        assert above[0] > above[2] + 20


sentence = st.tuples(st.floats(0.3, 0.8), st.floats(1.0, 2.2), st.integers(0, 6), st.integers(0, 3))


@st.composite
def casts(draw: st.DrawFn) -> list[list[Sentence]]:
    """Two to five people with one to six sentences each."""
    people = []
    for p in range(draw(st.integers(2, 5))):
        made = []
        for k, (start, length, lead, tail) in enumerate(draw(st.lists(sentence, min_size=1, max_size=6))):
            first = max(int(start * 25) - lead, 0)
            last = int((start + length) * 25) + 1 + tail
            made.append(Sentence(f"p{p}c{k}", start, start + length, first, last))
        people.append(made)
    return people


@given(casts(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_turns_say_everything_once_and_nobody_twice_at_once(cast: list[list[Sentence]], seed: int) -> None:
    turns = make_turns(cast, 2.0, np.random.default_rng(seed))
    again = make_turns(cast, 2.0, np.random.default_rng(seed))
    assert turns == again
    assert sorted(t.sentence.clip for t in turns) == sorted(s.clip for p in cast for s in p)
    assert turns[0].speech[0] == pytest.approx(2.0, abs=0.021)
    manners = Manners()
    for person in range(len(cast)):
        own = [t for t in turns if t.person == person]
        for a, b in pairwise(own):
            assert b.frame >= a.stop + manners.rest_frames
    ends = 0.0
    for before, turn in pairwise(turns):
        ends = max(ends, before.speech[1])
        assert turn.speech[0] >= ends - manners.overlap_s[1] - 0.021
        assert turn.speech[0] > before.speech[0]


@given(casts(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_plans_cover_the_scene_without_gap(cast: list[list[Sentence]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    turns = make_turns(cast, 2.0, rng)
    total = max(t.stop for t in turns) + 60
    rest = {"calm": [(0, 9), (60, 74)], "other": [(3, 3)]}
    own = [t for t in turns if t.person == 0]
    pieces = plan_person(own, rest, total, rng)
    assert pieces[0].start == 0
    assert pieces[-1].stop == total
    assert all(a.stop == b.start for a, b in pairwise(pieces))
    spoken = [p for p in pieces if p.speaking]
    assert [(p.start, p.clip, p.indices[0], p.indices[-1]) for p in spoken] == [
        (t.frame, t.sentence.clip, t.sentence.first, t.sentence.last) for t in own
    ]
    for piece in pieces:
        if not piece.speaking:
            assert any(a <= min(piece.indices) and max(piece.indices) <= b for a, b in rest[piece.clip])


@given(st.integers(0, 50), st.integers(0, 30), st.integers(1, 300), st.data())
def test_ping_pong_moves_by_single_frames_within_its_range(
    first: int, span: int, length: int, data: st.DataObject
) -> None:
    begin = data.draw(st.integers(first, first + span))
    path = np.array(ping_pong(first, first + span, length, begin))
    assert len(path) == length
    assert path[0] == begin
    assert path.min() >= first
    assert path.max() <= first + span
    assert np.abs(np.diff(path)).max(initial=0) <= 1


@given(st.lists(st.integers(1, 8), min_size=3, max_size=5), st.integers(0, 2**32 - 1))
def test_speaker_order_keeps_the_counts(counts: list[int], seed: int) -> None:
    order = speaker_order(counts, Manners(), np.random.default_rng(seed))
    assert np.bincount(order, minlength=len(counts)).tolist() == counts
    for k in range(2, len(order)):
        if order[k] == order[k - 1] == order[k - 2]:
            assert set(order[k:]) == {order[k]}, "three in a row although somebody else had more to say"


def test_merge_fills_short_pauses_only() -> None:
    assert merge_intervals([(3.0, 4.0), (1.0, 2.0), (2.2, 2.5)]) == [(1.0, 2.5), (3.0, 4.0)]


def test_speaking_matrix_takes_the_middle_of_each_frame() -> None:
    people: list[dict[str, Any]] = [{"speaking": [[0.02, 0.06]]}, {"speaking": []}]
    assert speaking_matrix(people, 3).tolist() == [[1, 0], [0, 0], [0, 0]]


@given(st.floats(0.5, 2), st.floats(-0.5, 0.5), st.floats(-50, 50), st.floats(-50, 50))
def test_similarity_is_found_again(scale: float, turn: float, dx: float, dy: float) -> None:
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    move = np.array([[c, -s, dx], [s, c, dy]])
    points = np.random.default_rng(0).uniform(0, 100, (8, 2))
    np.testing.assert_allclose(fit_similarity(points, apply_affine(move, points)), move, atol=1e-7)
    back = fit_similarity(apply_affine(move, points), points)
    np.testing.assert_allclose(apply_affine(chain(back, move), points), points, atol=1e-6)


def test_person_is_found_before_a_shaded_background() -> None:
    y, x = np.mgrid[0:96, 0:128]
    shade = 1 - 0.2 * (x / 128) * (y / 96)
    plain = (shade[..., None] * np.array([180.0, 140, 60])).astype(np.float32)
    disc = (x - 64) ** 2 + (y - 60) ** 2 < 25**2
    disc |= (y >= 60) & (abs(x - 64) < 25)
    still = np.where(disc[..., None], np.array([90, 110, 170], np.float32), plain).astype(np.float32)
    ground = fit_background(still)
    assert np.abs(ground - plain)[8:-8, 8:-8][~disc[8:-8, 8:-8]].max() < 4
    found = fit_outline([still.astype(np.uint8)], ground) > 0
    assert np.mean(found == disc) > 0.97


def test_fade_begins_low_and_ends_at_one() -> None:
    weights = [fade_weight(k) for k in range(10)]
    assert 0 < weights[0] < 0.2
    assert weights[-1] == 1
    assert np.all(np.diff(weights) >= 0)


def test_room_noise_has_its_level_and_its_seed() -> None:
    noise = room_noise(16_000, np.random.default_rng(3))
    assert level_db(noise) == pytest.approx(ROOM_DB, abs=0.1)
    np.testing.assert_array_equal(noise, room_noise(16_000, np.random.default_rng(3)))


def test_mouth_opening_is_relative_to_the_eyes() -> None:
    points = np.zeros((1, 68, 2), np.float32)
    points[0, 45] = (80, 0)
    points[0, [65, 66, 67], 1] = 8
    assert mouth_opening(points)[0] == pytest.approx(0.1)
    np.testing.assert_allclose(mouth_opening(points * 3), mouth_opening(points))


def test_runs_are_inclusive() -> None:
    assert runs_of(np.array([1, 1, 0, 1, 0, 1, 1, 1], bool), 2) == [(0, 1), (5, 7)]


def test_missing_clips_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"4 source files.*HMGEN_DATA.*one\.mpg.*two\.npz"):
        check_files(tmp_path, ["one", "two"])


def test_scene_without_a_field_is_refused_by_name(tmp_path: Path) -> None:
    scene = json.loads((RECORDINGS / "three_people.scene.json").read_text(encoding="utf-8"))
    del scene["people"][1]["face_at"]
    path = tmp_path / "scene.json"
    path.write_text(json.dumps(scene), encoding="utf-8")
    with pytest.raises(SceneError, match=r"people\[1\] has no 'face_at'"):
        load_scene(path)


def test_command_without_data_ends_with_one_line_and_code_2(tmp_path: Path) -> None:
    script = str(RECORDINGS / "compose.py")
    command = [sys.executable, script, "--data", str(tmp_path), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "s1_bgbh4n.mpg" in done.stderr
