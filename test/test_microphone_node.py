"""The microphone node with a real sound server: its lifecycle, its first sound, its death and its return."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
from message_times import STRETCH, hear_predictions, keep_up, misses_no_tick, perceived_without_a_gap, stamps
from ros_processes import (
    ACTIVATE,
    ACTIVE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    SHUTDOWN,
    UNCONFIGURED,
    Lifecycle,
    Listener,
    ends_well,
    kill,
    listener,
    node_process,
)
from sound_server import INSTALLED, WHY_NOT, SoundServer, sound_server

from hmgen_ros.message_reading import stamp_ns
from hmgen_ros.msg import AudioFrame

pytestmark = pytest.mark.skipif(not INSTALLED, reason=WHY_NOT)


@contextmanager
def microphone() -> Iterator[SoundServer]:
    """A sound server with a microphone, into which a tone is played all the time.

    Like a real microphone, and unlike a silent one of this kind, it then delivers in small pieces from the
    beginning.
    """
    with sound_server() as server:
        server.start()
        server.plug_in(16_000, 1)
        tone = 0.4 * np.sin(2 * np.pi * 1000 * np.arange(600 * 16_000) / 16_000)
        player = server.play(tone[:, None], 16_000, latency_ms=20)
        try:
            yield server
        finally:
            player.kill()
            player.wait()


def heard(ear: Listener) -> list[AudioFrame]:
    return ear.received["audio"]


def test_the_device_is_held_while_the_node_is_active_and_only_then() -> None:
    with (
        microphone() as server,
        listener() as ear,
        node_process("microphone_node", "-p", "autostart:=false", env=server.env) as process,
    ):
        ear.listen(AudioFrame, "audio")
        node = Lifecycle(ear, "microphone_node")
        ear.meet("microphone_node", state=UNCONFIGURED)

        def hears_nothing() -> bool:
            """Whether the device is free, and no sound comes any more."""
            if not ear.spin_until(lambda: server.listeners() == []):
                return False
            before = len(heard(ear))
            ear.spin_for(0.5)
            return len(heard(ear)) == before

        assert not any(node.change(wrong) for wrong in (ACTIVATE, DEACTIVATE, CLEANUP))
        for _ in range(2):
            node.goes(CONFIGURE)
            for _ in range(2):
                assert hears_nothing()
                before, asked = len(heard(ear)), ear.now_ns()
                node.goes(ACTIVATE)
                assert ear.spin_until(lambda: server.listeners() == [process.pid])
                assert ear.spin_until(lambda n=before: len(heard(ear)) > n)
                # Nothing of what was said while the node did not listen.
                assert stamp_ns(heard(ear)[before].header.stamp) >= asked
                node.goes(DEACTIVATE)
            assert hears_nothing()
            node.goes(CLEANUP)
        node.goes(CONFIGURE, ACTIVATE)
        assert ear.spin_until(lambda: server.listeners() == [process.pid])
        node.goes(SHUTDOWN[ACTIVE])
        assert hears_nothing()
        assert ends_well(process, signal.SIGTERM)


def test_the_first_sound_is_of_the_tick_after_activation() -> None:
    with (
        microphone() as server,
        listener() as ear,
        node_process("microphone_node", "-p", "autostart:=false", env=server.env),
    ):
        ear.listen(AudioFrame, "audio")
        node = Lifecycle(ear, "microphone_node")
        ear.meet("microphone_node", state=UNCONFIGURED)
        node.goes(CONFIGURE)
        node.tells_at_once("audio")


def test_it_is_killed_and_comes_back_while_the_others_go_on(recording: str) -> None:
    with microphone() as server, listener() as ear, ExitStack() as nodes:

        def begin() -> subprocess.Popen[str]:
            return nodes.enter_context(node_process("microphone_node", env=server.env))

        hear_predictions(ear)
        ear.listen(AudioFrame, "audio")
        process = begin()
        others = [nodes.enter_context(node_process(n)) for n in ("perception_node", "interaction_node")]
        film = (
            "-p",
            f"source:={recording}",
            "-p",
            "pace:=consumed",
            "-p",
            "loop:=true",
            "-p",
            "sound:=false",
        )
        others.append(nodes.enter_context(node_process("media_node", *film)))
        assert ear.spin_until(lambda: heard(ear) and ear.received["predicted_interaction"])
        assert keep_up(ear, "predicted_interaction")
        dies = len(ear.received["people"])
        kill(process)
        assert ear.spin_until(lambda: server.listeners() == [])
        ear.spin_for(1.0)  # what was on its way
        before, seen = len(heard(ear)), len(ear.received["people"])
        assert ear.spin_until(lambda: len(ear.received["people"]) >= seen + STRETCH)
        assert perceived_without_a_gap(ear.received["people"][seen : seen + STRETCH])
        assert misses_no_tick(ear, "predicted_interaction", ear.received["people"][dies : seen + STRETCH])
        assert len(heard(ear)) == before
        again = begin()
        assert ear.spin_until(lambda: len(heard(ear)) >= before + STRETCH)
        assert server.listeners() == [again.pid]
        assert stamps(heard(ear)[before:]).min() > stamps(heard(ear)[:before]).max()
        assert all(other.poll() is None for other in others)
