"""A webcam as a source: stamped when grabbed, reopened when it vanishes; and which ones there are."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hmgen_ros.streams.prefetch import Prefetch
from hmgen_ros.streams.source import MediaError, MediaItem, MediaSource
from hmgen_ros.types import Counts, Frame

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 8.0


class CameraSource(MediaSource):
    """Live frames of a camera, the newest two of them where the consumer is slow.

    Attributes:
        counts: ``camera_dropped`` (consumer too slow), ``camera_lost`` (it stopped giving frames),
            ``camera_retry`` (it could not be opened), ``camera_reopened`` (first frame after that),
            ``frame_empty``.
        trouble: why there are no frames now, one line; empty while they come.
    """

    def __init__(
        self,
        device: int | str,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        frame_id: str = "camera",
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        backend: int = cv2.CAP_V4L2,
        wait: bool = False,
    ) -> None:
        """Open the camera and start grabbing.

        Args:
            device: index or path of the video device.
            clock_ns: clock for the stamps, read when a frame has been grabbed.
            frame_id: the camera's frame.
            size: (width, height) to ask for; the camera may choose otherwise.
            fps: frames a second to ask for; likewise.
            backend: OpenCV's capture backend.
            wait: keep trying where the camera is not there yet, instead of raising; ``size`` and ``fps``
                are None until it is.

        Raises:
            MediaError: there is no such camera, or it cannot be used, and ``wait`` is not set.
        """
        self.name = f"/dev/video{device}" if isinstance(device, int) else device
        self.live = True
        self.counts = Counts()
        self.has_audio, self.has_video = False, True
        self.duration_s = None
        self._device, self._backend = device, backend
        self._wanted_size, self._wanted_fps = size, fps
        self._clock_ns, self._frame_id = clock_ns, frame_id
        self._stop = threading.Event()
        self.trouble = ""
        self.fps, self.size = None, None
        capture = self._open()
        if capture is None and not wait:
            raise MediaError(self._absent())
        self._prefetch = Prefetch(
            self._grab(capture), 2, f"camera {self.name}", lambda: self.counts.add("camera_dropped")
        )

    def __next__(self) -> MediaItem:
        """The next frame, waiting for it, also while the camera is away."""
        return next(self._prefetch)

    def close(self) -> None:
        """Stop grabbing and free the camera."""
        self._stop.set()
        self._prefetch.close()

    def _absent(self) -> str:
        return (
            f"{self.name}: no camera can be opened there; plug one in, close programs that use it, "
            "check that you may read it (group video), or choose another source"
        )

    def _open(self) -> cv2.VideoCapture | None:
        # OpenCV prints warnings of its own for a device that is not there.
        if self._backend == cv2.CAP_V4L2 and not Path(self.name).exists():
            return None
        capture = cv2.VideoCapture(self._device, self._backend)
        if self._wanted_size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._wanted_size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._wanted_size[1])
        if self._wanted_fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self._wanted_fps)
        if not capture.isOpened():
            capture.release()
            return None
        self.fps = capture.get(cv2.CAP_PROP_FPS) or None
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        self.size = (int(width), int(height))
        return capture

    def _grab(self, capture: cv2.VideoCapture | None) -> Generator[MediaItem, None, None]:
        wait_s = _FIRST_WAIT_S
        try:
            while not self._stop.is_set():
                if capture is None:
                    capture = self._open()
                if capture is not None and capture.grab():
                    stamp_ns = self._clock_ns()
                    wait_s = _FIRST_WAIT_S
                    got, image = capture.retrieve()
                    if got and image.size:
                        self._is_there()
                        yield Frame(stamp_ns, np.asarray(image, np.uint8), self._frame_id)
                    else:
                        self.counts.add("frame_empty")
                    continue
                self._is_away(lost=capture is not None)
                if capture is not None:
                    capture.release()
                    capture = None
                self._stop.wait(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        finally:
            if capture is not None:
                capture.release()

    def _is_there(self) -> None:
        if self.trouble:
            self.counts.add("camera_reopened")
            self.trouble = ""

    def _is_away(self, lost: bool) -> None:
        self.counts.add("camera_lost" if lost else "camera_retry")
        self.trouble = f"{self.name}: the camera gives no more frames" if lost else self._absent()


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """A camera of this machine.

    Attributes:
        path: what to choose it by, such as ``/dev/video0``.
        name: what its driver calls it.
        size: (width, height) that it gives unless asked for another, None where it cannot be opened.
        fps: frames a second, likewise; None also where the driver does not tell.
        problem: why it cannot be opened, empty where it can.
    """

    path: str
    name: str
    size: tuple[int, int] | None
    fps: float | None
    problem: str = ""


def list_cameras(
    devices: Path = Path("/dev"),
    names: Path = Path("/sys/class/video4linux"),
    backend: int = cv2.CAP_V4L2,
) -> list[CameraInfo]:
    """The video devices of this machine, opened for a moment each.

    Many cameras have a second device for data about their pictures, which cannot be opened as a camera.

    Args:
        devices: where the devices are.
        names: where the kernel tells their names.
        backend: OpenCV's capture backend.
    """
    numbers = sorted(int(p.name[5:]) for p in devices.glob("video*") if p.name[5:].isdigit())
    return [_probe(devices / f"video{n}", names / f"video{n}" / "name", backend) for n in numbers]


def _probe(path: Path, name: Path, backend: int) -> CameraInfo:
    called = name.read_text(errors="replace").strip() if name.is_file() else path.name
    if not os.access(path, os.R_OK | os.W_OK):
        return CameraInfo(str(path), called, None, None, "not yours to read: join the group video")
    with _quiet_opencv():
        capture = cv2.VideoCapture(str(path), backend)
    try:
        if not capture.isOpened():
            return CameraInfo(str(path), called, None, None, "gives no pictures, or another program has it")
        size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        return CameraInfo(str(path), called, size, capture.get(cv2.CAP_PROP_FPS) or None)
    finally:
        capture.release()


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """OpenCV warns of every device that is no camera; whoever asks for a list expects some."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
