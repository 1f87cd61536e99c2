"""Model files survive the round trip, and every kind of damage is named."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from hmgen_ros.generators import weights
from hmgen_ros.generators.weights import WeightsError
from hmgen_ros.resources import resource

CONFIG = {"kind": "toy", "sizes": [1, 2]}
names = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=8)
shapes = st.lists(st.integers(0, 4), max_size=3)


def ship(folder: Path) -> Path:
    """A manifest with one model."""
    digest = weights.save(folder / "toy.safetensors", CONFIG, {"w": torch.arange(4.0)})
    weights.register(folder / "manifest.yaml", "toy", {"file": "toy.safetensors", "sha256": digest})
    return folder / "manifest.yaml"


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(names, shapes, max_size=4), st.sampled_from([torch.float32, torch.float64, torch.int64])
)
def test_round_trip(tmp_path: Path, sizes: dict[str, list[int]], dtype: torch.dtype) -> None:
    tensors = {name: (torch.rand(shape) * 9).to(dtype) for name, shape in sizes.items()}
    digest = weights.save(tmp_path / "model.safetensors", CONFIG, tensors)
    found = weights.read(tmp_path / "model.safetensors", digest)
    assert found.config == CONFIG
    assert found.tensors.keys() == tensors.keys()
    assert all(
        torch.equal(found.tensors[n], t) and found.tensors[n].dtype == dtype for n, t in tensors.items()
    )


def test_equal_models_make_equal_files(tmp_path: Path) -> None:
    tensors = {"b": torch.ones(3), "a": torch.zeros(2, 2).T}
    first = weights.save(tmp_path / "1.safetensors", CONFIG, tensors)
    assert weights.save(tmp_path / "new" / "2.safetensors", dict(reversed(CONFIG.items())), tensors) == first


def test_load_by_name(tmp_path: Path) -> None:
    loaded = weights.load("toy", ship(tmp_path))
    assert torch.equal(loaded.tensor("w"), torch.arange(4.0))
    assert loaded.config_of("toy") == CONFIG
    with pytest.raises(WeightsError, match=r"no tensor 'v'.*w"):
        loaded.tensor("v")
    with pytest.raises(WeightsError, match="kind 'toy'"):
        loaded.config_of("other")


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_flipped_bits_are_noticed(tmp_path: Path, place: int, flip: int) -> None:
    manifest = ship(tmp_path)
    path = tmp_path / "toy.safetensors"
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= flip
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"toy\.safetensors has SHA-256.*reinstall"):
        weights.load("toy", manifest)


def test_truncated_and_foreign_files_are_named(tmp_path: Path) -> None:
    ship(tmp_path)
    path = tmp_path / "toy.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(WeightsError, match="no readable model file"):
        weights.read(path)
    path.write_bytes(b"not a model")
    with pytest.raises(WeightsError, match="no readable model file"):
        weights.read(path)
    save_file({"w": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match="config"):
        weights.read(path)
    save_file({"w": torch.ones(1)}, path, metadata={"config": json.dumps([1])})
    with pytest.raises(WeightsError, match="JSON object"):
        weights.read(path)
    path.unlink()
    with pytest.raises(WeightsError, match=r"missing model file .*toy\.safetensors"):
        weights.read(path)


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no model 'tyo'.*known models: toy"):
        weights.load("tyo", ship(tmp_path))


@pytest.mark.parametrize("text", ["models: [", "- 1", "models: 3", "models: {toy: 1}", ""])
def test_damaged_manifests_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.yaml").write_text(text)
    with pytest.raises(WeightsError, match=r"manifest\.yaml"):
        weights.load("toy", tmp_path / "manifest.yaml")


def test_manifests_lacking_a_sum_or_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="missing"):
        weights.load("toy", tmp_path / "manifest.yaml")
    weights.register(tmp_path / "manifest.yaml", "toy", {"file": "toy.safetensors"})
    with pytest.raises(WeightsError, match="sha256"):
        weights.load("toy", tmp_path / "manifest.yaml")


def test_register_keeps_other_models(tmp_path: Path) -> None:
    manifest = ship(tmp_path)
    weights.register(manifest, "another", {"file": "a", "sha256": "b", "licence": "CC-BY-4.0"})
    weights.register(manifest, "another", {"file": "c", "sha256": "d"})
    models = weights.read_manifest(manifest)
    assert list(models) == ["another", "toy"]
    assert models["another"] == {"file": "c", "sha256": "d"}


def test_bad_configs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kind"):
        weights.save(tmp_path / "m.safetensors", {}, {})
    with pytest.raises(ValueError, match="JSON"):
        weights.save(tmp_path / "m.safetensors", {"kind": "toy", "x": torch.ones(1)}, {})


def test_every_shipped_model_is_whole_and_says_where_it_comes_from() -> None:
    manifest = resource(weights.MANIFEST)
    entries = yaml.safe_load(manifest.read_text())["models"]
    assert "semi_markov" in entries
    for name, entry in entries.items():
        if entry["file"].endswith(".safetensors"):
            assert weights.load(name).config["kind"] == entry["kind"]
        else:
            assert weights.verified_file(name) == manifest.parent / entry["file"]
        assert entry["licence"]
        assert entry["trained_on"]
        assert entry["command"]
        assert (manifest.parent / entry["file"]).stat().st_size == entry["bytes"]
        card = (manifest.parent / entry["card"]).read_text()
        assert entry["sha256"] in card
        assert entry["command"] in card


def test_models_of_another_format_are_verified_and_not_read(tmp_path: Path) -> None:
    path, manifest = tmp_path / "other.onnx", tmp_path / "manifest.yaml"
    path.write_bytes(b"any content")
    weights.register(manifest, "other", {"file": path.name, "sha256": weights.sha256(path)})
    assert weights.verified_file("other", manifest) == path
    with pytest.raises(WeightsError, match=r"'other' is a \.onnx file"):
        weights.load("other", manifest)
    path.write_bytes(b"any contenT")
    with pytest.raises(WeightsError, match=r"other\.onnx has SHA-256"):
        weights.verified_file("other", manifest)
    path.unlink()
    with pytest.raises(WeightsError, match=r"missing model file.*other\.onnx"):
        weights.verified_file("other", manifest)
    with pytest.raises(WeightsError, match="no model 'another'"):
        weights.verified_file("another", manifest)
