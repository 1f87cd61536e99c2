"""From scenes to every head's trajectory, a tick at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.generators import motion_models
from hmgen_ros.generators.constant_velocity import ConstantVelocity
from hmgen_ros.generators.interface import MotionPredictor
from hmgen_ros.generators.seats import MAX_HELD, Seats, steps_of
from hmgen_ros.generators.speaker_forecaster import SpeakerForecaster
from hmgen_ros.generators.speech_models import load_speech_generator
from hmgen_ros.types import (
    NUM_LANDMARKS,
    UNKNOWN_MASK,
    Action,
    AudioChunk,
    Face,
    HeadMotion,
    HeadPose,
    Person,
    PresenceEvent,
    Scene,
)

#: Head pose of ``[68, 2]`` pixels in an image of (width, height); None where it cannot be solved.
PoseSolver = Callable[[NDArray[np.float32], tuple[int, int]], HeadPose | None]

#: Displacement of a landmark, in distances of the outer eye corners, below which a face holds still.
_STILL = 0.01

#: Those whose weights ship: ours, and SUHMo with its baselines (thesis 4.4).
TRAINED = ("noise_driven", "suhmo_rnn", "suhmo_transformer", "mle", "delta", "actor", "hit_dvae")

#: Every shipped head-motion generator by name.
MOTION_PREDICTORS: dict[str, Callable[[str], MotionPredictor[Any]]] = {
    **{name: partial(motion_models.load, name) for name in TRAINED},
    "constant_velocity": lambda device: ConstantVelocity().to(device),
}

#: The one whose motion is most like that of people (see docs/results/suhmo.md); a robot's own head takes it.
#: The heads of people in view go on by constant velocity unless asked otherwise, which costs next to nothing.
DEFAULT_MOTION_PREDICTOR = "noise_driven"


class HeadForecaster:
    """Streams scenes through a motion predictor, a slot a head, in pixels of the source image.

    Where there is a forecaster of speakers, it forecasts those who speak. Both go on from the pose that is
    seen, so that nothing jumps when somebody begins or ends.
    """

    def __init__(
        self,
        predictor: MotionPredictor[Any],
        solve_pose: PoseSolver,
        device: str = "cpu",
        horizon_s: float = 1.0,
        seed: int = 0,
        speakers: SpeakerForecaster | None = None,
    ) -> None:
        """Start without history.

        Args:
            predictor: the generator, on ``device``.
            solve_pose: head pose of ``[68, 2]`` pixels in an image of (width, height).
            device: torch device.
            horizon_s: how far trajectories reach, s.
            seed: of predictors that sample; drawn anew at each reset of the history.
            speakers: forecasts those who speak, on the same device; None: they are like everybody.
        """
        self._predictor = predictor.eval()
        self._seats = Seats(predictor)
        self._speakers = speakers
        self._solve_pose = solve_pose
        self._device = torch.device(device)
        self._steps, self._seed = steps_of(horizon_s), seed
        # Poses are solved at a few steps, the first where most motion of the near future is over, and
        # interpolated between.
        self._keys = sorted({min(5, self._steps) - 1, self._steps // 2, self._steps - 1})
        self._generator = torch.Generator(device=self._device)
        self.reset()

    @classmethod
    def load(
        cls,
        model: str,
        solve_pose: PoseSolver,
        device: str = "cpu",
        horizon_s: float = 1.0,
        seed: int = 0,
        speaker_model: str = "",
    ) -> HeadForecaster:
        """A forecaster with a shipped model, and one for speakers where that is named (or its file is).

        Raises:
            ValueError: there is no model of this name.
            RuntimeError, OSError: its file is damaged or missing, or the device is not there.
        """
        make = MOTION_PREDICTORS.get(model)
        if make is None:
            raise ValueError(f"no head-motion predictor {model!r}; one of: {', '.join(MOTION_PREDICTORS)}")
        speakers = (
            SpeakerForecaster(load_speech_generator(speaker_model, device), device) if speaker_model else None
        )
        return cls(make(device), solve_pose, device, horizon_s, seed, speakers)

    def reset(self) -> None:
        """Forget every head."""
        self._stamp_ns = 0  # of the last tick
        self._seats.clear()
        if self._speakers is not None:
            self._speakers.reset()
        self._faces: dict[str, Face] = {}
        self._generator.manual_seed(self._seed)

    def warm_up(self) -> None:
        """Run on nobody and on unseen people, so that the first real tick is as fast as the rest."""
        group = tuple(Person(str(i), None, 0.0, 0, np.full(0, np.nan, np.float32)) for i in range(4))
        for people in ((), group):
            self.observe(Scene(1, 0, people, 0.0, (1, 1)))
        self.reset()

    def hear(self, chunk: AudioChunk, begins: bool) -> None:
        """Take in sound for the forecasts of speakers; see :meth:`SpeakerForecaster.hear`."""
        if self._speakers is not None:
            self._speakers.hear(chunk, begins)

    @torch.inference_mode()
    def observe(self, scene: Scene) -> tuple[HeadMotion, ...]:
        """Take in one tick and forecast every head; those never seen are not valid."""
        # Whoever told of the jump back may have been lost, or a bag may begin after it.
        if scene.reset or scene.stamp_ns < self._stamp_ns:
            self.reset()
        self._stamp_ns = scene.stamp_ns
        people, seats = scene.people, self._seats
        for _ in range(min(scene.missed_ticks, MAX_HELD)):
            seats.state, _ = self._predictor.step(seats.state, self._points([None] * len(seats.ids)))
        self._follow(scene.events)
        seats.seat([person.person_id for person in people])
        self._faces = {
            person.person_id: face
            for person in people
            if (face := person.face or self._faces.get(person.person_id)) is not None
        }
        points = self._points([person.face for person in people])
        seats.state, _ = self._predictor.step(seats.state, points)
        future = self._predictor.rollout(seats.state, self._steps, self._generator)
        if self._speakers is not None:
            self._speakers.observe(scene.stamp_ns, seats.ids, points)
            speak = [i for i, person in enumerate(people) if _speaks(person)]
            if speak:
                future[:, speak] = self._speakers.rollout(speak, self._steps, self._generator)
        known = future.cpu().numpy()
        return tuple(self._motion(scene, person, known[:, i]) for i, person in enumerate(people))

    def _follow(self, events: tuple[PresenceEvent, ...]) -> None:
        """People who are called by another id from now on are who they were."""
        self._seats.follow(events)
        if self._speakers is not None:
            self._speakers.follow(events)
        for event in events:
            if event.was in self._faces:
                self._faces.setdefault(event.person_id, self._faces.pop(event.was))

    def _points(self, faces: list[Face | None]) -> torch.Tensor:
        """``[N, 68, 2]`` on the device, NaN where there is no face."""
        points = np.full((len(faces), NUM_LANDMARKS, 2), np.nan, np.float32)
        for i, face in enumerate(faces):
            if face is not None:
                points[i] = face.landmarks_px
        return torch.from_numpy(points).to(self._device)

    def _motion(self, scene: Scene, person: Person, future: NDArray[np.float32]) -> HeadMotion:
        face = self._faces.get(person.person_id)
        pose = None if face is None else self._poses(face, future, scene.image_size)
        if face is None or pose is None:
            empty = np.zeros((0, NUM_LANDMARKS, 2), np.float32)
            origin, none = np.zeros(2, np.float32), np.zeros((0, 3), np.float32)
            return HeadMotion(scene.stamp_ns, person.person_id, empty, origin, 0.0, none, valid=False)
        return HeadMotion(scene.stamp_ns, person.person_id, future, face.origin_px, face.scale_px, pose)

    def _poses(
        self, face: Face, future: NDArray[np.float32], image_size: tuple[int, int]
    ) -> NDArray[np.float32] | None:
        """``[T, 3]`` yaw, pitch, roll; None where the last face's or a future one's cannot be solved."""
        if face.pose is None:
            return None
        solved: list[HeadPose | None] = []
        shape = face.landmarks_px
        pose: HeadPose | None = face.pose
        for key in self._keys:
            # Landmarks tremble by a hundredth of the face; what moved less has the pose it had.
            if np.abs(future[key] - shape).max() > _STILL * face.scale_px:
                shape, pose = future[key], self._solve_pose(future[key], image_size)
            solved.append(pose)
        known = [pose for pose in (face.pose, *solved) if pose is not None]
        if len(known) != len(solved) + 1:
            return None
        angles = np.unwrap([[pose.yaw, pose.pitch, pose.roll] for pose in known], axis=0)
        steps = np.arange(self._steps)
        places = np.concatenate([[-1], self._keys])
        return np.stack([np.interp(steps, places, axis) for axis in angles.T], axis=1).astype(np.float32)


def _speaks(person: Person) -> bool:
    return person.actions != UNKNOWN_MASK and bool(person.actions >> Action.SPEAKING & 1)
