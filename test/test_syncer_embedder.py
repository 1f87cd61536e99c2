"""The syncer as perception uses it."""

import numpy as np
import pytest
import torch

from hmgen_ros.generators.syncer import SyncerConfig, SyncerPyramid
from hmgen_ros.generators.weights import WeightsError
from hmgen_ros.syncer_embedder import SyncerEmbedder, load_embedder
from hmgen_ros.types.sound import KINDS, Kind


def pyramid(**settings) -> SyncerPyramid:
    torch.manual_seed(0)
    made = SyncerPyramid(SyncerConfig(hidden=16, embedding=8, **settings))
    made.fit_units(torch.randn(4, 60, 136), 20.0 * torch.randn(4, 60, 4, 26) - 40.0)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_the_finest_level(kind: Kind) -> None:
    syncer = pyramid(features=kind)
    embedder = SyncerEmbedder(syncer)
    assert embedder.kind == kind
    poses, heard = torch.randn(1, 30, 136), 20.0 * torch.randn(1, 30, 4, 26) - 40.0
    with torch.no_grad():
        level = syncer(poses, heard)[0]
    normal = embedder.normaliser()
    steps = np.concatenate([normal(tick) for tick in heard[0].numpy()])
    sounds = np.stack([steps[4 * i : 4 * i + 20] for i in range(26)])
    np.testing.assert_allclose(embedder.sounds(sounds), level.sound[0].numpy(), atol=1e-5)
    moved = (poses - poses.mean(1, keepdim=True))[0].numpy()
    faces = np.stack([moved[i : i + 5] for i in range(26)])
    np.testing.assert_allclose(embedder.faces(faces), level.face[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embedder.faces(faces), axis=-1), 1.0, atol=1e-5)


def test_sounds_are_normalised_apart() -> None:
    embedder = SyncerEmbedder(pyramid())
    tick = np.random.default_rng(0).normal(-40, 20, (4, 26)).astype(np.float32)
    one, other = embedder.normaliser(), embedder.normaliser()
    first = one(tick)
    one(tick + 30)
    np.testing.assert_array_equal(other(tick), first)


def test_what_cannot_be_had_is_named() -> None:
    with pytest.raises(ValueError, match="plp"):
        SyncerEmbedder(pyramid(features="plp"))
    with pytest.raises(WeightsError, match="no model 'lipreader'"):
        load_embedder("lipreader")
    with pytest.raises(WeightsError, match="kind"):
        load_embedder("persistence")


def test_the_shipped_one_compares_faces_with_sounds() -> None:
    embedder = load_embedder("syncer")
    assert embedder.faces(np.zeros((2, 5, 136), np.float32)).shape == (2, 64)
