"""Cameras and microphones: real capture, loss and return, and one line where there is none."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ros_processes import open_files

from hmgen_ros.streams.arrival import BlockTimeline
from hmgen_ros.streams.camera import CameraInfo, CameraSource, list_cameras
from hmgen_ros.streams.media import MediaError, open_media
from hmgen_ros.streams.microphone import MicrophoneError, MicrophoneInfo, _choose, _formats

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def clip(tmp_path):
    """A file of six frames: for OpenCV a camera that vanishes after them."""
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height = 64, 48
        for i in range(6):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * i, np.uint8), format="bgr24")
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


@pytest.mark.parametrize("spec", ["77", "webcam:77", "/dev/video77", "webcam:/dev/video77"])
def test_no_camera_is_one_line_that_names_it(spec):
    with pytest.raises(MediaError) as caught:
        open_media(spec)
    assert "/dev/video77" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_camera_that_vanishes_is_reopened_and_counted(clip):
    ticks = iter(range(1, 10_000))
    with CameraSource(
        str(clip), clock_ns=lambda: next(ticks), frame_id="eye", backend=cv2.CAP_FFMPEG
    ) as camera:
        assert (camera.live, camera.has_audio, camera.size) == (True, False, (64, 48))
        frames = []
        deadline = time.monotonic() + 60
        while camera.counts["camera_lost"] < 2 and time.monotonic() < deadline:
            frames.append(next(camera))
        assert camera.counts["camera_lost"] >= 2
    assert len(frames) + camera.counts["camera_dropped"] > 6
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps == sorted(set(stamps))
    assert {frame.frame_id for frame in frames} == {"eye"}
    assert frames[0].image.shape == (48, 64, 3)


def test_a_slow_reader_gets_the_newest_frames(clip):
    ticks = iter(range(1, 10_000))
    with CameraSource(str(clip), clock_ns=lambda: next(ticks), backend=cv2.CAP_FFMPEG) as camera:
        deadline = time.monotonic() + 60
        while camera.counts["camera_dropped"] < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [next(camera).stamp_ns, next(camera).stamp_ns] == [5, 6]
        assert camera.counts["camera_dropped"] == 4


def test_closing_does_not_wait_for_a_lost_camera(clip, monkeypatch):
    monkeypatch.setattr("hmgen_ros.streams.camera._FIRST_WAIT_S", 300.0)
    camera = CameraSource(str(clip), backend=cv2.CAP_FFMPEG)
    while not camera.counts["camera_lost"]:
        time.sleep(0.02)
    camera.close()
    camera._prefetch._thread.join(100)
    assert not camera._prefetch._thread.is_alive()
    with pytest.raises(StopIteration):
        next(camera)


def test_a_closed_camera_is_free_for_others(clip):
    camera = CameraSource(str(clip), backend=cv2.CAP_FFMPEG)
    deadline = time.monotonic() + 60
    while not (held := clip in open_files(os.getpid())) and time.monotonic() < deadline:
        next(camera)
    assert held
    camera.close()
    camera._prefetch._thread.join(100)
    assert clip not in open_files(os.getpid())


def test_a_camera_that_comes_late_is_waited_for(clip, tmp_path):
    ticks = iter(range(1, 10_000))
    late = tmp_path / "late.avi"
    with CameraSource(str(late), clock_ns=lambda: next(ticks), backend=cv2.CAP_FFMPEG, wait=True) as camera:
        while not camera.counts["camera_retry"]:
            time.sleep(0.02)
        assert (camera.size, camera.fps) == (None, None)
        assert "late.avi" in camera.trouble
        clip.rename(late)
        assert next(camera).image.shape == (48, 64, 3)
        assert (camera.size, camera.fps) == ((64, 48), 25)
        assert camera.counts["camera_reopened"] == 1


def test_cameras_are_listed_with_what_is_wrong_with_them(clip, tmp_path):
    """A film stands in for a camera that can be opened, an empty file for one that cannot."""
    devices, names = tmp_path / "dev", tmp_path / "names"
    (names / "video2").mkdir(parents=True)
    (names / "video2" / "name").write_text("Integrated Camera: Front\n")
    assert list_cameras(devices, names) == []
    devices.mkdir()
    for odd in ("video10", "video", "video-x", "vbi0"):
        (devices / odd).touch()
    clip.rename(devices / "video2")
    first, second = list_cameras(devices, names, cv2.CAP_FFMPEG)
    assert first == CameraInfo(str(devices / "video2"), "Integrated Camera: Front", (64, 48), 25.0)
    assert (second.path, second.name, second.size) == (str(devices / "video10"), "video10", None)
    assert "no pictures" in second.problem


MICS = [
    MicrophoneInfo(0, "HDA Intel", 2, 48000, False),
    MicrophoneInfo(3, "USB Mic", 1, 44100, True),
    MicrophoneInfo(5, "USB Mic Array", 6, 16000, False),
]


@pytest.mark.parametrize(
    ("wanted", "index"), [(None, 3), (5, 5), ("0", 0), ("usb mic", 3), ("array", 5), ("intel", 0)]
)
def test_a_microphone_is_chosen_by_index_or_name(wanted, index):
    assert _choose(MICS, wanted).index == index


@pytest.mark.parametrize(("devices", "hint"), [([], "plug one in"), (MICS, "choose one of: 0 'HDA Intel'")])
def test_no_such_microphone_says_what_to_choose(devices, hint):
    with pytest.raises(MicrophoneError, match=hint):
        _choose(devices, "bluetooth")


def test_formats_are_tried_from_the_best_to_the_device_s_own():
    assert _formats(MICS[0]) == [(16000, 1), (48000, 1), (48000, 2)]
    assert _formats(MICS[2]) == [(16000, 1), (16000, 2)]
    assert _formats(MICS[0], 44100, 2) == [(44100, 2)]
    assert _formats(MICS[0], 44100) == [(44100, 1), (44100, 2)]
    assert _formats(MICS[0], channels=2) == [(16000, 2), (48000, 2)]


MS = 1_000_000
BLOCK = 40 * MS
T0 = 1_700_000_000_000_000_000


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), jitter_ms=st.floats(0, 60), skew=st.floats(-3e-4, 3e-4))
def test_stamps_of_blocks_stay_smooth_and_true_under_jitter(seed, jitter_ms, skew):
    timeline = BlockTimeline()
    late = np.random.default_rng(seed).exponential(jitter_ms / 4, 500).clip(0, jitter_ms) * MS
    begins = T0 + (np.arange(500) * BLOCK * (1 + skew)).astype(np.int64)
    stamps = [timeline.stamp(int(b) + BLOCK + int(d), 0, BLOCK) for b, d in zip(begins, late, strict=True)]
    error = np.array(stamps) - begins
    assert error.min() >= 0
    assert error[50:].max() <= 12 * MS + jitter_ms / 10 * MS
    assert np.diff(stamps).min() >= BLOCK * 3 // 4 - MS
    assert np.diff(stamps).max() <= BLOCK + BLOCK // 200


def test_a_true_age_is_used_and_an_absurd_one_bounded():
    timeline = BlockTimeline()
    assert timeline.stamp(T0, 60 * MS, BLOCK) == T0 - 60 * MS
    assert BlockTimeline().stamp(T0, 633 * MS, BLOCK) == T0 - 100 * MS
    assert BlockTimeline().stamp(T0, -5, BLOCK) == T0 - BLOCK
    assert timeline.stamp(T0 + 500 * MS, 60 * MS, BLOCK) == T0 + 440 * MS
    assert timeline.stamp(T0 + 640 * MS, 60 * MS, BLOCK, lost=True) == T0 + 580 * MS


@pytest.fixture
def sound_home():
    """A private home for a sound server, with a short path: sockets allow about 100 characters."""
    with tempfile.TemporaryDirectory(prefix="hm") as folder:
        home = Path(folder)
        (home / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PULSE", "PIPEWIRE", "DBUS"))}
        env |= {
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "PULSE_RUNTIME_PATH": f"{folder}/pulse",
            "PULSE_STATE_PATH": f"{folder}/state",
            "PULSE_COOKIE": f"{folder}/cookie",
            "PYTHONPATH": str(ROOT),
        }
        yield env


def in_subprocess(code, env, *arguments):
    """What a script prints as JSON in its last line; PortAudio reads its environment only at the start."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


NO_SOUND_SERVER = """
import json
from hmgen_ros.streams.microphone import Microphone, MicrophoneError
try:
    Microphone("default").close()
    print(json.dumps("opened"))
except MicrophoneError as error:
    print(json.dumps(str(error)))
"""


def test_without_a_sound_server_one_line_says_what_to_do(sound_home):
    message = in_subprocess(NO_SOUND_SERVER, sound_home)
    if message == "opened":
        pytest.skip("this machine has a sound card of its own")
    assert "\n" not in message
    assert any(hint in message for hint in ("install", "start a sound server", "choose"))


NO_PORTAUDIO = """
import ctypes.util, json
ctypes.util.find_library = lambda name: None
from hmgen_ros.streams.microphone import Microphone, MicrophoneError, list_devices
said = []
for attempt in (Microphone, list_devices):
    try:
        attempt()
    except MicrophoneError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_without_portaudio_one_line_says_what_to_install(sound_home):
    said = in_subprocess(NO_PORTAUDIO, sound_home)
    assert len(said) == 2
    assert all("apt-get install libportaudio2" in line and "\n" not in line for line in said)


LISTEN = """
import json, os, subprocess, sys, time, wave
import numpy as np
from hmgen_ros.streams.microphone import Microphone, list_devices

home = os.environ["HOME"]

def start_server():
    server = subprocess.Popen(
        ["pulseaudio", "--daemonize=no", "--exit-idle-time=-1", "-n", "--use-pid-file=no",
         "--load=module-native-protocol-unix",
         "--load=module-null-sink sink_name=mic rate=16000 channels=1 format=s16le"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    for _ in range(1000):
        ready = subprocess.run(["pactl", "set-default-source", "mic.monitor"], capture_output=True)
        if ready.returncode == 0:
            return server
        time.sleep(0.1)
    sys.exit("the sound server does not start")

def listen(mic, seconds, enough=lambda heard: False):
    heard, end = [], time.monotonic() + seconds
    while time.monotonic() < end and not enough(heard):
        chunk = mic.read()
        if chunk is not None:
            heard.append((chunk, time.time_ns() - chunk.end_ns))
    return heard

def loud(heard):
    return bool(heard) and np.abs(heard[-1][0].samples).max() > 0.1

with wave.open(home + "/tone.wav", "wb") as out:
    out.setnchannels(1), out.setsampwidth(2), out.setframerate(16000)
    t = np.arange(16000 * 2) / 16000
    out.writeframes((12000 * np.sin(2 * np.pi * 1000 * t)).astype("<i2").tobytes())

server = start_server()
try:
    result = {"devices": [device.name for device in list_devices()]}
    with Microphone("default") as mic:
        while mic.read() is None:
            pass
        player = subprocess.Popen(["paplay", "-d", "mic", home + "/tone.wav"])
        listen(mic, 100.0, loud)
        heard = listen(mic, 1.6)
        player.wait()
        samples = np.concatenate([chunk.samples for chunk, _ in heard])
        spectrum = np.abs(np.fft.rfft(samples[-16000:]))
        stamps = [chunk.stamp_ns for chunk, _ in heard]
        result |= {
            "rate": mic.sample_rate,
            "blocks": len(heard),
            "lengths": sorted({len(chunk.samples) for chunk, _ in heard}),
            "kinds": sorted({str(chunk.samples.dtype) for chunk, _ in heard}),
            "peak_hz": int(spectrum.argmax() * 16000 / len(samples[-16000:])),
            "level": float(np.abs(samples).max()),
            "spacing_ms": float(np.median(np.diff(stamps))) / 1e6,
            "age_ms": float(np.percentile([age for _, age in heard], 10)) / 1e6,
            "rising": bool((np.diff(stamps) > 0).all()),
        }
        server.kill()
        server.wait()
        listen(mic, 100.0, lambda heard: mic.counts["mic_stall"])
        result["lost"] = dict(mic.counts.values)
        server = start_server()
        back = listen(mic, 100.0, lambda heard: len(heard) >= 10)
        result |= {"back": len(back), "counts": dict(mic.counts.values)}
        time.sleep(2.5)
        listen(mic, 0.1)
        result["overflow"] = mic.counts["mic_overflow"]
finally:
    server.kill()
    server.wait()
print(json.dumps(result))
"""


@pytest.mark.skipif(shutil.which("pulseaudio") is None, reason="pulseaudio is not installed")
def test_a_microphone_is_heard_lost_and_heard_again(sound_home):
    got = in_subprocess(LISTEN, sound_home)
    assert "default" in got["devices"]
    assert (got["rate"], got["lengths"], got["kinds"]) == (16000, [640], ["float32"])
    assert got["blocks"] >= 25
    assert got["peak_hz"] == pytest.approx(1000, abs=5)
    assert 0.2 < got["level"] < 0.6
    assert got["spacing_ms"] == pytest.approx(40, abs=2)
    assert got["rising"]
    assert 0 <= got["age_ms"] < 100
    assert got["lost"]["mic_stall"] == 1
    assert got["back"] >= 10
    assert got["counts"]["mic_reopened"] >= 1
    assert got["overflow"] > 0
