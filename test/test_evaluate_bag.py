"""hmgen evaluate bag: the same bits every time, from cameras and people; scores that are what they say."""

import json
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from perception_scene import RATE, frames, sound
from rich.console import Console
from rosbags.rosbag2 import StoragePlugin
from sensor_msgs.msg import CompressedImage
from test_bag_reader import Recorder, camera_bag

from hmgen_ros.evaluation.bag_action_log import ActionLog
from hmgen_ros.evaluation.bag_action_values import action_values
from hmgen_ros.evaluation.bag_actions import action_sums
from hmgen_ros.evaluation.bag_heads import HeadLog, head_distances, head_values
from hmgen_ros.evaluation.bag_reader import BagError
from hmgen_ros.evaluation.bag_replay import Forecasters, ReplaySettings, Tick
from hmgen_ros.evaluation.bag_stretches import whole
from hmgen_ros.evaluation.bag_truth import BagTruth
from hmgen_ros.evaluation.evaluate_bag import EvaluateBagConfig, evaluate_bag, find_bags
from hmgen_ros.evaluation.perception_truth import SceneError
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.generators.group_forecaster import GroupForecast
from hmgen_ros.msg import AudioFrame, People
from hmgen_ros.nodes.bag_writer import BagWriter
from hmgen_ros.nodes.conversions import audio_message, people_message
from hmgen_ros.nodes.image_conversion import compressed_from_frame
from hmgen_ros.resources import resource
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import (
    NUM_ACTIONS,
    TICK_NS,
    Action,
    ActionForecast,
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

SECOND = 1_000_000_000
TICKS = 90
SPEAKS = action_mask(Action.SPEAKING)
SPACE = ActionSpace((0, SPEAKS))


def quiet() -> Console:
    return Console(quiet=True)


def face(x: float, y: float, pose: HeadPose | None = None) -> Face:
    """A face of 60 pixels between the eyes."""
    rng = np.random.default_rng(5)
    points = rng.uniform(-40, 40, (68, 2)).astype(np.float32)
    points[[36, 45]] = [[-30, 0], [30, 0]]
    pixels = points + np.float32([x, y])
    origin = np.float32([x, y])
    box = np.float32([x - 60, y - 60, x + 60, y + 60])
    pose = pose or HeadPose(0.1, 0.05, 0.0)
    return Face(box, 0.9, pixels, points / 60, origin, 60.0, np.ones(68, np.float32), pose)


def person(name: str, mask: int, found: Face | None) -> Person:
    return Person(name, found, 0.5, mask, np.full(NUM_ACTIONS, 0.1, np.float32))


def scenes(count: int, start_ns: int = SECOND, turn: int = 30) -> list[Scene]:
    """Two people who speak in turn, with a pause, and sway."""
    found = []
    for tick in range(count):
        phase = tick // turn % 2
        paused = tick % turn >= turn - 5
        people = tuple(
            person(
                name,
                SPEAKS if phase == i and not paused else 0,
                face(
                    150 + 200 * i + 6 * np.sin(tick / 9 + i), 120, HeadPose(0.1 * np.sin(tick / 9), 0.0, 0.0)
                ),
            )
            for i, name in enumerate(("ann", "bob"))
        )
        found.append(Scene(start_ns + tick * TICK_NS, tick, people, 0.5, (640, 360), reset=tick == 0))
    return found


def people_bag(path: Path, count: int, storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    writer = BagWriter(path, storage)
    for scene in scenes(count):
        writer.write("/robot/people", People, people_message(scene), scene.stamp_ns + 25_000_000)
    writer.close()
    return path


def scene_bag(
    path: Path, storage: StoragePlugin, image: str, audio: str, others: tuple[str, ...] = ()
) -> Path:
    """The first seconds of the bundled recording, as a camera and a microphone would be recorded."""
    writer, voice = BagWriter(path, storage), sound(4)
    for tick, picture in enumerate(frames(TICKS)):
        stamp = SECOND + tick * TICK_NS
        frame = Frame(stamp, picture)
        for topic in (image, *others):
            writer.write(topic, CompressedImage, compressed_from_frame(frame, 90), stamp + 1_000_000)
        samples = voice[tick * RATE // 25 : (tick + 1) * RATE // 25]
        chunk = AudioChunk(stamp, samples, RATE)
        writer.write(audio, AudioFrame, audio_message(chunk, "microphone"), stamp + TICK_NS)
    writer.close()
    return path


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """Results and HTML of the bundled scene."""
    out = tmp_path_factory.mktemp("scene")
    bag = scene_bag(out / "bag", StoragePlugin.MCAP, "/image_raw/compressed", "/audio")
    config = EvaluateBagConfig(
        bag, json=out / "a.json", html=out / "a.html", truth=resource("recordings/three_people.json")
    )
    evaluate_bag(config, quiet())
    return json.loads((out / "a.json").read_text()), (out / "a.html").read_text()


def test_the_scene_is_perceived_and_its_forecasts_are_scored(evaluated: tuple[dict, str]) -> None:
    report, _ = evaluated
    assert report["people"]["ids"] == 3
    assert report["ticks"] == TICKS
    assert report["source"] == "images"
    assert set(report["actions"]) == {"group_attention", "persistence"}
    assert set(report["heads"]) == {"constant_velocity", "hold"}
    for scores in report["actions"].values():
        assert 0 < scores["nll"] < 5
        assert scores["by_horizon"]["0.2"]["people"] > 2 * TICKS
    for scores in report["heads"].values():
        assert 0 < scores["by_horizon"]["0.2"]["error"] < 0.2
    assert report["perceived_speech"]["precision"] > 0.5


def test_the_report_is_one_file_with_its_figures(evaluated: tuple[dict, str]) -> None:
    _, page = evaluated
    pictures = re.findall(r'<img src="([^"]+)"', page)
    assert len(pictures) >= 4
    assert all(address.startswith("data:image/png;base64,") for address in pictures)
    assert not re.search(r'(src|href)="(?!data:)', page)
    for text in ("group_attention", "persistence", "next-speaker AUC", "Reliability", "digest"):
        assert text in page


def test_storage_and_names_change_no_bit(evaluated: tuple[dict, str], tmp_path: Path) -> None:
    topics = ("/front/image/compressed", "/mic", "/back/image/compressed")
    bag = scene_bag(tmp_path / "bag", StoragePlugin.SQLITE3, *topics)
    with pytest.raises(BagError, match="--image-topic"):
        evaluate_bag(EvaluateBagConfig(bag), quiet())
    truth = resource("recordings/three_people.json")
    found = evaluate_bag(EvaluateBagConfig(bag, image_topic="/front/image/compressed", truth=truth), quiet())
    report, _ = evaluated
    assert found["topics"] == {"image": "/front/image/compressed", "audio": "/mic"}
    for part in ("digest", "actions", "heads", "people", "perceived_speech"):
        assert json.loads(json.dumps(found[part])) == report[part]


def test_people_are_enough_and_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    bag = people_bag(tmp_path / "bag", 150, StoragePlugin.SQLITE3)
    for name in ("a", "b"):
        config = EvaluateBagConfig(bag, json=tmp_path / f"{name}.json", model="semi_markov")
        report = evaluate_bag(config, quiet())
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert (tmp_path / "a.timing.json").is_file()
    assert report["source"] == "people"
    assert report["latency"]["/robot/people"]["p50_ms"] == pytest.approx(25.0)
    assert set(report["actions"]) == {"semi_markov", "persistence"}
    scores = report["actions"]["semi_markov"]
    # Whoever falls silent is followed by the other within 1.6 s, but for the last turn of the bag.
    assert scores["turn_ends"] == 3
    assert 0 <= scores["next_speaker_auc"] <= 1
    # The seed shows, or nothing was sampled at all.
    other = evaluate_bag(EvaluateBagConfig(bag, model="semi_markov", seed=1), quiet())
    assert other["digest"] != report["digest"]


def test_a_rerun_recording_holds_people_and_forecasts(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    bag, out = people_bag(tmp_path / "bag", 60), tmp_path / "new" / "out.rrd"
    evaluate_bag(EvaluateBagConfig(bag, model="persistence", rerun=out), quiet())
    data = out.read_bytes()
    assert data.startswith(b"RRF2")
    for name in ("ann", "bob"):
        for path in ("speech/{}/forecast_0.8s_before", "picture/{}/landmarks", "next_speaker/{}"):
            assert path.format(name).encode() in data
    people_bag(tmp_path / "second", 2)
    with pytest.raises(ValueError, match="--rerun writes one bag"):
        evaluate_bag(EvaluateBagConfig(tmp_path, rerun=out), quiet())


def test_a_folder_of_bags_beside_each_other(tmp_path: Path) -> None:
    for name in ("monday", "tuesday"):
        people_bag(tmp_path / "bags" / name, 100)
    broken = tmp_path / "bags" / "broken"
    broken.mkdir()
    (broken / "broken.mcap").write_text("nothing")
    assert list(find_bags(tmp_path / "bags")) == ["broken", "monday", "tuesday"]
    loose = tmp_path / "loose"
    loose.mkdir()
    for name in ("a.mcap", "b.db3", "c_0.mcap", "c_1.mcap"):
        (loose / name).touch()
    assert list(find_bags(loose)) == ["a.mcap", "b.db3", "c_0.mcap", "c_1.mcap"]
    (loose / "a.mcap").unlink()
    (loose / "b.db3").unlink()
    # What differs by a number only is one bag that was split.
    assert find_bags(loose) == {"loose": loose}
    config = EvaluateBagConfig(
        tmp_path / "bags", jobs=2, model="semi_markov", json=tmp_path / "x.json", html=tmp_path / "x.html"
    )
    report = evaluate_bag(config, quiet())
    assert set(report["bags"]) == {"monday", "tuesday"}
    assert "broken.mcap" in report["failed"]["broken"]
    one, whole = report["bags"]["monday"], report["summary"]
    # The same bag twice: the same means over twice as many people.
    assert report["bags"]["tuesday"]["digest"] == one["digest"]
    scores, both = (part["actions"]["semi_markov"]["by_horizon"]["0.4"] for part in (one, whole))
    assert both["nll"] == pytest.approx(scores["nll"])
    assert both["people"] == 2 * scores["people"]
    monday, page = tmp_path / "bags" / "monday", tmp_path / "c.html"
    compared = EvaluateBagConfig(monday, compare=tmp_path / "x.json", html=page, model="persistence")
    evaluate_bag(compared, quiet())
    assert "semi_markov (x)" in page.read_text()


def test_bags_without_time_or_people_are_one_line_or_empty_scores(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="span no time"):
        evaluate_bag(EvaluateBagConfig(camera_bag(tmp_path / "short", 1)), quiet())
    recorder = Recorder(tmp_path / "unstamped")
    for time in range(SECOND, 2 * SECOND, TICK_NS):
        recorder.image("/image", 0, time_ns=time)
    recorder.writer.close()
    with pytest.raises(BagError, match="--stamps received"):
        evaluate_bag(EvaluateBagConfig(tmp_path / "unstamped", model="persistence"), quiet())
    empty = camera_bag(tmp_path / "empty", 60)
    page, out = tmp_path / "e.html", tmp_path / "e.rrd"
    wanted = {"rerun": out, "rerun_images": True} if find_spec("rerun") else {}
    report = evaluate_bag(EvaluateBagConfig(empty, html=page, **wanted), quiet())
    # Pictures are in it where they were asked for.
    assert not wanted or b"\xff\xd8\xff" in out.read_bytes()
    assert report["people"]["ids"] == 0
    assert report["actions"]["persistence"]["nll"] is None
    assert report["heads"]["hold"]["by_horizon"]["0.2"]["error"] is None


def test_people_of_two_publishers_are_no_clock() -> None:
    """Ticks that go back, stand still or jump by hours are breaks, and no table is made for the hours."""
    ticks = [*range(20), 5, 5, 2**40, *range(3, 23)]
    log = ActionLog(SPACE, {"oracle": SPACE}, 40)
    for tick, made in zip(ticks, oracle_ticks(len(ticks), 0.8), strict=True):
        log.add(replace(made, scene=replace(made.scene, tick=tick, reset=False)))
    assert [len(segment.index) for segment in log.segments] == [20, 1, 1, 1, 20]
    scores = action_values(whole(action_sums(log)["oracle"]), log.horizons)
    assert scores["by_horizon"]["0.2"]["people"] == 2 * 2 * (20 - 5)


def test_settings_that_cannot_be_are_named(tmp_path: Path) -> None:
    for wrong in (
        {"model": "oracle"},
        {"head_model": "oracle"},
        {"jobs": 0},
        {"horizon": 0.0},
        {"audio_rate": -5},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong.keys())).replace("_", "-") + "|oracle|between"):
            EvaluateBagConfig(tmp_path, **wrong)
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"x\.json holds no results"):
        evaluate_bag(EvaluateBagConfig(tmp_path, compare=tmp_path / "x.json"), quiet())


def oracle_ticks(count: int, sure: float) -> list[Tick]:
    """Forecasts that give what will happen a probability."""
    every = scenes(count)
    masks = np.array([[p.actions == SPEAKS for p in s.people] for s in scenes(count + 40)]).astype(int)
    ticks = []
    for tick, scene in enumerate(every):
        future = masks[tick + 1 : tick + 41]  # [T, N]
        given = np.where(np.arange(2) == future[..., None], sure, 1 - sure).astype(np.float32)
        samples = np.repeat(future[None], 4, axis=0).astype(np.uint8)
        found = ActionForecast(
            scene.stamp_ns, ("ann", "bob"), SPACE.masks, masks[tick].astype(np.int64), given, samples
        )
        group = GroupForecast(found, (), SpeakerOutlook(scene.stamp_ns, 1.6))
        ticks.append(Tick(scene, {"oracle": group}, {}))
    return ticks


@pytest.mark.parametrize("sure", [1.0, 0.8])
def test_who_knows_the_future_has_the_best_scores(sure: float) -> None:
    log = ActionLog(SPACE, {"oracle": SPACE}, 40)
    for tick in oracle_ticks(150, sure):
        log.add(tick)
    scores = action_values(whole(action_sums(log)["oracle"]), log.horizons)
    assert scores["nll"] == pytest.approx(-np.log(sure), abs=1e-6)
    assert scores["brier"] == pytest.approx(2 * (1 - sure) ** 2, abs=1e-6)
    assert scores["f1"] == scores["onset_f1"] == 1.0
    assert scores["next_speaker_auc"] == scores["next_speaker_hits"] == 1.0
    assert all(one["speaking_auc"] == 1.0 for one in scores["by_horizon"].values())
    # Nothing is scored beyond the end: two people at all ticks that have a future.
    assert [one["people"] for one in scores["by_horizon"].values()] == [2 * (150 - h) for h in log.horizons]


def test_truth_replaces_what_was_heard(tmp_path: Path) -> None:
    """A file that says that only bob speaks, the whole time."""
    people = [
        {"label": "Bob", "outer_eye_corners_px": [[320, 120], [380, 120]], "eye_distance_px": 60,
         "speaking": [[0.0, 99.0]]},
    ]  # fmt: skip
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"size": [640, 360], "people": people}))
    log = ActionLog(SPACE, {"oracle": SPACE}, 40)
    for tick in oracle_ticks(100, 0.8):
        log.add(tick)
    truth = BagTruth(path, SECOND)
    sums = whole(action_sums(log, truth)["oracle"])
    assert truth.labels(log.segments[0]) == {"bob": "Bob"}
    assert dict(truth.counts.items()) == {"truth_unmatched": 1}
    # Ann is nobody in the file, and bob is heard in one of his two thirds.
    assert [int(n) for n in sums["scores"][:, 2]] == [100 - h for h in log.horizons]
    spoken = sum(s.people[1].actions == SPEAKS for s in scenes(100))
    assert truth.heard.tolist() == [spoken, 100 - spoken, 0]
    path.write_text('{"people": []}')
    with pytest.raises(SceneError, match=r"truth\.json"):
        BagTruth(path, SECOND)


def test_head_errors_are_distances_in_eye_distances() -> None:
    """A head that moves 3 pixels a tick, held and followed."""
    log = HeadLog(("follow", "hold"), 25, 100)
    for tick in range(100):
        head = face(100 + 3 * tick, 100, HeadPose(0.01 * tick, 0.0, 0.0))
        stamp, ann = SECOND + tick * TICK_NS, person("ann", 0, head)
        scene = Scene(stamp, tick, (ann,), 0.0, (640, 360), reset=tick == 0)
        ahead = np.arange(1, 26)[:, None, None]
        poses = np.repeat([[0.01 * tick, 0.0, 0.0]], 25, axis=0).astype(np.float32)

        def motion(speed: float, head=head, poses=poses, ahead=ahead, stamp=stamp) -> HeadMotion:
            moved = head.landmarks_px + speed * ahead * np.float32([1, 0])
            return HeadMotion(stamp, "ann", moved.astype(np.float32), head.origin_px, 60.0, poses)

        log.add(Tick(scene, {}, {"follow": (motion(3.0),), "hold": (motion(0.0),)}))
    found = head_values({name: whole(sums) for name, sums in log.sums.items()}, log.horizons)
    for name, ticks in (("0.04", 1), ("0.4", 10), ("1", 25)):
        assert found["hold"][name]["error"] == pytest.approx(3 * ticks / 60, rel=1e-4)
        assert found["hold"][name]["yaw"] == pytest.approx(np.degrees(0.01 * ticks), rel=1e-3)
        assert found["follow"][name]["error"] == pytest.approx(0.0, abs=1e-5)
        assert found["follow"][name]["people"] == 100 - ticks
    assert len(log.windows["real"]) == 8
    distances = head_distances(log.windows)
    for metric in ("fd_motion", "fd_map", "velocity", "spectrum"):
        assert distances["follow"][metric] < 0.2 * distances["hold"][metric]


def scored(played: list[Scene]) -> tuple[int, int]:
    """People whose heads and actions were scored 0.2 s ahead."""
    settings = ReplaySettings(model="persistence", head_model="constant_velocity", samples=4)
    forecasters = Forecasters(settings, StageTimes())
    heads = HeadLog(forecasters.heads, 25, 100)
    log = ActionLog(forecasters.spaces["persistence"], forecasters.spaces, 40)
    for scene in played:
        tick = forecasters.observe(scene)
        heads.add(tick)
        log.add(tick)
    moved = head_values({"hold": whole(heads.sums["hold"])}, heads.horizons)["hold"]["0.2"]["people"]
    scores = action_values(whole(action_sums(log)["persistence"]), log.horizons)
    return moved, scores["by_horizon"]["0.2"]["people"]


def test_what_was_forecast_before_time_jumped_back_is_not_scored_after_it() -> None:
    once, twice = scored(scenes(30)), scored(scenes(30) + scenes(30))
    assert once[0] > 30
    assert once[1] == 2 * (30 - 5)
    assert twice == (2 * once[0], 2 * once[1])
