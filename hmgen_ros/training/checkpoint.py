"""Training states on disk: every tensor in one safetensors file, everything else as JSON inside it.

A state is any nesting of dictionaries (keys are texts or integers), lists, tuples, tensors, numbers, texts,
booleans and None: what ``state_dict()`` of modules and optimisers gives. What is read equals what was
written, the types included, so that a resumed run goes on with the same numbers. Nothing is pickled.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hmgen_ros.generators import weights

_KIND = "training state"
#: Distinguishes the format; raised when states of an older version can no longer be read.
_VERSION = 1


def save_state(path: Path, state: Any) -> None:
    """Write a state; the file is either the old one or the whole new one, whenever the process dies.

    Args:
        path: the ``.safetensors`` file.
        state: see the module's text; tensors on any device.

    Raises:
        TypeError: the state holds something else; names where.
    """
    tensors: dict[str, Tensor] = {}
    tree = _pack(state, "state", tensors)
    with replacing(path) as part:
        weights.save(part, {"kind": _KIND, "version": _VERSION, "tree": tree}, tensors)


def load_state(path: Path) -> Any:
    """What :func:`save_state` wrote, tensors on the CPU.

    Raises:
        hmgen_ros.generators.weights.WeightsError: the file is missing, damaged or no state.
    """
    read = weights.read(path)
    config = read.config_of(_KIND)
    if config.get("version") != _VERSION or "tree" not in config:
        raise weights.WeightsError(
            f"{path} is a training state of version {config.get('version')}, this program reads {_VERSION}; "
            "train again with --force"
        )
    return _unpack(config["tree"], read)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; on success it takes the place of ``path`` at once.

    The bytes reach the disk before the name changes. After an error the old file stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON; its tensors go to ``tensors`` under their path in the state."""
    if isinstance(value, Tensor):
        while name in tensors:  # {"a": {"b": ...}, "a/b": ...}
            name += "'"
        # Cloned: views and shared storages (safetensors refuses them) become tensors of their own.
        tensors[name] = value.detach().to("cpu", copy=True).clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, dict):
        if not all(type(key) in (str, int) for key in value):
            raise TypeError(f"{name}: keys must be texts or integers, got {list(value)[:5]}")
        return {"dict": [[key, _pack(item, f"{name}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [_pack(item, f"{name}/{index}", tensors) for index, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name}: a training state cannot hold a {type(value).__name__}")


def _unpack(tree: Any, read: weights.Weights) -> Any:
    if isinstance(tree, list):
        return [_unpack(item, read) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((tag, content),) = tree.items()
    if tag == "tensor":
        return read.tensor(content)
    if tag == "float":
        return float(content)
    if tag == "tuple":
        return tuple(_unpack(item, read) for item in content)
    return {key: _unpack(item, read) for key, item in content}
