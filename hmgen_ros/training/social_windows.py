"""Windows of several lengths over one sequence, planned so that one recurrence serves them all.

All windows of the local discriminator (thesis section 3.3.3, equation 3.8) start from the same state and
share one network. So the windows that start at the same tick are beginnings of the longest of them: each
start is run once, as far as its longest window reaches, and shorter windows are read off on the way. The
starts are ordered by length, so that at every step those that go on are the first ones.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WindowPlan:
    """Which windows there are and how to run them.

    Windows are counted scale by scale, the longest first, and by start within a scale.

    Attributes:
        scales: lengths τ of windows in ticks, longest first.
        sizes: ``[max τ]`` number of starts that still run at each step.
        ticks: for each step, the ticks that its starts read, in the order of the starts; in one row.
        positions: for each scale, the place of each of its windows among the starts.
        window_starts: first tick (from 0) of each window.
        window_weights: 1 / (windows of the same scale × scales): means over windows, then over scales
            (3.9).
    """

    scales: tuple[int, ...]
    sizes: tuple[int, ...]
    ticks: tuple[int, ...]
    positions: tuple[tuple[int, ...], ...]
    window_starts: tuple[int, ...]
    window_weights: tuple[float, ...]

    @classmethod
    def of(cls, length: int, scales: tuple[int, ...]) -> WindowPlan:
        """Windows of each scale τ over ``length`` ticks, τ // 2 apart (50 % overlap, section 3.5.3).

        A last tick that no further whole window reaches belongs to no window of that scale.

        Raises:
            ValueError: no scale, one twice, or one below 2 or above ``length``.
        """
        if not scales or len(set(scales)) < len(scales) or min(scales) < 2 or max(scales) > length:
            raise ValueError(f"scales must be different lengths from 2 to {length}, got {scales}")
        scales = tuple(sorted(scales, reverse=True))
        starts = {scale: range(0, length - scale + 1, scale // 2) for scale in scales}
        reach: dict[int, int] = {}
        for scale in scales:
            for start in starts[scale]:
                reach.setdefault(start, scale)
        order = sorted(reach, key=lambda start: (-reach[start], start))
        sizes = [sum(reach[start] > step for start in order) for step in range(scales[0])]
        return cls(
            scales=scales,
            sizes=tuple(sizes),
            ticks=tuple(start + step for step, size in enumerate(sizes) for start in order[:size]),
            positions=tuple(tuple(order.index(start) for start in starts[scale]) for scale in scales),
            window_starts=tuple(start for scale in scales for start in starts[scale]),
            window_weights=tuple(
                1.0 / (len(starts[scale]) * len(scales)) for scale in scales for _ in starts[scale]
            ),
        )


def default_scales(steps: int, large: bool = False) -> tuple[int, ...]:
    """The thesis' window lengths for ``steps`` generated ticks: T, T/2, T/4 and 5 (section 3.5.3).

    Args:
        steps: T, at least 5.
        large: add 3T/4 and 3T/8, the two further scales of the "large" variants, whose values the thesis
            does not tell.

    Returns:
        Longest first, each once.

    Raises:
        ValueError: ``steps`` is below 5.
    """
    if steps < 5:
        raise ValueError(f"steps must be at least 5, got {steps}")
    scales = {steps, steps // 2, steps // 4, 5}
    if large:
        scales |= {3 * steps // 4, 3 * steps // 8}
    return tuple(sorted((scale for scale in scales if scale >= 2), reverse=True))
