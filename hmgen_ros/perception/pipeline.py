"""Images and sound in, scenes out: the whole of perception behind one object."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.active_speaker import Embedder, Sighting
from hmgen_ros.perception.appearance import FaceEmbedder, shows_who
from hmgen_ros.perception.backends import LandmarkSets, create_backend
from hmgen_ros.perception.body import BodyModel
from hmgen_ros.perception.body_finder import BodyFinder
from hmgen_ros.perception.face_making import usable_faces
from hmgen_ros.perception.faces import FaceFinder
from hmgen_ros.perception.head_pose import solve_head_pose
from hmgen_ros.perception.hearing import Hearing
from hmgen_ros.perception.load import LoadGovernor
from hmgen_ros.perception.people import Attendance, Memories
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.shown_faces import ShownFaces
from hmgen_ros.perception.speaking import speaking_probabilities
from hmgen_ros.perception.track import Track
from hmgen_ros.perception.tracking import Tracker
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import TICK_HZ, TICK_NS, AudioChunk, Counts, Face, Frame, Scene

#: Images that :meth:`Perception.warm_up` looks at.
WARM_UP_IMAGES = 5


class Perception:
    """Makes a :class:`~hmgen_ros.types.Scene` of every image.

    Given the same images, sound and seed, scenes are the same bit for bit, whenever the sound arrives,
    if only the sound up to ``audio_lag_ms`` before an image is there before the image.

    Attributes:
        counts: what was dropped, lost or noticed.
        times: wall-clock time of the stages ``detect``, ``landmarks``, ``pose``, ``track`` (in it
            ``recognise``), ``voice``, ``match``, ``body`` and ``actions``; where ``workers`` is above 1,
            ``detect`` and ``body`` overlap others.
        load: what is done less often than set, see :meth:`took`.
    """

    def __init__(
        self,
        config: PerceptionConfig | None = None,
        embedder: Embedder | None = None,
        body: BodyModel | None = None,
    ) -> None:
        """Load the models.

        Args:
            config: settings.
            embedder: compares faces with the voice; without it lips alone tell who speaks.
            body: finds bodies; without it what hands and feet do is not observed.
        """
        c = self.config = config or PerceptionConfig()
        self.counts = Counts()
        self.times = StageTimes()
        self._backend = create_backend(c.backend, c.threads, c.workers)
        self._finder = self._make_finder()
        self._bodies: BodyFinder | None = None
        if body is not None and c.body.enabled:
            self._bodies = BodyFinder(body, c.body, c.workers > 1, self.times, self.counts)
        self.load = LoadGovernor(c.load, self.body_every, self.counts)
        self._tracker = Tracker(
            c.min_hits,
            c.max_missed,
            c.max_people,
            c.min_overlap,
            c.seed,
            self.counts,
            round(c.return_s * TICK_HZ),
        )
        self._looks = FaceEmbedder(c.threads) if c.recognise else None
        self._attendance = Attendance()
        self._shown = ShownFaces(self._backend, c.smooth_landmarks, c.correct_landmarks)
        self._hearing = Hearing(c, embedder, self.times, self.counts)
        self._memories = Memories(c)
        self._stamp_ns = 0  # of the last image
        matrix = c.camera_matrix
        self._camera = None if matrix is None else np.array(matrix, np.float64).reshape(3, 3)

    @property
    def av_offset_ms(self) -> float:
        """By how much pictures come after their sound, ms; negative where sound is late, NaN: not known."""
        return self._hearing.av_offset_ms

    def check(self, config: PerceptionConfig) -> None:
        """Raise ValueError where :meth:`adjust` would need a model that was not loaded."""
        for name, wanted, before, loaded in (
            (
                "active_speaker",
                config.active_speaker,
                self.config.active_speaker,
                self._hearing.can_compare,
            ),
            ("body.enabled", config.body.enabled, self.config.body.enabled, self._bodies is not None),
            ("recognise", config.recognise, self.config.recognise, self._looks is not None),
        ):
            if wanted and not before and not loaded:
                raise ValueError(f"{name} cannot be switched on: its model was not loaded at the start")

    def adjust(self, config: PerceptionConfig) -> None:
        """Go by other settings from the next image on; who is there stays who they are.

        Not looked at are backend, threads, workers, seed, syncer and camera matrix: they are those of the
        constructor.

        Raises:
            ValueError: see :meth:`check`; nothing has been changed.
        """
        self.check(config)
        before, self.config = self.config, config
        self._finder.min_presence, self._finder.max_faces = config.min_presence, config.max_people
        self._tracker.adjust(
            config.min_hits,
            config.max_missed,
            config.max_people,
            config.min_overlap,
            round(config.return_s * TICK_HZ),
        )
        self._shown.adjust(config.smooth_landmarks, config.correct_landmarks)
        self._memories.adjust(config)
        self.load.adjust(config.load, 0 if self._bodies is None else config.body.every)
        self._adjust_bodies(before)
        self._set_rates()
        self._hearing.adjust(config)

    def _adjust_bodies(self, before: PerceptionConfig) -> None:
        if self._bodies is None:
            return
        self._bodies.config = self.config.body
        if self.config.body.enabled and not before.body.enabled:
            self._bodies.reset()

    def took(self, milliseconds: float) -> None:
        """Tell how long the last image took, in real time only: what is too much is done less often.

        Without this everything is done as often as set, so that a replay gives the same scenes.
        """
        if self.load.observe(milliseconds):
            self._set_rates()

    def _set_rates(self) -> None:
        self.body_every = self.config.body.every * self.load.slowdown.body
        self._finder.detect_every = self.config.detect_every * self.load.slowdown.detector

    @property
    def body_every(self) -> int:
        """Ticks between two looks for bodies, which may be changed at any time; 0: there are none."""
        return 0 if self._bodies is None else self._bodies.every

    @body_every.setter
    def body_every(self, ticks: int) -> None:
        if self._bodies is not None:
            self._bodies.every = ticks

    def use_camera(self, matrix: NDArray[np.float64] | None) -> None:
        """Solve head poses with this ``[3, 3]`` camera matrix from the next image on; None: the usual one."""
        self._camera = matrix

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take the next run of sound: 16 kHz, mono.

        Raises:
            ValueError: another sample rate or shape.
        """
        self._hearing.push(chunk)

    def process(self, frame: Frame, tick: int, missed_ticks: int = 0, reset: bool = False) -> Scene:
        """Perceive one image.

        Args:
            frame: the image.
            tick: index on the 25 Hz clock.
            missed_ticks: ticks without an image just before this one.
            reset: what was seen before is void. After a gap people may be recognised, after a jump back in
                time everyone is forgotten. Sound is kept: its own stamps say when it starts anew.
        """
        if reset:
            gap_ticks = (frame.stamp_ns - self._stamp_ns) // TICK_NS
            self._reset_vision(gap_ticks if self._stamp_ns and gap_ticks > 0 else None)
        self._stamp_ns = frame.stamp_ns
        elapsed = 1 + missed_ticks
        image = frame.image
        size = (image.shape[1], image.shape[0])
        found = self._find(image)
        with self.times.stage("pose"):
            found, faces = usable_faces(found, size, self._camera, self.counts)
        with self.times.stage("track"):
            tracks = self._track(image, found, faces, elapsed)
        voice = self._hearing.voice_at(frame.stamp_ns)
        seen = [None if t.face is None else faces[t.face] for t in tracks]
        with self.times.stage("actions"):
            bursts = self._hearing.bursts_at(frame.stamp_ns)
            lips = self._memories.observe(tracks, seen, bursts, elapsed)
        self._look_at_bodies(frame, tracks, seen, elapsed)
        odds = self._matched(frame.stamp_ns, tracks, seen, lips, elapsed)
        shown = self._shown.update(tracks, seen, found, size, elapsed)
        with self.times.stage("actions"):
            people = self._memories.people(tracks, shown, lips if math.isnan(voice) else odds, voice, elapsed)
        events = self._attendance.update(
            [p.person_id for p in people], self._tracker.returned, self._tracker.aliases
        )
        return Scene(frame.stamp_ns, tick, people, voice, size, frame.frame_id, missed_ticks, reset, events)

    def reset(self) -> None:
        """Forget everything seen and heard; counts and times stay."""
        self._reset_vision()
        self._hearing.reset()

    def warm_up(self) -> None:
        """Run everything once, so that the first real image does not pay for it; changes no state."""
        image = np.full((360, 640, 3), 96, np.uint8)
        region = np.array([[320, 180, 200, 0]] * self.config.workers, np.float32)
        for _ in range(WARM_UP_IMAGES):
            self._backend.detect(image)
            found = self._backend.landmarks(image, region)
            solve_head_pose(found.points[0], (640, 360), self._camera)
            if self._looks is not None:
                self._looks.vector(image, found.points[0])
        if self._bodies is not None:
            self._bodies.warm_up(image)
        speaking_probabilities([0.0] * self.config.max_people, 0.5)
        self._hearing.warm_up(self.config.max_people)

    def close(self) -> None:
        """Stop worker threads. The object cannot be used afterwards."""
        self._finder.close()
        if self._bodies is not None:
            self._bodies.close()
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

    def _reset_vision(self, gap_ticks: int | None = None) -> None:
        """Begin anew, with people who were there so many ticks ago, or with nobody."""
        self._finder.reset()
        if gap_ticks is None:
            self._tracker.reset()
        else:
            self._tracker.interrupt(gap_ticks)
        self._shown.reset()
        self._attendance = Attendance()
        self._memories.clear()
        if self._bodies is not None:
            self._bodies.reset()
        self._hearing.reset_vision()

    def _find(self, image: NDArray[np.uint8]) -> LandmarkSets:
        """Faces in the image: those of the tracks, and new ones when it is time to search."""
        rois = self._memories.rois(self._tracker.tracks)
        # Someone who has just vanished is looked for at once; later the usual searches will do.
        search = any(0 < t.missed <= self.config.detect_every for t in self._tracker.tracks)
        guesses = self._tracker.guesses()
        return self._finder.find(image, rois, search, guesses)

    def _track(
        self, image: NDArray[np.uint8], found: LandmarkSets, faces: list[Face], elapsed: int
    ) -> list[Track]:
        """Who is who in this image, and what is remembered of them."""
        embedder = self._looks if self.config.recognise else None

        def look(i: int) -> NDArray[np.float32] | None:
            if embedder is None or not shows_who(faces[i]):
                return None
            with self.times.stage("recognise"):
                return embedder.vector(image, faces[i].landmarks_px)

        tracks = self._tracker.update(found.boxes, elapsed, None if embedder is None else look)
        self._memories.follow(tracks, found.rois, self._tracker.aliases)
        return tracks

    def _look_at_bodies(
        self, frame: Frame, tracks: list[Track], seen: list[Face | None], elapsed: int
    ) -> None:
        """Give everyone the body that was found in an image before, and begin to look where it is time."""
        if self._bodies is None or not self.config.body.enabled:
            return
        faces = {track.person_id: face for track, face in zip(tracks, seen, strict=True)}
        look = self._bodies.update(frame.image, frame.stamp_ns, faces, elapsed)
        if look is None:
            return
        with self.times.stage("actions"):
            self._memories.observe_bodies(look)

    def _matched(
        self, stamp_ns: int, tracks: list[Track], seen: list[Face | None], lips: list[float], elapsed: int
    ) -> list[float]:
        """Log odds of speech: those of the lips, and how well they move in time with the voice."""
        sightings = {
            track.person_id: Sighting(None if face is None else face.landmarks_px, 1 / (1 + math.exp(-odds)))
            for track, face, odds in zip(tracks, seen, lips, strict=True)
        }
        matched = self._hearing.matched(stamp_ns, sightings, elapsed)
        return [odds + matched[track.person_id] for track, odds in zip(tracks, lips, strict=True)]
