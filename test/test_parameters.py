"""Declared parameters: complete, described, within their own bounds, and equal to the library's defaults."""

from dataclasses import fields, is_dataclass
from importlib.resources import files

import pytest

from hmgen_ros.nodes.parameters import load_specs
from hmgen_ros.perception.perception_config import PerceptionConfig

NODES = sorted(
    path.name.removesuffix(".yaml")
    for path in files("hmgen_ros.nodes.parameters").iterdir()
    if path.name.endswith("_node.yaml")
)
PYTHON = {"bool": bool, "integer": int, "double": float, "string": str}


@pytest.mark.parametrize("node", NODES)
def test_defaults_have_the_declared_type_and_lie_within_bounds(node: str) -> None:
    for spec in load_specs(node):
        assert type(spec.default) is PYTHON[spec.type], spec.name
        assert spec.description.strip().endswith("."), spec.name
        assert not spec.choices or spec.default in spec.choices, spec.name
        assert spec.minimum is None or spec.default >= spec.minimum, spec.name
        assert spec.maximum is None or spec.default <= spec.maximum, spec.name


def test_perception_parameters_are_the_settings_of_the_library() -> None:
    declared = {spec.name: spec.default for spec in load_specs("perception_node")}
    library = PerceptionConfig()
    for setting in fields(PerceptionConfig):
        value = getattr(library, setting.name)
        if is_dataclass(value):
            for part in fields(value):
                assert declared[f"{setting.name}.{part.name}"] == getattr(value, part.name)
        elif setting.name not in ("seed", "camera_matrix"):
            assert declared[setting.name] == value, setting.name
    assert declared["seed"] == -1
