"""Images at other sizes: as OpenCV would average them, whatever the sizes."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmgen_ros.perception.shrinking import shrunk

SIZES = st.integers(1, 300)


@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 255))
def test_a_plain_image_stays_plain_at_any_size(
    height: int, width: int, to_height: int, to_width: int, grey: int
) -> None:
    small = shrunk(np.full((height, width, 3), grey, np.uint8), to_width, to_height)
    assert small.shape == (to_height, to_width, 3)
    assert small.dtype == np.uint8
    assert (small == grey).all()


@pytest.mark.parametrize("size", [(640, 480), (641, 479), (960, 400), (1920, 1080), (400, 960)])
def test_it_is_the_average_that_opencv_takes_longer_for(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    scale = 192 / max(size)
    # Nothing finer than two pixels of the result: there, averages of averages differ from averages.
    image = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2 / scale), None, 0, 255, cv2.NORM_MINMAX)
    to = (round(size[0] * scale), round(size[1] * scale))
    difference = np.abs(shrunk(image, *to).astype(int) - cv2.resize(image, to, interpolation=cv2.INTER_AREA))
    assert difference.mean() < 1.5
    assert difference.max() < 15
