"""What perception does less often under load: bounded, in order, calm, and only by measured times."""

from itertools import pairwise

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from hypothesis import given
from hypothesis import strategies as st
from perception_scene import frames
from ros_processes import listener, node_process
from sensor_msgs.msg import Image

from hmgen_ros.msg import People
from hmgen_ros.nodes.image_conversion import image_from_frame
from hmgen_ros.perception.load import (
    LONGEST_HOLD,
    STEPS,
    WINDOW,
    LoadConfig,
    LoadGovernor,
    Slowdown,
)
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.pipeline import Perception
from hmgen_ros.types import TICK_NS, Counts, Frame

TIMES = st.lists(st.floats(0, 500), max_size=2000)


def governor(body_every: int = 5, **settings: float) -> LoadGovernor:
    return LoadGovernor(LoadConfig(**settings), body_every, Counts())


def share(slowdown: int) -> float:
    """Of how often it is done otherwise."""
    return 1 / slowdown if slowdown else 0.0


def levels(one: LoadGovernor, cost: object, images: int) -> list[int]:
    """The level after each window of a machine on which ``cost(slowdown)`` ms are what an image takes."""
    found = []
    for i in range(images):
        one.observe(cost(one.slowdown))
        if i % WINDOW == WINDOW - 1:
            found.append(one.level)
    return found


def test_bodies_are_given_up_before_faces() -> None:
    assert STEPS[0] == Slowdown(1, 1)
    for less, more in pairwise(STEPS):
        assert more != less
        assert share(more.body) <= share(less.body)
        assert share(more.detector) <= share(less.detector)
        assert more.detector == 1 or more.body == 0


@pytest.mark.parametrize(
    ("every", "bodies"), [(0, [1]), (2, [1, 2, 0]), (6, [1, 2, 0]), (7, [1, 0]), (12, [1, 0])]
)
def test_looks_for_bodies_that_would_tell_nothing_are_left_out(every: int, bodies: list[int]) -> None:
    one, found = governor(every), []
    for _ in range(10 * WINDOW):
        found.append(one.slowdown.body)
        one.observe(100.0)
    assert list(dict.fromkeys(found)) == bodies
    assert one.slowdown.detector == 4


@given(TIMES, st.sampled_from([0, 5]))
def test_it_moves_one_step_at_a_time_and_says_so(times: list[float], body_every: int) -> None:
    one = governor(body_every)
    level = since = 0
    for ms in times:
        changed = one.observe(ms)
        since += 1
        assert changed == (one.level != level)
        assert abs(one.level - level) <= 1
        assert not changed or since >= WINDOW
        level, since = one.level, 0 if changed else since
        assert 0 <= level < (len(STEPS) if body_every else 3)
        assert one.counts["load_lowered"] - one.counts["load_raised"] == level
    again = governor(body_every)
    for ms in times:
        again.observe(ms)
    assert (again.level, dict(again.counts.items())) == (one.level, dict(one.counts.items()))


@given(st.lists(st.floats(0, 500), min_size=WINDOW, max_size=WINDOW), st.integers(0, 60))
def test_more_time_never_means_less_restraint(times: list[float], more: int) -> None:
    """Over one window, from any number of slow ones before."""
    low, high = governor(), governor()
    for one in (low, high):
        for _ in range(2 * WINDOW):
            one.observe(100)
    for ms in times:
        low.observe(ms)
        high.observe(ms + more)
    assert high.level >= low.level


def test_a_constant_load_is_met_once_and_for_all() -> None:
    assert levels(governor(), lambda _: 100.0, 20 * WINDOW) == [1, 2, 3, 4] + [4] * 16
    assert set(levels(governor(), lambda _: 31.9, 20 * WINDOW)) == {0}
    # Between relief and budget it stays as it is.
    assert levels(governor(), lambda s: 60.0 if s.body == 1 else 28.0, 50 * WINDOW) == [1] * 50


def test_now_and_then_a_slow_image_is_the_machine_s() -> None:
    one = governor()
    for i in range(40 * WINDOW):
        one.observe(400.0 if i % 6 == 0 else 10.0)
    assert one.level == 0


@given(st.floats(1, 200), st.floats(0, 200), st.floats(0, 200))
def test_a_load_on_the_edge_does_not_make_it_swing(base: float, body: float, detector: float) -> None:
    """Whatever the parts of the load: after the first minutes, at most one vain try in two minutes."""

    def cost(s: Slowdown) -> float:
        return base + body * share(s.body) + detector * share(s.detector)

    one = governor()
    windows = 30 * 60
    found = levels(one, cost, windows * WINDOW)
    late = found[windows // 2 :]
    changes = sum(a != b for a, b in pairwise(late))
    assert changes <= 2 * (len(late) // LONGEST_HOLD + 1)
    fits = [i for i, step in enumerate(STEPS) if cost(step) <= LoadConfig().budget_ms]
    if fits:
        # Most of the time within the budget, and never further down than one step beyond what fits.
        assert sum(level >= fits[0] for level in late) > 0.95 * len(late)
        assert max(found) <= fits[0]


def test_when_the_load_is_gone_everything_comes_back_soon() -> None:
    one = governor()
    for _ in range(10 * WINDOW):
        one.observe(100)
    assert one.level == 4
    images = 0
    while one.level:
        one.observe(10)
        images += 1
    assert images <= 4 * 5 * WINDOW


def test_switched_off_it_does_nothing() -> None:
    assert set(levels(governor(enabled=False), lambda _: 1e4, 10 * WINDOW)) == {0}


@pytest.mark.parametrize(("name", "value"), [("budget_ms", 0), ("relief", 1.0), ("relief", float("nan"))])
def test_settings_are_checked(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        LoadConfig(**{name: value})


def test_under_load_perception_looks_less_often_for_new_faces() -> None:
    """And not at all differently where no times are handed in, as in a replay."""
    searches = {}
    for ms in (0.0, 100.0):
        perception = Perception(PerceptionConfig(seed=1, workers=1))
        for tick, image in enumerate(frames(120)):
            scene = perception.process(Frame(tick * TICK_NS, image), tick, reset=tick == 0)
            perception.took(ms)
        assert len(scene.people) == 3
        assert perception.counts["load_lowered"] == (2 if ms else 0)
        searches[ms] = perception.times.window("detect").count
    assert searches[0.0] >= 24
    assert searches[100.0] < 18


@pytest.mark.parametrize("sim_time", [False, True])
def test_a_node_that_is_too_slow_says_so_in_its_diagnostics(sim_time: bool) -> None:
    """One millisecond is too little for any machine; simulated time has no hurry."""
    arguments = ("-p", "diagnostics_period_s:=0.2", "-p", "load.budget_ms:=1.0", "-p", "max_future_s:=3600.0")
    arguments += ("-p", f"use_sim_time:={'true' if sim_time else 'false'}")
    with listener() as ear, node_process("perception_node", *arguments):
        ear.listen(DiagnosticArray, "/diagnostics")
        ear.listen(People, "people")
        images = ear.node.create_publisher(Image, "image_raw", 10)
        assert ear.spin_until(lambda: images.get_subscription_count() > 0)
        pixels, start = np.zeros((48, 64, 3), np.uint8), ear.node.get_clock().now().nanoseconds

        def status() -> DiagnosticStatus:
            found = [s for array in ear.received["/diagnostics"] for s in array.status]
            return next(
                (s for s in reversed(found) if s.name.endswith("perception_node")), DiagnosticStatus()
            )

        def known() -> dict[str, str]:
            return {value.key: value.value for value in status().values}

        def enough() -> bool:
            if sim_time:
                return len(ear.received["people"]) > 2 * WINDOW and "load/level" in known()
            return "too slow" in status().message

        for tick in range(1, 2000):
            images.publish(image_from_frame(Frame((0 if sim_time else start) + tick * TICK_NS, pixels)))
            if ear.spin_until(enough, 0.03):
                break
        assert enough()
        if sim_time:
            assert known()["load/level"] == "0"
            assert "too slow" not in status().message
            return
        assert status().level == DiagnosticStatus.WARN
        assert int(known()["load/level"]) >= 1
        assert int(known()["count/load_lowered"]) >= 1
