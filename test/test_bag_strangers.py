"""hmgen evaluate bag on bags of strangers: nothing in them ends the evaluation, or that of other bags."""

import base64
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from perception_scene import RATE, frames, sound
from rich.console import Console
from test_bag_reader import Recorder
from test_evaluate_bag import SECOND, SPACE, oracle_ticks, people_bag, quiet, scenes

from hmgen_ros.evaluation import bag_playing
from hmgen_ros.evaluation.bag_action_log import ActionLog
from hmgen_ros.evaluation.bag_figures import timelines
from hmgen_ros.evaluation.bag_inputs import Choice, choose, items
from hmgen_ros.evaluation.bag_reader import Bag
from hmgen_ros.evaluation.bag_replay import Replay, ReplaySettings
from hmgen_ros.evaluation.evaluate_bag import EvaluateBagConfig, evaluate_bag
from hmgen_ros.msg import People
from hmgen_ros.nodes.bag_writer import BagWriter
from hmgen_ros.nodes.conversions import people_message
from hmgen_ros.perceiving import PerceptionStream, load_perception
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.types import TICK_NS, Frame


def changed_bag(path: Path, change: Callable[[People], None]) -> Path:
    """People in a bag, changed before they are written."""
    writer = BagWriter(path)
    for scene in scenes(150):
        message = people_message(scene)
        change(message)
        writer.write("/people", People, message, scene.stamp_ns)
    writer.close()
    return path


def test_two_types_on_one_topic(tmp_path: Path) -> None:
    """Two publishers that disagree: the type of most messages is played, the others are counted."""
    recorder = Recorder(tmp_path / "bag")
    for index in range(20):
        recorder.image("/image", SECOND + index * TICK_NS)
    kind = "sensor_msgs/msg/CompressedImage"
    recorder.topics["/image"] = recorder.writer.add_connection("/image", kind, typestore=recorder.store)
    stamp = recorder.header(2 * SECOND)
    recorder.write(
        "/image", 2 * SECOND, recorder.make(kind, header=stamp, format="jpeg", data=np.zeros(9, np.uint8))
    )
    recorder.writer.close()
    with Bag(tmp_path / "bag") as bag:
        assert [(topic.type, topic.count) for topic in bag.topics.values()] == [("sensor_msgs/msg/Image", 20)]
        assert len(list(items(bag, choose(bag, Choice())))) == 20
        assert bag.counts["other_type"] == 1


def test_a_part_that_is_missing_is_told(tmp_path: Path) -> None:
    """Of a bag in two files the second: what is left is played, and that it is not all is said."""
    bag = people_bag(tmp_path / "bag", 60)
    listed = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(listed.replace("- bag.mcap", "- bag.mcap\n  - bag_1.mcap"))
    with Bag(bag) as opened:
        assert opened.topics["/robot/people"].count == 60
        assert opened.counts["bag_metadata"] == 1


def collapse(message: People) -> None:
    for person in message.people:
        person.face.pixels = np.zeros(136, np.float32)


def mark_all(message: People) -> None:
    """Every bit, that of the unknown and those that stand for nothing included."""
    message.people[0].active_actions = 65535
    message.people[1].active_actions = 0b111_1111_1111


def rename(message: People) -> None:
    """Ids that are markup to a terminal, formulas to matplotlib, and HTML."""
    for person, name in zip(message.people, ("[/red]$\\frac{a$", "<b>$x_{$"), strict=True):
        person.id = name


def lose_the_size(message: People) -> None:
    message.image_width = message.image_height = 0


@pytest.mark.parametrize("change", [collapse, mark_all, rename, lose_the_size])
def test_strange_people_are_scored_as_far_as_they_go(
    tmp_path: Path, change: Callable[[People], None]
) -> None:
    page = tmp_path / "page.html"
    bag = changed_bag(tmp_path / "bag", change)
    report = evaluate_bag(EvaluateBagConfig(bag, html=page, model="persistence"), quiet())
    assert report["ticks"] == 150
    assert "<b>" not in page.read_text()
    scored = report["actions"]["persistence"]["by_horizon"]["0.2"]["people"]
    # Who has the bit of the unknown is unknown, whatever else is said of them.
    assert scored == (145 if change is mark_all else 2 * 145)


def test_a_crowd_fits_into_a_picture() -> None:
    """Of three hundred ids in a few seconds a picture shows twelve, in a moment."""
    log = ActionLog(SPACE, {"oracle": SPACE}, 40)
    for index, made in enumerate(oracle_ticks(100, 0.8)):
        people = tuple(replace(one, person_id=f"{one.person_id}{index}") for one in made.scene.people)
        log.add(replace(made, scene=replace(made.scene, people=people)))
    (picture,) = timelines(log, "oracle", {})
    header = base64.b64decode(picture.partition(",")[2])[:24]
    width, height = (int.from_bytes(header[at : at + 4], "big") for at in (16, 20))
    assert width < height < 2000


def test_brackets_in_names_are_text(tmp_path: Path) -> None:
    """What a bag says is shown as it is, and never taken for markup."""
    recorder = Recorder(tmp_path / "[bold]bag")
    for index in range(40):
        recorder.image("/[red]image", SECOND + index * TICK_NS)
    stamp, pixels = recorder.header(2 * SECOND), np.zeros(9, np.uint8)
    wrong = recorder.make(
        "sensor_msgs/msg/Image", header=stamp, height=1, width=3, encoding="[/bgr8]", is_bigendian=0, step=9,
        data=pixels,
    )  # fmt: skip
    recorder.write("/[red]image", 2 * SECOND, wrong)
    recorder.writer.close()
    console = Console(record=True, width=200)
    evaluate_bag(EvaluateBagConfig(tmp_path / "[bold]bag", model="persistence"), console)
    shown = console.export_text()
    for text in ("[bold]bag", "/[red]image", "[/bgr8]"):
        assert text in shown


def test_a_defect_in_one_bag_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("monday", "tuesday"):
        people_bag(tmp_path / "bags" / name, 60)
    score = bag_playing.score_bag

    def broken(path: Path, *rest):
        if path.name == "monday":
            raise ZeroDivisionError("nobody foresaw this")
        return score(path, *rest)

    monkeypatch.setattr(bag_playing, "score_bag", broken)
    report = evaluate_bag(EvaluateBagConfig(tmp_path / "bags", model="persistence"), quiet())
    assert set(report["bags"]) == {"tuesday"}
    assert "ZeroDivisionError nobody foresaw this" in report["failed"]["monday"]
    with pytest.raises(ZeroDivisionError):
        evaluate_bag(EvaluateBagConfig(tmp_path / "bags" / "monday", model="persistence"), quiet())


def playing() -> list[psutil.Process]:
    """The processes that play bags."""
    return [one for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())]


def test_a_process_that_is_killed_costs_no_bag(tmp_path: Path) -> None:
    for name in ("monday", "tuesday", "wednesday"):
        people_bag(tmp_path / "bags" / name, 60)
    config = EvaluateBagConfig(tmp_path / "bags", model="persistence", jobs=2)
    with ThreadPoolExecutor(1) as thread:
        report = thread.submit(evaluate_bag, config, quiet())
        until = time.monotonic() + 100.0
        while not (
            players := [p for p in psutil.Process().children() if "spawn_main" in "".join(p.cmdline())]
        ):
            assert time.monotonic() < until
            time.sleep(0.02)
        players[0].kill()
        assert set(report.result()["bags"]) == {"monday", "tuesday", "wednesday"}


def test_outputs_that_cannot_be_written_are_named_before_anything_is_played(tmp_path: Path) -> None:
    for option in ("json", "html"):
        with pytest.raises(ValueError, match="cannot write /proc"):
            evaluate_bag(EvaluateBagConfig(tmp_path / "missing", **{option: Path("/proc/out.x")}), quiet())


def camera_info(recorder: Recorder, size: tuple[int, int]) -> Any:
    """Of a camera that sees narrowly."""
    empty = recorder.make(
        "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    wide, high = size
    matrix = [3.0 * wide, 0, wide / 2, 0, 3.0 * wide, high / 2, 0, 0, 1]
    return recorder.make(
        "sensor_msgs/msg/CameraInfo", header=recorder.header(SECOND), height=high, width=wide,
        distortion_model="", d=np.zeros(0), k=np.array(matrix, float), r=np.zeros(9), p=np.zeros(12),
        binning_x=0, binning_y=0, roi=empty,
    )  # fmt: skip


def test_the_calibration_beside_the_pictures_is_used(tmp_path: Path) -> None:
    """As perception_node uses it; angles are to the ray that a head stands on, so that they change little."""
    yaws = {}
    for name in ("/head/camera_info", "/other/camera_info"):
        recorder = Recorder(tmp_path / name.strip("/").replace("/", "_"))
        recorder.write(name, SECOND, camera_info(recorder, (1920, 800)))
        for tick, picture in enumerate(frames(8)):
            stamp = SECOND + tick * TICK_NS
            message = recorder.make(
                "sensor_msgs/msg/Image", header=recorder.header(stamp), height=400, width=960,
                encoding="bgr8", is_bigendian=0, step=2880, data=picture.reshape(-1),
            )  # fmt: skip
            recorder.write("/head/image_raw", stamp, message)
        recorder.writer.close()
        with Bag(recorder.writer.path) as bag:
            inputs = choose(bag, Choice())
            replay = Replay(bag, inputs, ReplaySettings(model="persistence"))
            people = list(replay.ticks())[-1].scene.people
        assert ("camera_info" in inputs.names()) == name.startswith("/head")
        yaws[name] = [person.face.pose.yaw for person in people if person.face and person.face.pose]
    apart = np.abs(np.subtract(*yaws.values()))
    assert len(apart) == 3
    assert (apart > 1e-4).all()


def test_pictures_of_another_size_and_sound_of_another_clock_are_told() -> None:
    images, voice = frames(30), sound(2)
    stream = PerceptionStream(load_perception(PerceptionConfig(seed=0), lambda *_: None))
    found = []
    for tick, image in enumerate(images):
        stamp = SECOND + tick * TICK_NS
        samples = voice[tick * RATE // 25 : (tick + 1) * RATE // 25]
        # From the tenth tick on the sound's clock is an hour ahead, and the camera sends half the size.
        stream.hear(stamp + (3600 * SECOND if tick >= 10 else 0), samples, RATE)
        frame = Frame(stamp, image if tick < 20 else np.ascontiguousarray(image[::2, ::2]))
        found.append(stream.perceive(frame))
    stream.perception.close()
    counts = {cause: amount for part in stream.counts for cause, amount in part.items()}
    assert counts["audio_apart"] == 20
    assert counts["reset_size"] == 1
    assert [scene.stamp_ns for scene in found if scene and scene.reset] == [SECOND, SECOND + 20 * TICK_NS]
    assert found[-1] is not None
    assert len(found[-1].people) == 3
