"""Puts together everything that belongs to one image, whichever order it arrives in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from hmgen_ros.types import ActionOutlook, Counts, Frame, HeadMotion, Scene, SpeakerOutlook


@dataclass(slots=True)
class TickView:
    """One tick as it can be drawn: the image and what was perceived and predicted from it."""

    frame: Frame | None = None
    scene: Scene | None = None
    actions: dict[str, ActionOutlook] = field(default_factory=dict)
    speaker: SpeakerOutlook | None = None
    motions: dict[str, HeadMotion] = field(default_factory=dict)

    def complete(self) -> bool:
        """Whether every part for everyone in the scene has arrived."""
        if self.frame is None or self.scene is None or self.speaker is None:
            return False
        wanted = {person.person_id for person in self.scene.people}
        return wanted <= self.actions.keys() and wanted <= self.motions.keys()


class TickCollector:
    """Collects parts by stamp and hands out each tick once.

    That is when it is complete, or, with what there is, when ``patience`` newer images have come. Images
    that perception passed by, because the camera is faster than the clock, are left out: their time is
    up and a newer one has its scene. Without any newer scene perception is missing, and they are handed
    out as they are.

    Attributes:
        counts: ``view_incomplete`` (handed out with parts missing), ``view_without_scene`` (images that
            perception passed by) and ``view_without_image`` (parts whose image never came).
    """

    def __init__(self, patience: int = 3, capacity: int = 10) -> None:
        self._patience, self._capacity = patience, capacity
        self._ticks: OrderedDict[int, TickView] = OrderedDict()
        self._done_until = -1
        self._newest_scene = -1
        self.counts = Counts()

    def add(
        self, stamp_ns: int, part: Frame | Scene | ActionOutlook | SpeakerOutlook | HeadMotion
    ) -> list[TickView]:
        """Add one part; returns the ticks that are ready now, oldest first."""
        newest = next(reversed(self._ticks), self._done_until)
        if isinstance(part, Frame) and stamp_ns < newest - 1_000_000_000:
            # The source went back in time: nothing older will be completed any more.
            self._ticks.clear()
            self._done_until = self._newest_scene = -1
        if isinstance(part, Scene) and part.reset and stamp_ns <= self._done_until:
            # So did perception, by less: after a stray image, stamped too late, the rest looked old.
            self._done_until = self._newest_scene = stamp_ns - 1
        if stamp_ns <= self._done_until:
            return []
        self._store(self._ticks.setdefault(stamp_ns, TickView()), part)
        if isinstance(part, Scene):
            self._newest_scene = max(self._newest_scene, stamp_ns)
        return self._take_ready(stamp_ns)

    @staticmethod
    def _store(view: TickView, part: Frame | Scene | ActionOutlook | SpeakerOutlook | HeadMotion) -> None:
        match part:
            case Frame():
                view.frame = part
            case Scene():
                view.scene = part
            case SpeakerOutlook():
                view.speaker = part
            case ActionOutlook():
                view.actions[part.person_id] = part
            case HeadMotion():
                view.motions[part.person_id] = part

    def _take_ready(self, stamp_ns: int) -> list[TickView]:
        images = [stamp for stamp, view in self._ticks.items() if view.frame is not None]
        overdue = images[: max(0, len(images) - self._patience)]
        until = max([stamp for stamp in overdue], default=-1)
        if self._ticks[stamp_ns].complete():
            until = max(until, stamp_ns)
        if len(self._ticks) > self._capacity:
            until = max(until, sorted(self._ticks)[-self._capacity - 1])
        ready = []
        for stamp in sorted(stamp for stamp in self._ticks if stamp <= until):
            view = self._ticks.pop(stamp)
            if view.frame is None:
                self.counts.add("view_without_image")
                continue
            if view.scene is None and stamp < self._newest_scene:
                self.counts.add("view_without_scene")
                continue
            if not view.complete():
                self.counts.add("view_incomplete")
            ready.append(view)
        self._done_until = max(self._done_until, until)
        return ready
