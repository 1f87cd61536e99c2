"""Other people's messages: each package behind one module, used only where it can be imported.

Modules here import their package inside functions, so that they themselves can always be imported; where a
package that is asked for is missing, :func:`package_messages` says which one and how to get it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from hmgen_ros.nodes.base import SetupError


def importable(package: str) -> bool:
    """Whether the messages of a package are there."""
    return find_spec(package) is not None and find_spec(f"{package}.msg") is not None


def package_messages(package: str, wanted_for: str) -> ModuleType:
    """The module ``<package>.msg``.

    Args:
        package: name of a ROS package with messages.
        wanted_for: the setting that asks for it.

    Raises:
        SetupError: the package is not there.
    """
    if not importable(package):
        name = package.replace("_", "-")
        raise SetupError(
            f"{wanted_for} needs {package}, which cannot be imported: install it "
            f"(apt-get install ros-$ROS_DISTRO-{name}, or build it with colcon) and source its setup.bash"
        )
    return import_module(f"{package}.msg")
