"""Nodes whose camera or microphone comes later, goes, and comes back; real processes, a real sound server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_processes import PATIENCE_S, Listener, listener, node_process
from sound_server import INSTALLED, WHY_NOT, SoundServer, sound_server

from hmgen_ros.msg import AudioFrame
from hmgen_ros.nodes.conversions import audio_samples

ROOT = Path(__file__).resolve().parents[1]
needs_pulseaudio = pytest.mark.skipif(not INSTALLED, reason=WHY_NOT)


def newest(ear: Listener, node: str) -> DiagnosticStatus:
    """The last diagnosis of a node; an empty one before the first."""
    found = [s for array in ear.received["/diagnostics"] for s in array.status if s.name.endswith(node)]
    return found[-1] if found else DiagnosticStatus()


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {value.key: value.value for value in status.values}


def strongest_hz(message_run: list[AudioFrame]) -> float:
    sound = np.concatenate([audio_samples(message) for message in message_run]).astype(np.float64)
    return float(np.abs(np.fft.rfft(sound)).argmax() * message_run[0].sample_rate / len(sound))


@needs_pulseaudio
def test_a_microphone_that_comes_late_goes_and_comes_back() -> None:
    arguments = ("-p", "diagnostics_period_s:=0.2")
    with (
        sound_server() as server,
        listener() as ear,
        node_process("microphone_node", *arguments, env=server.env) as process,
    ):
        ear.listen(AudioFrame, "audio")
        ear.listen(DiagnosticArray, "/diagnostics")

        def warned() -> bool:
            status = newest(ear, "microphone_node")
            return status.level == DiagnosticStatus.WARN and "microphone" in status.message

        assert ear.spin_until(lambda: "count/mic_retry" in values(newest(ear, "microphone_node")))
        assert warned()
        server.start()
        server.plug_in(16_000, 1)
        hears(ear, server)
        assert ear.spin_until(lambda: newest(ear, "microphone_node").level == DiagnosticStatus.OK)
        server.unplug()
        assert ear.spin_until(lambda: "count/mic_stall" in values(newest(ear, "microphone_node")))
        assert warned()
        server.plug_in(48_000, 2)
        hears(ear, server)
        assert int(values(newest(ear, "microphone_node"))["count/mic_reopened"]) >= 2
        assert process.poll() is None


def hears(ear: Listener, server: SoundServer) -> None:
    """Sound comes; what is played into the microphone is in it."""
    before = len(ear.received["audio"])
    assert ear.spin_until(lambda: len(ear.received["audio"]) > before)
    tone = 0.4 * np.sin(2 * np.pi * 1000 * np.arange(2 * 16_000) / 16_000)
    player = server.play(tone[:, None], 16_000)
    start = len(ear.received["audio"])
    assert ear.spin_until(lambda: len(ear.received["audio"]) >= start + 40)
    assert ear.spin_until(lambda: player.poll() is not None)
    assert strongest_hz(ear.received["audio"][start:]) == pytest.approx(1000, abs=15)


RESAMPLE = """
import json, sys, time
import numpy as np
from hmgen_ros.streams.audio import AudioNormaliser
from hmgen_ros.streams.microphone import Microphone

rate, channels = int(sys.argv[1]), int(sys.argv[2])
normaliser, heard, raw = AudioNormaliser(), np.zeros(0), []

def levels(sound):
    # Strength of each tone in a second of sound.
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) / len(sound)
    hz = np.fft.rfftfreq(len(sound), 1 / 16000)
    return {str(f): float(spectrum[np.abs(hz - f) < 20].max()) for f in (1000, 3000, 4000, 6000)}

def weaker(level):
    return min(level["1000"], level["3000"])

with Microphone("default", sample_rate=rate, channels=channels) as mic:
    while mic.read() is None:
        pass
    print("listening", flush=True)
    # The first second without a gap: on a busy machine some blocks may come too late to be played.
    best, end = levels(np.zeros(16000)), time.monotonic() + 100
    while time.monotonic() < end and weaker(best) < 0.0475:
        chunk = mic.read()
        if chunk is None:
            continue
        raw.append(len(chunk.samples))
        found = normaliser.accept(chunk.stamp_ns, chunk.samples, chunk.sample_rate, 1, time.time_ns())
        if found is not None:
            heard = np.concatenate([heard, found.chunk.samples])[-16000:]
            best = max(best, levels(heard), key=weaker)
print(json.dumps({"lengths": sorted(set(raw)), "rate": mic.sample_rate, "level": best,
                  "counts": dict(normaliser.counts.values)}))
"""


@needs_pulseaudio
@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (44_100, 2)])
def test_stereo_at_the_rate_of_the_device_becomes_mono_at_16_khz(rate: int, channels: int) -> None:
    """1 kHz on the left, 3 kHz on the right; 12 kHz on both must vanish instead of turning up at 4 kHz."""
    t = np.arange(30 * rate) / rate
    high = 0.3 * np.sin(2 * np.pi * 12_000 * t)
    tones = np.stack([0.4 * np.sin(2 * np.pi * f * t) + high for f in (1000, 3000)], 1)
    with sound_server() as server:
        server.start()
        server.plug_in(rate, channels)
        command = [sys.executable, "-c", RESAMPLE, str(rate), str(channels)]
        env = {**server.env, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as ears:
            assert ears.stdout is not None
            assert ears.stdout.readline() == "listening\n"
            player = server.play(tones, rate)
            got = json.loads(ears.stdout.readline())
            player.kill()
            player.wait()
    assert (got["rate"], got["lengths"]) == (rate, [rate // 25])
    level = got["level"]
    assert level["1000"] == pytest.approx(level["3000"], rel=0.1)
    assert level["1000"] == pytest.approx(
        0.4 / 2 / 4, rel=0.15
    )  # half of it in the mix, a quarter by the window
    assert max(level["4000"], level["6000"]) < 0.01 * level["1000"]


@needs_pulseaudio
def test_devices_are_listed_or_one_line_says_that_there_is_none() -> None:
    with sound_server() as server:
        env = {**server.env, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
        command = [sys.executable, "-m", "hmgen_ros.cli", "devices"]
        before = subprocess.run(command, env=env, capture_output=True, text=True)
        server.start()
        server.plug_in(48_000, 2)
        after = subprocess.run(command, env=env, capture_output=True, text=True)
    if not (before.returncode == 0 or list(Path("/dev").glob("video*"))):
        assert (before.returncode, before.stdout) == (2, "")
        assert before.stderr.count("\n") == 1
        assert "no camera" in before.stderr
        assert "no microphone" in before.stderr
    assert after.returncode == 0
    assert "--microphone" in after.stdout
    assert "default" in after.stdout


def test_a_camera_that_is_not_there_is_waited_for_and_told_of() -> None:
    arguments = ("-p", "diagnostics_period_s:=0.2", "-p", "source:=webcam:77")
    with listener() as ear, node_process("media_node", *arguments) as process:
        ear.listen(DiagnosticArray, "/diagnostics")

        def retried() -> bool:
            return int(values(newest(ear, "media_node")).get("count/camera_retry", 0)) >= 2

        assert ear.spin_until(retried)
        status = newest(ear, "media_node")
        assert status.level == DiagnosticStatus.WARN
        assert "/dev/video77" in status.message
        assert process.poll() is None


@pytest.mark.parametrize(
    ("node", "setting", "said"),
    [
        ("media_node", "source:=webcam:77", "/dev/video77"),
        ("microphone_node", "device:=no such", "no microphone"),
    ],
)
def test_a_node_that_shall_not_wait_says_so_and_ends(node: str, setting: str, said: str) -> None:
    with node_process(node, "-p", setting, "-p", "wait_for_device:=false") as process:
        assert process.wait(PATIENCE_S) == 2
        assert process.stderr is not None
        assert said in process.stderr.read()
