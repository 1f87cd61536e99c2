"""Reads rosbag2 recordings, mcap or sqlite3, whole or damaged, without ROS.

A bag is a folder with ``metadata.yaml``, a folder of storage files without it (a recorder that crashed), or
one such file. An mcap file whose end is missing is read as far as its records are whole. Messages come in
the order in which the recorder received them. Each is read by the definition that the bag brings, so that
bags of older versions and of packages that are not installed can be read; where it brings none, ROS 2
Kilted's and ours are taken.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, BinaryIO, Self

from rosbags.interfaces import Connection, MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from hmgen_ros.message_definitions import typestore
from hmgen_ros.types import Counts

_STORAGES = (".mcap", ".db3")
_MAGIC = b"\x89MCAP0\r\n"
_DATA_END, _FOOTER = 0x0F, 0x02
#: The end of an mcap file without a summary, which readers then make up from the records.
_BARE_END = bytes([_FOOTER]) + struct.pack("<QQQI", 20, 0, 0, 0) + _MAGIC
_IDL_RULE = "=" * 80 + "\n"


class BagError(ValueError):
    """A bag cannot be used; one line that names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of a bag.

    Attributes:
        name: as it was recorded.
        type: of its messages, e.g. ``sensor_msgs/msg/Image``.
        count: its messages.
    """

    name: str
    type: str
    count: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message as it lies in the bag.

    Attributes:
        topic: its topic.
        time_ns: when the recorder received it.
        data: its CDR serialisation.
    """

    topic: str
    time_ns: int
    data: bytes

    def stamp_ns(self) -> int:
        """Stamp of a message that begins with a ``std_msgs/Header``; 0 where it is too short for one."""
        if len(self.data) < 12:
            return 0
        order = "<" if self.data[1] & 1 else ">"
        seconds, nanoseconds = struct.unpack_from(order + "iI", self.data, 4)
        return int(seconds) * 1_000_000_000 + int(nanoseconds)


class Bag:
    """An open bag; a context manager.

    Attributes:
        path: where it is.
        topics: by name, those without messages included.
        counts: ``bag_metadata``: it does not fit the files, which are read without it; ``bag_truncated``:
            storage files whose end is missing; ``undecodable``: messages that do not
            fit their definition; ``other_type``: messages on a topic that has more of another type.
    """

    def __init__(self, path: Path) -> None:
        """Open a bag.

        Raises:
            BagError: there is none, or it cannot be read.
        """
        self.path = path
        self.counts = Counts()
        self._stack = ExitStack()
        try:
            self._readers = self._open()
        except BaseException:
            self._stack.close()
            raise
        self._connections = [c for reader in self._readers for c in reader.connections]
        self.topics = _topics(self._connections)
        chosen = {topic.name: topic.type for topic in self.topics.values()}
        others = sum(c.msgcount for c in self._connections if c.msgtype != chosen[c.topic])
        self.counts.add("other_type", others)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files."""
        self._stack.close()

    @property
    def duration_s(self) -> float:
        """From the first message to the last, as they were received; 0 for an empty bag."""
        filled = [reader for reader in self._readers if reader.message_count]
        if not filled:
            return 0.0
        return (max(r.end_time for r in filled) - 1 - min(r.start_time for r in filled)) / 1e9

    def of_type(self, *types: str) -> list[Topic]:
        """The topics of some types that have messages, by name."""
        return [topic for topic in self.topics.values() if topic.type in types and topic.count]

    def messages(self, topics: Collection[str]) -> Iterator[Recorded]:
        """The messages of some topics, in the order of their arrival; ends where the bag is damaged."""
        streams = []
        for number, reader in enumerate(self._readers):
            chosen = [
                c for c in reader.connections if c.topic in topics and c.msgtype == self.topics[c.topic].type
            ]
            if chosen:
                streams.append(self._read(reader, chosen, number))
        for _, _, message in heapq.merge(*streams, key=lambda item: item[:2]):
            yield message

    def decode(self, message: Recorded) -> Any | None:
        """The message with the fields of its definition; None, and counted, where it does not fit it.

        Raises:
            BagError: its type is not known.
        """
        wanted = (message.topic, self.topics[message.topic].type)
        connection = next(c for c in self._connections if (c.topic, c.msgtype) == wanted)
        try:
            store = _store(connection.msgtype, connection.msgdef)
            store.get_msgdef(connection.msgtype)
        except (KeyError, TypesysError) as error:
            raise BagError(
                f"{self.path}: {message.topic} has messages of type {connection.msgtype}, whose definition "
                "is neither in the bag nor known, or damaged; record it with a storage that keeps "
                "definitions (mcap)"
            ) from error
        try:
            return store.deserialize_cdr(message.data, connection.msgtype)
        except Exception:
            # Whatever damaged bytes bring the generated code to; the next message gets its chance.
            self.counts.add("undecodable")
            return None

    def _read(
        self, reader: Reader, chosen: list[Connection], number: int
    ) -> Iterator[tuple[int, int, Recorded]]:
        try:
            for connection, time_ns, data in reader.messages(chosen):
                yield time_ns, number, Recorded(connection.topic, time_ns, bytes(data))
        except Exception:
            # A storage that is damaged in its middle: what was read is kept.
            self.counts.add("bag_truncated")

    def _open(self) -> list[Reader]:
        path = self.path
        if not path.exists():
            raise BagError(f"{path}: there is no such bag")
        if path.is_dir() and (path / "metadata.yaml").is_file():
            reader = self._reader(path)
            if isinstance(reader, Reader):
                return [reader]
            self.counts.add("bag_metadata")
        files = storage_files(path)
        if path.suffix == ".bag":
            raise BagError(f"{path} is a bag of ROS 1; convert it: rosbags-convert --src {path} --dst NEW")
        if not files:
            raise BagError(
                f"{path} is no bag: a folder with metadata.yaml or with .mcap or .db3 files, or such a file, "
                "is needed"
            )
        readers = []
        for file in files:
            reader = self._reader(file)
            if not isinstance(reader, Reader) and file.suffix == ".mcap":
                reader = self._salvaged(file)
            if not isinstance(reader, Reader):
                raise BagError(f"{file} cannot be read as a bag: {reader}")
            readers.append(reader)
        return readers

    def _reader(self, path: Path) -> Reader | str:
        """An open reader, or in one line why there is none."""
        try:
            return self._stack.enter_context(Reader(path))
        except Exception as error:
            # ReaderError where the library has looked, anything at all where a file is damaged.
            said = " ".join(str(error).split())
            return said if isinstance(error, ReaderError) else f"{type(error).__name__} {said}"

    def _salvaged(self, file: Path) -> Reader | str:
        """A reader of the whole records of an mcap file whose end is missing."""
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="hmgen_bag_")))
        copy = folder / file.name
        with file.open("rb") as source, copy.open("wb") as target:
            if not _copy_whole_records(source, target):
                return "it is damaged from its beginning on, or is no mcap file"
        reader = self._reader(copy)
        if isinstance(reader, Reader):
            self.counts.add("bag_truncated")
        return reader


def _topics(connections: Sequence[Connection]) -> dict[str, Topic]:
    """By name, each with the type of most of its messages: two publishers may disagree on it."""
    counts: dict[tuple[str, str], int] = {}
    for c in connections:
        counts[c.topic, c.msgtype] = counts.get((c.topic, c.msgtype), 0) + c.msgcount
    # The largest count of a name comes last and stays; of equal ones the same in every storage.
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], item[1], item[0][1]))
    return {name: Topic(name, kind, count) for (name, kind), count in ordered}


def storage_files(path: Path) -> list[Path]:
    """The storage files of a bag that is a file or a folder, in the order of their names."""
    if path.is_file():
        return [path] if path.suffix in _STORAGES else []
    return sorted((f for f in path.iterdir() if f.suffix in _STORAGES), key=_by_number)


def bags_at(path: Path) -> list[Path]:
    """The bags that a folder itself is or holds as single files; those in folders below are not looked for.

    Storage files without metadata are one bag where their names differ by a number at most.
    """
    if (path / "metadata.yaml").is_file():
        return [path]
    files = storage_files(path)
    names = {f.stem.rpartition("_")[0] if f.stem.rpartition("_")[2].isdigit() else f.stem for f in files}
    return files if len(names) > 1 else [path] * bool(files)


def _by_number(file: Path) -> tuple[int, str]:
    """``bag_10`` comes after ``bag_9``."""
    number = file.stem.rpartition("_")[2]
    return (int(number) if number.isdigit() else -1, file.name)


def _copy_whole_records(source: BinaryIO, target: BinaryIO) -> int:
    """Copy what is whole of an mcap file that ends too early, and end it; returns the records copied."""
    magic = source.read(len(_MAGIC))
    if magic != _MAGIC:
        return 0
    target.write(magic)
    copied = 0
    while len(head := source.read(9)) == 9:
        kind, size = struct.unpack("<BQ", head)
        if kind in (0, _DATA_END, _FOOTER) or len(body := source.read(size)) < size:
            break
        target.write(head + body)
        copied += 1
    target.write(_BARE_END)
    return copied


@cache
def _store(message_type: str, definition: MessageDefinition) -> Typestore:
    """Knows one type, by its definition in the bag where there is one."""
    if definition.format == MessageDefinitionFormat.NONE:
        return typestore()
    store = get_typestore(Stores.EMPTY)
    if definition.format == MessageDefinitionFormat.MSG:
        store.register(get_types_from_msg(definition.data, message_type))
        return store
    parts = definition.data.split(_IDL_RULE)
    for part in parts:
        # Each part of several begins with a line that names its file.
        text = part.partition("\n")[2] if part.startswith("IDL: ") else part
        if text.strip():
            store.register(get_types_from_idl(text))
    return store
