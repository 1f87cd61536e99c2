"""One door to every source of pictures and sound."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from hmgen_ros.streams.camera import CameraSource
from hmgen_ros.streams.clock import NS_PER_S
from hmgen_ros.streams.source import MediaError, MediaItem, MediaSource, ready_ns
from hmgen_ros.streams.video_file import FileSource

__all__ = ["MediaError", "MediaItem", "MediaSource", "open_media", "ready_ns"]

_WEBCAM = re.compile(r"(?:webcam:)?(\d+|/dev/video\w+)")


def open_media(
    spec: str | Path,
    *,
    base_ns: int = NS_PER_S,
    loop: bool = False,
    frame_id: str = "camera",
    clock_ns: Callable[[], int] = time.time_ns,
    wait: bool = False,
) -> MediaSource:
    """Open a file or a webcam.

    Args:
        spec: path of a video or sound file, or a webcam as ``0``, ``/dev/video0`` or ``webcam:0``.
        base_ns: stamp of a file's first picture or sound, > 0; webcams do not use it.
        loop: play a file for ever, with stamps that go on.
        frame_id: frame of the pictures.
        clock_ns: clock for a webcam's stamps; files do not use it.
        wait: take a webcam that is not there yet, and wait for its first frame; files are there or not.

    Returns:
        An open source; the caller closes it.

    Raises:
        MediaError: there is no such file or camera, or nothing in it can be decoded.
        ValueError: ``base_ns`` is not positive.
    """
    webcam = _WEBCAM.fullmatch(str(spec))
    if webcam:
        device: int | str = int(webcam[1]) if webcam[1].isdigit() else webcam[1]
        return CameraSource(device, clock_ns=clock_ns, frame_id=frame_id, wait=wait)
    return FileSource(Path(spec).expanduser(), base_ns, loop, frame_id)
