"""hmgen animate: a real face and its sound to a film, any sound, alignment, tracks, rasters, bad files."""

import os
import wave
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray
from rich.console import Console
from scipy.signal import correlate
from synthetic_heads import moving_heads
from test_ms_sync import made

from hmgen_ros import cli
from hmgen_ros.data.sound_files import read_sound
from hmgen_ros.data.track_files import TrackFile, read_track_file, write_track_file
from hmgen_ros.evaluation import animate_inputs
from hmgen_ros.evaluation.animate import AnimateConfig, animate, spoken
from hmgen_ros.evaluation.animate_inputs import Speech, features_and_silence, read_speech, read_start
from hmgen_ros.evaluation.face_film import COLOURS, View, backdrop, draw_face, view_of
from hmgen_ros.evaluation.motion_raster import in_own_frame, raster
from hmgen_ros.evaluation.sync_files import score_file
from hmgen_ros.generators import weights
from hmgen_ros.generators.ms_sync import MsSync
from hmgen_ros.generators.speech_models import DEFAULT_SPEECH_GENERATOR
from hmgen_ros.generators.syncer import SyncerConfig, SyncerPyramid
from hmgen_ros.generators.weights import WeightsError
from hmgen_ros.perception.audio_features import features_of
from hmgen_ros.resources import resource
from hmgen_ros.streams.decode import pictures
from hmgen_ros.types import TICK_HZ, Counts
from hmgen_ros.types.sound import KINDS, Kind

QUIET = Console(quiet=True)
DATA = Path(os.environ.get("HMGEN_DATA", "../shared/data"))
CLIP = DATA / "grid_video" / "s1_bbaf2n.mpg"
needs_data = pytest.mark.skipif(not CLIP.is_file(), reason="needs HMGEN_DATA")

Floats = NDArray[np.float32]


def model_file(path: Path, **changes: Any) -> Path:
    """An untrained generator."""
    weights.save(path, *made(**changes).to_weights())
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_file(tmp_path_factory.mktemp("model") / "small.safetensors")


@pytest.fixture(scope="module")
def face() -> Floats:
    """``[68, 2]`` a head of the kind that the model was fitted to, the right way up."""
    pose = moving_heads(1, 1, seed=9)[0, 0].numpy()
    return pose if pose[8, 1] > pose[17:27, 1].mean() else (600.0 - pose).astype(np.float32)


@pytest.fixture
def face_file(face: Floats, tmp_path: Path) -> Path:
    np.save(tmp_path / "face.npy", face)
    return tmp_path / "face.npy"


def voice(ticks: int, seed: int = 0) -> Floats:
    """``[640 ticks]`` noise that swells and fades four times a second."""
    time = np.arange(640 * ticks) / 16_000
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.1 * noise * (1.0 + np.sin(8.0 * np.pi * time))).astype(np.float32)


def written(path: Path, sound: Floats, rate: int = 16_000, channels: int = 1) -> Path:
    """A WAV file of 16 bits, from sound of 16 kHz."""
    samples = soxr.resample(sound, 16_000, rate) if rate != 16_000 else sound
    whole = np.round(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(whole[:, None].repeat(channels, axis=1).tobytes())
    return path


def film(path: Path) -> tuple[list[NDArray[np.uint8]], dict[str, tuple[str, float]]]:
    """Pictures, and codec and seconds of the streams by their type."""
    with av.open(str(path)) as container:
        streams = {s.type: (s.codec_context.name, float(s.duration * s.time_base)) for s in container.streams}
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)], streams


def lag_of(path: Path, sound: Floats) -> tuple[int, float]:
    """Samples that a film's sound comes late, and its correlation with the given one there."""
    start_ns, heard = read_sound(path, Counts())
    count = min(len(heard), len(sound))
    found = correlate(heard[:count], sound[:count])
    scale = float(np.linalg.norm(heard[:count]) * np.linalg.norm(sound[:count]))
    late = int(np.argmax(found)) - (count - 1) + round(start_ns * 16e-6)
    return late, float(found.max()) / scale


@needs_data
def test_a_real_face_and_its_sound_to_film_track_and_raster(tmp_path: Path) -> None:
    # Untrained, it trembles so that a track of it would be cut.
    model = model_file(tmp_path / "calm.safetensors", temperature=0.1)
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), next(pictures(CLIP, Counts())).image)
    out, track, rasters = tmp_path / "new" / "out.mp4", tmp_path / "out.npz", tmp_path / "raster.mp4"
    motion = animate(AnimateConfig(picture, CLIP, out, str(model), landmarks=track, raster=rasters), QUIET)
    sound = read_sound(CLIP, Counts())[1]
    assert motion.shape == (75, 1, 68, 2)
    assert 0.1 < np.abs(motion[1:] - motion[:-1]).max() < 30.0
    # The face is that of the picture, in time with the sound.
    shown, streams = film(out)
    assert {kind: codec for kind, (codec, _) in streams.items()} == {"video": "h264", "audio": "aac"}
    assert abs(streams["video"][1] - streams["audio"][1]) <= 1 / TICK_HZ
    assert (len(shown), shown[0].shape) == (75, (480, 480, 3))
    assert streams["video"][1] == pytest.approx(75 / TICK_HZ)
    late, alike = lag_of(out, sound)
    assert (late, alike > 0.95) == (0, True)
    # What others read.
    read = read_track_file(track)
    assert read.valid.all()
    assert read.image_size == (360, 288)
    assert np.abs(read.landmarks - motion[:, 0]).max() <= 1 / 32 + 1e-4
    heard = read_sound(track.with_suffix(".flac"), Counts())[1]
    assert np.abs(heard[: len(sound)] - sound).max() < 1e-4
    np.testing.assert_allclose(read.mfcc, features_of(np.pad(sound, (0, 353)), "mfcc"), atol=1e-3)
    torch.manual_seed(0)
    syncer = SyncerPyramid(SyncerConfig(hidden=16, embedding=8)).eval()
    for speech in (CLIP, out, track.with_suffix(".flac")):
        scores = score_file(track, speech, syncer)
        assert (scores["seconds"], scores["warnings"]) == (3.0, [])
    # Every pixel of a raster is kept.
    pixels = raster(in_own_frame(torch.from_numpy(motion[:, 0]))).numpy()
    stored = np.stack(film(rasters)[0])
    np.testing.assert_array_equal(stored[..., ::-1].transpose(0, 3, 1, 2), 255 * pixels)
    assert list(film(rasters)[1]) == ["video"]


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 1), (44_100, 2), (96_000, 6)])
def test_sound_of_any_rate(model: Path, face_file: Path, tmp_path: Path, rate: int, channels: int) -> None:
    sound = voice(30)[: -200 if rate == 44_100 else None]
    if rate == 8_000:  # what a telephone leaves of it
        sound = soxr.resample(soxr.resample(sound, 16_000, 8_000), 8_000, 16_000)
    speech, out = written(tmp_path / "a.wav", sound, rate, channels), tmp_path / "out.mp4"
    motion = animate(AnimateConfig(face_file, speech, out, str(model), size=64), QUIET)
    shown, streams = film(out)
    assert len(shown) == len(motion) == 30
    assert [seconds for _, seconds in streams.values()] == pytest.approx([1.2, 1.2], abs=1 / TICK_HZ)
    late, alike = lag_of(out, sound)
    assert (late, alike > 0.9) == (0, True)


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".m4a"])
def test_compressed_sound(face_file: Path, model: Path, tmp_path: Path, suffix: str) -> None:
    speech, out = tmp_path / f"speech{suffix}", tmp_path / "out.mp4"
    with av.open(str(speech), "w") as container:
        codec = {".mp3": "libmp3lame", ".ogg": "libopus", ".m4a": "aac"}[suffix]
        stream = container.add_stream(codec, rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(voice(40)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        for resampled in av.AudioResampler("fltp", "mono", 16_000, stream.frame_size or 1024).resample(frame):
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    animate(AnimateConfig(face_file, speech, out, str(model), size=64), QUIET)
    late, alike = lag_of(out, read_sound(speech, Counts())[1])
    assert (late, alike > 0.9) == (0, True)


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_long_sound_are_made_in_parts(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animate_inputs, "_BLOCK", 7)
    sound = voice(30)
    whole = features_of(np.pad(sound, (0, 3 * 640)), kind)
    found = features_and_silence(sound, kind, 3)
    torch.testing.assert_close(found, torch.from_numpy(whole), atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("ahead", [0, 3])
@torch.inference_mode()
def test_it_speaks_as_the_generator_does(face: Floats, ahead: int) -> None:
    speaker, speech = made(look_ahead=ahead), Speech(voice(20), [])
    heard = features_and_silence(speech.samples, "logmel", ahead).unsqueeze(1).expand(-1, 2, -1, -1)
    first = torch.from_numpy(face).expand(2, -1, -1)
    state = speaker.listen(speaker.step(speaker.initial_state(2), first)[0], heard[0])
    expected = speaker.rollout_speaking(state, heard[1:], torch.Generator().manual_seed(5))
    found = torch.stack(list(spoken(speaker, face, speech, 2, 5)))
    assert torch.equal(found, torch.cat([first.unsqueeze(0), expected]))


@pytest.mark.parametrize("ahead", [0, 3])
@torch.inference_mode()
def test_motion_follows_its_own_tick_of_the_sound(face: Floats, ahead: int) -> None:
    speaker, quiet = made(look_ahead=ahead), voice(30)
    loud = quiet.copy()
    loud[20 * 640 :] *= 5.0
    one, other = (torch.stack(list(spoken(speaker, face, Speech(s, []), 1, 0))) for s in (quiet, loud))
    first = int(torch.nonzero((one != other).flatten(1).any(1))[0])
    # The features of tick 19 see the first 7.5 ms of tick 20.
    assert first == 19 - ahead


def test_samples_beside_the_still_face(model: Path, face_file: Path, tmp_path: Path) -> None:
    speech, out = written(tmp_path / "a.wav", voice(20)), tmp_path / "out.mp4"
    config = AnimateConfig(
        face_file, speech, out, str(model), samples=2, static=True, size=96, landmarks=tmp_path / "lm.npz"
    )
    motion = animate(config, QUIET)
    assert np.abs(motion[-1, 0] - motion[-1, 1]).max() > 0.1
    shown, _ = film(out)
    still, left, right = np.split(shown[-1].astype(int), 3, axis=1)
    assert shown[0].shape == (96, 288, 3)
    assert np.abs(still - np.split(shown[0], 3, axis=1)[0]).max() < 60
    assert np.abs(left - right).max() > 100
    assert np.ptp(still, axis=2).max() < 60  # white
    for number in (1, 2):
        track = read_track_file(tmp_path / f"lm_{number}.npz")
        assert np.abs(track.landmarks - motion[:, number - 1]).max() <= 1 / 32 + 1e-4
        assert (tmp_path / f"lm_{number}.flac").is_file()
    assert np.array_equal(animate(config, QUIET), motion)


def test_a_track_begins_with_its_first_face(face: Floats, model: Path, tmp_path: Path) -> None:
    points = np.stack([face + shift for shift in (0.0, 1.0, 2.0)])
    valid = np.array([False, True, True])
    write_track_file(tmp_path / "face.npz", TrackFile(points, valid, (640, 480)))
    start = read_start(tmp_path / "face.npz")
    assert np.abs(start.landmarks - points[1]).max() <= 1 / 32
    assert (start.image, start.size) == (None, (640, 480))
    assert "0.04 s" in start.note
    points[0, 5] = np.nan
    np.save(tmp_path / "face.npy", points)
    assert np.array_equal(read_start(tmp_path / "face.npy").landmarks, points[1])
    np.savez(tmp_path / "plain.npz", lm=points)
    assert read_start(tmp_path / "plain.npz").size is None
    np.save(tmp_path / "deep.npy", np.pad(face, ((0, 0), (0, 1))))
    assert np.array_equal(read_start(tmp_path / "deep.npy").landmarks, face)
    speech = written(tmp_path / "a.wav", voice(10))
    config = AnimateConfig(
        tmp_path / "deep.npy", speech, tmp_path / "o.mp4", str(model), size=64, landmarks=tmp_path / "out.npz"
    )
    motion = animate(config, QUIET)
    assert read_track_file(tmp_path / "out.npz").image_size == tuple(np.ceil(motion.max(axis=(0, 1, 2))))


def test_the_largest_of_several_faces_speaks(tmp_path: Path) -> None:
    image = next(pictures(resource("recordings/three_people.mp4"), Counts())).image
    # The one on the left, four times as large in a picture of its own beside the others.
    near = cv2.resize(image[:, : image.shape[1] // 3], None, fx=2.0, fy=2.0)
    whole = np.zeros((near.shape[0], near.shape[1] + image.shape[1], 3), np.uint8)
    whole[: image.shape[0], : image.shape[1]] = image
    whole[:, image.shape[1] :] = near
    cv2.imwrite(str(tmp_path / "crowd.png"), whole)
    start = read_start(tmp_path / "crowd.png")
    assert "the largest of 4 faces" in start.note
    assert start.landmarks[:, 0].min() > image.shape[1]
    assert start.size == (whole.shape[1], whole.shape[0])


@needs_data
def test_the_picture_lies_where_the_face_is_drawn(model: Path, tmp_path: Path) -> None:
    image = next(pictures(CLIP, Counts())).image
    cv2.imwrite(str(tmp_path / "face.png"), image)
    speech, out = written(tmp_path / "a.wav", voice(10)), tmp_path / "out.mp4"
    config = AnimateConfig(tmp_path / "face.png", speech, out, str(model), size=240)
    animate(config, QUIET)
    behind = film(out)[0][0].astype(int)
    animate(AnimateConfig(**{**vars(config), "picture": False}), QUIET)
    alone = film(out)[0][0].astype(int)
    lines = alone.max(axis=2) > 150
    assert 200 < lines.sum() < 8000
    assert behind.max(axis=2)[lines].mean() > 150  # the same lines at the same places
    assert (alone.max(axis=2) < 40).mean() > 0.8
    assert 0.2 * image.mean() < behind[~lines].mean() < 0.7 * image.mean()


def test_views_map_pixels_onto_pixels() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    image[20, 30] = 255
    view = View(24.5, 14.5, 10.0, 100)
    panel = backdrop(image, view)
    x, y = view.places(np.array([[30.0, 20.0]], np.float32))[0]
    rows, columns = np.nonzero(panel[..., 0] > 60)
    assert (columns.mean(), rows.mean()) == pytest.approx((x, y), abs=0.5)
    # Beyond the border there is nothing, and nothing fails.
    assert backdrop(image, View(-500.5, 899.5, 10.0, 50)).max() == 0
    assert backdrop(image + 200, View(-40.5, -30.5, 80.0, 40))[:15].max() == 0


def test_views_hold_all_that_moves(face: Floats) -> None:
    motion = np.stack([face, face + 500.0, face * 3.0])
    for whole in (False, True):
        view = view_of(motion, 200, whole)
        places = view.places(motion)
        assert places.min() > 10
        assert places.max() < 190
    tiny = view_of(face / 1e4, 200, False)
    np.testing.assert_allclose(tiny.places(face / 1e4), view_of(face, 200, False).places(face), atol=0.6)


def test_far_away_landmarks_can_be_drawn(face: Floats) -> None:
    panel = np.zeros((64, 64, 3), np.uint8)
    draw_face(panel, face * 1e9, COLOURS)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.full((68, 2), np.nan), "not finite"),
        (np.ones((68, 2)), "collapsed"),
        (np.full((5, 68, 2), np.nan), "no face in 5 ticks"),
        (np.zeros((5, 60, 2)), "expected one array"),
        (np.array(["a"]), "expected one array"),
        (None, "damaged"),
    ],
)
def test_landmarks_that_are_none(array: NDArray[Any] | None, text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.npy"
    np.save(path, array) if array is not None else path.write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr'")
    with pytest.raises(ValueError, match=text) as caught:
        read_start(path)
    assert "bad.npy" in str(caught.value)


def test_faces_that_stand_on_their_heads(face: Floats, tmp_path: Path) -> None:
    for name, points in (("one.npy", -face), ("many.npy", -face[None])):
        np.save(tmp_path / name, points)
        with pytest.raises(ValueError, match=rf"{name}: .*y must point down"):
            read_start(tmp_path / name)


@pytest.mark.parametrize("name", ["black.png", "text.jpg", "none.jpg", "cut.png", "empty.jpg", "none.npz"])
def test_pictures_without_a_face(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    texts = {"black.png": "no face", "none.jpg": "no such file", "none.npz": "no such file"}
    if name == "black.png":
        cv2.imwrite(str(path), np.zeros((100, 120, 3), np.uint8))
    elif name == "cut.png":
        found = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (50, 50, 3), np.uint8))[1]
        path.write_bytes(found.tobytes()[:60])
    elif not name.startswith("none"):
        path.write_bytes(b"a face" if name == "text.jpg" else b"")
    with pytest.raises(ValueError, match=texts.get(name, "no picture|no face")) as caught:
        read_start(path)
    assert name in str(caught.value)


def test_sounds_that_cannot_be_spoken(tmp_path: Path) -> None:
    noise = 1e-4 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    cases = {
        "silent.wav": (np.zeros(16_000, np.float32), "is silent"),
        "hiss.wav": (noise, "is silent"),
        "short.wav": (voice(3), r"0.12 s of sound are too short.* 0.16 s"),
        "empty.wav": (voice(0), "no sound"),
    }
    for name, (sound, text) in cases.items():
        with pytest.raises(ValueError, match=rf"{name}: .*{text}"):
            read_speech(written(tmp_path / name, sound), 3)
    for name in ("text.wav", "none.wav"):
        if name == "text.wav":
            (tmp_path / name).write_bytes(b"speech")
        with pytest.raises(ValueError, match=name):
            read_speech(tmp_path / name, 3)
    with pytest.raises(ValueError, match="too short"):
        read_speech(written(tmp_path / "one.wav", voice(1)), 0)
    assert read_speech(written(tmp_path / "least.wav", voice(3)[:-639]), 2).ticks == 3


def test_sound_that_begins_later_in_its_file(face_file: Path, model: Path, tmp_path: Path) -> None:
    """As in a recorded broadcast, whose clock does not begin with 0."""
    path = tmp_path / "late.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        for start in range(0, 30 * 640, 1024):
            block = voice(30)[None, start : start + 1024]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, start + 16_000 * 60
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    speech = read_speech(path, 3)
    assert 30 <= speech.ticks <= 33
    assert "its sound begins at 59.9" in speech.notes[0]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"samples": 0}, "samples 1 to 8"),
        ({"samples": 8, "size": 2000}, "16000 pixels wide"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "below 2"),
        ({"size": 8}, "size"),
        ({"model": "nobody"}, DEFAULT_SPEECH_GENERATOR),
        ({"out": Path("a.avi")}, r"a.avi must end in \.mp4"),
        ({"landmarks": Path("a.npy")}, r"a.npy must end in \.npz"),
        ({"raster": Path("a.npz")}, r"a.npz must end in \.mp4"),
        ({"raster": Path("out.mp4")}, "written over"),
        ({"face": Path("out.mp4")}, "written over"),
        ({"speech": Path("x/../lm.flac"), "landmarks": Path("lm.npz")}, "written over"),
        ({"face": Path("lm_2.npz"), "landmarks": Path("lm.npz"), "samples": 2}, "written over"),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any], text: str) -> None:
    names = {"face": Path("a.jpg"), "speech": Path("a.wav"), "out": Path("out.mp4")}
    with pytest.raises(ValueError, match=text):
        AnimateConfig(**{**names, "model": __file__, **wrong})


@pytest.mark.parametrize("name", ["out", "landmarks", "raster"])
def test_files_that_cannot_be_written_are_told_before_the_work(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hmgen_ros.evaluation.animate.read_start", lambda face: pytest.fail("the face was read")
    )
    names = {"out": "a.mp4", "landmarks": "a.npz", "raster": "b.mp4"}
    paths = {each: tmp_path / each / file for each, file in names.items()}
    paths[name].mkdir(parents=True)
    inputs = {"face": tmp_path / "a.png", "speech": tmp_path / "a.wav", "model": str(model)}
    with pytest.raises(ValueError, match=f"cannot write .*{names[name]}: it is a folder"):
        animate(AnimateConfig(**inputs, **paths), QUIET)


def test_models_and_faces_that_cannot_speak(
    face: Floats, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speech, out = written(tmp_path / "a.wav", voice(10)), tmp_path / "out.mp4"
    np.save(tmp_path / "unit.npy", face / 1000.0)
    small = AnimateConfig(tmp_path / "unit.npy", speech, out, str(model), size=64)
    assert animate(small, QUIET).shape == (10, 1, 68, 2)
    with pytest.raises(ValueError, match=r"unit\.npy.*landmarks in pixels"):
        animate(AnimateConfig(**{**vars(small), "landmarks": tmp_path / "lm.npz"}), QUIET)
    deaf = resource("models/noise_driven.safetensors")
    with pytest.raises(WeightsError, match="noise_driven"):
        animate(AnimateConfig(**{**vars(small), "model": str(deaf)}), QUIET)
    monkeypatch.setattr(
        MsSync, "advance", lambda self, state, generator: (state, torch.full((1, 68, 2), torch.nan))
    )
    with pytest.raises(ValueError, match=r"not finite from 0\.04 s on"):
        animate(small, QUIET)


def test_the_command(
    model: Path, face_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speech, out = written(tmp_path / "a.wav", voice(10)), tmp_path / "out.mp4"
    options = ["-o", str(out), "--model", str(model), "--size", "64", "--no-picture", "--static"]
    cli.main(["animate", str(face_file), str(speech), *options])
    shown = capsys.readouterr().out
    assert "0.40 s" in shown
    assert film(out)[0][0].shape == (64, 128, 3)
    with pytest.raises(SystemExit) as end:
        cli.main(["animate", str(tmp_path / "nobody.jpg"), str(speech), *options])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error == f"hmgen: {tmp_path / 'nobody.jpg'}: no such file\n"
