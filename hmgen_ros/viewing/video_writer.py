"""Writes pictures and sound to an mp4 by their stamps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import AudioChunk

_MICROSECONDS = Fraction(1, 1_000_000)


class VideoWriter:
    """H.264 and AAC in an mp4; time 0 is the first picture. Use as a context manager, or close()."""

    def __init__(self, path: Path, fps: int = 25, sample_rate: int | None = 16_000) -> None:
        """Open ``path`` for writing.

        Args:
            path: the mp4 file; its folder must exist.
            fps: nominal pictures a second; every picture keeps its own stamp.
            sample_rate: of the mono sound, None for a silent video.
        """
        self._container = av.open(str(path), "w")
        self._fps = fps
        self._video: av.VideoStream | None = None
        self._audio: av.AudioStream | None = None
        self._rate = sample_rate
        if sample_rate is not None:
            self._audio = self._container.add_stream("aac", rate=sample_rate, layout="mono")
        self._start_ns: int | None = None
        self._last_pts = -1
        self._samples_written = 0
        self._waiting: list[AudioChunk] = []

    def add_image(self, image: NDArray[np.uint8], stamp_ns: int) -> None:
        """Append one BGR picture; pictures that do not advance the time are left out."""
        if self._video is None:
            self._start(image, stamp_ns)
        if self._video is None or self._start_ns is None:
            return
        pts = (stamp_ns - self._start_ns) // 1000
        if pts <= self._last_pts:
            return
        height, width = self._video.height, self._video.width
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="bgr24")
        frame.pts, frame.time_base = pts, _MICROSECONDS
        self._container.mux(self._video.encode(frame))
        self._last_pts = pts

    def add_sound(self, chunk: AudioChunk) -> None:
        """Append mono sound; sound before the first picture is cut, holes are filled with silence."""
        if self._audio is None or chunk.sample_rate != self._rate:
            return
        if self._start_ns is None:
            self._waiting = [*self._waiting[-50:], chunk]
            return
        first = round((chunk.stamp_ns - self._start_ns) * chunk.sample_rate / 1e9)
        samples = chunk.samples[max(0, self._samples_written - first) :]
        hole = max(0, first - self._samples_written)
        self._encode_sound(np.concatenate([np.zeros(hole, np.float32), samples]))

    def _start(self, image: NDArray[np.uint8], stamp_ns: int) -> None:
        # H.264 with 4:2:0 colour needs even sides.
        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        if not height or not width:
            return
        self._video = self._container.add_stream(
            "libx264", rate=self._fps, options={"preset": "veryfast", "crf": "23"}
        )
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.codec_context.time_base = _MICROSECONDS
        self._video.codec_context.thread_count = 1
        self._start_ns = stamp_ns
        waiting, self._waiting = self._waiting, []
        for chunk in waiting:
            self.add_sound(chunk)

    def _encode_sound(self, samples: NDArray[np.float32]) -> None:
        if self._audio is None or self._rate is None or samples.size == 0:
            return
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        frame.pts = self._samples_written
        self._samples_written += samples.size
        self._container.mux(self._audio.encode(frame))

    def close(self) -> None:
        """Flush the encoders and finish the file."""
        if self._video is not None:
            self._container.mux(self._video.encode(None))
        if self._audio is not None and self._samples_written:
            self._container.mux(self._audio.encode(None))
        self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
