"""Sizes of the generators driven by noise, what they remember, and their weights as a tick uses them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hmgen_ros.generators.framed_motion import POSE
from hmgen_ros.generators.reused import Reused
from hmgen_ros.generators.velocity_units import UNDONE


@dataclass(frozen=True, kw_only=True)
class NoiseDrivenConfig:
    """Sizes.

    Attributes:
        hidden: size of the LSTM's state.
        intent: numbers drawn once for each stretch of free motion.
        directions: main directions that poses are described by.
        smoothed: velocities are drawn rough and then smoothed as tracks are when they are read
            (:mod:`hmgen_ros.data.tracks`). Those hardly tremble, and nothing that is drawn anew at each tick
            and not smoothed could be like them.
        temperature: what the noise of velocities is multiplied by in use, but not while training. There are
            few people to learn from, so that a training set's own liveliness is learned, and others are
            calmer or livelier; of a value below 1, futures are calmer and more alike.

    Raises:
        ValueError: a size is out of its range.
    """

    hidden: int = 128
    intent: int = 16
    directions: int = 48
    smoothed: bool = False
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if min(self.hidden, self.intent) < 1:
            raise ValueError(f"hidden and intent must be at least 1, got {self.hidden}, {self.intent}")
        if not 1 <= self.directions <= POSE:
            raise ValueError(f"directions must lie between 1 and {POSE}, got {self.directions}")
        if not 0.0 < self.temperature <= 2.0:
            raise ValueError(f"temperature must lie in (0, 2], got {self.temperature}")


@dataclass(frozen=True, slots=True)
class NoiseDrivenState:
    """What is remembered of each head; velocities are along the directions, in their units.

    Attributes:
        pose: ``[N, 136]`` the last one.
        home: ``[N, 136]`` the pose that the frame was made from.
        place: ``[N, K]`` the same from the mean, along the main directions of poses.
        here: ``[N, K]`` so is the last pose.
        velocity: ``[N, 136]`` the last velocity; zero where not known.
        before: ``[N, 136]`` the one before; the last velocity again where not known.
        moved: ``[N, 1]`` bool: two poses have been taken in, so that the velocity is known.
        expected: ``[N, 136]`` mean of the next velocity.
        deviation: ``[N, 136]`` standard deviation of it.
        intent: ``[N, I]``, zero while only observing.
        hidden, cell: ``[N, H]``.
        rough: ``[N, 136]`` the last velocity as it was before it was smoothed; the last velocity itself where
            nothing is smoothed, or where it is the first one.
        rough_before: ``[N, 136]`` the one before, alike; the last one again where not known.
    """

    pose: Tensor
    home: Tensor
    place: Tensor
    here: Tensor
    velocity: Tensor
    before: Tensor
    moved: Tensor
    expected: Tensor
    deviation: Tensor
    intent: Tensor
    hidden: Tensor
    cell: Tensor
    rough: Tensor
    rough_before: Tensor

    def smooth(self, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the next velocity from those of the rough one, ``[N, 136]`` each.

        A head's first velocity is not smoothed, for there is nothing before it.
        """
        smooth = 0.25 * (mean + self.rough_before) + 0.5 * self.rough
        return torch.where(self.moved, smooth, mean), torch.where(self.moved, 0.25 * deviation, deviation)

    def roughen(self, velocity: Tensor, drawn: Tensor | None) -> tuple[Tensor, Tensor]:
        """The last rough velocity and the one before, ``[N, 136]`` each; of a first velocity, it for both.

        Args:
            velocity: ``[N, 136]`` the last one.
            drawn: ``[N, 136]`` bool: the head has moved by itself, as :meth:`smooth` said; where not, it was
                drawn back into its limits, and goes on from how it moved. None: it was seen.
        """
        keeps = UNDONE if drawn is None else 1.0
        rough = (1.0 + keeps) ** 2 * velocity - 2.0 * keeps * self.rough - keeps**2 * self.rough_before
        known = self.moved if drawn is None else self.moved & drawn
        before = torch.where(self.moved, torch.where(known, self.rough, self.velocity), velocity)
        return torch.where(known, rough, velocity), before


@dataclass(frozen=True, slots=True)
class TickWeights:
    """The weights of one tick.

    Attributes:
        along: ``[136, 136]`` to velocities along their directions, in their units; ``back`` is back.
        away: ``[136, 136 + K]`` to how far a head is from home along these directions, in parts of how far
            heads go, and along the main directions of poses.
        sharp: one over where ``asinh`` begins to bend what the LSTM reads.
        smallest: standard deviation of a velocity.
        gates: ``K + (K + 136) + 136 + I + H`` to ``4 H`` of the LSTM: from where the head is, the same and
            its velocity bent, the surprise, the intent, the hidden state.
        begins: ``[4 H]`` what is added to them at a first pose.
        drawn: ``H`` to 272, from the LSTM to the mean of the next velocity and how much of it is drawn.
        opening: ``[272]`` what is added to that at a first pose.
        linear: ``[408, 136]`` from the last two rough velocities and how far the head is from home to the
            mean.
    """

    along: Tensor
    back: Tensor
    away: Tensor
    sharp: Tensor
    smallest: Tensor
    gates: Reused
    begins: Tensor
    drawn: Reused
    opening: Tensor
    linear: Tensor

    def foreseen(
        self, core: NoiseDrivenState, far: Tensor, hidden: Tensor, first: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What is expected of the next velocity.

        Args:
            core: the state, but for what the LSTM has just given.
            far: ``[N, 136]`` the first part of what ``away`` gives.
            hidden: ``[N, H]`` of the LSTM.
            first: ``[N, 1]`` bool: heads of which the last pose is the first one; None where there is none.

        Returns:
            ``[N, 136]`` its mean, and what the size of the noise comes from.
        """
        given = self.drawn(hidden)
        if first is not None:
            given = given + first * self.opening
        mean, loose = torch.split_with_sizes(given, [POSE, POSE], dim=1)
        known = torch.cat([core.rough, core.rough_before, far], dim=1)
        return torch.addmm(mean, known, self.linear), loose
