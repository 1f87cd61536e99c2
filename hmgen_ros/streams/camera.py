"""A webcam as a source: stamped when grabbed, reopened when it vanishes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
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
            ``camera_retry`` (it could not be opened again), ``frame_empty``.
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
    ) -> None:
        """Open the camera and start grabbing.

        Args:
            device: index or path of the video device.
            clock_ns: clock for the stamps, read when a frame has been grabbed.
            frame_id: the camera's frame.
            size: (width, height) to ask for; the camera may choose otherwise.
            fps: frames a second to ask for; likewise.
            backend: OpenCV's capture backend.

        Raises:
            MediaError: there is no such camera, or it cannot be used.
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
        capture = self._open()
        if capture is None:
            raise MediaError(
                f"{self.name}: no camera can be opened there; plug one in, close programs that use it, "
                "check that you may read it (group video), or choose another source"
            )
        self.fps = capture.get(cv2.CAP_PROP_FPS) or None
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        self.size = (int(width), int(height))
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
        if capture.isOpened():
            return capture
        capture.release()
        return None

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
                        yield Frame(stamp_ns, np.asarray(image, np.uint8), self._frame_id)
                    else:
                        self.counts.add("frame_empty")
                    continue
                self.counts.add("camera_retry" if capture is None else "camera_lost")
                if capture is not None:
                    capture.release()
                    capture = None
                self._stop.wait(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        finally:
            if capture is not None:
                capture.release()
