"""The annotated picture, the collector of a tick's parts, the terminal table, the video."""

import io
import math
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hmgen_ros.types import (
    NUM_ACTIONS,
    Action,
    ActionOutlook,
    AudioChunk,
    Face,
    Frame,
    HeadMotion,
    HeadPose,
    Person,
    Scene,
    SpeakerOutlook,
    action_mask,
)
from hmgen_ros.viewing.collector import TickCollector, TickView
from hmgen_ros.viewing.overlay import draw
from hmgen_ros.viewing.terminal import RunStatus, render
from hmgen_ros.viewing.video_writer import VideoWriter

TICK = 40_000_000


def a_face() -> Face:
    rng = np.random.default_rng(0)
    points = rng.uniform([40, 40], [120, 140], (68, 2)).astype(np.float32)
    box = np.array([30, 30, 130, 150], np.float32)
    origin = np.array([80, 80], np.float32)
    return Face(box, 0.9, points, points, origin, 50.0, np.ones(68, np.float32), HeadPose(0.3, -0.1, 0.0))


def parts(stamp: int, names: tuple[str, ...] = ("a", "b")) -> list:
    """Everything that belongs to one tick."""
    probabilities = np.full(NUM_ACTIONS, np.nan, np.float32)
    speaking = action_mask(Action.SPEAKING)
    people = tuple(Person(name, a_face(), 0.5, speaking, probabilities) for name in names)
    motion = np.repeat(a_face().landmarks_px[None], 25, axis=0)
    pose = np.zeros((25, 3), np.float32)
    return [
        Frame(stamp, np.full((180, 320, 3), 60, np.uint8)),
        Scene(stamp, 0, people, 0.7, (320, 180)),
        *(ActionOutlook(stamp, name, 1.6, True, speaking, 0, 0.6, 0.4, 0.7, 0.3) for name in names),
        SpeakerOutlook(stamp, 1.6, True, names[0] if names else "", "b", 0.5, 0.2, 0.8),
        *(HeadMotion(stamp, name, motion, np.zeros(2, np.float32), 50.0, pose) for name in names),
    ]


@given(st.permutations(list(range(len(parts(TICK))))))
def test_a_tick_is_handed_out_once_in_any_order_of_its_parts(order: list[int]) -> None:
    collector, everything = TickCollector(), parts(TICK)
    ready = [view for index in order for view in collector.add(TICK, everything[index])]
    assert len(ready) == 1
    assert ready[0].complete()
    assert collector.counts.values == {}


def test_ticks_come_out_in_order_when_they_arrive_interleaved() -> None:
    collector = TickCollector()
    one, two = parts(TICK), parts(2 * TICK)
    ready = []
    for first, second in zip(one, two, strict=True):
        ready += collector.add(TICK, first)
        ready += collector.add(2 * TICK, second)
    assert [view.frame.stamp_ns for view in ready] == [TICK, 2 * TICK]


def test_an_incomplete_tick_waits_for_three_images_and_comes_as_it_is() -> None:
    collector = TickCollector(patience=3)
    ready = [view for tick in range(1, 6) for view in collector.add(tick * TICK, parts(tick * TICK)[0])]
    assert [view.frame.stamp_ns for view in ready] == [TICK, 2 * TICK]
    assert collector.counts["view_incomplete"] == 2


@pytest.mark.parametrize(("whole", "delay"), [(True, 0), (True, 2), (False, 0), (False, 2)])
def test_images_that_perception_passed_by_are_left_out(whole: bool, delay: int) -> None:
    """At 30 fps every sixth image is surplus; the rest come late, with or without predictions."""
    collector, shown = TickCollector(patience=5, capacity=10), []
    for i in range(300 + delay):
        if i < 300:
            shown += collector.add((i + 1) * TICK, parts((i + 1) * TICK)[0])
        done = i - delay
        if done >= 0 and done % 6 != 5:
            for part in parts((done + 1) * TICK)[1 : None if whole else 2]:
                shown += collector.add((done + 1) * TICK, part)
    assert all(view.scene is not None for view in shown)
    assert [view.frame.stamp_ns for view in shown] == sorted({view.frame.stamp_ns for view in shown})
    assert len(shown) >= 245
    assert collector.counts["view_without_scene"] >= 49
    assert (collector.counts["view_incomplete"] == 0) == whole


def test_images_come_as_they_are_while_perception_is_missing_and_whole_again_after() -> None:
    collector, shown = TickCollector(patience=3), []
    for tick in range(1, 31):
        present = parts(tick * TICK) if tick <= 10 or tick > 20 else parts(tick * TICK)[:1]
        for part in present:
            shown += collector.add(tick * TICK, part)
    bare = [view.frame.stamp_ns // TICK for view in shown if view.scene is None]
    assert bare == list(range(11, 19))
    assert collector.counts.values == {"view_incomplete": 8, "view_without_scene": 2}
    assert shown[-1].complete()


def test_after_a_stray_image_stamped_too_late_ticks_come_again() -> None:
    collector, shown = TickCollector(), []
    stamps = [10 * TICK, 32 * TICK, *(tick * TICK for tick in range(13, 40))]
    for stamp in stamps:
        frame, scene, *rest = parts(stamp)
        reset = stamp == 13 * TICK
        for part in (frame, replace(scene, reset=reset), *rest):
            shown += collector.add(stamp, part)
    assert [view.frame.stamp_ns // TICK for view in shown] == [10, 32, *range(14, 40)]


def test_parts_without_an_image_do_not_pile_up() -> None:
    collector = TickCollector(capacity=10)
    for tick in range(1, 1000):
        for part in parts(tick * TICK)[1:]:
            assert collector.add(tick * TICK, part) == []
    assert collector.counts["view_without_image"] > 900
    # Images that come then are served again.
    assert len([v for p in parts(2000 * TICK) for v in collector.add(2000 * TICK, p)]) == 1


def test_after_a_jump_back_in_time_ticks_come_again() -> None:
    collector = TickCollector()
    for part in parts(1000 * TICK):
        collector.add(1000 * TICK, part)
    assert len([v for p in parts(TICK) for v in collector.add(TICK, p)]) == 1


def _view(names: tuple[str, ...]) -> TickView:
    collector = TickCollector()
    return next(v for p in parts(TICK, names) for v in collector.add(TICK, p))


def test_drawing_marks_the_picture_and_leaves_the_frame_alone() -> None:
    one = _view(("a", "b"))
    picture = draw(one)
    assert picture.shape == one.frame.image.shape
    assert (one.frame.image == 60).all()
    assert (picture != 60).any(axis=2).mean() > 0.05
    # The box of a speaker is there.
    assert (picture[28:33, 30:130] != 60).any()


def test_drawing_people_who_are_hidden_or_half_outside_works() -> None:
    face = a_face()
    outside = Face(
        face.box - 100,
        0.5,
        face.landmarks_px - 100,
        face.landmarks,
        face.origin_px,
        50.0,
        face.visibility,
        None,
    )
    everyone = tuple(
        Person(name, shown, math.nan, 0, np.full(NUM_ACTIONS, np.nan, np.float32))
        for name, shown in (("a", None), ("b", outside))
    )
    picture = draw(
        TickView(Frame(1, np.zeros((180, 320, 3), np.uint8)), Scene(1, 0, everyone, math.nan, (320, 180)))
    )
    assert picture.any()


def test_a_tick_without_perception_says_so_and_one_without_image_is_refused() -> None:
    assert draw(TickView(Frame(1, np.zeros((180, 320, 3), np.uint8)))).any()
    with pytest.raises(ValueError, match="image"):
        draw(TickView())


def test_terminal_table_shows_people_predictions_and_figures() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    status = RunStatus(
        "talk.mp4", 100, 2, 25.0, 12.3, 34.5, 4.0, 60.0, {"detect": 9.1}, {"missed": 3}, "out/"
    )
    console.print(render(_view(("anna", "ben")), status))
    text = console.export_text()
    for word in ("talk.mp4", "25.0 Hz", "dropped 2", "12.3", "34.5", "anna", "ben", "speaking", "none 60%"):
        assert word in text
    for word in ("0.4 s", "detect 9.1", "missed 3", "recording to out/", "next speaker: b 50%"):
        assert word in text


def test_terminal_table_without_anybody() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(TickView(), RunStatus("0")))
    assert "hmgen_ros" in console.export_text()


@pytest.mark.parametrize("size", [(180, 320), (181, 321)])
def test_video_keeps_stamps_and_sound(tmp_path: Path, size: tuple[int, int]) -> None:
    path, start = tmp_path / "out.mp4", 5_000_000_000
    rng = np.random.default_rng(0)
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)).astype(np.float32)
    with VideoWriter(path) as writer:
        for index in range(50):
            # A chunk is missing: its place is silent, what follows keeps its time.
            if index != 20:
                writer.add_sound(
                    AudioChunk(start + index * TICK, tone[index * 640 : (index + 1) * 640], 16_000)
                )
            if index not in (10, 11):
                writer.add_image(rng.integers(0, 255, (*size, 3), dtype=np.uint8), start + index * TICK)
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
        np.testing.assert_allclose(times, [i * 0.04 for i in range(50) if i not in (10, 11)], atol=1e-3)
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(sound) / 16_000 == pytest.approx(2.0, abs=0.15)
    assert np.abs(sound[16_000:20_000]).mean() > 0.1


def _write_video(path: Path, stamps: list[int], sound_ahead_ns: int = 0) -> VideoWriter:
    """Pictures and a tone at ``stamps``."""
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(640) / 16_000)).astype(np.float32)
    with VideoWriter(path) as writer:
        for stamp in stamps:
            writer.add_sound(AudioChunk(stamp + sound_ahead_ns, tone, 16_000))
            writer.add_image(np.full((48, 64, 3), 100, np.uint8), stamp)
    return writer


def _times(path: Path) -> tuple[list[float], float]:
    """Times of the pictures and seconds of sound."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        return times, sum(frame.samples for frame in container.decode(audio=0)) / 16_000


JUMPS = {
    "a loop": ([*range(100, 150), *range(100, 150)], {"video_jump_back"}),
    "a clock that was set": ([*range(0, 50), *range(90_000, 90_050)], {"video_jump_ahead"}),
    "one from the future": ([*range(50), 90_000, *range(50, 99)], {"video_jump_ahead", "video_jump_back"}),
    "one from the past": ([*range(100, 150), 3, *range(150, 199)], {"video_jump_ahead", "video_jump_back"}),
}


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("sound_ahead_ns", [0, 200_000_000, -200_000_000])
def test_video_goes_on_after_jumps_in_time(tmp_path: Path, jump: str, sound_ahead_ns: int) -> None:
    ticks, causes = JUMPS[jump]
    writer = _write_video(tmp_path / "out.mp4", [tick * TICK + 10**9 for tick in ticks], sound_ahead_ns)
    times, seconds = _times(tmp_path / "out.mp4")
    assert len(times) >= 99
    assert all(0.03 < step < 0.4 for step in np.diff(times))
    assert times[-1] == pytest.approx(4.0, abs=0.5)
    assert seconds == pytest.approx(4.0, abs=0.8)
    counted = {cause for cause, _ in writer.counts.items()}
    assert causes <= counted <= {*causes, "video_sound_jump"}


def test_sound_of_another_clock_goes_with_the_pictures(tmp_path: Path) -> None:
    stamps = [10**9 + tick * TICK for tick in range(100)]
    writer = _write_video(tmp_path / "out.mp4", stamps, sound_ahead_ns=1_700_000_000 * 10**9)
    times, seconds = _times(tmp_path / "out.mp4")
    assert writer.counts["video_sound_jump"] == 1
    assert (times[-1], seconds) == pytest.approx((3.96, 4.0), abs=0.15)


def test_a_long_silence_stays_where_it_was(tmp_path: Path) -> None:
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(640) / 16_000)).astype(np.float32)
    with VideoWriter(tmp_path / "out.mp4") as writer:
        for tick in range(200):
            writer.add_image(np.full((48, 64, 3), 100, np.uint8), tick * TICK)
            if tick < 25 or tick >= 150:
                writer.add_sound(AudioChunk(tick * TICK, tone, 16_000))
    with av.open(str(tmp_path / "out.mp4")) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(sound) / 16_000 == pytest.approx(8.0, abs=0.15)
    assert np.abs(sound[2 * 16_000 : 5 * 16_000]).mean() < 0.01
    assert np.abs(sound[int(6.2 * 16_000) : int(7.8 * 16_000)]).mean() > 0.1
    assert not writer.counts.items()


def test_a_camera_that_pauses_keeps_its_place_beside_the_sound(tmp_path: Path) -> None:
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(640) / 16_000)).astype(np.float32)
    with VideoWriter(tmp_path / "out.mp4") as writer:
        for tick in range(200):
            writer.add_sound(AudioChunk(tick * TICK, tone, 16_000))
            if tick < 25 or tick >= 150:
                writer.add_image(np.full((48, 64, 3), 100, np.uint8), tick * TICK)
    times, seconds = _times(tmp_path / "out.mp4")
    assert times[25] == pytest.approx(6.0, abs=0.01)
    assert (times[-1], seconds) == pytest.approx((7.96, 8.0), abs=0.15)
    assert not writer.counts.items()
