"""Windows of real head motion, drawn on the device they are trained on.

All tracks lie in one tensor. A batch is cut out of it, brought into the frame of one of its own poses, and
varied: a mirrored head is as good a head, and stretched ones stand for the many faces that there are none of
among few speakers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hmgen_ros.data.tracks import Corpus
from hmgen_ros.generators.head_frame import HeadFrame, centred, head_frame, mirrored, to_frame


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """How windows are cut and varied.

    Attributes:
        translation: keep how the head moves as a whole (CONFER, VoxCeleb2 (II)); False takes it out of every
            pose (VoxCeleb2 (I)).
        far_frames: probability that a window's frame is that of any pose of its track instead of its own
            first one: then generators see how far heads are from where they once were, however long ago.
        mirror: probability of a mirrored head.
        stretch: faces are wider or narrower by a factor of up to ``1 + stretch``.
        by_duration: each piece of a track has as many windows as it has ticks, some of them twice, or else
            pieces that are hardly longer than a window would hardly be seen.
    """

    translation: bool = True
    far_frames: float = 0.0
    mirror: float = 0.5
    stretch: float = 0.08
    by_duration: bool = False

    def __post_init__(self) -> None:
        for name in ("far_frames", "mirror"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not 0.0 <= self.stretch < 1.0:
            raise ValueError(f"stretch must lie in [0, 1), got {self.stretch}")


class MotionWindows:
    """Every window of a corpus."""

    def __init__(self, corpus: Corpus, ticks: int, settings: WindowSettings | None = None) -> None:
        """Lay the tracks side by side.

        Args:
            corpus: pieces of tracks.
            ticks: length of a window.
            settings: how windows are cut and varied.

        Raises:
            ValueError: no piece is long enough.
        """
        self.ticks, self.settings = ticks, settings or WindowSettings()
        pieces = [s.landmarks for s in corpus.segments if len(s.landmarks) >= ticks]
        if not pieces:
            longest = max((len(piece.landmarks) for piece in corpus.segments), default=0)
            raise ValueError(
                f"no piece of a track has {ticks} ticks, the longest has {longest}; longer tracks are "
                "needed, or windows of fewer steps"
            )
        lengths = [len(piece) for piece in pieces]
        begins = np.concatenate([[0], np.cumsum(lengths)])[:-1]
        firsts = [np.arange(length - ticks + 1) for length in lengths]
        if self.settings.by_duration:
            firsts = [
                np.arange(length) * len(first) // length
                for length, first in zip(lengths, firsts, strict=True)
            ]
        counts = [len(first) for first in firsts]
        self._poses = torch.from_numpy(np.concatenate(pieces))
        self._begin = torch.from_numpy(np.repeat(begins, counts))
        self._starts = self._begin + torch.from_numpy(np.concatenate(firsts))
        self._length = torch.from_numpy(np.repeat(lengths, counts))

    def __len__(self) -> int:
        """How many windows there are; they overlap."""
        return len(self._starts)

    def to(self, device: torch.device) -> MotionWindows:
        """Move to a device; returns itself."""
        for name in ("_poses", "_starts", "_begin", "_length"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def cut(self, rows: Tensor) -> Tensor:
        """``[B, T, 136]`` windows by number (``[B]``), in the frame of their first pose, not varied."""
        tracks = self._tracks(rows)
        return self._placed(to_frame(tracks, head_frame(tracks[:, :1])))

    def draw(self, rows: Tensor, anywhere: bool = False) -> tuple[Tensor, Tensor]:
        """Windows by number, varied by PyTorch's own generator.

        Args:
            rows: ``[B]`` numbers.
            anywhere: all frames are made from any pose of the track, whatever ``far_frames`` says.

        Returns:
            ``[B, T, 136]`` windows, and the ``[B, 136]`` poses that their frames were made from, in them.
        """
        settings, tracks = self.settings, self._tracks(rows)
        reference = tracks[:, 0]
        if settings.far_frames or anywhere:
            place = (torch.rand(len(rows), device=rows.device) * self._length[rows]).long()
            far = torch.rand(len(rows), device=rows.device) < (1.0 if anywhere else settings.far_frames)
            other = self._poses[self._begin[rows] + place]
            reference = torch.where(far[:, None, None], other, reference)
        stretch = (1.0 + settings.stretch) ** (2.0 * torch.rand(len(rows), device=rows.device) - 1.0)
        scale = torch.stack([stretch, torch.ones_like(stretch)], dim=-1)[:, None]  # [B, 1, 2]
        whole = torch.cat([reference[:, None], tracks], dim=1) * scale[:, None]
        origin, size = head_frame(whole[:, :1])
        placed = to_frame(whole, HeadFrame(origin, size))
        flipped = torch.rand(len(rows), device=rows.device) < settings.mirror
        placed = self._placed(torch.where(flipped[:, None, None, None], mirrored(placed), placed))
        return placed[:, 1:], placed[:, 0]

    def heard(self, rows: Tensor) -> Tensor | None:
        """Audio features of windows by number, of tracks that have sound; these have none."""
        return None

    def _tracks(self, rows: Tensor) -> Tensor:
        """``[B, T, 68, 2]`` pixels."""
        ticks = torch.arange(self.ticks, device=rows.device)
        return self._poses[self._starts[rows][:, None] + ticks]

    def _placed(self, landmarks: Tensor) -> Tensor:
        return (landmarks if self.settings.translation else centred(landmarks)[0]).flatten(-2)
