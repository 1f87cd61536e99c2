"""Whoever lacks a package is told how to get just that one."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from hmgen_ros.extras import extra_of, how_to_get

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
#: As the metadata of the installed package lists them.
REQUIREMENTS = [
    *(Path(__file__).parents[1] / "requirements/runtime.txt").read_text().splitlines(),
    *(
        f'{one}; extra == "{extra}"'
        for extra, wanted in PROJECT["optional-dependencies"].items()
        for one in wanted
    ),
]


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("lightning_fabric", "train"),
        ("matplotlib.pyplot", "train"),
        ("py_trees", "behaviours"),
        ("rerun", "rerun"),
        ("dlib", "dlib"),
        ("face_alignment", "face-alignment"),
        ("mkdocs.config", "docs"),
        ("hypothesis", "test"),
        ("rclpy", "ros"),
        ("trajectory_msgs.msg", "ros"),
        ("numpy", ""),
        ("yaml", ""),
        ("no_such_package", None),
    ],
)
def test_the_extra_is_the_one_that_holds_the_package(module: str, extra: str | None) -> None:
    assert extra_of(module, REQUIREMENTS) == extra


def test_every_distribution_of_an_extra_is_known_by_the_name_of_its_modules() -> None:
    installed = packages_distributions()
    for extra in ("behaviours", "train", "rerun", "dlib", "face-alignment", "docs"):
        for requirement in PROJECT["optional-dependencies"][extra]:
            name = re.split("[<>=~]", requirement)[0]
            modules = [module for module, names in installed.items() if name in names]
            found = {extra_of(module, REQUIREMENTS) for module in modules if module.isidentifier()}
            assert not modules or extra in found, requirement


def test_the_hint_is_a_command() -> None:
    assert how_to_get("py_trees") == "pip install 'hmgen_ros[behaviours]'"
    assert how_to_get("no_such_package.part") == "pip install no-such-package"
