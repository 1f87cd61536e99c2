"""Cuts long sequences of actions into an observed past and the future to be predicted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.generators.action_space import ABSENT


def action_windows(
    actions: NDArray[np.int64], observed: int, target: int, stride: int, max_absent: float = 0.1
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Windows of one sequence.

    Args:
        actions: ``[T, N]`` symbols, ``ABSENT`` where a person is not seen.
        observed: ticks of past in each window, at least 1.
        target: ticks of future in each window, at least 1.
        stride: ticks from one window to the next, at least 1.
        max_absent: windows with a larger part of absent symbols are left out (the thesis allows 0.1).

    Returns:
        ``[W, observed, N]`` and ``[W, target, N]``; ``W`` is 0 where the sequence is too short.

    Raises:
        ValueError: a length or the stride is below 1, or ``actions`` is not ``[T, N]``.
    """
    if actions.ndim != 2:
        raise ValueError(f"actions must be [T, N], got shape {actions.shape}")
    if min(observed, target, stride) < 1:
        raise ValueError(
            f"observed, target and stride must be at least 1, got {observed}, {target}, {stride}"
        )
    length = observed + target
    if actions.shape[0] < length:
        empty = np.empty((0, length, actions.shape[1]), dtype=actions.dtype)
        return empty[:, :observed], empty[:, observed:]
    views = np.lib.stride_tricks.sliding_window_view(actions, length, axis=0)[::stride]
    windows = np.moveaxis(views, -1, 1)
    seen = (windows == ABSENT).mean(axis=(1, 2)) <= max_absent
    kept = np.ascontiguousarray(windows[seen])
    return kept[:, :observed], kept[:, observed:]
