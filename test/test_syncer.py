"""Syncers: pyramids on one clock, embeddings of every window, running normalisation, losses and offsets."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from hmgen_ros.evaluation.sync_metrics import shifted_distances, synchrony
from hmgen_ros.generators.speech_norm import SpeechNorm
from hmgen_ros.generators.syncer import (
    LEVELS,
    Embedded,
    SyncerConfig,
    SyncerPyramid,
    agreement,
    blurred,
)
from hmgen_ros.generators.weights import Weights, WeightsError
from hmgen_ros.training.sync_losses import info_nce, scores, triplet


@pytest.fixture(scope="module")
def pyramid() -> SyncerPyramid:
    torch.manual_seed(0)
    made = SyncerPyramid(SyncerConfig(hidden=16, embedding=8))
    made.fit_units(torch.randn(4, 60, 136), 20.0 * torch.randn(4, 60, 4, 26) - 40.0)
    return made.eval()


@given(st.integers(5, 100))
def test_levels_halve_and_stay_on_one_clock(ticks: int) -> None:
    torch.manual_seed(0)
    pyramid = SyncerPyramid(SyncerConfig(hidden=4, embedding=3)).eval()
    levels = pyramid(torch.randn(2, ticks, 136), torch.randn(2, ticks, 4, 26))
    samples = ticks
    for level in levels:
        assert level.face.shape == level.sound.shape == (2, samples - 4, 3)
        torch.testing.assert_close(level.face.norm(dim=-1), torch.ones(2, samples - 4))
        samples = -(-samples // 2)
    # All levels that the sequence is long enough for.
    assert len(levels) == LEVELS or samples < 5


def test_a_sample_of_the_next_level_is_the_mean_of_seven(pyramid: SyncerPyramid) -> None:
    rows = torch.randn(1, 20, 3)
    found = blurred(rows)
    assert found.shape == (1, 10, 3)
    torch.testing.assert_close(found[0, 3], rows[0, 3:10].mean(0))  # centred on sample 6
    torch.testing.assert_close(found[0, 0], rows[0, :4].mean(0))


def test_sound_and_face_windows_cover_the_same_time(pyramid: SyncerPyramid) -> None:
    """What happens at one moment shows in the same windows of both."""
    poses, heard = torch.zeros(1, 75, 136), torch.zeros(1, 75, 4, 26)
    moment = 40
    poses[:, moment], heard[:, moment] = 1.0, 1.0
    quiet = torch.zeros(1, 75, 4, 26)
    faces, still = pyramid.face_windows(poses), pyramid.face_windows(0.0 * poses)
    sounds, silent = pyramid.sound_windows(heard), pyramid.sound_windows(quiet)
    for face, rest, sound, silence in zip(faces, still, sounds, silent, strict=True):
        # Means over the sequence move a little, too; the moment itself stands out.
        assert _middle(face - rest) == pytest.approx(_middle(sound - silence), abs=0.76)


def _middle(change: torch.Tensor) -> float:
    """Mean number of the windows, of ``[1, n, ...]``, that have changed most."""
    size = change.flatten(2).abs().amax(-1)[0]
    return float((size > 0.5 * size.max()).nonzero().float().mean())


def test_what_a_face_looks_like_does_not_count(pyramid: SyncerPyramid) -> None:
    poses, heard = torch.randn(1, 60, 136), torch.randn(1, 60, 4, 26)
    other = poses + torch.randn(136)
    for one, two in zip(pyramid(poses, heard), pyramid(other, heard), strict=True):
        torch.testing.assert_close(one.face, two.face, atol=1e-4, rtol=0)


def test_model_files_hold_the_pyramid(pyramid: SyncerPyramid) -> None:
    again = SyncerPyramid.from_weights(Weights("a test", *pyramid.to_weights()))
    poses, heard = torch.randn(1, 60, 136), torch.randn(1, 60, 4, 26)
    for one, two in zip(pyramid(poses, heard), again(poses, heard), strict=True):
        torch.testing.assert_close(one.sound, two.sound)
    with pytest.raises(WeightsError, match="kind"):
        SyncerPyramid.from_weights(Weights("a test", {"kind": "suhmo"}, {}))


@pytest.mark.parametrize("wrong", [{"hidden": 0}, {"embedding": 0}, {"dropout": 1.0}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SyncerConfig(**wrong)  # type: ignore[arg-type]


def test_normalisation_takes_out_a_microphone_and_streams() -> None:
    norm = SpeechNorm(26)
    heard = 5.0 * torch.randn(1, 600, 4, 26, generator=torch.Generator().manual_seed(0)) - 30.0
    norm.fit(heard.flatten(0, 2))
    louder = norm(heard + 12.0)
    plain = norm(heard)
    assert float((louder - plain)[:, :5].mean()) > 2.0
    assert float((louder - plain)[:, 300:].abs().mean()) < 0.5
    state, ticks = norm.initial_state(1), []
    for tick in heard.unbind(1):
        state, normal = norm.step(state, tick)
        ticks.append(normal)
    torch.testing.assert_close(torch.stack(ticks, dim=1), plain)


def shifted(shift: int, windows: int = 60) -> Embedded:
    """Sounds that the face follows after so many samples."""
    rng = torch.Generator().manual_seed(1)
    walk = functional.normalize(torch.randn(3, windows + 40, 16, generator=rng), dim=-1)
    return Embedded(walk[:, 20 - shift : 20 - shift + windows], walk[:, 20 : 20 + windows])


@given(st.integers(-15, 15))
def test_offsets_are_found(shift: int) -> None:
    found = synchrony(shifted(shift))
    assert (found.offset == shift).all()
    assert (found.confidence > 1.0).all()


def test_offsets_beyond_reach_have_no_confidence() -> None:
    assert float(synchrony(shifted(19)).confidence.max()) < 0.3
    shifts, distances = shifted_distances(shifted(0, windows=6))
    # Half of six windows are left at a shift of three.
    assert shifts.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert distances.shape == (3, 7)


def test_wrong_windows_are_never_the_right_one_nor_its_neighbours() -> None:
    marks = functional.one_hot(torch.arange(60)).float().reshape(3, 20, 60)
    torch.manual_seed(0)
    right, wrong = scores(Embedded(marks, marks), anchors=60, negatives=30)
    assert (right == 1.0).all()
    assert (wrong == 0.0).all()
    assert wrong.shape == (60, 30)
    # A blend with the neighbour shows that these are left out.
    blended = functional.normalize(marks + marks.roll(1, dims=1), dim=-1)
    _, wrong = scores(Embedded(blended, marks), anchors=60, negatives=30)
    within = (wrong > 0.0).float().mean()
    assert float(within) < 0.02  # only where a sequence's end rolls over to its beginning


def test_losses_fall_where_faces_fit() -> None:
    good, bad = shifted(0), shifted(7)
    scale = torch.tensor(10.0)
    torch.manual_seed(0)
    assert float(info_nce(good, 100, 48, scale)) < 0.5 < float(info_nce(bad, 100, 48, scale))
    assert float(triplet(good, 100)) < 0.1 < float(triplet(bad, 100))
    assert float(agreement([good]).mean()) == pytest.approx(1.0)
    assert abs(float(agreement([bad]).mean())) < 0.2
