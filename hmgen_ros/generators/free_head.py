"""A head that moves by itself: the robot's own, without camera or sound, for as long as one likes.

It begins with the mean face of the model's training set, looking at the camera, and is generated one tick a
tick. Ticks are generated ahead of time by the length of the trajectory, so that what is told of the future is
what will happen, and consecutive trajectories agree.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.generators import motion_models
from hmgen_ros.generators.framed_motion import FramedMotion
from hmgen_ros.generators.head_forecaster import PoseSolver
from hmgen_ros.generators.seats import steps_of
from hmgen_ros.types import NUM_LANDMARKS, Counts, HeadMotion

#: Pixels: size of the imagined picture, and of the face in its middle (root mean square distance of the
#: landmarks from their centroid).
IMAGE_SIZE, FACE_PX = (640, 480), 60.0


class FreeHead:
    """Generates one head without end.

    Attributes:
        rest: ``[3]`` yaw, pitch and roll of the face that the motion begins with, rad.
        counts: ``pose_drawn_back`` (generated poses that had left what faces of the training set did),
            ``pose_unsolved`` (faces whose orientation could not be told: the last one is held) and
            ``pose_not_finite`` (the model gave no numbers: the head begins again at rest).
    """

    def __init__(
        self,
        model: FramedMotion[Any],
        solve_pose: PoseSolver,
        device: str = "cpu",
        horizon_s: float = 1.0,
        seed: int = 0,
    ) -> None:
        """At rest.

        Args:
            model: the generator, on ``device``.
            solve_pose: head pose of ``[68, 2]`` pixels in an image of (width, height).
            device: torch device.
            horizon_s: how far trajectories reach, s.
            seed: of the motion; the same seed gives the same motion.

        Raises:
            ValueError: the model's mean face is no face.
        """
        self._model, self._solve_pose = model.eval(), solve_pose
        self._steps, self._seed = steps_of(horizon_s), seed
        self._generator = torch.Generator(device=torch.device(device))
        mean = torch.as_tensor(model.mean).reshape(1, NUM_LANDMARKS, 2)
        self._face = mean * FACE_PX + mean.new_tensor(IMAGE_SIZE) / 2.0
        self.counts = Counts()
        rest = solve_pose(self._face[0].cpu().numpy(), IMAGE_SIZE)
        if rest is None:
            raise ValueError("the model's mean face does not look like a head; train the model again")
        self.rest = np.array([rest.yaw, rest.pitch, rest.roll])
        self.reset()

    @classmethod
    def load(
        cls, model: str, solve_pose: PoseSolver, device: str = "cpu", horizon_s: float = 1.0, seed: int = 0
    ) -> FreeHead:
        """With a shipped model.

        Raises:
            ValueError: its mean face is no face.
            RuntimeError, OSError: its file is damaged or missing, or the device is not there.
        """
        return cls(motion_models.load(model, device), solve_pose, device, horizon_s, seed)

    def reset(self) -> None:
        """Begin the same motion again."""
        self._generator.manual_seed(self._seed)
        self._begin()

    @torch.inference_mode()
    def tick(self, stamp_ns: int, person_id: str) -> HeadMotion:
        """The head's next tick and where it goes from there; stamp and name are written into it."""
        self._generate()
        self._ahead.popleft()
        landmarks = np.stack([points for points, _ in self._ahead])
        pose = np.stack([angles for _, angles in self._ahead]).astype(np.float32)
        origin = np.asarray(IMAGE_SIZE, np.float32) / 2.0
        return HeadMotion(stamp_ns, person_id, landmarks, origin, FACE_PX, pose)

    @torch.inference_mode()
    def _begin(self) -> None:
        """At rest, with the ticks of the first trajectory generated."""
        state, _ = self._model.step(self._model.initial_state(1), self._face)
        self._state = self._model.start(state, self._generator)
        face = self._face[0].cpu().numpy().astype(np.float32)
        self._ahead: deque[tuple[NDArray[np.float32], NDArray[np.float64]]] = deque([(face, self.rest)])
        while len(self._ahead) < self._steps:
            self._generate()

    def _generate(self) -> None:
        """One more tick at the far end."""
        drawn_back = int(self._model.plausible.corrected)
        state, poses = self._model.advance(self._state, self._generator)
        self.counts.add("pose_drawn_back", int(self._model.plausible.corrected) - drawn_back)
        points, angles = poses[0].cpu().numpy().astype(np.float32), self._ahead[-1][1]
        if not np.isfinite(points).all():
            self.counts.add("pose_not_finite")
            state, _ = self._model.step(self._model.initial_state(1), self._face)
            state, points = self._model.start(state, self._generator), self._ahead[-1][0]
        elif (pose := self._solve_pose(points, IMAGE_SIZE)) is None:
            self.counts.add("pose_unsolved")
        else:
            angles = np.array([pose.yaw, pose.pitch, pose.roll])
        self._state = state
        self._ahead.append((points, angles))
