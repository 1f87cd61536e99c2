"""Tracks on boxes that move, hide, leave and crowd."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgen_ros.perception.boxes import box_iou, grow
from hmgen_ros.perception.track import IdSource
from hmgen_ros.perception.tracking import Tracker
from hmgen_ros.types import Counts

NOBODY = np.zeros((0, 4), np.float32)


def boxes(*centres, half=40) -> np.ndarray:
    return np.array([[x - half, y - half, x + half, y + half] for x, y in centres], np.float32).reshape(-1, 4)


def names(tracks, confirmed=True):
    return [t.person_id for t in tracks if t.confirmed or not confirmed]


def test_a_face_becomes_a_person_after_enough_hits_and_ages():
    tracker = Tracker(min_hits=3)
    seen = [names(tracker.update(boxes((100, 100)))) for _ in range(4)]
    assert [len(s) for s in seen] == [0, 0, 1, 1]
    assert re.fullmatch("[a-z]{5}", seen[-1][0])
    assert [t.age for t in tracker.tracks] == [1]


def test_one_false_detection_leaves_nothing_behind():
    tracker = Tracker(min_hits=3)
    tracker.update(boxes((100, 100)))
    assert tracker.update(NOBODY) == []


def test_ids_stay_when_people_move_and_detections_are_shuffled():
    rng = np.random.default_rng(3)
    tracker = Tracker(min_hits=1, seed=0)
    start = np.array([[100, 200], [300, 200], [500, 200]], float)
    first = names(tracker.update(boxes(*start)))
    for step in range(100):
        places = start + np.array([[step, 0], [0, step / 2], [-step / 2, 0]])
        order = rng.permutation(3)
        tracks = tracker.update(boxes(*places[order]))
        assert names(tracks) == first
        assert [order[t.face] for t in tracks] == [0, 1, 2]


def test_short_occlusion_keeps_the_id_and_hides_the_face():
    tracker = Tracker(min_hits=1, max_missed=10)
    (name,) = names(tracker.update(boxes((100, 100), (300, 100))))[:1]
    for missed in range(1, 9):
        tracks = tracker.update(boxes((300, 100)))
        assert tracks[0].person_id == name
        assert tracks[0].face is None
        assert tracks[0].missed == missed
    tracks = tracker.update(boxes((300, 100), (130, 110)))  # comes back a little aside
    assert tracks[0].person_id == name
    assert tracks[0].face == 1


def test_a_hidden_person_does_not_take_the_neighbours_face():
    tracker = Tracker(min_hits=1, max_missed=100)
    hidden, neighbour = names(tracker.update(boxes((100, 100), (190, 100))))
    for x in range(190, 120, -1):  # the neighbour moves half over the hidden one's place
        tracks = {t.person_id: t for t in tracker.update(boxes((x, 100)))}
        assert tracks[neighbour].face == 0
        assert tracks[hidden].face is None


def test_someone_who_stays_away_is_dropped_and_comes_back_as_someone_else():
    tracker = Tracker(min_hits=1, max_missed=5)
    (name,) = names(tracker.update(boxes((100, 100))))
    assert names(tracker.update(NOBODY, elapsed=5)) == [name]
    assert tracker.update(NOBODY) == []
    assert names(tracker.update(boxes((100, 100)))) != [name]


def test_missed_ticks_count_as_time():
    tracker = Tracker(min_hits=1, max_missed=20)
    tracker.update(boxes((100, 100)))
    (track,) = tracker.update(boxes((100, 100)), elapsed=7)
    assert (track.age, track.missed) == (7, 0)


def test_no_more_people_than_allowed_and_the_rest_is_counted():
    counts = Counts()
    tracker = Tracker(min_hits=1, max_people=2, counts=counts)
    many = boxes((100, 100), (300, 100), (500, 100), (700, 100))
    first = names(tracker.update(many))
    assert len(first) == 2
    assert counts["faces_over_limit"] == 2
    assert names(tracker.update(many)) == first


def test_seeded_ids_repeat_after_a_reset_and_unseeded_do_not():
    def two_rounds(seed):
        tracker = Tracker(min_hits=1, seed=seed)
        first = names(tracker.update(boxes((100, 100))))
        tracker.reset()
        return first, names(tracker.update(boxes((100, 100))))

    a, b = two_rounds(7)
    assert a == b
    assert (a, b) == two_rounds(7)
    a, b = two_rounds(None)
    assert a != b


def test_ids_are_distinct():
    source = IdSource(0)
    drawn = [source() for _ in range(500)]
    assert len(set(drawn)) == 500


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_sequence_keeps_the_books(data):
    tracker = Tracker(min_hits=2, max_missed=3, max_people=4, seed=0)
    coordinate = st.floats(-50, 700)
    for _ in range(12):
        places = data.draw(st.lists(st.tuples(coordinate, coordinate), max_size=7))
        tracks = tracker.update(boxes(*places), data.draw(st.integers(1, 3)))
        faces = [t.face for t in tracks if t.face is not None]
        assert len(faces) == len(set(faces))
        assert len(tracks) <= 4
        assert len({t.person_id for t in tracks}) == len(tracks)
        assert all(t.missed <= 3 for t in tracks)


def test_iou_by_hand():
    a = np.array([[0, 0, 10, 10], [0, 0, 0, 0]], np.float32)
    b = np.array([[5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(box_iou(a, b), [[1 / 3, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(grow(a[:1], np.array([2.0])), [[-5, -5, 15, 15]])
    assert box_iou(NOBODY, a).shape == (0, 2)


@pytest.mark.parametrize("speed", [5, 15])
def test_crossing_people_keep_their_ids(speed):
    tracker = Tracker(min_hits=1, max_missed=30)
    first, second = names(tracker.update(boxes((100, 100), (500, 130))))
    for step in range(1, 400 // speed):
        x, y = 100 + speed * step, 500 - speed * step
        hidden = abs(x - y) < 30  # the second passes in front
        tracks = {
            t.person_id: t for t in tracker.update(boxes((y, 130)) if hidden else boxes((x, 100), (y, 130)))
        }
    assert tracks[first].face == 0
    assert tracks[second].face == 1
