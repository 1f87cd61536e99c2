"""Forecasts of people who speak: whose turn it is, what sound may and may not change, nothing that jumps."""

from typing import Any

import numpy as np
import pytest
import torch
from perception_scene import RATE
from robot_heads import free_model, speech_model, utterance
from synthetic_heads import moving_heads

from hmgen_ros.generators.constant_velocity import ConstantVelocity
from hmgen_ros.generators.head_forecaster import HeadForecaster
from hmgen_ros.generators.speaker_forecaster import SpeakerForecaster
from hmgen_ros.types import (
    NUM_ACTIONS,
    TICK_NS,
    UNKNOWN_MASK,
    Action,
    AudioChunk,
    Face,
    HeadMotion,
    HeadPose,
    Person,
    Scene,
    action_mask,
)

SILENT, SPEAKING = action_mask(), action_mask(Action.SPEAKING)
START_NS = 100 * TICK_NS
HEADS = moving_heads(3, 60, seed=2).numpy()


def scene(tick: int, masks: dict[str, int], hidden: tuple[str, ...] = (), reset: bool = False) -> Scene:
    people = []
    for number, (name, mask) in enumerate(masks.items()):
        points = HEADS[number, tick]
        face = Face(
            np.zeros(4, np.float32),
            0.9,
            points,
            points,
            points[27],
            90.0,
            np.ones(68, np.float32),
            HeadPose(0.0, 0.0, 0.0),
        )
        nothing = np.full(NUM_ACTIONS, np.nan, np.float32)
        people.append(Person(name, None if name in hidden else face, 0.5, mask, nothing))
    return Scene(START_NS + tick * TICK_NS, tick, tuple(people), 0.5, (640, 480), reset=reset)


def forecaster(predictor: Any = None, look_ahead: int = 1, **settings: Any) -> HeadForecaster:
    speakers = SpeakerForecaster(speech_model(look_ahead))
    predictor = ConstantVelocity() if predictor is None else predictor
    return HeadForecaster(
        predictor,
        lambda points, _: HeadPose(float(points[30, 0]) / 1000, 0.0, 0.0),
        speakers=speakers,
        **settings,
    )


def chunk(tick: int, ticks: int = 1, samples: np.ndarray | None = None) -> AudioChunk:
    """Sound that ends some ticks after a tick, and begins with it."""
    sound = utterance() if samples is None else samples
    part = sound[tick * 640 : (tick + ticks) * 640]
    return AudioChunk(START_NS + tick * TICK_NS, part, RATE)


def run(
    machine: HeadForecaster, ticks: int, ahead: int, masks: Any, sound: np.ndarray | None = None
) -> list[tuple[HeadMotion, ...]]:
    """Forecasts of each tick, with sound that is known ``ahead`` ticks beyond the image."""
    machine.hear(chunk(0, ahead, sound), begins=True)
    found = []
    for tick in range(ticks):
        machine.hear(chunk(tick + ahead, 1, sound), begins=False)
        found.append(machine.observe(scene(tick, masks(tick))))
    return found


def test_only_those_who_speak_are_forecast_otherwise() -> None:
    plain = HeadForecaster(ConstantVelocity(), lambda *_: HeadPose(0.0, 0.0, 0.0))
    masks = {"a": SILENT, "b": SPEAKING, "c": UNKNOWN_MASK}
    found = run(forecaster(), 20, 0, lambda _: masks)[-1]
    for tick in range(20):
        expected = plain.observe(scene(tick, masks))
    same = [np.array_equal(f.landmarks_px, e.landmarks_px) for f, e in zip(found, expected, strict=True)]
    assert same == [True, False, True]
    assert all(motion.valid and np.isfinite(motion.landmarks_px).all() for motion in found)


def test_sound_drives_what_it_reaches_and_no_more() -> None:
    """Sound that is another one from tick 20 on, known beyond the image, and one tick is looked ahead."""
    other = utterance().copy()
    other[20 * 640 :] = 0.3 * np.sin(np.arange(len(other) - 20 * 640) / 10.0)
    forecasts = []
    for sound in (utterance(), other):
        forecasts.append(run(forecaster(), 20, 5, lambda _: {"a": SPEAKING}, sound))
    # The image of tick 14 comes with sound up to tick 19, and features look 7.5 ms ahead.
    before, after = ([found[tick][0].landmarks_px for found in forecasts] for tick in (14, 16))
    np.testing.assert_array_equal(*before)
    # Tick 17 hears tick 18, tick 18 hears tick 19, the first that knows of tick 20.
    np.testing.assert_array_equal(after[0][0], after[1][0])
    assert (after[0][1] != after[1][1]).any()


@pytest.mark.parametrize("ahead", [0, 4])
def test_sound_that_reaches_less_far_than_is_looked_ahead_changes_no_forecast(ahead: int) -> None:
    runs = []
    for sound in (utterance(), np.zeros(RATE * 2, np.float32)):
        found = run(forecaster(look_ahead=3, horizon_s=0.2), 15, ahead, lambda _: {"a": SPEAKING}, sound)
        runs.append([motions[0].landmarks_px for motions in found])
    np.testing.assert_array_equal(*runs)


def test_nothing_jumps_when_a_person_begins_or_ends_to_speak() -> None:
    """The velocity into the first tick of a forecast, against the one seen last, as at any other tick."""
    turns, ordinary = [], []
    for seed in range(4):
        machine = forecaster(free_model(), seed=seed, horizon_s=0.2)
        found = run(machine, 50, 2, lambda tick: {"a": SPEAKING if tick // 5 % 2 else SILENT})
        for tick in range(2, 50):
            seen = HEADS[0, tick - 1 : tick + 1]
            first = found[tick][0].landmarks_px[0]
            change = np.linalg.norm((first - seen[1]) - (seen[1] - seen[0]), axis=-1).mean()
            (turns if tick % 5 == 0 else ordinary).append(change)
    assert np.percentile(turns, 90) <= np.percentile(ordinary, 99)
    assert max(turns) <= max(ordinary)


def test_people_come_hide_and_leave() -> None:
    machine, everybody = forecaster(), {"a": SPEAKING, "b": SPEAKING, "c": SILENT}
    assert machine.observe(scene(0, {})) == ()
    first = machine.observe(scene(1, everybody, hidden=("b",)))
    assert [motion.valid for motion in first] == [True, False, True]
    machine.hear(chunk(0, 3), begins=True)
    second = machine.observe(scene(2, everybody, hidden=("a",)))
    assert [motion.valid for motion in second] == [True, True, True]
    assert all(np.isfinite(motion.landmarks_px).all() for motion in second)
    third = machine.observe(scene(3, {"c": SPEAKING}))
    assert [motion.person_id for motion in third] == ["c"]


def test_sound_is_heard_while_nobody_is_in_view() -> None:
    """Who comes then is forecast by the sound that is heard from then on."""
    found = run(forecaster(), 20, 3, lambda tick: {"ann": SPEAKING} if tick >= 10 else {})
    assert [len(motions) for motions in found] == [0] * 10 + [1] * 10
    assert all(np.isfinite(motion.landmarks_px).all() for (motion,) in found[10:])


def test_the_same_again_after_a_reset() -> None:
    machine = forecaster(seed=3, horizon_s=0.2)
    first = run(machine, 12, 2, lambda _: {"a": SPEAKING})
    machine.reset()
    again = run(machine, 12, 2, lambda _: {"a": SPEAKING})
    np.testing.assert_array_equal(first[-1][0].landmarks_px, again[-1][0].landmarks_px)


def test_sound_is_listened_to_by_the_time_of_its_image_however_it_is_cut() -> None:
    states = []
    for size in (640, 333):
        speakers, sound = SpeakerForecaster(speech_model(1)), utterance(1.0)
        for at in range(0, len(sound), size):
            speakers.hear(AudioChunk(START_NS + at * 62_500, sound[at : at + size], RATE), begins=not at)
        with torch.inference_mode():
            for tick in range(0, 20, 2):
                speakers.observe(START_NS + tick * TICK_NS, ["a"], torch.from_numpy(HEADS[:1, tick]))
        states.append(speakers._seats.state.core.speech.past)
    torch.testing.assert_close(*states, atol=1e-5, rtol=1e-4)


def test_sound_of_another_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="16000 Hz"):
        SpeakerForecaster(speech_model()).hear(AudioChunk(1, np.zeros(100, np.float32), 8_000), begins=True)
