"""A video or sound file as a source: pictures and sound merged in time, decoded ahead in a thread."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeVar

from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.streams.decode import (
    open_container,
    pictures,
    sound_chunks,
    sounds,
    video_stream,
)
from hmgen_ros.streams.prefetch import Prefetch
from hmgen_ros.streams.source import MediaError, MediaItem, MediaSource, ready_ns
from hmgen_ros.types import Counts, Frame

T = TypeVar("T")


class FileSource(MediaSource):
    """Plays a file once or for ever; see :class:`MediaSource`.

    Stamps are ``base_ns`` plus the time since the first picture or sound of the file, so an offset
    between the two stays. Pictures and sound are read through two openings of the file, which keeps the
    memory bounded however badly the two are interleaved, or if one ends early.
    """

    def __init__(
        self,
        path: Path,
        base_ns: int = NS_PER_S,
        loop: bool = False,
        frame_id: str = "camera",
        ahead: int = 16,
    ) -> None:
        """Open the file and start decoding.

        Args:
            path: the file.
            base_ns: stamp of the first picture or sound, > 0 (0 would mean that a stamp is missing).
            loop: start again at the end, with stamps that go on.
            frame_id: frame of the pictures.
            ahead: most items decoded ahead, in a thread; with sound every second one is a picture. With 0
                the caller's thread decodes.

        Raises:
            MediaError: it cannot be opened, or nothing in it can be decoded.
            ValueError: ``base_ns`` is not positive.
        """
        if base_ns <= 0:
            raise ValueError(f"base_ns is {base_ns}; stamps must be positive")
        self.name = str(path)
        self.live = False
        self.counts = Counts()
        self._path = path
        self._frame_id = frame_id
        self._probe()
        items = self._play(base_ns, loop)
        self._items = Prefetch(items, ahead, f"decode {path.name}") if ahead else items

    def __next__(self) -> MediaItem:
        """The next frame or 40 ms of sound."""
        return next(self._items)

    def close(self) -> None:
        """Stop decoding."""
        self._items.close()

    def _probe(self) -> None:
        with open_container(self._path) as container:
            stream = video_stream(container)
            rate = (stream.average_rate or stream.guessed_rate) if stream else None
            self.duration_s = container.duration / 1e6 if container.duration else None
        picture = next(pictures(self._path, Counts()), None)
        self.has_audio = next(sounds(self._path, Counts()), None) is not None
        self.has_video = picture is not None
        if picture is None and not self.has_audio:
            raise MediaError(f"{self._path}: nothing in it can be decoded; is the file damaged?")
        self.fps = float(rate) if rate and picture else None
        self.size = (picture.image.shape[1], picture.image.shape[0]) if picture else None

    def _play(self, base_ns: int, loop: bool) -> Generator[MediaItem, None, None]:
        period_ns = round(NS_PER_S / (self.fps or 25.0))
        while True:
            end_ns = base_ns
            for item in self._once(base_ns):
                end_ns = max(end_ns, ready_ns(item) + (period_ns if isinstance(item, Frame) else 0))
                yield item
            if not loop or end_ns == base_ns:
                return
            base_ns = end_ns

    def _once(self, base_ns: int) -> Iterator[MediaItem]:
        """One pass over the file, its first picture or sound at ``base_ns``."""
        video, audio = pictures(self._path, self.counts), sounds(self._path, self.counts)
        first_picture, first_sound = next(video, None), next(audio, None)
        starts = [first.time_ns for first in (first_picture, first_sound) if first is not None]
        if not starts:
            return
        shift_ns = base_ns - min(starts)
        frames = (Frame(p.time_ns + shift_ns, p.image, self._frame_id) for p in _again(first_picture, video))
        chunks = sound_chunks(_again(first_sound, audio), shift_ns, self.counts)
        items: tuple[Iterator[MediaItem], Iterator[MediaItem]] = (frames, chunks)
        yield from heapq.merge(*items, key=_order)


def _order(item: MediaItem) -> tuple[int, bool]:
    """Sound that ends with a frame's stamp comes before it."""
    return ready_ns(item), isinstance(item, Frame)


def _again(first: T | None, rest: Iterator[T]) -> Iterator[T]:
    """An iterator whose first item was taken already."""
    return rest if first is None else chain([first], rest)
