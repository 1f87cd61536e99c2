"""Track files: what is written comes back; what is damaged is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.track_files import SCALE, TrackFile, TrackFlag, read_track_file, write_track_file


def a_track(ticks: int = 5, seed: int = 0, far: float = 400.0) -> TrackFile:
    rng = np.random.default_rng(seed)
    return TrackFile(
        rng.uniform(0.0, far, (ticks, 68, 2)).astype(np.float32),
        rng.random(ticks) > 0.3,
        (640, 480),
        rng.normal(size=(ticks, 4, 26)).astype(np.float32),
        rng.random(ticks).astype(np.float32),
        np.full(ticks, TrackFlag.SMALL | TrackFlag.BLURRED, np.uint8),
    )


@given(st.integers(0, 30), st.integers(0, 1000), st.floats(1.0, 30_000.0))
def test_what_is_written_comes_back(ticks: int, seed: int, far: float) -> None:
    import tempfile

    track = a_track(ticks, seed, far)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.npz"
        write_track_file(path, track)
        back = read_track_file(path)
        assert [p.name for p in Path(folder).iterdir()] == ["one.npz"]
    np.testing.assert_array_equal(back.valid, track.valid)
    error = np.abs(back.landmarks - track.landmarks)[track.valid]
    assert not error.size or float(error.max()) <= 0.5 / SCALE + 1e-2 * (far > 1e4)
    assert not back.landmarks[~track.valid].any()
    assert back.image_size == (640, 480)
    for name in ("mfcc", "score", "flags"):
        np.testing.assert_array_equal(getattr(back, name), getattr(track, name))


def test_only_landmarks_size_and_rate_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "plain.npz"
    np.savez(path, lm=np.ones((3, 68, 2), np.float32), wh=[10, 20], fps=25)
    track = read_track_file(path)
    assert track.valid.all()
    assert (track.mfcc, track.score, track.flags) == (None, None, None)
    np.savez(path, lm=np.full((3, 68, 2), 32, np.int16), wh=[10, 20], fps=25, scale=16)
    assert float(read_track_file(path).landmarks.max()) == 2.0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"lm": None}, "'lm' is missing"),
        ({"wh": None}, "'wh' is missing"),
        ({"fps": None}, "'fps' is missing"),
        ({"fps": 30}, "'fps' is 30"),
        ({"lm": np.ones((3, 5, 2))}, "'lm' is float64"),
        ({"lm": np.array(7.0)}, "'lm'"),
        ({"lm": np.ones((102, 136))}, r"\(102, 136\), expected numbers \(T, 68, 2\)$"),
        ({"wh": [1, 2, 3]}, "'wh'"),
        ({"valid": [True]}, "'valid'"),
        ({"scale": 0}, "'scale'"),
        ({"scale": [1, 2]}, "'scale'"),
        ({"mfcc": np.ones((3, 26), np.float32)}, r"'mfcc' .* \(T, 4, 26\), T = 3 as in 'lm'$"),
        ({"flags": np.ones(3, np.int64)}, "'flags'"),
        ({"score": np.array(["a", "b", "c"])}, "'score'"),
    ],
)
def test_damaged_fields_are_named(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    fields: dict[str, Any] = {"lm": np.ones((3, 68, 2), np.float32), "wh": [1, 1], "fps": 25} | change
    path = tmp_path / "bad.npz"
    np.savez(path, **{name: value for name, value in fields.items() if value is not None})
    with pytest.raises(CorpusError, match=text) as error:
        read_track_file(path)
    assert str(path) in str(error.value)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="missing"):
        read_track_file(tmp_path / "none.npz")
    path = tmp_path / "cut.npz"
    write_track_file(path, a_track())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CorpusError, match="damaged"):
        read_track_file(path)
    np.savez(path, lm=np.array([{}], object), wh=[1, 1], fps=25)
    with pytest.raises(CorpusError, match=r"damaged .it holds objects instead of numbers"):
        read_track_file(path)


def test_other_files_with_the_name_of_a_track(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for content in (b"", b"some text, long enough to be taken for a pickle", b"\x93NUMPY"):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match=r"is not an \.npz file") as error:
            read_track_file(path)
        assert str(path) in str(error.value)
        assert "pickle" not in str(error.value)
    with path.open("wb") as file:
        np.save(file, np.zeros((5, 68, 2), np.float32))
    with pytest.raises(CorpusError, match=r"is not an \.npz file"):
        read_track_file(path)


def test_damaged_compressed_data(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write_track_file(path, a_track(200))
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(255 for _ in range(200))
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"x\.npz is damaged"):
        read_track_file(path)


def test_no_infinite_landmarks_are_written(tmp_path: Path) -> None:
    track = a_track()
    track.valid[0] = True
    track.landmarks[0, 3, 1] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        write_track_file(tmp_path / "x.npz", track)
    track.valid[0] = False
    write_track_file(tmp_path / "x.npz", track)
