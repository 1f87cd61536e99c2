"""Publishes what a microphone hears.

Publishes: ``audio``.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from rclpy.parameter import Parameter

from hmgen_ros.msg import AudioFrame
from hmgen_ros.nodes.base import HmgenNode, SetupError
from hmgen_ros.nodes.conversions import audio_message
from hmgen_ros.nodes.outputs import Output
from hmgen_ros.nodes.process import run_node
from hmgen_ros.nodes.qos import SOUND_OUT
from hmgen_ros.streams.microphone import Microphone, MicrophoneError
from hmgen_ros.types import AudioChunk

_TEXTS = {
    "mic_overflow": "this machine is too slow for the microphone: sound was left out",
    "mic_lost_input": "the sound system lost samples",
    "mic_stall": "the microphone fell silent: is it unplugged? Trying to open it again",
    "mic_retry": "the microphone cannot be opened yet; trying again",
    "mic_reopened": "the microphone is back",
}


class MicrophoneNode(HmgenNode):
    """Wraps :class:`hmgen_ros.streams.microphone.Microphone`.

    A microphone may come later and go at any time: the node stays active, goes on trying, and says in its
    diagnostics why there is no sound.
    """

    def __init__(self, local: bool = False, overrides: list[Parameter[Any]] | None = None) -> None:
        """See HmgenNode."""
        super().__init__("microphone_node", local, overrides)
        self.sound: Output[AudioChunk] = self.add_output(
            Output(self, AudioFrame, "audio", SOUND_OUT, self._audio_message)
        )
        self._microphone: Microphone | None = None
        self._listener: threading.Thread | None = None

    def _audio_message(self, chunk: AudioChunk) -> AudioFrame:
        return audio_message(chunk, self.param("audio_frame_id"))

    def start(self) -> None:
        """Open the device, or begin to wait for it, and listen."""
        super().start()
        device = self.param("device")
        try:
            self._microphone = Microphone(
                int(device) if device.isdigit() else device or None,
                clock_ns=lambda: self.get_clock().now().nanoseconds,
                sample_rate=self.param("sample_rate") or None,
                channels=self.param("channels") or None,
                wait=self.param("wait_for_device"),
            )
        except MicrophoneError as error:
            raise SetupError(f"no microphone: {error}") from error
        info, trouble = self._microphone.info, self._microphone.trouble
        if info is None:
            self.get_logger().warning(f"waiting for a microphone: {trouble}")
        else:
            self.get_logger().info(f"listening to {info.name}")
        self._listener = threading.Thread(
            target=self._listen, args=(self._microphone,), name="microphone", daemon=True
        )
        self._listener.start()

    def stop(self) -> None:
        """Close the device."""
        super().stop()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.join(timeout=5.0)
        if self._microphone is not None:
            self._microphone.close()
        self._microphone = None

    def _listen(self, microphone: Microphone) -> None:
        while self.active:
            chunk = microphone.read()
            self.warn_of_new(microphone.counts, _TEXTS)
            if chunk is not None:
                self.sound.send(chunk)

    def trouble(self) -> str:
        """Why there is no sound."""
        microphone = self._microphone
        return microphone.trouble if microphone is not None else ""

    def details(self) -> dict[str, object]:
        """Which device, and how fast it samples."""
        microphone = self._microphone
        if microphone is None or microphone.info is None:
            return {"device": ""}
        return {"device": microphone.info.name, "sample_rate": microphone.sample_rate}


def main(args: list[str] | None = None) -> None:
    """Entry point of the executable."""
    sys.exit(run_node(MicrophoneNode, args))


if __name__ == "__main__":
    main()
