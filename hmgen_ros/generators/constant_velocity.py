"""The reference forecaster of head motion: goes on as it moved, slows down, then holds.

The face moves on as a whole with a part of its smoothed velocity (single landmarks jitter too much to be
followed). The velocity fades linearly to nothing within a few ticks, and what follows is held. A face
that jumps (a detection error, a new person) is not followed with a jump's velocity. The default settings
were tuned on landmark tracks of real speakers (``benchmarks/motion_baselines.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hmgen_ros.generators.interface import MotionPredictor, check_steps
from hmgen_ros.types import NUM_LANDMARKS

#: iBUG-68 indices of the outer eye corners, whose distance is the unit of speed.
_EYES = (36, 45)
#: Ticks after which it no longer matters for how long a head was unseen.
_LONG_UNSEEN = 1_000_000


@dataclass(frozen=True)
class ConstantVelocityConfig:
    """How the velocity is measured and used.

    Attributes:
        smoothing: weight of the past in the velocity's moving average, 0 (last difference) to below 1.
        gain: part of the face's velocity that is predicted, 0 (hold) to 1.
        hold_after: ticks within which the velocity fades to zero, at least 1.
        max_speed: face displacement a tick, in distances of the outer eye corners, above which it is a
            jump and no motion; > 0.

    Raises:
        ValueError: a setting is out of its range.
    """

    smoothing: float = 0.2
    gain: float = 0.4
    hold_after: int = 4
    max_speed: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"smoothing must lie in [0, 1), got {self.smoothing}")
        if not 0.0 <= self.gain <= 1.0:
            raise ValueError(f"gain must lie in [0, 1], got {self.gain}")
        if self.hold_after < 1 or self.max_speed <= 0.0:
            raise ValueError(
                f"need hold_after >= 1 and max_speed > 0, got {self.hold_after}, {self.max_speed}"
            )


@dataclass(frozen=True, slots=True)
class ConstantVelocityState:
    """What is remembered of each head.

    Attributes:
        landmarks: ``[..., N, 68, 2]`` as last seen; NaN for a head never seen.
        velocity: ``[..., N, 1, 2]`` smoothed displacement of the face a tick; 0 before the second sight.
        unseen: ``[..., N]`` int64 ticks since the last sight.
    """

    landmarks: Tensor
    velocity: Tensor
    unseen: Tensor


class ConstantVelocity(MotionPredictor[ConstantVelocityState]):
    """Constant-velocity-then-hold; see the module's text. Works in any linear unit, on any device."""

    _like: Tensor

    def __init__(self, config: ConstantVelocityConfig | None = None) -> None:
        super().__init__()
        self.config = config or ConstantVelocityConfig()
        self.register_buffer("_like", torch.zeros(()), persistent=False)

    def initial_state(self, slots: int) -> ConstantVelocityState:
        """State of ``slots`` heads never seen."""
        zeros = self._like.new_zeros((slots, NUM_LANDMARKS, 2))
        unseen = torch.full((slots,), _LONG_UNSEEN, dtype=torch.int64, device=zeros.device)
        return ConstantVelocityState(zeros + torch.nan, zeros[:, :1], unseen)

    def reset_slots(self, state: ConstantVelocityState, slots: Tensor) -> ConstantVelocityState:
        """Forget the history where ``slots`` (``[N]`` bool) is set."""
        points = slots[..., None, None]
        return ConstantVelocityState(
            torch.where(points, torch.nan, state.landmarks),
            torch.where(points, 0.0, state.velocity),
            torch.where(slots, _LONG_UNSEEN, state.unseen),
        )

    def step(self, state: ConstantVelocityState, landmarks: Tensor) -> tuple[ConstantVelocityState, Tensor]:
        """Observe one tick; see :meth:`MotionPredictor.step`.

        A head with any NaN or infinite coordinate is unseen at this tick: it stays where it was last seen
        and its velocity fades.

        Raises:
            ValueError: ``landmarks`` has another shape than the state.
        """
        if landmarks.shape != state.landmarks.shape:
            raise ValueError(f"state holds {tuple(state.landmarks.shape)}, got {tuple(landmarks.shape)}")
        landmarks = landmarks.to(state.landmarks)
        seen = torch.isfinite(landmarks).all(dim=-1).all(dim=-1)
        points = seen[..., None, None]
        measured = self._measure(state, landmarks)
        fading = state.velocity * (1.0 - 1.0 / self.config.hold_after)
        state = ConstantVelocityState(
            torch.where(points, landmarks, state.landmarks),
            torch.where(points, measured, fading),
            torch.where(seen, 0, (state.unseen + 1).clamp(max=_LONG_UNSEEN)),
        )
        return state, state.landmarks + self.config.gain * state.velocity

    def forward(self, landmarks: Tensor) -> Tensor:
        """``[B, T, N, 68, 2]`` to the ``[B, T, N, 68, 2]`` predicted one tick later."""
        slots = self.initial_state(landmarks.shape[2])
        size = (landmarks.shape[0], *slots.landmarks.shape)
        state = ConstantVelocityState(
            slots.landmarks.to(landmarks.dtype).expand(size),
            slots.velocity.to(landmarks.dtype).expand(landmarks.shape[0], *slots.velocity.shape),
            slots.unseen.expand(size[:2]),
        )
        predicted = []
        for tick in landmarks.unbind(dim=1):
            state, following = self.step(state, tick)
            predicted.append(following)
        return torch.stack(predicted, dim=1) if predicted else landmarks.clone()

    def rollout(
        self, state: ConstantVelocityState, steps: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Future landmarks ``[steps, ..., N, 68, 2]``; NaN for heads never seen.

        Args:
            state: what the last step returned.
            steps: ticks to look ahead, at least 1.
            generator: not used, there is nothing random.

        Raises:
            ValueError: ``steps`` is below 1 or above ``interface.MOST_STEPS``.
        """
        check_steps(steps)
        tick = torch.arange(steps, dtype=state.landmarks.dtype, device=state.landmarks.device)
        way = (1.0 - tick / self.config.hold_after).clamp(min=0.0).cumsum(0)
        way = way.reshape(-1, *[1] * state.landmarks.dim())
        return state.landmarks + way * self.config.gain * state.velocity

    def _measure(self, state: ConstantVelocityState, landmarks: Tensor) -> Tensor:
        """The smoothed velocity after a sight; meaningless where the head is not seen."""
        ticks = (state.unseen + 1).to(landmarks.dtype)[..., None, None]
        moved = (landmarks - state.landmarks).mean(dim=-2, keepdim=True) / ticks
        eyes = landmarks[..., _EYES[0], :] - landmarks[..., _EYES[1], :]
        fastest = self.config.max_speed * torch.linalg.vector_norm(eyes, dim=-1)[..., None, None]
        # False for the first sight too, whose displacement is NaN.
        followed = torch.linalg.vector_norm(moved, dim=-1, keepdim=True) <= fastest
        kept = self.config.smoothing
        return torch.where(followed, kept * state.velocity + (1.0 - kept) * moved, 0.0)
