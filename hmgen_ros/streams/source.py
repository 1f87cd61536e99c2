"""What every source of pictures and sound has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from hmgen_ros.types import AudioChunk, Counts, Frame

#: What a source gives out.
MediaItem = Frame | AudioChunk


class MediaError(RuntimeError):
    """A source that cannot be used: one line that names it and says what to check."""


def ready_ns(item: MediaItem) -> int:
    """When an item exists in full: a frame at its stamp, sound only after its last sample."""
    return item.stamp_ns if isinstance(item, Frame) else item.end_ns


class MediaSource(ABC):
    """Frames and sound in the order in which they became ready (see :func:`ready_ns`).

    Iterate it, then close it, or use it as a context manager. Sound that ends at or before a frame's
    stamp comes before that frame.

    Attributes:
        name: the file or device, for messages.
        has_audio, has_video: what it gives out.
        duration_s: length in seconds, None where it is unknown or endless.
        fps: nominal frames a second, None where it is unknown or there is no video.
        size: (width, height) of the first frame in pixels, None without video.
        live: stamps follow a running clock, so there is nothing to pace.
        counts: what was dropped or repaired.
        trouble: why nothing comes now, one line; empty while all is well.
    """

    name: str
    has_audio: bool
    has_video: bool
    duration_s: float | None
    fps: float | None
    size: tuple[int, int] | None
    live: bool
    counts: Counts
    trouble: str = ""

    def __iter__(self) -> Iterator[MediaItem]:
        """The source is its own, single iterator."""
        return self

    @abstractmethod
    def __next__(self) -> MediaItem:
        """The next item; blocks until it is there.

        Raises:
            StopIteration: the end was reached, or the source was closed.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop at once and free what is held; may be called from another thread and more than once."""

    def __enter__(self) -> Self:
        """Nothing to do: a source is open from the start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the source."""
        self.close()
