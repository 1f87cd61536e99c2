"""Sound of any format to contiguous mono 16 kHz with true stamps."""

from itertools import pairwise

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.streams.audio import AudioNormaliser, BadAudio, to_mono

T0 = 1_700_000_000_000_000_000
MS = 1_000_000


def noise(rate, seconds, seed=0):
    # Band-limited below 3 kHz, so that every rate from 8 kHz on can carry it.
    base = np.random.default_rng(seed).normal(size=int(6000 * seconds)) * 0.1
    return soxr.resample(base, 6000, rate).astype(np.float32)


def feed(normaliser, signal, rate, block, start=T0):
    """Pieces that come out of a signal fed in blocks with exact stamps."""
    out = []
    for i in range(0, len(signal), block):
        piece = normaliser.accept(start + i * 10**9 // rate, signal[i : i + block], rate)
        if piece is not None:
            out.append(piece)
    return out


def joined(pieces):
    return np.concatenate([piece.chunk.samples for piece in pieces])


def assert_contiguous(pieces, tolerance_ns=100_000):
    for before, after in pairwise(pieces):
        assert abs(after.chunk.stamp_ns - before.chunk.end_ns) <= tolerance_ns


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000, 192000])
@pytest.mark.parametrize("block_ms", [7, 40])
def test_streaming_equals_batch(rate, block_ms):
    signal = noise(rate, 1.5)
    normaliser = AudioNormaliser()
    pieces = feed(normaliser, signal, rate, rate * block_ms // 1000)
    tail = normaliser.flush()
    pieces += [tail] if tail else []
    np.testing.assert_allclose(joined(pieces), soxr.resample(signal, rate, 16000), atol=1e-6)
    assert [piece.reset for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert_contiguous(pieces)
    assert normaliser.counts.values == {}


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 192000])
@pytest.mark.parametrize("quality", ["HQ", "LQ"])
def test_a_click_keeps_its_time_within_two_milliseconds(rate, quality):
    signal = np.zeros(rate, np.float32)
    signal[int(0.6180 * rate)] = 1.0
    normaliser = AudioNormaliser(quality=quality)
    pieces = [*feed(normaliser, signal, rate, rate // 25), normaliser.flush()]
    loudest = max(pieces, key=lambda piece: np.abs(piece.chunk.samples).max())
    at_ns = loudest.chunk.stamp_ns + int(np.abs(loudest.chunk.samples).argmax()) * 10**9 // 16000
    assert abs(at_ns - T0 - 618 * MS) < 0.1 * MS


@pytest.mark.parametrize("rate", [44100, 48000])
def test_live_sound_is_held_back_for_at_most_one_tick(rate):
    normaliser = AudioNormaliser()
    block = rate // 25
    for i, start in enumerate(range(0, rate * 2, block)):
        stamp = T0 + start * 10**9 // rate
        piece = normaliser.accept(stamp, np.zeros(block, np.float32), rate)
        if i > 2:
            assert piece is not None
            assert stamp + 40 * MS - piece.chunk.end_ns <= 41 * MS


@pytest.mark.parametrize(
    ("dtype", "scale", "zero"),
    [("int16", 32768, 0), ("int32", 2**31, 0), ("uint8", 128, 128), ("float64", 1, 0)],
)
def test_every_sample_format_means_the_same(dtype, scale, zero):
    wave = np.sin(np.linspace(0, 20, 500)) * 0.5
    coded = (wave * scale + zero).astype(dtype)
    np.testing.assert_allclose(to_mono(coded), wave, atol=2 / 256 if dtype == "uint8" else 1e-4)


def test_channels_are_averaged_interleaved_or_not():
    left, right = noise(16000, 0.1), noise(16000, 0.1, seed=1)
    frames = np.stack([left, right], axis=1)
    expected = (left + right) / 2
    np.testing.assert_allclose(to_mono(frames), expected, atol=1e-7)
    np.testing.assert_allclose(to_mono(frames.reshape(-1), 2), expected, atol=1e-7)
    normaliser = AudioNormaliser()
    piece = normaliser.accept(T0, frames.reshape(-1), 16000, channels=2)
    np.testing.assert_allclose(piece.chunk.samples, expected, atol=1e-7)


def test_a_small_hole_is_filled_with_zeros_of_its_length():
    signal = noise(16000, 1.0)
    normaliser = AudioNormaliser()
    before = feed(normaliser, signal[:3200], 16000, 640)
    after = feed(normaliser, signal[6400:], 16000, 640, T0 + 400 * MS)
    out = joined(before + after)
    assert normaliser.counts.values == {"audio_gap": 3200}
    np.testing.assert_array_equal(out[3200:6400], 0)
    np.testing.assert_array_equal(out[6400:], signal[6400:])
    assert_contiguous(before + after)
    assert not any(piece.reset for piece in after)


@pytest.mark.parametrize(("jump_s", "cause"), [(1.5, "audio_reset_gap"), (-3.0, "audio_reset_backward")])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_long_holes_and_jumps_back_reset(jump_s, cause, rate):
    signal = noise(rate, 0.4)
    normaliser = AudioNormaliser()
    feed(normaliser, signal, rate, rate // 25)
    start = T0 + int((0.4 + jump_s) * 1e9)
    after = feed(normaliser, signal, rate, rate // 25, start)
    assert [piece.reset for piece in after] == [True] + [False] * (len(after) - 1)
    assert after[0].chunk.stamp_ns == start
    np.testing.assert_allclose(joined(after)[:1000], soxr.resample(signal, rate, 16000)[:1000], atol=1e-5)
    assert normaliser.counts.values == {cause: 1}


def test_repeats_are_trimmed_or_dropped():
    signal = noise(16000, 1.0)
    normaliser = AudioNormaliser()
    pieces = feed(normaliser, signal[:6400], 16000, 640)
    assert normaliser.accept(T0 + 360 * MS, signal[5760:6400], 16000) is None
    overlap = normaliser.accept(T0 + 350 * MS, signal[5600:7200], 16000)
    pieces += [overlap, *feed(normaliser, signal[7200:], 16000, 640, T0 + 450 * MS)]
    np.testing.assert_array_equal(joined(pieces), signal)
    assert normaliser.counts.values == {"audio_duplicate": 1, "audio_overlap": 800}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), jitter_ms=st.floats(0, 12))
def test_jitter_changes_neither_samples_nor_stamps(seed, jitter_ms):
    signal = noise(16000, 2.0)
    jitter = np.random.default_rng(seed).uniform(-jitter_ms, jitter_ms, 50) * MS
    jitter[0] = 0
    normaliser = AudioNormaliser()
    for i in range(50):
        piece = normaliser.accept(T0 + i * 40 * MS + int(jitter[i]), signal[i * 640 : i * 640 + 640], 16000)
        assert piece.chunk.stamp_ns == T0 + i * 40 * MS
        np.testing.assert_array_equal(piece.chunk.samples, signal[i * 640 : i * 640 + 640])
    assert normaliser.counts.values == {}


@pytest.mark.parametrize("skew", [3e-4, -3e-4])
def test_a_drifting_sound_card_is_followed_slowly(skew):
    normaliser = AudioNormaliser()
    worst, last_stamp = 0.0, None
    for i in range(25 * 600):
        true = T0 + int(i * 40 * MS * (1 + skew))
        piece = normaliser.accept(true, np.zeros(640, np.float32), 16000)
        worst = max(worst, abs(piece.chunk.stamp_ns - true) / MS)
        if last_stamp is not None:
            assert abs(piece.chunk.stamp_ns - last_stamp - 40 * MS) <= 0.25 * MS
        last_stamp = piece.chunk.stamp_ns
    assert worst < 22
    assert normaliser.counts.values == {}


def test_a_change_of_format_goes_on_without_a_hole():
    tone = {
        rate: np.sin(2 * np.pi * 300 * np.arange(rate) / rate).astype(np.float32) for rate in (48000, 44100)
    }
    normaliser = AudioNormaliser()
    pieces = feed(normaliser, tone[48000], 48000, 1920)
    pieces += feed(normaliser, tone[44100], 44100, 1764, T0 + 10**9)
    pieces.append(normaliser.accept(T0 + 2 * 10**9, np.zeros((1764, 2), np.int16), 44100))
    assert normaliser.counts.values == {"audio_format_change": 2}
    assert sum(piece.reset for piece in pieces) == 1
    assert_contiguous(pieces)
    out = joined(pieces)[:31000]
    expected = np.sin(2 * np.pi * 300 * np.arange(len(out)) / 16000)
    seam = slice(15900, 16100)
    assert np.abs(np.delete(out - expected, seam)).max() < 0.02
    assert np.abs((out - expected)[seam]).max() < 0.5


def test_nan_and_overload_are_repaired_and_counted():
    signal = noise(16000, 0.04)
    signal[3], signal[5], signal[7], signal[9] = np.nan, np.inf, -np.inf, -4.0
    normaliser = AudioNormaliser()
    out = normaliser.accept(T0, signal, 16000).chunk.samples
    assert list(out[[3, 5, 7, 9]]) == [0, 0, 0, -1]
    assert normaliser.counts.values == {"audio_nonfinite": 3, "audio_clipped": 1}


@pytest.mark.parametrize(
    ("cause", "samples", "rate", "channels", "stamp"),
    [
        ("audio_empty", np.zeros(0, np.int16), 16000, 1, T0),
        ("audio_rate", np.zeros(640, np.int16), 0, 1, T0),
        ("audio_rate", np.zeros(640, np.int16), 400_000, 1, T0),
        ("audio_channels", np.zeros(640, np.int16), 16000, 0, T0),
        ("audio_channels", np.zeros((640, 0), np.int16), 16000, 1, T0),
        ("audio_length", np.zeros(641, np.int16), 16000, 2, T0),
        ("audio_format", np.zeros(640, np.complex64), 16000, 1, T0),
        ("audio_format", np.zeros((2, 2, 2), np.int16), 16000, 1, T0),
        ("audio_unstamped", np.zeros(640, np.int16), 16000, 1, 0),
        ("audio_future", np.zeros(640, np.int16), 16000, 1, T0 + 5 * 10**9),
    ],
)
def test_unusable_sound_is_refused_by_name_and_the_stream_goes_on(cause, samples, rate, channels, stamp):
    signal = noise(16000, 0.08)
    normaliser = AudioNormaliser()
    pieces = [normaliser.accept(T0, signal[:640], 16000)]
    with pytest.raises(BadAudio) as caught:
        normaliser.accept(stamp, samples, rate, channels, now_ns=T0)
    assert caught.value.cause == cause
    pieces.append(normaliser.accept(T0 + 40 * MS, signal[640:], 16000))
    np.testing.assert_array_equal(joined(pieces), signal)
    assert not pieces[1].reset


def test_flush_of_a_stream_that_never_began_gives_nothing():
    assert AudioNormaliser().flush() is None
