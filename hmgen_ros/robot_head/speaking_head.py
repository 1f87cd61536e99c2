"""The robot's own head, which moves by what the robot says while it speaks, and by itself while it does not.

Two generators take turns. Each sees what the other generates, so that whoever takes over knows how the head
has moved and goes on from the same pose; its first velocity differs from the last one of the other as its own
do from each other, and nothing has to be blended. A voice in the sound decides whose turn it is.

What is told of the future: while the head moves by itself, what will happen if the robot does not begin to
speak; while it speaks, what will happen as far as the sound is known, and the last known pose from there on.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from hmgen_ros.generators.free_head import FreeHead
from hmgen_ros.generators.head_ahead import HeadAhead, SpeakingAhead
from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.perception.hysteresis import LatchConfig
from hmgen_ros.perception.own_speech import VOICE, OwnSpeech, SpeechTick
from hmgen_ros.types import TICK_HZ, TICK_NS, HeadMotion
from hmgen_ros.types.sound import Kind

#: Most ticks generated in one: after a change of turns what is ahead grows again, and no tick takes long.
_MOST = 3


class SpeakingHead:
    """Generates one head without end that speaks from time to time.

    Attributes:
        rest: ``[3]`` yaw, pitch and roll of the face that the motion begins with, rad.
        counts: those of :class:`~hmgen_ros.generators.free_head.FreeHead`, ``speech_starved`` (ticks at which
            the sound had not come in time; the head goes on as if it did not listen) and ``speech_reset``
            (time went backwards: the sound that waited was dropped).
        sound: what it says; its ``queue`` counts bad sound.
        speaking: whether the head moves by the sound.
        latency_s: seconds from sound to the motion that it drives, where sound is sent as it is played: a
            tick and what the model looks ahead. Sound that is sent so long before it is played has none.
    """

    def __init__(self, head: FreeHead, speech: MsSync, voice: LatchConfig = VOICE) -> None:
        """At rest and silent.

        Args:
            head: moves while nothing is said.
            speech: moves it while it speaks, on the same device.
            voice: when a voice begins and ends.

        Raises:
            RuntimeError: the voice model is not installed.
        """
        self._head, self._speech = head, SpeakingAhead(speech, head.moves)
        self.rest, self.counts = head.rest, head.counts
        self.latency_s = 1.0 / TICK_HZ + speech.config.look_ahead_s
        features = cast("Kind", speech.config.features)
        self.sound = OwnSpeech(features, speech.config.look_ahead, voice)
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        """Begin the same motion again, in silence."""
        self.speaking, self._stamp_ns = False, 0
        self.sound.reset()
        self._head.reset()
        self._speech.begin()

    @torch.inference_mode()
    def tick(self, stamp_ns: int, person_id: str) -> HeadMotion:
        """The head's next tick and where it goes from there; stamp and name are written into it.

        Args:
            stamp_ns: now, of the clock that the stamps of the sound follow.
            person_id: name of the head.
        """
        if stamp_ns < self._stamp_ns and not self.sound.queue.empty:
            self.counts.add("speech_reset")
            self.sound.reset()
        self._stamp_ns = stamp_ns
        moving, other = self._moving, self._head.moves if self.speaking else self._speech
        moving.go_on()
        other.observe(moving.now)
        if not (self.speaking and moving.ahead):
            self._take_turns(stamp_ns + TICK_NS)
        self._look_ahead(stamp_ns)
        return self._head.motion(stamp_ns, person_id, self._moving)

    @property
    def _moving(self) -> HeadAhead:
        return self._speech if self.speaking else self._head.moves

    def _take_turns(self, time_ns: int) -> None:
        """Hear what is due before the head moves to a time, one tick from now; a voice begins or ends."""
        if self.speaking:
            if not self._speak(time_ns):
                self.speaking = False
                self._head.moves.take_over()
            return
        for tick in self.sound.due(time_ns):
            if tick.speaking:
                self.speaking = True
                self._speech.take_over()
                self._speech.speak(self._heard(tick))
            else:
                self._speech.listen(self._heard(tick))

    def _speak(self, time_ns: int) -> bool:
        """Generate the tick of a time by the sound that is due; False where the voice has ended."""
        if not self.sound.speaking:
            return False
        ticks = self.sound.due(time_ns)
        if not ticks:
            self.counts.add("speech_starved")
            self._speech.extend()
            return True
        *missed, last = (self._heard(tick) for tick in ticks)
        for heard in missed:
            self._speech.listen(heard)
        if not self.sound.speaking:
            self._speech.listen(last)
            return False
        self._speech.speak(last)
        return True

    def _look_ahead(self, stamp_ns: int) -> None:
        """Generate what can be told of the future beyond the next tick."""
        for _ in range(_MOST):
            ahead = len(self._moving.ahead)
            if ahead >= self._head.steps:
                return
            if not self.speaking:
                self._moving.extend()
                continue
            time_ns = stamp_ns + (ahead + 1) * TICK_NS
            if not self.sound.ready(time_ns) or not self._speak(time_ns):
                return

    def _heard(self, tick: SpeechTick) -> Tensor:
        return torch.from_numpy(tick.features).unsqueeze(0).to(self._speech.now.landmarks.device)
