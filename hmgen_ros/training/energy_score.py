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

Beside each head's own future, all futures of a batch can be compared with all true tracks: their energy
distance (Székely and Rizzo, 2013). It has its minimum at the same place, but does not suffer from how little
the first pose tells of a head's own future, and so shows much sooner that heads in general move too little
or too evenly.

Displacements are measured along their main directions, the weaker ones raised, and along those of brows,
eyes and mouth about their own middles, which would drown in the motion of the head; once as they are and once
bent by ``asinh``: the liveliest speakers move ten times as far as the quietest, and would outweigh them,
while bent ones alone would let few heads wander far off. Bending alike what is generated and what is true
leaves the score proper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def forward(self, futures: Tensor, true: Tensor, between_heads: float = 0.0) -> dict[str, Tensor]:
        """Score generated futures; which pieces are looked at is drawn by PyTorch's own generator.

        Args:
            futures: ``[S, B, T + 1, 136]`` the last observed pose and what follows, ``S`` at least 2.
            true: ``[B, T + 1, 136]``.
            between_heads: weight of the energy distance between the futures of all heads and their true
                tracks, at least 0.

        Returns:
            The scores by kind, each a mean over the batch; ``"between_heads"`` where it has a weight.
        """
        both = torch.cat([futures, true.unsqueeze(0)])  # [S + 1, B, T + 1, 136]
        pieces = _Pieces.draw(self.ticks)
        moves, lively = [], []
        for lag, directions in zip(self.lags, self.directions, strict=False):
            moved = (both[:, :, lag:] - both[:, :, :-lag]) @ directions  # [S + 1, B, T + 1 - lag, K]
            count = min(_IN_A_ROW, self.ticks // lag)
            start = int(torch.randint(0, self.ticks - count * lag + 1, ()))
            moves.append(_moves(moved[:, :, start : start + count * lag : lag]))
            if lag <= pieces.length:
                lively.append(pieces.liveliness(moved, lag))
        ticks = torch.randint(1, self.ticks + 1, (_PLACES,)).tolist()
        far = [both[:, :, [t]] - both[:, :, [0]] for t in ticks]
        away = [_moves(move @ self.directions[-1]) for move in far]
        # Acceleration and jerk, along the directions of velocities.
        for order in (2, 3):
            if order <= pieces.length:
                lively.append(pieces.liveliness(both.diff(n=order, dim=2) @ self.directions[0], order))
        found = {"moves": _mean(moves, _score), "away": _mean(away, _score)}
        found["lively"] = _mean([_liveliness(part.flatten(1, 2)) for part in lively], _score)
        if between_heads:
            piece = int(torch.randint(0, pieces.pieces, ()))
            whole = [moves, away, [_liveliness(part[:, :, piece]) for part in lively]]
            apart = torch.stack([_mean(kind, _between_heads) for kind in whole]).sum()
            found["between_heads"] = between_heads * apart
        return found

    def whereabouts(self, futures: Tensor, true: Tensor, home: Tensor, between_heads: float = 0.0) -> Tensor:
        """Score where heads are after very long: as anywhere on their tracks.

        Args:
            futures: ``[S, B, T, 136]`` poses long after the head was at home.
            true: ``[B, T', 136]`` poses of the same tracks at any time.
            home: ``[B, 136]`` the poses that the futures began with.
            between_heads: as of :meth:`forward`.
        """
        ticks = [int(torch.randint(0, poses.shape[-2], ())) for poses in (futures, true)]
        both = torch.cat([futures[:, :, ticks[0]], true[None, :, ticks[1]]])
        views = [_moves((both - home).unsqueeze(2) @ self.directions[-1])]
        score = _mean(views, _score)
        if between_heads:
            score = score + between_heads * _mean(views, _between_heads)
        return score


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
        """``[S + 1, B, pieces, K]`` logarithms of mean squares within each piece.

        Args:
            moves: ``[S + 1, B, T, K]``.
            span: ticks that each move spans, at most ``length``.
        """
        ends = self.first + self.pieces * self.length
        # Moves that begin in a piece, less those that leave it.
        squares = moves[:, :, self.first : ends - span + 1].square()
        inside = squares.unfold(2, self.length - span + 1, self.length)  # [S + 1, B, pieces, K, moves]
        found: Tensor = (inside.mean(dim=-1) + _STILL**2).log()
        return found


def _moves(moves: Tensor) -> list[Tensor]:
    """Views of ``[S + 1, B, N, K]``: all directions together, and each for itself, as they are and bent."""
    bent = torch.asinh(moves / _BEND)
    return [moves.flatten(2).unsqueeze(2), bent.flatten(2).unsqueeze(2), bent.transpose(2, 3)]


def _liveliness(features: Tensor) -> list[Tensor]:
    """Views of ``[S + 1, B, K]``: each feature for itself, and all together."""
    return [features.unsqueeze(-1), features.unsqueeze(2)]


def _mean(features: Sequence[list[Tensor]], score: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean over features of the scores of their views, added."""
    return torch.stack([score(view) for views in features for view in views]).sum() / len(features)


def _score(samples: Tensor) -> Tensor:
    """Mean energy score of each of ``[S + 1, B, K, N]`` vectors, the true ones last, in roots of ``N``."""
    futures, true = samples[:-1], samples[-1]
    missed = _distance(futures - true).mean()
    count = len(futures)
    pairs = [_distance(futures[i] - futures[j]).mean() for i in range(count) for j in range(i)]
    score: Tensor = (missed - 0.5 * torch.stack(pairs).mean()) / samples.shape[-1] ** 0.5
    return score


def _between_heads(samples: Tensor) -> Tensor:
    """As :func:`_score`, but of every head's futures and the true ones of every other head."""
    futures, true = samples[:-1].permute(2, 0, 1, 3), samples[-1].transpose(0, 1)
    count, heads = futures.shape[1:3]
    rows = futures.flatten(1, 2)  # [K, S B, N]
    other = ~torch.eye(heads, dtype=torch.bool, device=rows.device)
    missed = _apart(rows, true).unflatten(1, (count, heads))[:, :, other].mean()
    pairs = _apart(rows, rows).unflatten(2, (count, heads)).unflatten(1, (count, heads))
    pairs = pairs.transpose(2, 3)[..., other].mean()
    score: Tensor = (missed - 0.5 * pairs) / samples.shape[-1] ** 0.5
    return score


def _apart(rows: Tensor, others: Tensor) -> Tensor:
    """``[K, R, R']`` distances; not by products, for quiet heads are nearer than these would tell."""
    found: Tensor = torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")
    return found


def _distance(difference: Tensor) -> Tensor:
    # The gradient of a norm at 0 is no number.
    squared: Tensor = difference.square().sum(-1) + 1e-8
    return squared.sqrt()
