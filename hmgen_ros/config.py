"""Validated settings of the commands; every other room keeps its settings beside what they set."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

_NAMESPACE = re.compile(r"/?([A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*)?/?")


class OptionError(ValueError):
    """An option that cannot be used; one line that says what to do."""


@dataclass(frozen=True)
class RunOptions:
    """Options of ``hmgen run``.

    Args:
        source: video file, webcam ("webcam:0", "/dev/video0") or "bundled", the recording of the package.
        headless: no live view; only warnings and a summary.
        fast: as fast as the machine goes instead of in real time (files only).
        json: write figures of the run to this file.
        record: write the inputs and outputs as an mcap bag and an annotated video to this new folder.
        loop: play a file again and again until Ctrl-C.
        duration: stop after so many seconds of the source.
        microphone: microphone to listen to: a name, part of it or an index; "default" takes the
            system's. A webcam uses the default one, a file its own sound.
        seed: makes person ids and sampled futures the same in every run; without it a file has 0, unless
            a params-file says otherwise, and a live source draws anew.
        params_file: ROS parameter file (YAML) for the nodes.
        namespace: namespace of all nodes and relative topics, e.g. "/robot1".
    """

    source: str = "bundled"
    headless: bool = False
    fast: bool = False
    json: Path | None = None
    record: Path | None = None
    loop: bool = False
    duration: float | None = None
    microphone: str | None = None
    seed: int | None = None
    params_file: Path | None = None
    namespace: str | None = None

    def check(self) -> None:
        """Check what can be checked before anything starts.

        Raises:
            OptionError: an option cannot be used.
        """
        if self.duration is not None and not self.duration > 0:
            raise OptionError(f"duration is {self.duration} s; it must be more than 0")
        if self.seed is not None and self.seed < 0:
            raise OptionError(f"seed is {self.seed}; it must be 0 or more")
        if self.params_file is not None:
            _check_parameter_file(self.params_file)
        if self.namespace is not None and not _NAMESPACE.fullmatch(self.namespace):
            raise OptionError(f"namespace {self.namespace!r} is no ROS name; use letters, digits, _ and /")
        if self.json is not None and not self.json.absolute().parent.is_dir():
            raise OptionError(f"no folder {self.json.absolute().parent} to write {self.json.name} to")


def _check_parameter_file(path: Path) -> None:
    """Raise OptionError where ``path`` is no YAML file; what is in it ROS will check."""
    if not path.is_file():
        raise OptionError(f"no parameter file {path}")
    try:
        yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise OptionError(f"parameter file {path} cannot be read: {' '.join(str(error).split())}") from error
