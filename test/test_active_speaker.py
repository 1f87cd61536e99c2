"""Whose voice it is, and whether pictures and sound are in time: by lips that open with loudness."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from talking_faces import TICK_SAMPLES, EnvelopeEmbedder, chunk, effort, face, voice

from hmgen_ros.generators.syncer import SyncerConfig, SyncerPyramid
from hmgen_ros.perception.active_speaker import MAX_LOG_ODDS, ActiveSpeaker, Sighting, match_log_odds
from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.perception.av_offset import MAX_SHIFT, AvOffset, Evidence, FadingMean
from hmgen_ros.perception.face_trail import MEAN_TICKS, framed
from hmgen_ros.syncer_embedder import SyncerEmbedder
from hmgen_ros.types import TICK_NS
from hmgen_ros.types.sound import KINDS, Kind

LAG_NS = 80_000_000
TICKS = 250
SOUND = voice(effort(TICKS, 0))
#: Utterance by name; that of "a" is heard.
PEOPLE = {name: face(effort(TICKS, i), i) for i, name in enumerate("abcd")}


def speaker(embedder=None, voice_at=lambda _: 1.0, lag_ns: int = LAG_NS) -> ActiveSpeaker:
    return ActiveSpeaker(embedder or EnvelopeEmbedder(), voice_at, lag_ns)


def watch(one: ActiveSpeaker, people, sound=SOUND, late_ms: float = 0.0, ahead: int = 1, step: int = 1):
    """Everyone's log odds by tick; people are given by functions of the tick or arrays of poses."""
    found, given = [], 0
    for tick in range(0, TICKS, step):
        while given < min(tick + ahead, len(sound) // TICK_SAMPLES):
            one.push(
                chunk(given * TICK_SAMPLES, sound[given * TICK_SAMPLES : (given + 1) * TICK_SAMPLES], late_ms)
            )
            given += 1
        seen = {
            name: Sighting(pose, 0.95)
            for name, poses in people.items()
            if (pose := poses(tick) if callable(poses) else poses[tick]) is not False
        }
        one.update(tick * TICK_NS, seen, step if tick else 1)
        found.append({name: one.log_odds(name) for name in seen})
    return found


def test_the_voice_is_that_of_whose_lips_move_with_it() -> None:
    found = watch(speaker(), PEOPLE)
    for odds in found[75:]:
        assert odds["a"] > 3.0
        assert np.median([odds[name] for name in "bcd"]) < 3.0
    assert np.mean([odds[name] for odds in found[75:] for name in "bcd"]) < 0.5
    assert all(abs(value) <= MAX_LOG_ODDS for odds in found for value in odds.values())


def test_one_who_was_away_begins_anew_and_one_who_was_hidden_goes_on() -> None:
    a = PEOPLE["a"]
    away = {**PEOPLE, "a": lambda tick: False if 100 <= tick < 150 else a[tick]}
    found = watch(speaker(), away)
    assert found[99]["a"] > 2.0
    assert "a" not in found[120]
    assert found[152]["a"] == 0.0
    assert found[220]["a"] > 2.0
    hidden = {**PEOPLE, "a": lambda tick: None if 100 <= tick < 102 else a[tick]}
    found = watch(speaker(), hidden)
    assert min(odds["a"] for odds in found[60:]) > 1.5
    gone = watch(speaker(), {**PEOPLE, "a": lambda tick: None if tick >= 100 else a[tick]})
    assert gone[-1]["a"] < 0.1  # evidence fades


def test_faces_that_are_none_do_no_harm() -> None:
    broken = {**PEOPLE, "b": np.full_like(PEOPLE["b"], np.nan), "c": np.zeros_like(PEOPLE["c"])}
    for odds in watch(speaker(), broken)[75:]:
        assert odds["a"] > 2.0
        assert odds["b"] == odds["c"] == 0.0


def test_silence_tells_nothing() -> None:
    for voice_at in (lambda _: 0.0, lambda _: math.nan):
        found = watch(speaker(voice_at=voice_at), PEOPLE)
        assert all(value == 0.0 for odds in found for value in odds.values())
    assert all(value == 0.0 for odds in watch(speaker(), PEOPLE, SOUND[:0]) for value in odds.values())


def test_a_gap_in_the_sound_fades_and_heals() -> None:
    one, found = speaker(), []
    for tick in range(TICKS):
        if not 100 <= tick < 175:
            one.push(chunk(tick * TICK_SAMPLES, SOUND[tick * TICK_SAMPLES :][:TICK_SAMPLES]))
        one.update(tick * TICK_NS, {name: Sighting(poses[tick], 0.95) for name, poses in PEOPLE.items()})
        found.append(one.log_odds("a"))
    assert found[99] > 2.0
    # Sound that does not come is waited for; when it comes again, that was for nothing.
    assert min(found[175:190]) < 0.5
    assert found[-1] > 2.0


@pytest.mark.parametrize("ahead", [2, 25, 200])
def test_sound_that_is_early_enough_changes_nothing_by_its_arrival(ahead: int) -> None:
    assert watch(speaker(), PEOPLE, ahead=ahead) == watch(speaker(), PEOPLE)


def test_late_sound_is_waited_for() -> None:
    """By half a second: the same is told half a second later."""
    in_time, late = watch(speaker(), PEOPLE), watch(speaker(), PEOPLE, ahead=-12)
    assert late[100]["a"] > 2.0
    assert late[-1] == in_time[-1 - 10]  # there is no further lag


def test_half_the_rate_is_enough() -> None:
    smooth = effort(TICKS // 5 + 2, 0).repeat(5)[:TICKS]
    smooth = np.convolve(smooth, np.ones(5) / 5, "same")
    people = {"a": face(smooth), "b": PEOPLE["b"]}
    found = watch(speaker(), people, voice(smooth), step=2)
    assert min(odds["a"] for odds in found[60:]) > 1.0


@pytest.mark.parametrize("late_ticks", [-6, -5, 0, 3, 5])
def test_offsets_are_told_and_followed(late_ticks: int) -> None:
    one = speaker()
    found = watch(one, PEOPLE, late_ms=40.0 * late_ticks, ahead=TICKS)
    assert one.offset.milliseconds == pytest.approx(-40.0 * late_ticks, abs=41)
    assert one.offset.disturbing == (abs(one.offset.ticks or 0) > 3)
    assert abs(late_ticks) < 4 or one.offset.disturbing
    assert found[-1]["a"] > 2.0
    one.reset_vision()
    assert math.isnan(one.offset.milliseconds)


def test_offsets_are_not_guessed() -> None:
    early = speaker()
    watch(
        early, {name: lambda tick, p=poses: p[tick] if tick < 70 else None for name, poses in PEOPLE.items()}
    )
    assert early.offset.ticks is None  # less than three seconds
    strangers = speaker()
    watch(strangers, {name: PEOPLE[name] for name in "bcd"})
    assert not strangers.offset.disturbing
    beyond = speaker()
    watch(beyond, PEOPLE, late_ms=-40.0 * 12, ahead=TICKS)
    assert not beyond.offset.disturbing


@settings(max_examples=20, deadline=None)
@given(st.permutations("abcd"))
def test_the_order_of_people_does_not_matter(order: list[str]) -> None:
    short = {name: PEOPLE[name][:40] for name in order}
    one, two = speaker(), speaker()
    for tick in range(40):
        for who, names in ((one, order), (two, sorted(order))):
            who.push(chunk(tick * TICK_SAMPLES, SOUND[tick * TICK_SAMPLES :][:TICK_SAMPLES]))
            who.update(tick * TICK_NS, {name: Sighting(short[name][tick], 0.9) for name in names})
    assert [one.log_odds(name) for name in "abcd"] == pytest.approx([two.log_odds(name) for name in "abcd"])


@given(st.floats(0, 25), st.floats(-1, 1), st.floats(-1, 1))
def test_a_better_fit_is_never_less_likely(ticks: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert match_log_odds(ticks, ticks * low) <= match_log_odds(ticks, ticks * high)
    assert match_log_odds(0.0, 0.0) == 0.0


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 1)), min_size=1, max_size=20))
def test_fading_means_are_weighted_means(rows: list[tuple[float, float]]) -> None:
    mean, keep = FadingMean(2), 0.9
    for value, weight in rows:
        mean.fade(keep)
        mean.add(np.array([value, np.nan], np.float32), weight)
    weights = np.array([weight for _, weight in rows]) * keep ** np.arange(len(rows))[::-1]
    expected = float(weights @ np.array([value for value, _ in rows]) / weights.sum())
    assert mean.total[0] / mean.weight[0] == pytest.approx(expected, abs=1e-6)
    assert mean.weight[1] == mean.total[1] == mean.prominence() == 0.0


def test_an_offset_is_kept_while_people_mumble_and_given_up_when_nothing_speaks_for_it() -> None:
    offset, clear, flat = AvOffset(), np.zeros(17, np.float32), np.zeros(17, np.float32)
    clear[MAX_SHIFT + 5] = 0.5
    for _ in range(80):
        offset.add([Evidence(clear, 1.0, 0.5)], 1.0)
    assert offset.ticks == 5
    told = []
    for _ in range(600):
        offset.add([Evidence(flat, 1.0, 0.5)], 1.0)
        told.append((offset.confidence, offset.ticks))
    assert [ticks for confidence, ticks in told if 0.1 < confidence < 0.2] == [5] * sum(
        0.1 < confidence < 0.2 for confidence, _ in told
    )
    assert told[-1][1] is None


@pytest.mark.parametrize("kind", KINDS)
def test_streaming_is_the_batch(kind: Kind) -> None:
    """Cosines of a pyramid over whole sequences, with running means, faded and added up at once."""
    torch.manual_seed(0)
    pyramid = SyncerPyramid(SyncerConfig(features=kind, hidden=16, embedding=8))
    heard = torch.from_numpy(features_of(SOUND, kind))[None]
    poses = np.stack([framed(pose) for pose in PEOPLE["a"]])
    flat = torch.from_numpy(poses)[None]
    pyramid.fit_units(flat, heard)
    pyramid.unit.clamp_(min=0.01)  # of points that hardly move, rounding would be seen
    pyramid.eval()
    padded = np.concatenate([poses[:1], poses, poses[-1:]]).astype(np.float64)
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    means, mean = [], np.zeros(136)
    for tick, pose in enumerate(poses):
        mean = mean + (pose - mean) / min(tick + 1, MEAN_TICKS)
        means.append(mean)
    with torch.no_grad():
        windows = np.stack([smooth[t - 4 : t + 1] - means[t + 1] for t in range(4, TICKS - 1)])
        faces = pyramid.faces[0](torch.from_numpy(windows / pyramid.unit.numpy()).float()[None])[0]
        sounds = pyramid.sounds[0](pyramid.sound_windows(heard)[0])[0][:-1]
    cosines = (faces * sounds).sum(-1).numpy()  # of ticks 4, 5, …

    one = speaker(SyncerEmbedder(pyramid))
    for tick in range(TICKS):
        one.push(chunk(tick * TICK_SAMPLES, SOUND[tick * TICK_SAMPLES :][:TICK_SAMPLES]))
        one.update(tick * TICK_NS, {"a": Sighting(PEOPLE["a"][tick], 0.9)})
        # Sound is known up to 80 ms before the picture, its features look 7.5 ms ahead: four ticks late.
        known = cosines[: max(0, tick - 4 - 4 + 1)]
        weights = math.exp(-2 / 25) ** np.arange(len(known))[::-1]
        assert one.evidence("a") == pytest.approx((weights.sum(), weights @ known), abs=1e-3)
