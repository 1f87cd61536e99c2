"""Hand labels: what .pts files say, which image they belong to, and what is wrong with bad ones."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.landmark_points import labelled_images, read_points

FACE = np.random.default_rng(0).uniform(10, 200, (68, 2))


def text(points: np.ndarray, head: str = "version: 1\nn_points: 68\n{\n", end: str = "}\n") -> str:
    return head + "".join(f"{x:.6f} {y:.6f}\n" for x, y in points) + end


@settings(max_examples=20, deadline=None)
@given(
    arrays(np.float64, (68, 2), elements=st.floats(-500, 5000)),
    st.sampled_from(
        ["version: 1\nn_points: 68\n{\n", "version: 1\r\nn_points:  68\r\n{\r\n", "{", "n_points:68 {\n"]
    ),
    st.sampled_from([0.0, 1.0]),
)
def test_points_are_read_back_and_the_first_pixel_is_0(
    tmp_path_factory: pytest.TempPathFactory, points: np.ndarray, head: str, first: float
) -> None:
    points[45] = points[36] + 20  # eyes must not be in one place
    path = tmp_path_factory.mktemp("pts") / "a.pts"
    path.write_text(text(points, head))
    np.testing.assert_allclose(read_points(path, first), points - first, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "braces"),
        (text(FACE[:67], "n_points: 67\n{\n"), "67 lines"),
        (text(FACE[:60]), "declares 68 points and has 60"),
        (text(FACE[:67], end="1 2 3\n}"), "two numbers"),
        (text(FACE).replace("}", ""), "braces"),
        (text(FACE, "n_points: 69\n{\n", end="1 2\n}"), "69 lines"),
        (text(FACE[:67], end="left right\n}"), "no number"),
        (text(np.full((68, 2), 5.0)), "one place"),
        (text(FACE[:67], end="nan 4\n}"), "not finite"),
        (b"\xff\xfe\x00\x01{", "as text"),
    ],
)
def test_bad_files_are_named_with_the_reason(tmp_path: Path, content: str | bytes, reason: str) -> None:
    path = tmp_path / "bad.pts"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CorpusError, match=reason) as caught:
        read_points(path)
    assert "bad.pts" in str(caught.value)


def test_labels_find_their_images_by_name(tmp_path: Path) -> None:
    names = ["a.jpg", "a.pts", "group.PNG", "group_1.pts", "group_face2.pts", "group-3.PTS", "sub/x_1.bmp"]
    names += ["sub/x_1.pts", "sub/x_1_2.pts", "alone.pts", "a_deep/alone.jpg", "unlabelled.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, alone, unlabelled = labelled_images(tmp_path)
    assert {item.image.name: [label.name for label in item.labels] for item in found} == {
        "a.jpg": ["a.pts"],
        "group.PNG": ["group-3.PTS", "group_1.pts", "group_face2.pts"],
        "x_1.bmp": ["x_1.pts", "x_1_2.pts"],
    }
    assert [path.name for path in alone] == ["alone.pts"]
    assert sorted(path.name for path in unlabelled) == ["alone.jpg", "unlabelled.jpg"]


def test_folders_without_labels_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(CorpusError, match=r"no \.pts file"):
        labelled_images(tmp_path)
    with pytest.raises(CorpusError, match="nowhere is no folder"):
        labelled_images(tmp_path / "nowhere")
