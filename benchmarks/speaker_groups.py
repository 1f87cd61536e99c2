"""Groups of real faces of which one is heard: reading, composing, watching. Used by the scripts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.ami import data_directory
from hmgen_ros.data.sound_files import cut_sound, read_sound
from hmgen_ros.data.track_files import read_track_file
from hmgen_ros.data.tracks import tracks_of
from hmgen_ros.generators.syncer import SyncerPyramid
from hmgen_ros.generators.weights import load, read
from hmgen_ros.perception.active_speaker import (
    EVEN_COSINE,
    GAIN,
    MAX_LOG_ODDS,
    RIVALRY,
    ActiveSpeaker,
    Embedder,
    Sighting,
    match_log_odds,
    rival_log_odds,
)
from hmgen_ros.perception.normalisation import normalise
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.sound_joiner import SAMPLE_RATE
from hmgen_ros.perception.speaking import LipMotion, lip_log_odds
from hmgen_ros.perception.voice import VoiceActivity
from hmgen_ros.syncer_embedder import SyncerEmbedder
from hmgen_ros.types import TICK_HZ, TICK_NS, AudioChunk, Counts

#: Length of a sentence's clip; those of GRID all have it.
TICKS = 75
TICK_SAMPLES = SAMPLE_RATE * TICK_NS // 1_000_000_000
#: Clips named after themselves show the woman called v2s and the man s26.
_SAME = {"grid_ln_lwbsza": "grid_v2s", "grid_ln_swiz3n": "grid_s26"}


@dataclass(frozen=True, slots=True)
class Clip:
    """One sentence, or several of one speaker one after the other.

    Attributes:
        name: of its tracks.
        speaker: who speaks.
        landmarks: ``[T, 68, 2]`` pixels as they were tracked.
        sound: ``[T 640]``.
    """

    name: str
    speaker: str
    landmarks: NDArray[np.float32]
    sound: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Watched:
    """What was made of one group, by tick.

    Attributes:
        lips: ``[T, n]`` log odds of the lips alone.
        evidence: ``[T, n, 2]`` of faces against the voice, see ``ActiveSpeaker.evidence``.
        voice: ``[T]`` probability of a voice as it is known at that tick.
    """

    lips: NDArray[np.float64]
    evidence: NDArray[np.float64]
    voice: NDArray[np.float64]

    def match(
        self,
        even: float = EVEN_COSINE,
        gain: float = GAIN,
        most: float = MAX_LOG_ODDS,
        rivalry: float = RIVALRY,
    ) -> NDArray[np.float64]:
        """``[T, n]`` log odds of faces against the voice, by other constants than perception's if given."""
        odds = np.zeros(self.evidence.shape[:2])
        for tick, pairs in enumerate(self.evidence.tolist()):
            own = [match_log_odds(ticks, cosines, even, gain, most) for ticks, cosines in pairs]
            for i, (ticks, _) in enumerate(pairs):
                others = own[:i] + own[i + 1 :]
                odds[tick, i] = rival_log_odds(own[i], others, rivalry, most) if ticks > 0.0 else 0.0
        return odds

    def after(self, seconds: float) -> int | None:
        """First tick by which so much speech was heard, while it goes on; None where there is less."""
        heard = (np.cumsum(self.voice) >= seconds * TICK_HZ) & (self.voice >= 0.5)
        return int(heard.argmax()) if heard.any() else None


def read_embedder(syncer: str) -> SyncerEmbedder:
    """Of a model file, or of a name in ``models/manifest.yaml``.

    Raises:
        WeightsError: it cannot be had.
    """
    path = Path(syncer)
    weights = read(path) if path.suffix == ".safetensors" else load(syncer)
    return SyncerEmbedder(SyncerPyramid.from_weights(weights))


def read_clips(part: str, data: Path | None = None) -> list[Clip]:
    """The whole sentences of one part of the tracks, validation or test.

    Raises:
        CorpusError: the tracks are missing or damaged.
        ValueError: there are none.
    """
    found = []
    for track in tracks_of(data_directory(data)):
        if track.split != part or track.sound is None:
            continue
        file = read_track_file(track.path)
        if len(file.landmarks) == TICKS and file.valid.all():
            sound = cut_sound(read_sound(track.sound, Counts()), 0, TICKS)
            speaker = _SAME.get(track.speaker, track.speaker)
            found.append(Clip(track.name, speaker, file.landmarks, sound))
    if not found:
        raise ValueError(f"no whole clips with sound in the {part} part of the tracks")
    return found


def draw_groups(clips: Sequence[Clip], size: int, mixed: bool, count: int, seed: int) -> list[list[Clip]]:
    """Different clips; the first of a group is the one that is heard.

    Args:
        clips: to draw from.
        size: faces in a group.
        mixed: faces of several speakers, as evenly as there are any, instead of one speaker's.
        count: groups, at most; the heard ones are drawn evenly from the speakers.
        seed: of the draws.

    Returns:
        Fewer groups where there are not enough clips for them, perhaps none.
    """
    rng = np.random.default_rng(seed)
    by_speaker: dict[str, list[Clip]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip)
    speakers = sorted(name for name, own in by_speaker.items() if mixed or len(own) >= size)
    if not speakers or (mixed and len(speakers) < 2):
        return []
    groups: dict[tuple[str, ...], list[Clip]] = {}  # by the one that is heard and the others
    for i in range(20 * count):
        if len(groups) == count:
            break
        first = speakers[i % len(speakers)]
        others = [name for name in speakers if name != first]
        order = [first, *rng.permutation(others)] if mixed else [first]
        left = {name: list(rng.permutation(len(by_speaker[name]))) for name in order}
        group: list[Clip] = []
        while len(group) < size and any(left.values()):
            name = order[len(group) % len(order)]
            name = name if left[name] else next(n for n in order if left[n])
            group.append(by_speaker[name][left[name].pop()])
        if len(group) == size:
            groups.setdefault((group[0].name, *sorted(clip.name for clip in group[1:])), group)
    return [_lengthened(group, by_speaker, rng) for group in groups.values()]


def _lengthened(group: list[Clip], by_speaker: dict[str, list[Clip]], rng: np.random.Generator) -> list[Clip]:
    """Every face goes on with another sentence of its own; where there is none left, with one there was."""
    used, longer = {clip.name for clip in group}, []
    for clip in group:
        own = by_speaker[clip.speaker]
        more = [c for c in own if c.name not in used] or [c for c in own if c.name != clip.name] or own
        chosen_one = more[rng.integers(len(more))]
        used.add(chosen_one.name)
        longer.append(joined([clip, chosen_one]))
    return longer


def joined(clips: Sequence[Clip]) -> Clip:
    """Several sentences as one clip, by the name and speaker of the first."""
    landmarks, sound = (np.concatenate([getattr(c, part) for c in clips]) for part in ("landmarks", "sound"))
    return Clip(clips[0].name, clips[0].speaker, landmarks, sound)


def lip_odds(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """``[T]`` log odds of speech by lip motion, of ``[T, 68, 2]`` faces that look into the camera."""
    lips, found = LipMotion(), []
    for pose in landmarks:
        frame = normalise(pose)
        found.append(lip_log_odds(lips.update(None if frame is None else frame[0], 0.0)))
    return np.array(found)


def watch(group: Sequence[Clip], sound: NDArray[np.float32], embedder: Embedder) -> Watched:
    """Tick by tick, as perception would, of clips of one length; sound arrives with the pictures."""
    config = PerceptionConfig()
    lag = round(config.audio_lag_ms * 1e6)
    voice = VoiceActivity()
    speaker = ActiveSpeaker(embedder, voice.probability_at, lag, config.match_memory_s)
    lips = np.stack([lip_odds(clip.landmarks) for clip in group], axis=1)
    evidence, heard = np.zeros((*lips.shape, 2)), np.zeros(len(lips))
    for tick in range(len(lips)):
        samples = sound[tick * TICK_SAMPLES : (tick + 1) * TICK_SAMPLES]
        chunk = AudioChunk(tick * TICK_NS, samples, SAMPLE_RATE)
        voice.push(chunk)
        speaker.push(chunk)
        moving = 1.0 / (1.0 + np.exp(-lips[tick]))
        seen = {c.name: Sighting(c.landmarks[tick], float(p)) for c, p in zip(group, moving, strict=True)}
        speaker.update(tick * TICK_NS, seen)
        evidence[tick] = [speaker.evidence(clip.name) for clip in group]
        heard[tick] = np.nan_to_num(voice.probability_at(tick * TICK_NS - lag))
    return Watched(lips, evidence, heard)


def chosen(scores: NDArray[np.float64]) -> float:
    """Probability that the first of ``[n]`` scores is chosen as the largest, ties drawn by lot."""
    largest = scores >= scores.max()
    return float(largest[0] / largest.sum())


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Mean precision over all that is true, ties taken as one rank."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0.0, True))
    precision = hits[last] / (last + 1)
    gained = np.diff(hits[last], prepend=0)
    return float((precision * gained).sum() / max(1, truth.sum()))
