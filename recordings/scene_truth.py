"""What is known about a composed scene: who speaks when, and where each face is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scene_clips import FPS, VAD_PAUSE_S
from scene_schedule import Turn

Interval = tuple[float, float]


def merge_intervals(intervals: Sequence[Interval], pause_s: float = VAD_PAUSE_S) -> list[Interval]:
    """Sorted intervals in seconds; those closer than ``pause_s`` become one."""
    out: list[Interval] = []
    for start, end in sorted(intervals):
        if out and start - out[-1][1] <= pause_s:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def speaking_matrix(people: Sequence[Mapping[str, Any]], frames: int) -> NDArray[np.uint8]:
    """``[frames, people]`` of 0 and 1: frame ``k`` counts as speech where its middle, (k + 0.5) / 25 s, does.

    Args:
        people: the ``people`` of the truth file; each has ``speaking`` intervals in seconds.
        frames: number of frames, the truth file's ``frames``.
    """
    middle = (np.arange(frames) + 0.5) / FPS
    matrix = np.zeros((frames, len(people)), np.uint8)
    for column, person in enumerate(people):
        for start, end in person["speaking"]:
            matrix[(middle >= start) & (middle < end), column] = 1
    return matrix


def person_truth(
    person: Mapping[str, Any], turns: Sequence[Turn], landmarks: NDArray[np.float64]
) -> dict[str, Any]:
    """One person's entry; ``landmarks`` are ``[T, 68, 2]`` scene pixels of what is shown."""
    low, high = landmarks.min(axis=(0, 1)), landmarks.max(axis=(0, 1))
    eyes = landmarks[:, [36, 45]]
    spoken = [(round(t.speech[0], 3), round(t.speech[1], 3)) for t in turns]
    said = [{"clip": t.sentence.clip, "start": a, "end": b} for t, (a, b) in zip(turns, spoken, strict=True)]
    merged = merge_intervals(spoken)
    return {
        "label": person["label"],
        "speaker": person["speaker"],
        "description": person.get("description", ""),
        "face_region_px": [round(float(v), 1) for v in (*low, *high)],
        "outer_eye_corners_px": eyes.mean(axis=0).round(1).tolist(),
        "eye_distance_px": round(float(np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=-1).mean()), 1),
        "sentences": said,
        "speaking": [[start, end] for start, end in merged],
        "speaking_s": round(sum(end - start for start, end in merged), 3),
    }


def to_rttm(truth: Mapping[str, Any]) -> str:
    """The speaking intervals as RTTM, one line each, ordered by start; speakers by label."""
    rows = [(s, e, p["label"]) for p in truth["people"] for s, e in p["speaking"]]
    return "".join(
        f"SPEAKER {truth['title']} 1 {start:.3f} {end - start:.3f} <NA> <NA> {label} <NA> <NA>\n"
        for start, end, label in sorted(rows)
    )


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
