"""A head that moves by itself: the robot's own, without camera or sound, for as long as one likes.

It begins with the mean face of the model's training set, looking at the camera, and is generated one tick a
tick. Ticks are generated ahead of time by the length of the trajectory, so that what is told of the future is
what will happen, and consecutive trajectories agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hmgen_ros.generators import motion_models
from hmgen_ros.generators.framed_motion import FramedMotion
from hmgen_ros.generators.head_ahead import FACE_PX, IMAGE_SIZE, HeadAhead, HeadTick, points_of
from hmgen_ros.generators.head_forecaster import PoseSolver
from hmgen_ros.generators.seats import steps_of
from hmgen_ros.types import NUM_LANDMARKS, Counts, HeadMotion


class FreeHead:
    """Generates one head without end.

    Attributes:
        steps: ticks of a trajectory.
        moves: its generator, with the ticks that it has generated ahead.
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
        self.steps = steps_of(horizon_s)
        self.counts = Counts()
        rest = _at_rest(model, solve_pose, device)
        self.rest = rest.angles
        self.moves = HeadAhead(model, solve_pose, rest, seed, self.counts)
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

    @torch.inference_mode()
    def reset(self) -> None:
        """Begin the same motion again, with the ticks of the first trajectory generated."""
        self.moves.begin()
        self.moves.take_over()
        while len(self.moves.ahead) < self.steps:
            self.moves.extend()

    @torch.inference_mode()
    def tick(self, stamp_ns: int, person_id: str) -> HeadMotion:
        """The head's next tick and where it goes from there; stamp and name are written into it."""
        self.moves.go_on()
        self.moves.extend()
        return self.motion(stamp_ns, person_id, self.moves)

    def motion(self, stamp_ns: int, person_id: str, head: HeadAhead) -> HeadMotion:
        """The trajectory of the ticks that a generator is ahead, at least one; the last is held."""
        held = [head.ahead[-1]] * (self.steps - len(head.ahead))
        ticks = [*head.ahead, *held]
        landmarks = np.stack([tick.points for tick in ticks])
        angles = np.stack([tick.angles for tick in ticks]).astype(np.float32)
        origin = np.asarray(IMAGE_SIZE, np.float32) / 2.0
        return HeadMotion(stamp_ns, person_id, landmarks, origin, FACE_PX, angles)


def _at_rest(model: FramedMotion[Any], solve_pose: PoseSolver, device: str) -> HeadTick:
    """The mean face, not seen yet; raises ValueError where it is none."""
    mean = torch.as_tensor(model.mean, device=device).reshape(1, NUM_LANDMARKS, 2)
    face = mean * FACE_PX + mean.new_tensor(IMAGE_SIZE) / 2.0
    points = points_of(face)
    pose = solve_pose(points, IMAGE_SIZE)
    if pose is None:
        raise ValueError("the model's mean face does not look like a head; train the model again")
    return HeadTick(face, points, np.array([pose.yaw, pose.pitch, pose.roll]), model.initial_state(1))
