"""Launch and parameter files name what the package has.

ROS' launch library is not on every machine that builds this package, so the files are read as syntax
here; with launch installed they are also loaded and their nodes made.
"""

import ast
import importlib.util
from pathlib import Path

import pytest
import yaml

from hmgen_ros.nodes.parameters import load_specs
from hmgen_ros.resources import resource

PREDICT, REPLAY = resource("launch/predict.launch.py"), resource("launch/replay.launch.py")
HAS_LAUNCH = importlib.util.find_spec("launch_ros") is not None


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def arguments_of(path: Path) -> dict[str, tuple[object, str]]:
    """Names, defaults (None where computed) and texts of the launch arguments."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ARGUMENTS":
            found = {}
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                default, text = value.elts
                found[key.value] = (default.value if isinstance(default, ast.Constant) else None, text.value)
            return found
    raise AssertionError(f"no ARGUMENTS in {path}")


@pytest.mark.parametrize("path", [PREDICT, REPLAY])
def test_every_argument_has_a_text_and_every_used_one_is_declared(path: Path) -> None:
    declared = arguments_of(path)
    assert all(text for _, text in declared.values())
    used = {
        call.args[0].value
        for call in ast.walk(tree(path))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "LaunchConfiguration"
        and isinstance(call.args[0], ast.Constant)
    }
    assert used <= set(declared)


def test_predict_offers_what_the_readme_promises() -> None:
    promised = {
        "namespace",
        "use_sim_time",
        "params_file",
        "autostart",
        "use_respawn",
        "log_level",
        "single_process",
    }
    assert promised <= set(arguments_of(PREDICT))


def test_executables_exist_as_modules() -> None:
    names = {
        constant.value
        for constant in ast.walk(tree(PREDICT))
        if isinstance(constant, ast.Constant)
        and isinstance(constant.value, str)
        and (constant.value.endswith("_node") or constant.value == "single_process")
        and " " not in constant.value
    }
    assert {
        "perception_node",
        "interaction_node",
        "head_motion_node",
        "media_node",
        "single_process",
    } <= names
    for name in names:
        assert importlib.util.find_spec(f"hmgen_ros.nodes.{name}"), name


def test_replay_passes_on_only_what_predict_declares() -> None:
    passed = next(
        ast.literal_eval(node.value)
        for node in tree(REPLAY).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_PASSED_ON"
    )
    assert {*passed, "use_sim_time", "source", "image_transport"} <= set(arguments_of(PREDICT))


def test_parameter_file_names_declared_parameters_with_allowed_values() -> None:
    nodes = yaml.safe_load(resource("config/hmgen.yaml").read_text())["/**"]
    python = {"bool": bool, "integer": int, "double": float, "string": str}
    for name, content in nodes.items():
        specs = {spec.name: spec for spec in load_specs(name)}
        for parameter, value in content["ros__parameters"].items():
            spec = specs[parameter]
            assert isinstance(value, python[spec.type]), f"{name}.{parameter}"
            assert not spec.choices or value in spec.choices
            assert spec.minimum is None or value >= spec.minimum
            assert spec.maximum is None or value <= spec.maximum


@pytest.mark.skipif(not HAS_LAUNCH, reason="launch_ros is not installed (it comes with a ROS 2 installation)")
@pytest.mark.parametrize("path", [PREDICT, REPLAY])
def test_launch_loads_the_files(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.generate_launch_description().entities
