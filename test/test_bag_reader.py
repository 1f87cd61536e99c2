"""Bags of every kind and condition, the choice of topics, and sound of every package."""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg

from hmgen_ros.audio_common import Sound
from hmgen_ros.bad_message import BadMessage
from hmgen_ros.evaluation.bag_inputs import Choice, choose, items
from hmgen_ros.evaluation.bag_reader import Bag, BagError
from hmgen_ros.evaluation.bag_sound import SoundForm, sound_of
from hmgen_ros.message_definitions import typestore
from hmgen_ros.streams.audio import to_mono
from hmgen_ros.types import TICK_NS, Frame

SECOND = 1_000_000_000
RAW, JPEG = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
#: The definitions of two packages of the same name.
DRIVERS = {
    "AudioData": "uint8[] data\n",
    "AudioDataStamped": "std_msgs/Header header\naudio_common_msgs/AudioData audio\n",
    "AudioInfo": "uint8 channels\nuint32 sample_rate\nstring sample_format\nuint32 bitrate\n"
    "string coding_format\n",
}
OTHERS = {
    "AudioData": "float32[] float32_data\nint32[] int32_data\nint16[] int16_data\nint8[] int8_data\n"
    "uint8[] uint8_data\n",
    "AudioInfo": "int32 format\nint32 channels\nint32 rate\nint32 chunk\n",
    "Audio": "audio_common_msgs/AudioData audio_data\naudio_common_msgs/AudioInfo info\n",
    "AudioStamped": "std_msgs/Header header\naudio_common_msgs/Audio audio\n",
}


def store_with(definitions: dict[str, str] | None = None) -> Any:
    store = typestore()
    types: dict[str, Any] = {}
    for name, text in (definitions or {}).items():
        types |= get_types_from_msg(text, f"audio_common_msgs/msg/{name}")
    store.register(types)
    return store


class Recorder:
    """Writes messages of any type, given as fields, into a bag."""

    def __init__(self, path: Path, store: Any = None, storage: StoragePlugin = StoragePlugin.MCAP) -> None:
        self.store = store or store_with()
        self.writer = Writer(path, version=9, storage_plugin=storage)
        self.writer.open()
        self.topics: dict[str, Any] = {}

    def header(self, stamp_ns: int) -> Any:
        time = self.make("builtin_interfaces/msg/Time", sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND)
        return self.make("std_msgs/msg/Header", stamp=time, frame_id="camera")

    def make(self, message_type: str, **values: Any) -> Any:
        return self.store.types[message_type](**values)

    def write(self, topic: str, time_ns: int, message: Any) -> None:
        kind = message.__msgtype__
        if topic not in self.topics:
            self.topics[topic] = self.writer.add_connection(topic, kind, typestore=self.store)
        data = self.store.serialize_cdr(message, kind)
        self.writer.write(self.topics[topic], time_ns, bytes(data))

    def image(self, topic: str, stamp_ns: int, value: int = 90, time_ns: int | None = None) -> None:
        pixels = np.full(64 * 48 * 3, value, np.uint8)
        message = self.make(
            RAW, header=self.header(stamp_ns), height=48, width=64, encoding="bgr8", is_bigendian=0, step=192,
            data=pixels,
        )  # fmt: skip
        self.write(topic, stamp_ns if time_ns is None else time_ns, message)


def camera_bag(path: Path, count: int = 20, storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    recorder = Recorder(path, storage=storage)
    for index in range(count):
        recorder.image("/head/image_raw", SECOND + index * TICK_NS, index % 256)
    recorder.writer.close()
    return path


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("form", ["folder", "file", "without metadata"])
def test_every_form_of_a_bag_is_read(tmp_path: Path, storage: StoragePlugin, form: str) -> None:
    path = camera_bag(tmp_path / "bag", storage=storage)
    if form != "folder":
        (path / "metadata.yaml").unlink()
    if form == "file":
        path = next(path.iterdir())
    with Bag(path) as bag:
        assert [(t.name, t.type, t.count) for t in bag.topics.values()] == [("/head/image_raw", RAW, 20)]
        assert bag.duration_s == pytest.approx(19 * 0.04)
        frames = list(items(bag, choose(bag, Choice())))
    assert [frame.stamp_ns for frame in frames] == [SECOND + i * TICK_NS for i in range(20)]
    assert all((frame.image == i).all() for i, frame in enumerate(frames) if isinstance(frame, Frame))


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_truncated_mcap_is_read_as_far_as_it_is_whole(tmp_path: Path, part: float) -> None:
    # More than one chunk, of a megabyte each.
    path = camera_bag(tmp_path / "bag", 400)
    file = next(path.glob("*.mcap"))
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    with Bag(path) as bag:
        frames = list(items(bag, choose(bag, Choice())))
        assert bag.counts["bag_truncated"] == 1
    assert 0.5 * part * 400 <= len(frames) < 400
    assert [f.stamp_ns for f in frames] == [SECOND + i * TICK_NS for i in range(len(frames))]


def test_what_is_no_bag_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.mcap").write_text("no mcap at all")
    (tmp_path / "text.db3").write_text("no database")
    (tmp_path / "movie.mp4").write_bytes(b"\0" * 100)
    (tmp_path / "ros1.bag").write_bytes(b"#ROSBAG V2.0")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "metadata.yaml").write_text("rosbag2_bagfile_information: 3")
    for name in ("text.mcap", "text.db3", "movie.mp4", "ros1.bag", "empty", "missing", "folder"):
        with pytest.raises(BagError, match=name) as error:
            Bag(tmp_path / name)
        assert "\n" not in str(error.value)


def test_topics_are_chosen_or_asked_for(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "bag")
    for stamp in (SECOND, 2 * SECOND):
        for topic in ("/left/image_raw", "/right/image_raw", "/annotated_image"):
            recorder.image(topic, stamp)
    recorder.writer.close()
    with Bag(tmp_path / "bag") as bag:
        with pytest.raises(BagError, match=r"/left/image_raw.*/right/image_raw.*--image-topic"):
            choose(bag, Choice())
        for name in ("/right/image_raw", "right/image_raw"):
            assert choose(bag, Choice(image=name)).names() == {"image": "/right/image_raw"}
        with pytest.raises(BagError, match=r"--image-topic /up has no message.*it holds .*/left/image_raw"):
            choose(bag, Choice(image="/up"))
        with pytest.raises(BagError, match=r"--audio-topic /left/image_raw is of type sensor_msgs"):
            choose(bag, Choice(image="/left/image_raw", audio="/left/image_raw"))
        with pytest.raises(BagError, match=r"neither a camera topic .* nor recorded hmgen_ros/msg/People"):
            choose(bag, Choice(source="people"))


def test_bad_images_and_stamps_are_counted(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "bag")
    recorder.image("/image", SECOND)
    for encoding, data in (("16UC1", np.zeros(64 * 48 * 3, np.uint8)), ("bgr8", np.zeros(10, np.uint8))):
        message = recorder.make(
            RAW, header=recorder.header(SECOND), height=48, width=64, encoding=encoding, is_bigendian=0,
            step=192, data=data,
        )  # fmt: skip
        recorder.write("/image", SECOND, message)
    recorder.writer.write(recorder.topics["/image"], 2 * SECOND, b"\0\1\0\0rubbish")
    recorder.writer.close()
    with Bag(tmp_path / "bag") as bag:
        inputs = choose(bag, Choice(stamps="received"))
        assert len(list(items(bag, inputs))) == 1
        assert dict(inputs.counts.items()) == {"image_encoding": 1, "image_truncated": 1}
        assert bag.counts["undecodable"] == 1


TONE = np.round(8000 * np.sin(np.arange(640) / 9)).astype(np.int16)


def sounds(path: Path, form: SoundForm | None = None) -> list[Sound]:
    with Bag(path) as bag:
        found = items(bag, choose(bag, Choice(form=form)))
        return [item for item in found if isinstance(item, Sound)]


def audio_bag(path: Path, kind: str, storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """A camera and 40 ms of the tone, as one of the packages would send it."""
    recorder = Recorder(path, store_with(OTHERS if kind == "AudioStamped" else DRIVERS), storage)
    recorder.image("/image", SECOND)
    stamp, data = recorder.header(SECOND), np.frombuffer(TONE.tobytes(), np.uint8)
    package = "audio_common_msgs/msg"
    if kind == "AudioFrame":
        message = recorder.make(
            "hmgen_ros/msg/AudioFrame", header=stamp, sample_rate=16_000, channels=1, samples=TONE
        )
    elif kind == "AudioStamped":
        arrays = {f"{name}_data": np.zeros(0, name) for name in ("float32", "int32", "int8", "uint8")}
        samples = recorder.make(f"{package}/AudioData", int16_data=TONE, **arrays)
        info = recorder.make(f"{package}/AudioInfo", format=8, channels=1, rate=16_000, chunk=640)
        sound = recorder.make(f"{package}/Audio", audio_data=samples, info=info)
        message = recorder.make(f"{package}/AudioStamped", header=stamp, audio=sound)
    else:
        message = recorder.make(f"{package}/AudioData", data=data)
        if kind == "AudioDataStamped":
            message = recorder.make(f"{package}/AudioDataStamped", header=stamp, audio=message)
    recorder.write("/mic", SECOND + TICK_NS, message)
    if kind == "with info":
        info = recorder.make(
            f"{package}/AudioInfo", channels=1, sample_rate=16_000, sample_format="S16LE", bitrate=0,
            coding_format="wave",
        )  # fmt: skip
        recorder.write("/mic_info", SECOND, info)
    recorder.writer.close()
    return path


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("AudioFrame", None),
        ("AudioStamped", None),
        ("AudioDataStamped", SoundForm(16_000)),
        ("AudioData", SoundForm(16_000)),
        ("with info", None),
    ],
)
def test_sound_of_every_package_is_the_same(tmp_path: Path, kind: str, form: SoundForm | None) -> None:
    (sound,) = sounds(audio_bag(tmp_path / "bag", kind), form)
    assert (sound.stamp_ns, sound.rate, sound.channels) == (SECOND, 16_000, 1)
    np.testing.assert_array_equal(to_mono(sound.samples, sound.channels), to_mono(TONE))


def test_sound_of_unknown_form_says_what_to_do(tmp_path: Path) -> None:
    with Bag(audio_bag(tmp_path / "bag", "AudioData")) as bag:
        inputs = choose(bag, Choice())
        assert not any(isinstance(item, Sound) for item in items(bag, inputs))
        assert "--audio-rate" in inputs.last_error
    message = type("AudioData", (), {"data": np.zeros(6, np.uint8)})
    with pytest.raises(BadMessage, match="S24"):
        sound_of(message, "audio_common_msgs/msg/AudioData", SECOND, SoundForm(16_000, 1, "S24"))


def test_a_type_without_definition_is_named_and_our_own_are_known(tmp_path: Path) -> None:
    """As in bags of ROS 2 Humble, whose sqlite3 storage keeps no definitions."""
    for kind in ("AudioStamped", "AudioFrame"):
        path = audio_bag(tmp_path / kind, kind, StoragePlugin.SQLITE3)
        with sqlite3.connect(next(path.glob("*.db3"))) as database:
            database.execute("DELETE FROM message_definitions")
    assert len(sounds(tmp_path / "AudioFrame")) == 1
    with pytest.raises(BagError, match=r"/mic has messages of type audio_common_msgs/msg/AudioStamped"):
        sounds(tmp_path / "AudioStamped")


@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_a_truncated_database_is_refused_in_one_line(tmp_path: Path, part: float) -> None:
    path = camera_bag(tmp_path / "bag", 100, StoragePlugin.SQLITE3)
    file = next(path.glob("*.db3"))
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(BagError, match=r"bag\.db3 cannot be read as a bag"):
        Bag(path)
