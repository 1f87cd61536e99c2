"""The two build roads, the messages and the Python package must tell the same story."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

import hmgen_ros
from hmgen_ros import resources
from hmgen_ros.types import NUM_ACTIONS, NUM_LANDMARKS, UNKNOWN_MASK, Action

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = sorted(ROOT.glob("msg/*.msg"))
NAMES = [path.stem for path in MESSAGES]
INTERFACES = [*MESSAGES, *sorted(ROOT.glob("srv/*.srv")), *sorted(ROOT.glob("action/*.action"))]
#: What every action needs besides what its fields are made of.
OF_ACTIONS = {"action_msgs"}


def project() -> dict[str, object]:
    """The `project` table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def manifest() -> ElementTree.Element:
    """The root element of package.xml."""
    return ElementTree.parse(ROOT / "package.xml").getroot()


def executables() -> list[str]:
    """Names that CMake installs to lib/hmgen_ros."""
    listed = re.search(r"set\(executables([^)]*)\)", (ROOT / "CMakeLists.txt").read_text())
    assert listed, "CMakeLists.txt lists no executables"
    return listed[1].split()


def module_file(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def test_manifest_agrees_with_pyproject() -> None:
    xml, toml = manifest(), project()
    assert xml.get("format") == "3"
    assert xml.findtext("name") == toml["name"] == "hmgen_ros"
    assert xml.findtext("version") == hmgen_ros.__version__
    assert xml.findtext("license") == toml["license"] == "Apache-2.0"
    assert xml.findtext("export/build_type") == "ament_cmake"
    assert xml.findtext("member_of_group") == "rosidl_interface_packages"
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:400]


def test_message_packages_are_declared_everywhere() -> None:
    """A package used by a message must be known to CMake and to package.xml."""
    used = {match for path in INTERFACES for match in re.findall(r"^(\w+)/\w+", path.read_text(), re.M)}
    generate = re.search(
        r"rosidl_generate_interfaces\([^)]*DEPENDENCIES([^)]*)\)", (ROOT / "CMakeLists.txt").read_text()
    )
    assert generate
    assert set(generate[1].split()) == used | OF_ACTIONS
    assert used | OF_ACTIONS <= {element.text for element in manifest().findall("depend")}


def test_every_executable_has_a_main() -> None:
    scripts = project()["scripts"]
    names = executables()
    expected = {"hmgen" if name == "hmgen" else f"hmgen_{name}" for name in names}
    assert set(scripts) == expected
    for name in names:
        target = scripts["hmgen" if name == "hmgen" else f"hmgen_{name}"]
        module, _, function = target.partition(":")
        assert module == ("hmgen_ros.cli" if name == "hmgen" else f"hmgen_ros.nodes.{name}")
        tree = ast.parse(module_file(module).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, module
        # The stub in lib/hmgen_ros runs `python3 -m module`.
        guards = [ast.unparse(node.test) for node in tree.body if isinstance(node, ast.If)]
        assert "__name__ == '__main__'" in guards, f"{module} does nothing when run with -m"


def test_executable_stub_runs_the_module_of_its_name(tmp_path: Path) -> None:
    """Laid out as installed: the prefix's own python is used, and arguments arrive unchanged."""
    prefix = tmp_path / "a prefix"
    stub = prefix / "lib" / "hmgen_ros" / "media_node"
    python = prefix / "bin" / "python3"
    for path, text in (
        (stub, (ROOT / "scripts/run_module").read_text()),
        (python, '#!/bin/sh\nprintf "%s|" "$@"\n'),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    result = subprocess.run(
        [stub, "--ros-args", "-p", "a:=b c"], capture_output=True, text=True, cwd="/", check=True
    )
    assert result.stdout.startswith("-P|")
    assert result.stdout.endswith("|hmgen_ros.nodes.media_node|--ros-args|-p|a:=b c|")


@pytest.mark.parametrize("path", INTERFACES, ids=[path.stem for path in INTERFACES])
def test_every_field_is_commented(path: Path) -> None:
    """Unit and range belong beside each field; constants and nested messages explain themselves by name."""
    for line in path.read_text().splitlines():
        code, _, comment = line.partition("#")
        kind = code.split("=")[0].split()
        if not kind or "=" in code or kind == ["---"]:
            continue
        plain = kind[0] in NAMES or kind[1] == "success"
        assert comment.strip() or plain, f"{path.name}: no comment on `{code.strip()}`"


@pytest.mark.parametrize("name", NAMES)
def test_action_constants_equal_the_enum(name: str) -> None:
    text = (ROOT / "msg" / f"{name}.msg").read_text()
    constants = {key: int(value) for key, value in re.findall(r"^uint8 ([A-Z_]+) = (\d+)", text, re.M)}
    if name not in ("Person", "PredictedAction"):
        assert constants == {}
        return
    assert constants == {action.name: action.value for action in Action}
    import hmgen_ros.msg

    message = getattr(hmgen_ros.msg, name)
    assert {action.name: getattr(message, action.name) for action in Action} == constants


def test_array_lengths_equal_the_code() -> None:
    from hmgen_ros.msg import FaceLandmarks, Person

    face, person = FaceLandmarks(), Person()
    assert len(face.pixels) == len(face.normalized) == 2 * NUM_LANDMARKS
    assert len(face.visibility) == NUM_LANDMARKS
    assert len(person.action_probabilities) == NUM_ACTIONS
    person.active_actions = UNKNOWN_MASK
    assert f"{UNKNOWN_MASK} unknown" in (ROOT / "msg/Person.msg").read_text()


def fill(message: object, generator: np.random.Generator) -> None:
    """Give every field of a message a random value of its type, nested messages included."""
    for field, kind in message.get_fields_and_field_types().items():
        setattr(message, field, random_value(kind, getattr(message, field), generator))


def random_value(kind: str, default: object, generator: np.random.Generator) -> object:
    """A random value of one ROS type, as `get_fields_and_field_types` writes it."""
    import hmgen_ros.msg

    if sequence := re.fullmatch(r"sequence<(.+)>", kind):
        return [random_value(sequence[1], None, generator) for _ in range(3)]
    if array := re.fullmatch(r"(\w+)\[(\d+)\]", kind):
        return np.array(
            [random_value(array[1], None, generator) for _ in range(int(array[2]))], default.dtype
        )
    if "/" in kind:
        value = default if default is not None else getattr(hmgen_ros.msg, kind.split("/")[1])()
        fill(value, generator)
        return value
    if kind == "string":
        return "".join(chr(code) for code in generator.integers(0x20, 0x2FF, 7))
    if kind == "boolean":
        return bool(generator.integers(2))
    if kind in ("float", "double"):
        return float(np.float32(generator.normal()))
    bits = int(re.sub(r"\D", "", kind))
    low, high = (0, 2**bits) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    return int(generator.integers(low, high, dtype=kind))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_messages_survive_serialization(name: str, seed: int) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from rclpy.serialization import deserialize_message, serialize_message

    import hmgen_ros.msg

    kind = getattr(hmgen_ros.msg, name)
    message = kind()
    fill(message, np.random.default_rng(seed))
    assert message != kind()
    assert deserialize_message(serialize_message(message), kind) == message


def test_bag_reader_computes_the_same_type_hashes() -> None:
    """rosbags parses our texts by itself; a bag it writes must carry the hashes that rosidl gave."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_KILTED)
    for path in MESSAGES:
        store.register(get_types_from_msg(path.read_text(), f"hmgen_ros/msg/{path.stem}"))
    share = installed_share()
    for name in NAMES:
        described = json.loads((share / "msg" / f"{name}.json").read_text())
        hashes = {entry["type_name"]: entry["hash_string"] for entry in described["type_hashes"]}
        assert store.hash_rihs01(f"hmgen_ros/msg/{name}") == hashes[f"hmgen_ros/msg/{name}"]


def installed_share() -> Path:
    """Where the build put share/hmgen_ros: an ament prefix or the Python environment."""
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    shares = [Path(prefix) / "share" / "hmgen_ros" for prefix in prefixes]
    found = [share for share in shares if (share / "package.xml").is_file()]
    assert found, f"hmgen_ros is not installed in any of {prefixes}"
    return found[0]


def test_installation_is_complete() -> None:
    """What `ros2 run`, `ros2 launch` and `ros2 interface` look for, and the messages of this checkout."""
    share = installed_share()
    prefix = share.parents[1]
    index = prefix / "share" / "ament_index" / "resource_index"
    assert (index / "packages" / "hmgen_ros").is_file()
    listed = (index / "rosidl_interfaces" / "hmgen_ros").read_text().split()
    assert {path.relative_to(ROOT).as_posix() for path in INTERFACES} <= set(listed)
    for path in INTERFACES:
        assert (share / path.relative_to(ROOT)).read_text() == path.read_text(), (
            f"{path.name} changed: build again"
        )
    for name in executables():
        assert os.access(prefix / "lib" / "hmgen_ros" / name, os.X_OK), name


def environment_of_a_new_terminal() -> dict[str, str]:
    """No library or module path is set, unless ROS 2 was sourced to find the package at all."""
    if installed_share().parents[1] != Path(sys.prefix):
        return dict(os.environ)
    dropped = ("LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def test_messages_import_from_anywhere(tmp_path: Path) -> None:
    """Another terminal, another folder: the installed package is found, and its libraries are."""
    program = "import hmgen_ros.msg as m, hmgen_ros; print(len(m.People().people), hmgen_ros.__file__)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment_of_a_new_terminal(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    count, place = result.stdout.split(maxsplit=1)
    assert count == "0"
    assert not Path(place).is_relative_to(ROOT / "hmgen_ros")


def test_checkout_is_its_own_share_folder() -> None:
    assert resources.share_directory() == ROOT


@pytest.mark.parametrize("path", ["requirements/constraints.txt", "requirements/face-models.txt"])
def test_pins_are_exact_and_harmless(path: str) -> None:
    """Exact versions only; tensorflow, which the face models' metadata asks for, never comes in."""
    lines = [line for line in (ROOT / path).read_text().splitlines() if line and not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line
    assert not any(line.lower().startswith("tensorflow") for line in lines)


def test_every_requirement_is_pinned() -> None:
    """`make` installs with the constraints: a requirement without a pin would drift."""
    listing = subprocess.run(
        [sys.executable, ROOT / "scripts/list_requirements.py", "ros", "behaviours", "test"],
        capture_output=True,
        text=True,
        check=True,
    )
    pins = (ROOT / "requirements/constraints.txt").read_text()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in pins.splitlines() if "==" in line}
    wanted = {
        re.split(r"[<>=~!\[; ]", line)[0].lower().replace("_", "-") for line in listing.stdout.splitlines()
    }
    assert wanted <= pinned, f"not pinned: {sorted(wanted - pinned)}"


def test_doctor_names_what_is_missing() -> None:
    """An interpreter that is no Python of the right age is refused in one line, with a way out."""
    result = subprocess.run(["sh", ROOT / "scripts/doctor.sh", "/bin/false"], capture_output=True, text=True)
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 1
    assert "Python 3.11" in result.stdout
    assert "get it with" in result.stdout
