"""Files of arrays by strangers: what is there is read, and every damage is one error that names the file."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hmgen_ros.data.npz_file import NpzError, NpzMissing, read_npz


def test_every_array_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, one=np.arange(6).reshape(2, 3), other=np.float32(0.5))
    found = read_npz(path)
    assert set(found) == {"one", "other"}
    np.testing.assert_array_equal(found["one"], [[0, 1, 2], [3, 4, 5]])
    assert found["other"] == 0.5


def test_what_is_no_array_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, eyes=np.zeros(3))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("lm", b"no array")
    assert set(read_npz(path)) == {"eyes"}


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


def headed(header: bytes) -> Callable[[Path], None]:
    """A member whose header is this one."""

    def make(path: Path) -> None:
        padded = header + b"\n"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("eyes.npy", b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded)

    return make


_HUGE = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%s,)}"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.mkdir(), "cannot be opened"),
        (headed(_HUGE % b"999999999999"), "is damaged"),
        (headed(_HUGE % (b"9" * 26)), "is damaged"),
        (headed(b"{'descr': ('<f8'"), "is damaged"),
        (headed(b"{[]: 1}"), "is damaged"),
        (headed(b" x\n  y"), "is damaged"),
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


def test_a_file_that_is_not_there_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NpzMissing, match=r"there is no .*a\.npz; copy it"):
        read_npz(tmp_path / "a.npz")
    with pytest.raises(NpzError, match="cannot be opened"):
        read_npz(tmp_path / ("a" * 300))
