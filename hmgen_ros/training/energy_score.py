"""The energy score of head motion: how far futures are from what happened, less how far from each other.

``E |X - y| - ½ E |X - X'|`` of samples ``X``, ``X'`` and the true ``y`` is smallest, on average, for the
true distribution of futures and no other (a strictly proper score; Gneiting and Raftery, 2007), and it needs
no adversary. It is taken of pieces of motion at many time scales:

* displacements over 1, 2, 4, … ticks, up to four of them in a row: velocities, accelerations and jerks
  at each scale;
* the displacement from the last observed pose;
* how lively the motion is: logarithms of the mean squared displacement over 1, 2, 4, … ticks, of the
  acceleration and of the jerk, along each direction, within pieces from two ticks on: short ones show that
  heads rest and lips pause, long ones that some speakers hardly ever do.

Displacements are measured along their main directions, the weaker ones raised, and along those of brows,
eyes and mouth about their own middles, which would drown in the motion of the head; once as they are and once
bent by ``asinh``: the liveliest speakers move ten times as far as the quietest, and would outweigh them,
while bent ones alone would let few heads wander far off. Bending alike what is generated and what is true
leaves the score proper.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

#: Main directions of displacements of the whole face, and of each of its parts.
_DIRECTIONS, _OF_PART = 40, 4
#: iBUG-68: brows, eyes and mouth, which move by themselves.
_PARTS = (range(17, 27), range(36, 42), range(42, 48), range(48, 68))
#: Displacements in a row.
_IN_A_ROW = 4
#: Where ``asinh`` begins to bend, in root mean squares.
_BEND = 0.2
#: What counts as no motion, in root mean squares of the strongest direction.
_STILL = 5e-3
#: Ticks whose displacement from the start is looked at in each iteration.
_PLACES = 3


class EnergyScore(nn.Module):
    """The score, in units of the training set.

    Attributes:
        lags: ticks of the displacements.
        directions: ``[L + 1, 136, K]`` main directions over their units, by lag and, last, from the start.
    """

    directions: Tensor

    def __init__(self, ticks: int) -> None:
        """Without units; :meth:`fit` measures them.

        Args:
            ticks: length of the futures, at least 4.
        """
        super().__init__()
        if ticks < 4:
            raise ValueError(f"the energy score needs futures of at least 4 ticks, got {ticks}")
        self.ticks = ticks
        self.lags = tuple(2**k for k in range(ticks.bit_length()) if 2**k <= ticks)
        count = _DIRECTIONS + _OF_PART * len(_PARTS)
        self.register_buffer("directions", torch.zeros(len(self.lags) + 1, 136, count))

    @torch.no_grad()
    def fit(self, tracks: Tensor) -> None:
        """Measure main directions and units on ``[R, T + 1, 136]`` true tracks."""
        moves = [tracks[:, lag:] - tracks[:, :-lag] for lag in self.lags]
        moves.append(tracks[:, 1:] - tracks[:, :1])
        for found, directions in zip(moves, self.directions, strict=True):
            # Quiet heads have a say in what the directions are.
            weight = found.square().mean(dim=(1, 2), keepdim=True).clamp(min=1e-12).rsqrt()
            rows = (found * weight).flatten(0, 1).double()
            products, plain = rows.T @ rows, found.flatten(0, 1).double()
            vectors = torch.linalg.eigh(products)[1][:, -_DIRECTIONS:]
            spread = (plain @ vectors).square().mean(0).clamp(min=1e-12).sqrt()
            # The root raises weak directions, without making them as loud as strong ones.
            scaled = [vectors / (spread * spread.max()).sqrt()]
            for part in _PARTS:
                own = _about_own_middle(part).to(rows)
                vectors = own @ torch.linalg.eigh(own.T @ products @ own)[1][:, -_OF_PART:]
                scaled.append(vectors / (plain @ vectors).square().mean(0).clamp(min=1e-12).sqrt())
            directions.copy_(torch.cat(scaled, dim=1))

    def forward(self, futures: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Score generated futures; which pieces are looked at is drawn by PyTorch's own generator.

        Args:
            futures: ``[S, B, T + 1, 136]`` the last observed pose and what follows, ``S`` at least 2.
            true: ``[B, T + 1, 136]``.

        Returns:
            The scores by kind, each a mean over the batch.
        """
        both = torch.cat([futures, true.unsqueeze(0)])  # [S + 1, B, T + 1, 136]
        pieces = _Pieces.draw(self.ticks)
        moves, lively = [], []
        for lag, directions in zip(self.lags, self.directions, strict=False):
            moved = (both[:, :, lag:] - both[:, :, :-lag]) @ directions  # [S + 1, B, T + 1 - lag, K]
            count = min(_IN_A_ROW, self.ticks // lag)
            start = int(torch.randint(0, self.ticks - count * lag + 1, ()))
            moves.append(_energy_of_moves(moved[:, :, start : start + count * lag : lag]))
            if lag <= pieces.length:
                lively.append(pieces.liveliness(moved, lag))
        ticks = torch.randint(1, self.ticks + 1, (_PLACES,)).tolist()
        far = [both[:, :, [t]] - both[:, :, [0]] for t in ticks]
        away = [_energy_of_moves(move @ self.directions[-1]) for move in far]
        # Acceleration and jerk, along the directions of velocities.
        for order in (2, 3):
            if order <= pieces.length:
                lively.append(pieces.liveliness(both.diff(n=order, dim=2) @ self.directions[0], order))
        return {
            "moves": torch.stack(moves).mean(),
            "away": torch.stack(away).mean(),
            "lively": torch.stack([_alone(part) + _together(part) for part in lively]).mean(),
        }

    def whereabouts(self, futures: Tensor, true: Tensor, home: Tensor) -> Tensor:
        """Score where heads are after very long: as anywhere on their tracks.

        Args:
            futures: ``[S, B, T, 136]`` poses long after the head was at home.
            true: ``[B, T', 136]`` poses of the same tracks at any time.
            home: ``[B, 136]`` the poses that the futures began with.
        """
        ticks = [int(torch.randint(0, poses.shape[-2], ())) for poses in (futures, true)]
        both = torch.cat([futures[:, :, ticks[0]], true[None, :, ticks[1]]])
        return _energy_of_moves((both - home).unsqueeze(2) @ self.directions[-1])


def _about_own_middle(part: range) -> Tensor:
    """``[136, 136]`` projection of poses to the landmarks of a part, about their centroid."""
    chosen = torch.zeros(68)
    chosen[list(part)] = 1.0
    landmarks = torch.diag(chosen) - torch.outer(chosen, chosen) / len(part)
    return torch.kron(landmarks, torch.eye(2))


class _Pieces(NamedTuple):
    """Pieces of futures, one after the other.

    Attributes:
        first: tick of the first one.
        pieces: how many.
        length: ticks of each.
    """

    first: int
    pieces: int
    length: int

    @classmethod
    def draw(cls, ticks: int) -> _Pieces:
        """Of any length from two ticks to all; short ones as often as long ones."""
        length = min(ticks, int(2.0 * (ticks / 2.0) ** float(torch.rand(()))))
        count = ticks // length
        return cls(int(torch.randint(0, ticks - count * length + 1, ())), count, length)

    def liveliness(self, moves: Tensor, span: int) -> Tensor:
        """``[S + 1, B pieces, K]`` logarithms of mean squares within each piece.

        Args:
            moves: ``[S + 1, B, T, K]``.
            span: ticks that each move spans, at most ``length``.
        """
        ends = self.first + self.pieces * self.length
        # Moves that begin in a piece, less those that leave it.
        squares = moves[:, :, self.first : ends - span + 1].square()
        inside = squares.unfold(2, self.length - span + 1, self.length)  # [S + 1, B, pieces, K, moves]
        found: Tensor = (inside.mean(dim=-1) + _STILL**2).log().flatten(1, 2)
        return found


def _energy_of_moves(moves: Tensor) -> Tensor:
    """Of ``[S + 1, B, N, K]``: all directions together, and each for itself, as they are and bent."""
    bent = torch.asinh(moves / _BEND)
    together = [_together(part.flatten(2)) for part in (moves, bent)]
    return torch.stack([*together, _alone(bent.transpose(2, 3))]).sum()


def _together(samples: Tensor) -> Tensor:
    """Energy score of ``[S + 1, B, D]`` features, the true ones last, in roots of ``D``."""
    return _score(samples.unsqueeze(2))


def _alone(samples: Tensor) -> Tensor:
    """Mean of the energy scores of each of ``[S + 1, B, K]`` features or ``[S + 1, B, K, N]`` vectors."""
    return _score(samples if samples.dim() == 4 else samples.unsqueeze(-1))


def _score(samples: Tensor) -> Tensor:
    futures, true = samples[:-1], samples[-1]
    missed = _distance(futures - true).mean()
    count = len(futures)
    pairs = [_distance(futures[i] - futures[j]).mean() for i in range(count) for j in range(i)]
    score: Tensor = (missed - 0.5 * torch.stack(pairs).mean()) / samples.shape[-1] ** 0.5
    return score


def _distance(difference: Tensor) -> Tensor:
    # The gradient of a norm at 0 is no number.
    squared: Tensor = difference.square().sum(-1) + 1e-8
    return squared.sqrt()
