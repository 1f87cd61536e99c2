"""Which topics of a bag are replayed, and their messages as the house's types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hmgen_ros.audio_common import Sound
from hmgen_ros.evaluation.bag_reader import Bag, BagError, Recorded, Topic
from hmgen_ros.evaluation.bag_sound import AUDIO_TYPES, INFO_TYPE, SoundForm, length_ns, sound_of
from hmgen_ros.message_reading import (
    BadMessage,
    frame_from_compressed,
    frame_from_image,
    scene_from_people,
)
from hmgen_ros.types import Counts, Frame, Scene

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
PEOPLE = "hmgen_ros/msg/People"
#: What our nodes publish of a tick, stamped with its image: how late each came can be told.
_PUBLISHED = (
    PEOPLE,
    "hmgen_ros/msg/PredictedAction",
    "hmgen_ros/msg/PredictedInteraction",
    "hmgen_ros/msg/NextSpeaker",
    "hmgen_ros/msg/HeadMotion",
)
#: Pictures that we drew ourselves are no camera.
_DRAWN = "annotated_image"
#: Neither are depths, in whatever form.
_DEPTH = "compressedDepth"

#: What tells a camera's calibration, beside its pictures as drivers have it.
_CAMERA_INFO, _BESIDE = "sensor_msgs/msg/CameraInfo", "camera_info"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A camera's ``CameraInfo``."""

    message: Any


Item = Frame | Sound | Scene | Calibration


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user says about topics; None where the bag has only one choice.

    Attributes:
        image: topic of the camera.
        audio: topic of the sound.
        people: topic of recorded people.
        source: replay the camera, or the recorded people; auto takes the camera where there is one.
        stamps: images and sound are stamped by their headers, or by when they were received.
        form: of sound that does not tell its own.
    """

    image: str | None = None
    audio: str | None = None
    people: str | None = None
    source: Literal["auto", "images", "people"] = "auto"
    stamps: Literal["header", "received"] = "header"
    form: SoundForm | None = None


@dataclass
class Inputs:
    """The topics to be replayed.

    Attributes:
        image, camera_info: of the camera and its calibration; None where there is none.
        audio, info: of the sound and its form.
        people: recorded people that are replayed instead of a camera.
        choice: what the user said.
        counts: messages that could not be used, by cause.
        delays_ns: by topic of ours, how long after its stamp each message was received.
        last_error: what was wrong with the last message that was dropped.
    """

    image: Topic | None
    audio: Topic | None
    info: Topic | None
    people: Topic | None
    camera_info: Topic | None
    choice: Choice
    counts: Counts = field(default_factory=Counts)
    delays_ns: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    last_error: str = ""

    def names(self) -> dict[str, str]:
        """The topics by what they are."""
        found = {
            "image": self.image,
            "camera_info": self.camera_info,
            "audio": self.audio,
            "info": self.info,
            "people": self.people,
        }
        return {name: topic.name for name, topic in found.items() if topic is not None}

    def drop(self, cause: str, text: str) -> None:
        """Count a message that cannot be used."""
        self.counts.add(cause)
        self.last_error = text


def choose(bag: Bag, choice: Choice) -> Inputs:
    """The topics to replay.

    Raises:
        BagError: there is no camera and there are no people, or several that could be meant; lists them.
    """
    image = None
    if choice.source != "people":
        image = _one(bag, choice.image, (RAW, COMPRESSED), "--image-topic", _cameras(bag))
    people = None
    if image is None:
        if choice.source == "images":
            raise BagError(f"{bag.path}: no camera topic of type {RAW} or {COMPRESSED}; {_contents(bag)}")
        people = _one(bag, choice.people, (PEOPLE,), "--people-topic")
        if people is None:
            raise BagError(
                f"{bag.path}: neither a camera topic ({RAW} or {COMPRESSED}) nor recorded {PEOPLE}; "
                f"{_contents(bag)}"
            )
    # People were perceived with their sound already.
    audio = None if image is None else _one(bag, choice.audio, AUDIO_TYPES, "--audio-topic")
    info = next(iter(bag.of_type(INFO_TYPE)), None)
    calibration = None if image is None else _calibration(bag, image)
    return Inputs(image, audio, info if audio is not None else None, people, calibration, choice)


def items(bag: Bag, inputs: Inputs) -> Generator[Item, None, None]:
    """Images, sound and people in the order in which they were received.

    What cannot be used is dropped and counted in ``inputs.counts``.
    """
    form = inputs.choice.form or _form(bag, inputs)
    timed = {topic.name for topic in bag.of_type(*_PUBLISHED)}
    for message in bag.messages({*inputs.names().values(), *timed}):
        if message.topic in timed:
            inputs.delays_ns[message.topic].append(message.time_ns - message.stamp_ns())
        item = _item(bag, inputs, message, form)
        if item is not None:
            yield _stamped(item, message.time_ns) if inputs.choice.stamps == "received" else item


def _item(bag: Bag, inputs: Inputs, message: Recorded, form: Any | None) -> Item | None:
    for topic in (inputs.image, inputs.camera_info, inputs.audio, inputs.people):
        if topic is not None and topic.name == message.topic:
            break
    else:
        return None
    decoded = bag.decode(message)
    if decoded is None:
        return None
    try:
        if topic.type == RAW:
            return frame_from_image(decoded)
        if topic.type == _CAMERA_INFO:
            return Calibration(decoded)
        if topic.type == COMPRESSED:
            return frame_from_compressed(decoded)
        if topic.type == PEOPLE:
            scene, bad = scene_from_people(decoded)
            for error in bad:
                inputs.drop(error.cause, str(error))
            return scene
        return sound_of(decoded, topic.type, message.time_ns, form)
    except BadMessage as error:
        inputs.drop(error.cause, str(error))
        return None


def _stamped(item: Item, time_ns: int) -> Item:
    if isinstance(item, Frame):
        return replace(item, stamp_ns=time_ns)
    if isinstance(item, Sound):
        return item._replace(stamp_ns=time_ns - length_ns(item))
    return item


def _form(bag: Bag, inputs: Inputs) -> Any | None:
    """What the bag says of sound whose messages do not tell; one message tells it all."""
    if inputs.info is None:
        return None
    told = (bag.decode(message) for message in bag.messages({inputs.info.name}))
    return next((info for info in told if info is not None), None)


def _calibration(bag: Bag, image: Topic) -> Topic | None:
    """What tells of this camera, whose topics have all but the last part of their names in common."""
    name = image.name.removesuffix("/compressed").rpartition("/")[0] + "/" + _BESIDE
    return next((topic for topic in bag.of_type(_CAMERA_INFO) if topic.name == name), None)


def _cameras(bag: Bag) -> list[Topic]:
    """Topics of pictures, those of one camera once: raw where there is both."""
    found = [
        topic
        for topic in bag.of_type(RAW, COMPRESSED)
        if not topic.name.removesuffix("/compressed").endswith((_DRAWN, _DEPTH))
    ]
    raw = {topic.name for topic in found if topic.type == RAW}
    return [
        topic for topic in found if topic.name.removesuffix("/compressed") not in raw or topic.name in raw
    ]


def _one(
    bag: Bag, asked: str | None, types: tuple[str, ...], option: str, found: list[Topic] | None = None
) -> Topic | None:
    """The topic that was asked for, or the only one of these types; None where there is none."""
    if asked is not None:
        topic = bag.topics.get(asked) or bag.topics.get("/" + asked.lstrip("/"))
        if topic is None or topic.type not in types or not topic.count:
            what = f"is of type {topic.type}" if topic is not None and topic.count else "has no message"
            raise BagError(
                f"{bag.path}: {option} {asked} {what}, one of {', '.join(types)} is needed; {_contents(bag)}"
            )
        return topic
    found = bag.of_type(*types) if found is None else found
    if len(found) > 1:
        names = ", ".join(f"{topic.name} ({topic.count})" for topic in found)
        raise BagError(f"{bag.path}: several topics could be meant, {names}; choose one with {option}")
    return found[0] if found else None


def _contents(bag: Bag) -> str:
    listed = ", ".join(f"{topic.name} ({topic.type}, {topic.count})" for topic in bag.topics.values())
    return f"it holds {listed}" if listed else "it is empty"
