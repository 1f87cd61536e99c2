"""Whose voice is heard: how well each face fits the sound.

Two networks embed windows of five poses and of the 200 ms of sound that belong to them; the cosine of both
tells how well they fit. They are given from outside (:class:`Embedder`), for perception knows no generators:
:mod:`hmgen_ros.syncer_embedder` makes them of a trained syncer.

Every tick each face is held against the sound of its own moment and of some ticks before and after. The
running mean of a face's cosines makes the log odds that the voice is its own. All shifts together tell
whether pictures and sound are in time (:mod:`hmgen_ros.perception.av_offset`); where they are known not to
be, the log odds follow.

Sound that is not there in time is waited for: comparisons lag some ticks behind the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.av_offset import MAX_SHIFT, AvOffset, Evidence, FadingMean
from hmgen_ros.perception.face_trail import MAX_STEP_TICKS, WINDOW, FaceTrail
from hmgen_ros.perception.sound_steps import Normaliser, SoundSteps
from hmgen_ros.types import NUM_LANDMARKS, TICK_HZ, TICK_NS, AudioChunk
from hmgen_ros.types.sound import FEATURES, STEPS, Kind

Floats = NDArray[np.float32]

#: Cosine that right and wrong faces have equally often, log odds that a tick's cosine of 1 above it adds, and
#: most log odds; benchmarks/active_speaker_calibration.py measures them and the next one.
EVEN_COSINE, GAIN, MAX_LOG_ODDS = 0.2, 0.75, 4.0
#: Share of the best other face's log odds, where they are positive, that is taken from a face's own: some
#: faces fit every voice a little.
RIVALRY = 0.25
#: Ticks of speech that a person's best shift is judged by, at least.
_CLEAR_TICKS = 3.0
#: Sound that is later than this, beyond the lag that is allowed for, is not waited for any more: half a
#: second, after which voice activity tells nothing either.
_PATIENCE_TICKS = TICK_HZ // 2
#: Seconds of sound that are kept beyond the lag.
_KEPT_S = 10.0


def match_log_odds(
    ticks: float, cosines: float, even: float = EVEN_COSINE, gain: float = GAIN, most: float = MAX_LOG_ODDS
) -> float:
    """Log odds that a voice belongs to a face, of what :meth:`ActiveSpeaker.evidence` gives."""
    return min(most, max(-most, gain * (cosines - even * ticks)))


def rival_log_odds(
    own: float, others: Iterable[float], rivalry: float = RIVALRY, most: float = MAX_LOG_ODDS
) -> float:
    """Log odds of one face, given those of the other ones, all of :func:`match_log_odds`."""
    return max(-most, own - rivalry * max([0.0, *others]))


class Embedder(Protocol):
    """What makes comparable vectors of faces and sounds."""

    @property
    def kind(self) -> Kind:
        """Which audio features it hears."""

    def normaliser(self) -> Normaliser:
        """A normaliser for a sound that begins."""

    def faces(self, windows: Floats) -> Floats:
        """``[N, E]`` unit vectors of ``[N, 5, 136]`` poses, differences from their mean in face sizes."""

    def sounds(self, windows: Floats) -> Floats:
        """``[N, E]`` unit vectors of ``[N, 20, 26]`` normalised audio features."""


class Sighting(NamedTuple):
    """One person at one tick.

    Attributes:
        landmarks: ``[68, 2]`` pixels, None while the face is hidden.
        lips: probability that the lips move as in speech.
    """

    landmarks: Floats | None
    lips: float


@dataclass
class _Person:
    """What is remembered of one person; vectors and lips by tick."""

    trail: FaceTrail = field(default_factory=FaceTrail)
    vectors: dict[int, Floats] = field(default_factory=dict)
    lips: dict[int, float] = field(default_factory=dict)
    cosines: FadingMean = field(default_factory=lambda: FadingMean(2 * MAX_SHIFT + 1))


class ActiveSpeaker:
    """Running comparison of everyone in view with the sound.

    Attributes:
        offset: how far pictures and sound are apart.
    """

    def __init__(
        self, embedder: Embedder, voice_at: Callable[[int], float], lag_ns: int, memory_s: float = 1.0
    ) -> None:
        """Begin with nobody and nothing heard.

        Args:
            embedder: makes the vectors.
            voice_at: probability of a voice at a time (ns), NaN without sound.
            lag_ns: a picture is compared with sound up to its stamp less this.
            memory_s: running means are taken over about this long, s.
        """
        self._embedder, self._voice_at = embedder, voice_at
        self._sound = SoundSteps(embedder.kind, embedder.normaliser, _KEPT_S)
        self.adjust(lag_ns, memory_s)
        self.reset_vision()

    def adjust(self, lag_ns: int, memory_s: float) -> None:
        """Compare otherwise from now on; arguments as of the constructor."""
        self._lag_ns = lag_ns
        # What is remembered is on average half as old as all of a plain mean over the same time.
        self._keep = math.exp(-2.0 / (memory_s * TICK_HZ))
        self._sound.remember(_KEPT_S + lag_ns / 1e9)

    def reset(self) -> None:
        """Forget all pictures and sound."""
        self._sound.reset()
        self.reset_vision()

    def reset_vision(self) -> None:
        """Forget everyone; sound is kept."""
        self.offset = AvOffset()
        self._people: dict[str, _Person] = {}
        self._stamps: dict[int, int] = {}
        self._sounds: dict[int, Floats] = {}
        self._tick = self._next = 0  # of the last picture; the next to be compared

    def push(self, chunk: AudioChunk) -> None:
        """Take the next run of sound; raises ValueError where it is not 16 kHz mono."""
        self._sound.push(chunk)

    def warm_up(self, people: int) -> None:
        """Run the networks once, so that the first faces do not pay for it; changes no state."""
        self._embedder.faces(np.zeros((people, WINDOW, 2 * NUM_LANDMARKS), np.float32))
        self._embedder.sounds(np.zeros((1, STEPS * WINDOW, FEATURES), np.float32))

    def update(self, stamp_ns: int, seen: Mapping[str, Sighting], elapsed: int = 1) -> None:
        """Observe one tick.

        Args:
            stamp_ns: stamp of the picture.
            seen: everyone who is tracked, by id; whoever is not in it is forgotten.
            elapsed: ticks since the last call, at least 1.
        """
        self._advance(stamp_ns, elapsed)
        self._people = {name: self._people.get(name) or _Person() for name in seen}
        complete = []
        for name, sighting in seen.items():
            person = self._people[name]
            person.lips[self._tick] = sighting.lips
            complete += [(person, *window) for window in person.trail.add(self._tick, sighting.landmarks)]
        if complete:
            vectors = self._embedder.faces(np.stack([window for _, _, window in complete]))
            for (person, tick, _), vector in zip(complete, vectors, strict=True):
                person.vectors[tick] = vector
        self._compare_until(stamp_ns - self._lag_ns)

    def log_odds(self, person_id: str) -> float:
        """That the voice heard lately is this person's rather than somebody else's; 0 where nothing tells."""
        ticks, cosines = self.evidence(person_id)
        if ticks <= 0.0:
            return 0.0
        own = match_log_odds(ticks, cosines)
        others = [match_log_odds(*self.evidence(name)) for name in self._people if name != person_id]
        return rival_log_odds(own, others)

    def evidence(self, person_id: str) -> tuple[float, float]:
        """Ticks of speech that this face was held against, and the sum of its cosines; both fade."""
        person = self._people.get(person_id)
        if person is None:
            return 0.0, 0.0
        shift = MAX_SHIFT + (self.offset.ticks or 0)
        return float(person.cosines.weight[shift]), float(person.cosines.total[shift])

    def _advance(self, stamp_ns: int, elapsed: int) -> None:
        """Give this picture's tick, and those that were skipped before it, their stamps."""
        last, before = self._tick, self._stamps.get(self._tick)
        self._tick += elapsed
        if before is None or elapsed > MAX_STEP_TICKS:
            self._stamps[self._tick] = stamp_ns
            return
        for i in range(1, elapsed + 1):
            self._stamps[last + i] = before + (stamp_ns - before) * i // elapsed

    def _compare_until(self, until_ns: int) -> None:
        """Compare tick after tick, as far as sound is known. The last tick's windows are not complete yet."""
        oldest = self._tick - self._lag_ns // TICK_NS - _PATIENCE_TICKS
        while self._next < self._tick:
            begin = self._begin_ns(self._next)
            if begin is not None:
                if self._next > oldest and not self._sound.known(begin, STEPS * WINDOW, until_ns):
                    break
                self._hear(self._next, begin)
            for person in self._people.values():
                person.cosines.fade(self._keep)
            self._compare(self._next)
            self._next += 1
            self._prune(self._next - MAX_SHIFT)

    def _begin_ns(self, tick: int) -> int | None:
        """When the sound of the window begins whose last pose is that of ``tick``, by its middle pose."""
        middle = self._stamps.get(tick - WINDOW // 2)
        return None if middle is None else middle - WINDOW // 2 * TICK_NS

    def _hear(self, tick: int, begin_ns: int) -> None:
        window = self._sound.window(begin_ns, STEPS * WINDOW)
        if window is not None:
            self._sounds[tick] = self._embedder.sounds(window[None])[0]

    def _compare(self, tick: int) -> None:
        """Hold every face against the sound around ``tick``."""
        begin = self._begin_ns(tick)
        if begin is None or tick not in self._sounds:
            return
        voice = self._voice_at(begin + WINDOW * TICK_NS)
        if math.isnan(voice):
            return
        found = []
        for person in self._people.values():
            cosines = self._cosines(person, tick)
            person.cosines.add(cosines, voice)
            lips = person.lips.get(tick, 0.0) if tick in person.vectors else 0.0
            found.append(Evidence(cosines, lips, person.cosines.prominence(_CLEAR_TICKS)))
        self.offset.add(found, voice)

    def _cosines(self, person: _Person, tick: int) -> Floats:
        """``[17]`` by ticks that the face comes after the sound, -8 to 8; NaN where one is missing."""
        ticks = range(tick - MAX_SHIFT, tick + 1)
        face, sound = person.vectors.get(tick), self._sounds[tick]
        early = [_cosine(person.vectors.get(t), sound) for t in ticks[:-1]]
        late = [_cosine(face, self._sounds.get(t)) for t in reversed(ticks)]
        return np.array(early + late, np.float32)

    def _prune(self, first: int) -> None:
        """Forget what lies before a tick."""
        _forget_before(first, self._sounds)
        _forget_before(first - WINDOW, self._stamps)
        for person in self._people.values():
            _forget_before(first, person.vectors)
            _forget_before(first, person.lips)


def _cosine(face: Floats | None, sound: Floats | None) -> float:
    return math.nan if face is None or sound is None else float(face @ sound)


def _forget_before(first: int, by_tick: dict[int, Floats] | dict[int, int] | dict[int, float]) -> None:
    for tick in [t for t in by_tick if t < first]:
        del by_tick[tick]
