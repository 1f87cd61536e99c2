"""Settings of perception."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hmgen_ros.perception.backends import BACKEND_MODULES
from hmgen_ros.perception.body import BodyConfig
from hmgen_ros.perception.hysteresis import LatchConfig
from hmgen_ros.perception.load import LoadConfig
from hmgen_ros.types import Action

#: The setting that says when each action begins and ends.
LATCHES = {
    Action.SPEAKING: "speaking",
    Action.LAUGHING: "laughing",
    Action.HEAD_GESTURE: "gesture",
    Action.HAND_GESTURE: "hand_gesture",
    Action.STEPPING: "stepping",
    Action.WALKING: "walking",
    Action.DRINKING: "drinking",
    Action.HAIR_TOUCHING: "hair_touching",
}


@dataclass(frozen=True)
class PerceptionConfig:
    """Settings of :class:`~hmgen_ros.perception.pipeline.Perception`.

    Attributes:
        backend: landmark backend, a key of ``backends.BACKEND_MODULES``.
        threads: threads inside one run of a model.
        workers: faces fitted at the same time, 1 to 8; above 1 the detector runs beside them, too.
        detect_every: images between two searches for new faces, 1 to 250.
        min_presence: in [0, 1]; a face is lost when the landmark model's presence falls below.
        max_people: people tracked at once, 1 to 12; further faces are only counted.
        min_hits: images in a row that make a face a person, at least 1.
        max_missed: ticks for which an unseen person is kept, at least 0.
        min_overlap: in (0, 1]; least IoU of a face with where its track expects it.
        recognise: compare faces, so that people keep their ids when they cross or come back.
        return_s: a person who is back after so many seconds, 0 to 600, gets the same id again.
        seed: of the person ids; None draws other ids every time.
        camera_matrix: row-major 3 x 3, None for a pinhole whose focal length is the image's width.
        smooth_landmarks: publish landmarks that do not tremble, see ``one_euro``.
        correct_landmarks: publish landmarks where hand labels would put them, see ``mesh_contours``; models
            of head motion were trained on uncorrected ones.
        audio_lag_ms: an image is matched with sound up to its stamp less this, at least 0; sound that
            arrives within it never changes a result by its arrival.
        audio_offset_ms: added to the stamps of sound; ``Perception.av_offset_ms`` says what makes up for
            wrong ones.
        active_speaker: compare faces with the voice, where perception is given the means.
        syncer: the model for that, see :mod:`hmgen_ros.syncer_embedder`.
        match_memory_s: the comparison looks back about this long, 0.2 to 10 s.
        lips_only_trust: in [0, 1]; factor on speaking probabilities while there is no sound.
        unseen_voice: in [0, 1]; how probable a voice is when nobody in view speaks.
        speaking: when speaking begins and ends.
        laughing: when laughing begins and ends.
        gesture: when a head gesture begins and ends.
        load: when to do less because the machine is too slow; only where measured times are handed in.
        body: how bodies are looked for, where perception is given the model.
        hand_gesture, stepping, walking, drinking, hair_touching: when each begins and ends. Least durations
            are those that 5 % of the hand gestures (0.56 s) and movements (1.4 s) of the AMI corpus do not
            reach; the last three do not occur there.
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
    recognise: bool = True
    return_s: float = 10.0
    seed: int | None = None
    camera_matrix: tuple[float, ...] | None = None
    smooth_landmarks: bool = True
    correct_landmarks: bool = False
    audio_lag_ms: float = 40.0
    audio_offset_ms: float = 0.0
    active_speaker: bool = True
    syncer: str = "syncer"
    match_memory_s: float = 1.0
    lips_only_trust: float = 0.8
    unseen_voice: float = 0.05
    speaking: LatchConfig = field(default_factory=lambda: LatchConfig(0.5, 0.4, 1, 2, 3))
    laughing: LatchConfig = field(default_factory=lambda: LatchConfig(0.5, 0.3, 3, 8, 10))
    gesture: LatchConfig = field(default_factory=lambda: LatchConfig(0.4, 0.15, 2, 2, 5))
    load: LoadConfig = field(default_factory=LoadConfig)
    body: BodyConfig = field(default_factory=BodyConfig)
    hand_gesture: LatchConfig = field(
        default_factory=lambda: LatchConfig(on_ticks=4, off_ticks=12, min_ticks=14)
    )
    stepping: LatchConfig = field(
        default_factory=lambda: LatchConfig(on_ticks=10, off_ticks=20, min_ticks=34)
    )
    walking: LatchConfig = field(default_factory=lambda: LatchConfig(on_ticks=6, off_ticks=12, min_ticks=25))
    drinking: LatchConfig = field(default_factory=lambda: LatchConfig(on_ticks=1, off_ticks=10, min_ticks=20))
    hair_touching: LatchConfig = field(
        default_factory=lambda: LatchConfig(on_ticks=1, off_ticks=10, min_ticks=15)
    )

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
            "return_s": (0, 600),
            "audio_lag_ms": (0, 10_000),
            "audio_offset_ms": (-2_000, 2_000),
            "match_memory_s": (0.2, 10),
            "lips_only_trust": (0, 1),
            "unseen_voice": (0, 1),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be between {low} and {high}, got {value}")
        if self.camera_matrix is not None and len(self.camera_matrix) != 9:
            raise ValueError(f"camera_matrix needs 9 numbers, row by row, got {len(self.camera_matrix)}")

    @property
    def latches(self) -> dict[Action, LatchConfig]:
        """When each action begins and ends."""
        return {action: getattr(self, name) for action, name in LATCHES.items()}
