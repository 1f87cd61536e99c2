"""Writes pictures and sound to an mp4 by their stamps.

Stamps of a robot are not to be trusted: bags loop, clocks are set, one message in a thousand is from the
future. The time of the file only ever goes on, by amounts that make sense for a recording.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from hmgen_ros.types import AudioChunk, Counts

_MICROSECONDS = Fraction(1, 1_000_000)
_NS_PER_S = 1_000_000_000
#: A picture further back than this comes from another pass of the source; a nearer one is only late.
_MAX_BACK_NS = _NS_PER_S
#: A picture further ahead than this of all that is written is not waited for.
_MAX_AHEAD_NS = 2 * _NS_PER_S
#: Sound further than this from the sound before and from the picture has another clock than the picture.
_MAX_SOUND_STEP_S = 1.0
#: Chunks of sound kept until the first picture comes.
_MAX_WAITING = 50


class VideoWriter:
    """H.264 and AAC in an mp4; time 0 is the first picture. Use as a context manager, or close().

    Attributes:
        counts: ``video_jump_back`` and ``video_jump_ahead`` (the source's time jumped; the video goes on
            with the next picture), ``video_stale_picture`` (left out, not newer than the one before),
            ``video_sound_jump`` (sound whose stamps agree neither with the sound before nor with the
            picture; it goes on where the video is) and ``video_sound_format`` (left out, not of the
            video's sample rate).
    """

    def __init__(
        self, path: Path, fps: int = 25, sample_rate: int | None = 16_000, lossless: bool = False
    ) -> None:
        """Open ``path`` for writing.

        Args:
            path: the mp4 file; its folder must exist.
            fps: nominal pictures a second; every picture keeps its own stamp.
            sample_rate: of the mono sound, None for a silent video.
            lossless: keep every pixel, for programs to read; not all players show such files.
        """
        self.counts = Counts()
        self._container = av.open(str(path), "w")
        self._fps = fps
        self._video: av.VideoStream | None = None
        self._audio: av.AudioStream | None = None
        self._rate, self._lossless = sample_rate, lossless
        if sample_rate is not None:
            self._audio = self._container.add_stream("aac", rate=sample_rate, layout="mono")
        self._origin_ns: int | None = None  # stamp of time 0; moves when the source's time jumps
        self._sound_shift_ns = 0  # what the sound's clock is behind that of the pictures
        self._last_ns = -1  # time of the last picture
        self._last_pts = -1
        self._samples_written = 0
        self._waiting: list[AudioChunk] = []

    def add_image(self, image: NDArray[np.uint8], stamp_ns: int) -> None:
        """Append one BGR picture; pictures that do not advance the time are left out."""
        if self._video is None:
            self._start(image, stamp_ns)
        if self._video is None or self._origin_ns is None:
            return
        self._follow_jump(stamp_ns)
        time_ns = stamp_ns - self._origin_ns
        pts = time_ns // 1000
        if pts <= self._last_pts:
            self.counts.add("video_stale_picture")
            return
        height, width = self._video.height, self._video.width
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="bgr24")
        frame.pts, frame.time_base = pts, _MICROSECONDS
        self._container.mux(self._video.encode(frame))
        self._last_ns, self._last_pts = time_ns, pts

    def _follow_jump(self, stamp_ns: int) -> None:
        """Where the pictures' time jumped, move the origin so that picture and sound go on together."""
        if self._origin_ns is None or self._last_pts < 0:
            return
        # With a camera that paused, the sound has gone on: then the picture is not ahead.
        written_ns = max(self._last_ns, self._sound_end_ns())
        time_ns = stamp_ns - self._origin_ns
        if time_ns < self._last_ns - _MAX_BACK_NS:
            self.counts.add("video_jump_back")
        elif time_ns > written_ns + _MAX_AHEAD_NS:
            self.counts.add("video_jump_ahead")
        else:
            return
        self._origin_ns = stamp_ns - written_ns - _NS_PER_S // self._fps
        self._sound_shift_ns = 0

    def _sound_end_ns(self) -> int:
        return self._samples_written * _NS_PER_S // self._rate if self._rate else 0

    def add_sound(self, chunk: AudioChunk) -> None:
        """Append mono sound; sound before the first picture is cut, holes are filled with silence."""
        if self._audio is None:
            return
        if chunk.sample_rate != self._rate:
            self.counts.add("video_sound_format")
            return
        if self._origin_ns is None:
            self._waiting = [*self._waiting[1 - _MAX_WAITING :], chunk]
            return
        first = self._first_sample(chunk, self._origin_ns)
        samples = chunk.samples[max(0, self._samples_written - first) :]
        if samples.size:
            self._encode_silence(first)
            self._encode_sound(samples)

    def _first_sample(self, chunk: AudioChunk, origin_ns: int) -> int:
        """Place of the chunk in the file, in samples; a chunk of another clock comes next."""
        rate, limit = chunk.sample_rate, round(_MAX_SOUND_STEP_S * chunk.sample_rate)
        first = round((chunk.stamp_ns + self._sound_shift_ns - origin_ns) * rate / _NS_PER_S)
        picture = max(0, self._last_ns) * rate // _NS_PER_S
        if min(abs(first - self._samples_written), abs(first - picture)) <= limit:
            return first
        self.counts.add("video_sound_jump")
        # Where the picture is, not right after the sound before: the two belong together.
        first = max(self._samples_written, picture)
        self._sound_shift_ns = first * _NS_PER_S // rate + origin_ns - chunk.stamp_ns
        return first

    def _start(self, image: NDArray[np.uint8], stamp_ns: int) -> None:
        # H.264 with 4:2:0 colour needs even sides.
        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        if not height or not width:
            return
        codec: Literal["libx264", "libx264rgb"] = "libx264rgb" if self._lossless else "libx264"
        quality = {"qp": "0"} if self._lossless else {"crf": "23"}
        options = {"preset": "veryfast", **quality}
        self._video = self._container.add_stream(codec, rate=self._fps, options=options)
        self._video.width, self._video.height = width, height
        self._video.pix_fmt = "bgr24" if self._lossless else "yuv420p"
        self._video.codec_context.time_base = _MICROSECONDS
        self._video.codec_context.thread_count = 1
        self._origin_ns = stamp_ns
        waiting, self._waiting = self._waiting, []
        for chunk in waiting:
            # What is older is before the first picture; what is newer has another clock.
            if abs(chunk.stamp_ns - stamp_ns) <= _MAX_SOUND_STEP_S * _NS_PER_S:
                self.add_sound(chunk)

    def _encode_silence(self, until: int) -> None:
        """Silence up to sample ``until``, in pieces: the sound may have been off for an hour."""
        while (hole := until - self._samples_written) > 0:
            self._encode_sound(np.zeros(min(hole, self._rate or hole), np.float32))

    def _encode_sound(self, samples: NDArray[np.float32]) -> None:
        if self._audio is None or self._rate is None:
            return
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples)[None, :], format="fltp", layout="mono"
        )
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
