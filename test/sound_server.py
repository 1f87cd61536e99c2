"""A PulseAudio server of a test's own, with a null sink in the place of a microphone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

INSTALLED = all(shutil.which(program) for program in ("pulseaudio", "pactl", "paplay"))
WHY_NOT = "pulseaudio is not installed (apt-get install pulseaudio pulseaudio-utils)"


class SoundServer:
    """Its processes see the world of ``env``: a home whose sound system is this server alone."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PULSE", "PIPEWIRE", "DBUS"))}
        self.env |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PULSE_RUNTIME_PATH": f"{home}/pulse"}
        self.env |= {"PULSE_STATE_PATH": f"{home}/state", "PULSE_COOKIE": f"{home}/cookie"}
        self._server: subprocess.Popen[bytes] | None = None
        self._sink = ""

    def start(self) -> None:
        """Start the server, without any microphone."""
        command = ["pulseaudio", "--daemonize=no", "--exit-idle-time=-1", "-n", "--use-pid-file=no"]
        self._server = subprocess.Popen(
            [*command, "--load=module-native-protocol-unix"],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 100
        while subprocess.run(["pactl", "info"], env=self.env, capture_output=True).returncode:
            assert time.monotonic() < until, "the sound server does not start"
            time.sleep(0.1)

    def plug_in(self, rate: int, channels: int) -> None:
        """Make a microphone appear."""
        sink = f"sink_name=mic rate={rate} channels={channels} format=s16le"
        self._sink = self._pactl("load-module", "module-null-sink", *sink.split())
        self._pactl("set-default-source", "mic.monitor")

    def unplug(self) -> None:
        """Make it vanish; the server stays."""
        self._pactl("unload-module", self._sink)

    def stop(self) -> None:
        """End the server, as if it had crashed."""
        server, self._server = self._server, None
        if server is not None:
            server.kill()
            server.wait()

    def listeners(self) -> list[int]:
        """Ids of the processes that listen to a microphone."""
        told = self._pactl("list", "source-outputs")
        return [int(number) for number in re.findall(r'application\.process\.id = "(\d+)"', told)]

    def play(
        self, samples: NDArray[np.float64], rate: int, latency_ms: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Play into the microphone.

        Args:
            samples: ``[n, channels]`` in [-1, 1].
            rate: of the samples, Hz.
            latency_ms: how far ahead the server mixes; None leaves that to it, which is up to two seconds.
        """
        path = self.home / "played.wav"
        with wave.open(str(path), "wb") as out:
            out.setnchannels(samples.shape[1])
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes((samples * 32767).astype("<i2").tobytes())
        latency = [] if latency_ms is None else [f"--latency-msec={latency_ms}"]
        return subprocess.Popen(["paplay", "-d", "mic", *latency, str(path)], env=self.env)

    def _pactl(self, *arguments: str) -> str:
        done = subprocess.run(["pactl", *arguments], env=self.env, capture_output=True, text=True, check=True)
        return done.stdout.strip()


@contextmanager
def sound_server() -> Iterator[SoundServer]:
    """A server that is not started yet and is ended at the end; sockets allow only a short path."""
    with tempfile.TemporaryDirectory(prefix="hm") as folder:
        server = SoundServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()
