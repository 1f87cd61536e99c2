"""What perception hears: whether there is a voice, whether it laughs, and whose lips move in time with it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hmgen_ros.perception.active_speaker import ActiveSpeaker, Embedder, Sighting
from hmgen_ros.perception.laughing import BURST_WINDOWS, burst_probability
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.perception.voice import VoiceActivity
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import AudioChunk, Counts


class Hearing:
    """A run of sound, asked at the stamps of images.

    Attributes:
        lag_ns: what is asked at an image is what was heard so long before, so that late sound is still heard.
    """

    def __init__(
        self, config: PerceptionConfig, embedder: Embedder | None, times: StageTimes, counts: Counts
    ) -> None:
        """Load the models.

        Args:
            config: settings.
            embedder: compares faces with the voice; without it nobody's lips are.
            times: of the stages ``voice`` and ``match``.
            counts: of what is noticed.
        """
        self._config, self._times, self._counts = config, times, counts
        self.lag_ns = round(config.audio_lag_ms * 1e6)
        self._offset_ns = round(config.audio_offset_ms * 1e6)
        self._voice = VoiceActivity(counts)
        self._speaker: ActiveSpeaker | None = None
        if embedder is not None and config.active_speaker:
            voice_at = self._voice.probability_at
            self._speaker = ActiveSpeaker(embedder, voice_at, self.lag_ns, config.match_memory_s)

    @property
    def can_compare(self) -> bool:
        """Whether the model that compares faces with the voice is loaded."""
        return self._speaker is not None

    @property
    def av_offset_ms(self) -> float:
        """By how much pictures come after their sound, ms; negative where sound is late, NaN: not known."""
        speaker = self._comparing
        return math.nan if speaker is None else speaker.offset.milliseconds

    @property
    def _comparing(self) -> ActiveSpeaker | None:
        """What compares faces with the voice, None where there is none or it is switched off."""
        return self._speaker if self._config.active_speaker else None

    def adjust(self, config: PerceptionConfig) -> None:
        """Go by other settings from now on."""
        before, self._config = self._config, config
        self.lag_ns = round(config.audio_lag_ms * 1e6)
        self._offset_ns = round(config.audio_offset_ms * 1e6)
        moved = config.audio_offset_ms != before.audio_offset_ms
        if moved:
            # What was heard has stamps of its own, and tells nothing of the offset that is left.
            self._voice.reset()
        if self._speaker is None:
            return
        self._speaker.adjust(self.lag_ns, config.match_memory_s)
        if moved:
            self._speaker.reset()
        elif config.active_speaker and not before.active_speaker:
            self._speaker.reset_vision()

    def push(self, chunk: AudioChunk) -> None:
        """Take the next run of sound: 16 kHz, mono.

        Raises:
            ValueError: another sample rate or shape.
        """
        if self._offset_ns:
            chunk = AudioChunk(chunk.stamp_ns + self._offset_ns, chunk.samples, chunk.sample_rate)
        with self._times.stage("voice"):
            self._voice.push(chunk)
            if self._speaker is not None:
                self._speaker.push(chunk)

    def voice_at(self, stamp_ns: int) -> float:
        """Probability of a voice at an image; NaN without sound."""
        return self._voice.probability_at(stamp_ns - self.lag_ns)

    def bursts_at(self, stamp_ns: int) -> float:
        """Probability that the sound up to an image comes in bursts as laughter does; NaN without sound."""
        levels = self._voice.levels_until(stamp_ns - self.lag_ns, BURST_WINDOWS)
        return burst_probability(levels) if len(levels) else math.nan

    def matched(self, stamp_ns: int, sightings: Mapping[str, Sighting], elapsed: int) -> dict[str, float]:
        """Log odds that the voice is a person's, as faces move in time with it; 0 where nobody compares them.

        Args:
            stamp_ns: of the image.
            sightings: what is seen of each person in it, by id.
            elapsed: ticks since the last image.
        """
        speaker = self._comparing
        if speaker is None:
            return dict.fromkeys(sightings, 0.0)
        with self._times.stage("match"):
            speaker.update(stamp_ns, sightings, elapsed)
            self._counts.add("av_offset", int(speaker.offset.disturbing))
            return {person_id: speaker.log_odds(person_id) for person_id in sightings}

    def reset(self) -> None:
        """Forget all sound."""
        self._voice.reset()
        if self._speaker is not None:
            self._speaker.reset()

    def reset_vision(self) -> None:
        """Forget all faces, but no sound."""
        if self._speaker is not None:
            self._speaker.reset_vision()

    def warm_up(self, people: int) -> None:
        """Run everything once for so many people; changes no state."""
        VoiceActivity().push(AudioChunk(0, np.zeros(SAMPLE_RATE // 4, np.float32), SAMPLE_RATE))
        if self._speaker is not None:
            self._speaker.warm_up(people)
