"""tf2_msgs for the tests: installed, or else made by the tools that made our own messages.

There is no wheel of it. What is made is the one message that we use, by its definition.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hmgen_ros.nodes.adapters import importable

CMAKE = f"""
cmake_minimum_required(VERSION 3.20)
project(tf2_msgs LANGUAGES C CXX)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(geometry_msgs REQUIRED)
include("{Path(__file__).parents[1]}/cmake/python_includes.cmake")
rosidl_generate_interfaces(${{PROJECT_NAME}} msg/TFMessage.msg DEPENDENCIES geometry_msgs)
ament_package()
"""
PACKAGE = """
<package format="3">
  <name>tf2_msgs</name>
  <version>0.0.1</version>
  <description>The message that tf2 broadcasts.</description>
  <maintainer email="nobody@example.org">nobody</maintainer>
  <license>BSD</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>geometry_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
</package>
"""
#: Where programs are looked for; those of this environment come first.
PROGRAMS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


@contextmanager
def tf2_messages(folder: Path) -> Iterator[None]:
    """Make tf2_msgs importable, here and in the processes that are started; skips where it cannot be made.

    Args:
        folder: empty, for the package.
    """
    if importable("tf2_msgs"):
        yield
        return
    tools = [shutil.which(program, path=PROGRAMS) for program in ("c++", "cmake", "ninja")]
    if not all(tools) or not (Path(sys.prefix) / "share/rosidl_generator_py").is_dir():
        pytest.skip("tf2_msgs is not installed, nor what would make it")
    installed = _build(folder)
    modules = next(installed.glob("lib/python*/site-packages"))
    with pytest.MonkeyPatch.context() as patch:
        for variable, path in (
            ("PYTHONPATH", modules),
            ("LD_LIBRARY_PATH", installed / "lib"),
            ("AMENT_PREFIX_PATH", installed),
        ):
            patch.setenv(variable, str(path), prepend=os.pathsep)
        patch.syspath_prepend(str(modules))
        for library in (installed / "lib").glob("*.so"):
            # Found by their names from now on: this process was told where to look when it began.
            ctypes.CDLL(str(library))
        try:
            yield
        finally:
            for name in [one for one in sys.modules if one.split(".")[0] == "tf2_msgs"]:
                del sys.modules[name]


def _build(folder: Path) -> Path:
    """Where the package is installed."""
    sources, build, installed = folder / "sources", folder / "build", folder / "installed"
    (sources / "msg").mkdir(parents=True)
    (sources / "msg/TFMessage.msg").write_text("geometry_msgs/TransformStamped[] transforms\n")
    (sources / "CMakeLists.txt").write_text(CMAKE)
    (sources / "package.xml").write_text(PACKAGE)
    libraries = f"$ORIGIN;$ORIGIN/../../..;{sys.prefix}/lib"
    settings = {
        "CMAKE_INSTALL_PREFIX": installed,
        "CMAKE_INSTALL_RPATH": libraries,
        "BUILD_TESTING": "OFF",
        "Python3_EXECUTABLE": sys.executable,
    }
    found = {"PATH": PROGRAMS, "AMENT_PREFIX_PATH": sys.prefix, "CMAKE_PREFIX_PATH": sys.prefix}
    for step in (
        ("-S", sources, "-B", build, "-GNinja", *(f"-D{name}={value}" for name, value in settings.items())),
        ("--build", build),
        ("--install", build),
    ):
        done = subprocess.run(
            [str(shutil.which("cmake", path=PROGRAMS)), *map(str, step)],
            env={**os.environ, **found},
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return installed
