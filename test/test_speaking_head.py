"""The robot's own head that speaks: turns without a jump, sound of any kind, the same again."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from perception_scene import RATE, sound
from robot_heads import (
    START_NS,
    as_played,
    at_once,
    free_model,
    moved,
    speaking_head,
    utterance,
)

from hmgen_ros.generators import motion_models
from hmgen_ros.generators.free_head import FreeHead
from hmgen_ros.generators.speech_models import load_speech_generator
from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.perception.hysteresis import LatchConfig
from hmgen_ros.streams.audio import BadAudio
from hmgen_ros.types import TICK_NS, HeadMotion


def test_while_nothing_is_said_it_is_a_free_head() -> None:
    speaking, free = speaking_head(), FreeHead(free_model(), solve_head_pose, horizon_s=0.4)
    np.testing.assert_array_equal(speaking.rest, free.rest)
    for tick in range(20):
        motion, expected = (head.tick(START_NS + tick * TICK_NS, "robot") for head in (speaking, free))
        np.testing.assert_array_equal(motion.landmarks_px, expected.landmarks_px)
        np.testing.assert_array_equal(motion.pose, expected.pose)
    assert not speaking.speaking


@pytest.mark.parametrize("send", [at_once, as_played])
def test_it_speaks_while_a_voice_is_heard(send: Any) -> None:
    _, spoke = moved(speaking_head(), send(utterance(), [640], START_NS), 150)
    changes = np.flatnonzero(np.diff(spoke))
    assert len(changes) == 2
    begin, end = changes * 0.04
    # The voice from 0.4 to 3 s, by the latch's 0.6 s later, and by what sound is behind that is just played.
    assert 0.1 < begin < 0.7
    assert 3.2 < end < 4.2


def test_turns_are_without_a_jump() -> None:
    """Pose and velocity change at turns as they do from tick to tick anyway, which a jump would not."""
    at_turns, ordinary, jumped = [], [], []
    # Turns come often: voices of a second, each from its own seed.
    for seed in range(6):
        head = speaking_head(seed=seed)
        sound = np.concatenate([np.zeros(RATE // 2, np.float32), utterance()[4000 : RATE + 8000]])
        points, spoke = moved(head, at_once(sound, [len(sound)], START_NS), 100)
        velocity = np.diff(points, axis=0)
        change = np.linalg.norm(np.diff(velocity, axis=0), axis=-1).mean(-1)  # of the velocity into tick + 2
        turns = np.flatnonzero(np.diff(spoke)) - 1
        assert len(turns) == 2
        at_turns += [change[turn] for turn in turns]
        ordinary += list(np.delete(change, [*turns, *(turns + 1)]))
        jumped.append(np.linalg.norm(points[turns[0] + 2] - points[0], axis=-1).mean())
    assert np.percentile(at_turns, 90) <= np.percentile(ordinary, 99)
    assert max(at_turns) <= max(ordinary)
    # A head that began anew at the turn would have jumped by much more.
    assert min(jumped) > np.percentile(ordinary, 99)


@torch.inference_mode()
def test_turns_of_the_shipped_generators_are_without_a_jump() -> None:
    """A hundred heads, from themselves to what the bundled voices say and back."""
    free, speech = motion_models.load("noise_driven"), load_speech_generator("speech_driven")
    heads, ahead, random = 100, speech.config.look_ahead, torch.Generator().manual_seed(0)
    said = torch.from_numpy(features_of(sound(12)[: 300 * 640], speech.config.features)[66:])
    heard = torch.stack([said[number : number + 60] for number in range(heads)], dim=1)
    face = free.mean.reshape(1, 68, 2).expand(heads, -1, -1)
    one, other = (model.step(model.initial_state(heads), face)[0] for model in (free, speech))
    one, faces, turns = free.start(one, random), [], []

    def moves_by_itself(ticks: int) -> None:
        nonlocal one, other
        for _ in range(ticks):
            one, landmarks = free.advance(one, random)
            other, _ = speech.step(other, landmarks)
            faces.append(landmarks)

    moves_by_itself(60)
    turns.append(len(faces))
    for tick in heard[:ahead]:
        other = speech.listen(other, tick)
    other = speech.start(other, random)
    for tick in heard[ahead:]:
        other, landmarks = speech.advance(speech.hear(other, tick), random)
        one, _ = free.step(one, landmarks)
        faces.append(landmarks)
    turns.append(len(faces))
    one = free.start(one, random)
    moves_by_itself(40)
    change = torch.stack(faces).diff(n=2, dim=0).norm(dim=-1).mean(-1)  # of the velocity into tick + 2
    ordinary = np.delete(change.numpy(), [turn - 2 for turn in turns], axis=0)
    # The head that goes on by itself is smoothed, and changes less than the one that speaks does.
    for turn, limit in zip(turns, (1.2, 0.9), strict=True):
        for percentile in (50, 90, 99):
            most = limit * np.percentile(ordinary, percentile)
            assert np.percentile(change[turn - 2].numpy(), percentile) <= most


def test_both_know_how_the_head_has_moved() -> None:
    """Who is silent sees what the other one generates."""
    head = speaking_head()
    moved(head, at_once(utterance(), [640], START_NS), 60)
    assert head.speaking
    for ahead in (head._head.moves, head._speech):
        state = ahead.now.state
        torch.testing.assert_close(state.core.pose, state.last)
    np.testing.assert_allclose(head._head.moves.now.points, head._speech.now.points)
    torch.testing.assert_close(head._head.moves.now.state.last, head._speech.now.state.last)


@settings(max_examples=6, deadline=None)
@given(sizes=st.lists(st.integers(40, 9000), min_size=1, max_size=4), seed=st.integers(0, 5))
def test_how_sound_is_cut_does_not_change_the_motion(sizes: list[int], seed: int) -> None:
    sound, begin = utterance(1.6), START_NS + 3 * TICK_NS + 7_000_000
    head = speaking_head(seed=seed)
    whole, spoke = moved(head, at_once(sound, [len(sound)], begin), 70)
    head.reset()
    parts, _ = moved(head, at_once(sound, sizes, begin), 70)
    assert spoke.any()
    np.testing.assert_array_equal(parts, whole)


def test_sound_may_come_at_the_last_moment() -> None:
    """Sent all at once, or each piece a quarter of a second before it is played: the same motion."""
    sound, begin = utterance(1.6), START_NS + 12 * TICK_NS + 7_000_000
    pieces = [(stamp, part, stamp - 250_000_000) for stamp, part, _ in as_played(sound, [320], begin)]
    early, _ = moved(speaking_head(), [(begin, sound, START_NS)], 80)
    late, spoke = moved(speaking_head(), pieces, 80)
    assert spoke[:46].any()
    # That nothing follows is known later where sound comes bit by bit.
    np.testing.assert_array_equal(late[:46], early[:46])


def test_the_same_seed_and_sound_give_the_same_motion() -> None:
    sound = at_once(utterance(1.6), [640], START_NS)
    one, other = speaking_head(seed=1), speaking_head(seed=2)
    first, _ = moved(one, sound, 60)
    one.reset()
    again, _ = moved(one, sound, 60)
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(moved(other, sound, 60)[0], first)
    one.reset()
    louder, spoke = moved(one, at_once(0.2 * utterance(1.6), [640], START_NS), 60)
    begins = int(np.argmax(spoke))
    np.testing.assert_array_equal(louder[:begins], first[:begins])
    assert not np.array_equal(louder[begins:], first[begins:])


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_of_any_rate_is_spoken(rate: int, channels: int) -> None:
    sound = utterance()
    places = np.arange(int(len(sound) * rate / RATE)) * RATE / rate
    pcm = np.round(32_767 * np.interp(places, np.arange(len(sound)), sound)).astype(np.int16)
    frames = np.repeat(pcm[:, None], channels, axis=1)
    head = speaking_head()
    points, spoke = moved(
        head, as_played(frames, [rate // 50], START_NS, rate), 120, rate=rate, channels=channels
    )
    assert spoke.sum() > 60
    assert np.isfinite(points).all()
    assert not head.sound.queue.counts.values


@pytest.mark.parametrize("kind", ["silence", "noise", "clipped", "square", "constant"])
def test_odd_sound_moves_no_head_out_of_place(kind: str) -> None:
    rng, count = np.random.default_rng(0), 3 * RATE
    sound = {
        "silence": np.zeros(count),
        "noise": rng.normal(0, 0.5, count),
        "clipped": 100.0 * utterance(3.0),
        "square": np.sign(np.sin(np.arange(count) / 20.0)),
        "constant": np.ones(count),
    }[kind].astype(np.float32)
    head = speaking_head()
    points, spoke = moved(head, at_once(sound, [640], START_NS), 100)
    assert np.isfinite(points).all()
    assert np.abs(points - points[0]).max() < 640
    if kind == "clipped":
        assert spoke.any()
        assert head.sound.queue.counts["audio_clipped"] > 1000
    if kind == "silence":
        assert not spoke.any()
    with pytest.raises(BadAudio, match="sample_rate"):
        head.sound.queue.accept(START_NS, sound, 4_000, 1, START_NS)


def test_not_a_number_is_silence_and_counted() -> None:
    sound = utterance()
    sound[20_000:24_000] = np.nan
    head = speaking_head()
    points, spoke = moved(head, at_once(sound, [640], START_NS), 100)
    assert np.isfinite(points).all()
    assert spoke.any()
    assert head.sound.queue.counts["audio_nonfinite"] == 4_000


def test_trajectories_tell_what_is_known_and_hold_the_rest() -> None:
    """Sound that is known far ahead: what is told comes. Sound that is just played: the next tick is held."""
    told: list[HeadMotion] = []
    _, spoke = moved(speaking_head(), at_once(utterance(), [640], START_NS), 60, told.append)
    for before, after, now in zip(told[35:], told[36:], spoke[36:], strict=False):
        assert now
        np.testing.assert_array_equal(before.landmarks_px[1:], after.landmarks_px[:-1])
        assert not np.array_equal(after.landmarks_px[-2], after.landmarks_px[-1])
    told = []
    _, spoke = moved(speaking_head(), as_played(utterance(), [320], START_NS), 60, told.append)
    assert spoke[40:].all()
    for before, after in pairwise(told[40:]):
        assert not np.array_equal(before.landmarks_px[0], after.landmarks_px[0])
        np.testing.assert_array_equal(after.landmarks_px, after.landmarks_px[[1] * 10])
        np.testing.assert_array_equal(after.pose, after.pose[[1] * 10])


def test_few_ticks_are_generated_in_one() -> None:
    """Also where turns change and all that was told of the future is void."""
    head, made = speaking_head(horizon_s=1.0), []
    for ahead in (head._head.moves, head._speech):
        generate = ahead._extend
        ahead._extend = lambda state, generate=generate: (made.append(1), generate(state))  # type: ignore[method-assign]
    counts = []

    def count(motion: HeadMotion) -> None:
        counts.append(len(made))
        made.clear()

    _, spoke = moved(head, at_once(utterance(), [640], START_NS), 130, count)
    assert spoke.any()
    assert not spoke[-1]
    assert max(counts) <= 4
    assert len(head._head.moves.ahead) == 25


def test_latency_is_told() -> None:
    """A tick, the look-ahead of the model and that of the features."""
    assert speaking_head().latency_s == pytest.approx(0.1675)
    assert speaking_head(look_ahead=0).latency_s == pytest.approx(0.0475)
    assert speaking_head(look_ahead=0).latency_s <= 0.1 + 0.04


def test_starvation_and_time_that_goes_backwards_are_counted() -> None:
    head = speaking_head()
    pieces = as_played(utterance(), [320], START_NS)
    late = [
        (stamp, part, sent + (120_000_000 if i > 80 else 0)) for i, (stamp, part, sent) in enumerate(pieces)
    ]
    moved(head, late, 70)
    assert 1 <= head.counts["speech_starved"] <= 5
    assert head.speaking
    points = [head.tick(START_NS + tick * TICK_NS, "robot").landmarks_px[0] for tick in range(40)]
    assert head.counts["speech_reset"] == 1
    assert head.sound.queue.empty
    assert not head.speaking
    assert np.isfinite(points).all()


def test_a_generator_that_gives_no_numbers_while_it_speaks() -> None:
    head = speaking_head()
    bias = head._speech._model.branches.out.bias
    kept = bias.data.clone()
    try:
        bias.data.fill_(torch.nan)
        points, spoke = moved(head, at_once(utterance(), [640], START_NS), 130)
    finally:
        bias.data.copy_(kept)
    assert spoke.any()
    assert np.isfinite(points).all()
    assert head.counts["pose_not_finite"] > 10
    assert not spoke[-1]


def test_the_voice_s_latch_can_be_set() -> None:
    def speaks(voice: LatchConfig) -> NDArray[np.bool_]:
        return moved(speaking_head(voice=voice), at_once(utterance(), [640], START_NS), 130)[1]

    never = speaks(LatchConfig(on=1.0, off=0.0, on_ticks=250))
    short = speaks(LatchConfig(on=0.5, off=0.35, on_ticks=2, off_ticks=2))
    long = speaks(LatchConfig(on=0.5, off=0.35, on_ticks=2, off_ticks=20))
    assert not never.any()
    assert 0 < short.sum() < long.sum()
