"""The shipped speech-driven generators by name."""

from __future__ import annotations

from hmgen_ros.generators import weights
from hmgen_ros.generators.ms_sync import MsSync

#: What has weights in ``models/``; see docs/results/ms_sync.md.
SPEECH_GENERATORS = (
    "speech_driven",
    "causal",
    "single_scale",
    "single_scale_generator",
    "no_sync_loss",
    "speech_likelihood",
    "ms_sync_short",
    "ms_sync_long",
)
#: The one that fits the sound best and moves most like people.
DEFAULT_SPEECH_GENERATOR = "speech_driven"


def load_speech_generator(name: str, device: str = "cpu") -> MsSync:
    """The shipped generator of this name, in evaluation mode.

    Raises:
        hmgen_ros.generators.weights.WeightsError: no such model, its file is damaged, or it does not hear.
    """
    return MsSync.from_weights(weights.load(name)).to(device)
