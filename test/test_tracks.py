"""Folders of tracks: who is in which part, spikes mended, cuts found, damage named."""

from pathlib import Path

import numpy as np
import pytest
from motion_corpus import SPEAKERS, write_tracks
from motion_faces import turning_faces

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.track_files import TrackFile, write_track_file
from hmgen_ros.data.tracks import MANIFEST, clean, segments, split_of, tracks_of
from hmgen_ros.types import Counts


def a_face(ticks: int = 60) -> np.ndarray:
    return turning_faces(1, ticks, 3)[0].numpy()


def cleaned(landmarks: np.ndarray, valid: np.ndarray | None = None) -> tuple[list, Counts]:
    counts = Counts()
    everywhere = np.ones(len(landmarks), np.bool_)
    return clean(landmarks, everywhere if valid is None else valid, counts), counts


def test_a_sound_track_is_one_piece_and_only_smoothed() -> None:
    face = a_face()
    pieces, counts = cleaned(face)
    assert [(start, len(piece)) for start, piece in pieces] == [(0, 60)]
    assert counts.items() == []
    assert float(np.abs(pieces[0][1] - face).max()) < 2.0
    still = np.repeat(face[:1], 20, axis=0)
    np.testing.assert_allclose(cleaned(still)[0][0][1], still, atol=1e-3)


def test_a_spike_is_mended() -> None:
    face = a_face()
    bad = face.copy()
    bad[30] += 60.0
    pieces, counts = cleaned(bad)
    assert len(pieces) == 1
    assert counts["mended"] == 1
    np.testing.assert_allclose(pieces[0][1], cleaned(face)[0][0][1], atol=2.0)


def test_a_cut_is_a_cut() -> None:
    face = a_face()
    face[25:] += 120.0
    pieces, counts = cleaned(face)
    assert [(start, len(piece)) for start, piece in pieces] == [(0, 25), (25, 35)]
    assert counts["cuts"] == 1


def test_gaps_and_what_is_no_number() -> None:
    face = a_face()
    valid = np.ones(60, np.bool_)
    valid[:5] = False
    face[:5] = 0.0
    face[20, 3, 0] = np.nan
    pieces, counts = cleaned(face, valid)
    assert [(start, len(piece)) for start, piece in pieces] == [(5, 15), (21, 39)]
    assert counts["invalid"] == 6
    assert all(np.isfinite(piece).all() for _, piece in pieces)


def test_a_collapsed_face() -> None:
    pieces, counts = cleaned(np.full((30, 68, 2), 5.0, np.float32))
    assert pieces == []
    assert counts["collapsed"] == 30
    assert cleaned(np.zeros((4, 68, 2), np.float32), np.zeros(4, np.bool_))[0] == []


def test_no_speaker_is_in_two_parts(tmp_path: Path) -> None:
    write_tracks(tmp_path)
    tracks = tracks_of(tmp_path)
    assert {track.split for track in tracks} >= {"train", "validation", "test"}
    for speaker, split in SPEAKERS.items():
        found = {track.split for track in tracks if track.speaker == speaker}
        # Some clips of the one training speaker are held out, as there is no other.
        assert found <= ({split, "validation"} if split == "train" else {split})


def test_unknown_speakers_are_dealt_out_by_name() -> None:
    splits = [split_of("any", f"somebody_{i}") for i in range(1000)]
    assert 750 < splits.count("train") < 850
    assert 60 < splits.count("validation") < 140
    assert split_of("one", "somebody_1") == split_of("other", "somebody_1")


def test_segments_say_where_they_come_from(tmp_path: Path) -> None:
    write_tracks(tmp_path, tracks=1)
    corpus = segments(tracks_of(tmp_path), shortest=42)
    assert corpus.speakers == sorted(SPEAKERS)
    assert corpus.ticks == sum(len(s.landmarks) for s in corpus.segments) == 6 * 90
    assert segments(tracks_of(tmp_path), shortest=91).segments == []


def test_a_folder_without_manifest(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    landmarks = a_face()
    write_track_file(tmp_path / "deep" / "x.npz", TrackFile(landmarks, np.ones(60, np.bool_), (9, 9)))
    (tmp_path / "deep" / "x.flac").write_bytes(b"sound")
    (track,) = tracks_of(tmp_path)
    assert (track.name, track.speaker) == ("deep/x", "deep/x")
    assert track.sound is not None


def test_a_group_alone_is_of_those_whom_the_manifest_beside_it_tells(tmp_path: Path) -> None:
    write_tracks(tmp_path)
    group = tracks_of(tmp_path / "grid_tracks")
    assert group == tracks_of(tmp_path)
    assert {track.speaker for track in group} == set(SPEAKERS)


def test_manifests_that_are_damaged(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no tracks"):
        tracks_of(tmp_path)
    with pytest.raises(CorpusError, match="no tracks"):
        tracks_of(tmp_path / "nowhere")
    manifest = tmp_path / MANIFEST
    manifest.write_text("group,stem\na,b\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="column speaker"):
        tracks_of(tmp_path)
    manifest.write_text("group,stem,speaker\na,b,c\na,,c\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="line 3"):
        tracks_of(tmp_path)
    manifest.write_text("group,stem,speaker\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="no track"):
        tracks_of(tmp_path)
    manifest.write_text("group,stem,speaker\na,gone,c\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"gone\.npz"):
        segments(tracks_of(tmp_path))
