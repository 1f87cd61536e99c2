"""Conditions and decorators of behaviour trees, ticked with people and forecasts made here; without ROS."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import py_trees
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_trees.common import Status

from hmgen_ros.behaviours import (
    AboutToPause,
    AboutToSpeak,
    FloorIsFree,
    FreshOnly,
    IsAddressed,
    IsLaughing,
    Keys,
    Latched,
    PersonCondition,
    ReadConversation,
    ShouldYield,
    Snapshot,
    YieldTheFloor,
)
from hmgen_ros.behaviours.signals import begins_within, ends_within, laughs
from hmgen_ros.perception.head_pose import angle_between
from hmgen_ros.types import (
    NUM_ACTIONS,
    TICK_NS,
    UNKNOWN_MASK,
    Action,
    ActionForecast,
    Face,
    HeadPose,
    Person,
    Scene,
    action_mask,
)

SPEAKING, LAUGHING = action_mask(Action.SPEAKING), action_mask(Action.LAUGHING)
SPACE = (0, SPEAKING, LAUGHING)
START_NS = 1_000 * TICK_NS
AHEAD = HeadPose(0.0, 0.0, 0.0)
ASIDE = HeadPose(1.0, 0.0, 0.0)


@pytest.fixture(autouse=True)
def _fresh_blackboard() -> Iterator[None]:
    py_trees.blackboard.Blackboard.clear()
    yield
    py_trees.blackboard.Blackboard.clear()


def person(name: str, actions: int = 0, pose: HeadPose | None = AHEAD, laughing: float = math.nan) -> Person:
    probabilities = np.full(NUM_ACTIONS, np.nan, np.float32)
    probabilities[Action.LAUGHING] = laughing
    points = np.zeros((68, 2), np.float32)
    seen = Face(np.zeros(4, np.float32), 1.0, points, points, points[0], 60.0, np.ones(68, np.float32), pose)
    return Person(name, None if pose is None else seen, 0.0, actions, probabilities)


def scene(tick: int, *people: Person, voice: float = math.nan) -> Scene:
    return Scene(START_NS + tick * TICK_NS, tick, people, voice, (640, 480))


def futures(tick: int, now: dict[str, int], share: float, to: int, at_step: int = 5) -> ActionForecast:
    """Of ten futures, a share in which everybody changes at a step (from 0)."""
    samples = np.empty((10, 20, len(now)), np.uint8)
    samples[:] = [SPACE.index(mask) for mask in now.values()]
    samples[: round(10 * share), at_step:] = SPACE.index(to)
    current = np.array([SPACE.index(mask) for mask in now.values()])
    table = np.full((20, len(now), 3), 1 / 3, np.float32)
    return ActionForecast(START_NS + tick * TICK_NS, tuple(now), SPACE, current, table, samples)


class Tree:
    """One behaviour after a reader, ticked with what a test says."""

    def __init__(self, behaviour: py_trees.behaviour.Behaviour) -> None:
        self.behaviour, self.known = behaviour, Snapshot(0)
        self.reader = ReadConversation("read", lambda: self.known)

    def tick(self, now_tick: int, seen: Scene | None, ahead: ActionForecast | None = None) -> Status:
        self.known = Snapshot(START_NS + now_tick * TICK_NS, seen, ahead)
        self.reader.tick_once()
        self.behaviour.tick_once()
        return self.behaviour.status

    def run(self, ticks: range, people: Callable[[int], list[Person]]) -> list[bool]:
        return [self.tick(tick, scene(tick, *people(tick))) is Status.SUCCESS for tick in ticks]

    @staticmethod
    def value(key: str) -> Any:
        return py_trees.blackboard.Blackboard.get(key)


# Signals ----------------------------------------------------------------------------------------


def test_shares_of_futures() -> None:
    ahead = futures(0, {"a": 0, "b": SPEAKING, "c": LAUGHING}, 0.3, SPEAKING)
    assert begins_within(ahead, 1.0) == pytest.approx({"a": 0.3, "c": 0.3})
    # Step 5 lies six periods ahead.
    assert begins_within(ahead, 0.2) == pytest.approx({"a": 0.0, "c": 0.0})
    assert begins_within(ahead, 0.24) == pytest.approx({"a": 0.3, "c": 0.3})
    assert ends_within(ahead, 1.0) == {"b": 0.0}
    assert ends_within(futures(0, {"b": SPEAKING}, 0.7, 0), 9.0) == pytest.approx({"b": 0.7})


@pytest.mark.parametrize(
    ("pose", "towards", "degrees"),
    [
        (AHEAD, (0.0, 0.0), 0.0),
        (HeadPose(0.5, 0.0, 1.0), (0.0, 0.0), 28.65),
        (HeadPose(0.0, -0.5, 0.0), (0.0, 0.0), 28.65),
        (HeadPose(0.4, 0.3, 0.0), (0.4, 0.3), 0.0),
        (HeadPose(math.pi, 0.0, 0.0), (0.0, 0.0), 180.0),
    ],
)
def test_angle_of_a_head(pose: HeadPose, towards: tuple[float, float], degrees: float) -> None:
    assert math.degrees(angle_between(pose, *towards)) == pytest.approx(degrees, abs=0.1)


def test_laughing_is_known_by_probability_or_action() -> None:
    assert laughs(person("a", laughing=0.25)) == 0.25
    assert laughs(person("a", LAUGHING)) == 1.0
    assert math.isnan(laughs(person("a")))
    assert math.isnan(laughs(person("a", UNKNOWN_MASK, laughing=0.9)))


# Conditions -------------------------------------------------------------------------------------


def test_about_to_speak_holds_and_ends_with_hysteresis() -> None:
    tree = Tree(AboutToSpeak("soon", within_s=0.6, probability=0.5, on_ticks=2, off_ticks=3))

    def at(tick: int, share: float) -> bool:
        now = {"a": 0, "b": SPEAKING}
        status = tree.tick(tick, scene(tick), futures(tick, now, share, SPEAKING))
        assert tree.value(Keys.ABOUT_TO_SPEAK) == ("a" if status is Status.SUCCESS else "")
        return status is Status.SUCCESS

    shares = [0.5, 0.5, 0.4, 0.4, 0.3, 0.3, 0.4, 0.3, 0.3, 0.3, 0.4]
    assert [at(tick, share) for tick, share in enumerate(shares)] == [False] + [True] * 8 + [False] * 2


def test_ticking_more_often_than_news_come_changes_nothing() -> None:
    tree = Tree(AboutToSpeak("soon", on_ticks=3))
    ahead = futures(0, {"a": 0}, 1.0, SPEAKING)
    assert [tree.tick(0, scene(0), ahead) for _ in range(5)] == [Status.FAILURE] * 5
    assert tree.tick(2, scene(2), replace(ahead, stamp_ns=START_NS + 2 * TICK_NS)) is Status.SUCCESS


def test_about_to_pause_names_who_speaks() -> None:
    tree = Tree(AboutToPause("pause", within_s=0.5, probability=0.6, on_ticks=1))
    ahead = futures(3, {"a": 0, "b": SPEAKING}, 0.7, 0)
    assert tree.tick(3, scene(3), ahead) is Status.SUCCESS
    assert tree.value(Keys.ABOUT_TO_PAUSE) == "b"


def test_addressed_is_who_looks_and_speaks_or_has_just_spoken() -> None:
    tree = Tree(IsAddressed("addressed", after_s=0.4, on_ticks=3, off_ticks=3))

    def people(tick: int) -> list[Person]:
        # a speaks to the robot until tick 10; b speaks to somebody else all the time.
        return [person("a", SPEAKING if tick < 10 else 0), person("b", SPEAKING, ASIDE)]

    held = tree.run(range(30), people)
    assert held == [False] * 2 + [True] * 20 + [False] * 8
    assert tree.tick(30, scene(30, person("b", SPEAKING))) is Status.FAILURE
    assert tree.run(range(31, 34), lambda _: [person("b", SPEAKING)])[-1]
    assert tree.value(Keys.ADDRESSED_BY) == "b"


def test_a_hidden_face_leaves_it_as_it_is_and_who_leaves_is_forgotten() -> None:
    tree = Tree(IsAddressed("addressed", on_ticks=2))
    assert tree.run(range(2), lambda _: [person("a", SPEAKING)])[-1]
    assert all(tree.run(range(2, 40), lambda _: [person("a", SPEAKING, None)]))
    assert not any(tree.run(range(40, 42), lambda _: []))
    assert not tree.run(range(42, 43), lambda _: [person("a", SPEAKING)])[-1]


def test_laughing() -> None:
    tree = Tree(IsLaughing("laughing", on_ticks=2, off_ticks=2))
    values = [0.6, 0.6, math.nan, 0.2, 0.2]
    held = tree.run(range(5), lambda tick: [person("a", laughing=values[tick]), person("b", laughing=0.1)])
    assert held == [False, True, True, True, False]


def test_who_is_not_known_any_more_laughs_for_three_seconds_at_most() -> None:
    tree = Tree(IsLaughing("laughing", on_ticks=1, off_ticks=1))
    values = [0.9, *[math.nan] * 100, 0.9]
    held = tree.run(range(102), lambda tick: [person("a", laughing=values[tick]), person("b", laughing=0.1)])
    assert held == [True] * 76 + [False] * 25 + [True]


def test_yielding_to_who_insists_but_not_to_a_mhm() -> None:
    tree = Tree(ShouldYield("yield", insist_s=0.4))
    assert not any(tree.run(range(9), lambda _: [person("a", SPEAKING)]))
    assert not tree.run(range(9, 10), lambda _: [person("a")])[-1]
    assert tree.run(range(10, 20), lambda _: [person("a", SPEAKING)])[-1]
    assert tree.value(Keys.YIELD_TO) == "a"


def test_yielding_to_who_is_about_to_speak() -> None:
    tree = Tree(ShouldYield("yield", within_s=0.4, probability=0.8, insist_s=0.04))
    for share, wanted in ((0.7, Status.FAILURE), (0.9, Status.SUCCESS)):
        ahead = futures(0, {"a": 0}, share, SPEAKING)
        tree.behaviour.forget()
        assert tree.tick(0, scene(0, person("a")), ahead) is wanted


def test_the_floor_is_free_after_some_silence() -> None:
    tree = Tree(FloorIsFree("free", silent_s=0.2))
    held = tree.run(range(15), lambda tick: [person("a", SPEAKING if tick < 5 or tick == 12 else 0)])
    assert held == [False] * 9 + [True] * 3 + [False] * 3
    heard = Tree(FloorIsFree("free", silent_s=0.04, unseen_voice=0.5))
    assert heard.tick(0, scene(0, voice=0.9)) is Status.FAILURE
    assert heard.tick(1, scene(1, voice=0.1)) is Status.SUCCESS
    assert heard.tick(2, scene(2)) is Status.SUCCESS


@pytest.mark.parametrize("when_stale", [Status.FAILURE, Status.RUNNING, Status.INVALID, Status.SUCCESS])
def test_stale_news_are_told_apart(when_stale: Status) -> None:
    tree = Tree(FloorIsFree("free", silent_s=0.04, max_age_s=0.2, when_stale=when_stale))
    assert tree.tick(0, None) is when_stale
    assert tree.tick(0, scene(0)) is Status.SUCCESS
    assert tree.tick(5, scene(0)) is Status.SUCCESS
    assert tree.tick(6, scene(0)) is when_stale
    # A clock that is behind the stamps by as much is as useless.
    assert tree.tick(6, scene(12)) is when_stale
    soon = Tree(AboutToSpeak("soon", when_stale=when_stale))
    assert soon.tick(20, scene(20), futures(0, {"a": 0}, 1.0, SPEAKING)) is when_stale


def test_what_was_not_looked_at_or_began_again_begins_anew() -> None:
    tree = Tree(FloorIsFree("free", silent_s=0.4))
    assert tree.run(range(12), lambda _: [])[-1]
    assert tree.run(range(40, 41), lambda _: []) == [False]  # looked away for 28 ticks
    assert tree.run(range(60, 61), lambda _: []) == [True]
    assert tree.run(range(0, 1), lambda _: []) == [False]  # time went back


def test_only_one_person_may_be_asked_about() -> None:
    tree = Tree(IsAddressed("addressed", on_ticks=1, person_id="b"))
    assert tree.tick(0, scene(0, person("a", SPEAKING))) is Status.FAILURE
    assert tree.tick(1, scene(1, person("a", SPEAKING), person("b", SPEAKING))) is Status.SUCCESS
    assert tree.value(Keys.ADDRESSED_BY) == "b"


@pytest.mark.parametrize(
    "make",
    [
        lambda: AboutToSpeak("x", within_s=0.0),
        lambda: AboutToSpeak("x", probability=1.5),
        lambda: IsAddressed("x", within_deg=math.nan),
        lambda: IsLaughing("x", off=0.9),
        lambda: ShouldYield("x", insist_s=-1.0),
        lambda: FloorIsFree("x", max_age_s=0.0),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], PersonCondition]) -> None:
    with pytest.raises(ValueError, match=r"must be|need"):
        make()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-30, 40).filter(bool),
            st.lists(
                st.tuples(
                    st.sampled_from("abc"),
                    st.sampled_from([0, SPEAKING, LAUGHING, SPEAKING | LAUGHING, UNKNOWN_MASK]),
                    st.sampled_from([AHEAD, ASIDE, None]),
                    st.sampled_from([0.0, 0.5, 1.0, math.nan]),
                ),
                max_size=3,
                unique_by=lambda one: one[0],
            ),
        ),
        max_size=30,
    )
)
def test_whatever_comes_nobody_is_named_who_is_not_there(steps: list[Any]) -> None:
    conditions = [
        IsAddressed("addressed"),
        IsLaughing("laughing"),
        ShouldYield("yield"),
        FloorIsFree("free"),
        AboutToSpeak("soon"),
    ]
    trees = [Tree(condition) for condition in conditions]
    tick = 100
    for passed, drawn in steps:
        tick += passed
        people = [person(*one) for one in drawn]
        known = [one for one in people if one.actions in SPACE]
        ahead = futures(tick, {one.person_id: one.actions for one in known}, 0.9, SPEAKING) if known else None
        for tree, condition in zip(trees, conditions, strict=True):
            status = tree.tick(tick, scene(tick, *people), ahead)
            assert status in (Status.SUCCESS, Status.FAILURE)
            assert (status is Status.SUCCESS) == bool(condition.holds)
            assert set(condition.holds) <= {one.person_id for one in people} | {""}


# Decorators -------------------------------------------------------------------------------------


class Talk(py_trees.behaviour.Behaviour):
    """Runs until it is stopped, and counts how often it was."""

    def __init__(self) -> None:
        super().__init__("talk")
        self.begun = self.stopped = 0

    def initialise(self) -> None:
        self.begun += 1

    def update(self) -> Status:
        return Status.RUNNING

    def terminate(self, new_status: Status) -> None:
        self.stopped += new_status is Status.INVALID


def test_the_robot_stops_where_somebody_insists() -> None:
    talk = Talk()
    tree = Tree(YieldTheFloor("unless", talk, ShouldYield("yield", insist_s=0.2)))
    statuses = [tree.tick(tick, scene(tick, person("a", SPEAKING if tick >= 3 else 0))) for tick in range(9)]
    assert statuses == [Status.RUNNING] * 7 + [Status.FAILURE] * 2
    assert (talk.begun, talk.stopped, talk.status) == (1, 1, Status.INVALID)
    assert "yields to a" in tree.behaviour.feedback_message


def test_what_needs_people_runs_while_they_are_told_of() -> None:
    talk = Talk()
    tree = Tree(FreshOnly("fresh", talk, max_age_s=0.2, when_stale=Status.FAILURE))
    assert tree.tick(0, None) is Status.FAILURE
    assert talk.begun == 0
    assert tree.tick(0, scene(0)) is Status.RUNNING
    assert tree.tick(9, scene(0)) is Status.FAILURE
    assert (talk.begun, talk.stopped) == (1, 1)
    assert tree.tick(9, scene(9)) is Status.RUNNING
    assert talk.begun == 2


def test_any_condition_can_be_latched() -> None:
    answers = iter([1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0])
    child = py_trees.behaviours.StatusQueue(
        "child", [Status.SUCCESS if one else Status.FAILURE for one in answers], Status.RUNNING
    )
    tree = Tree(Latched("latched", child, on_ticks=3, off_ticks=3))
    held = [tree.tick(tick, None) is Status.SUCCESS for tick in range(11)]
    assert held == [False] * 4 + [True] * 6 + [False]
    assert tree.tick(11, None) is Status.RUNNING


def test_reading_waits_for_people() -> None:
    tree = Tree(py_trees.behaviours.Success("nothing"))
    tree.tick(0, None)
    assert tree.reader.status is Status.FAILURE
    tree.tick(0, scene(0))
    assert tree.reader.status is Status.SUCCESS
    assert tree.value(Keys.SCENE).stamp_ns == START_NS
