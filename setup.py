"""Carries the ROS 2 messages into the wheel.

setuptools packs our own modules; the ``build_ext`` command below drives the same CMakeLists.txt that
colcon uses, and adds what only CMake can make: the generated Python modules, their extension modules,
the type support libraries and the files that ROS 2 tools look for under ``share``.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

PACKAGE = "hmgen_ros"
ROOT = Path(__file__).resolve().parent
#: What the generated code depends on besides our own sources; part of the build folder's key.
GENERATORS = ("rosidl_generator_py", "rosidl_generator_c", "rosidl_typesupport_fastrtps_c", "fastcdr")
#: Written for CMake and shell users, in part with absolute paths of the build: of no use in a Python
#: environment. Folders and files below share/hmgen_ros, and one part of the ament index.
NOT_SHARED = ("cmake", "environment", "hook", "local_setup.*", "package.dsv")
NOT_INDEXED = "parent_prefix_path"


class MessageDistribution(Distribution):
    """A distribution with compiled parts, though setuptools itself compiles none."""

    def has_ext_modules(self) -> bool:
        """Make the wheel specific to this interpreter and platform."""
        return True


class FreshBuild(build):
    """Builds from an empty folder: pip keeps it between runs, and deleted modules would come back."""

    def run(self) -> None:
        """Clear what an earlier run copied, then build."""
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class BuildMessages(build_ext):
    """Runs CMake and hands its results to setuptools."""

    def run(self) -> None:
        """Build the messages unless a complete build of the same sources exists, then collect the files."""
        if self.editable_mode:
            sys.exit(
                f"{PACKAGE}: an editable installation cannot hold the messages. Use `pip install .`, "
                "which takes seconds after the first time."
            )
        prefix = ros_prefix()
        folder = Path(self.get_finalized_command("build").build_base) / f"messages-{build_key(prefix)}"
        stage = folder.resolve() / "stage"
        environment = cmake_environment(prefix)
        if not (folder / "complete").is_file():
            remove_stale_builds(folder.parent, prefix)
            folder.mkdir(parents=True)
            (folder / "prefix").write_text(str(prefix), encoding="utf-8")
            configure_and_build(folder, stage, environment)
            (folder / "complete").touch()
        shutil.rmtree(stage, ignore_errors=True)
        cmake("--install", str(folder), "--strip", environment=environment)
        self.copy_generated(stage)
        self.distribution.data_files.extend(collect_data_files(stage))

    def copy_generated(self, stage: Path) -> None:
        """Put the generated modules beside our own."""
        generated = next(stage.glob(f"**/{PACKAGE}/msg/__init__.py")).parents[1]
        target = Path(self.build_lib) / PACKAGE
        for kind in ("msg", "srv", "action"):
            for module in sorted(generated.glob(f"{kind}/*.py")):
                self.mkpath(str(target / kind))
                self.copy_file(str(module), str(target / kind / module.name))
        for extension in sorted(generated.glob(f"{PACKAGE}_s__*.so")):
            self.copy_file(str(extension), str(target / extension.name))


def ros_prefix() -> Path:
    """The installation (or environment) that holds the message generator this Python imports.

    The module decides, not AMENT_PREFIX_PATH: in an isolated build of pip, a sourced ROS 2 still shows in
    that variable while its Python modules are out of reach.
    """
    spec = find_spec("rosidl_generator_py")
    if spec is None or spec.origin is None:
        sys.exit(
            f"{PACKAGE}: no ROS 2 message generator found: either source ROS 2's setup.bash, or install the "
            "build requirements of pyproject.toml, or let pip do it by leaving out --no-build-isolation"
        )
    for folder in Path(spec.origin).resolve().parents:
        if (folder / "share" / "rosidl_generator_py" / "cmake").is_dir():
            return folder
    sys.exit(f"{PACKAGE}: rosidl_generator_py at {spec.origin} is incomplete (no CMake files): reinstall it")


def build_key(prefix: Path) -> str:
    """Hash of everything that decides about the build: interpreter, ROS 2, our interfaces, absolute paths."""
    digest = hashlib.sha256(f"{sys.executable} {sys.version} {platform.machine()} {ROOT} {prefix}".encode())
    sources = [ROOT / "CMakeLists.txt", ROOT / "package.xml", ROOT / "scripts/run_module"]
    for pattern in ("cmake/*.cmake", "msg/*.msg", "srv/*.srv", "action/*.action"):
        sources += sorted(ROOT.glob(pattern))
    for path in sources:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    for name in GENERATORS:
        manifest = prefix / "share" / name / "package.xml"
        digest.update(manifest.read_bytes() if manifest.is_file() else b"")
    return digest.hexdigest()[:12]


def remove_stale_builds(base: Path, prefix: Path) -> None:
    """Remove earlier builds for the same prefix, and those of pip's isolated environments, gone by now."""
    for record in base.glob("messages-*/prefix"):
        recorded = Path(record.read_text(encoding="utf-8"))
        if recorded == prefix or not recorded.is_dir():
            shutil.rmtree(record.parent)


def cmake_environment(prefix: Path) -> dict[str, str]:
    """Environment in which CMake finds ROS 2 in ``prefix``, and in no other place unless that is sourced."""
    environment = dict(os.environ)
    sourced = [p for p in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    if prefix not in [Path(p).resolve() for p in sourced]:
        if sourced:
            print(f"{PACKAGE}: ROS 2 is sourced, but the messages are built for {prefix}", file=sys.stderr)
        environment["AMENT_PREFIX_PATH"] = environment["CMAKE_PREFIX_PATH"] = str(prefix)
    programs = [str(prefix / "bin"), str(Path(sys.executable).parent)]
    environment["PATH"] = os.pathsep.join([*programs, environment.get("PATH", os.defpath)])
    return environment


def configure_and_build(folder: Path, stage: Path, environment: dict[str, str]) -> None:
    """Generate and compile the messages in ``folder``, to be installed to ``stage``."""
    ninja = shutil.which("ninja", path=environment["PATH"])
    arguments = [
        f"-DCMAKE_INSTALL_PREFIX={stage}",
        # The libraries lie in <prefix>/lib, the extension modules in <prefix>/lib/pythonX.Y/site-packages/...
        "-DCMAKE_INSTALL_RPATH=$ORIGIN;$ORIGIN/../../..",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBUILD_TESTING=OFF",
        f"-DPython3_EXECUTABLE={sys.executable}",
        *(["-GNinja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []),
    ]
    cmake("-S", str(ROOT), "-B", str(folder), *arguments, environment=environment)
    cmake("--build", str(folder), "--parallel", str(os.cpu_count() or 1), environment=environment)


def cmake(*arguments: str, environment: dict[str, str]) -> None:
    """Run cmake; end with its output and exit code if it fails."""
    program = shutil.which("cmake", path=environment["PATH"])
    if program is None:
        sys.exit(f"{PACKAGE}: cmake is missing: install it (apt-get install cmake, or pip install cmake)")
    result = subprocess.run([program, *arguments], env=environment, text=True, capture_output=True)
    print(result.stdout)
    print(result.stderr, file=sys.stderr)
    if result.returncode:
        sys.exit(f"{PACKAGE}: `cmake {' '.join(arguments)}` failed with exit code {result.returncode}")


def collect_data_files(stage: Path) -> list[tuple[str, list[str]]]:
    """Files that go below the environment's prefix, by folder: libraries, executables, shared files."""
    share = stage / "share" / PACKAGE
    left_out = {path for pattern in NOT_SHARED for path in share.glob(pattern)}
    left_out.add(stage / "share" / "ament_index" / "resource_index" / NOT_INDEXED)
    paths = [*stage.glob("lib/*.so"), *stage.glob(f"lib/{PACKAGE}/*"), *stage.glob("share/**/*")]
    folders: dict[str, list[str]] = {}
    for path in sorted(p for p in paths if p.is_file() and left_out.isdisjoint([p, *p.parents])):
        folder = path.relative_to(stage).parent.as_posix()
        folders.setdefault(folder, []).append(os.path.relpath(path, ROOT))
    return list(folders.items())


setup(
    distclass=MessageDistribution,
    cmdclass={"build": FreshBuild, "build_ext": BuildMessages},
    data_files=[],
)
