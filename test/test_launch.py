"""Launch and parameter files name what the package has.

ROS' launch library is not on every machine that builds this package, so the files are read as syntax
here, and run on stand-ins that note what they are given; with launch installed they are also loaded.
"""

import ast
import importlib.util
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree as Xml

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


class Noted:
    """Stands in for any class of launch: keeps what it was made with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        for name, value in kwargs.items():
            setattr(self, name, value)


class Configuration(Noted):
    def perform(self, context: SimpleNamespace) -> str:
        return context.values[self.args[0]]


class Run:
    """Actions of a launch file for the given arguments, and what it starts once perception is ready."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, **arguments: str) -> None:
        wanted = {
            node.module: [alias.name for alias in node.names]
            for node in tree(path).body
            if isinstance(node, ast.ImportFrom) and node.module.startswith(("launch", "ament"))
        }
        for name, parts in wanted.items():
            module = ModuleType(name)
            for part in parts:
                setattr(module, part, type(part, (Noted,), {}))
            monkeypatch.setitem(sys.modules, name, module)
        sys.modules["launch.substitutions"].LaunchConfiguration = Configuration
        share = sys.modules["ament_index_python.packages"]
        share.get_package_share_directory = lambda _: resource("launch").parent
        spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.generate_launch_description()
        self.later: list[Any] = []
        self._module, self._when_ready = module, getattr(module, "_when_ready", None)
        module._when_ready = lambda context, action: self.later.append(action)
        values = {name: default for name, (default, _) in module.ARGUMENTS.items()}
        assert set(arguments) <= set(values)
        self.actions = module._actions(SimpleNamespace(values=values | arguments))
        made = [*self.actions, *self.later]
        self.named = {action.executable: action for action in made if hasattr(action, "executable")}

    def awaited(self, **arguments: str) -> set[str]:
        """Nodes that have to be ready before anything is played."""
        waits: list[set[str]] = []
        self._module._start_when_ready = lambda context, action, names: waits.append(names)
        loop = SimpleNamespace(create_task=lambda task: task)
        values = {name: default for name, (default, _) in self._module.ARGUMENTS.items()} | arguments
        self._when_ready(
            SimpleNamespace(values=values, asyncio_loop=loop, add_completion_future=lambda _: None), None
        )
        return waits[0]

    def parameters(self, executable: str) -> dict[str, Any]:
        """Values given besides the parameter file."""
        _, *given = self.named[executable].parameters
        return {name: value for values in given for name, value in values.items()}


def test_predict_starts_perception_predictors_and_annotator(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(PREDICT, monkeypatch, image_topic="/camera/image", namespace="robot1")
    assert set(run.named) == {"perception_node", "interaction_node", "head_motion_node", "annotator_node"}
    for name, action in run.named.items():
        assert (action.name, action.namespace) == (name, "robot1")
        assert ("image_raw", "/camera/image") in action.remappings
        assert ("image_raw/compressed", "/camera/image/compressed") in action.remappings
        # What a parameter file says is not overruled by an argument that was not given.
        assert run.parameters(name) == {"autostart": True, "use_sim_time": False}
    assert not run.later


@pytest.mark.parametrize("single", ["true", "false"])
def test_given_parameters_reach_every_node(monkeypatch: pytest.MonkeyPatch, single: str) -> None:
    run = Run(PREDICT, monkeypatch, single_process=single, image_transport="compressed", autostart="false")
    for name in run.named:
        assert run.parameters(name)["image_transport"] == "compressed"
        assert run.parameters(name)["autostart"] is False


def test_a_file_waits_for_perception_and_its_end_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(PREDICT, monkeypatch, source="talk.mp4", use_respawn="true", use_sim_time="true")
    assert [action.executable for action in run.later] == ["media_node"]
    media = run.named["media_node"]
    assert media.respawn is False
    assert run.named["perception_node"].respawn is True
    assert run.parameters("media_node")["source"] == "talk.mp4"
    assert run.parameters("media_node")["publish_clock"] is True
    assert media.on_exit(None, SimpleNamespace(is_shutdown=False)).reason
    # launch_ros fails when told twice.
    assert media.on_exit(None, SimpleNamespace(is_shutdown=True)) is None
    assert not hasattr(run.named["perception_node"], "on_exit")


def test_a_manager_finds_all_nodes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(PREDICT, monkeypatch, source="talk.mp4", autostart="false")
    assert "media_node" in run.named
    assert not run.later


def test_a_webcam_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(PREDICT, monkeypatch, source="webcam:0", use_respawn="true")
    assert run.named["media_node"].respawn is True
    assert not hasattr(run.named["media_node"], "on_exit")


def test_single_process_gets_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"single_process": "true", "source": "bundled", "use_sim_time": "true", "microphone": "true"}
    run = Run(PREDICT, monkeypatch, **arguments)
    process = run.named["single_process"]
    assert process.arguments == ["--source", "bundled", "--microphone"]
    assert process.respawn is False
    assert run.parameters("single_process")["publish_clock"] is True
    # A name would be given to every node of the process.
    assert not hasattr(process, "name")


@pytest.mark.parametrize(("hri", "direction"), [("true", "out"), ("out", "out"), ("in", "in")])
def test_hri_runs_beside_perception_or_in_its_place(
    monkeypatch: pytest.MonkeyPatch, hri: str, direction: str
) -> None:
    run = Run(PREDICT, monkeypatch, hri=hri, camera_info_topic="/cam/info", source="talk.mp4")
    node = run.named["hri_node"]
    assert (node.name, run.parameters("hri_node")["direction"]) == ("hri_node", direction)
    assert ("camera_info", "/cam/info") in node.remappings
    assert ("perception_node" in run.named) == (direction == "out")
    assert {"interaction_node", "head_motion_node"} <= set(run.named)


@pytest.mark.parametrize("single", ["true", "false"])
def test_each_process_has_the_enclave_of_its_name(monkeypatch: pytest.MonkeyPatch, single: str) -> None:
    held = {Path(one.get("path")) for one in Xml.parse(resource("config/sros2_policy.xml")).iter("enclave")}
    run = Run(
        PREDICT, monkeypatch, source="talk.mp4", hri="true", single_process=single, enclaves="/hmgen_ros"
    )
    for name, action in run.named.items():
        *_, option, enclave = action.ros_arguments
        assert (option, Path(enclave)) == ("--enclave", Path("/hmgen_ros") / name)
        assert Path(enclave) in held
    run = Run(PREDICT, monkeypatch)
    assert all("--enclave" not in action.ros_arguments for action in run.named.values())


def test_hri_has_a_process_of_its_own_beside_a_single_one(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(PREDICT, monkeypatch, hri="true", single_process="true")
    assert set(run.named) == {"single_process", "hri_node"}
    with pytest.raises(RuntimeError, match="single_process:=false"):
        Run(PREDICT, monkeypatch, hri="in", single_process="true")
    with pytest.raises(RuntimeError, match="hri is 'maybe'"):
        Run(PREDICT, monkeypatch, hri="maybe")


@pytest.mark.parametrize(
    ("hri", "single", "awaited"),
    [
        ("in", "false", {"interaction_node", "head_motion_node"}),
        ("out", "false", {"perception_node", "interaction_node", "head_motion_node"}),
        ("out", "true", {"perception_node"}),
    ],
)
def test_a_source_waits_for_whoever_takes_its_place(
    monkeypatch: pytest.MonkeyPatch, hri: str, single: str, awaited: set[str]
) -> None:
    run = Run(PREDICT, monkeypatch)
    assert run.awaited(hri=hri, single_process=single) == awaited


def test_a_player_waits_for_perception(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(PREDICT, monkeypatch, player="ros2 bag play 'my bag'")
    assert [action.cmd for action in run.later] == [["ros2", "bag", "play", "my bag"]]
    assert run.later[0].on_exit(None, SimpleNamespace(is_shutdown=False)).reason
    with pytest.raises(RuntimeError, match="source and player"):
        Run(PREDICT, monkeypatch, player="ros2 bag play x", source="bundled")


@pytest.mark.parametrize(
    ("arguments", "topics"),
    [
        ({}, ["/image_raw/compressed", "/audio", "/camera_info"]),
        (
            {"image_transport": "raw", "namespace": "robot1"},
            ["/robot1/image_raw", "/robot1/audio", "/robot1/camera_info"],
        ),
        (
            {"image_topic": "/cam/image", "audio_topic": "mic", "camera_info_topic": "/cam/camera_info"},
            ["/cam/image/compressed", "/mic", "/cam/camera_info"],
        ),
        ({"topics": "/tf image_raw"}, ["/tf", "/image_raw"]),
    ],
)
def test_replay_plays_the_inputs_of_a_bag(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: dict[str, str], topics: list[str]
) -> None:
    bag = tmp_path / "my bag"
    bag.mkdir()
    (include,) = Run(REPLAY, monkeypatch, bag=str(bag), **arguments).actions
    passed = dict(include.launch_arguments)
    assert set(passed) <= set(arguments_of(PREDICT))
    command = shlex.split(passed["player"])
    assert command[:6] == ["ros2", "bag", "play", str(bag), "--clock", "100"]
    assert command[command.index("--topics") + 1 :] == topics
    assert passed["use_sim_time"] == "true"
    assert passed["image_transport"] == arguments.get("image_transport", "compressed")
    assert passed["image_topic"] == arguments.get("image_topic", "image_raw")
    assert passed["source"] == ""


def test_replay_of_a_video_is_left_to_the_media_node(monkeypatch: pytest.MonkeyPatch) -> None:
    (include,) = Run(REPLAY, monkeypatch, source="bundled").actions
    passed = dict(include.launch_arguments)
    assert (passed["source"], passed["player"], passed["image_transport"]) == ("bundled", "", "raw")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({}, "give one"), ({"bag": "x", "source": "y"}, "give one"), ({"bag": "nowhere"}, "no bag nowhere")],
)
def test_replay_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, str], text: str
) -> None:
    with pytest.raises(RuntimeError, match=text):
        Run(REPLAY, monkeypatch, **arguments)


@pytest.mark.skipif(not HAS_LAUNCH, reason="launch_ros is not installed (it comes with a ROS 2 installation)")
@pytest.mark.parametrize("path", [PREDICT, REPLAY])
def test_launch_loads_the_files(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.generate_launch_description().entities
