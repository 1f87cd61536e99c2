"""The ``hmgen`` command.

A subcommand's options are the fields of a dataclass, and its help is their docstring. What a subcommand
needs is imported once it is known, so that ``hmgen --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TypeVar

import tyro
from rich.console import Console
from rich.table import Table

from hmgen_ros import __version__
from hmgen_ros.commands import COMMANDS, Library
from hmgen_ros.extras import how_to_get


class CommandError(Exception):
    """A command cannot do what was asked; one line that says what to do."""


__all__ = ["COMMANDS", "CommandError", "main"]

Options = TypeVar("Options")


def _parse(name: str, options: type[Options], arguments: list[str]) -> Options:
    command = COMMANDS[name]
    description = "\n\n".join(filter(None, [command.help, command.examples]))
    return tyro.cli(options, prog=f"hmgen {name}", description=description, args=arguments)


def _run(arguments: list[str]) -> None:
    from hmgen_ros.config import RunOptions

    options = _parse("run", RunOptions, arguments)
    from hmgen_ros.nodes.run import run

    run(options, Console())


def _call(name: str, library: Library, arguments: list[str]) -> None:
    """Hand a subcommand's options to a function of a module of ours."""
    try:
        found = import_module(f"hmgen_ros.{library.module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("hmgen_ros"):
            raise
        package = error.name or ""
        raise CommandError(f"hmgen {name} needs the package {package}; {how_to_get(package)}") from error
    given = _parse(name, getattr(found, library.options), arguments)
    device = getattr(given, "device", None)
    if device is not None:
        from hmgen_ros.torch_device import check_device

        check_device(device)
    getattr(found, library.work)(given)


def _devices(arguments: list[str]) -> None:
    from hmgen_ros.streams.camera import list_cameras
    from hmgen_ros.streams.microphone import MicrophoneError, list_devices

    if arguments:
        print("usage: hmgen devices\n\n" + COMMANDS["devices"].help)
        return
    cameras = list_cameras()
    try:
        microphones, silence = list_devices(), "none found; plug one in, or start PulseAudio or PipeWire"
    except MicrophoneError as error:
        microphones, silence = [], str(error)
    missing = [] if cameras else ["no camera: there is no /dev/video*"]
    missing += [] if microphones else [f"no microphone: {silence}"]
    if not cameras and not microphones:
        raise CommandError("; ".join(missing))
    table = Table("kind", "choose it by", "name", "what it gives")
    for camera in cameras:
        size = "" if camera.size is None else f"{camera.size[0]}x{camera.size[1]}"
        rate = "" if camera.fps is None else f", {camera.fps:g} Hz"
        table.add_row("camera", f"--source {camera.path}", camera.name, camera.problem or size + rate)
    for device in microphones:
        gives = f"{device.channels} channel(s), {device.sample_rate} Hz" + ", default" * device.is_default
        table.add_row("microphone", f"--microphone {device.index}", device.name, gives)
    Console().print(table)
    for line in missing:
        print(line)


#: Subcommands that are no function of the library.
_OWN: dict[str, Callable[[list[str]], None]] = {"run": _run, "devices": _devices}


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["usage: hmgen COMMAND [OPTIONS]", "", *lines, "", "hmgen COMMAND --help tells the options."]
    )


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return
    if arguments[0] == "--version":
        print(f"hmgen_ros {__version__}")
        return
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            library = COMMANDS[name].library
            if library is None:
                _OWN[name](arguments[words:])
            else:
                _call(name, library, arguments[words:])
            return
    raise CommandError(f"unknown command {arguments[0]!r}; one of: {', '.join(COMMANDS)}")


def _is_expected(error: Exception) -> bool:
    """Whether the text of an error is for whoever typed the command.

    Classes of errors are made in this package to tell people what to do, wherever they are raised. Others,
    but for wrong values and what the system refuses, are bugs: their tracebacks are needed.
    """
    ours = type(error).__module__.partition(".")[0] == "hmgen_ros"
    return ours or isinstance(error, (CommandError, OSError, ValueError))


def main(arguments: list[str] | None = None) -> None:
    """Entry point; exits with 2 and one line on stderr when the command cannot be carried out."""
    try:
        _dispatch(sys.argv[1:] if arguments is None else arguments)
    except Exception as error:
        if not _is_expected(error):
            raise
        print(f"hmgen: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
