"""When a block of sound was recorded, judged from when it arrived."""

from __future__ import annotations


class BlockTimeline:
    """Smooth stamps for blocks that arrive with jitter and with a dubious age.

    Through a sound server the age that PortAudio reports can be 0 (though a whole block was waited for)
    or half a second too long in the first seconds, while blocks arrive as evenly as they were recorded.
    So the age is believed within bounds only, and stamps follow the sample count along the earliest
    arrivals: a block can come late, but never before it was recorded.
    """

    MOST_EXTRA_NS = 60_000_000
    JUMP_NS = 200_000_000

    def __init__(self) -> None:
        self._next_ns: int | None = None

    def stamp(self, arrival_ns: int, age_ns: int, length_ns: int, lost: bool = False) -> int:
        """Time of the first sample of the next block.

        Args:
            arrival_ns: when the block was handed over.
            age_ns: reported age of its first sample then.
            length_ns: duration of the block, > 0.
            lost: samples before it are known to be lost.
        """
        seen_ns = arrival_ns - min(max(age_ns, length_ns), length_ns + self.MOST_EXTRA_NS)
        expected_ns = self._next_ns
        if expected_ns is None or lost or abs(seen_ns - expected_ns) > self.JUMP_NS:
            stamp_ns = seen_ns
        else:
            # Back fast, for the first blocks may come late; forth slowly, as clocks drift.
            stamp_ns = min(max(seen_ns, expected_ns - length_ns // 4), expected_ns + length_ns // 200)
        self._next_ns = stamp_ns + length_ns
        return stamp_ns
