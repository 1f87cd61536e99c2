"""Images and sound in, scenes out: the whole of perception behind one object."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.backends import BACKEND_MODULES, LandmarkSets, create_backend
from hmgen_ros.perception.faces import FaceFinder
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.perception.hysteresis import LatchConfig
from hmgen_ros.perception.normalisation import normalise
from hmgen_ros.perception.people import PersonMemory
from hmgen_ros.perception.speaking import speaking_probabilities
from hmgen_ros.perception.tracking import Track, Tracker
from hmgen_ros.perception.voice import SAMPLE_RATE, VoiceActivity
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import AudioChunk, Counts, Face, Frame, Person, Scene

#: Images that :meth:`Perception.warm_up` looks at.
WARM_UP_IMAGES = 5


@dataclass(frozen=True)
class PerceptionConfig:
    """Settings of :class:`Perception`.

    Attributes:
        backend: landmark backend, a key of ``backends.BACKEND_MODULES``.
        threads: threads inside one run of a model.
        workers: faces fitted at the same time, 1 to 8; above 1 the detector runs beside them, too.
        detect_every: images between two searches for new faces, 1 to 250.
        min_presence: in [0, 1]; a face is lost when the landmark model's presence falls below.
        max_people: people tracked at once, 1 to 12; further faces are only counted.
        min_hits: images in a row that make a face a person, at least 1.
        max_missed: ticks for which an unseen person is kept, at least 0.
        min_overlap: in (0, 1]; least IoU of a face with its track.
        seed: of the person ids; None draws other ids every time.
        camera_matrix: row-major 3 x 3, None for a pinhole whose focal length is the image's width.
        audio_lag_ms: an image is matched with sound up to its stamp less this, at least 0; sound that
            arrives within it never changes a result by its arrival.
        lips_only_trust: in [0, 1]; factor on speaking probabilities while there is no sound.
        unseen_voice: in [0, 1]; how probable a voice is when nobody in view speaks.
        speaking: when speaking begins and ends.
        gesture: when a head gesture begins and ends.
    """

    backend: str = "mesh"
    threads: int = 1
    workers: int = 3
    detect_every: int = 5
    min_presence: float = 0.5
    max_people: int = 6
    min_hits: int = 3
    max_missed: int = 50
    min_overlap: float = 0.2
    seed: int | None = None
    camera_matrix: tuple[float, ...] | None = None
    audio_lag_ms: float = 80.0
    lips_only_trust: float = 0.8
    unseen_voice: float = 0.05
    speaking: LatchConfig = field(default_factory=LatchConfig)
    gesture: LatchConfig = field(default_factory=LatchConfig)

    def __post_init__(self) -> None:
        if self.backend not in BACKEND_MODULES:
            raise ValueError(f"backend must be one of {sorted(BACKEND_MODULES)}, got {self.backend!r}")
        bounds = {
            "threads": (1, 64),
            "workers": (1, 8),
            "detect_every": (1, 250),
            "min_presence": (0, 1),
            "max_people": (1, 12),
            "min_hits": (1, 250),
            "max_missed": (0, math.inf),
            "min_overlap": (1e-6, 1),
            "audio_lag_ms": (0, 10_000),
            "lips_only_trust": (0, 1),
            "unseen_voice": (0, 1),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be between {low} and {high}, got {value}")
        if self.camera_matrix is not None and len(self.camera_matrix) != 9:
            raise ValueError(f"camera_matrix needs 9 numbers, row by row, got {len(self.camera_matrix)}")


class Perception:
    """Makes a :class:`~hmgen_ros.types.Scene` of every image.

    Given the same images, sound and seed, scenes are the same bit for bit, whenever the sound arrives,
    if only the sound up to ``audio_lag_ms`` before an image is there before the image.

    Attributes:
        counts: what was dropped, lost or noticed.
        times: wall-clock time of the stages ``detect``, ``landmarks``, ``pose``, ``track``, ``voice``
            and ``actions``; ``detect`` overlaps ``landmarks`` where ``workers`` is above 1.
    """

    def __init__(self, config: PerceptionConfig | None = None) -> None:
        c = self.config = config or PerceptionConfig()
        self.counts = Counts()
        self.times = StageTimes()
        self._backend = create_backend(c.backend, c.threads, c.workers)
        self._finder = self._make_finder()
        self._tracker = Tracker(c.min_hits, c.max_missed, c.max_people, c.min_overlap, c.seed, self.counts)
        self._voice = VoiceActivity(self.counts)
        self._memories: dict[str, PersonMemory] = {}
        matrix = c.camera_matrix
        self._camera = None if matrix is None else np.array(matrix, np.float64).reshape(3, 3)
        self._lag_ns = round(c.audio_lag_ms * 1e6)

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take the next run of sound: 16 kHz, mono.

        Raises:
            ValueError: another sample rate or shape.
        """
        with self.times.stage("voice"):
            self._voice.push(chunk)

    def process(self, frame: Frame, tick: int, missed_ticks: int = 0, reset: bool = False) -> Scene:
        """Perceive one image.

        Args:
            frame: the image.
            tick: index on the 25 Hz clock.
            missed_ticks: ticks without an image just before this one.
            reset: forget everyone first. Sound is kept: its own stamps say when it starts anew.
        """
        if reset:
            self._reset_vision()
        elapsed = 1 + missed_ticks
        image = frame.image
        size = (image.shape[1], image.shape[0])
        found, faces = self._usable(self._find(image), size)
        with self.times.stage("track"):
            tracks = self._tracker.update(found.boxes, elapsed)
            self._remember(tracks, found)
        voice = self._voice.probability_at(frame.stamp_ns - self._lag_ns)
        with self.times.stage("actions"):
            people = self._people(tracks, faces, voice, elapsed)
        return Scene(frame.stamp_ns, tick, people, voice, size, frame.frame_id, missed_ticks, reset)

    def reset(self) -> None:
        """Forget everything seen and heard; counts and times stay."""
        self._reset_vision()
        self._voice.reset()

    def warm_up(self) -> None:
        """Run everything once, so that the first real image does not pay for it; changes no state."""
        spare = VoiceActivity()
        spare.push(AudioChunk(0, np.zeros(SAMPLE_RATE // 4, np.float32), SAMPLE_RATE))
        image = np.full((360, 640, 3), 96, np.uint8)
        region = np.array([[320, 180, 200, 0]] * self.config.workers, np.float32)
        for _ in range(WARM_UP_IMAGES):
            self._backend.detect(image)
            found = self._backend.landmarks(image, region)
            solve_head_pose(found.points[0], (640, 360), self._camera)
        speaking_probabilities([0.0] * self.config.max_people, 0.5)

    def close(self) -> None:
        """Stop worker threads. The object cannot be used afterwards."""
        self._finder.close()
        self._backend.close()

    def _make_finder(self) -> FaceFinder:
        c = self.config
        return FaceFinder(
            self._backend,
            c.detect_every,
            c.min_presence,
            c.max_people,
            c.workers > 1,
            self.times,
            self.counts,
        )

    def _reset_vision(self) -> None:
        self._finder.reset()
        self._tracker.reset()
        self._memories.clear()

    def _find(self, image: NDArray[np.uint8]) -> LandmarkSets:
        """Faces in the image: those of the tracks, and new ones when it is time to search."""
        rois = [r for t in self._tracker.tracks if (r := self._memories[t.person_id].roi) is not None]
        # Someone who has just vanished is looked for at once; later the usual searches will do.
        search = any(0 < t.missed <= self.config.detect_every for t in self._tracker.tracks)
        return self._finder.find(image, np.array(rois, np.float32).reshape(-1, 4), search)

    def _usable(self, found: LandmarkSets, size: tuple[int, int]) -> tuple[LandmarkSets, list[Face]]:
        """Faces with their poses; those whose landmarks make no face frame are dropped and counted."""
        with self.times.stage("pose"):
            made = [self._face(found, i, size) for i in range(len(found))]
        faces = [face for face in made if face is not None]
        if len(faces) < len(made):
            self.counts.add("faces_unusable", len(made) - len(faces))
            found = found.subset([i for i, face in enumerate(made) if face is not None])
        return found, faces

    def _face(self, found: LandmarkSets, i: int, size: tuple[int, int]) -> Face | None:
        points, score = found.points[i], float(found.presence[i])
        frame = normalise(points)
        if frame is None:
            return None
        landmarks, origin, scale = frame
        inside = ((points >= 0) & (points < size)).all(1)
        visibility = np.where(inside, np.float32(score), np.float32(0))
        pose = solve_head_pose(points, size, self._camera)
        self.counts.add("poses_unsolved", int(pose is None))
        return Face(found.boxes[i], score, points, landmarks, origin, scale, visibility, pose)

    def _remember(self, tracks: list[Track], found: LandmarkSets) -> None:
        """Give every track a memory and its next region, and forget those who left."""
        alive = {t.person_id for t in tracks}
        self._memories = {name: m for name, m in self._memories.items() if name in alive}
        for track in tracks:
            if track.person_id not in self._memories:
                self._memories[track.person_id] = PersonMemory(self.config.speaking, self.config.gesture)
            memory = self._memories[track.person_id]
            memory.roi = None if track.face is None else found.rois[track.face]

    def _people(
        self, tracks: list[Track], faces: list[Face], voice: float, elapsed: int
    ) -> tuple[Person, ...]:
        """The confirmed tracks as people, with the voice shared out among them."""
        seen = [None if t.face is None else faces[t.face] for t in tracks]
        odds = [self._memories[t.person_id].observe(f, elapsed) for t, f in zip(tracks, seen, strict=True)]
        known = [i for i, t in enumerate(tracks) if t.confirmed]
        speaks = speaking_probabilities([odds[i] for i in known], voice, self.config.unseen_voice)
        if math.isnan(voice):
            speaks = speaks * self.config.lips_only_trust
        return tuple(
            self._memories[tracks[i].person_id].person(
                tracks[i].person_id, tracks[i].age, seen[i], float(p), elapsed
            )
            for i, p in zip(known, speaks, strict=True)
        )
