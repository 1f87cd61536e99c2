"""Folders of video as the well-known corpora lay them out: which clips there are, and who speaks in each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hmgen_ros.data.ami_raster import CorpusError

Layout = Literal["plain", "grid", "confer", "voxceleb2", "hdtf", "lrs2"]
LAYOUTS: tuple[Layout, ...] = ("plain", "grid", "confer", "voxceleb2", "hdtf", "lrs2")
VIDEO_ENDINGS = frozenset({".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm", ".m4v"})
_ODD = re.compile(r"[^\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Clip:
    """One video file.

    Attributes:
        group: of the tracks' folder, ``<group>_tracks``.
        stem: of the tracks' files; unique within the group.
        speaker: who is split by.
        video: the file.
        source: its path within the corpus, for the manifest.
    """

    group: str
    stem: str
    speaker: str
    video: Path
    source: str


def clips_of(folder: Path, layout: Layout) -> list[Clip]:
    """The clips of a corpus, by path.

    | layout | files | speaker |
    |---|---|---|
    | plain | any video in the folder or below | the file |
    | grid | ``s1/bbaf2n.mpg``, also with folders between, or ``s1_bbaf2n.mpg`` | ``s1`` |
    | confer | ``<debate>/…`` | the debate: who sits in it is in no other |
    | voxceleb2 | ``id00012/<video>/00001.mp4`` | ``id00012`` |
    | hdtf | ``RD_Radio1_000.mp4`` | the name without the number of the piece |
    | lrs2 | ``main/<programme>/00001.mp4`` | the programme: LRS2 does not say who speaks |

    Raises:
        CorpusError: the folder holds no video, or a path does not fit the layout.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is no folder; give the one that holds the videos")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_ENDINGS)
    if not paths:
        raise CorpusError(f"no video in {folder} or below ({', '.join(sorted(VIDEO_ENDINGS))})")
    clips: dict[str, Clip] = {}
    for path in paths:
        clip = _clip(folder, path, layout)
        if (other := clips.get(clip.stem)) is not None:
            raise CorpusError(f"{path} and {other.video} would both be {clip.stem}; rename one")
        clips[clip.stem] = clip
    return list(clips.values())


def _clip(folder: Path, path: Path, layout: Layout) -> Clip:
    inner = path.relative_to(folder)
    parts = [*inner.parent.parts, path.stem]
    name = _plain("_".join(parts))
    group = _plain(folder.resolve().name) if layout == "plain" else layout
    speaker = _speaker(parts, layout)
    if speaker is None:
        raise CorpusError(f"{path} does not lie as a clip of {layout} does; try --layout plain")
    return Clip(group, name, f"{group}_{_plain(speaker)}", path, inner.as_posix())


def _speaker(parts: list[str], layout: Layout) -> str | None:
    folders, stem = parts[:-1], parts[-1]
    if layout == "plain":
        return "_".join(parts)
    if layout == "grid":
        named = [part for part in (*folders, stem.split("_")[0]) if re.fullmatch(r"s\d+", part)]
        return named[0] if named else None
    if layout == "voxceleb2":
        return next((part for part in folders if re.fullmatch(r"id\d+", part)), None)
    if layout == "hdtf":
        return re.sub(r"_\d+$", "", stem)
    if layout == "lrs2":
        return folders[-1] if folders else None
    return folders[0] if folders else None


def _plain(name: str) -> str:
    """A name that is a file name everywhere."""
    return _ODD.sub("-", name).strip("-.") or "clip"
