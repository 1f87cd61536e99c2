"""What all generators of head motion share: a frame for each head, gaps, free running, plausible faces.

A generator proper works on poses ``[N, 136]`` in the frame of each head's first sight
(:mod:`hmgen_ros.generators.head_frame`) and knows neither pixels nor gaps. This class gives it the two faces
of every generator (:mod:`hmgen_ros.generators.interface`), and a third one: :meth:`FramedMotion.advance`
lets heads go on by themselves, one tick a call, for as long as one likes.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor

from hmgen_ros.generators.head_frame import HeadFrame, from_frame, head_frame, to_frame, usable
from hmgen_ros.generators.interface import MotionPredictor, check_steps
from hmgen_ros.generators.plausible_face import PlausibleFace
from hmgen_ros.generators.weights import Weights, WeightsError
from hmgen_ros.types import NUM_LANDMARKS

POSE = NUM_LANDMARKS * 2

Core = TypeVar("Core")
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class FramedState(Generic[Core]):
    """What is remembered of each head.

    Attributes:
        origin: ``[N, 2]`` of its frame; NaN for a head never seen.
        size: ``[N]`` unit of its frame.
        first: ``[N, 136]`` the pose that made the frame, in the frame.
        last: ``[N, 136]`` pose in the frame as last seen or generated.
        seen: ``[N]`` bool: there is a frame.
        core: the generator's own, a dataclass of tensors whose first dimension are the slots.
    """

    origin: Tensor
    size: Tensor
    first: Tensor
    last: Tensor
    seen: Tensor
    core: Core


class FramedMotion(MotionPredictor[FramedState[Core]]):
    """Base of the generators of head motion.

    A subclass says what its model files are, and defines :meth:`core_state`, :meth:`core_observe`,
    :meth:`core_next` and :meth:`core_sequence`; one that decodes many ticks at once also :meth:`poses_ahead`.

    Attributes:
        KIND: of its model files.
        CONFIG: dataclass of its sizes and choices; those of this one are ``config``.
        plausible: limits that generated poses are kept in, and the count of those that had to be; they
            belong to the weights, as they are learned from the same faces.
    """

    KIND: ClassVar[str]
    CONFIG: ClassVar[type[Any]]
    config: Any

    def __init__(self, config: Any = None) -> None:
        """Untrained; ``config`` is of :attr:`CONFIG`, whose defaults stand in for None."""
        super().__init__()
        self.config = config or self.CONFIG()
        self.plausible = PlausibleFace()

    # -- what a generator defines, all in head frames -----------------------------------------------------

    @abstractmethod
    def core_state(self, slots: int) -> Core:
        """State of ``slots`` heads of which nothing has been seen."""

    @abstractmethod
    def core_observe(self, core: Core, pose: Tensor, first: Tensor) -> Core:
        """Take in one more pose, seen or generated.

        Args:
            core: the state.
            pose: ``[N, 136]``.
            first: ``[N]`` bool: heads of which this is the first pose.
        """

    def core_go_on(self, core: Core, pose: Tensor) -> Core:
        """Take in ``[N, 136]`` poses that :meth:`core_next` has given; none of them is a head's first."""
        return self.core_observe(core, pose, torch.zeros(len(pose), dtype=torch.bool, device=pose.device))

    @abstractmethod
    def core_next(self, core: Core, pose: Tensor, generator: torch.Generator | None) -> Tensor:
        """The pose one tick later, ``[N, 136]``.

        Args:
            core: the state, which has taken in ``pose``.
            pose: ``[N, 136]`` the last one.
            generator: of random numbers; None asks for the expected pose.
        """

    @abstractmethod
    def core_sequence(self, poses: Tensor) -> Tensor:
        """``[R, T, 136]`` true poses to the ``[R, T, 136]`` expected one tick later each (training)."""

    @abstractmethod
    def fit_units(self, poses: Tensor, reference: Tensor) -> None:
        """Measure means and units on training tracks, before the training.

        Args:
            poses: ``[R, T, 136]`` in head frames.
            reference: ``[R, 136]`` the poses that the frames were made from.
        """

    def core_start(self, core: Core, pose: Tensor, generator: torch.Generator) -> Core:
        """Prepare for going on alone from a pose; drawn at random where a generator has such a choice."""
        return core

    # -- model files ----------------------------------------------------------------------------------------

    def to_weights(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and tensors of a model file."""
        return {"kind": self.KIND, **asdict(self.config)}, dict(self.state_dict())

    @classmethod
    def from_weights(cls, read: Weights) -> Self:
        """The generator of a model file, in evaluation mode.

        Raises:
            WeightsError: the file is of another kind or does not fit.
        """
        # JSON knows no tuples.
        settings = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in read.config_of(cls.KIND).items()
            if name != "kind"
        }
        try:
            model = cls(cls.CONFIG(**settings))
            model.load_state_dict(read.tensors)
        except (TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{read.source} does not fit this program: {error}; train it again") from error
        return model.eval()

    # -- the faces ------------------------------------------------------------------------------------------

    def initial_state(self, slots: int) -> FramedState[Core]:
        """State of ``slots`` heads never seen."""
        like = next(self.parameters())
        zeros = like.new_zeros((slots, POSE), requires_grad=False)
        return FramedState(
            zeros[:, :2] + torch.nan,
            zeros[:, 0] + 1.0,
            zeros,
            zeros,
            torch.zeros(slots, dtype=torch.bool, device=like.device),
            self.core_state(slots),
        )

    def reset_slots(self, state: FramedState[Core], slots: Tensor) -> FramedState[Core]:
        """Forget the history where ``slots`` (``[N]`` bool) is set."""
        fresh: FramedState[Core] = self.initial_state(len(slots))
        return chosen(slots, fresh, state)

    def step(self, state: FramedState[Core], landmarks: Tensor) -> tuple[FramedState[Core], Tensor]:
        """Observe one tick; see :meth:`MotionPredictor.step`.

        A head with a coordinate that is not finite, or that has collapsed, is unseen at this tick: its state
        stays as it was. The first usable pose makes its frame.

        Raises:
            ValueError: ``landmarks`` has another shape than the state.
        """
        if landmarks.shape != (len(state.seen), NUM_LANDMARKS, 2):
            raise ValueError(f"state holds {len(state.seen)} heads, got {list(landmarks.shape)}")
        landmarks = landmarks.to(state.last)
        sight = usable(landmarks)
        first = sight & ~state.seen
        frame = head_frame(landmarks)
        origin = torch.where(first[:, None], frame.origin, state.origin)
        size = torch.where(first, frame.size, state.size)
        seen = state.seen | sight
        pose = to_frame(landmarks, HeadFrame(origin, size)).flatten(-2)
        pose = torch.where(sight[:, None], pose, state.last)
        core = chosen(sight, self.core_observe(state.core, pose, first), state.core)
        state = FramedState(origin, size, torch.where(first[:, None], pose, state.first), pose, seen, core)
        return state, self._landmarks(state, self.core_next(core, pose, None))

    def advance(
        self, state: FramedState[Core], generator: torch.Generator
    ) -> tuple[FramedState[Core], Tensor]:
        """Let every head go on by itself for one tick; it remembers this as if it had been seen.

        Call :meth:`start` once before the first tick of a stretch of them.

        Returns:
            The new state and ``[N, 68, 2]`` landmarks, NaN for heads never seen.
        """
        pose = self._kept(state, self.core_next(state.core, state.last, generator))
        # What unseen heads do does not matter: their first sight starts them afresh.
        core = self.core_go_on(state.core, pose)
        pose = torch.where(state.seen[:, None], pose, state.last)
        after = FramedState(state.origin, state.size, state.first, pose, state.seen, core)
        return after, self._landmarks(after, pose)

    def start(self, state: FramedState[Core], generator: torch.Generator) -> FramedState[Core]:
        """Prepare every head for going on by itself."""
        core = chosen(state.seen, self.core_start(state.core, state.last, generator), state.core)
        return FramedState(state.origin, state.size, state.first, state.last, state.seen, core)

    def rollout(self, state: FramedState[Core], steps: int, generator: torch.Generator) -> Tensor:
        """Future landmarks ``[steps, N, 68, 2]``; NaN for heads never seen.

        Raises:
            ValueError: ``steps`` is below 1 or above ``interface.MOST_STEPS``; :meth:`advance` has no end.
        """
        check_steps(steps)
        state = self.start(state, generator)
        return self._landmarks(state, self.poses_ahead(state, steps, generator))

    def poses_ahead(self, state: FramedState[Core], steps: int, generator: torch.Generator) -> Tensor:
        """``[steps, N, 136]`` future poses in the frames, from a state that has been prepared by start."""
        future = []
        for _ in range(steps):
            state, _ = self.advance(state, generator)
            future.append(state.last)
        return torch.stack(future)

    def forward(self, landmarks: Tensor) -> Tensor:
        """``[B, T, N, 68, 2]`` to the ``[B, T, N, 68, 2]`` expected one tick later each.

        Raises:
            ValueError: a first pose is not usable or a later one is not finite.
        """
        if not (usable(landmarks[:, :1]).all() and torch.isfinite(landmarks).all()):
            raise ValueError("forward takes whole tracks; give tracks with gaps to step, tick by tick")
        heads = landmarks.transpose(1, 2).flatten(0, 1)  # [B N, T, 68, 2]
        frame = head_frame(heads[:, :1])
        poses = self.core_sequence(to_frame(heads, frame).flatten(-2))
        following = from_frame(poses.unflatten(-1, (NUM_LANDMARKS, 2)), frame)
        result: Tensor = following.unflatten(0, (landmarks.shape[0], landmarks.shape[2]))
        return result.transpose(1, 2)

    def _kept(self, state: FramedState[Core], pose: Tensor) -> Tensor:
        kept: Tensor = self.plausible(pose, state.first, state.last)
        return kept

    def _landmarks(self, state: FramedState[Core], pose: Tensor) -> Tensor:
        """``[..., N, 136]`` in the frames to ``[..., N, 68, 2]``; NaN for heads never seen."""
        points = pose.unflatten(-1, (NUM_LANDMARKS, 2))
        return from_frame(points, HeadFrame(state.origin, state.size))


def chosen(which: Tensor, new: Part, old: Part) -> Part:
    """A state whose slots are those of ``new`` where ``which`` (``[N]`` bool) is set, else those of ``old``.

    Both are tensors whose first dimension are the slots, or dataclasses of such.
    """
    if is_dataclass(new) and not isinstance(new, type):
        parts = {f.name: chosen(which, getattr(new, f.name), getattr(old, f.name)) for f in fields(new)}
        return type(new)(**parts)  # type: ignore[return-value]
    assert isinstance(new, Tensor)
    assert isinstance(old, Tensor)
    picked = torch.where(which.reshape(-1, *[1] * (new.dim() - 1)), new, old)
    return picked  # type: ignore[return-value]
