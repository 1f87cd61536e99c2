"""When a voice is heard: the Silero detector on a running stream of sound."""

from __future__ import annotations

import bisect
from collections import deque
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hmgen_ros.perception.mesh_files import ModelFileError
from hmgen_ros.perception.sound_joiner import SAMPLE_NS, SAMPLE_RATE, SoundJoiner
from hmgen_ros.types import AudioChunk, Counts

#: Samples the model judges at once, and how many before them it sees as context.
WINDOW, CONTEXT = 512, 64
#: An answer from a window that ended earlier than this before the asked time is worth nothing.
MAX_AGE_NS = 500_000_000
#: So many windows (30 s) are remembered.
REMEMBERED = 938


class VoiceModel:
    """The Silero network with its recurrent state; one thread.

    The weights are read from the ``silero-vad`` package without importing it: its import sets torch's
    thread count for the whole process.
    """

    def __init__(self) -> None:
        spec = find_spec("silero_vad")
        if spec is None or not spec.submodule_search_locations:
            raise ModelFileError("the voice model is not installed; run: pip install silero-vad==6.2.3")
        path = Path(next(iter(spec.submodule_search_locations))) / "data" / "silero_vad.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._rate = np.array(SAMPLE_RATE, np.int64)
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._state = np.zeros((2, 1, 128), np.float32)
        self._input = np.zeros((1, CONTEXT + WINDOW), np.float32)

    def __call__(self, window: NDArray[np.float32]) -> float:
        """Probability in [0, 1] that the next ``[512]`` samples hold a voice."""
        self._input[0, :CONTEXT] = self._input[0, WINDOW:]
        self._input[0, CONTEXT:] = window
        feed = {"input": self._input, "state": self._state, "sr": self._rate}
        probability, self._state = self._session.run(None, feed)
        return float(probability.item())


class VoiceActivity:
    """A bounded timeline of voice probability and loudness, fed chunk by chunk.

    The timeline does not depend on how the sound is cut into chunks.

    Args:
        counts: see :class:`~hmgen_ros.perception.sound_joiner.SoundJoiner`.
    """

    def __init__(self, counts: Counts | None = None) -> None:
        self._model = VoiceModel()
        self._joiner = SoundJoiner(counts)
        self.reset()

    def reset(self) -> None:
        """Forget all sound."""
        self._joiner.reset()
        self._forget()

    def push(self, chunk: AudioChunk) -> None:
        """Take the next run of sound.

        Raises:
            ValueError: not 16 kHz mono.
        """
        joined = self._joiner.join(chunk)
        if joined.jumped_back:
            self._forget()
        if joined.begins:
            self._model.reset()
            self._pending = np.zeros(0, np.float32)
            self._pending_ns = joined.start_ns
        self._pending_ns += joined.moved_ns
        self._pending = np.concatenate([self._pending, joined.samples])
        while len(self._pending) >= WINDOW:
            self._hear(self._pending[:WINDOW])
            self._pending = self._pending[WINDOW:]

    def probability_at(self, stamp_ns: int) -> float:
        """Voice probability of the newest window that ended by then; NaN without recent sound."""
        index = self._newest(stamp_ns)
        return self._values[index][0] if index >= 0 else float("nan")

    def levels_until(self, stamp_ns: int, count: int) -> NDArray[np.float64]:
        """Loudness (root mean square) of up to ``count`` newest windows ended by then; none if long ago."""
        last = self._newest(stamp_ns)
        return np.array([self._values[i][1] for i in range(max(0, last + 1 - count), last + 1)])

    def _forget(self) -> None:
        self._model.reset()
        self._pending = np.zeros(0, np.float32)
        self._pending_ns = 0  # time of the first pending sample
        self._ends: deque[int] = deque(maxlen=REMEMBERED)
        self._values: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def _newest(self, stamp_ns: int) -> int:
        """Index of the newest window that ended by then; -1 where that is too long ago."""
        index = bisect.bisect_right(self._ends, stamp_ns) - 1
        return index if index >= 0 and stamp_ns - self._ends[index] <= MAX_AGE_NS else -1

    def _hear(self, window: NDArray[np.float32]) -> None:
        probability = self._model(window)
        energy = float(np.sqrt(np.mean(np.square(window, dtype=np.float64))))
        self._pending_ns += WINDOW * SAMPLE_NS
        self._ends.append(self._pending_ns)
        self._values.append((probability, energy))
