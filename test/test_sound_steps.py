"""Features of running sound by time: the same however it is cut, with holes where there was none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talking_faces import TICK_SAMPLES, chunk, effort, voice

from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.perception.sound_steps import STEP_NS, SoundSteps
from hmgen_ros.types import TICK_NS

FOREVER = 2**62


def steps(remembered_s: float = 60.0) -> SoundSteps:
    return SoundSteps("mfcc", lambda: lambda tick: tick, remembered_s)


def feed(sound: SoundSteps, samples: np.ndarray, sizes=(TICK_SAMPLES,), begin: int = 0) -> None:
    first, i = 0, 0
    while first < len(samples):
        size = sizes[i % len(sizes)]
        sound.push(chunk(begin + first, samples[first : first + size]))
        first, i = first + size, i + 1


SOUND = voice(effort(100, 3))


@settings(max_examples=25)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=5))
def test_windows_are_features_of_the_recording_however_it_is_cut(sizes: list[int]) -> None:
    sound = steps()
    feed(sound, SOUND, sizes)
    expected = features_of(SOUND, "mfcc").reshape(-1, 26)
    for first in (0, 7, 200, 370):
        found = sound.window(first * STEP_NS, 20)
        np.testing.assert_allclose(found, expected[first : first + 20], atol=1e-3)
        # The nearest step counts.
        np.testing.assert_array_equal(sound.window(first * STEP_NS + STEP_NS // 3, 20), found)
    assert sound.window(-2 * STEP_NS, 20) is None
    assert sound.window(390 * STEP_NS, 20) is None


def test_what_is_known_is_a_matter_of_stamps() -> None:
    """Not of arrival: the last tick looks 7.5 ms ahead."""
    sound = steps()
    feed(sound, SOUND)
    begin, known = 40 * STEP_NS, 15 * TICK_NS + 7_500_000
    assert not sound.known(begin, 20, known - 1)
    assert sound.known(begin, 20, known)
    assert not sound.known(99 * TICK_NS, 4, FOREVER)  # the last tick wants sound that never came


def test_a_gap_is_a_hole() -> None:
    sound = steps()
    feed(sound, SOUND[: 50 * TICK_SAMPLES])
    feed(sound, SOUND[70 * TICK_SAMPLES :], begin=70 * TICK_SAMPLES)
    for tick in (46, 50, 60, 68):
        assert sound.known(tick * TICK_NS, 20, FOREVER)
        assert sound.window(tick * TICK_NS, 20) is None
    assert sound.window(40 * TICK_NS, 20) is not None
    assert sound.window(70 * TICK_NS, 20) is not None


def test_a_jump_back_forgets() -> None:
    sound, fresh = steps(), steps()
    feed(sound, SOUND)
    feed(sound, SOUND[: 20 * TICK_SAMPLES])
    feed(fresh, SOUND[: 20 * TICK_SAMPLES])
    np.testing.assert_array_equal(sound.window(0, 40), fresh.window(0, 40))
    assert sound.window(30 * TICK_NS, 20) is None


def test_only_the_last_seconds_are_kept() -> None:
    sound = steps(remembered_s=1.0)
    feed(sound, SOUND)
    assert sound.window(0, 4) is None
    assert sound.window(90 * TICK_NS, 4) is not None
    sound.reset()
    assert sound.window(90 * TICK_NS, 4) is None


def test_bad_sound_is_refused_or_silenced() -> None:
    sound = steps()
    with pytest.raises(ValueError, match="mono"):
        sound.push(chunk(0, np.zeros((640, 2), np.float32)))
    broken = SOUND.copy()
    broken[1000:1100] = np.nan
    feed(sound, broken)
    assert np.isfinite(sound.window(0, 300)).all()
