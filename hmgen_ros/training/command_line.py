"""The command line that repeats a training, for manifest and card."""

from __future__ import annotations

import shlex
from dataclasses import fields

from hmgen_ros.training.loop_config import LoopConfig

#: Folders are others on another machine, and starting over is nothing to repeat.
_NOT_TOLD = ("data", "out", "models", "force")


def command_line(name: str, config: LoopConfig) -> str:
    """``hmgen train NAME`` with the settings that are not the usual ones, without the folders."""
    words = ["hmgen", "train", name]
    for setting in fields(config):
        value = getattr(config, setting.name)
        if value == setting.default or setting.name in _NOT_TOLD:
            continue
        option = setting.name.replace("_", "-")
        words.append(f"--no-{option}" if value is False else f"--{option}")
        if not isinstance(value, bool):
            words += map(str, value if isinstance(value, tuple) else [value])
    return shlex.join(words)
