"""A small network that tells nods, shakes and tilts from the last turns of a head; plain numpy.

It was fitted on real people's heads with synthetic gestures laid over them
(``benchmarks/head_gesture_training.py``); the weights are ``models/head_gestures.safetensors``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from hmgen_ros.perception.mesh_files import ModelFileError
from hmgen_ros.resources import resource

#: Turns, from one tick to the next, that the network sees, and what it tells of.
TURNS, KINDS = 20, ("nod", "shake", "tilt")
#: Turns enter as ``tanh(turn / SOFT)``, so that a fast glance does not drown everything; radians a tick.
SOFT = float(np.radians(4.0))
#: The layers' tensors: weights ``[out, in]`` and biases ``[out]``.
LAYERS = ("first", "second", "last")
MODEL = "models/head_gestures.safetensors"


class GestureNetwork:
    """Two hidden layers; holds no state, so that all heads share one."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the weights.

        Args:
            path: a ``.safetensors`` file; the shipped one where none is given.

        Raises:
            ModelFileError: it is damaged or holds something else; names the file.
            FileNotFoundError: it is missing.
        """
        path = path or resource(MODEL)
        try:
            found = load_file(path)
            self._layers = [(found[f"{name}.weight"].T, found[f"{name}.bias"]) for name in LAYERS]
        except (SafetensorError, KeyError) as error:
            raise ModelFileError(f"{path} holds no head gesture network ({error}); reinstall it") from error
        if self._layers[0][0].shape[0] != 3 * TURNS or self._layers[-1][0].shape[1] != len(KINDS):
            raise ModelFileError(f"{path} holds a network of other sizes; reinstall the package")

    def __call__(self, turns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of each of ``KINDS`` now.

        Args:
            turns: ``[TURNS, 3]`` changes of yaw, pitch and roll, radians a tick, the newest last.

        Returns:
            ``[3]`` in (0, 1); they do not add up to 1.
        """
        value = np.tanh(turns.ravel() / np.float32(SOFT))
        for weight, bias in self._layers[:-1]:
            value = np.tanh(value @ weight + bias)
        weight, bias = self._layers[-1]
        return np.asarray(1 / (1 + np.exp(-(value @ weight + bias))), np.float32)
