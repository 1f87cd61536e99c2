"""Ids of real people of the bundled recording, cut out and moved past each other."""

import numpy as np
import pytest
from perception_scene import frames

from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.pipeline import Perception
from hmgen_ros.types import TICK_NS, Frame, Presence

#: Columns of the recording that show the left and the right person alone.
LEFT, RIGHT = slice(10, 290), slice(650, 950)
WIDTH = 900
#: Ticks: both stand, the front one walks across, both stand, the front one is away, is back.
STAND, WALK, AWAY = 20, 45, 70


def stage(image: np.ndarray, back_at: float, front_at: float | None) -> np.ndarray:
    """The right person in front of the left one, with their middles at these columns."""
    picture = np.full((400, WIDTH, 3), 96, np.uint8)
    for part, at in ((LEFT, back_at), (RIGHT, front_at)):
        if at is None:
            continue
        person = image[:, part]
        first = round(at) - person.shape[1] // 2
        here = slice(max(first, 0), max(0, min(first + person.shape[1], WIDTH)))
        picture[:, here] = person[:, here.start - first : here.stop - first]
    return picture


def front_places() -> list[float | None]:
    """Where the front one is, tick by tick: walks past the other, leaves, and is back."""
    walk = list(np.linspace(170, 720, WALK))
    return [170] * STAND + walk + [720] * STAND + [None] * AWAY + [720] * STAND


@pytest.fixture(scope="module")
def scenes():
    perception = Perception(PerceptionConfig(seed=3, workers=1))
    places, images = front_places(), frames(100)
    return [
        perception.process(Frame(tick * TICK_NS, stage(images[tick % 100], 445, at)), tick, reset=tick == 0)
        for tick, at in enumerate(places)
    ]


def who_is_where(scene) -> dict[str, float]:
    return {p.person_id: float(p.face.origin_px[0]) for p in scene.people if p.face is not None}


def test_one_who_walks_past_another_keeps_the_id_and_so_does_the_other(scenes):
    before, after = who_is_where(scenes[STAND - 1]), who_is_where(scenes[2 * STAND + WALK - 1])
    assert set(before) == set(after)
    back, front = sorted(before, key=lambda name: -before[name])
    assert before[front] < 300 < 350 < before[back] < 550
    assert abs(after[back] - before[back]) < 30
    assert after[front] > 600


def test_nobody_is_ever_called_by_the_others_name(scenes):
    before = who_is_where(scenes[STAND - 1])
    back, front = sorted(before, key=lambda name: -before[name])
    for at, scene in zip(front_places(), scenes, strict=True):
        there = who_is_where(scene)
        assert set(there) <= {back, front}
        if front in there:
            assert at is not None
            assert abs(there[front] - at) < 60
        if back in there:
            assert abs(there[back] - 445) < 60


def test_one_who_is_back_after_having_left_is_known_again(scenes):
    before = who_is_where(scenes[STAND - 1])
    events = [(e.kind, e.person_id) for scene in scenes for e in scene.events]
    back, front = sorted(before, key=lambda name: -before[name])
    entered = {(Presence.ENTERED, back), (Presence.ENTERED, front)}
    assert set(events[:2]) == entered
    assert events[2:] == [(Presence.LEFT, front), (Presence.RETURNED, front)]
    assert set(who_is_where(scenes[-1])) == {back, front}
