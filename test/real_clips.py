"""Folders with some of the real clips of GRID, which have sound."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

DATA = Path(os.environ.get("HMGEN_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "grid_tracks").is_dir(), reason="needs HMGEN_DATA")


def link_clips(folder: Path, counts: Mapping[str, int]) -> Path:
    """Fill a folder with a manifest and the first clips of some speakers, named as in ``grid_s1``."""
    (folder / "grid_tracks").mkdir(parents=True)
    lines = ["group,stem,speaker"]
    for speaker, count in counts.items():
        short = speaker.removeprefix("grid_")
        stems = sorted(path.stem for path in (DATA / "grid_tracks").glob(f"{short}_*.flac"))
        lines += [f"grid,{stem},{speaker}" for stem in stems[:count]]
    for line in lines[1:]:
        stem = line.split(",")[1]
        for ending in (".npz", ".flac"):
            path = folder / "grid_tracks" / (stem + ending)
            path.symlink_to((DATA / "grid_tracks" / path.name).resolve())
    (folder / "tracks_manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
