"""The command line: help with examples, figures of a real run, one line and exit code 2 on errors."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import av
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from hmgen_ros.cli import COMMANDS, main
from hmgen_ros.evaluation.bag_inputs import Choice, choose
from hmgen_ros.evaluation.bag_reader import Bag
from hmgen_ros.evaluation.bag_replay import Replay, ReplaySettings
from hmgen_ros.message_definitions import typestore
from hmgen_ros.message_reading import stamp_ns


def hmgen(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hmgen_ros.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def test_help_lists_the_commands_and_every_command_has_examples() -> None:
    text = hmgen("--help").stdout
    for name, command in COMMANDS.items():
        assert name in text
        assert command.help in text
    done = hmgen("run", "--help")
    assert done.returncode == 0
    assert "--headless" in done.stdout
    assert "hmgen run --source" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("dance",), "dance"),
        (("run", "--source", "/nowhere/talk.mp4"), "/nowhere/talk.mp4"),
        (("run", "--source", "webcam:99"), "/dev/video99"),
        (("run", "--duration", "-1"), "duration"),
        (("evaluate", "bag", "somewhere", "--device", "cuda:99"), "device 'cuda:99' cannot be used"),
        (("run", "--json", "/nowhere/out.json"), "/nowhere"),
        (("run", "--params-file", "/nowhere/p.yaml"), "/nowhere/p.yaml"),
        (("run", "--seed", "-4"), "seed"),
        (("run", "--headless", "--namespace", "bad name!"), "bad name"),
    ],
)
def test_errors_are_one_line_and_exit_with_2(arguments: tuple[str, ...], text: str) -> None:
    done = hmgen(*arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("perception_node:\n  ros__parameters:\n    max_people: many\n", "max_people"),
        ("perception_node:\n  ros__parameters:\n    max_people: 1000\n", "max_people"),
        ("perception_node: [\n", "params.yaml"),
    ],
)
def test_bad_parameter_files_are_one_line(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    done = hmgen("run", "--headless", "--params-file", str(path))
    assert done.returncode == 2
    assert named in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_corrupt_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    done = hmgen("run", "--headless", "--source", str(path))
    assert done.returncode == 2
    assert "noise.mp4" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("training.run_log", "RunError"),
        ("training.loop", "TrainingError"),
        ("generators.weights", "WeightsError"),
        ("perception.mesh_files", "ModelFileError"),
        ("streams.source", "MediaError"),
        ("nodes.base", "SetupError"),
    ],
)
def test_what_our_own_code_refuses_is_one_line_in_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, name: str
) -> None:
    """Also where the command's module does not know the class of error."""
    error = getattr(import_module(f"hmgen_ros.{module}"), name)

    def refuse(config: object) -> None:
        raise error("take another folder")

    monkeypatch.setattr("hmgen_ros.training.train_persistence.train", refuse)
    with pytest.raises(SystemExit) as ended:
        main(["train", "persistence"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "hmgen: take another folder\n"


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(config: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("hmgen_ros.training.train_persistence.train", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["train", "persistence"])


def write_video(path: Path, sound: bool) -> None:
    """Two seconds of a moving gradient: no face anywhere."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        audio = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for index in range(50):
            image = np.roll(
                np.linspace(0, 255, 320, dtype=np.uint8)[None, :, None].repeat(240, 0), 4 * index, 1
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image.repeat(3, 2), format="rgb24")))
            if audio is not None:
                silence = av.AudioFrame.from_ndarray(
                    np.zeros((1, 640), np.float32), format="fltp", layout="mono"
                )
                silence.sample_rate = 16_000
                container.mux(audio.encode(silence))
        container.mux(stream.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))


@pytest.mark.parametrize("sound", [True, False])
def test_a_video_without_faces_and_maybe_without_sound(tmp_path: Path, sound: bool) -> None:
    video, out = tmp_path / "empty.mp4", tmp_path / "run.json"
    write_video(video, sound)
    done = hmgen("run", "--headless", "--fast", "--source", str(video), "--json", str(out))
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert (figures["frames"], figures["people"], figures["dropped"]) == (50, 0, 0)
    assert figures["topics"]["/people"] == figures["topics"]["/next_speaker"] == 50
    assert figures["topics"]["/predicted_action"] == 0
    assert (figures["topics"]["/audio"] > 0) == sound


def test_sound_alone_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    done = hmgen("run", "--headless", "--source", str(path))
    assert done.returncode == 2
    assert "voice.wav" in done.stderr
    assert "no pictures" in done.stderr


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """Ten seconds of the bundled recording through the whole pipeline, recorded."""
    folder = tmp_path_factory.mktemp("run")
    out, json_file = folder / "out", folder / "run.json"
    done = hmgen(
        "run", "--headless", "--fast", "--duration", "10", "--record", str(out), "--json", str(json_file)
    )
    assert done.returncode == 0, done.stderr
    assert "frames" in done.stdout
    return json.loads(json_file.read_text()), out


def test_figures_of_a_run(recorded: tuple[dict, Path]) -> None:
    figures, _ = recorded
    assert 250 <= figures["frames"] <= 252
    assert figures["dropped"] == 0
    assert figures["people"] == 3
    assert figures["rate_hz"] > 0
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]
    assert 100 < figures["rss_mb"] < 1200
    assert {"landmarks", "interaction", "head_motion"} <= set(figures["stages_ms"])
    assert figures["topics"]["/people"] == figures["frames"]
    assert figures["topics"]["/predicted_action"] == figures["topics"]["/head_motion"] > 2 * figures["frames"]


def read(bag: Path) -> dict[str, list]:
    """Messages of a bag by topic, each with its bytes, written anew: Fast DDS leaves padding undefined."""
    store = typestore()
    with AnyReader([bag], default_typestore=store) as reader:
        found: dict[str, list] = {}
        for connection, _, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            canonical = bytes(store.serialize_cdr(message, connection.msgtype))
            found.setdefault(connection.topic, []).append((message, canonical))
        return found


def test_bag_holds_inputs_and_outputs(recorded: tuple[dict, Path]) -> None:
    figures, out = recorded
    found = read(out / "bag")
    assert set(found) == {
        "/image_raw/compressed",
        "/audio",
        "/people",
        "/predicted_action",
        "/predicted_interaction",
        "/next_speaker",
        "/head_motion",
    }
    for topic in ("/people", "/next_speaker", "/image_raw/compressed"):
        assert len(found[topic]) == pytest.approx(figures["frames"], abs=2)
    last, _ = found["/people"][-1]
    assert {person.face_visible for person in last.people} == {True}


def test_annotated_video_has_picture_and_sound(recorded: tuple[dict, Path]) -> None:
    figures, out = recorded
    with av.open(str(out / "annotated.mp4")) as container:
        assert container.streams.audio
        frames = sum(1 for _ in container.decode(video=0))
    assert frames > 0.9 * figures["frames"]


def test_replay_gives_the_same_output_to_the_bit(recorded: tuple[dict, Path], tmp_path: Path) -> None:
    _, first = recorded
    done = hmgen("run", "--headless", "--fast", "--duration", "10", "--record", str(tmp_path / "again"))
    assert done.returncode == 0, done.stderr
    one, two = read(first / "bag"), read(tmp_path / "again" / "bag")
    for topic in ("/people", "/predicted_action", "/predicted_interaction", "/next_speaker", "/head_motion"):
        length = min(len(one[topic]), len(two[topic]))
        assert length > 200
        assert [data for _, data in one[topic][:length]] == [data for _, data in two[topic][:length]], topic


def test_a_recording_is_never_overwritten(recorded: tuple[dict, Path]) -> None:
    _, out = recorded
    before = (out / "annotated.mp4").stat().st_mtime_ns
    done = hmgen("run", "--headless", "--fast", "--duration", "1", "--record", str(out))
    assert done.returncode == 2
    assert str(out) in done.stderr
    assert (out / "annotated.mp4").stat().st_mtime_ns == before


def test_replayed_people_give_the_forecasts_that_were_recorded(recorded: tuple[dict, Path]) -> None:
    """What hmgen evaluate bag scores is what the nodes published, bit for bit."""
    _, out = recorded
    with Bag(out / "bag") as bag:
        replay = Replay(bag, choose(bag, Choice(source="people")), ReplaySettings())
        ticks = {tick.scene.stamp_ns: tick for tick in replay.ticks()}
    found = read(out / "bag")
    assert len(found["/predicted_interaction"]) > 200
    for message, _ in found["/predicted_interaction"]:
        forecast = ticks[stamp_ns(message.header.stamp)].groups["group_attention"].forecast
        assert list(forecast.person_ids) == message.person_ids
        assert np.array_equal(forecast.probabilities.ravel(), message.probabilities)
        assert np.array_equal(forecast.samples.ravel(), message.futures)
    for message, _ in found["/head_motion"]:
        motions = ticks[stamp_ns(message.header.stamp)].heads["constant_velocity"]
        motion = next(one for one in motions if one.person_id == message.person_id)
        assert motion.valid == message.valid
        assert np.array_equal(motion.landmarks_px.ravel(), message.landmarks)
