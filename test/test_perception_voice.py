"""The voice timeline: real speech, cuts, gaps, jumps."""

import math

import av
import numpy as np
import pytest

from hmgen_ros.perception import voice as voice_module
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.perception.voice import WINDOW, VoiceActivity
from hmgen_ros.resources import resource
from hmgen_ros.types import AudioChunk, Counts

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """12 s of the bundled conversation; somebody has begun to speak by then."""
    parts = []
    with av.open(str(resource("recordings/three_people.mp4"))) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        for frame in container.decode(audio=0):
            parts += [f.to_ndarray()[0] for f in resampler.resample(frame)]
            if sum(map(len, parts)) >= 12 * SAMPLE_RATE:
                break
    return np.concatenate(parts)[: 12 * SAMPLE_RATE].astype(np.float32)


def push(voice: VoiceActivity, samples: np.ndarray, start_ns: int = 0, size: int = 640) -> None:
    for i in range(0, len(samples), size):
        voice.push(AudioChunk(start_ns + i * SECOND // SAMPLE_RATE, samples[i : i + size], SAMPLE_RATE))


def timeline(voice: VoiceActivity, seconds: float, start_ns: int = 0) -> np.ndarray:
    return np.array([voice.probability_at(start_ns + k * 40_000_000) for k in range(int(seconds * 25))])


def test_hears_speech_and_not_noise(speech):
    voice = VoiceActivity()
    push(voice, speech)
    talking = timeline(voice, 12)
    assert np.nanmax(talking) > 0.9
    assert 0.1 < np.nanmean(talking > 0.5) < 0.95
    quiet = VoiceActivity()
    push(quiet, np.random.default_rng(0).normal(0, 0.03, 3 * SAMPLE_RATE).astype(np.float32))
    assert np.nanmax(timeline(quiet, 3)[10:]) < 0.5


def test_equals_the_packages_own_wrapper(speech):
    torch = pytest.importorskip("torch")
    from silero_vad import load_silero_vad

    model = load_silero_vad(onnx=True)
    windows = speech[: 100 * WINDOW].reshape(-1, WINDOW)
    expected = [model(torch.from_numpy(w.copy()), SAMPLE_RATE).item() for w in windows]
    voice = VoiceActivity()
    push(voice, speech[: 100 * WINDOW])
    got = [voice.probability_at((k + 1) * WINDOW * SECOND // SAMPLE_RATE) for k in range(100)]
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 160, 512, 1000, 48_000])
def test_the_cut_into_chunks_does_not_matter(speech, size):
    samples = speech[: 1 * SAMPLE_RATE] if size == 1 else speech[: 4 * SAMPLE_RATE]
    voices = VoiceActivity(), VoiceActivity()
    push(voices[0], samples, 123_456_789)
    push(voices[1], samples, 123_456_789, size)
    a, b = (timeline(v, len(samples) / SAMPLE_RATE, 123_456_789) for v in voices)
    np.testing.assert_array_equal(a, b)


def test_answers_come_from_the_past_only(speech):
    voice = VoiceActivity()
    push(voice, speech[: 2 * SAMPLE_RATE])
    early = timeline(voice, 2)
    push(voice, speech[2 * SAMPLE_RATE : 4 * SAMPLE_RATE], 2 * SECOND)
    np.testing.assert_array_equal(timeline(voice, 2), early)


def test_nan_before_sound_and_long_after_it(speech):
    voice = VoiceActivity()
    assert math.isnan(voice.probability_at(0))
    push(voice, speech[:SAMPLE_RATE])
    assert math.isnan(voice.probability_at(31_000_000))
    assert not math.isnan(voice.probability_at(32_000_000))
    assert not math.isnan(voice.probability_at(SECOND + 400_000_000))
    assert math.isnan(voice.probability_at(2 * SECOND))


def test_levels_are_root_mean_squares_of_the_newest_windows():
    voice = VoiceActivity()
    push(voice, np.repeat(np.float32([0.1, 0.2, 0.3, 0.4]), WINDOW))
    np.testing.assert_allclose(voice.levels_until(100_000_000, 2), [0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(voice.levels_until(200_000_000, 9), [0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    assert len(voice.levels_until(31_000_000, 2)) == 0
    assert len(voice.levels_until(2 * SECOND, 2)) == 0


def test_a_gap_starts_the_model_anew_and_is_counted(speech):
    counts = Counts()
    voice, fresh = VoiceActivity(counts), VoiceActivity()
    push(voice, speech[: 2 * SAMPLE_RATE])
    push(voice, speech[: 2 * SAMPLE_RATE], 10 * SECOND)
    push(fresh, speech[: 2 * SAMPLE_RATE], 10 * SECOND)
    assert counts["audio_gaps"] == 1
    np.testing.assert_array_equal(timeline(voice, 2, 10 * SECOND), timeline(fresh, 2, 10 * SECOND))


def test_a_jump_back_forgets_the_old_timeline(speech):
    counts = Counts()
    voice, fresh = VoiceActivity(counts), VoiceActivity()
    push(voice, speech)
    push(voice, speech[:SAMPLE_RATE])
    push(fresh, speech[:SAMPLE_RATE])
    assert counts["audio_jumps_back"] == 1
    np.testing.assert_array_equal(timeline(voice, 12), timeline(fresh, 12))


def test_repeated_and_overlapping_chunks_are_heard_once(speech):
    counts = Counts()
    voice, plain = VoiceActivity(counts), VoiceActivity()
    push(plain, speech[:SAMPLE_RATE])
    for i in range(0, SAMPLE_RATE, 640):
        chunk = AudioChunk(i * SECOND // SAMPLE_RATE, speech[i : i + 640], SAMPLE_RATE)
        voice.push(chunk)
        voice.push(chunk)
    assert counts["audio_overlaps"] == 25
    np.testing.assert_array_equal(timeline(voice, 1), timeline(plain, 1))


def test_jittering_and_drifting_stamps_are_followed(speech):
    counts = Counts()
    voice = VoiceActivity(counts)
    rng = np.random.default_rng(0)
    for i in range(0, 6 * SAMPLE_RATE, 640):
        stamp = int(i * SECOND / SAMPLE_RATE * 1.001 + rng.normal(0, 2_000_000))
        voice.push(AudioChunk(stamp, speech[i : i + 640], SAMPLE_RATE))
    assert counts.values == {}
    assert not math.isnan(voice.probability_at(6 * SECOND))


def test_bad_samples_are_counted_and_do_no_harm(speech):
    counts = Counts()
    voice = VoiceActivity(counts)
    spoilt = speech[:SAMPLE_RATE].copy()
    spoilt[100:110] = np.nan
    push(voice, spoilt)
    push(voice, speech[SAMPLE_RATE : 6 * SAMPLE_RATE], SECOND)
    assert counts["audio_bad_samples"] == 10
    assert np.nanmax(timeline(voice, 6)) > 0.9


def test_other_rates_and_shapes_are_refused_by_name():
    voice = VoiceActivity()
    with pytest.raises(ValueError, match="44100"):
        voice.push(AudioChunk(0, np.zeros(100, np.float32), 44_100))
    with pytest.raises(ValueError, match="mono"):
        voice.push(AudioChunk(0, np.zeros((100, 2), np.float32), SAMPLE_RATE))


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(voice_module.VoiceModel, "__call__", lambda self, window: 0.5)
    voice = VoiceActivity()
    push(voice, np.zeros(120 * SAMPLE_RATE, np.float32), size=SAMPLE_RATE)
    assert len(voice._ends) == len(voice._values) == voice_module.REMEMBERED
    assert len(voice._pending) < WINDOW


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(voice_module, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install silero-vad"):
        VoiceActivity()
