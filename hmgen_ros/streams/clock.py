"""One 25 Hz clock for cameras of any rate, driven by stamps alone.

Frame stamps fall onto a grid that starts at the first frame. A frame near the next slot fills it; one
that comes much too early is surplus (the camera is faster than the clock), one that comes much too late
leaves empty slots behind, which whoever keeps state has to hold. The tolerance is wider than half a slot
so that jitter does not turn a steady 25 fps camera into pairs of surplus and missed ticks.
"""

from __future__ import annotations

from dataclasses import dataclass

from hmgen_ros.types import TICK_NS, Counts

NS_PER_S = 1_000_000_000
#: So many frames in a row, older than the newest but in order, show that the newest was a stray: frames
#: that were merely overtaken on their way come alone or two together.
RESTAMP_FRAMES = 3


@dataclass(frozen=True, slots=True)
class Tick:
    """One step of the clock.

    Attributes:
        index: slot on the grid since the last reset; the first tick has 0.
        missed: empty slots just before this one; 0 at a reset.
        reset: history before this tick is void (start, jump back in time, long gap).
    """

    index: int
    missed: int
    reset: bool


def is_future(stamp_ns: int, now_ns: int | None, max_future_s: float = 1.0) -> bool:
    """Whether a stamp lies more than ``max_future_s`` ahead of now.

    Args:
        stamp_ns: stamp to check, nanoseconds.
        now_ns: the same clock's present; None or 0 (simulated time before the first ``/clock``) means
            unknown, and nothing is in the future then.
        max_future_s: how far clocks of two machines may be apart.
    """
    return bool(now_ns) and now_ns is not None and stamp_ns > now_ns + int(max_future_s * NS_PER_S)


class TickClock:
    """Maps frame stamps onto one grid of ticks.

    The grid restarts at index 0, anchored at the accepted frame, with ``reset=True``: at the first frame,
    after a jump back of more than ``max_backward_s``, after a gap of more than ``max_hold_ticks``, and at
    the third frame in a row that is older than the newest but later than the one before it: the newest
    was a stray then, stamped ahead of its time.
    Between resets the index strictly increases and ``index == last index + 1 + missed``.

    Attributes:
        max_future_s: frames this far ahead of now are dropped; may be changed at any time.
        counts: frames dropped, by cause: ``duplicate`` (same stamp as the last), ``out_of_order`` (older
            than the last by at most ``max_backward_s``), ``surplus`` (camera faster than the clock),
            ``unstamped`` (zero or negative stamp), ``future``. Noticed: ``late`` (accepted although
            older than ``max_late_s``), ``missed`` (empty ticks), ``reset_backward``, ``reset_gap``,
            ``restamped`` (the grid was taken back from a stray), and reasons given to :meth:`restart`.
    """

    def __init__(
        self,
        period_ns: int = TICK_NS,
        max_hold_ticks: int = 12,
        *,
        tolerance: float = 0.875,
        max_backward_s: float = 1.0,
        max_future_s: float = 1.0,
        max_late_s: float = 1.0,
    ) -> None:
        """Start without history.

        Args:
            period_ns: length of a tick, > 0.
            max_hold_ticks: most empty ticks that may be held; more void the history. At least 0.
            tolerance: how far a stamp may be from its slot, in periods, in [0.5, 1).
            max_backward_s: frames older than the last by up to this are stragglers and dropped, up to
                two in a row; older ones mean that time jumped back (a bag that loops).
            max_future_s: frames this far ahead of now are dropped.
            max_late_s: frames this far behind now are counted as late, and used all the same.

        Raises:
            ValueError: a setting is outside its range.
        """
        if period_ns <= 0 or max_hold_ticks < 0 or not 0.5 <= tolerance < 1.0:
            raise ValueError(
                f"clock: period_ns={period_ns} must be > 0, max_hold_ticks={max_hold_ticks} >= 0, "
                f"tolerance={tolerance} in [0.5, 1)"
            )
        self.counts = Counts()
        self._period = period_ns
        self._max_hold = max_hold_ticks
        self._slack = int(tolerance * period_ns)
        self._max_backward = int(max_backward_s * NS_PER_S)
        self.max_future_s = max_future_s
        self._max_late = int(max_late_s * NS_PER_S)
        self._origin = 0  # stamp of slot 0
        self._index = -1  # last filled slot, -1 before the first frame
        self._newest = 0  # stamp of the last frame in order, surplus ones included
        self._behind = 0  # frames in a row older than the newest, in order among themselves
        self._last_behind = 0  # stamp of the last of them

    def accept(self, stamp_ns: int, now_ns: int | None = None) -> Tick | None:
        """Offer a frame to the clock.

        Args:
            stamp_ns: acquisition time of the frame.
            now_ns: present of the clock that made the stamp, where there is one; leave None for files
                played faster than real time and for bags played without simulated time.

        Returns:
            The tick this frame fills, or None where the frame is to be dropped (see ``counts``).
        """
        cause = self._rejection(stamp_ns, now_ns)
        if cause == "out_of_order" and self._overturns_newest(stamp_ns):
            return self.restart(stamp_ns, "restamped")
        if cause:
            self.counts.add(cause)
            return None
        if now_ns and now_ns - stamp_ns > self._max_late:
            self.counts.add("late")
        if self._index < 0:
            return self.restart(stamp_ns)
        if stamp_ns < self._newest:
            return self.restart(stamp_ns, "reset_backward")
        self._newest = stamp_ns
        self._behind = 0
        return self._advance(stamp_ns)

    def reset(self) -> None:
        """Forget the grid: the next frame starts a new one. Counts go on."""
        self._index = -1

    def _rejection(self, stamp_ns: int, now_ns: int | None) -> str:
        """Why this stamp cannot be used, or an empty string."""
        if stamp_ns <= 0:
            return "unstamped"
        if is_future(stamp_ns, now_ns, self.max_future_s):
            return "future"
        if self._index < 0 or stamp_ns > self._newest:
            return ""
        if stamp_ns == self._newest:
            return "duplicate"
        return "out_of_order" if self._newest - stamp_ns <= self._max_backward else ""

    def _overturns_newest(self, stamp_ns: int) -> bool:
        """Whether this straggler and those just before it show that the newest frame was a stray."""
        if self._behind and stamp_ns == self._last_behind:
            return False  # a repeated frame proves nothing
        self._behind = self._behind + 1 if self._behind and stamp_ns > self._last_behind else 1
        self._last_behind = stamp_ns
        return self._behind >= RESTAMP_FRAMES

    def _advance(self, stamp_ns: int) -> Tick | None:
        expected = self._index + 1
        offset = stamp_ns - self._origin - expected * self._period
        if offset < -self._slack:
            self.counts.add("surplus")
            return None
        missed = 0 if offset <= self._slack else (2 * offset + self._period) // (2 * self._period)
        if missed > self._max_hold:
            return self.restart(stamp_ns, "reset_gap")
        self.counts.add("missed", missed)
        self._index = expected + missed
        return Tick(self._index, missed, reset=False)

    def restart(self, stamp_ns: int, cause: str = "") -> Tick:
        """Void the history: a new grid begins at this frame, for a reason that is counted."""
        if cause:
            self.counts.add(cause)
        self._origin = self._newest = stamp_ns
        self._index = self._behind = 0
        return Tick(0, 0, reset=True)
