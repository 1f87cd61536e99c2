"""FID, t-FID and FVD of drawn landmarks (thesis 4.4.2), for those who have the networks behind them.

The weights of InceptionV3 and of I3D do not come with this package. Both are loaded as TorchScript files: a
network that takes ``[N, 3, 299, 299]`` pictures, or ``[N, 3, T, 224, 224]`` films, with values from -1 to 1,
and gives ``[N, D]`` features (of InceptionV3 usually those of its last pooling, 2048). Distances of different
files cannot be compared; the SHA-256 of each stands in the results.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hmgen_ros.evaluation.motion_metrics import Floats, frechet
from hmgen_ros.evaluation.motion_raster import exponential_weights, motion_map, raster
from hmgen_ros.generators.weights import WeightsError, sha256

_PICTURE, _AT_ONCE = 299, 16
#: Frames of each window that FID looks at, and lengths of the films of FVD, of the last ticks.
_FRAMES, FILMS = 4, (10, 20, 40)


@dataclass(frozen=True)
class FeatureNetwork:
    """A network that tells pictures or films apart.

    Attributes:
        sha256: of its file.
        net: the network, in evaluation mode.
        device: where it is.
    """

    sha256: str
    net: torch.jit.ScriptModule
    device: torch.device

    @classmethod
    def load(cls, path: Path, expected: str | None = None, device: str = "cpu") -> FeatureNetwork:
        """Load a TorchScript file.

        Args:
            path: the file.
            expected: its SHA-256, where one is known.
            device: torch device.

        Raises:
            WeightsError: the file is missing, has another sum, or is no TorchScript.
        """
        if not path.is_file():
            raise WeightsError(f"no network at {path}; give a TorchScript file")
        found = sha256(path)
        if expected is not None and found != expected.lower():
            raise WeightsError(f"{path} has SHA-256 {found}, expected {expected}; it is another file")
        try:
            net = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise WeightsError(f"{path} is no TorchScript file ({reason}); save it by torch.jit") from error
        return cls(found, net, torch.device(device))

    @torch.inference_mode()
    def features(self, batch: Tensor) -> Floats:
        """``[N, D]`` features of ``[N, ...]`` pictures or films.

        Raises:
            WeightsError: the network does not give ``[N, D]``.
        """
        try:
            found = self.net(batch.to(self.device))
        except (RuntimeError, torch.jit.Error) as error:
            shape = list(batch.shape)
            raise WeightsError(f"the network cannot read {shape}: {str(error).splitlines()[-1]}") from error
        if not isinstance(found, Tensor) or len(found) != len(batch):
            raise WeightsError(f"the network must give one row of features for each of {len(batch)} inputs")
        return np.asarray(found.flatten(1).double().cpu().numpy())


@dataclass(frozen=True)
class ImageDistances:
    """FID and t-FID where there is a network of pictures, FVD where there is one of films.

    Attributes:
        pictures: InceptionV3 or its like.
        films: I3D or its like.
    """

    pictures: FeatureNetwork | None = None
    films: FeatureNetwork | None = None

    def compare(self, real: Tensor, generated: Tensor, horizon: int) -> dict[str, float]:
        """``FID``, ``tFID`` and ``FVD`` (by length) of ``[W, T, 68, 2]`` windows in head frames.

        The names end with the horizon: ``FID_40``, ``tFID_40``, ``FVD_10_at_40``.
        """
        scores: dict[str, float] = {}
        if self.pictures is not None:
            frames = (self._frames(windows) for windows in (real, generated))
            scores[f"FID_{horizon}"] = frechet(*frames)
            maps = (self._maps(windows) for windows in (real, generated))
            scores[f"tFID_{horizon}"] = frechet(*maps)
        if self.films is not None:
            for length in FILMS:
                films = (self._films(windows[:, -length:]) for windows in (real, generated))
                scores[f"FVD_{length}_at_{horizon}"] = frechet(*films)
        return scores

    def checksums(self) -> dict[str, str]:
        """SHA-256 of the networks, by what they look at."""
        found = {"pictures": self.pictures, "films": self.films}
        return {name: net.sha256 for name, net in found.items() if net is not None}

    def _frames(self, windows: Tensor) -> Floats:
        ticks = torch.linspace(0, windows.shape[1] - 1, _FRAMES).round().long()
        poses = windows[:, ticks].flatten(0, 1)
        return self._pictures([raster(part).float() for part in poses.split(_AT_ONCE)])

    def _maps(self, windows: Tensor) -> Floats:
        weights = exponential_weights(windows.shape[1])
        return self._pictures([motion_map(part, weights) for part in windows.split(_AT_ONCE)])

    def _pictures(self, parts: list[Tensor]) -> Floats:
        assert self.pictures is not None
        size = (_PICTURE, _PICTURE)
        scaled = (functional.interpolate(part, size, mode="bilinear", antialias=True) for part in parts)
        return np.concatenate([self.pictures.features(2.0 * part - 1.0) for part in scaled])

    def _films(self, windows: Tensor) -> Floats:
        assert self.films is not None
        parts = (raster(part).float().transpose(1, 2) for part in windows.split(_AT_ONCE))
        return np.concatenate([self.films.features(2.0 * part - 1.0) for part in parts])
