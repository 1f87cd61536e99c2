"""Perception as it is fed by a stream of images and sound: the same for the node and for a replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgen_ros.calibration import camera_matrix
from hmgen_ros.generators.weights import WeightsError, verified_file
from hmgen_ros.perception.body import BodyModel
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.perception.pipeline import Perception
from hmgen_ros.streams.audio import AudioNormaliser
from hmgen_ros.streams.clock import TickClock
from hmgen_ros.syncer_embedder import SyncerEmbedder, load_embedder
from hmgen_ros.types import Counts, Frame, Scene

#: The name of the model that finds bodies in models/manifest.yaml.
BODY_MODEL = "movenet_multipose"
#: Sound that is stamped so long before or after the images that come with it has another clock, ns.
_APART_NS = 10_000_000_000


def load_perception(config: PerceptionConfig, lacking: Callable[[str, str], None]) -> Perception:
    """Perception with everything that the settings ask for, warmed up.

    Args:
        config: settings.
        lacking: called with a cause and a text for each part that cannot be had and is done without.

    Raises:
        ValueError, RuntimeError, OSError: what it cannot do without is missing or damaged.
    """
    perception = Perception(config, _embedder(config, lacking), _body_model(config, lacking))
    perception.warm_up()
    return perception


def _embedder(config: PerceptionConfig, lacking: Callable[[str, str], None]) -> SyncerEmbedder | None:
    """What compares faces with the voice; None where its model cannot be had."""
    if not config.active_speaker:
        return None
    try:
        return load_embedder(config.syncer)
    except (WeightsError, OSError) as error:
        lacking("no_syncer", f"lip motion alone tells who speaks: {error}")
        return None


def _body_model(config: PerceptionConfig, lacking: Callable[[str, str], None]) -> BodyModel | None:
    """What finds bodies; None where its model cannot be had."""
    if not config.body.enabled:
        return None
    try:
        return BodyModel(verified_file(BODY_MODEL))
    except (WeightsError, OSError, RuntimeError) as error:
        lacking("no_body_model", f"what hands and feet do is not observed: {error}")
        return None


class PerceptionStream:
    """Puts images onto the 25 Hz clock and sound into one form, and perceives.

    Attributes:
        perception: what perceives.
        noticed: ``audio_apart``: images whose sound has stamps of another time, so that it tells nothing;
            ``camera_info_size``: calibrations of images of another shape, which are not used.
        calibrated: whether head poses are solved with the camera's calibration.
    """

    def __init__(self, perception: Perception, max_future_s: float = 1.0) -> None:
        """Start without history.

        Args:
            perception: not used elsewhere meanwhile.
            max_future_s: stamps that lie further ahead of now are refused.
        """
        self.perception = perception
        self._ticks = TickClock(max_future_s=max_future_s)
        self._sound = AudioNormaliser(max_future_s=max_future_s)
        self.noticed = Counts()
        self.calibrated = False
        self._camera_info: Any = None
        self._size: tuple[int, int] | None = None  # of the last image
        self._heard_ns: int | None = None  # end of what was heard since the last image

    @property
    def max_future_s(self) -> float:
        """Stamps that lie further ahead of now are refused; may be changed at any time."""
        return self._ticks.max_future_s

    @max_future_s.setter
    def max_future_s(self, seconds: float) -> None:
        self._ticks.max_future_s = self._sound.max_future_s = seconds

    @property
    def counts(self) -> tuple[Counts, ...]:
        """What was dropped, repaired or noticed: by the clock, in the sound, by perception, between them."""
        return self._ticks.counts, self._sound.counts, self.perception.counts, self.noticed

    def perceive(self, frame: Frame, now_ns: int | None = None) -> Scene | None:
        """Everyone in view; None where the image fills no tick of the clock (see ``counts``).

        Args:
            frame: the image.
            now_ns: present of the clock that made the stamp, or None (see :meth:`TickClock.accept`).
        """
        tick = self._ticks.accept(frame.stamp_ns, now_ns)
        if tick is None:
            return None
        size = (frame.image.shape[1], frame.image.shape[0])
        if size != self._size and not tick.reset:
            # Places in pictures of another size are other places.
            tick = self._ticks.restart(frame.stamp_ns, "reset_size")
        if size != self._size:
            self._size = size
            self._use_calibration()
        if self._heard_ns is not None and abs(self._heard_ns - frame.stamp_ns) > _APART_NS:
            self.noticed.add("audio_apart")
        self._heard_ns = None
        return self.perception.process(frame, tick.index, tick.missed, tick.reset)

    def calibrate(self, camera_info: Any) -> None:
        """Solve head poses as a ``sensor_msgs/CameraInfo`` says, from the next image on."""
        self._camera_info = camera_info
        self._use_calibration()

    def _use_calibration(self) -> None:
        if self._camera_info is None:
            return
        matrix = camera_matrix(self._camera_info, self._size)
        if matrix is None and camera_matrix(self._camera_info) is not None:
            self.noticed.add("camera_info_size")
        self.calibrated = matrix is not None
        self.perception.use_camera(matrix)

    def hear(
        self,
        stamp_ns: int,
        samples: NDArray[np.generic],
        rate: int,
        channels: int = 1,
        now_ns: int | None = None,
    ) -> None:
        """Take in sound of any form; arguments as of :meth:`AudioNormaliser.accept`.

        Raises:
            hmgen_ros.streams.audio.BadAudio: it cannot be used.
        """
        normalised = self._sound.accept(stamp_ns, samples, rate, channels, now_ns)
        if normalised is not None:
            self._heard_ns = normalised.chunk.end_ns
            self.perception.push_audio(normalised.chunk)
