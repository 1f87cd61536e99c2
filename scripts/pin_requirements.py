"""Prints the contents of requirements/constraints.txt: the versions here of all that pyproject.toml asks for.

Run it with the Python of an environment in which `make test` passed, and redirect the output to that file.
"""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

HEADER = """\
# The versions that were tested together; pip takes them with -c. Written by scripts/pin_requirements.py."""


def main() -> None:
    """Follow the requirements from package to package."""
    extras = ["ros", "behaviours", "rerun", "train", "docs", "test"]
    listing = [sys.executable, str(Path(__file__).with_name("list_requirements.py")), *extras]
    lines = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    waiting = [Requirement(line) for line in lines]
    seen: set[tuple[str, frozenset[str]]] = set()
    pins: dict[str, str] = {}
    while waiting:
        wanted = waiting.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            found = distribution(wanted.name)
        except PackageNotFoundError:
            sys.exit(f"{wanted} is not installed in this environment: run `make test` first")
        # A local part such as +cpu names a build, and any build of that version will do.
        pins[name] = found.version.split("+")[0]
        for requirement in map(Requirement, found.requires or []):
            environments = [{"extra": extra} for extra in ("", *wanted.extras)]
            if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
                waiting.append(requirement)
    print(HEADER, *(f"{name}=={version}" for name, version in sorted(pins.items())), sep="\n")


if __name__ == "__main__":
    main()
