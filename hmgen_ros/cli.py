"""The ``hmgen`` command.

A subcommand's options are the fields of a dataclass, and its help is their docstring. What a subcommand
needs is imported once it is known, so that ``hmgen --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tyro
from rich.console import Console
from rich.table import Table

from hmgen_ros import __version__


class CommandError(Exception):
    """A command cannot do what was asked; one line that says what to do."""


Options = TypeVar("Options")


def _parse(name: str, options: type[Options], arguments: list[str]) -> Options:
    command = COMMANDS[name]
    description = "\n\n".join(filter(None, [command.help, command.examples]))
    return tyro.cli(options, prog=f"hmgen {name}", description=description, args=arguments)


def _run(arguments: list[str]) -> None:
    from hmgen_ros.config import RunOptions

    options = _parse("run", RunOptions, arguments)
    from hmgen_ros.nodes.run import StartError, run
    from hmgen_ros.streams.media import MediaError

    try:
        run(options, Console())
    except (StartError, MediaError) as error:
        raise CommandError(str(error)) from error


def _train_semi_markov(arguments: list[str]) -> None:
    from hmgen_ros.generators.weights import WeightsError
    from hmgen_ros.training.train_semi_markov import TrainConfig, train

    options = _parse("train semi-markov", TrainConfig, arguments)
    try:
        train(options)
    except WeightsError as error:
        raise CommandError(str(error)) from error


def _devices(arguments: list[str]) -> None:
    from hmgen_ros.streams.microphone import MicrophoneError, list_devices

    if arguments:
        print("usage: hmgen devices\n\n" + COMMANDS["devices"].help)
        return
    try:
        devices = list_devices()
    except MicrophoneError as error:
        raise CommandError(str(error)) from error
    table = Table("index", "name", "channels", "rate (Hz)", "default", title="microphones")
    for device in devices:
        default = "yes" if device.is_default else ""
        table.add_row(str(device.index), device.name, str(device.channels), str(device.sample_rate), default)
    Console().print(table)


@dataclass(frozen=True)
class Command:
    """One subcommand: what does it, one line of help, and examples."""

    work: Callable[[list[str]], None]
    help: str
    examples: str = ""


COMMANDS = {
    "run": Command(
        _run,
        "Play a source through all nodes: perceive, predict, publish, show.",
        "examples: hmgen run | hmgen run --source talk.mp4 --record out/ | hmgen run --source webcam:0 | "
        "hmgen run --headless --fast --json run.json",
    ),
    "train semi-markov": Command(
        _train_semi_markov,
        "Fit the semi-Markov action predictor on the AMI meetings.",
        "example: hmgen train semi-markov --data ../shared/data",
    ),
    "devices": Command(_devices, "List the microphones of this machine."),
}


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
            COMMANDS[name].work(arguments[words:])
            return
    raise CommandError(f"unknown command {arguments[0]!r}; one of: {', '.join(COMMANDS)}")


def main(arguments: list[str] | None = None) -> None:
    """Entry point; exits with 2 and one line on stderr when the command cannot be carried out."""
    try:
        _dispatch(sys.argv[1:] if arguments is None else arguments)
    except (CommandError, OSError, ValueError) as error:
        print(f"hmgen: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
