"""What is known about composed scenes: reads a folder of recordings with their truth files.

The format is that of ``recordings/README.md``. Only ``people`` is needed; what else is missing is not scored
and named. Where a recording has an ``.rttm`` file but no ``.json``, only voice activity is scored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.data.npz_file import read_npz
from hmgen_ros.evaluation.perception_metrics import Interval, during
from hmgen_ros.types import CONCURRENT_ACTIONS

#: Endings of recordings; capitals count as well.
MEDIA = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg")
ACTION_LABELS = tuple(a.label for a in CONCURRENT_ACTIONS)
#: Where the eyes are in a box around a face, as a share of its height, and how far the outer corners are
#: apart as a share of its width.
EYES_AT, EYES_APART = 0.3, 0.6
#: A face of which this share can be seen has to be found, one of which less can be seen may be.
SEEN_SHARE = 0.5


class SceneError(ValueError):
    """A folder of scenes or a truth file that cannot be used; names the file and field."""


@dataclass(frozen=True)
class Place:
    """Where a face is, frame by frame, or all the time.

    Attributes:
        middle: ``[T, 2]`` middle between the outer eye corners, pixels; T is 1 for who keeps their seat.
        size: ``[T]`` distance of the outer eye corners, pixels.
        visible: ``[T]`` share of the face that can be seen, 0 to 1.
        fps: frames a second of these arrays.
    """

    middle: NDArray[np.float64]
    size: NDArray[np.float64]
    visible: NDArray[np.float64]
    fps: float

    @property
    def end_s(self) -> float:
        """Until when this is known, s."""
        return len(self.size) / self.fps if len(self.size) > 1 else math.inf

    def at(self, time_s: float) -> tuple[NDArray[np.float64], float, float]:
        """Middle, size and visible share at a time; after the last frame those of the last one."""
        k = min(max(round(time_s * self.fps), 0), len(self.size) - 1) if len(self.size) > 1 else 0
        return self.middle[k], float(self.size[k]), float(self.visible[k])


@dataclass(frozen=True)
class PersonTruth:
    """One person of a scene; None where something is not known.

    Attributes:
        label: name.
        place: where the face is.
        speaking: when the person speaks.
        actions: other actions by label, for those that are known at all.
        kinds: the same intervals by finer names, such as nods among head gestures.
        still: when the face keeps perfectly still.
    """

    label: str
    place: Place | None = None
    speaking: tuple[Interval, ...] | None = None
    actions: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)
    kinds: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)
    still: tuple[Interval, ...] = ()


@dataclass(frozen=True)
class SceneTruth:
    """A recording and what is known about it.

    Attributes:
        name: of the scene.
        media: the recording.
        people: everyone in it.
        kind: what sort of scene it is, its title where nothing else is said.
        missing: fields without which something is not scored.
    """

    name: str
    media: Path
    people: tuple[PersonTruth, ...]
    kind: str = ""
    missing: tuple[str, ...] = ()

    def spoken(self, times: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """``[N]``: whether anybody speaks; None where that is not known of all."""
        known = [p.speaking for p in self.people]
        if not known or any(k is None for k in known):
            return None
        return np.asarray(np.any([during(k or (), times) for k in known], axis=0))


def read_scenes(folder: Path, left_out: dict[str, str] | None = None) -> list[SceneTruth]:
    """Every recording of a folder that has a truth file, by name.

    Args:
        folder: where they lie; what lies in folders below it is not looked at.
        left_out: takes the reason for each recording without truth, truth without recording and damaged
            truth, by name; without it damaged truth is an error, and the others are nothing to be told.

    Raises:
        SceneError: there is none, or a truth file is damaged.
    """
    if not folder.is_dir():
        raise SceneError(f"{folder}: no such folder; name one with recordings and their truth files")
    media = sorted(p for p in folder.iterdir() if p.suffix.lower() in MEDIA)
    reasons: dict[str, str] = {}
    scenes = []
    for path in media:
        try:
            scene = read_scene(path)
        except SceneError as error:
            if left_out is None:
                raise
            reasons[path.stem] = str(error)
            continue
        if scene is None:
            reasons[path.stem] = f"{path.name}: no truth file ({path.stem}.json or .rttm) beside it"
        else:
            scenes.append(scene)
    for path in _lonely_truth(folder, {path.stem for path in media}):
        reasons[path.stem] = f"{path.name}: no recording ({path.stem}.mp4, …) beside it"
    if not scenes and reasons:
        raise SceneError(f"{folder}: no scene can be scored: {'; '.join([*reasons.values()][:3])}")
    if not scenes:
        raise SceneError(
            f"{folder}: no recording with a truth file; it needs NAME.mp4 (or {', '.join(MEDIA[1:])}) with "
            "NAME.json beside it, as recordings/README.md describes"
        )
    if left_out is not None:
        left_out.update(reasons)
    return scenes


def _lonely_truth(folder: Path, names: Container[str]) -> list[Path]:
    """Truth files without a recording; of JSON files, which may be anything, those that list people."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.stem in names or not path.is_file():
            continue
        if path.suffix == ".json":
            with suppress(OSError, ValueError):
                told = json.loads(path.read_text(encoding="utf-8"))
                if isinstance(told, Mapping) and isinstance(told.get("people"), list):
                    found.append(path)
        elif path.suffix == ".rttm":
            found.append(path)
    return found


def read_scene(media: Path) -> SceneTruth | None:
    """A recording's truth, from the ``.json`` or ``.rttm`` beside it; None where there is neither.

    Raises:
        SceneError: the truth file is damaged.
    """
    told, turns = media.with_suffix(".json"), media.with_suffix(".rttm")
    if told.is_file():
        return _from_json(media, told)
    return _from_rttm(media, turns) if turns.is_file() else None


def _from_json(media: Path, path: Path) -> SceneTruth:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SceneError(f"{path}: is no JSON ({error})") from error
    listed = found.get("people", found.get("persons")) if isinstance(found, Mapping) else found
    if not isinstance(listed, list) or not all(isinstance(p, Mapping) for p in listed):
        raise SceneError(f"{path}: needs a list 'people', one object a person")
    fps = _fps(path, found.get("fps", 25.0)) if isinstance(found, Mapping) else 25.0
    missing: list[str] = []
    people = tuple(_person(path, i, p, fps, missing) for i, p in enumerate(listed))
    kind = str(found.get("kind", "")) if isinstance(found, Mapping) else ""
    return SceneTruth(media.stem, media, people, kind or media.stem, tuple(missing))


def _fps(path: Path, told: Any) -> float:
    try:
        fps = float(told)
    except (TypeError, ValueError):
        fps = math.nan
    if not 0 < fps < math.inf:
        raise SceneError(f"{path}: fps: is to be the frames a second of the tracks, not {told!r}")
    return fps


def _person(path: Path, i: int, told: Mapping[str, Any], fps: float, missing: list[str]) -> PersonTruth:
    where = f"people[{i}]"
    try:
        place = _place(path, told, fps)
        speaking = _intervals(told["speaking"]) if told.get("speaking") is not None else None
        actions = {str(k): _intervals(v) for k, v in dict(told.get("actions") or {}).items()}
        kinds = {str(k): _intervals(v) for k, v in dict(told.get("gestures") or {}).items()}
        still = _intervals(told.get("still") or ())
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OSError) as error:
        raise SceneError(f"{path}: {where}: {error}") from error
    if speaking is None and "speaking" in actions:
        speaking = actions["speaking"]
    if unknown := [name for name in actions if name not in ACTION_LABELS]:
        raise SceneError(f"{path}: {where}: no action {unknown[0]!r}; there are {', '.join(ACTION_LABELS)}")
    if place is None:
        missing.append(f"{where}: track, outer_eye_corners_px or face_region_px")
    if speaking is None:
        missing.append(f"{where}: speaking")
    label = str(told.get("label", told.get("name", told.get("id", i))))
    others = {name: when for name, when in actions.items() if name != "speaking"}
    return PersonTruth(label, place, speaking, others, kinds, still)


def _place(path: Path, told: Mapping[str, Any], fps: float) -> Place | None:
    track = told.get("track")
    if isinstance(track, str):
        return _track_of_file(path.parent / track, str(told.get("label")), fps)
    if track:
        return _track_of_list(track, fps)
    always = np.ones(1)
    if told.get("outer_eye_corners_px") is not None:
        eyes = np.asarray(told["outer_eye_corners_px"], np.float64).reshape(-1, 2, 2)
        size = np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=-1)
        return Place(eyes.mean(axis=1), size, np.ones(len(eyes)), fps)
    box = told.get("face_region_px", told.get("box"))
    if box is None:
        return None
    middle, size = _eyes_of(np.asarray(box, np.float64).reshape(1, 4))
    return Place(middle, size, always, fps)


def _track_of_file(path: Path, label: str, fps: float) -> Place:
    """Arrays ``LABEL/eyes`` ``[T, 2, 2]`` and ``LABEL/visible`` ``[T]`` of an npz file."""
    arrays = read_npz(path)
    if f"{label}/eyes" not in arrays or f"{label}/visible" not in arrays:
        raise ValueError(f"{path.name} holds no {label}/eyes and {label}/visible")
    eyes, visible = (arrays[f"{label}/{name}"].astype(np.float64) for name in ("eyes", "visible"))
    if eyes.shape != (len(visible), 2, 2):
        raise ValueError(f"{path.name}: {label}/eyes is {eyes.shape}, not ({len(visible)}, 2, 2)")
    return Place(eyes.mean(axis=1), np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=-1), visible, fps)


def _track_of_list(track: Sequence[Any], fps: float) -> Place:
    """A list with an entry a frame: null, a box, or an object with ``box`` or ``eyes``, and ``visible``."""
    middle, size, visible = np.zeros((len(track), 2)), np.ones(len(track)), np.zeros(len(track))
    for k, entry in enumerate(track):
        if entry is None:
            continue
        told = entry if isinstance(entry, Mapping) else {"box": entry}
        if told.get("eyes") is not None:
            eyes = np.asarray(told["eyes"], np.float64).reshape(2, 2)
            middle[k], size[k] = eyes.mean(axis=0), np.linalg.norm(eyes[0] - eyes[1])
        elif told.get("box") is not None:
            places, sizes = _eyes_of(np.asarray(told["box"], np.float64).reshape(1, 4))
            middle[k], size[k] = places[0], sizes[0]
        else:
            continue
        visible[k] = float(told.get("visible", 1.0))
    return Place(middle, size, visible, fps)


def _eyes_of(boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the eyes are in boxes ``[T, 4]`` around faces."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    if (width <= 0).any() or (height <= 0).any():
        raise ValueError("a box needs x0 < x1 and y0 < y1")
    middle = np.stack([boxes[:, [0, 2]].mean(axis=1), boxes[:, 1] + EYES_AT * height], axis=-1)
    return middle, EYES_APART * width


def _intervals(told: Any) -> tuple[Interval, ...]:
    """Pairs of seconds, or objects with ``start`` and ``end``, in order."""
    pairs = [(t["start"], t["end"]) if isinstance(t, Mapping) else (t[0], t[1]) for t in told]
    found = tuple(sorted((float(s), float(e)) for s, e in pairs))
    if any(not s <= e for s, e in found):
        raise ValueError(f"an interval ends before it starts: {found}")
    return found


def _from_rttm(media: Path, path: Path) -> SceneTruth:
    spoken: dict[str, list[Interval]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            fields = line.split()
            if fields and fields[0] == "SPEAKER":
                start, length = float(fields[3]), float(fields[4])
                spoken.setdefault(fields[7], []).append((start, start + length))
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise SceneError(f"{path}: is no RTTM file ({error})") from error
    people = tuple(PersonTruth(label, None, tuple(sorted(when))) for label, when in spoken.items())
    return SceneTruth(media.stem, media, people, media.stem, ("people[]: places (there is only RTTM)",))
