"""Perception as a whole, on the bundled recording and on images that are hard to see anything in."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from perception_scene import chunk, frames, play, sound, truth

from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.pipeline import Perception
from hmgen_ros.syncer_embedder import load_embedder
from hmgen_ros.types import NUM_ACTIONS, TICK_NS, UNKNOWN_MASK, Action, Frame, Presence

SECONDS = 12
STAGES = {"detect", "landmarks", "pose", "track", "voice", "actions"}


def perceive(embedder=None, **settings) -> Perception:
    return Perception(PerceptionConfig(**{"seed": 1, "workers": 1, **settings}), embedder)


@pytest.fixture(scope="module")
def played():
    perception = perceive()
    scenes = play(perception, frames(SECONDS * 25), sound(SECONDS))
    return perception, scenes


def equal(a, b) -> bool:
    """Whether two scenes are the same bit for bit."""
    if repr(a.voice_activity) != repr(b.voice_activity) or a.stamp_ns != b.stamp_ns:
        return False
    if len(a.people) != len(b.people):
        return False
    for p, q in zip(a.people, b.people, strict=True):
        same = (p.person_id, p.voice_activity, p.actions, p.age_ticks) == (
            q.person_id,
            q.voice_activity,
            q.actions,
            q.age_ticks,
        )
        same &= p.probabilities.tobytes() == q.probabilities.tobytes()
        same &= repr(p.voice_match) == repr(q.voice_match)
        same &= (p.face is None) == (q.face is None)
        if p.face is not None and q.face is not None:
            same &= p.face.landmarks.tobytes() == q.face.landmarks.tobytes()
            same &= (p.face.pose, p.face.score) == (q.face.pose, q.face.score)
        if not same:
            return False
    return True


def test_three_people_keep_their_ids_and_places(played):
    _, scenes = played
    people = {p.person_id for s in scenes for p in s.people}
    assert len(people) == 3
    assert all(len(s.people) == 3 for s in scenes[3:])
    known = np.array([np.mean(p["outer_eye_corners_px"], axis=0) for p in truth()["people"]])
    for scene in scenes[3::10]:
        eyes = np.array(sorted(tuple(p.face.origin_px) for p in scene.people))
        assert np.abs(eyes - known).max() < 30


def speaking_f1(scenes, every=1):
    """Over persons and ticks, with the few ticks forgiven that hearing and seeing a change takes.

    Each scene stands for ``every`` ticks.
    """
    late = 4
    middles = (np.arange(len(scenes) * every) + 0.5) / 25
    hits = said = found = 0
    names = [p.person_id for p in sorted(scenes[10].people, key=lambda p: p.face.origin_px[0])]
    for name, known in zip(names, truth()["people"], strict=True):
        speaks = np.any([(middles >= a) & (middles < b) for a, b in known["speaking"]], axis=0)
        seen = np.array(
            [
                any(p.person_id == name and p.actions >> Action.SPEAKING & 1 and p.face for p in s.people)
                for s in scenes
            ],
            dtype=bool,
        ).repeat(every)
        speaks, seen = speaks[:-late], seen[late:]
        hits, said, found = hits + (speaks & seen).sum(), said + speaks.sum(), found + seen.sum()
    assert said > 75
    return 2 * hits / (said + found)


def test_who_speaks_is_found(played):
    _, scenes = played
    assert speaking_f1(scenes) > 0.8


def test_who_speaks_is_found_by_a_camera_of_half_the_rate():
    perception, samples = perceive(), sound(SECONDS)
    scenes = []
    for i, image in list(enumerate(frames(SECONDS * 25)))[::2]:
        perception.push_audio(chunk(i * 640, samples[i * 640 : (i + 2) * 640]))
        frame = Frame(i * TICK_NS, image)
        scenes.append(perception.process(frame, i, missed_ticks=int(i > 0), reset=i == 0))
    assert speaking_f1(scenes, every=2) > 0.8


def test_values_are_what_the_types_promise(played):
    _, scenes = played
    for scene in scenes[::7]:
        assert scene.image_size == (960, 400)
        for person in scene.people:
            face = person.face
            assert 0 <= person.voice_activity <= 1
            assert 0 <= person.voice_match <= 1 or np.isnan(scene.voice_activity)
            assert person.probabilities.shape == (NUM_ACTIONS,)
            assert person.probabilities.dtype == np.float32
            seen = np.flatnonzero(~np.isnan(person.probabilities))
            heard = [] if np.isnan(scene.voice_activity) else [Action.LAUGHING]
            assert seen.tolist() == [Action.NONE, Action.SPEAKING, *heard, Action.HEAD_GESTURE]
            p = person.probabilities
            assert p[0] == pytest.approx(np.prod(1 - p[seen[1:]]), abs=1e-6)
            assert face.landmarks_px.dtype == face.landmarks.dtype == np.float32
            np.testing.assert_allclose(
                (face.landmarks_px - face.origin_px) / face.scale_px, face.landmarks, atol=1e-4
            )
            assert face.visibility.shape == (68,)
            assert ((face.visibility >= 0) & (face.visibility <= 1)).all()
            assert abs(face.pose.yaw) < 0.5
            assert abs(face.pose.pitch) < 0.5


def test_stages_are_timed(played):
    perception, _ = played
    assert set(perception.times.mean_ms()) >= STAGES
    assert perception.times.window("detect").count < SECONDS * 25 / 4


def test_twice_the_same_however_sound_arrives_and_work_is_split(played):
    _, scenes = played
    n = 150
    other = perceive(workers=2)
    again = play(other, frames(SECONDS * 25)[:n], sound(SECONDS), ahead_s=1.0, size=4000)
    other.close()
    assert all(equal(a, b) for a, b in zip(scenes[:n], again, strict=True))


def test_a_jump_back_repeats_the_first_run(played):
    _, scenes = played
    n = 60
    perception = perceive()
    for _ in range(2):
        again = play(perception, frames(SECONDS * 25)[:n], sound(SECONDS)[: int(n / 25 * 16_000)])
    assert all(equal(a, b) for a, b in zip(scenes[:n], again, strict=True))
    perception.reset()
    again = play(perception, frames(SECONDS * 25)[:n], sound(SECONDS))
    assert all(equal(a, b) for a, b in zip(scenes[:n], again, strict=True))


def test_an_occluded_person_stays_unknown_and_returns():
    perception = perceive()
    images = list(frames(SECONDS * 25)[:60])
    for i in range(20, 35):
        images[i] = images[i].copy()
        images[i][:, 640:] = 90
    scenes = play(perception, images)
    right = max(scenes[19].people, key=lambda p: p.face.origin_px[0]).person_id
    for scene in scenes[20:35]:
        (hidden,) = [p for p in scene.people if p.person_id == right]
        assert hidden.face is None
        assert hidden.actions == UNKNOWN_MASK
        assert np.isnan(hidden.probabilities).all()
        assert 0 <= hidden.voice_activity <= 1
    back = [p for p in scenes[38].people if p.person_id == right]
    assert back
    assert back[0].face is not None
    assert len({p.person_id for s in scenes for p in s.people}) == 3
    assert perception.counts["faces_lost"] >= 1


def test_who_has_left_is_dropped():
    perception = perceive(max_missed=10)
    images = list(frames(SECONDS * 25)[:10]) + [np.full((400, 960, 3), 90, np.uint8)] * 13
    scenes = play(perception, images)
    assert len(scenes[9].people) == len(scenes[18].people) == 3
    assert scenes[-1].people == ()


def test_missed_ticks_count_for_ages_and_hold_the_rest():
    perception = perceive()
    images = frames(SECONDS * 25)
    play(perception, images[:20])
    before = perception.process(Frame(20 * TICK_NS, images[20]), 20)
    after = perception.process(Frame(25 * TICK_NS, images[25]), 25, missed_ticks=4)
    assert after.missed_ticks == 4
    for p, q in zip(before.people, after.people, strict=True):
        assert q.age_ticks == p.age_ticks + 5
        assert q.face is not None


def test_a_jump_back_of_the_images_forgets_everyone():
    perception = perceive(seed=None)
    images = frames(SECONDS * 25)
    old = {p.person_id for p in play(perception, images[:10])[-1].people}
    scene = perception.process(Frame(0, images[0]), 0, reset=True)
    assert scene.reset
    assert scene.people == ()
    assert {p.person_id for p in play(perception, images[:10])[-1].people}.isdisjoint(old)


@pytest.mark.parametrize(("gap_s", "same"), [(0.6, True), (5.0, True), (11.0, False)])
def test_who_is_there_after_a_gap_of_the_images_is_the_same_person(gap_s, same):
    perception = perceive()
    images = frames(SECONDS * 25)
    before = {p.person_id for p in play(perception, images[:40])[-1].people}
    start = 39 * TICK_NS + round(gap_s * 1e9)
    scenes = [
        perception.process(Frame(start + i * TICK_NS, image), i, reset=i == 0)
        for i, image in enumerate(images[40:50])
    ]
    after = {p.person_id for p in scenes[-1].people}
    assert len(after) == 3
    assert (after == before) if same else after.isdisjoint(before)
    events = {event.person_id: event.kind for scene in scenes for event in scene.events}
    assert set(events.values()) == {Presence.RETURNED if same else Presence.ENTERED}


def test_without_sound_lips_decide_with_less_trust(played):
    images = frames(SECONDS * 25)[:150]
    scenes = play(perceive(), images)
    assert all(np.isnan(s.voice_activity) for s in scenes)
    assert all(np.isnan(p.voice_match) for s in scenes for p in s.people)
    best = max(p.voice_activity for s in scenes for p in s.people)
    assert 0.5 < best <= PerceptionConfig().lips_only_trust + 1e-6


def test_more_faces_than_allowed_are_counted():
    perception = perceive(max_people=2)
    scenes = play(perception, frames(SECONDS * 25)[:12])
    assert all(len(s.people) <= 2 for s in scenes)
    assert len(scenes[-1].people) == 2
    assert perception.counts["faces_over_limit"] > 0


@pytest.mark.parametrize(
    "shape", [(8, 8), (1, 1), (1, 500), (1, 4000), (2160, 3840), (800, 300)], ids=lambda s: f"{s[1]}x{s[0]}"
)
@pytest.mark.parametrize("content", ["black", "noise"])
def test_odd_images_show_nobody_and_do_no_harm(shape, content):
    perception = perceive()
    image = np.zeros((*shape, 3), np.uint8)
    if content == "noise":
        image[:] = np.random.default_rng(0).integers(0, 255, image.shape, dtype=np.uint8)
    for i in range(3):
        scene = perception.process(Frame(i * TICK_NS, image), i, reset=i == 0)
    assert scene.people == ()
    assert scene.image_size == (shape[1], shape[0])


def test_4k_portrait_and_a_change_of_size_are_seen():
    perception = perceive(min_hits=1)
    image = frames(SECONDS * 25)[0]
    large = cv2.copyMakeBorder(cv2.resize(image, (3840, 1600)), 0, 560, 0, 0, cv2.BORDER_CONSTANT)
    portrait = np.ascontiguousarray(image[:, :300])
    seen = [len(perception.process(Frame(i * TICK_NS, large), i).people) for i in range(2)]
    assert seen[-1] == 3
    scene = perception.process(Frame(2 * TICK_NS, portrait), 2)  # two of the regions are outside now
    assert any(p.face is not None for p in perception.process(Frame(3 * TICK_NS, portrait), 3).people)
    assert scene.image_size == (300, 400)


def test_warm_up_changes_nothing(played):
    _, scenes = played
    perception = perceive()
    perception.warm_up()
    again = play(perception, frames(SECONDS * 25)[:30], sound(SECONDS))
    assert all(equal(a, b) for a, b in zip(scenes[:30], again, strict=True))


def test_a_still_picture_gives_still_landmarks():
    scenes = play(perceive(), [frames(SECONDS * 25)[0]] * 20)
    for k in range(3):
        track = np.array([s.people[k].face.landmarks_px for s in scenes[10:]])
        assert np.ptp(track, axis=0).max() < 0.05


@pytest.fixture(scope="module")
def matched():
    """With the shipped syncer: the perception and its scenes."""
    perception = perceive(load_embedder("syncer"))
    return perception, play(perception, frames(SECONDS * 25), sound(SECONDS))


def speaking_alone(last: int) -> dict[int, int]:
    """Who, from the left, has spoken alone for half a second, by tick."""
    speaking = [known["speaking"] for known in truth()["people"]]
    alone = {}
    for i, spans in enumerate(speaking):
        others = [span for j, other in enumerate(speaking) if j != i for span in other]
        for begin, end in spans:
            for tick in range(int(begin * 25) + 12, min(int(end * 25), last)):
                if not any(a <= tick / 25 < b for a, b in others):
                    alone[tick] = i
    return alone


def matches(scene) -> list[float]:
    """Of the people from the left."""
    return [p.voice_match for p in sorted(scene.people, key=lambda p: p.face.origin_px[0])]


def test_the_voice_is_that_of_who_speaks(matched):
    """The whole path on real people, where one has spoken alone for half a second."""
    _, scenes = matched
    right = []
    for tick, speaker in speaking_alone(len(scenes)).items():
        found = matches(scenes[tick])
        right.append(found[speaker])
        assert sum(found) <= 1 + 1e-6
    assert len(right) > 50
    assert np.mean(right) > 0.8
    assert speaking_f1(scenes) > 0.8
    assert matched[0].counts["av_offset"] == 0
    assert matched[0].times.window("match").count == len(scenes)


def test_faces_are_held_against_the_voice_alike_however_sound_arrives(matched):
    _, scenes = matched
    n = 150
    other = perceive(load_embedder("syncer"))
    for _ in range(2):  # the second time after a jump back
        again = play(other, frames(SECONDS * 25)[:n], sound(SECONDS)[: n * 640], ahead_s=1.0, size=4000)
        assert all(equal(a, b) for a, b in zip(scenes[:n], again, strict=True))


def test_sound_that_is_stamped_late_is_found_out_and_put_right_on_the_way():
    perception = perceive(load_embedder("syncer"), audio_offset_ms=200.0)
    images, heard = frames(22 * 25), sound(22)
    assert np.isnan(perception.av_offset_ms)
    play(perception, images[:50], heard[: 50 * 640])
    assert np.isnan(perception.av_offset_ms)
    late = play(perception, images, heard)
    assert perception.av_offset_ms == pytest.approx(-200, abs=41)
    assert perception.counts["av_offset"] > 0
    perception.adjust(replace(perception.config, audio_offset_ms=0.0))
    assert np.isnan(perception.av_offset_ms), "nothing is known of what is left"
    right = play(perception, images, heard, begin=len(images))
    assert perception.av_offset_ms == pytest.approx(0, abs=41)
    assert {p.person_id for p in right[-1].people} == {p.person_id for p in late[-1].people}
    alone = speaking_alone(len(images))
    before, after = (np.mean([matches(s[tick])[who] for tick, who in alone.items()]) for s in (late, right))
    assert before < after
    assert after > 0.8
    perception.reset()
    assert np.isnan(perception.av_offset_ms)


def test_comparing_with_the_voice_is_switched_off_and_on_on_the_way():
    both, by_lips = perceive(load_embedder("syncer")), perceive()
    images, heard = frames(SECONDS * 25), sound(SECONDS)
    for perception in (both, by_lips):
        play(perception, images[:75], heard[: 75 * 640])
    both.adjust(replace(both.config, active_speaker=False))
    off, lips = (play(perception, images, heard, begin=75) for perception in (both, by_lips))
    np.testing.assert_allclose([matches(s) for s in off], [matches(s) for s in lips], atol=1e-6)
    assert np.isnan(both.av_offset_ms)
    both.adjust(replace(both.config, active_speaker=True))
    on = play(both, images, heard, begin=75 + len(images))
    alone = speaking_alone(len(images))
    seen, read = (np.mean([matches(s[tick])[who] for tick, who in alone.items()]) for s in (on, lips))
    assert seen > 0.8
    assert seen > read


def test_without_a_syncer_or_with_one_that_is_switched_off_lips_decide(played):
    _, scenes = played
    off = perceive(load_embedder("syncer"), active_speaker=False)
    again = play(off, frames(SECONDS * 25)[:60], sound(SECONDS))
    assert all(equal(a, b) for a, b in zip(scenes[:60], again, strict=True))
    assert np.isnan(off.av_offset_ms)


def test_audio_is_checked():
    with pytest.raises(ValueError, match="mono"):
        perceive().push_audio(chunk(0, np.zeros((10, 2), np.float32)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backend", "lens"),
        ("workers", 0),
        ("detect_every", 0),
        ("min_presence", 1.5),
        ("max_people", 99),
        ("min_overlap", 0),
        ("audio_lag_ms", -1),
        ("audio_offset_ms", 5000),
        ("match_memory_s", 0),
        ("camera_matrix", (1.0, 2.0)),
        ("unseen_voice", float("nan")),
    ],
)
def test_settings_are_checked_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        PerceptionConfig(**{name: value})
