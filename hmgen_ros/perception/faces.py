"""Finds the faces of each image cheaply: known faces are followed, the detector looks for new ones."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.perception.backends import Detections, LandmarkBackend, LandmarkSets
from hmgen_ros.perception.boxes import box_iou
from hmgen_ros.timing import StageTimes
from hmgen_ros.types import Counts

#: Two faces overlapping by more than this IoU are the same face.
SAME_FACE = 0.5
#: Border of the searches for faces that fill the image, see :meth:`.LandmarkBackend.detect`.
NEAR_MARGIN = 0.25
#: A detection that overlaps a followed face by this IoU is that face (their boxes differ in extent).
KNOWN_FACE = 0.15
#: A region is kept while the face stays within this share of its side (twice that for its size, and
#: for its rotation in radians): a crop that does not move makes landmarks that do not tremble.
STEADY = 0.03
#: Regions narrower than this, or wider than so many images, show no face.
MIN_REGION_PX, MAX_REGION_IMAGES = 6.0, 4.0


class FaceFinder:
    """Follows faces by their landmarks, and detects every few images and whenever one is missing.

    Args:
        backend: detector and landmark model.
        detect_every: images between two runs of the detector while all faces are followed.
        min_presence: a region whose presence is below has lost its face.
        max_faces: faces at once; the detector's further ones are counted as ``faces_over_limit``.
        concurrent: run the detector beside the landmark model; needs a second core to pay off.
        times: receives the stages ``detect`` and ``landmarks``.
        counts: where to count.

    Attributes:
        detect_every, min_presence, max_faces: as above; may be changed between two images.
    """

    def __init__(
        self,
        backend: LandmarkBackend,
        detect_every: int,
        min_presence: float,
        max_faces: int,
        concurrent: bool,
        times: StageTimes,
        counts: Counts,
    ) -> None:
        self._backend, self._times, self._counts = backend, times, counts
        self.detect_every = detect_every
        self.min_presence, self.max_faces = min_presence, max_faces
        self._pool = ThreadPoolExecutor(1, "detect", initializer=yield_to_others) if concurrent else None
        self._since_detection = 0
        self._pending: Callable[[], Detections] | None = None
        self._margin = 0.0

    def find(
        self,
        image: NDArray[np.uint8],
        rois: NDArray[np.float32],
        search: bool,
        guesses: NDArray[np.float32] | None = None,
    ) -> LandmarkSets:
        """The faces of one image, the followed ones first.

        Args:
            image: ``[H, W, 3]`` BGR.
            rois: ``[n, 4]`` regions of the faces seen in the image before.
            search: run the detector in any case, as someone is missing.
            guesses: ``[m, 4]`` regions in which hidden faces may come up.
        """
        self._since_detection += 1
        detection, self._pending = self._pending, None
        if detection is None and (search or not len(rois)):
            detection = self._start_detection(image)
        with self._times.stage("landmarks"):
            followed, lost = self._follow(image, rois)
            followed = self._guess(image, guesses, followed)
        if detection is None and lost:
            detection = self._start_detection(image)
        if detection is None:
            if self._since_detection >= self.detect_every:
                # Nobody is missing, so newcomers may wait for one image: the detector then runs beside
                # what follows this call instead of slowing down the landmarks.
                self._pending = self._start_detection(image)
            return followed
        detections = detection()
        with self._times.stage("landmarks_new"):
            fresh = self._fit_new(image, detections, followed)
        return concatenate(followed, fresh)

    def reset(self) -> None:
        """Start over: the next image is searched by the detector."""
        self._since_detection = self.detect_every
        self._pending = None
        self._margin = 0.0

    def close(self) -> None:
        """Stop the worker thread, if any."""
        if self._pool is not None:
            self._pool.shutdown()

    def _start_detection(self, image: NDArray[np.uint8]) -> Callable[[], Detections]:
        """Begin detecting, beside the caller where that is set; the result waits for it."""
        self._since_detection = 0

        def run() -> Detections:
            with self._times.stage("detect"):
                found = self._backend.detect(image, self._margin)
            # Where nobody is found at all, somebody may be too near: every other search looks for that.
            self._margin = 0.0 if len(found) or self._margin else NEAR_MARGIN
            return found

        if self._pool is None:
            return run
        future: Future[Detections] = self._pool.submit(run)
        return future.result

    def _follow(self, image: NDArray[np.uint8], rois: NDArray[np.float32]) -> tuple[LandmarkSets, bool]:
        """Landmarks in known regions, and whether some lost their face or slid onto another's."""
        known = len(rois)
        usable = usable_regions(rois, image.shape)
        self._counts.add("faces_out_of_image", int(len(rois) - usable.sum()))
        rois = rois[usable]
        found = self._backend.landmarks(image, rois)
        present = found.presence >= self.min_presence
        self._counts.add("faces_lost", int((~present).sum()))
        moved = np.hypot(*(found.rois[:, :2] - rois[:, :2]).T) / rois[:, 2]
        keep = [int(i) for i in np.argsort(moved, kind="stable") if present[i]]
        keep = distinct(found.boxes, keep)
        self._counts.add("faces_merged", int(present.sum()) - len(keep))
        keep.sort()
        steady = np.stack([steady_region(rois[i], found.rois[i]) for i in keep]) if keep else rois[:0]
        return replace(found.subset(keep), rois=steady), len(keep) < known

    def _guess(
        self, image: NDArray[np.uint8], guesses: NDArray[np.float32] | None, followed: LandmarkSets
    ) -> LandmarkSets:
        """The followed faces and those that came up where they were guessed."""
        if guesses is None or not (usable := usable_regions(guesses, image.shape)).any():
            return followed
        found = self._backend.landmarks(image, guesses[usable])
        boxes = np.concatenate([followed.boxes, found.boxes])
        present = np.flatnonzero(found.presence >= self.min_presence) + len(followed)
        keep = distinct(boxes, [*range(len(followed)), *map(int, present)])
        fresh = [i - len(followed) for i in keep if i >= len(followed)]
        return concatenate(followed, found.subset(fresh)) if fresh else followed

    def _fit_new(
        self, image: NDArray[np.uint8], detections: Detections, followed: LandmarkSets
    ) -> LandmarkSets:
        """Landmarks of the detections that are not followed yet."""
        overlap = box_iou(detections.boxes, followed.boxes)
        unknown = overlap.max(1, initial=0) < KNOWN_FACE
        rois = detections.rois[unknown & usable_regions(detections.rois, image.shape)]
        room = max(0, self.max_faces - len(followed))
        self._counts.add("faces_over_limit", max(0, len(rois) - room))
        found = self._backend.landmarks(image, rois[:room])
        present = np.flatnonzero(found.presence >= self.min_presence)
        boxes = np.concatenate([followed.boxes, found.boxes])
        order = list(range(len(followed))) + [len(followed) + int(i) for i in present]
        keep = [i - len(followed) for i in distinct(boxes, order) if i >= len(followed)]
        return found.subset(keep)


def yield_to_others() -> None:
    """Lower this thread's priority: the detector has a whole tick, what runs beside it has not."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def usable_regions(rois: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """``[n]``: which ``[n, 4]`` regions are finite, of sensible size and centred in the image."""
    height, width = shape[:2]
    size = np.array([width, height], np.float32)
    with np.errstate(invalid="ignore"):
        inside = ((rois[:, :2] >= 0) & (rois[:, :2] <= size)).all(1)
        sized = (rois[:, 2] >= MIN_REGION_PX) & (rois[:, 2] <= MAX_REGION_IMAGES * max(width, height))
    return np.asarray(inside & sized & np.isfinite(rois).all(1))


def steady_region(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float32]:
    """``old`` while ``new`` hardly differs from it, else ``new``; both ``[4]``."""
    tolerance = np.array([STEADY, STEADY, 2 * STEADY, 2 * STEADY])
    change = np.abs(new - old) / np.array([old[2], old[2], old[2], 1.0])
    return old if (change <= tolerance).all() else new


def distinct(boxes: NDArray[np.float32], order: list[int]) -> list[int]:
    """The indices in ``order`` without those whose box is the same face as an earlier one's."""
    overlap = box_iou(boxes, boxes)
    keep: list[int] = []
    for i in order:
        if all(overlap[i, j] < SAME_FACE for j in keep):
            keep.append(i)
    return keep


def concatenate(a: LandmarkSets, b: LandmarkSets) -> LandmarkSets:
    """Both sets, ``a`` first."""
    return LandmarkSets(
        np.concatenate([a.points, b.points]),
        np.concatenate([a.presence, b.presence]),
        np.concatenate([a.boxes, b.boxes]),
        np.concatenate([a.rois, b.rois]),
        None if a.detail is None or b.detail is None else np.concatenate([a.detail, b.detail]),
    )
