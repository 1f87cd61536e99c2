"""People enter, leave, hide and come back in a stream; the forecasts follow."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.generators.constant_velocity import ConstantVelocity
from hmgen_ros.generators.group_attention import GroupAttention
from hmgen_ros.generators.group_attention_networks import GroupAttentionConfig
from hmgen_ros.generators.group_forecaster import (
    ACTION_PREDICTORS,
    DEFAULT_ACTION_PREDICTOR,
    GroupForecaster,
)
from hmgen_ros.generators.head_forecaster import HeadForecaster
from hmgen_ros.generators.semi_markov import SemiMarkov
from hmgen_ros.generators.situations import SemiMarkovConfig, Situations
from hmgen_ros.generators.social import SocialGenerator
from hmgen_ros.generators.social_networks import SocialConfig
from hmgen_ros.perception.head_pose import HEAD_MODEL, RIGID_POINTS, solve_head_pose
from hmgen_ros.types import (
    NUM_ACTIONS,
    UNKNOWN_MASK,
    Action,
    Face,
    HeadPose,
    Person,
    Presence,
    PresenceEvent,
    Scene,
    action_mask,
)

NONE, SPEAKING = action_mask(), action_mask(Action.SPEAKING)
NOTHING = np.full(NUM_ACTIONS, np.nan, np.float32)
Make = Callable[..., GroupForecaster]
SPACE = ActionSpace(
    (NONE, SPEAKING, action_mask(Action.LAUGHING), action_mask(Action.SPEAKING, Action.LAUGHING))
)


def semi_markov() -> SemiMarkov:
    """With a random table in which actions last."""
    rng = np.random.default_rng(0)
    shape = Situations(SPACE, SemiMarkovConfig()).shape
    table = rng.dirichlet(np.ones(len(SPACE)), shape)
    stay = np.eye(len(SPACE))[:, None, None, None, :]
    chain = np.full((len(SPACE), len(SPACE)), 1 / len(SPACE))
    return SemiMarkov(SPACE, torch.from_numpy(0.05 * table + 0.95 * stay), torch.from_numpy(chain))


def group_attention() -> GroupAttention:
    torch.manual_seed(0)
    return GroupAttention(SPACE, GroupAttentionConfig(width=16, hidden=16, shown=8))


def social() -> SocialGenerator:
    torch.manual_seed(0)
    config = SocialConfig(
        embedding=8, hidden=8, noise=False, residual=4.0, temperature=1.0, draw="categorical"
    )
    return SocialGenerator(SPACE, config)


@pytest.fixture(params=[semi_markov, group_attention, social], ids=lambda make: make.__name__)
def forecaster(request: pytest.FixtureRequest) -> Callable[..., GroupForecaster]:
    """Makes forecasters around the same untrained generator."""
    return lambda samples=16, seed=0: GroupForecaster(request.param(), samples=samples, seed=seed)


def scene(tick: int, people: dict[str, int], missed: int = 0, reset: bool = False) -> Scene:
    everyone = tuple(Person(name, None, 0.0, mask, NOTHING) for name, mask in people.items())
    return Scene(1 + tick * 40_000_000, tick, everyone, 0.0, (640, 480), missed_ticks=missed, reset=reset)


def test_forecast_has_the_shapes_of_the_horizon_and_sums_to_one(forecaster: Make) -> None:
    result = forecaster().observe(scene(0, {"a": NONE, "b": SPEAKING, "c": NONE}))
    assert result.forecast.person_ids == ("a", "b", "c")
    assert result.forecast.probabilities.shape == (40, 3, 4)
    assert result.forecast.samples.shape == (16, 40, 3)
    np.testing.assert_allclose(result.forecast.probabilities.sum(-1), 1, atol=1e-5)
    assert [action.person_id for action in result.actions] == ["a", "b", "c"]
    assert all(action.valid for action in result.actions)
    assert result.speaker.current_speaker_id == "b"


def test_nobody_gives_an_empty_forecast_that_is_not_valid(forecaster: Make) -> None:
    result = forecaster().observe(scene(0, {}))
    assert result.forecast.person_ids == ()
    assert result.actions == ()
    assert not result.speaker.valid


def test_unknown_people_are_in_the_answer_but_not_in_the_forecast(forecaster: Make) -> None:
    result = forecaster().observe(scene(0, {"a": UNKNOWN_MASK, "b": NONE}))
    assert result.forecast.person_ids == ("b",)
    assert [(action.person_id, action.valid) for action in result.actions] == [("a", False), ("b", True)]


@pytest.mark.parametrize("count", [1, 5, 20])
def test_any_number_of_people(count: int, forecaster: Make) -> None:
    result = forecaster().observe(scene(0, {f"p{i}": NONE for i in range(count)}))
    assert len(result.actions) == count
    assert result.forecast.probabilities.shape[1] == count


def test_coming_and_going_leaves_the_others_alone(forecaster: Make) -> None:
    """A person's own one-step forecast depends on their history, not on their place in the list."""
    alone, crowd = forecaster(), forecaster()
    for tick in range(30):
        mask = SPEAKING if tick > 10 else NONE
        one = alone.observe(scene(tick, {"a": mask}))
        # Silent unknown people never change what others do.
        others = {f"x{tick // 7}": UNKNOWN_MASK, f"y{tick // 3}": UNKNOWN_MASK}
        two = crowd.observe(scene(tick, {**others, "a": mask}))
        np.testing.assert_allclose(
            one.forecast.probabilities[0, 0], two.forecast.probabilities[0, 0], atol=1e-5
        )


def test_someone_who_comes_back_starts_anew(forecaster: Make) -> None:
    first = forecaster()
    for tick in range(50):
        first.observe(scene(tick, {"a": SPEAKING}))
    first.observe(scene(50, {}))
    again = first.observe(scene(51, {"a": SPEAKING}))
    fresh = forecaster().observe(scene(0, {"a": SPEAKING}))
    np.testing.assert_allclose(again.forecast.probabilities[0], fresh.forecast.probabilities[0], atol=1e-6)


def test_someone_who_is_called_otherwise_is_the_same_person(forecaster: Make) -> None:
    one, other = forecaster(), forecaster()
    for tick in range(8):
        people = {"a": SPEAKING, "b": NONE}
        one.observe(scene(tick, people))
        other.observe(scene(tick, people))
    renamed = replace(
        scene(8, {"old": SPEAKING, "b": NONE}), events=(PresenceEvent(Presence.RENAMED, "old", "a"),)
    )
    before, after = one.observe(scene(8, {"a": SPEAKING, "b": NONE})), other.observe(renamed)
    assert after.forecast.person_ids == ("old", "b")
    np.testing.assert_array_equal(before.forecast.samples, after.forecast.samples)
    # Who takes the name of somebody who is there already is left to the tracker; nothing breaks.
    other.observe(replace(scene(9, {"b": NONE}), events=(PresenceEvent(Presence.RENAMED, "b", "old"),)))


def test_missed_ticks_are_held(forecaster: Make) -> None:
    steady, gappy = forecaster(), forecaster()
    for tick in range(10):
        last = steady.observe(scene(tick, {"a": SPEAKING, "b": NONE}))
    for tick in (0, 1, 2, 3, 9):
        result = gappy.observe(scene(tick, {"a": SPEAKING, "b": NONE}, missed=5 if tick == 9 else 0))
    np.testing.assert_allclose(last.forecast.probabilities[0], result.forecast.probabilities[0], atol=1e-6)


@pytest.mark.parametrize("told", [True, False])
def test_a_jump_back_repeats_the_run_to_the_bit_even_if_nobody_tells(told: bool, forecaster: Make) -> None:
    machine = forecaster(seed=5)

    def play() -> list[np.ndarray]:
        return [
            machine.observe(
                scene(t, {"a": SPEAKING * (t % 9 > 4), "b": NONE}, reset=told and t == 0)
            ).forecast.samples
            for t in range(20)
        ]

    for one, two in zip(play(), play(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_bits_without_meaning_are_counted_and_ignored(forecaster: Make) -> None:
    machine = forecaster()
    result = machine.observe(scene(0, {"a": SPEAKING | 1 << 13}))
    assert machine.counts["unknown_action_bits"] == 1
    assert result.actions[0].current_mask == SPEAKING


def test_first_speaker_keeps_the_floor_when_two_speak(forecaster: Make) -> None:
    machine = forecaster()
    for tick in range(5):
        machine.observe(scene(tick, {"a": NONE, "b": SPEAKING}))
    # The list's order changes too: it is the history that counts.
    assert machine.observe(scene(5, {"b": SPEAKING, "a": SPEAKING})).speaker.current_speaker_id == "b"
    assert machine.observe(scene(6, {"a": SPEAKING, "b": SPEAKING})).speaker.current_speaker_id == "b"


def test_a_gap_of_two_seconds_starts_the_history_anew(forecaster: Make) -> None:
    """The clock voids the history after half a second; the first tick behind it stands alone."""
    machine = forecaster()
    for tick in range(40):
        machine.observe(scene(tick, {"a": SPEAKING, "b": NONE}))
    after = machine.observe(scene(90, {"a": SPEAKING, "b": NONE}, missed=50, reset=True))
    fresh = forecaster().observe(scene(90, {"a": SPEAKING, "b": NONE}, missed=50))
    np.testing.assert_allclose(after.forecast.probabilities, fresh.forecast.probabilities, atol=1e-6)


@pytest.mark.parametrize("name", ACTION_PREDICTORS)
def test_shipped_models_load_and_forecast_a_group(name: str) -> None:
    machine = GroupForecaster.load(name)
    for tick in range(3):
        result = machine.observe(scene(tick, {"a": SPEAKING, "b": NONE, "c": UNKNOWN_MASK}))
    assert result.forecast.person_ids == ("a", "b")
    assert result.forecast.probabilities.shape[:2] == (40, 2)
    np.testing.assert_allclose(result.forecast.probabilities.sum(-1), 1, atol=1e-4)


def test_the_default_model_expects_people_to_go_on_for_a_moment() -> None:
    machine = GroupForecaster.load(DEFAULT_ACTION_PREDICTOR)
    for tick in range(3):
        result = machine.observe(scene(tick, {"a": SPEAKING, "b": NONE}))
    assert (result.forecast.probabilities[0].argmax(-1) == result.forecast.current).all()


def test_unknown_models_are_named() -> None:
    with pytest.raises(ValueError, match="semi_markov"):
        GroupForecaster.load("crystal_ball")
    with pytest.raises(ValueError, match="constant_velocity"):
        HeadForecaster.load("crystal_ball", solve_head_pose)


# Heads -------------------------------------------------------------------------------------------

# A frontal face, pixels around the middle of the eyes: the points that tell the pose.
FACE = np.zeros((68, 2), np.float32)
FACE[list(RIGID_POINTS)] = 90 * HEAD_MODEL[:, :2]


def seen_at(x: float) -> Face:
    points = FACE + np.array([x, 240], np.float32)
    origin, scale = (points[36] + points[45]) / 2, 90.0
    return Face(
        np.array([x - 60, 180, x + 60, 300], np.float32),
        0.9,
        points,
        (points - origin) / np.float32(scale),
        origin,
        scale,
        np.ones(68, np.float32),
        solve_head_pose(points, (640, 480)),
    )


def pose_of_nose(points: np.ndarray, _: tuple[int, int]) -> HeadPose | None:
    """A linear stand-in with which the interpolation of poses can be checked exactly."""
    return HeadPose(float(points[30, 0]) / 1000, 0.0, 0.0)


def heads(people: dict[str, Face | None], tick: int = 0, reset: bool = False) -> Scene:
    everyone = tuple(Person(name, face, 0.0, 0, NOTHING) for name, face in people.items())
    return Scene(1 + tick * 40_000_000, tick, everyone, 0.0, (640, 480), reset=reset)


def test_a_moving_head_goes_on_and_then_holds() -> None:
    machine = HeadForecaster(ConstantVelocity(), pose_of_nose)
    for tick in range(20):
        motion = machine.observe(heads({"a": seen_at(100 + 4 * tick)}, tick))[0]
    assert motion.valid
    assert motion.landmarks_px.shape == (25, 68, 2)
    x = motion.landmarks_px[:, 30, 0]
    assert 100 + 4 * 19 < x[0] < x[4] < 100 + 4 * 30
    np.testing.assert_array_equal(x[10:], x[-1])
    assert motion.pose.shape == (25, 3)
    np.testing.assert_allclose(motion.pose[-1, 0], x[-1] / 1000, rtol=1e-5)


def test_heads_of_before_a_jump_back_are_forgotten_even_if_nobody_tells() -> None:
    machine = HeadForecaster(ConstantVelocity(), pose_of_nose)
    machine.observe(heads({"a": seen_at(100.0)}, tick=50))
    assert machine.observe(heads({"a": None}, tick=51))[0].valid
    assert not machine.observe(heads({"a": None}, tick=3))[0].valid


def test_a_head_never_seen_is_not_valid_and_a_hidden_one_holds() -> None:
    machine = HeadForecaster(ConstantVelocity(), pose_of_nose)
    first = machine.observe(heads({"a": None, "b": seen_at(300)}))
    assert [motion.valid for motion in first] == [False, True]
    hidden = machine.observe(heads({"a": None, "b": None}, 1))
    assert [motion.valid for motion in hidden] == [False, True]
    np.testing.assert_allclose(hidden[1].landmarks_px[0], seen_at(300).landmarks_px)


def test_a_hidden_head_that_is_called_otherwise_still_holds() -> None:
    forecaster = HeadForecaster(ConstantVelocity(), pose_of_nose)
    forecaster.observe(heads({"a": seen_at(100.0)}))
    events = (PresenceEvent(Presence.RENAMED, "old", "a"),)
    (motion,) = forecaster.observe(replace(heads({"old": None}, 1), events=events))
    assert (motion.person_id, motion.valid) == ("old", True)


def test_a_pose_that_cannot_be_solved_is_not_valid() -> None:
    machine = HeadForecaster(ConstantVelocity(), lambda *_: None)
    for tick in range(20):
        motion = machine.observe(heads({"a": seen_at(100 + 4 * tick)}, tick))[0]
    assert not motion.valid


def test_real_pose_of_a_still_frontal_face_stays() -> None:
    machine = HeadForecaster(ConstantVelocity(), solve_head_pose)
    for tick in range(5):
        motion = machine.observe(heads({"a": seen_at(320)}, tick))[0]
    assert motion.valid
    assert np.abs(motion.pose).max() < 0.1
    assert np.abs(np.diff(motion.pose, axis=0)).max() < 1e-3
