"""The robot's own sound: placed in time, given out in ticks that are due; a voice begins and ends."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perception_scene import RATE
from robot_heads import START_NS, Piece, as_played, at_once, cut, send, utterance

from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.perception.own_speech import VOICE, OwnSpeech, SpeechTick
from hmgen_ros.perception.speech_queue import MAX_AHEAD_S, SpeechQueue
from hmgen_ros.streams.audio import BadAudio
from hmgen_ros.types import TICK_NS
from hmgen_ros.types.sound import TICK_SAMPLES

SECOND = 1_000_000_000


def heard(speech: OwnSpeech, pieces: list[Piece], ticks: int, jitter_ns: int = 0) -> list[list[SpeechTick]]:
    """What is due at each tick."""
    left, found, rng = list(pieces), [], np.random.default_rng(0)
    for tick in range(ticks):
        now = START_NS + tick * TICK_NS + int(rng.integers(-jitter_ns, jitter_ns + 1))
        send(speech.queue, left, now)
        found.append(speech.due(now + TICK_NS))
    return found


def all_of(found: list[list[SpeechTick]]) -> list[SpeechTick]:
    return [tick for due in found for tick in due]


# -- the queue -----------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=5), most=st.integers(1, 3000))
def test_all_sound_comes_out_in_order(sizes: list[int], most: int) -> None:
    queue, sound = SpeechQueue(), np.random.default_rng(0).uniform(-1, 1, 20_000).astype(np.float32)
    send(queue, at_once(sound, sizes, START_NS), START_NS)
    assert queue.pending == len(sound)
    assert queue.end_ns == pytest.approx(START_NS + len(sound) * 62_500, abs=10)
    taken = []
    while queue.pending:
        taken.append(queue.take(most))
    np.testing.assert_array_equal(np.concatenate(taken), sound)
    assert not len(queue.take(most))
    assert not queue.counts.values


def test_pieces_that_are_stamped_when_they_are_sent_follow_each_other() -> None:
    """A sentence in pieces of 20 ms, sent within milliseconds, and twice with the same stamp."""
    queue, sound = SpeechQueue(), utterance()
    for number, (_, part) in enumerate(cut(sound, [320])):
        stamp = START_NS + number // 2 * 1_000_000
        queue.accept(stamp, part, RATE, 1, stamp)
    np.testing.assert_array_equal(queue.take(len(sound)), sound)
    assert queue.end_ns == pytest.approx(START_NS + len(sound) * 62_500, abs=1_000_000)
    assert not queue.counts.values


def test_gaps_are_silence_and_counted() -> None:
    queue, part = SpeechQueue(), np.full(1600, 0.5, np.float32)
    queue.accept(START_NS, part, RATE, 1, START_NS)
    queue.accept(START_NS + 3 * SECOND, part, RATE, 1, START_NS)
    sound = queue.take(10 * RATE)
    assert len(sound) == 3 * RATE + 1600
    assert not sound[1600 : 3 * RATE].any()
    assert queue.counts["audio_gap"] == 3 * RATE - 1600


def test_odd_stamps_are_counted() -> None:
    queue, part = SpeechQueue(), np.full(1600, 0.5, np.float32)
    queue.accept(START_NS - SECOND, part, RATE, 1, START_NS)
    assert queue.counts["speech_late"] == 1
    assert queue.end_ns == START_NS + 100_000_000  # from its arrival on
    queue.accept(START_NS - 2 * SECOND, part, RATE, 1, START_NS)
    assert queue.counts["speech_stamp_backwards"] == 1
    assert queue.end_ns == START_NS + 200_000_000
    assert queue.pending == 3200


def test_what_is_too_far_ahead_is_dropped_and_counted() -> None:
    queue, minute = SpeechQueue(), np.zeros(int(MAX_AHEAD_S) * RATE, np.float32)
    queue.accept(START_NS, np.zeros(RATE, np.float32), RATE, 1, START_NS)
    queue.accept(START_NS, minute, RATE, 1, START_NS)
    assert queue.pending == len(minute)
    assert queue.counts["speech_dropped"] == RATE
    queue.accept(START_NS, minute, RATE, 1, START_NS)
    assert queue.pending == len(minute)
    assert queue.counts["speech_dropped"] == RATE + len(minute)
    queue.take(RATE)
    queue.accept(START_NS, minute, RATE, 1, START_NS + SECOND)
    assert queue.pending == len(minute)


def test_simulated_time_that_has_not_begun_drops_nothing() -> None:
    queue = SpeechQueue()
    queue.accept(START_NS, np.zeros(RATE, np.float32), RATE, 1, 0)
    assert queue.pending == RATE
    assert not queue.counts.values


@pytest.mark.parametrize(
    ("cause", "changes"),
    [
        ("audio_rate", {"rate": 4000}),
        ("audio_rate", {"rate": 0}),
        ("audio_channels", {"channels": 0}),
        ("audio_length", {"channels": 3}),
        ("audio_empty", {"samples": np.zeros(0, np.int16)}),
        ("audio_format", {"samples": np.zeros(10, np.int8)}),
        ("audio_unstamped", {"stamp_ns": 0}),
        ("audio_future", {"stamp_ns": START_NS + 61 * SECOND}),
    ],
)
def test_bad_sound_is_refused_with_its_cause(cause: str, changes: dict) -> None:
    queue = SpeechQueue()
    good = {"stamp_ns": START_NS, "samples": np.zeros(100, np.int16), "rate": RATE, "channels": 1}
    with pytest.raises(BadAudio) as raised:
        queue.accept(**{**good, **changes}, now_ns=START_NS)
    assert raised.value.cause == cause
    assert queue.empty
    queue.accept(**good, now_ns=START_NS)
    assert queue.pending == 100


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_of_any_rate_is_as_long_as_it_was(rate: int, channels: int) -> None:
    queue = SpeechQueue()
    tone = np.sin(np.arange(2 * rate) * 2 * np.pi * 440 / rate)
    pcm = np.repeat((20_000 * tone).astype(np.int16), channels)
    for at, part in cut(pcm, [channels * 441]):
        stamp = START_NS + at // channels * SECOND // rate
        queue.accept(stamp, part, rate, channels, START_NS)
    # What the resampler holds back comes with what follows.
    assert 2 * RATE - 0.1 * RATE <= queue.pending <= 2 * RATE
    assert queue.end_ns == pytest.approx(START_NS + queue.pending * 62_500, abs=1_000)
    assert np.abs(queue.take(2 * RATE)).max() == pytest.approx(20_000 / 32_768, abs=0.02)
    assert not queue.counts.values


@pytest.mark.parametrize("drift", [0.004, -0.004])
def test_time_follows_stamps_that_drift(drift: float) -> None:
    """Two minutes: half a second apart if it did not."""
    queue, part = SpeechQueue(), np.zeros(TICK_SAMPLES, np.float32)
    for tick in range(3000):
        stamp = START_NS + round(tick * TICK_NS * (1 + drift))
        queue.accept(stamp, part, RATE, 1, stamp)
        queue.take(TICK_SAMPLES)
    assert queue.end_ns == pytest.approx(stamp + TICK_NS, abs=30_000_000)
    assert not queue.counts.values


# -- ticks ---------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=4), look_ahead=st.integers(0, 4))
def test_what_is_due_does_not_depend_on_how_sound_is_cut(sizes: list[int], look_ahead: int) -> None:
    sound, begin = utterance(1.6), START_NS + 3 * TICK_NS + 7_000_000
    whole, parts = OwnSpeech("mfcc", look_ahead), OwnSpeech("mfcc", look_ahead)
    expected = heard(whole, at_once(sound, [len(sound)], begin), 60)
    found = heard(parts, at_once(sound, sizes, begin), 60)
    assert [len(due) for due in found] == [len(due) for due in expected]
    for one, other in zip(all_of(found), all_of(expected), strict=True):
        np.testing.assert_array_equal(one.features, other.features)
        assert (one.voice, one.speaking) == (other.voice, other.speaking)


def test_a_sentence_that_is_known_is_due_at_its_stamps() -> None:
    sound, ahead = utterance(), 3
    speech, begin = OwnSpeech("logmel", ahead), START_NS + 10 * TICK_NS + 12_000_000
    found = heard(speech, [(begin, sound, START_NS)], 130)
    # Its first tick is due when the head moves within it, and by what is looked ahead earlier.
    first = next(i for i, due in enumerate(found) if due)
    assert first + 1 + ahead == 11
    ticks = all_of(found)
    whole = sound[: len(sound) // TICK_SAMPLES * TICK_SAMPLES]
    expected = features_of(whole, "logmel")
    np.testing.assert_allclose(np.stack([t.features for t in ticks[:70]]), expected[:70], atol=1e-4)
    spoken = [i for i, due in enumerate(found) if due and due[-1].speaking]
    assert spoken == list(range(spoken[0], spoken[-1] + 1))
    assert all(len(found[i]) == 1 for i in spoken[2:])


def test_a_voice_begins_and_ends() -> None:
    speech, sound = OwnSpeech("mfcc", 0), utterance()
    ticks = all_of(heard(speech, at_once(sound, [len(sound)], START_NS), 130))
    states = np.array([tick.speaking for tick in ticks])
    changes = np.flatnonzero(np.diff(states))
    assert len(changes) == 2
    assert 0.2 < changes[0] * 0.04 < 0.6
    # The sound has ended, nothing but silence follows, and then nothing.
    last = max(i for i, tick in enumerate(ticks) if tick.voice >= 0.35)
    assert changes[1] - last == 14
    assert len(ticks) < 3.2 * 25 + 25
    assert speech.queue.empty


def test_a_voice_that_is_to_be_surer_is_none_until_that_is_taken_back() -> None:
    speech, sound = OwnSpeech("mfcc", 0), utterance()
    sure, said = replace(VOICE, on=1.0), []
    for voice in (VOICE, sure, VOICE):
        speech.adjust(voice)
        ticks = all_of(heard(speech, at_once(sound, [len(sound)], START_NS), 130))
        said.append(sum(tick.speaking for tick in ticks))
        speech.reset()
    assert said[0] == said[2] > 50
    assert said[1] == 0


def test_noise_and_silence_are_no_voice() -> None:
    rng = np.random.default_rng(0)
    for sound in (np.zeros(3 * RATE, np.float32), rng.normal(0, 0.03, 3 * RATE).astype(np.float32)):
        speech = OwnSpeech("mfcc", 3)
        ticks = all_of(heard(speech, at_once(sound, [640], START_NS), 90))
        assert not any(tick.speaking for tick in ticks)
        assert speech.queue.empty  # and what was said is over


@pytest.mark.parametrize("look_ahead", [0, 3])
@pytest.mark.parametrize("jitter_ms", [0, 5])
@pytest.mark.parametrize("size", [160, 320, 640])
@pytest.mark.parametrize("phase_ms", [0, 13, 27])
def test_from_sound_that_is_sent_as_it_is_played_to_motion(
    size: int, phase_ms: int, jitter_ms: int, look_ahead: int
) -> None:
    """From the time that a sample comes to the time that the motion which it drives is told."""
    speech, sound = OwnSpeech("mfcc", look_ahead), utterance()
    begin = START_NS + TICK_NS + phase_ms * 1_000_000
    found = heard(speech, as_played(sound, [size], begin), 70, jitter_ms * 1_000_000)
    spoken = [due for due in found if due and due[-1].speaking]
    assert len(spoken) >= 50
    # The pose that is told next is that of one tick later.
    latency = speech.behind_s - 0.04
    least = 0.0475 + 0.04 * look_ahead
    # 10 ms are held for jitter, and a piece comes when it has been played; more jitter costs a tick.
    assert least <= latency <= least + 0.015 + size / RATE + (0.04 if jitter_ms else 0.0)
    assert latency - size / RATE <= (0.2 if look_ahead else 0.1 + 0.04)
    # The jitter is taken up once, not at every tick.
    assert sum(len(due) - 1 for due in spoken[1:]) <= 2


def test_large_pieces_make_it_wait_but_not_longer_than_needed() -> None:
    """Pieces of 0.2 s: after the first ones no tick is without sound."""
    speech, sound = OwnSpeech("mfcc", 3), utterance()
    found = heard(speech, as_played(sound, [3200], START_NS + 9_000_000), 130)
    begins = next(i for i, due in enumerate(found) if due and due[-1].speaking)
    starved = [i for i in range(begins, begins + 60) if not found[i]]
    assert 1 <= len(starved) <= 5
    assert max(starved) < begins + 10
    assert speech.behind_s < 0.46


def test_a_stall_is_made_up_for() -> None:
    """Sound that comes 0.3 s too late is heard, but the head does not stay behind by as much."""
    speech, sound = OwnSpeech("mfcc", 1), utterance()
    pieces = as_played(sound, [320], START_NS + 5_000_000)
    late = [
        (stamp, part, sent + (300_000_000 if 60 <= i < 75 else 0))
        for i, (stamp, part, sent) in enumerate(pieces)
    ]
    late.sort(key=lambda piece: piece[2] if piece[0] < pieces[75][0] else piece[2] + 1)
    found = heard(speech, late, 130)
    assert sum(len(due) for due in found) >= 75
    assert speech.behind_s < 0.0875 + 0.04 + 0.02 + 0.012 + 0.2


def test_dropped_sound_is_silence() -> None:
    """Half a second is missing in the middle: counted, and time goes on."""
    speech, sound = OwnSpeech("mfcc", 3), utterance()
    pieces = as_played(sound, [320], START_NS + 5_000_000)
    del pieces[60:85]
    ticks = all_of(heard(speech, pieces, 130))
    assert speech.queue.counts["audio_gap"] == 25 * 320
    assert any(tick.speaking for tick in ticks)
    assert 78 <= len(ticks) <= 100


def test_a_click_is_forgotten() -> None:
    """Less sound than a tick, or than a resampler holds back, is no speech that waits for ever."""
    for rate, count in ((RATE, 50), (48_000, 20)):
        speech = OwnSpeech("mfcc", 3)
        speech.queue.accept(START_NS, np.ones(count, np.float32), rate, 1, START_NS)
        assert not all_of(heard(speech, [], 10))
        assert speech.queue.empty


@pytest.mark.parametrize("drift", [0.003, -0.003])
def test_clocks_that_drift_apart(drift: float) -> None:
    """20 s of a voice whose clock goes wrong by 0.3 %: the head does not fall behind or run ahead."""
    speech, sound = OwnSpeech("mfcc", 1), np.tile(utterance(1.8)[8000:], 15)
    pieces = [
        (
            START_NS + round((stamp - START_NS) * (1 + drift)),
            part,
            START_NS + round((sent - START_NS) * (1 + drift)),
        )
        for stamp, part, sent in as_played(sound, [320], START_NS)
    ]
    found = heard(speech, pieces, 450)
    assert sum(map(len, found)) == pytest.approx(450 / (1 + drift), abs=8)
    assert speech.speaking
    assert speech.behind_s < 0.0875 + 0.04 + 0.02 + 0.012 + 0.12
