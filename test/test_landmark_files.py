"""Landmarks of any file: tracks, arrays of other programs, and what is none of these."""

import math
from pathlib import Path

import numpy as np
import pytest
from motion_faces import turning_faces
from numpy.typing import NDArray

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.landmark_files import read_landmarks
from hmgen_ros.data.track_files import TrackFile, write_track_file
from hmgen_ros.types import Counts


@pytest.fixture
def face() -> NDArray[np.float32]:
    """``[12, 68, 2]`` with the chin below the brows."""
    faces = turning_faces(1, 12, 0, angles=(0.0, 0.0, 0.0))[0].numpy()
    faces[:, 8, 1] += 200.0
    return faces


def test_tracks_and_plain_arrays_are_the_same(face: NDArray[np.float32], tmp_path: Path) -> None:
    valid = np.arange(12) != 4
    write_track_file(tmp_path / "track.npz", TrackFile(face, valid, (640, 480)))
    np.save(tmp_path / "plain.npy", face.astype(np.float64))
    np.savez(tmp_path / "one.npz", anything=face, valid=valid, fps=25)
    np.save(tmp_path / "deep.npy", np.concatenate([face, np.ones((12, 68, 1), np.float32)], axis=-1))
    for name, seen in (
        ("track.npz", valid),
        ("plain.npy", np.ones(12, np.bool_)),
        ("one.npz", valid),
        ("deep.npy", np.ones(12, np.bool_)),
    ):
        points, usable = read_landmarks(tmp_path / name, Counts())
        assert points.dtype == np.float32
        np.testing.assert_allclose(points[valid], face[valid], atol=1 / 32)
        np.testing.assert_array_equal(usable, seen)


def test_ticks_without_a_face_are_counted(face: NDArray[np.float32], tmp_path: Path) -> None:
    face[2, 30, 0] = math.nan
    face[3] = math.inf
    face[5] = 7.0
    np.save(tmp_path / "face.npy", face)
    counts = Counts()
    _, valid = read_landmarks(tmp_path / "face.npy", counts)
    assert np.flatnonzero(~valid).tolist() == [2, 3, 5]
    assert dict(counts.items()) == {"not_finite": 2, "collapsed": 1}


def test_numbers_beyond_single_precision_are_not_finite(face: NDArray[np.float32], tmp_path: Path) -> None:
    wide = face.astype(np.float64)
    wide[0] = 1e300
    np.save(tmp_path / "face.npy", wide)
    counts = Counts()
    read_landmarks(tmp_path / "face.npy", counts)
    assert counts["not_finite"] == 1


def test_files_that_hold_no_landmarks(face: NDArray[np.float32], tmp_path: Path) -> None:
    def saved(name: str, **arrays: object) -> Path:
        np.savez(tmp_path / name, **arrays)  # type: ignore[arg-type]
        return tmp_path / name

    (tmp_path / "text.npy").write_bytes(b"no array")
    (tmp_path / "cut.npz").write_bytes(saved("whole.npz", lm=face).read_bytes()[:200])
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    broken = np.full_like(face, math.nan)
    for path, text in (
        (tmp_path / "nowhere.npy", "no such file"),
        (tmp_path / "text.npy", "damaged"),
        (tmp_path / "cut.npz", "damaged"),
        (tmp_path / "objects.npy", "damaged"),
        (tmp_path, "damaged"),
        (saved("few.npz", lm=face[:, :5]), r"\[T, 68, 2\], found 0 .*lm: float32 \[12, 5, 2\]"),
        (saved("flat.npz", lm=face.reshape(12, 136)), "found 0"),
        (saved("two.npz", one=face, other=face), "found 2"),
        (saved("nothing.npz"), "holds nothing"),
        (saved("text.npz", lm=np.full((3, 68, 2), "a")), "found 0"),
        (saved("valid.npz", lm=face, valid=np.ones(3, np.bool_)), "'valid'"),
        (saved("rate.npz", lm=face, fps=30, wh=np.array([640, 480])), "'fps'"),
        (saved("none.npz", lm=face[:0]), "no face in 0 ticks"),
        (saved("nan.npz", lm=broken), "12 not finite"),
        (saved("point.npz", lm=0.0 * face), "12 collapsed"),
        (saved("seen.npz", lm=face, valid=np.zeros(12, np.bool_)), "12 are not valid"),
        (saved("flipped.npz", lm=-face), "y must point down"),
    ):
        with pytest.raises(CorpusError, match=text) as error:
            read_landmarks(path, Counts())
        assert str(path) in str(error.value), path
