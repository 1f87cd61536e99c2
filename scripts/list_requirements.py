"""Prints all requirements: build, run time, and the extras given as arguments."""

import sys
import tomllib
from pathlib import Path

root = Path(__file__).resolve().parents[1]
settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
project = settings["project"]
runtime = (root / "requirements/runtime.txt").read_text(encoding="utf-8").splitlines()
print(*settings["build-system"]["requires"], *filter(lambda line: line[0] != "#", runtime), sep="\n")
for extra in sys.argv[1:]:
    print(*project["optional-dependencies"][extra], sep="\n")
