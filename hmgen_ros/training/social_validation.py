"""Measures a generator on held-out samples while it is trained."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric.fabric import Fabric
from numpy.typing import NDArray
from rich.console import Console

from hmgen_ros.data.preparation import Prepared
from hmgen_ros.evaluation.action_metrics import describe
from hmgen_ros.evaluation.inception import (
    InceptionNet,
    Moments,
    complete_sequences,
    frechet_distance,
    moments,
)
from hmgen_ros.generators import weights
from hmgen_ros.generators.action_space import ABSENT
from hmgen_ros.generators.social import SocialGenerator
from hmgen_ros.resources import resource
from hmgen_ros.training import train_inception
from hmgen_ros.training.checkpoint import replacing


@dataclass(frozen=True)
class SocialValidation:
    """One future of each held-out sample against what people did.

    Attributes:
        net: whose activations tell the SFID, over the samples' action space.
        observed: ``[W, t_obs, N]`` int64 symbols.
        target: ``[W, T, N]``, ``ABSENT`` where nothing is to be compared.
        origins: ``[W, 2]`` which sequence, and the first observed tick in it.
        real: moments of the activations of ``target``.
        reference: the data's own metrics; ``SFID`` is the distance of as many training samples.
        seed: of the futures; the same at each evaluation, so that curves move by the model alone.
    """

    net: InceptionNet
    observed: NDArray[np.int64]
    target: NDArray[np.int64]
    origins: NDArray[np.int64]
    real: Moments
    reference: dict[str, float]
    seed: int = 0

    @classmethod
    def of(
        cls, net: InceptionNet, training: Prepared, held_out: Prepared, windows: int, seed: int = 0
    ) -> SocialValidation:
        """Choose samples, evenly from all of them.

        Args:
            net: over the samples' action space.
            training: for the data's own SFID.
            held_out: to choose from.
            windows: how many samples at most.
            seed: of the futures.

        Raises:
            ValueError: fewer than two people are seen from beginning to end in the chosen samples.
        """
        observed, target, origins = _choose(held_out, windows)
        real = moments(net, target)
        typical = moments(net, _choose(training, windows)[1])
        reference = {**describe(target, held_out.space), "SFID": frechet_distance(real, typical)}
        return cls(net, observed, target, origins, real, reference, seed)

    @torch.no_grad()
    def __call__(self, generator: SocialGenerator) -> dict[str, float]:
        """H_M, H_C, IS, SFID, coupling, changes and short dwells of one future of each sample."""
        device = generator.decoder.residual.device
        generator.eval()
        count, ticks, people = self.observed.shape
        # All windows as one sequence; the states at their ends hold just the windows.
        sequence = torch.from_numpy(self.observed.reshape(-1, people)).to(device)
        ends = torch.arange(1, count + 1, device=device) * ticks - 1
        state = generator.history(sequence, ends)
        random = torch.Generator(device=device).manual_seed(self.seed)
        future = generator.rollout(state, self.target.shape[1], 1, random)[0]  # [T, W, N]
        self.net.to(device)
        return self.measure(future.transpose(0, 1).cpu().numpy())

    def measure(self, future: NDArray[np.int64]) -> dict[str, float]:
        """Metrics of ``[W, T, N]`` generated symbols."""
        generated = np.where(self.target == ABSENT, ABSENT, future)
        found = describe(generated, self.net.space)
        return {**found, "SFID": frechet_distance(self.real, moments(self.net, generated))}


def inception_net(
    training: Prepared, iterations: int, folder: Path, fabric: Fabric, console: Console
) -> InceptionNet:
    """The network behind SFID for these samples: the shipped one if it has their action space.

    Otherwise (35 actions, other recordings) one is trained on the samples and kept in ``folder`` for every
    other run there; its distances cannot be compared with those of the shipped one.

    Args:
        training: the samples.
        iterations: of its training.
        folder: of the run folders.
        fabric: the first process trains.
        console: for the progress.

    Raises:
        hmgen_ros.generators.weights.WeightsError: a model file is damaged.
    """
    space, ticks = training.space, training.target.shape[1]
    shipped = f"sfid_t{ticks}"
    if shipped in weights.read_manifest(resource(weights.MANIFEST)):
        net = InceptionNet.load(shipped)
        if net.space == space:
            return net
    settings = train_inception.InceptionTrainConfig(target=ticks, iterations=iterations)
    key = json.dumps([space.to_json(), iterations, len(training.target)])
    path = folder / f"{shipped}-{len(space)}a-{hashlib.sha256(key.encode()).hexdigest()[:8]}.safetensors"
    if fabric.is_global_zero and not path.is_file():
        console.print(f"training the network behind SFID for this action space: {path}", highlight=False)
        rows, _ = complete_sequences(training.target)
        net = train_inception.fit(rows, space, settings, console)
        with replacing(path) as part:
            weights.save(part, *net.to_weights())
    fabric.barrier()
    return InceptionNet.from_weights(weights.read(path)).eval()


def _choose(
    samples: Prepared, windows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Some samples; a person who is not there at the last observed tick is left out of the target."""
    count = len(samples.observed)
    chosen = np.linspace(0, count - 1, min(windows, count)).astype(np.int64)
    observed, target = samples.observed[chosen], samples.target[chosen]
    seen = np.where(observed[:, -1:] == ABSENT, ABSENT, target)
    return observed, seen, samples.origins[chosen]
