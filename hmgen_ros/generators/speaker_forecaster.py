"""How the heads of people who speak go on, driven by the sound as far as it is known.

Of what people will say nothing is known, and a generator looks some ticks of sound ahead of the motion. So
sound drives a forecast only where it is known earlier than the image by more than that: hardly ever with the
shipped generators. From there on the head goes on as one that has been speaking and is not listened to. On
held-out speakers that was as good as to take the last sound or its mean for what comes, and better than
silence; if it were known, what they say would make forecasts better by a sixth. What a generator that has
learned from speakers brings is thus mostly their way of moving.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.generators.seats import Seats
from hmgen_ros.perception.audio_features import FeatureStream
from hmgen_ros.types import TICK_NS, AudioChunk, PresenceEvent
from hmgen_ros.types.sound import SOUND_RATE, TICK_SAMPLES, Kind

#: Ticks of sound that may wait for their image: 4 s.
_REMEMBERED = 100


class SpeakerForecaster:
    """Streams everybody's face and the one sound that all hear, and forecasts those who speak."""

    def __init__(self, model: MsSync, device: str = "cpu") -> None:
        """Start without history, with a generator on ``device``."""
        self._model = model.eval()
        self._seats = Seats(model)
        self._device = torch.device(device)
        self._begin()

    def reset(self) -> None:
        """Forget everybody and all sound."""
        self._seats.clear()
        self._begin()

    def _begin(self) -> None:
        self._stream = FeatureStream(cast("Kind", self._model.config.features))
        self._fed = self._made = self._stamp_ns = 0
        # When each tick of sound ends, and its features.
        self._heard: deque[tuple[int, NDArray[np.float32]]] = deque(maxlen=_REMEMBERED)

    def hear(self, chunk: AudioChunk, begins: bool) -> None:
        """Take in sound.

        Args:
            chunk: 16 kHz, mono, finite.
            begins: it does not follow the chunk before.

        Raises:
            ValueError: of another rate or shape, or not finite; nothing was taken in.
        """
        if chunk.sample_rate != SOUND_RATE:
            raise ValueError(
                f"sound of {SOUND_RATE} Hz is needed, got {chunk.sample_rate}; resample it first"
            )
        if begins:
            self._begin()
        ticks = self._stream.feed(chunk.samples)
        self._fed += len(chunk.samples)
        for tick in ticks:
            self._made += 1
            after = self._fed - self._made * TICK_SAMPLES
            self._heard.append((chunk.end_ns - after * 1_000_000_000 // SOUND_RATE, tick))

    def follow(self, events: Iterable[PresenceEvent]) -> None:
        """Let people who are called by another id from now on keep what is known of them."""
        self._seats.follow(events)

    def observe(self, stamp_ns: int, ids: list[str], landmarks: Tensor) -> None:
        """Take in one tick; to be used in torch's inference mode.

        Args:
            stamp_ns: of the image; sound up to it is listened to.
            ids: of ``N`` people.
            landmarks: ``[N, 68, 2]``, NaN where there is no face.
        """
        self._seats.seat(ids)
        self._stamp_ns = stamp_ns
        while self._heard and self._heard[0][0] <= stamp_ns:
            self._seats.state = self._model.listen(self._seats.state, self._all(len(ids)))
            self._heard.popleft()
        self._seats.state, _ = self._model.step(self._seats.state, landmarks)

    def rollout(self, people: Sequence[int], steps: int, generator: torch.Generator) -> Tensor:
        """Future landmarks ``[steps, P, 68, 2]`` of some of the people by number; NaN where never seen."""
        model, state = self._model, self._model.arrange(self._seats.state, people)
        # The next pose goes with the sound that begins with it, and hears that of so many ticks later.
        heard_ns = self._stamp_ns + (self._model.config.look_ahead + 1) * TICK_NS + TICK_NS // 2
        before = [self._features(tick, len(people)) for end_ns, tick in self._heard if end_ns <= heard_ns]
        after = [self._features(tick, len(people)) for end_ns, tick in self._heard if end_ns > heard_ns]
        # Sound that does not reach so far says nothing of the next pose.
        for heard in before if after else []:
            state = model.listen(state, heard)
        state, future = model.start(state, generator), []
        for step in range(steps):
            if step < len(after):
                state = model.hear(state, after[step])
            state, landmarks = model.advance(state, generator)
            future.append(landmarks)
        return torch.stack(future)

    def _all(self, people: int) -> Tensor:
        return self._features(self._heard[0][1], people)

    def _features(self, tick: NDArray[np.float32], people: int) -> Tensor:
        """``[people, 4, 26]``."""
        return torch.from_numpy(tick).to(self._device).expand(people, -1, -1)
