"""What perception does less often when the machine is too slow, and when it takes that up again.

An image that is not perceived within its tick costs the next one. So before images are lost, bodies are
looked for less often and then not at all, then new faces less often; landmarks, tracks and voices are never
touched. Only measured times decide, and only a live node hands them in: a replay takes the time it needs, and
is the same every time.
"""

from __future__ import annotations

from dataclasses import dataclass

from hmgen_ros.perception.body import MOST_EVERY
from hmgen_ros.types import TICK_NS, Counts

#: Images that are judged together: one second of a 25 Hz camera.
WINDOW = 25
#: More than this share of them over the budget is too much; one slow image now and then is the machine's.
TOO_MANY = 0.2
#: Calm windows before a step back, at first; doubled by each step that turns out to have been too early.
FIRST_HOLD, LONGEST_HOLD = 5, 120


@dataclass(frozen=True)
class LoadConfig:
    """Settings of :class:`LoadGovernor`.

    Attributes:
        enabled: do less when the machine is too slow; otherwise images are left out.
        budget_ms: wall-clock time that an image may take, 1 to 1000 ms. The rest of its 40 ms is for sound,
            conversion and publication.
        relief: in [0.1, 0.95]; share of the budget below which rates are raised again.
    """

    enabled: bool = True
    budget_ms: float = 0.8 * TICK_NS / 1e6
    relief: float = 0.7

    def __post_init__(self) -> None:
        for name, (low, high) in {"budget_ms": (1, 1000), "relief": (0.1, 0.95)}.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"load.{name} must be between {low} and {high}, got {value}")


@dataclass(frozen=True, slots=True)
class Slowdown:
    """How many times less often than set: bodies are looked for (0: not at all), and new faces."""

    body: int = 1
    detector: int = 1


#: From nothing to all that can be done, bodies before faces.
STEPS = (Slowdown(), Slowdown(2), Slowdown(0), Slowdown(0, 2), Slowdown(0, 4))


class LoadGovernor:
    """Chooses a step from the times that images took.

    It moves by one step at a time and at most once in :data:`WINDOW` images: down as soon as too many of
    them are over the budget, back once they were well below it for a while. A step back that has to be
    taken again makes the next one wait twice as long, so that a load on the edge does not make it swing.

    Attributes:
        level: index of the present step, 0: everything as set.
        counts: ``load_lowered`` and ``load_raised``, steps down and back.
        image_ms: mean time of the last images judged together, 0 before the first.
    """

    def __init__(self, config: LoadConfig, body_every: int, counts: Counts) -> None:
        """Start with everything as set.

        Args:
            config: settings.
            body_every: ticks between two looks for bodies, 0: there are none, and steps that only concern
                them are left out.
            counts: where to count.
        """
        self.counts = counts
        self.level = 0
        self.adjust(config, body_every)
        self.image_ms = 0.0
        self._seen = self._over = self._calm = 0
        self._total_ms = 0.0
        self._calm_windows = 0
        self._hold = FIRST_HOLD
        #: Windows since the last step back, which was too early if one down follows within ``_hold``.
        self._since_raised: int | None = None

    def adjust(self, config: LoadConfig, body_every: int) -> None:
        """Go by other settings from now on; arguments as of the constructor."""
        self._config = config
        unlike = [Slowdown(_useful(step.body, body_every), step.detector) for step in STEPS]
        self._steps = tuple(dict.fromkeys(unlike))
        # There may be fewer steps than before, and none where everything is to be done as often as set.
        self.level = min(self.level, len(self._steps) - 1) if config.enabled else 0

    @property
    def slowdown(self) -> Slowdown:
        """The present step."""
        return self._steps[self.level]

    def observe(self, milliseconds: float) -> bool:
        """Take in the wall-clock time of one image, in ms; whether the step changed."""
        if not self._config.enabled:
            return False
        self._seen += 1
        self._total_ms += milliseconds
        self._over += milliseconds > self._config.budget_ms
        self._calm += milliseconds <= self._config.relief * self._config.budget_ms
        if self._seen < WINDOW:
            return False
        few = round(TOO_MANY * WINDOW)
        crowded, calm = self._over > few, self._seen - self._calm <= few
        self.image_ms = self._total_ms / self._seen
        self._seen = self._over = self._calm = 0
        self._total_ms = 0.0
        before = self.level
        self._judge(crowded, calm)
        return self.level != before

    def _judge(self, crowded: bool, calm: bool) -> None:
        """Decide after one window."""
        self._calm_windows = self._calm_windows + 1 if calm else 0
        if self._since_raised is not None:
            self._since_raised += 1
            if self._since_raised > self._hold:
                self._since_raised, self._hold = None, FIRST_HOLD
        if crowded and self.level < len(self._steps) - 1:
            self.level += 1
            self.counts.add("load_lowered")
            if self._since_raised is not None:
                self._hold = min(2 * self._hold, LONGEST_HOLD)
            self._since_raised = None
        elif self.level and self._calm_windows >= self._hold:
            self.level -= 1
            self.counts.add("load_raised")
            self._calm_windows, self._since_raised = 0, 0


def _useful(slowdown: int, body_every: int) -> int:
    """How many times less often to look for bodies where looks that tell nothing are left out."""
    if not body_every:
        return 1
    return slowdown if slowdown * body_every <= MOST_EVERY else 0
