"""The speech-driven generators: shipped ones by name, or one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hmgen_ros.generators import weights
from hmgen_ros.generators.ms_sync import MsSync

#: What has weights in ``models/`` and under which name there; see docs/results/ms_sync.md.
SPEECH_GENERATORS: Mapping[str, str] = {
    "speech_driven": "speech_driven",
    "causal": "speech_causal",
    "single_scale": "speech_single_scale",
    "likelihood": "speech_likelihood",
    "ms_sync_short": "ms_sync_short",
    "ms_sync_long": "ms_sync_long",
}
#: The one that fits the sound best and moves most like people.
DEFAULT_SPEECH_GENERATOR = "speech_driven"


def load_speech_generator(name: str, device: str = "cpu") -> MsSync:
    """A speech-driven generator, in evaluation mode.

    Args:
        name: one of :data:`SPEECH_GENERATORS`, a name in ``models/manifest.yaml``, or the path of a
            ``.safetensors`` file such as a run's ``best.safetensors``.
        device: torch device.

    Raises:
        hmgen_ros.generators.weights.WeightsError: no such model, its file is damaged, or it does not hear.
        RuntimeError: the device is not there.
    """
    if name.endswith(".safetensors"):
        return MsSync.from_weights(weights.read(Path(name))).to(device)
    return MsSync.from_weights(weights.load(SPEECH_GENERATORS.get(name, name))).to(device)
