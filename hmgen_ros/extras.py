"""Which extra of this package holds a module that cannot be imported."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires

#: Distributions whose modules go by another name, beside those of ROS, which all begin with ``ros-``.
_DISTRIBUTIONS = {
    "cv2": "opencv-python",
    "dlib": "dlib-bin",
    "material": "mkdocs-material",
    "rerun": "rerun-sdk",
    "yaml": "pyyaml",
}
_REQUIREMENT = re.compile(r"""^\s*([\w.-]+).*?(?:\bextra\s*==\s*["']([\w.-]+)["'])?\s*$""")


def how_to_get(module: str) -> str:
    """The command that installs what a module belongs to.

    Args:
        module: as an ``ImportError`` names it.
    """
    try:
        extra = extra_of(module, requires("hmgen_ros") or ())
    except PackageNotFoundError:
        # Built by colcon: there is no package of pip's with extras.
        extra = None
    if extra is None:
        return f"pip install {distribution_of(module)}"
    return f"pip install 'hmgen_ros[{extra}]'" if extra else "pip install hmgen_ros"


def extra_of(module: str, requirements: Iterable[str]) -> str | None:
    """The extra that holds a module: "" where every installation has it, None where none does.

    Args:
        module: as an ``ImportError`` names it.
        requirements: as the metadata of a package lists them.
    """
    name = distribution_of(module)
    found = {}
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is not None:
            found[_normalised(match.group(1))] = match.group(2) or ""
    return next((found[one] for one in (name, f"ros-{name}") if one in found), None)


def distribution_of(module: str) -> str:
    """Name of the distribution that a module comes with, as far as one can tell from its name."""
    top = module.split(".")[0]
    return _normalised(_DISTRIBUTIONS.get(top, top))


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
