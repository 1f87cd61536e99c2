"""Parts of a folder of tracks that nobody is in, or that nothing is left of: why, and what to do."""

from pathlib import Path

import numpy as np
import pytest
from motion_corpus import write_tracks
from synthetic_heads import moving_heads

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.speech_tracks import speech_part
from hmgen_ros.data.track_files import TrackFile, write_track_file
from hmgen_ros.data.track_parts import part_of
from hmgen_ros.data.tracks import MANIFEST, split_of


def write_clips(folder: Path, names: list[str], ticks: int = 60) -> None:
    """Tracks without a manifest."""
    folder.mkdir(exist_ok=True)
    for name, landmarks in zip(names, moving_heads(len(names), ticks, seed=1).numpy(), strict=True):
        track = TrackFile(landmarks.astype(np.float32), np.ones(ticks, np.bool_), (640, 480))
        write_track_file(folder / f"{name}.npz", track)


def test_a_part_is_what_its_speakers_said(tmp_path: Path) -> None:
    write_tracks(tmp_path)
    assert "grid_s26" in part_of(tmp_path, "validation").speakers
    assert part_of(tmp_path, "train").speakers == ["grid_s1"]


@pytest.mark.parametrize(("split", "name"), [("train", "training"), ("validation", "validation")])
def test_a_part_that_nobody_is_in(tmp_path: Path, split: str, name: str) -> None:
    others = [f"talk{i}" for i in range(40) if split_of("any", f"talk{i}") != split][:2]
    write_clips(tmp_path, others)
    with pytest.raises(CorpusError) as caught:
        part_of(tmp_path, split)
    text = str(caught.value)
    assert f"the {name} part of {tmp_path} is empty" in text
    assert "2 tracks of 2 speakers" in text
    assert "without tracks_manifest.csv each file is one" in text
    assert "add tracks of more speakers" in text


def test_one_speaker_of_a_manifest(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("group,stem,speaker\na,x,obama\na,y,obama\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"2 tracks of 1 speaker \(column speaker of tracks_manifest"):
        part_of(tmp_path, "validation")
    with pytest.raises(CorpusError, match="the validation part"):
        speech_part(tmp_path, "validation")


def test_a_part_that_nothing_is_left_of(tmp_path: Path) -> None:
    name = next(f"talk{i}" for i in range(40) if split_of("any", f"talk{i}") == "train")
    write_clips(tmp_path / "short", [name], ticks=20)
    with pytest.raises(CorpusError, match=r"training part .* has 1 track, .*too_short 20"):
        part_of(tmp_path / "short", "train")
    write_clips(tmp_path / "silent", [name])
    with pytest.raises(CorpusError, match=r"has 1 track, .*without_sound 1"):
        speech_part(tmp_path / "silent", "train")
