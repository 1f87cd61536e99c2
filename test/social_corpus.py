"""A small corpus in the format of the AMI rasters."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

HEADER = {
    "hz": 25,
    "agents": "ABCD",
    "head": ["none", "nod", "shake", "emphasis", "other_head"],
    "move": ["sit", "take_notes", "move", "stand", "other"],
    "hand": ["none", "point", "interact_object", "other_gesture"],
    "unknown": 255,
}


def write_meeting(path: Path, ticks: int, seed: int) -> None:
    """Four people who now and then speak, laugh, nod and take notes, in runs of 5 to 40 ticks."""
    rng = np.random.default_rng(seed)

    def runs(values: list[int], chances: list[float]) -> np.ndarray:
        people = [
            np.repeat(rng.choice(values, ticks, p=chances), rng.integers(5, 40, ticks))[:ticks]
            for _ in range(4)
        ]
        return np.stack(people, axis=1).astype(np.uint8)

    np.savez_compressed(
        path,
        speak=runs([0, 1], [0.7, 0.3]),
        laugh=runs([0, 1], [0.9, 0.1]),
        head=runs([0, 1, 255], [0.88, 0.1, 0.02]),
        move=runs([0, 1, 2], [0.85, 0.1, 0.05]),
    )


def write_corpus(
    folder: Path, parts: Mapping[str, str], headless: tuple[str, ...] = (), ticks: int = 1500
) -> None:
    """Meetings with their part of the corpus; ``headless`` ones are said to lack head annotation."""
    (folder / "ami_25hz").mkdir(parents=True)
    entries = [
        {"meeting": meeting, "split": part, "head": meeting not in headless, "mov": True, "hand": False}
        for meeting, part in parts.items()
    ]
    (folder / "ami_25hz/index.json").write_text(json.dumps({**HEADER, "meetings": entries}))
    for seed, name in enumerate(parts):
        write_meeting(folder / f"ami_25hz/{name}.npz", ticks, seed)
