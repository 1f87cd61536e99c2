"""Features of sound: those of librosa, on the clock, and the same in a stream as in a recording."""

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.perception.audio_features import FeatureStream, features_of
from hmgen_ros.types.sound import HOP, KINDS, LOOK_AHEAD_S, SOUND_RATE, TICK_SAMPLES, WINDOW, Kind


def noise(ticks: int, seed: int = 0) -> np.ndarray:
    """Sound that swells and fades."""
    rng = np.random.default_rng(seed)
    samples = ticks * TICK_SAMPLES
    return (0.1 * rng.standard_normal(samples) * np.sin(np.arange(samples) / 3000.0)).astype(np.float32)


def test_they_are_those_of_librosa() -> None:
    sound = noise(20)
    padded = np.pad(sound, (120, 120))
    settings = {"sr": SOUND_RATE, "n_fft": WINDOW, "hop_length": HOP, "center": False}
    for kind, bands in (("mfcc", 40), ("logmel", 26)):
        power = librosa.feature.melspectrogram(y=padded, n_mels=bands, **settings)
        expected = librosa.power_to_db(power, amin=1e-8, top_db=None)
        if kind == "mfcc":
            expected = librosa.feature.mfcc(S=expected, n_mfcc=26)
        found = features_of(sound, kind)  # type: ignore[arg-type]
        assert found.shape == (20, 4, 26)
        np.testing.assert_allclose(found.reshape(80, 26), expected.T, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_on_the_clock(kind: Kind) -> None:
    """A click is heard in the windows around it."""
    sound = np.zeros(640 * 10, np.float32)
    sound[640 * 6 + 80] = 1.0  # the middle of the first window of tick 6
    found = features_of(sound, kind).reshape(40, 26)
    change = np.abs(found - found[0]).sum(axis=1)
    assert change.argmax() in (23, 24, 25)
    assert not change[:22].any()
    assert not change[27:].any()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2000), max_size=12), st.integers(1, 12), st.sampled_from(KINDS))
def test_a_stream_is_a_recording(sizes: list[int], ticks: int, kind: Kind) -> None:
    sound, stream, parts, first = noise(ticks, ticks), FeatureStream(kind), [], 0
    for size in [*sizes, len(sound)]:
        parts.append(stream.feed(sound[first : first + size]))
        first = min(len(sound), first + size)
        # Everything that can be known is known.
        assert sum(map(len, parts)) == max(0, first - round(LOOK_AHEAD_S * SOUND_RATE)) // TICK_SAMPLES
    found = np.concatenate([*parts, stream.finish()])
    # Bit for bit: however sound arrives, perception sees the same.
    np.testing.assert_array_equal(found, features_of(sound, kind))
    # And it begins anew.
    assert len(stream.finish()) == 0
    again = np.concatenate([stream.feed(sound), stream.finish()])
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("kind", KINDS)
def test_silence_and_full_scale_are_finite(kind: Kind) -> None:
    for sound in (np.zeros(1280, np.float32), np.ones(1280, np.float32), np.resize([1.0, -1.0], 1280)):
        found = features_of(sound.astype(np.float32), kind)
        assert np.isfinite(found).all()


def test_bad_sound() -> None:
    for wrong in (np.zeros(0, np.float32), np.zeros(700, np.float32), np.zeros((640, 2), np.float32)):
        with pytest.raises(ValueError, match="whole ticks"):
            features_of(wrong, "mfcc")
    broken = noise(2)
    broken[5] = np.nan
    with pytest.raises(ValueError, match="finite"):
        features_of(broken, "mfcc")
    stream = FeatureStream("logmel")
    with pytest.raises(ValueError, match="finite"):
        stream.feed(broken)
    with pytest.raises(ValueError, match="one channel"):
        stream.feed(np.zeros((640, 2), np.float32))
    # Nothing of it was taken in.
    assert len(stream.feed(noise(1))) == 0
    assert len(stream.finish()) == 1
    with pytest.raises(ValueError, match="no features 'plp'"):
        FeatureStream("plp")  # type: ignore[arg-type]
