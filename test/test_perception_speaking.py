"""Who speaks, given lips and a voice."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.perception.speaking import LipMotion, lip_log_odds, speaking_probabilities, voice_owners

MOVING, STILL = 4.0, -4.0


def mouth(opening: float, width: float = 0.6) -> np.ndarray:
    """Normalised landmarks whose lips are open by that much; the rest of the face is at zero."""
    points = np.zeros((68, 2), np.float32)
    points[[61, 62, 63], 1] = 0.8
    points[[67, 66, 65], 1] = 0.8 + opening
    points[[50, 51, 52], 1] = 0.75
    points[[58, 57, 56], 1] = 0.85 + opening
    points[48], points[54] = (-width / 2, 0.8), (width / 2, 0.8)
    return points


def talk(ticks: int, seed: int = 0) -> np.ndarray:
    """Openings of a talking mouth: syllables at about 4 Hz."""
    phase = np.random.default_rng(seed).uniform(0, 6)
    return 0.05 + 0.04 * np.sin(2 * np.pi * 4 * np.arange(ticks) / 25 + phase)


def test_moving_lips_speak_and_still_lips_do_not():
    lips = LipMotion()
    odds = [lip_log_odds(lips.update(mouth(o), 0.0)) for o in [0.03] * 20 + list(talk(20)) + [0.03] * 30]
    assert max(odds[1:19]) < -2
    assert min(odds[25:40]) > 2
    assert max(odds[60:]) < -2


def test_slow_opening_and_head_turns_are_no_speech():
    yawn, turn = LipMotion(), LipMotion()
    yawning = [lip_log_odds(yawn.update(mouth(o), 0.0)) for o in np.linspace(0, 0.15, 50)]
    assert max(yawning[1:]) < 0
    for yaw in np.radians(np.linspace(-40, 40, 60)):  # a turned head enlarges what is measured in eyes
        energy = turn.update((mouth(0.05) / math.cos(yaw)).astype(np.float32), float(yaw))
        assert lip_log_odds(energy) <= 0 or math.isnan(energy)


@pytest.mark.parametrize("hz", [1.5, 2.5, 4.0])
def test_nodding_with_a_closed_mouth_is_no_speech_and_talking_while_nodding_is(hz):
    pitch = np.radians(8) * np.sin(2 * np.pi * hz * np.arange(60) / 25)
    turned = np.abs(np.diff(pitch, prepend=0.0))
    silent, talking = LipMotion(), LipMotion()
    quiet = [
        lip_log_odds(silent.update(mouth(0.03 + 0.15 * p), 0.0, 1, float(t)))
        for p, t in zip(pitch, turned, strict=True)
    ]
    loud = [
        lip_log_odds(talking.update(mouth(o + 0.15 * p), 0.0, 1, float(t)))
        for o, p, t in zip(talk(60), pitch, turned, strict=True)
    ]
    assert max(quiet[1:]) < 0
    assert min(loud[10:]) > 0


def test_hidden_face_and_gap_keep_the_energy_without_counting_the_jump():
    lips = LipMotion()
    for o in talk(20):
        before = lips.update(mouth(o), 0.0)
    assert lips.update(None, 0.0) == before
    assert lips.update(mouth(0.5), 0.0) == before  # first sight after a gap
    assert lips.update(mouth(0.0), 0.0, elapsed=4) == before


@pytest.mark.parametrize("skipped", [(1,), (1, 2, 2), (2,), (2, 3)], ids=str)
def test_slow_cameras_see_lips_move_and_rest(skipped):
    """25, 15, 12.5 and 10 images a second of a mouth that rests, talks and rests."""
    lips, openings = LipMotion(), np.concatenate([np.full(50, 0.03), talk(100), np.full(50, 0.03)])
    ticks = np.cumsum([0, *skipped * (196 // sum(skipped))])
    odds = {}
    for tick, elapsed in zip(ticks, np.diff(ticks, prepend=-1), strict=True):
        odds[tick] = lip_log_odds(lips.update(mouth(openings[tick]), 0.0, int(elapsed)))
    assert max(o for tick, o in odds.items() if 0 < tick < 50) < -2
    assert min(o for tick, o in odds.items() if 56 < tick < 150) > 1
    assert max(o for tick, o in odds.items() if tick > 185) < -2


def test_energy_across_short_gaps_is_that_of_single_ticks():
    """Lips that move as those in the recording: further across a gap, but less than in proportion."""
    rng = np.random.default_rng(0)
    openings = np.zeros(4000)
    for i in range(1, 4000):
        openings[i] = 0.9 * openings[i - 1] + rng.normal(0, 0.01)
    means = []
    for gap in (1, 2, 3):
        lips = LipMotion()
        seen = [lips.update(mouth(o), 0.0, gap) for o in openings[::gap]]
        means.append(np.sqrt(np.nanmean(np.square(seen))))
    np.testing.assert_allclose(means, means[0], rtol=0.25)


def test_nothing_seen_is_even_odds():
    assert math.isnan(LipMotion().update(mouth(0.1), 0.0))
    assert lip_log_odds(float("nan")) == 0.0


def test_one_voice_goes_to_the_moving_mouth():
    p = speaking_probabilities([MOVING, STILL, STILL], 0.99)
    assert p[0] > 0.9
    assert p[1:].max() < 0.1


def test_two_moving_mouths_may_both_speak():
    assert speaking_probabilities([MOVING, MOVING, STILL], 0.99)[:2].min() > 0.7


def test_several_uncertain_mouths_share_one_voice():
    p = speaking_probabilities([0.5, 0.5, 0.5], 0.99)
    assert p.max() < 0.55
    alone = speaking_probabilities([0.5], 0.99)
    assert alone[0] > 0.8


def test_silence_makes_moving_mouths_chew():
    assert speaking_probabilities([MOVING, STILL], 0.01).max() < 0.6
    assert speaking_probabilities([2.0, STILL], 0.01).max() < 0.25


def test_a_voice_without_moving_mouths_comes_from_elsewhere_or_from_the_hidden():
    assert speaking_probabilities([STILL, STILL], 0.99).max() < 0.4
    hidden = speaking_probabilities([0.0, STILL], 0.99)
    assert hidden[0] > 0.7


def test_without_sound_lips_decide():
    p = speaking_probabilities([MOVING, STILL], float("nan"))
    assert p[0] > 0.9
    assert p[1] < 0.05


@settings(max_examples=100, deadline=None)
@given(
    odds=st.lists(st.floats(-4, 4), max_size=6),
    voice=st.one_of(st.floats(0, 1), st.just(float("nan"))),
    unseen=st.floats(0, 1),
)
def test_always_probabilities_and_blind_to_the_order(odds, voice, unseen):
    p = speaking_probabilities(odds, voice, unseen)
    assert p.shape == (len(odds),)
    assert ((p >= 0) & (p <= 1 + 1e-12)).all()
    np.testing.assert_allclose(speaking_probabilities(odds[::-1], voice, unseen)[::-1], p, atol=1e-12)


@given(a=st.floats(-4, 4), b=st.floats(-4, 4), voice=st.floats(0, 1))
def test_more_motion_is_never_less_speech(a, b, voice):
    low, high = sorted((a, b))
    others = [1.0, -1.0]
    before = speaking_probabilities([low, *others], voice)
    after = speaking_probabilities([high, *others], voice)
    assert after[0] >= before[0] - 1e-12


def test_a_voice_has_one_owner_or_none_in_view():
    owners = voice_owners([MOVING, STILL, STILL])
    assert owners[0] > 0.9
    assert voice_owners([STILL, STILL, STILL]).sum() < 0.4  # most likely somebody out of view
    shared = voice_owners([MOVING, MOVING])
    assert shared[0] == pytest.approx(shared[1])
    assert 0.9 < shared.sum() < 1.0
    # Lips that move in time with the voice beat those that merely move.
    assert voice_owners([MOVING + 3.0, MOVING - 3.0])[0] > 0.99
    assert len(voice_owners([])) == 0


@given(odds=st.lists(st.floats(-8, 8), min_size=1, max_size=6), unseen=st.floats(0, 1))
def test_owners_are_probabilities_and_blind_to_the_order(odds, unseen):
    p = voice_owners(odds, unseen)
    assert ((p >= 0) & (p <= 1)).all()
    assert p.sum() <= 1 + 1e-12
    np.testing.assert_allclose(voice_owners(odds[::-1], unseen)[::-1], p, atol=1e-12)
    assert p[np.argmax(odds)] == p.max()


@pytest.mark.parametrize("people", [1, 3, 6])
def test_more_voice_is_never_less_speech(people):
    odds = np.linspace(-2, 2, people).tolist()
    p = [speaking_probabilities(odds, v) for v in np.linspace(0, 1, 21)]
    assert (np.diff(p, axis=0) >= -1e-12).all()
