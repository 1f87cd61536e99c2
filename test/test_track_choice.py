"""Which tracks an evaluation takes: nobody who was trained on, everybody who is a stranger."""

from pathlib import Path

import numpy as np
import pytest
from motion_corpus import write_tracks
from motion_faces import turning_faces

from hmgen_ros.data.track_files import TrackFile, write_track_file
from hmgen_ros.data.tracks import tracks_of
from hmgen_ros.evaluation.track_choice import choose_tracks, choose_unseen_by_runs, cleaned_text, what_is_left


def write(folder: Path, count: int = 1, ticks: int = 60) -> Path:
    """Tracks of ``count`` strangers."""
    for i, landmarks in enumerate(turning_faces(count, ticks, 0).numpy()):
        track = TrackFile(landmarks, np.ones(ticks, np.bool_), (640, 480))
        write_track_file(folder / f"somebody_{i}.npz", track)
    return folder


def test_all_strangers_are_held_out(tmp_path: Path) -> None:
    write(tmp_path, 30)
    # By name they are dealt out to every part, as whoever trains on them needs it.
    assert {track.split for track in tracks_of(tmp_path)} == {"train", "validation", "test"}
    choice = choose_tracks(tmp_path, "held_out")
    assert str(choice) == "30 of 30 tracks (split all)"
    assert choice.described() == {"tracks": 30, "tracks_in_folder": 30, "split": "all"}


def test_of_known_speakers_the_test_part_is_held_out(tmp_path: Path) -> None:
    write_tracks(tmp_path)
    choice = choose_tracks(tmp_path, "held_out")
    assert str(choice) == "3 of 18 tracks (split test)"
    assert {track.speaker for track in choice.tracks} == {"grid_v2s"}


def test_folders_with_nobody_but_training_speakers_have_nothing_held_out(tmp_path: Path) -> None:
    write_tracks(tmp_path)
    manifest = tmp_path / "tracks_manifest.csv"
    lines = manifest.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if "grid_s1" in line or line.startswith("half")]
    manifest.write_text("\n".join(kept) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"no track of the 12 in .* split 'test'; try --split all"):
        choose_tracks(tmp_path, "held_out")
    assert len(choose_tracks(tmp_path, "all").tracks) == 12


def test_runs_may_have_been_trained_on_strangers(tmp_path: Path) -> None:
    write(tmp_path, 30)
    choice = choose_unseen_by_runs(tmp_path)
    assert {track.split for track in choice.tracks} == {"test"}
    (tmp_path / "one").mkdir()
    assert choose_unseen_by_runs(write(tmp_path / "one")).split == "all"


def test_what_was_cleaned_away_is_told_with_its_file(tmp_path: Path) -> None:
    write(tmp_path)
    point = np.full((50, 68, 2), 7.0, np.float32)
    write_track_file(tmp_path / "point.npz", TrackFile(point, np.ones(50, np.bool_), (640, 480)))
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep", 1, 30)
    corpus = choose_tracks(tmp_path, "all").corpus()
    told = cleaned_text(corpus)
    assert f"50 ticks of tracks whose faces are collapsed to a point (first in {tmp_path}/point.npz)" in told
    assert f"30 ticks in pieces that are too short (first in {tmp_path / 'deep' / 'somebody_0.npz'})" in told
    assert what_is_left(corpus).startswith("the longest piece without gap or cut has 60 ticks; cleaned: ")
    corpus = choose_tracks(tmp_path / "deep", "all").corpus()
    assert corpus.segments == []
    assert corpus.longest == 30
