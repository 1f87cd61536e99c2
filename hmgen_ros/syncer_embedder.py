"""The finest level of a syncer as perception uses it: windows in, unit vectors out, in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from hmgen_ros.generators.syncer import SyncerPyramid
from hmgen_ros.generators.weights import WeightsError, load
from hmgen_ros.types.sound import KINDS, Kind

Floats = NDArray[np.float32]


class SyncerEmbedder:
    """An :class:`~hmgen_ros.perception.active_speaker.Embedder`, unknown to perception and to generators.

    Attributes:
        kind: which audio features it hears.
    """

    def __init__(self, syncer: SyncerPyramid) -> None:
        """Use a pyramid, which is set to evaluation mode.

        Raises:
            ValueError: it hears features that there are none of.
        """
        features = syncer.config.features
        if features not in KINDS:
            raise ValueError(f"the syncer hears {features!r}, not one of {', '.join(KINDS)}")
        self.kind: Kind = features
        self._syncer = syncer.eval()
        self._unit = syncer.unit.numpy()

    def normaliser(self) -> Callable[[Floats], Floats]:
        """The syncer's running normalisation, for a sound that begins."""
        norm = self._syncer.norm
        state = norm.initial_state(1)

        def normal(tick: Floats) -> Floats:
            nonlocal state
            with torch.inference_mode():
                state, found = norm.step(state, torch.from_numpy(tick)[None])
            return np.asarray(found[0].numpy())

        return normal

    @torch.inference_mode()
    def faces(self, windows: Floats) -> Floats:
        """``[N, E]`` of ``[N, 5, 136]`` differences from the mean pose in face sizes."""
        return self._run(self._syncer.faces[0], windows / self._unit)

    @torch.inference_mode()
    def sounds(self, windows: Floats) -> Floats:
        """``[N, E]`` of ``[N, 20, F]`` normalised features."""
        return self._run(self._syncer.sounds[0], windows)

    @staticmethod
    def _run(network: torch.nn.Module, windows: Floats) -> Floats:
        found: torch.Tensor = network(torch.from_numpy(windows)[None])[0]
        return np.asarray(found.numpy())


def load_embedder(name: str) -> SyncerEmbedder:
    """The embedder of a shipped syncer.

    Raises:
        WeightsError: there is none of this name, or it is damaged or of no use.
    """
    try:
        return SyncerEmbedder(SyncerPyramid.from_weights(load(name)))
    except ValueError as error:
        raise WeightsError(f"syncer {name!r}: {error}") from error
