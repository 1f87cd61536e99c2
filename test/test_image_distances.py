"""FID, t-FID and FVD with networks from files; the real weights cannot be had, small ones stand in."""

from pathlib import Path

import pytest
import torch
from motion_faces import turning_faces
from torch import Tensor, nn

from hmgen_ros.evaluation.image_distances import FeatureNetwork, ImageDistances
from hmgen_ros.evaluation.motion_raster import in_own_frame
from hmgen_ros.generators.weights import WeightsError, sha256


class Small(nn.Module):
    """Means of a coarse grid, whatever the dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2, -3) if x.dim() == 5 else x
        return nn.functional.adaptive_avg_pool2d(flat.mean(1, keepdim=True), 4).flatten(1)


class Films(nn.Module):
    """Means over time and its differences."""

    def forward(self, x: Tensor) -> Tensor:
        coarse = nn.functional.adaptive_avg_pool2d(x.flatten(1, 2), 4).unflatten(1, (3, x.shape[2]))
        return torch.cat(
            [coarse.mean(2).flatten(1), (coarse[:, :, 1:] - coarse[:, :, :-1]).abs().mean(2).flatten(1)], 1
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("nets")
    torch.jit.trace(Small(), torch.zeros(2, 3, 299, 299)).save(str(folder / "pictures.pt"))
    torch.jit.script(Films()).save(str(folder / "films.pt"))
    return folder / "pictures.pt", folder / "films.pt"


def test_distances_grow_with_what_is_wrong(files: tuple[Path, Path]) -> None:
    images = ImageDistances(*(FeatureNetwork.load(path) for path in files))
    real, other = (in_own_frame(turning_faces(24, 40, seed)) for seed in (0, 1))
    still = real[:, :1].expand(-1, 40, -1, -1)
    same, near, far = (images.compare(real, windows, 40) for windows in (real, other, still))
    names = {"FID_40", "tFID_40", "FVD_10_at_40", "FVD_20_at_40", "FVD_40_at_40"}
    assert same.keys() == names
    for name in names - {"FID_40"}:
        assert same[name] == pytest.approx(0.0, abs=1e-6)
        assert near[name] < far[name]
    assert images.checksums() == {"pictures": sha256(files[0]), "films": sha256(files[1])}


def test_only_what_there_is_a_network_for(files: tuple[Path, Path]) -> None:
    windows = in_own_frame(turning_faces(4, 40, 0))
    assert ImageDistances().compare(windows, windows, 40) == {}
    one = ImageDistances(pictures=FeatureNetwork.load(files[0]))
    assert one.compare(windows, windows, 80).keys() == {"FID_80", "tFID_80"}


def test_files_that_are_none(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no network"):
        FeatureNetwork.load(tmp_path / "none.pt")
    with pytest.raises(WeightsError, match="another file"):
        FeatureNetwork.load(files[0], "0" * 64)
    assert FeatureNetwork.load(files[0], sha256(files[0]).upper()).sha256 == sha256(files[0])
    (tmp_path / "text.pt").write_text("weights", encoding="utf-8")
    with pytest.raises(WeightsError, match="TorchScript"):
        FeatureNetwork.load(tmp_path / "text.pt")


def test_networks_of_another_shape(files: tuple[Path, Path]) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        FeatureNetwork.load(files[1]).features(torch.zeros(2, 3, 8))
