"""hmgen extract on real video: tracks, cuts, rates, what fails, and going on."""

import csv
import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from rich.console import Console

from hmgen_ros.data.ami_raster import CorpusError
from hmgen_ros.data.clip_tracks import SceneCuts
from hmgen_ros.data.corpora import clips_of
from hmgen_ros.data.extract import ExtractConfig, extract, write_flac
from hmgen_ros.data.extract_settings import ExtractError
from hmgen_ros.data.track_files import TrackFlag, read_track_file
from hmgen_ros.data.tracks import segments, tracks_of
from hmgen_ros.perception.mesh_files import ModelFileError
from hmgen_ros.streams.decode import pictures, sounds
from hmgen_ros.types import Counts

QUIET = Console(quiet=True)
DATA = Path(os.environ.get("HMGEN_DATA", Path(__file__).parents[2] / "shared" / "data"))


def film(
    path: Path, frames: list[np.ndarray], rate: int | Fraction = 25, times: list[float] | None = None
) -> None:
    """Write BGR pictures, without sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "veryfast"})
        height, width = frames[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 10_000)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
            frame.time_base = Fraction(1, 10_000)
            frame.pts = round(10_000 * (i / float(rate) if times is None else times[i]))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def people(recording: str) -> list[np.ndarray]:
    """60 pictures of the bundled recording: three people."""
    found = []
    for picture in pictures(Path(recording), Counts()):
        found.append(picture.image)
        if len(found) == 60:
            break
    return found


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_face_of_a_clip_and_what_fails(people: list[np.ndarray], tmp_path: Path) -> None:
    videos, out = tmp_path / "in", tmp_path / "out"
    film(videos / "three.mp4", people)
    (videos / "text.mp4").write_text("no film", encoding="utf-8")
    film(videos / "empty.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 50)
    config = ExtractConfig(videos, out)
    assert extract(config, QUIET) == {"clips": 3, "tracks": 3, "failed": 2}
    reasons = {line["clip"]: line["reason"] for line in lines(out / "failed.csv")}
    assert "text.mp4" in reasons["text"]
    assert "no face" in reasons["empty"]
    found = lines(out / "tracks_manifest.csv")
    assert [line["stem"] for line in found] == ["three_f0", "three_f1", "three_f2"]
    assert len({line["speaker"] for line in found}) == 3
    middles = []
    for line in found:
        track = read_track_file(out / "in_tracks" / f"{line['stem']}.npz")
        assert track.image_size == (people[0].shape[1], people[0].shape[0])
        assert track.mfcc is None
        assert not (out / "in_tracks" / f"{line['stem']}.flac").exists()
        middles.append(float(track.landmarks[track.valid][..., 0].mean()))
    assert max(middles) - min(middles) > 0.3 * people[0].shape[1]
    # What training reads.
    corpus = segments(tracks_of(out))
    assert len(corpus.segments) == 3
    assert "three: 3 tracks" in (out / "extract.log").read_text(encoding="utf-8")


def test_going_on_and_trying_again(people: list[np.ndarray], tmp_path: Path) -> None:
    videos, out = tmp_path / "in", tmp_path / "out"
    film(videos / "a.mp4", people[:45])
    (videos / "b.mp4").write_text("no film", encoding="utf-8")
    config = ExtractConfig(videos, out)
    extract(config, QUIET)
    first = out / "in_tracks" / "a_f0.npz"
    before = first.stat().st_mtime_ns
    film(videos / "b.mp4", people[:45])
    assert extract(config, QUIET)["failed"] == 1
    assert first.stat().st_mtime_ns == before
    assert extract(ExtractConfig(videos, out, retry=True), QUIET) == {"clips": 2, "tracks": 6, "failed": 0}
    # A track that was lost, and a record that was cut off while it was written, are made again.
    first.unlink()
    (out / "records" / "b.json").write_text('{"clip": "b"', encoding="utf-8")
    assert extract(config, QUIET) == {"clips": 2, "tracks": 6, "failed": 0}
    assert first.is_file()


def test_other_settings_are_refused(people: list[np.ndarray], tmp_path: Path) -> None:
    videos, out = tmp_path / "in", tmp_path / "out"
    film(videos / "a.mp4", people)
    config = ExtractConfig(videos, out)
    assert extract(config, QUIET)["tracks"] == 3
    stems = [line["stem"] for line in lines(out / "tracks_manifest.csv")]
    with pytest.raises(ExtractError, match=r"shortest = 42, now 80\); choose another --out, or --force"):
        extract(replace(config, shortest=80), QUIET)
    assert [line["stem"] for line in lines(out / "tracks_manifest.csv")] == stems
    # Where things lie and how many work on them are no settings.
    moved = videos.rename(tmp_path / "elsewhere")
    assert extract(replace(config, videos=moved, workers=2, retry=True), QUIET)["tracks"] == 3
    (out / "in_tracks" / "mine.npz").write_bytes(b"somebody's own")
    other = replace(config, videos=moved, shortest=80, force=True)
    assert extract(other, QUIET) == {"clips": 1, "tracks": 0, "failed": 1}
    assert [path.name for path in (out / "in_tracks").iterdir()] == ["mine.npz"]
    # The same command goes on: what it has done since is kept.
    record = out / "records" / "a.json"
    before = record.stat().st_mtime_ns
    extract(other, QUIET)
    assert record.stat().st_mtime_ns == before


@pytest.mark.parametrize("settings", [None, "{", "[]"])
def test_tracks_of_unknown_settings_are_refused(tmp_path: Path, settings: str | None) -> None:
    """Folders made before settings were kept, and damaged ones."""
    out = tmp_path / "out"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_text("no film", encoding="utf-8")
    config = ExtractConfig(tmp_path / "in", out)
    extract(config, QUIET)
    (out / "extract.json").unlink()
    if settings is not None:
        (out / "extract.json").write_text(settings, encoding="utf-8")
    with pytest.raises(ExtractError, match="unknown"):
        extract(config, QUIET)
    assert extract(replace(config, force=True), QUIET) == {"clips": 1, "tracks": 0, "failed": 1}
    assert extract(config, QUIET)["failed"] == 1


def test_a_run_that_did_no_clip_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_text("no film", encoding="utf-8")
    config = ExtractConfig(tmp_path / "in", tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMGEN_DLIB_LANDMARKS", str(tmp_path / "nowhere.dat"))
        with pytest.raises(ModelFileError):
            extract(replace(config, backend="dlib"), QUIET)
    assert extract(config, QUIET)["failed"] == 1


def test_a_cut_ends_a_track(people: list[np.ndarray], tmp_path: Path) -> None:
    videos, out = tmp_path / "in", tmp_path / "out"
    turned = [np.ascontiguousarray(255 - picture[:, ::-1] // 2) for picture in people[:20]]
    film(videos / "cut.mp4", [*people[:50], *turned, *people[:45]])
    extract(ExtractConfig(videos, out), QUIET)
    counts = json.loads((out / "records" / "cut.json").read_text(encoding="utf-8"))["counts"]
    assert counts["scene_cut"] == 2
    assert {int(line["frames"]) for line in lines(out / "tracks_manifest.csv")} <= set(range(42, 51))


def test_scene_cuts_are_not_motion(people: list[np.ndarray]) -> None:
    cuts = SceneCuts()
    assert not any(cuts(picture) for picture in people)
    assert cuts(np.zeros_like(people[0]))
    flash = SceneCuts()
    moving = [np.roll(people[0], 3 * i, axis=1) for i in range(20)]
    assert not any(flash(picture) for picture in moving)


@pytest.mark.parametrize("rate", [30, 50])
def test_other_rates_are_put_on_the_clock(people: list[np.ndarray], tmp_path: Path, rate: int) -> None:
    """A face that moves steadily is where it should be at each tick, whatever the camera's rate."""
    videos, out = tmp_path / "in", tmp_path / "out"
    speed = 60.0  # pixels a second
    frames = []
    for i in range(2 * rate + 1):
        shift = np.array([[1, 0, speed * i / rate], [0, 1, 0]], np.float32)
        frames.append(cv2.warpAffine(people[0], shift, (people[0].shape[1], people[0].shape[0])))
    film(videos / "moving.mp4", frames, rate)
    extract(ExtractConfig(videos, out), QUIET)
    track = read_track_file(next(iter(sorted((out / "in_tracks").glob("*.npz")))))
    place = track.landmarks[track.valid].mean(axis=1)[:, 0]
    assert len(place) in (50, 51, 52)
    np.testing.assert_allclose(np.diff(place).mean(), speed / 25, rtol=0.05)
    assert track.flags is not None
    interpolated = (track.flags & TrackFlag.INTERPOLATED) > 0
    assert interpolated.any() == (rate == 30)


def test_two_processes_and_shards(people: list[np.ndarray], tmp_path: Path) -> None:
    videos, out = tmp_path / "in", tmp_path / "out"
    for name in "abc":
        film(videos / f"{name}.mp4", people[:45])
    first = extract(ExtractConfig(videos, out, shard="1/2", workers=2), QUIET)
    assert first == {"clips": 2, "tracks": 6, "failed": 0}
    assert extract(ExtractConfig(videos, out, shard="2/2"), QUIET) == {"clips": 3, "tracks": 9, "failed": 0}


@pytest.mark.skipif(not (DATA / "grid_video").is_dir(), reason="no GRID videos here (HMGEN_DATA)")
def test_grid_clips_give_the_tracks_that_are_there(tmp_path: Path) -> None:
    """Another implementation of the same landmarks made those of ../shared/data."""
    videos, out = tmp_path / "in", tmp_path / "out"
    videos.mkdir()
    stems = [path.stem for path in sorted((DATA / "grid_video").glob("s1_*.mpg"))[:2]]
    for stem in stems:
        (videos / f"{stem}.mpg").symlink_to(DATA / "grid_video" / f"{stem}.mpg")
    found = extract(ExtractConfig(videos, out, layout="grid", licence="CC BY 4.0"), QUIET)
    assert found == {"clips": 2, "tracks": 2, "failed": 0}
    for track, line in zip(tracks_of(out), lines(out / "tracks_manifest.csv"), strict=True):
        assert track.speaker == "grid_s1"
        ours = read_track_file(track.path)
        theirs = read_track_file(DATA / "grid_tracks" / f"{line['stem']}.npz")
        assert len(ours.valid) == len(theirs.valid) == 75
        both = ours.valid & theirs.valid
        assert both.sum() >= 70
        apart = np.linalg.norm(ours.landmarks - theirs.landmarks, axis=-1)[both]
        eyes = np.linalg.norm(theirs.landmarks[both][:, 36] - theirs.landmarks[both][:, 45], axis=-1)
        assert float((apart / eyes[:, None]).mean()) < 0.05
        # The sound is that of the file.
        assert track.sound is not None
        samples = np.concatenate([s.samples.reshape(-1) for s in sounds(track.sound, Counts())])
        assert len(samples) == 75 * 640
        assert ours.mfcc is not None
        assert ours.mfcc.shape == (75, 4, 26)
        known = np.concatenate(
            [s.samples.reshape(-1) for s in sounds(DATA / "grid_tracks" / f"{line['stem']}.flac", Counts())]
        )
        length = min(len(known), len(samples))
        assert np.corrcoef(known[:length], samples[:length])[0, 1] > 0.95


def test_flac_is_lossless(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(-32768, 32767, 10_000).astype(np.int16)
    write_flac(tmp_path / "x.flac", whole.astype(np.float32) / 32767.0)
    back = np.concatenate([s.samples.reshape(-1) for s in sounds(tmp_path / "x.flac", Counts())])
    back = back if back.dtype == np.int16 else np.round(back * 32768.0).astype(np.int16)
    assert np.abs(back.astype(int) - np.maximum(whole, -32767).astype(int)).max() <= 1


LAYOUTS: list[tuple[str, str, str, str]] = [
    ("plain", "some/talk one.mp4", "some_talk-one", "in_some_talk-one"),
    ("grid", "s12/video/bbaf2n.mpg", "s12_video_bbaf2n", "grid_s12"),
    ("grid", "s3_bbaf2n.mpg", "s3_bbaf2n", "grid_s3"),
    ("confer", "debate_4/clip_1.avi", "debate_4_clip_1", "confer_debate_4"),
    ("voxceleb2", "id00012/21Uxsk56VDQ/00001.mp4", "id00012_21Uxsk56VDQ_00001", "voxceleb2_id00012"),
    ("hdtf", "RD_Radio1_000.mp4", "RD_Radio1_000", "hdtf_RD_Radio1"),
    (
        "lrs2",
        "main/5535415699068794046/00001.mp4",
        "main_5535415699068794046_00001",
        "lrs2_5535415699068794046",
    ),
]


@pytest.mark.parametrize(("layout", "file", "stem", "speaker"), LAYOUTS)
def test_layouts(tmp_path: Path, layout: Any, file: str, stem: str, speaker: str) -> None:
    path = tmp_path / "in" / file
    path.parent.mkdir(parents=True)
    path.touch()
    (clip,) = clips_of(tmp_path / "in", layout)
    assert (clip.stem, clip.speaker, clip.source) == (stem, speaker, file)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no folder"):
        clips_of(tmp_path / "nowhere", "plain")
    with pytest.raises(CorpusError, match="no video"):
        clips_of(tmp_path, "plain")
    (tmp_path / "a.mp4").touch()
    with pytest.raises(CorpusError, match="voxceleb2"):
        clips_of(tmp_path, "voxceleb2")
    (tmp_path / "a.mpg").touch()
    with pytest.raises(CorpusError, match="rename"):
        clips_of(tmp_path, "plain")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"layout": "lrs3"}, "voxceleb2"),
        ({"backend": "dlib2"}, "mesh"),
        ({"workers": 0}, "workers"),
        ({"faces": 13}, "faces"),
        ({"shard": "3/2"}, "shard"),
        ({"shard": "half"}, "shard"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ExtractConfig(Path(), Path(), **wrong)
