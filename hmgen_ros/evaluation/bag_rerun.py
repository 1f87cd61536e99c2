"""Writes a replayed bag as a Rerun recording: images, landmarks, what people do, and every forecast in time.

Needs the package ``rerun-sdk`` (``pip install 'hmgen_ros[rerun]'``); ``rerun FILE.rrd`` shows it. Everything
lies on the timeline ``bag``, seconds since the first tick. Speech that was forecast is drawn at the time that
it was forecast for, beside the speech that was seen then.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from hmgen_ros.evaluation.bag_replay import Tick
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.types import TICK_HZ, Action, Frame, Person, mask_label

#: Ticks ahead of the forecasts of speech that are drawn: 0.4, 0.8 and 1.6 s.
_AHEAD = (10, 20, 40)
_JPEG_QUALITY = 80
_APPLICATION = "hmgen_ros"


class RerunFile:
    """One recording under construction; a context manager."""

    def __init__(self, path: Path, model: str, head_model: str, space: ActionSpace) -> None:
        """Begin a file, over any that is there.

        Args:
            path: of the ``.rrd`` file.
            model: action predictor whose forecasts are written.
            head_model: likewise of heads.
            space: of the action predictor.
        """
        self._stream = rr.RecordingStream(_APPLICATION)
        views = (
            rrb.Spatial2DView(origin="picture", name="people"),
            rrb.Vertical(
                rrb.TimeSeriesView(origin="speech", name="speech seen, and as it was forecast"),
                rrb.TimeSeriesView(origin="next_speaker", name="next to speak"),
                rrb.TextLogView(origin="actions", name="actions"),
            ),
        )
        self._stream.save(path, default_blueprint=rrb.Blueprint(rrb.Horizontal(*views)))
        self._model, self._head_model = model, head_model
        self._speaks = space.with_action(Action.SPEAKING)
        self._zero_ns: int | None = None
        self._did: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file."""
        self._stream.flush()
        self._stream.disconnect()

    def add(self, tick: Tick) -> None:
        """Write one tick, and its image where images are kept."""
        stamp = tick.scene.stamp_ns
        if self._zero_ns is None:
            self._zero_ns = stamp
        self._at(stamp)
        if tick.frame is not None:
            self._image(tick.frame)
        for person in tick.scene.people:
            self._person(person)
        self._heads(tick)
        self._next(tick)
        # Last, for it moves the time on.
        self._forecasts(tick)

    def _at(self, stamp_ns: int) -> None:
        self._stream.set_time("bag", duration=np.timedelta64(stamp_ns - (self._zero_ns or 0), "ns"))

    def _log(self, path: str, what: Any) -> None:
        self._stream.log(path, what)

    def _image(self, frame: Frame) -> None:
        _, data = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        self._log("picture", rr.EncodedImage(contents=data.tobytes(), media_type="image/jpeg"))

    def _person(self, person: Person) -> None:
        name, doing = person.person_id, mask_label(person.actions)
        self._log(f"speech/{name}/seen", rr.Scalars(float(person.actions >> Action.SPEAKING & 1)))
        if self._did.get(name) != person.actions:
            self._did[name] = person.actions
            self._log("actions", rr.TextLog(f"{name}: {doing}"))
        if person.face is None:
            self._log(f"picture/{name}", rr.Clear(recursive=True))
            return
        x0, y0, x1, y1 = (float(value) for value in person.face.box)
        box = rr.Boxes2D(mins=[[x0, y0]], sizes=[[x1 - x0, y1 - y0]], labels=[f"{name}: {doing}"])
        self._log(f"picture/{name}/box", box)
        self._log(f"picture/{name}/landmarks", rr.Points2D(person.face.landmarks_px, radii=1.0))

    def _heads(self, tick: Tick) -> None:
        for motion in tick.heads[self._head_model]:
            if not motion.valid:
                continue
            path = f"picture/{motion.person_id}/forecast"
            # The way of the middle of the face, and where the face ends up.
            self._log(f"{path}/way", rr.LineStrips2D([motion.landmarks_px.mean(axis=1)]))
            self._log(f"{path}/end", rr.Points2D(motion.landmarks_px[-1], radii=0.5, colors=[[255, 200, 0]]))

    def _next(self, tick: Tick) -> None:
        speaker = tick.groups[self._model].speaker
        for person in tick.scene.people:
            likely = speaker.probability if person.person_id == speaker.person_id else 0.0
            self._log(f"next_speaker/{person.person_id}", rr.Scalars(likely))

    def _forecasts(self, tick: Tick) -> None:
        """The probability of speech at the times that it is forecast for."""
        found = tick.groups[self._model].forecast
        for ahead in _AHEAD:
            if ahead > len(found.probabilities):
                continue
            self._at(tick.scene.stamp_ns + round(ahead / TICK_HZ * 1e9))
            given = found.probabilities[ahead - 1] @ self._speaks
            for person_id, probability in zip(found.person_ids, given, strict=True):
                path = f"speech/{person_id}/forecast_{ahead / TICK_HZ:g}s_before"
                self._log(path, rr.Scalars(float(probability)))
