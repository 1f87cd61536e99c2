"""Model files: safetensors with their configuration inside, checked against ``models/manifest.yaml``.

A model file holds tensors and, in its metadata, one JSON object (``config``) that says how to build the
model. The manifest lists every shipped file by name with its SHA-256, licence and origin; loading by
name verifies the sum first. Nothing is unpickled. Models of others stay in their format: see
:func:`verified_file`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from hmgen_ros.resources import resource

MANIFEST = "models/manifest.yaml"
_CONFIG_KEY = "config"
#: libyaml's where PyYAML was built with it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class WeightsError(RuntimeError):
    """A model cannot be loaded; the text names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model file in memory.

    Attributes:
        source: the file it came from, for messages.
        config: the JSON object it was saved with.
        tensors: its tensors, on the CPU.
    """

    source: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]

    def config_of(self, kind: str) -> dict[str, Any]:
        """The configuration, if these are weights of this ``kind`` of model.

        Raises:
            WeightsError: they are of another kind.
        """
        found = self.config.get("kind")
        if found != kind:
            raise WeightsError(f"{self.source} holds a model of kind {found!r}, not {kind!r}")
        return self.config

    def tensor(self, name: str) -> Tensor:
        """One tensor.

        Raises:
            WeightsError: the file does not have it.
        """
        if name not in self.tensors:
            known = ", ".join(sorted(self.tensors)) or "none"
            raise WeightsError(
                f"{self.source} has no tensor {name!r} (it has: {known}); train the model again"
            )
        return self.tensors[name]


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(path: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Write a model file; returns its SHA-256.

    Args:
        path: the ``.safetensors`` file, replaced where it exists; its folder is made.
        config: JSON-able; must have ``kind``.
        tensors: the parameters, on any device.

    Raises:
        ValueError: ``config`` lacks ``kind`` or is not JSON-able.
    """
    if "kind" not in config:
        raise ValueError("the config of a model file needs the key 'kind'")
    try:
        text = json.dumps(dict(config), sort_keys=True, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"the config of a model file must be JSON-able: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.write_bytes(to_bytes(plain, metadata={_CONFIG_KEY: text}))
    return sha256(path)


def read(path: Path, expected_sha256: str | None = None) -> Weights:
    """Read a model file, verifying its sum where one is given.

    Raises:
        WeightsError: it is missing, damaged, has another sum, or was not written by :func:`save`.
    """
    _verify(path, expected_sha256)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        config = json.loads(metadata[_CONFIG_KEY])
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise WeightsError(
            f"{path} is no readable model file of this package ({error}); reinstall it"
        ) from error
    if not isinstance(config, dict):
        raise WeightsError(
            f"{path}: its config is no JSON object; reinstall the package or train the model again"
        )
    return Weights(str(path), config, tensors)


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """The models that a manifest lists, by name.

    Raises:
        WeightsError: the manifest is missing or damaged.
    """
    try:
        # As safe as safe_load, and ten times as fast: every model that is loaded reads the whole file.
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except FileNotFoundError as error:
        raise WeightsError(f"missing {path}; reinstall the package") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is not readable YAML ({error}); reinstall the package") from error
    models = data.get("models") if isinstance(data, dict) else None
    if not isinstance(models, dict) or not all(isinstance(entry, dict) for entry in models.values()):
        raise WeightsError(f"{path}: field 'models' must map names to entries; reinstall the package")
    return models


def load(name: str, manifest: Path | None = None) -> Weights:
    """Load a model by its name in the manifest, verified.

    Args:
        name: e.g. ``"semi_markov"``.
        manifest: the package's own where none is given; files lie beside it.

    Raises:
        WeightsError: no such model (the text lists the known ones), or its file is damaged.
        FileNotFoundError: the package is not installed completely.
    """
    path, digest = _listed(name, manifest)
    if path.suffix != ".safetensors":
        raise WeightsError(f"model {name!r} is a {path.suffix} file, not one of this package's own models")
    return read(path, digest)


def verified_file(name: str, manifest: Path | None = None) -> Path:
    """The file of a model in another format (ONNX), for whoever reads that; its sum is verified.

    Args:
        name: e.g. ``"movenet_multipose"``.
        manifest: the package's own where none is given; files lie beside it.

    Raises:
        WeightsError: no such model (the text lists the known ones), or its file is missing or damaged.
        FileNotFoundError: the package is not installed completely.
    """
    path, digest = _listed(name, manifest)
    _verify(path, digest)
    return path


def _listed(name: str, manifest: Path | None) -> tuple[Path, str]:
    """File and SHA-256 of a model in a manifest."""
    manifest = manifest or resource(MANIFEST)
    models = read_manifest(manifest)
    if name not in models:
        raise WeightsError(
            f"no model {name!r} in {manifest}; known models: {', '.join(sorted(models)) or 'none'}"
        )
    entry = models[name]
    for field in ("file", "sha256"):
        if not isinstance(entry.get(field), str):
            raise WeightsError(
                f"{manifest}: model {name!r} lacks the text field {field!r}; reinstall the package"
            )
    return manifest.parent / entry["file"], entry["sha256"]


def _verify(path: Path, expected_sha256: str | None) -> None:
    """Raise WeightsError where a file is missing or has another sum than expected."""
    if not path.is_file():
        raise WeightsError(f"missing model file {path}; reinstall the package or train the model")
    if expected_sha256 is not None and (actual := sha256(path)) != expected_sha256:
        raise WeightsError(
            f"{path} has SHA-256 {actual[:12]}…, the manifest says {expected_sha256[:12]}…: "
            "it is damaged or was replaced; reinstall the package"
        )


def register(manifest: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Add or replace one model in a manifest, keeping the others; makes the manifest where there is none.

    Raises:
        WeightsError: the existing manifest is damaged.
    """
    models = read_manifest(manifest) if manifest.exists() else {}
    models[name] = dict(entry)
    text = yaml.safe_dump(
        {"models": dict(sorted(models.items()))}, sort_keys=False, allow_unicode=True, width=110
    )
    manifest.write_text("# The shipped models; written by the training commands.\n" + text, encoding="utf-8")
