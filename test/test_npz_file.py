"""Files of arrays by strangers: what is there is read, and every damage is one error that names the file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hmgen_ros.data.npz_file import NpzError, read_npz


def test_every_array_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, one=np.arange(6).reshape(2, 3), other=np.float32(0.5))
    found = read_npz(path)
    assert set(found) == {"one", "other"}
    np.testing.assert_array_equal(found["one"], [[0, 1, 2], [3, 4, 5]])
    assert found["other"] == 0.5


def single(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((4, 2, 2)))


def objects(path: Path) -> None:
    np.savez(path, eyes=np.array([{"x": 1}], dtype=object))


def halved(path: Path) -> None:
    np.savez(path, eyes=np.random.default_rng(0).normal(size=500))
    path.write_bytes(path.read_bytes()[:900])


def flipped(path: Path) -> None:
    np.savez_compressed(path, eyes=np.random.default_rng(0).normal(size=500))
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "is missing"),
        (lambda path: path.mkdir(), "is damaged"),
        (lambda path: path.write_bytes(b""), "is not an"),
        (lambda path: path.write_bytes(b"PK\x03\x04rubbish"), "is damaged"),
        (single, "is not an"),
        (objects, "objects instead of numbers"),
        (halved, "is damaged"),
        (flipped, "is damaged"),
    ],
)
def test_what_cannot_be_read_is_named(make: Callable[[Path], None], text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    make(path)
    with pytest.raises(NpzError, match=rf"a\.npz .*{text}"):
        read_npz(path)
