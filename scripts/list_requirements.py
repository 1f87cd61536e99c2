"""Prints the requirements that pyproject.toml names: build, run time, and the extras given as arguments."""

import sys
import tomllib
from pathlib import Path

settings = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
project = settings["project"]
print(*settings["build-system"]["requires"], *project["dependencies"], sep="\n")
for extra in sys.argv[1:]:
    print(*project["optional-dependencies"][extra], sep="\n")
